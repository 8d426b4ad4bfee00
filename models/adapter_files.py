"""What an adapter's files may say: read as plain values, and judged before a byte is allocated for its weights.

Knows the files of a folder and the shapes of a base model; loads no weights. peft has some forty settings, and
some of them import modules, copy layers or change the base. Those in `_SETTINGS` are accepted within the bounds
given there; any other has to be empty or as peft sets it by default.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.weight_files import read_header, require_shapes
from plumbing.errors import ModelError
from plumbing.printable import brief

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
PREFIX = "base_model.model."
"""What peft writes before a tensor's name."""
MAX_RANK = 256
MAX_ALPHA = 4096
MAX_JSON_BYTES = 1_000_000
MAX_TARGETS = 64
HEADS = ("classifier", "score")
"""The modules that an adapter may bring whole: the head of a classifier or a reward model, by its usual names."""

_VERSION = re.compile(r"[\w.+-]{1,40}", re.ASCII)


def read_json(path: Path, *, links: bool = False, most_bytes: int = MAX_JSON_BYTES) -> Any:
    """The JSON in a plain file of at most so many bytes.

    Raises:
        OSError: there is no such file, or it is a link though `links` does not allow it.
        ValueError: it is too large, or not JSON.
    """
    if (path.is_symlink() and not links) or (path.exists() and not path.is_file()):
        raise OSError(f"{path.name} is not a plain file")
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{path.name} is larger than {most_bytes:,} bytes")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's config as plain values; checks that the weights are safetensors, and none are pickled."""
    weights = folder / WEIGHTS_FILE
    if not weights.is_file() or weights.is_symlink():
        raise ModelError(
            f"The adapter has no {WEIGHTS_FILE}" + (", but a link" if weights.is_symlink() else ""),
            got=str(folder),
            fix="Only adapters saved as safetensors are loaded, never pickles (.bin, .pt).",
        )
    try:
        config = read_json(folder / CONFIG_FILE)
    except (OSError, ValueError) as error:
        raise ModelError(f"{CONFIG_FILE} of the adapter cannot be read", got=str(error)) from None
    if not isinstance(config, dict):
        raise ModelError(f"{CONFIG_FILE} of the adapter is not an object", got=type(config).__name__)
    return config


# ---- the settings ------------------------------------------------------------------------------------------


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether it is a finite number of that range."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and low <= value <= high
        and math.isfinite(value)
    )


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_RANK


def is_version(value: Any) -> bool:
    """Whether it is a version, or None."""
    return value is None or (isinstance(value, str) and _VERSION.fullmatch(value) is not None)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "r": _is_rank,
    "lora_alpha": lambda value: is_number(value, 1e-3, MAX_ALPHA),
    "lora_dropout": lambda value: is_number(value, 0, 0.99),
    "peft_version": is_version,
    "inference_mode": _is_bool,
    "use_rslora": _is_bool,
    "use_dora": _is_bool,
    # A name in its place computes the start from the base's weights, and changes those.
    "init_lora_weights": _is_bool,
    # Judged in `check_config`, each with a message of its own.
    "peft_type": lambda _: True,
    "task_type": lambda _: True,
    "target_modules": lambda _: True,
    "modules_to_save": lambda _: True,
    "base_model_name_or_path": lambda _: True,
}


def check_config(config: dict[str, Any], model: PreTrainedModel, *, kind: str, base: str) -> None:
    """Refuse settings that are not those of a plain LoRA on this base model, named `base`.

    Raises:
        ModelError: with the settings that are not accepted.
    """
    if config.get("peft_type") != "LORA":
        raise ModelError("Only LoRA adapters are loaded", got=config.get("peft_type"), fix="Train with LoRA.")
    if not _is_rank(config.get("r")):
        raise ModelError(f"The adapter's rank must be 1 to {MAX_RANK}", got=config.get("r"))
    refused = sorted(name for name, value in config.items() if not _is_accepted(name, value))
    expected = "CAUSAL_LM" if kind == "causal" else "SEQ_CLS"
    if config.get("task_type") != expected:
        refused.append("task_type")
    heads = config.get("modules_to_save")
    if heads is not None and (
        kind == "causal" or not isinstance(heads, list) or not set(map(str, heads)) <= {*HEADS}
    ):
        refused.append("modules_to_save")
    if refused:
        remedy = _remedy(config, refused, kind)
        raise ModelError("The adapter's config holds settings that are not accepted", got=refused, fix=remedy)
    targets = config.get("target_modules")
    adaptable = adaptable_modules(model)
    if (
        not isinstance(targets, list)
        or not 1 <= len(targets) <= MAX_TARGETS
        or not all(target in adaptable for target in targets)
    ):
        raise ModelError(
            "The adapter changes modules that cannot be adapted in the base model",
            got=targets,
            fix=f"In {base} these can: {', '.join(adaptable)}.",
        )
    named = config.get("base_model_name_or_path")
    if not _is_same_base(named, base):
        raise ModelError("The adapter belongs to another base model", got=named, fix="Load that one instead.")


def _is_same_base(named: Any, base: str) -> bool:
    """Whether two names are of one base model: the same words, or two ways to write one folder."""
    try:
        return named == base or Path(named).expanduser().samefile(Path(base).expanduser())
    except (OSError, RuntimeError, TypeError, ValueError):
        return False


def _remedy(config: dict[str, Any], refused: Sequence[str], kind: str) -> str:
    """What to do about the first of the settings that are refused."""
    merge = "or merge it into its base and use that as a base model."
    if "modules_to_save" in refused:
        whole = {"classifier": " but a classifier's head", "reward": " but a reward model's head"}.get(kind, "")
        return (
            f"It brings whole layers ({brief(config['modules_to_save'])}), and none{whole} may be brought. Train "
            f"it again without modules_to_save, {merge}"
        )
    if "task_type" in refused:
        return f"Train it for the task_type {'CAUSAL_LM' if kind == 'causal' else 'SEQ_CLS'}."
    return f"Train it again as plain LoRA, without {', '.join(refused)}; what may be set is {', '.join(_SETTINGS)}."


def _is_accepted(name: str, value: Any) -> bool:
    if check := _SETTINGS.get(name):
        return check(value)
    if value is None or value is False or value in ({}, []):
        return True
    usual = peft_defaults("LORA")
    return name in usual and type(value) is type(usual[name]) and bool(value == usual[name])


@functools.cache
def peft_defaults(method: str) -> dict[str, Any]:
    """Setting → what peft itself sets it to, of LORA or IA3."""
    from peft import IA3Config, LoraConfig

    return {
        field.name: field.default
        for field in dataclasses.fields(LoraConfig if method == "LORA" else IA3Config)
        if field.default is not dataclasses.MISSING
    }


def adaptable_modules(model: PreTrainedModel) -> list[str]:
    """The names that an adapter may list as its target modules, each the last part of a layer's path."""
    return sorted({name.rsplit(".", 1)[-1] for name in linear_layers(model)})


def linear_layers(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """Name → (inputs, outputs) of the linear layers, packed in 4 bit or not.

    Not of the projection onto the vocabulary: labels are scored, and one batch answers for both sides, by its bare
    weight. Nor of a new head, which learns whole.
    """
    import torch

    head = model.get_output_embeddings()
    return {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and not is_of_head(name, HEADS)
    }


# ---- the weights -------------------------------------------------------------------------------------------


def check_weights(folder: Path, config: dict[str, Any], model: PreTrainedModel) -> None:
    """Refuse a weights file whose header is not exactly that of this LoRA on this base model.

    Raises:
        ModelError: with the first thing that is wrong.
    """
    expected = adapter_shapes(
        model,
        rank=config["r"],
        targets=config["target_modules"],
        heads=config.get("modules_to_save") or (),
        dora=bool(config.get("use_dora")),
    )
    try:
        require_shapes(read_header(folder / WEIGHTS_FILE), expected)
    except (OSError, ValueError, RecursionError) as error:
        raise unfit(str(error)) from None


def unfit(why: str, fix: str = "Use the folder as it was saved after training.") -> ModelError:
    """The error of weights that do not fit, or are damaged."""
    return ModelError("The adapter's weights do not fit the base model, or are damaged", got=why, fix=fix)


def adapter_shapes(
    model: PreTrainedModel, *, rank: int, targets: Sequence[str], heads: Sequence[str] = (), dora: bool = False
) -> dict[str, tuple[int, ...]]:
    """Name → shape of each tensor of a LoRA on `model`, as its weights file has them; they are what it trains.

    Args:
        model: the base, which may be on the `meta` device.
        rank: of the updates.
        targets: the last part of the changed layers' paths.
        heads: modules that are trained whole.
        dora: whether each weight has a magnitude of its own.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs) in linear_layers(model).items():
        if name.rsplit(".", 1)[-1] in targets and not is_of_head(name, heads):
            shapes[f"{PREFIX}{name}.lora_A.weight"] = (rank, inputs)
            shapes[f"{PREFIX}{name}.lora_B.weight"] = (outputs, rank)
            if dora:
                shapes[f"{PREFIX}{name}.lora_magnitude_vector"] = (outputs,)
    for name, parameter in model.named_parameters():
        if is_of_head(name, heads):
            shapes[f"{PREFIX}{name}"] = tuple(parameter.shape)
    return shapes


def is_of_head(name: str, heads: Sequence[str] = HEADS) -> bool:
    """Whether a module or parameter of that name belongs to a head that is trained whole.

    As peft matches them: `pre_classifier` is one of `classifier`. Nothing in a head is adapted as well.
    """
    return name.split(".", 1)[0].endswith(tuple(heads))

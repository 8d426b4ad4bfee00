"""Anybody's adapter onto a base model: LoRA, DoRA, rsLoRA and IA3, whatever peft-compatible trainer wrote it.

Which names and shapes its weights have is asked of peft itself, on the `meta` device: the base without weights,
with an adapter of the accepted settings on it. The file's header has to say exactly that before anything is
allocated; so a file that lacks a layer is refused, where peft alone would leave that layer as it was before
training. Where the line to adapters of ours is, and what of a config is accepted, is in `any_adapter_config`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapter_files import PREFIX, WEIGHTS_FILE, unfit
from models.adapters import TUNED, require_numbers
from models.any_adapter_config import MERGE, AdapterPlan, read_plan, unknown_modules
from models.building import one_at_a_time
from models.loading import LoadedModel
from models.weight_files import read_header, require_shapes
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

_MOST_DIMENSIONS = 4


def check_any(folder: Path, loaded: LoadedModel) -> tuple[AdapterPlan, dict[str, tuple[int, ...]]]:
    """Refuse an adapter that is not of this base model, before anything is allocated for it; allocates nothing.

    Returns:
        Its plan, in which no pattern is left (`AdapterPlan.on`), and the name and shape of each of its tensors.

    Raises:
        ModelError: with what is wrong with which file.
    """
    plan = read_plan(folder)
    expected = "SEQ_CLS" if loaded.kind == "classifier" else "CAUSAL_LM"
    if plan.task_type not in ("", expected):
        raise ModelError(
            "The adapter was trained for another kind of model",
            got=plan.task_type,
            fix=f"Here the base is loaded for {expected}.",
        )
    names = [name for name, _ in loaded.model.named_modules()]
    if unknown := unknown_modules(plan, names):
        raise ModelError(
            "The adapter brings modules that the base model has not",
            got=unknown,
            fix="Name the base that it was trained on.",
        )
    plan = plan.on(names)
    shapes = adapter_shapes_on(loaded.model, plan, kind=loaded.kind)
    try:
        found = read_header(folder / WEIGHTS_FILE, most_dimensions=_MOST_DIMENSIONS)
        copies = _copies_of_the_base(found.keys() - shapes.keys(), loaded.model)
        require_shapes(found, shapes | {name: tuple(weight.shape) for name, weight in copies.items()})
    except (OSError, ValueError, RecursionError) as error:
        raise unfit(str(error), _remedy(error)) from None
    return plan, shapes


def _remedy(error: Exception) -> str:
    said = str(error)
    if "embed_tokens" in said or "lm_head" in said:
        return f"Was its vocabulary resized in training? {MERGE}"
    return "Is this the base that it was trained on? Else use the folder as it was saved after training."


def adapter_shapes_on(model: PreTrainedModel, plan: AdapterPlan, *, kind: str) -> dict[str, tuple[int, ...]]:
    """Name → shape of each tensor that peft would save of such an adapter on `model`; nothing is allocated.

    Raises:
        ModelError: peft has no such adapter for this model.
    """
    import torch
    from peft import get_peft_model, get_peft_model_state_dict

    with one_at_a_time(), _quietly(), _as_refusal(plan), torch.device("meta"):
        adapted = get_peft_model(_without_weights(model), plan.peft_config(kind), adapter_name=TUNED)
        state = get_peft_model_state_dict(adapted, adapter_name=TUNED, save_embedding_layers=False)
    if strange := [name for name, tensor in state.items() if tensor.device.type != "meta"]:
        raise ModelError("The adapter cannot be checked before it is loaded", got=strange[:3], fix=MERGE)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def attach_any(loaded: LoadedModel, folder: Path) -> PeftModel:
    """Put the checked adapter onto the loaded base, in the base's precision; `detach` takes it off again.

    Raises:
        ModelError: `check_any` refuses the adapter, or its weights are damaged or not numbers.
    """
    from peft import get_peft_model, set_peft_model_state_dict
    from safetensors import SafetensorError

    from models.fast.fused_lora import fuse_lora

    plan, shapes = check_any(folder, loaded)
    try:
        weights = _read(folder, shapes, loaded.model)
        with one_at_a_time(), _quietly(), _as_refusal(plan):
            model: Any = get_peft_model(
                loaded.model, plan.peft_config(loaded.kind), adapter_name=TUNED, autocast_adapter_dtype=False
            )
            result: Any = set_peft_model_state_dict(model, weights, adapter_name=TUNED)
    except (RuntimeError, KeyError, SafetensorError, OSError) as error:
        raise unfit(" ".join(str(error).split())[:200]) from error
    if result.unexpected_keys:
        raise unfit(f"peft has no place for {result.unexpected_keys[0][:200]}")
    require_numbers(model)
    fuse_lora(model)
    return model.eval()  # type: ignore[no-any-return]


def detach(model: PeftModel) -> None:
    """Take an adapter off its base, which is then what it was before.

    peft's `unload` leaves in place what was trained whole, and not what stood there.
    """
    from peft.utils.other import ModulesToSaveWrapper

    base = model.get_base_model()
    with _quietly():
        for name, module in list(base.named_modules()):
            if isinstance(module, ModulesToSaveWrapper):
                parent, _, own = name.rpartition(".")
                setattr(base.get_submodule(parent), own, module.original_module)
        model.unload()


# ---- weights -----------------------------------------------------------------------------------------------


def _without_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A model of the same modules, on the device where new tensors are; of one that is packed, of plain layers."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return type(model)(config)


def _copies_of_the_base(names: Any, model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Of `names` in a file those that are the base's own embeddings, which peft saves beside an adapter of them."""
    own = dict(model.named_parameters(remove_duplicate=False))
    places = {name: name.removeprefix(PREFIX).replace(".base_layer.", ".") for name in names}
    embeddings = [
        name
        for name, module in model.named_modules()
        if module in (model.get_input_embeddings(), model.get_output_embeddings())
    ]
    return {
        name: own[place]
        for name, place in places.items()
        if place in own and place.rsplit(".", 1)[0] in embeddings and name.startswith(PREFIX)
    }


def _read(folder: Path, shapes: Mapping[str, Any], model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The adapter's tensors; what is beside them has to be the base's own.

    Raises:
        ModelError: an embedding in the file is another than the base's, which would change the base.
    """
    import torch
    from safetensors import safe_open

    found: dict[str, torch.Tensor] = {}
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        names = set(file.keys())
        for name in names & shapes.keys():
            found[name] = file.get_tensor(name)
        for name, own in _copies_of_the_base(names - shapes.keys(), model).items():
            if not torch.equal(file.get_tensor(name).to(own.dtype), own.detach().cpu()):
                raise ModelError(
                    "The adapter's file holds embeddings that are not the base's",
                    got=name,
                    fix=f"Is this the base that it was trained on? {MERGE}",
                )
    return found


@contextmanager
def _as_refusal(plan: AdapterPlan) -> Iterator[None]:
    """What peft says of settings that do not fit a model, for a person."""
    try:
        yield
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"peft cannot put this {plan.describe} adapter onto the base model",
            got=" ".join(str(error).split())[:300],
            fix=f"Is this the base that it was trained on? {MERGE}",
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without peft's advice to who trains; the adapter's random start changes nobody else's random numbers."""
    import torch

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        yield

"""An adapter's update in its base's weights, a tensor at a time: no model is built, and no forward is computed.

A run over a 4-bit base has learned beside what NF4 left of the base's weights. So what is merged by default is
that: each layer is packed as in training and unpacked again, in float32, before the update is added. Merged into
the weights that the base has in its files, the update meets others than those it was trained beside; that is the
other choice, and says so.

W' = W + s B A, with s = alpha / rank (rsLoRA: alpha / sqrt(rank)); DoRA: m (W + s B A) / |W + s B A|, each row by
its length (Liu et al. 2024, https://arxiv.org/abs/2402.09353).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from finetuning.export.tuned import Tuned
from finetuning.export.weights import FolderWeights, described, names_in_files
from models import libraries, loading
from models.adapter_files import (
    PREFIX,
    WEIGHTS_FILE,
    check_config,
    check_weights,
    is_of_head,
    linear_layers,
    read_config,
)
from models.four_bit import BLOCK
from models.resolved import ResolvedModel
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Onto = Literal["trained", "original"]
"""Into which weights of the base an update is merged: those that it was trained beside, or those of the base's
files. They differ where the base was in 4 bit."""


class MergedWeights:
    """The base's weights with the adapter's update in them; see `weights.Weights`."""

    def __init__(self, tuned: Tuned, source: ResolvedModel, *, onto: Onto = "trained") -> None:
        """Checks the adapter as one that is loaded is checked; reads no weights of the base.

        Raises:
            ModelError: the adapter does not fit the base, or one of them cannot be read.
        """
        libraries.ready()
        labels = tuned.task.labels if tuned.origin.kind == "classifier" else ()
        self.model: PreTrainedModel = described(source, tuned.origin.kind, labels)
        config = read_config(tuned.folder)
        check_config(config, self.model, kind=tuned.origin.kind, base=tuned.origin.name)
        check_weights(tuned.folder, config, self.model)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        self._scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        self._base = FolderWeights(source.path)
        self._packed = set(linear_layers(self.model)) if packs(tuned, onto) else set[str]()
        self._compute = loading.best_precision()
        self._update = _adapter_tensors(tuned)
        self._places = self._found()
        tensors = self.model.state_dict(keep_vars=True)
        self.shapes: Mapping[str, tuple[int, ...]] = {name: tuple(tensors[name].shape) for name in self._places}
        for name, shape in self.shapes.items():
            if name not in self._update and (found := self._base.shapes[self._places[name]]) != shape:
                raise ModelError(
                    "The base's files are not of the sizes that its configuration says",
                    got=f"{name}: {found}, not {shape}",
                    fix="Fetch the base again.",
                )

    @property
    def targets(self) -> list[str]:
        """The layers that have an update."""
        return sorted(name.removesuffix(".lora_A.weight") for name in self._update if ".lora_A." in name)

    def get(self, name: str) -> torch.Tensor:
        """In float32."""
        layer = name.removesuffix(".weight")
        if (whole := self._update.get(name)) is not None:  # a head, which the adapter brings
            return whole.float()
        weight = self._base.get(self._places[name])
        if layer in self._packed and name.endswith(".weight"):
            weight = four_bit_and_back(weight, self._compute)
        weight = weight.float()
        low, high = (self._update.get(f"{layer}.lora_{part}.weight") for part in "AB")
        if low is None or high is None or not name.endswith(".weight"):
            return weight
        weight = weight + self._scale * (high.float() @ low.float())
        if (magnitude := self._update.get(f"{layer}.lora_magnitude_vector")) is not None:
            weight *= (magnitude.float() / weight.norm(dim=1))[:, None]
        return weight

    def _found(self) -> dict[str, str]:
        """Name in the merged model → name in the base's files, or in the adapter's."""
        prefix = f"{self.model.base_model_prefix}."
        found, missing = dict[str, str](), list[str]()
        for name in names_in_files(self.model):
            # An encoder's files have no name for what a head is put on.
            places = (name, name.removeprefix(prefix))
            place = next((each for each in places if each in self._base.shapes or name in self._update), None)
            if place is None:
                missing.append(name)
            else:
                found[name] = place
        if missing:
            raise ModelError("Neither the base nor the adapter has these weights", got=missing[:8])
        return found


def packs(tuned: Tuned, onto: Onto) -> bool:
    """Whether layers are merged as 4 bit left them."""
    return tuned.origin.precision == "nf4" and onto == "trained"


def four_bit_and_back(weight: torch.Tensor, compute: loading.Precision) -> torch.Tensor:
    """What NF4 leaves of a layer's weights, in float32: as `models.loading` lets a base be packed.

    Args:
        weight: [outputs, inputs], as in the base's files.
        compute: what the base is read in before it is packed, which is what it computes in.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    with torch.inference_mode():
        given: Any = weight.to(getattr(torch, compute)).to(loading.device())
        packed, state = quantize_4bit(given, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
        state.dtype = torch.float32
        return dequantize_4bit(packed, state).cpu()


def other_weights(tuned: Tuned, source: ResolvedModel) -> list[str]:
    """A sentence where the base's weights are others than those of training. Reads its files once a process."""
    if tuned.is_whole or tuned.origin.weights_sha256 == source.weights_sha256:
        return []
    return [
        f"The base's weights here ({source.origin}) are not byte for byte those that it was trained beside "
        f"({tuned.origin.origin}), so its answers may be others."
    ]


def _adapter_tensors(tuned: Tuned) -> dict[str, torch.Tensor]:
    """Name without peft's prefix → tensor; a few megabytes.

    Raises:
        ModelError: one is not of numbers.
    """
    from safetensors.torch import load_file

    found = {name.removeprefix(PREFIX): each for name, each in load_file(tuned.folder / WEIGHTS_FILE).items()}
    if wrong := [name for name, tensor in found.items() if not tensor.isfinite().all()]:
        raise ModelError("The adapter holds weights that are not numbers", got=wrong[0], fix="Train it again.")
    return {name: tensor for name, tensor in found.items() if ".lora_" in name or is_of_head(name)}


def what_it_is(tuned: Tuned, onto: Onto) -> str:
    """In a sentence, what was merged into what, for the card and for whoever asked."""
    if tuned.is_whole:
        return "The whole model that the run has trained, as it is."
    if tuned.origin.precision != "nf4":
        return "The adapter's update, added to the base's own weights in float32."
    if onto == "trained":
        return (
            "The base's layers as 4 bit (NF4) left them, unpacked in float32, with the adapter's update added: "
            "what it was trained beside. So the base in here is not the original, but the 4-bit one, unpacked."
        )
    return (
        "The adapter's update, added to the original weights of the base. It was trained beside the same weights "
        "in 4 bit (NF4), which are others: answers differ from the adapter's more than with `--onto trained`."
    )

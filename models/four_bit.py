"""What 4-bit NormalFloat makes of a base model's weights: measured on its files, a layer at a time.

NF4 (QLoRA, Dettmers et al. 2023, section 3, https://arxiv.org/abs/2305.14314) divides each block of 64 weights by
the largest of them, and writes for each the nearest of sixteen levels. Levels, block size, packing and the 8 bits
that a block's scale is packed into are bitsandbytes' own, as `models.loading` lets a base be packed.

What was measured is kept in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models import libraries
from models.adapter_files import linear_layers
from models.building import one_at_a_time
from models.resolved import ResolvedModel, cache_folder
from plumbing.errors import ModelError
from plumbing.reading import read_text
from plumbing.writing import write_atomically

BLOCK = 64
"""Weights that share a scale."""
LEVELS = 16
BINS = 100
"""Of the histogram, from -1 to 1."""
FOLDER = "four-bit"
_MAX_BYTES = 2**22
_NUMBER = re.compile(r"\.(\d+)\.")


class Layer(BaseModel):
    """One linear layer's weights, and how far they moved."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    weights: int = Field(ge=1)
    squared: float = Field(ge=0)
    """The sum of its weights' squares."""
    lost: float = Field(ge=0)
    """The sum of the squares of what packing changed."""
    lost_even: float = Field(ge=0)
    """The same, had the sixteen levels been evenly spaced, with the same scales."""

    @property
    def block(self) -> int | None:
        """Which block of the model it is in, from 0; None where its name has no number."""
        found = _NUMBER.search(self.name)
        return int(found[1]) if found else None

    @property
    def part(self) -> str:
        """What it is within its block: `q_proj`."""
        return self.name.rsplit(".", 1)[-1]


class FourBit(BaseModel):
    """The linear layers of a base model, as they are and in NF4."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    base: str
    origin: str
    levels: tuple[float, ...] = Field(min_length=LEVELS, max_length=LEVELS)
    histogram: tuple[int, ...] = Field(min_length=BINS, max_length=BINS)
    """Of the weights, each divided by the largest of its block."""
    used: tuple[int, ...] = Field(min_length=LEVELS, max_length=LEVELS)
    """How many weights each level stands for."""
    layers: tuple[Layer, ...] = Field(min_length=1)

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    def blocks(self) -> dict[int, list[Layer]]:
        """The layers of each block of the model, from the first."""
        found: dict[int, list[Layer]] = {}
        for layer in self.layers:
            if layer.block is not None:
                found.setdefault(layer.block, []).append(layer)
        return dict(sorted(found.items()))

    def parts(self) -> dict[str, list[Layer]]:
        """The layers that are the same in each block."""
        found: dict[str, list[Layer]] = {}
        for layer in self.layers:
            found.setdefault(layer.part, []).append(layer)
        return found


def error(layers: Iterable[Layer], *, even: bool = False) -> float:
    """The length of what packing changed in these layers, as a share of their own length.

    With `even` the levels would have been evenly spaced.
    """
    layers = list(layers)
    lost = sum(layer.lost_even if even else layer.lost for layer in layers)
    squared = sum(layer.squared for layer in layers)
    return math.sqrt(lost / squared) if squared else 0.0


class Measurement:
    """A base model that is being measured: `take` each of `names`, then ask for the `result`."""

    def __init__(self, source: ResolvedModel) -> None:
        """Reads no weights yet.

        Raises:
            ModelError: the files are no language model, or lack one of its linear layers.
        """
        libraries.ready()
        self._source = source
        self._files = _files_of_layers(source)
        self._layers: dict[str, Layer] = {}
        self._levels: tuple[float, ...] = ()
        self._histogram, self._used = [0] * BINS, [0] * LEVELS

    @property
    def names(self) -> list[str]:
        """The linear layers that are packed: not the projection onto the vocabulary."""
        return list(self._files)

    def take(self, name: str) -> None:
        """Measure one layer."""
        import torch
        from bitsandbytes.functional import dequantize_4bit, dequantize_blockwise, quantize_4bit

        with torch.inference_mode():
            weight = _read(self._files[name], name)
            packed, state = quantize_4bit(weight, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
            back = dequantize_4bit(packed, state)
            scales = dequantize_blockwise(state.absmax, state.state2) + state.offset
            blocks = _in_blocks(weight)
            scaled = blocks / blocks.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
            even = ((scaled + 1) * (LEVELS - 1) / 2).round() * 2 / (LEVELS - 1) - 1
            self._layers[name] = Layer(
                name=name,
                weights=weight.numel(),
                squared=_squared(weight),
                lost=_squared(weight - back),
                lost_even=_squared(blocks - even * scales[:, None]),
            )
            counts = torch.histc(scaled.flatten()[: weight.numel()], bins=BINS, min=-1, max=1)
            # A byte holds the levels of two weights.
            pairs = torch.bincount(packed.flatten(), minlength=LEVELS**2).view(LEVELS, LEVELS)
        self._levels = tuple(state.code[:LEVELS].tolist())
        self._histogram = [one + int(more) for one, more in zip(self._histogram, counts.tolist(), strict=True)]
        used = (pairs.sum(0) + pairs.sum(1)).tolist()
        self._used = [one + more for one, more in zip(self._used, used, strict=True)]

    def result(self) -> FourBit:
        """What was measured, once every layer was taken."""
        return FourBit(
            base=self._source.name,
            origin=self._source.origin,
            levels=self._levels,
            histogram=tuple(self._histogram),
            used=tuple(self._used),
            layers=tuple(self._layers[name] for name in self._files),
        )


def kept(source: ResolvedModel) -> FourBit | None:
    """What was measured of these very files before; None where nothing was, or it cannot be read."""
    try:
        return FourBit.model_validate_json(read_text(_place(source), limit=_MAX_BYTES))
    except (OSError, ValueError, ValidationError):
        return None


def keep(source: ResolvedModel, found: FourBit) -> None:
    """Keep it for `kept`; where the disk does not let us, it is measured again the next time."""
    place = _place(source)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, found.model_dump_json())


def _place(source: ResolvedModel) -> Path:
    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in _weight_files(source)]
    told = json.dumps([source.name, source.revision, stamps, version("bitsandbytes"), BLOCK, BINS])
    return cache_folder() / FOLDER / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"


def _weight_files(source: ResolvedModel) -> list[Path]:
    return sorted(source.path.glob("*.safetensors"))


def _files_of_layers(source: ResolvedModel) -> dict[str, Path]:
    """Linear layer → the file that holds its weights."""
    import torch
    from safetensors import SafetensorError, safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
        with one_at_a_time(), torch.device("meta"):
            names = list(linear_layers(AutoModelForCausalLM.from_config(config, trust_remote_code=False)))
        held: dict[str, Path] = {}
        for file in _weight_files(source):
            with safe_open(file, framework="pt") as opened:
                held |= dict.fromkeys(opened.keys(), file)
    except (OSError, ValueError, SafetensorError) as problem:
        raise ModelError(
            f"The weights of this base model cannot be read: {str(problem).splitlines()[0]}", got=source.name
        ) from problem
    if missing := [name for name in names if f"{name}.weight" not in held]:
        raise ModelError("The files of this base model lack some of its layers", got=missing)
    return {name: held[f"{name}.weight"] for name in names}


def _read(file: Path, name: str) -> Any:
    """A layer's weights in float32, [outputs, inputs]."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return opened.get_tensor(f"{name}.weight").float()


def _in_blocks(weight: Any) -> Any:
    """The weights in rows of a block, [n, BLOCK]; the last is filled up with zeros."""
    import torch

    flat = weight.flatten()
    return torch.nn.functional.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)


def _squared(values: Any) -> float:
    return float(values.double().square().sum())

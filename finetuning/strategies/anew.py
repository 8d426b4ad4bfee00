"""Weights started anew, at random, as a new model of the same architecture has them: nothing learned is left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_LOADED = "_is_hf_initialized"
"""transformers' mark on what came out of a file, which it will not start anew."""


def start_anew(modules: Iterable[torch.nn.Module], model: PreTrainedModel, *, seed: int) -> None:
    """Give `modules` of `model` random weights, the same ones for the same `seed`."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in modules:
            for part in module.modules():
                for value in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
                    value.__dict__.pop(_LOADED, None)
                part.__dict__.pop(_LOADED, None)
            module.apply(model._init_weights)

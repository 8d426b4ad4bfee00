"""What learns of a model, in a file: its parameters that ask for gradients, by their names in the model."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from plumbing.errors import RunError


def save_trained(model: torch.nn.Module, path: Path) -> None:
    """Write them to `path`, replacing what is there in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    save_file({name: value.detach().contiguous() for name, value in trained_parameters(model).items()}, half)
    half.replace(path)


def load_trained(model: torch.nn.Module, path: Path) -> None:
    """Put what `save_trained` wrote into a model of the same kind.

    Raises:
        RunError: the file is of other parameters.
    """
    saved, trained = load_file(path), trained_parameters(model)
    if {name: value.shape for name, value in saved.items()} != {name: each.shape for name, each in trained.items()}:
        raise RunError("The weights in this checkpoint are not those that train", got=str(path))
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(saved[name])


def trained_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """What learns of `model`, by its name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}

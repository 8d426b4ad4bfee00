"""What policy optimisation holds a model against: the same model as it was before its first step.

No second model is needed for that. Beside a new adapter the reference is the base, which is there when the adapter
is switched off. Where a trained adapter goes on, it is that adapter as it began, and of a whole model it is the
weights that it began with: a copy of what learns, put in place for the time that the reference is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file

from finetuning.trainers.trained_weights import save_trained, trained_parameters
from plumbing.errors import RunError
from plumbing.writing import flush

FILE = "reference.safetensors"
"""In the folder of a run's checkpoints, where it went on with an adapter: it may go on again without that one."""


class Reference:
    """A model as it was."""

    def __init__(self, model: Any, start: Mapping[str, torch.Tensor] | None) -> None:
        """Args:
        model: a peft one, or a whole one.
        start: what learns of it, by name, as it was; None where the reference is the base of its adapter.
        """
        self._model = model
        self._learns = trained_parameters(model)
        self._start = start

    @classmethod
    def of(cls, model: Any, folder: Path, *, continued: bool) -> Reference:
        """The reference of a model that is about to learn; or to go on, before its checkpoint is loaded.

        Args:
            model: with the strategy's parameters ready.
            folder: of the run's checkpoints.
            continued: whether `model` began with an adapter that was trained before.

        Raises:
            RunError: there are checkpoints, and what the first of them began with is gone.
        """
        if not continued:
            is_adapter = isinstance(model, PeftModel)
            return cls(model, None if is_adapter else _copy(model))
        file = folder / FILE
        if not file.is_file():
            if any(folder.glob("checkpoint-*/DONE")):
                raise RunError(
                    "The adapter that this run began with is no longer in its checkpoints: nothing is left to hold "
                    "its answers against",
                    got=str(file),
                    fix="Start a new run.",
                )
            save_trained(model, file)
            flush(folder)
        return cls(model, load_file(file))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it, without gradients, the model is as it was."""
        with torch.no_grad():
            if self._start is None:
                with self._model.disable_adapter():
                    yield
                return
            now = {name: value.data for name, value in self._learns.items()}
            try:
                for name, value in self._learns.items():
                    value.data = self._start[name].to(value.device, value.dtype)
                yield
            finally:
                for name, value in self._learns.items():
                    value.data = now[name]


def _copy(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trained_parameters(model).items()}

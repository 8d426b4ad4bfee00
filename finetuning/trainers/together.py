"""Several processes that carry out one run: how they meet and part, agree to stop, and put together what each has.

The first one leads: it alone writes the run's folder and is asked whether to stop; the others do as it says. What
they tell each other goes over the CPU, beside the gradients, which are the library's work.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetuning.processes import rank, world_size

_PATIENCE = timedelta(days=7)
"""One waits for another that measures, saves or fetches alone. One that is gone is noticed by torchrun, at once."""
_AGREED = ("should_training_stop", "should_save", "should_evaluate")


def join() -> None:
    """Meet the others; from here on each has its own GPU, where there are some."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_PATIENCE)


def leave() -> None:
    """Part from the others, which end now."""
    dist.destroy_process_group()


def wait() -> None:
    """Wait until all are here: what the first has written before, the others see after."""
    dist.all_reduce(torch.zeros(1))


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum of what all processes have, on the CPU, in float64."""
    total = values.detach().to("cpu", torch.float64)
    dist.all_reduce(total)
    return total


def listed(values: list[Any]) -> list[Any]:
    """What all processes have, one behind the other."""
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, values)
    return [value for part in parts for value in part]


def stacked(values: torch.Tensor) -> torch.Tensor:
    """The rows of all processes, which may have different numbers of them; a number is a row."""
    own = (values if values.dim() else values[None]).detach()
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, own.cpu())
    return torch.cat(parts).to(values.device)


class Together(TrainerCallback):
    """Lets the first process decide for all: comes after the callbacks that only it has."""

    def __init__(self, save_every: int | None = None) -> None:
        """
        Args:
            save_every: so many steps lie between two checkpoints, where the library saves none by itself.
        """
        self.save_every = save_every

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Dropout is another in each process. The first goes on with the random state that a checkpoint holds; that
        # of the others follows from the step, so there is nothing to keep of it.
        if rank() > 0:
            torch.manual_seed((args.seed << 24) + (state.global_step << 8) + rank())

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.save_every and (state.global_step % self.save_every == 0 or state.global_step >= state.max_steps):
            control.should_save = True
        self._agree(control)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._agree(control)

    def _agree(self, control: TrainerControl) -> None:
        flags = torch.tensor([getattr(control, name) for name in _AGREED])
        dist.broadcast(flags, src=0)
        for name, flag in zip(_AGREED, flags.tolist(), strict=True):
            setattr(control, name, flag)

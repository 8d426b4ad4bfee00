"""What a trainer tells the journal: a metrics line a step, whole checkpoints, a loss that is no number."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetuning.runs.journal import Journal
from plumbing import doors
from plumbing.errors import RunError
from plumbing.writing import flush


class Recorder(TrainerCallback):
    """Writes a metrics line a step, marks whole checkpoints, and stops training when that is due."""

    def __init__(
        self, journal: Journal, *, seconds_before: float, tokens_before: int, curves: Sequence[str] = ()
    ) -> None:
        """Args:
        journal: of the run.
        seconds_before: of earlier attempts, up to where this one goes on.
        tokens_before: the same.
        curves: what else is written of each step, by the names in the trainer's logs.
        """
        self.journal = journal
        self.curves = tuple(curves)
        self.seconds_before = seconds_before
        self.tokens_before = tokens_before
        self.started = self._step_began = time.perf_counter()
        self._step_s = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.perf_counter() - self.seconds_before
        self.journal.write(done=state.global_step, total=state.max_steps)
        self.journal.has_to_stop()  # looks now, so that the first step counts as one; it is asked again at its end

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._step_began = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._step_s = time.perf_counter() - self._step_began
        if self.journal.has_to_stop():
            control.should_training_stop = True
            control.should_save = True
        self.journal.status = self.journal.status.model_copy(
            update={"done": state.global_step, "total": state.max_steps}
        )
        self.journal.write()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        # Comes before the step is saved. A gradient that is no number has spoilt the weights already.
        for what in ("loss", "grad_norm"):
            if not math.isfinite(float(logs.get(what) or 0.0)):
                raise self._no_number(f"The {what} is no longer a number", state.global_step, logs[what])
        self.journal.run.append_metrics(
            {
                "step": state.global_step,
                "epoch": round(float(state.epoch or 0), 4),
                "loss": float(logs["loss"]),
                "learning_rate": float(logs["learning_rate"]),
                "grad_norm": float(logs.get("grad_norm", 0.0)),
                "tokens": self.tokens_before + int(logs.get("num_tokens", 0)),
                "token_accuracy": logs.get("mean_token_accuracy"),
                "seconds": round(time.perf_counter() - self.started, 3),
                "step_seconds": round(self._step_s, 4),  # of the step alone, without checkpoints and validation
                "memory_mb": _held_memory_mb(),
            }
            | numbers_of(logs, self.curves)
        )

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        if not _all_finite(model, optimizer):
            raise self._no_number("The weights are no longer numbers", state.global_step, None)
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        flush(folder)
        # Written last: a checkpoint without it was torn by a crash and does not count.
        (folder / "DONE").touch()

    def _no_number(self, problem: str, step: int, got: object) -> RunError:
        kept = self.journal.run.checkpoint()
        return RunError(
            f"{problem} at step {step}",
            got=got,
            fix=f"Lower {doors.named(doors.LEARNING_RATE)} and start again. "
            + (f"The last good checkpoint is kept: {kept}." if kept else "No checkpoint was saved before that."),
        )


def numbers_of(logs: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    """Those of `names` that were logged as a number; a line of metrics holds no others."""
    found = {name: float(logs[name]) for name in names if isinstance(logs.get(name), (int, float))}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _held_memory_mb() -> int:
    """What training holds now, in MiB: of a GPU's memory where there is one."""
    held = torch.cuda.memory_reserved() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    return round(held / 2**20)


def _all_finite(model: torch.nn.Module | None, optimizer: torch.optim.Optimizer | None) -> bool:
    """Whether all that training changes is still numbers."""
    tensors: list[torch.Tensor] = []
    if model is not None:
        tensors += [value for value in model.parameters() if value.requires_grad]
    for state in optimizer.state.values() if optimizer is not None else ():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return all(bool(torch.isfinite(value).all()) for value in tensors)

"""When the validation loss is measured, which step is kept, and when there is no point in going on.

Every measurement is a line of `metrics.jsonl`, and what is known of them is read from there: a run that goes on
from a checkpoint forgets the lines after it, and with them whatever was best there. The weights of the best step
lie in `checkpoints/best-STEP` until a later checkpoint is whole that has a better one.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetuning.runs.journal import Journal
from finetuning.trainers.recorder import numbers_of
from finetuning.trainers.trained_weights import load_trained, save_trained
from plumbing import doors
from plumbing.errors import RunError
from plumbing.writing import flush

WEIGHTS_FILE = "trained.safetensors"


class Validation(TrainerCallback):
    """Asks for measurements, writes them down, and keeps the best step's weights."""

    def __init__(
        self,
        journal: Journal,
        *,
        every: int,
        keep_best: bool,
        patience: int | None = None,
        metric: Callable[[Any], float] | None = None,
        called: str = "validation loss",
    ) -> None:
        """Args:
        journal: of the run, whose metrics end where the training goes on.
        every: so many steps lie between two measurements.
        keep_best: whether the weights of the best step are kept.
        patience: stop after so many measurements without a new lowest loss.
        metric: model → the task's metric on some rows.
        called: what is measured, in a sentence.
        """
        self.journal = journal
        self.every = every
        self.keep_best = keep_best
        self.patience = patience
        self.metric = metric
        self.called = called
        self.measured = [(line["step"], line["eval_loss"]) for line in journal.run.evaluations()]
        self.stopped_early = False

    @property
    def best(self) -> tuple[int, float] | None:
        """The step with the lowest loss, the first of several, and that loss."""
        return min(self.measured, key=lambda one: one[1], default=None)

    @property
    def without_gain(self) -> int:
        """Measurements since the best one."""
        return len(self.measured) - 1 - self.measured.index(self.best) if self.best else 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # It is measured to its end all the same: a run that goes on would not measure this step again.
        if self.journal.has_to_stop():
            control.should_training_stop = True
            control.should_save = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: dict[str, float] | None = None,
        model: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        step, loss = state.global_step, float((metrics or {})["eval_loss"])
        if not math.isfinite(loss):
            raise RunError(
                f"The validation loss is no longer a number at step {step}",
                got=loss,
                fix=f"Lower {doors.named(doors.LEARNING_RATE)} and start again.",
            )
        line: dict[str, Any] = {"step": step, "eval_loss": loss} | numbers_of(metrics or {}, metrics or ())
        if self.metric is not None and "eval_metric" not in line:  # which may be of answers that were judged anyway
            line["eval_metric"] = self.metric(model)
        is_best = self.best is None or loss < self.best[1]
        if is_best and self.keep_best and model is not None:  # before the line that says so
            save_trained(model, self._file(step))
            flush(self._folder(step))
        self.journal.run.append_metrics(line)
        self.measured.append((step, loss))
        if self.patience is not None and self.without_gain >= self.patience and step < state.max_steps:
            self.stopped_early = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The checkpoint is whole: nobody goes back to what was best before what is best now."""
        for folder in self.journal.run.checkpoints.glob("best-*"):
            if self.best is None or folder != self._folder(self.best[0]):
                shutil.rmtree(folder, ignore_errors=True)

    def restore_best(self, model: torch.nn.Module, last_step: int) -> str:
        """Put the best step's weights into `model`; returns what there is to say of it, in a sentence."""
        if self.best is None:
            return ""
        early = f" Training stopped early, after step {last_step}." if self.stopped_early else ""
        if not self.keep_best:
            step, loss = self.best
            return f"The last step was kept; the {self.called} was lowest after step {step}, {loss:.3g}.{early}"
        there = [one for one in self.measured if one[0] == last_step or self._file(one[0]).is_file()]
        step, loss = min(there, key=lambda one: one[1], default=self.measured[-1])
        if step != last_step:
            load_trained(model, self._file(step))
        return f"Step {step} was kept, whose {self.called} was the lowest, {loss:.3g}.{early}"

    def _file(self, step: int) -> Path:
        return self._folder(step) / WEIGHTS_FILE

    def _folder(self, step: int) -> Path:
        return self.journal.run.checkpoints / f"best-{step}"

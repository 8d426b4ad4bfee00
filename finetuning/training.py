"""One run from its recipe to its report: data, base model, fine-tuning, adapter, evaluation.

Everything it learns goes into the run folder; nothing is printed but what libraries log. Called by the worker
process, and in-process where processes cannot be started (ZeroGPU).
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from datasets import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data.errors import RunError
from eval.report import save as save_report
from finetuning.evaluation import evaluate_adapter
from finetuning.model_card import model_card
from finetuning.preparation import encode_for_causal, encode_for_classifier, open_data
from finetuning.recipe import Recipe
from finetuning.runs import Run, Status
from finetuning.strategies import add_adapter, count_parameters
from finetuning.trainers.arguments import steps
from models.adapters import BaseOrigin
from models.loading import LoadedModel, four_bit_share, load, load_tokenizer, unpacked_layers, weight_bytes
from models.prompting import PromptContract, Prompter, classifier_contract
from models.sources import resolve


class Cancelled(Exception):
    """The run was asked to stop."""


class Journal:
    """Keeps the run's status while it is worked on; the only writer of `status.json` meanwhile."""

    def __init__(self, run: Run, status: Status, should_stop: Callable[[], bool]) -> None:
        self.run = run
        self.status = status
        self.should_stop = should_stop
        self._written = 0.0

    def write(self, **changes: Any) -> None:
        """Change the status and write it at once."""
        now = time.time()
        self.status = self.status.model_copy(update=changes | {"heartbeat": now})
        self.run.write_status(self.status)
        self._written = now

    def phase(self, phase: str, *, total: int = 0) -> None:
        """Start a new phase, unless the run was asked to stop."""
        if self.should_stop():
            raise Cancelled
        self.write(phase=phase, done=0, total=total)

    def progress(self, done: int, total: int) -> None:
        """Note progress within the phase; written at most five times a second."""
        if self.should_stop():
            raise Cancelled
        self.status = self.status.model_copy(update={"done": done, "total": total})
        if time.time() - self._written > 0.2 or done == total:
            self.write()

    def tell(self, what: str, done: int, total: int) -> None:
        """Note progress of `what`, which becomes the phase."""
        if self.status.phase != what:
            self.phase(what, total=total)
        self.progress(done, total)

    def fact(self, **facts: Any) -> None:
        self.write(facts=self.status.facts | facts)


class Recorder(TrainerCallback):
    """Writes a metrics line a step, marks whole checkpoints, and stops training when asked to."""

    def __init__(self, journal: Journal, *, seconds_before: float, tokens_before: int) -> None:
        self.journal = journal
        self.seconds_before = seconds_before
        self.tokens_before = tokens_before
        self.started = time.perf_counter()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.perf_counter() - self.seconds_before
        self.journal.write(done=state.global_step, total=state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.journal.should_stop():
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
        if not math.isfinite(float(logs["loss"])):
            raise RunError(
                f"The loss is no longer a number at step {state.global_step}",
                got=logs["loss"],
                fix="Lower training.learning_rate and start again.",
            )
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
                "memory_mb": round(psutil.Process().memory_info().rss / 2**20),
            }
        )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # Written last: a checkpoint without it was torn by a crash and does not count.
        (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / "DONE").touch()


def run_training(run: Run, should_stop: Callable[[], bool]) -> None:
    """Carry out `run` and leave it finished or cancelled.

    Args:
        run: a run folder in state `queued` or `running`.
        should_stop: asked after every step and batch; True ends the run with a checkpoint.

    Raises:
        UserError: something in the recipe, data or base model is wrong; the caller records it.
    """
    journal = Journal(run, run.claim(), should_stop)
    try:
        _train_and_evaluate(run, journal)
    except Cancelled:
        journal.write(state="cancelled", phase="", ended=time.time())
        return
    journal.write(state="finished", phase="", ended=time.time())


def _train_and_evaluate(run: Run, journal: Journal) -> None:
    recipe = run.recipe()
    journal.phase("Reading the data")
    opened = open_data(recipe)
    if not run.adapter.is_dir():  # it is there where a run goes on that ended during its evaluation
        _train(run, journal, recipe, opened.splits["train"])
    journal.write(state="evaluating")
    journal.phase("Comparing base and tuned")
    result = evaluate_adapter(
        run.adapter,
        opened.spec,
        test=opened.splits["test"],
        train=opened.splits["train"],
        few_shot=recipe.evaluation.few_shot,
        forgetting=recipe.evaluation.forgetting,
        batch_size=recipe.evaluation.batch_size,
        max_new_tokens=recipe.evaluation.max_new_tokens,
        on_progress=journal.tell,
    )
    save_report(result.report, result.rows, run.evaluation)
    (run.adapter / "README.md").write_text(model_card(recipe, result.report, result.rows), encoding="utf-8")


def _train(run: Run, journal: Journal, recipe: Recipe, rows: Dataset) -> None:
    journal.phase("Finding the base model")
    source = resolve(recipe.model.base, progress=journal.tell)
    journal.phase("Encoding the rows")
    tokenizer = load_tokenizer(source)
    train, contract = _encode(recipe, rows, tokenizer)
    journal.phase("Loading the base model")
    loaded = load(
        source,
        kind=recipe.trainer,
        precision=recipe.model.precision,
        task=recipe.task_definition,
    )
    _note_weights(journal, loaded)
    _fine_tune(run, journal, recipe, loaded, train, contract)


def _encode(recipe: Recipe, rows: Dataset, tokenizer: Any) -> tuple[Dataset, PromptContract]:
    if recipe.trainer == "classifier":
        encoded = encode_for_classifier(rows, tokenizer, recipe)
        return encoded, classifier_contract(tokenizer, recipe.task_definition)
    prompter = Prompter(tokenizer, recipe.task_definition)
    return encode_for_causal(rows, prompter, recipe.training.max_tokens), prompter.contract


def _note_weights(journal: Journal, loaded: LoadedModel) -> None:
    """Write down what was really loaded; a QLoRA run whose base is not in 4 bit is an error."""
    facts: dict[str, Any] = {
        "base": loaded.source.describe(),
        "device": str(loaded.model.device),
        "precision": loaded.precision,
        "weight_mb": round(weight_bytes(loaded.model) / 2**20, 1),
        "weight_mb_bfloat16": round(2 * count_parameters(loaded.model).total / 2**20, 1),
    }
    if loaded.precision == "nf4":
        facts["four_bit_share"] = round(four_bit_share(loaded.model), 4)
        if left := unpacked_layers(loaded.model):
            raise RunError("The base model was not loaded in 4 bit", got=f"{len(left)} layers, first {left[0]}")
    journal.fact(**facts)


def _fine_tune(
    run: Run, journal: Journal, recipe: Recipe, loaded: LoadedModel, train: Dataset, contract: PromptContract
) -> None:
    from finetuning.trainers.causal import causal_trainer
    from finetuning.trainers.classifier import classifier_trainer

    origin = BaseOrigin.of(loaded)
    model = add_adapter(loaded.model, recipe)
    count = count_parameters(model)
    journal.fact(trainable=count.trainable, total=count.total, stored=count.stored, train_rows=len(train))
    journal.phase("Fine-tuning", total=steps(recipe, len(train)))
    build = causal_trainer if recipe.trainer == "causal" else classifier_trainer
    checkpoint = run.checkpoint()
    last = run.cut_metrics(int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0)
    before = float(last.get("seconds", 0.0))
    recorder = Recorder(journal, seconds_before=before, tokens_before=int(last.get("tokens", 0)))
    trainer = build(recipe, model, loaded.tokenizer, train, str(run.checkpoints), [recorder])
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = before + time.perf_counter() - started
    journal.write(training_seconds=round(seconds, 2))
    journal.fact(peak_memory_mb=_peak_memory_mb())
    if journal.should_stop():
        raise Cancelled
    making = run.folder / ".making-adapter"
    making.mkdir(exist_ok=True)
    model.save_pretrained(str(making))
    contract.save(making)
    origin.save(making)
    making.rename(run.adapter)
    shutil.rmtree(run.checkpoints, ignore_errors=True)  # the adapter is whole: nothing to resume


def _peak_memory_mb() -> int:
    """The most memory this process has held, in MiB."""
    import resource

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

"""One run from its recipe to its report: data, base model, fine-tuning, adapter, evaluation.

Everything it learns goes into the run folder; nothing is printed but what libraries log. What takes seconds to
import is imported when its turn comes: a mistake in the data is told before torch is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.samples import sample
from data.tasks.saved import save_task
from data.trained_rows import TrainedRows, hash_rows
from eval.report.folder import save as save_report
from finetuning.besides import Besides, open_besides
from finetuning.continuing import Earlier, earlier_adapter
from finetuning.export.model_card import model_card
from finetuning.preparation import open_data, require_positions, said_of
from finetuning.processes import peak_memory_mb, rank, world_size
from finetuning.ranks import first_alone, meet, part
from finetuning.recipe import Recipe
from finetuning.runs.beginning import Beginning, check_submitted, check_unrecorded, hash_tokens
from finetuning.runs.folder import Run, checkpoint_step
from finetuning.runs.journal import Cancelled, Journal
from finetuning.sharding import shards
from finetuning.strategies.counts import count_parameters
from finetuning.trackers import require_tracker, writing_beside
from finetuning.trainers.arguments import (
    eval_steps,
    require_optimizer,
    save_steps,
    steps,
)
from models.adapters import BaseOrigin
from models.context import positions_at
from models.loading import LoadedModel, four_bit_share, load, load_tokenizer, unpacked_layers, weight_bytes
from models.prompting import PromptContract
from models.sources import resolve
from plumbing.errors import RecipeError, RunError
from plumbing.writing import flush

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import TrainerCallback

    from data.sources import Opened
    from data.tasks import Task
    from eval.compare import Result
    from eval.report.sections import Findings
    from finetuning.judged_rows import JudgedRows
    from finetuning.trainers.validation import Validation


def run_training(run: Run, should_stop: Callable[[], bool]) -> None:
    """Carry out `run` and leave it finished or cancelled.

    Args:
        run: a run folder in state `queued` or `running`.
        should_stop: asked after every step and batch; True ends the run with a checkpoint.

    Raises:
        UserError: something in the recipe, data or base model is wrong; the caller records it.
    """
    if rank() > 0:
        _help(run)
        return
    status, recipe = run.claim(), run.recipe()
    journal = Journal(run, status, should_stop, max_minutes=recipe.training.max_minutes)
    try:
        _train_and_evaluate(run, journal, recipe)
    except Cancelled:
        journal.write(state="cancelled", phase="", ended=time.time())
    except BaseException:
        with contextlib.suppress(RunError, OSError):  # a disk may be full
            journal.write()  # how long it took counts towards the limit of all attempts
        raise
    else:
        journal.write(state="finished", phase="", ended=time.time())


def _help(run: Run) -> None:
    """Work with the process that carries out `run`, which writes its folder and says what came of it."""
    recipe = run.recipe()
    meet(recipe)
    journal, learned = Journal(run, run.status(), lambda: False), run.tuned.is_dir()
    earlier = None if learned or run.checkpoint() else earlier_adapter(recipe, run.folder.parent)
    with first_alone():
        opened = open_data(recipe)
    if not learned:
        _train(run, journal, recipe, opened, "", earlier)
        _free_what_trained()
    if not recipe.evaluation.skip:
        from eval.findings import findings_of

        judged = _judged(run, recipe, opened, findings_of(opened.splits, opened.task))
        _evaluate(run, journal, recipe, judged, _besides(recipe))
    part()


def _train_and_evaluate(run: Run, journal: Journal, recipe: Recipe) -> None:
    require_tracker(recipe.training.report_to)
    meet(recipe)
    require_optimizer(recipe)
    learned = run.tuned.is_dir()  # it goes on, and ended during its evaluation, or before it
    if not learned:
        recipe.way.require(recipe.task_definition, run.folder.parent)
    # A checkpoint holds what the adapter has become: the run that it was of may be gone.
    earlier = None if learned or run.checkpoint() else earlier_adapter(recipe, run.folder.parent)
    besides = _besides(recipe)
    journal.phase("Reading the data")
    beginning = Beginning.load(run)
    if beginning is None:
        check_submitted(run, recipe)
        check_unrecorded(run, recipe)
    else:
        beginning.check_settings(run, recipe)
    with first_alone():
        opened = open_data(recipe)
    train_sha256 = hash_rows(opened.splits["train"], opened.task)
    if beginning is not None:
        beginning.check_rows(train_sha256)
    journal.phase("Looking for repeated rows")
    from eval.findings import findings_of

    findings = findings_of(opened.splits, opened.task)
    journal.fact(data="\n".join(said_of(opened, findings.sentences)))
    if not learned:
        _train(run, journal, recipe, opened, train_sha256, earlier)
        _free_what_trained()
    if recipe.evaluation.skip:
        part()
        return
    journal.write(state="evaluating")
    journal.phase("Comparing base and tuned")
    result = _evaluate(run, journal, recipe, _judged(run, recipe, opened, findings), besides)
    part()
    report = result.report.model_copy(update={"training": str(journal.status.facts.get("loss", ""))})
    save_report(report, result.rows, run.evaluation)
    (run.tuned / "README.md").write_text(model_card(recipe, report, result.rows), encoding="utf-8")


def _besides(recipe: Recipe) -> Besides:
    """What its evaluation reads and runs besides."""
    return open_besides(
        recipe.task_definition, context=recipe.evaluation.context, metrics=recipe.evaluation.metrics
    )


def _evaluate(run: Run, journal: Journal, recipe: Recipe, judged: JudgedRows, besides: Besides) -> Result:
    """Base against tuned, whose answers several processes share; each ends with all of them."""
    from finetuning.evaluation import evaluate_adapter
    from models.batches import Others, shared_with

    shared: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if world_size() > 1:
        from finetuning.trainers.together import listed

        shared = shared_with(Others(rank(), world_size(), listed))
    with shared:
        return evaluate_adapter(
            run.tuned,
            judged,
            few_shot=recipe.few_shot,
            besides=besides,
            forgetting=recipe.evaluation.forgetting,
            on_progress=journal.tell,
        )


def _judged(run: Run, recipe: Recipe, opened: Opened, findings: Findings) -> JudgedRows:
    """The rows that the run is judged on: its own test split, or the rows that its recipe names for that."""
    from finetuning.judged_rows import choose_rows, rows_of_run

    if recipe.evaluation.source is None:
        return rows_of_run(run.tuned, opened, findings)
    return choose_rows(run.tuned)


def _train(
    run: Run, journal: Journal, recipe: Recipe, opened: Opened, train_sha256: str, earlier: Earlier | None
) -> None:
    task, way = opened.task, recipe.way
    journal.phase("Finding the base model")
    with first_alone():
        source = resolve(recipe.model.base, progress=journal.tell)
    journal.phase("Encoding the rows")
    tokenizer = load_tokenizer(source)
    limit = positions_at(source.path)
    require_positions(recipe, limit)
    train = way.encode(opened.splits["train"], tokenizer, recipe, task, limit=limit)
    validation = _validation_rows(recipe, opened)
    encoded = way.encode(validation, tokenizer, recipe, task, limit=limit) if len(validation) else None
    rows = Rows(train, encoded, validation, opened, way.contract(tokenizer, task))
    new_tokens = recipe.evaluation.max_new_tokens
    way.require_room(opened.splits["test"], tokenizer, task, limit=limit, new_tokens=new_tokens)
    journal.phase("Loading the base model")
    parts = shards(recipe, world_size())
    loaded = load(source, kind=recipe.kind, precision=recipe.load_precision, task=task, shards=parts)
    journal.fact(**({"shards": parts} if parts > 1 else {}))
    _note_weights(journal, loaded)
    if journal.leads:
        now = Beginning.of(recipe, train_sha256, hash_tokens(train), BaseOrigin.of(loaded))
        _note_beginning(run, task, opened.splits["train"], now, earlier)
    _fine_tune(run, journal, recipe, loaded, rows, earlier)


@dataclass(frozen=True)
class Rows:
    """What a run learns from, as tokens."""

    train: Dataset
    validation: Dataset | None
    """What the loss is measured on while it learns; None where there is nothing."""
    measured: Dataset
    """The same rows as they were read."""
    opened: Opened
    """All rows."""
    contract: PromptContract


def _validation_rows(recipe: Recipe, opened: Opened) -> Dataset:
    """The sample that the validation loss is measured on; the same in every run on these rows.

    Raises:
        RecipeError: something is asked for that takes such rows, and there are none.
    """
    rows = opened.splits["validation"]
    count, training = recipe.training.eval_rows, recipe.training
    if not len(rows) and (training.patience or training.eval_metric):
        name = "training.patience" if training.patience else "training.eval_metric"
        raise RecipeError(
            f"{name} needs validation rows, and these data have none", fix=f"Leave {name} out, or give more rows."
        )
    return sample(rows, count, opened.task) if count else rows.select([])


def _note_beginning(run: Run, task: Task, rows: Dataset, now: Beginning, earlier: Earlier | None) -> None:
    """Before the first step: what is trained on what; before a later attempt: that the base is the same still."""
    if run.checkpoint() is None:
        learned = earlier.trained_rows() if earlier else None
        TrainedRows.of(map(task.text_of, rows), after=learned).save(run.folder)
        if earlier is not None:
            earlier.note(run)
        now.save(run)
    elif beginning := Beginning.load(run):
        beginning.check_base(now)


def _note_weights(journal: Journal, loaded: LoadedModel) -> None:
    """Write down what was really loaded; a QLoRA run whose base is not in 4 bit is an error."""
    facts: dict[str, Any] = {
        "base": loaded.source.describe(),
        "device": str(loaded.model.device),
        "precision": loaded.precision,
        "weight_mb": round(weight_bytes(loaded.model) / 2**20, 2),
        "weight_mb_unpacked": round(loaded.model.dtype.itemsize * count_parameters(loaded.model).total / 2**20, 2),
    }
    if loaded.precision == "nf4":
        facts["four_bit_share"] = round(four_bit_share(loaded.model), 4)
        if left := unpacked_layers(loaded.model):
            raise RunError("The base model was not loaded in 4 bit", got=f"{len(left)} layers, first {left[0]}")
    journal.fact(**facts)


def _fine_tune(
    run: Run, journal: Journal, recipe: Recipe, loaded: LoadedModel, rows: Rows, earlier: Earlier | None
) -> None:
    from finetuning.trainers.recorder import Recorder

    origin, checkpoint = BaseOrigin.of(loaded), run.checkpoint()
    if earlier is not None and checkpoint is None:
        earlier.check(loaded, recipe)
    model = recipe.apply_strategy(loaded.model)
    count = count_parameters(model)
    counts = {"trainable": count.trainable, "total": count.total, "stored": count.stored}
    journal.fact(**counts, train_rows=len(rows.train), world_size=world_size())
    if earlier is not None and checkpoint is None:
        journal.fact(continues=earlier.put_into(model))
    done, total = checkpoint_step(checkpoint) if checkpoint else 0, steps(recipe, len(rows.train))
    last: dict[str, Any] = {}
    with first_alone():
        if journal.leads:
            run.remove_torn_checkpoints()
            last = run.cut_metrics(done)
    before = float(last.get("seconds", 0.0))
    tokens_before = int(last.get("tokens", 0))
    recorder = Recorder(journal, seconds_before=before, tokens_before=tokens_before, curves=recipe.way.curves)
    validation = _validation(journal, recipe, loaded, rows) if journal.leads else None
    callbacks: list[TrainerCallback] = [recorder, validation] if validation else [recorder]
    if world_size() > 1:
        from finetuning.trainers.together import Together

        every = save_steps(recipe, len(rows.train)) if shards(recipe, world_size()) > 1 else None
        callbacks = [*(callbacks if journal.leads else []), Together(every)]
    with writing_beside(run.folder):
        trainer: Any = recipe.way.trainer(
            recipe, model, loaded.tokenizer, rows.train, str(run.checkpoints), callbacks, rows.validation
        )
    trainer.prepare(journal.tell)
    journal.phase("Fine-tuning", total=total)
    started = time.perf_counter()
    if done < total:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    else:  # it was stopped after its last step: the library would take one more
        trainer._load_from_checkpoint(str(checkpoint))
        trainer.state.global_step = done
    seconds = before + time.perf_counter() - started
    journal.write(training_seconds=round(seconds, 2))
    journal.fact(peak_memory_mb=_peak_memory_mb())
    if not journal.leads and shards(recipe, world_size()) > 1:
        model.save_pretrained(str(run.folder), is_main_process=False)  # it writes nothing, and is waited for
    with first_alone():
        if not journal.leads:
            return
        journal.fact(loss=recipe.way.amiss(run.metrics()[0], recipe.training.learning_rate))
        journal.check()
        if validation:
            journal.fact(kept=validation.restore_best(model, trainer.state.global_step))
        _save(run, recipe, model, loaded, rows, origin)
        shutil.rmtree(run.checkpoints, ignore_errors=True)  # what was tuned is whole: nothing to resume


def _validation(journal: Journal, recipe: Recipe, loaded: LoadedModel, rows: Rows) -> Validation | None:
    """What measures the validation loss and keeps the best step; None where there are no rows for it."""
    from finetuning.trainers.validation import Validation

    if rows.validation is None:
        return None
    training = recipe.training
    return Validation(
        journal,
        every=eval_steps(recipe, len(rows.train), len(rows.validation)),
        keep_best=training.keep == "best",
        patience=training.patience,
        metric=_task_metric(recipe, loaded, rows) if training.eval_metric else None,
        called=recipe.way.validated,
    )


def _task_metric(recipe: Recipe, loaded: LoadedModel, rows: Rows) -> Callable[[Any], float] | None:
    """What measures the metric on the rows that the validation loss is measured on, or on some of them."""
    return recipe.way.task_metric(rows.measured, loaded.tokenizer, recipe, rows.opened.task)


def _save(run: Run, recipe: Recipe, model: Any, loaded: LoadedModel, rows: Rows, origin: BaseOrigin) -> None:
    """Put what was tuned into the run's folder, whole or not at all."""
    making = run.folder / ".making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    model.save_pretrained(str(making))
    if recipe.strategy.whole:
        loaded.tokenizer.save_pretrained(str(making))
    rows.contract.save(making)
    save_task(rows.opened.task, making)
    origin.save(making)
    flush(making)
    making.rename(run.tuned_as(whole=recipe.strategy.whole))


def _free_what_trained() -> None:
    """Let go of model, optimizer and trainer, which hold each other: the evaluation loads a base of its own."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _peak_memory_mb() -> int:
    """The most memory that training has taken, in MiB: of a GPU's where there is one.

    Of several processes all that they took of this machine's, or of one GPU's the most.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    own = round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else peak_memory_mb()
    if world_size() == 1:
        return own
    from finetuning.trainers.together import listed

    taken = listed([own])
    return max(taken) if on_gpu else sum(taken)

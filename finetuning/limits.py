"""What a stranger may ask of this machine: limits in numbers, and the one way into the queue that keeps to them.

Knows nothing about who is asking but an opaque `owner`; the page says who that is. A limit is changed by
`name=value` pairs, on the command line or in `BEFORE_AFTER_LIMITS`:

    python app.py --public --limits "rows=5000,run_minutes=30"
"""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from data.sources import Opened
from data.tasks import Task
from data.tasks.task import REJECTED
from finetuning.launchers.launcher import HERE
from finetuning.preferred import preferred
from finetuning.recipe import Recipe, with_overrides
from finetuning.runs import launch
from finetuning.runs.folder import ACTIVE, Run, list_queue, list_runs, runs_folder
from finetuning.runs.jobs import JOB_FILE
from finetuning.runs.locks import locked, writing
from plumbing.errors import RecipeError, RunError

if TYPE_CHECKING:
    from datasets import Dataset

VARIABLE = "BEFORE_AFTER_LIMITS"
ADMISSION = ".admission"
"""Folder beside the runs, locked by whoever lets a stranger into the queue; before any lock of `locks`."""
UPLOADS = "uploads"
"""Folder beside the runs with the uploaded files that they train on, a folder an owner."""
_UPLOAD_WAITS_S = 600.0
"""So long after it was kept, an upload's run may not have been made yet."""
_submitting = threading.Lock()
"""Two clicks at once are still two, and one visitor may have one. A lock of the system stands behind it, which the
threads of a process would wait for no longer than for a process that hangs."""

Positive = Annotated[int, Field(ge=1)]


def _names(value: object) -> object:
    return tuple(part for part in value.split("+") if part) if isinstance(value, str) else value


class Limits(BaseModel):
    """Every limit, with its unit. The defaults suit two CPU cores that everybody shares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: Positive = 2000
    """Rows of a data set, all splits together."""
    row_characters: Positive = 8000
    """Characters of a row's longest text."""
    steps: Positive = 1000
    """Optimizer steps of a run."""
    rank: Positive = 32
    blocks: Positive = 4
    """Blocks of a model that learn as they are, where only the last ones do."""
    whole_mb: Positive = 500
    """Megabytes on the disk of a whole model that a run ends with: where the base's own weights learn."""
    max_tokens: Positive = 1024
    """Tokens of the longest row, prompt and completion together."""
    batch_size: Positive = 32
    """Rows an optimizer step: batch size times gradient accumulation. Where each has several answers, as a pair has
    and one that the model answers itself, those."""
    new_tokens: Positive = 128
    """Tokens of a generated answer in an evaluation."""
    test_rows: Positive = 200
    """Rows of an evaluation."""
    sides: Positive = 4
    """Models of a comparison in the Evaluate tab, the base among them."""
    few_shot: Positive = 8
    """Examples in the prompt of an evaluation."""
    run_minutes: Annotated[float, Field(gt=0)] = 20
    """Minutes of training and evaluation, by the clock on the wall."""
    evaluation_minutes: Annotated[float, Field(gt=0)] = 5
    """Minutes of one evaluation in the Evaluate tab, from when it begins."""
    upload_mb: Positive = 10
    """Megabytes of an uploaded file."""
    uploads_mb: Positive = 500
    """Megabytes of all uploaded files that wait to be used; the oldest go first."""
    runs_mb: Positive = 5000
    """Megabytes of all strangers' runs and the uploads that they train on; the oldest that have ended go first."""
    export_mb: Positive = 1000
    """Megabytes of one file that is taken elsewhere."""
    exports_mb: Positive = 3000
    """Megabytes of such files of the models that ship, for all; the oldest go first. A run's count as the run."""
    export_minutes: Annotated[float, Field(gt=0)] = 10
    """Minutes of one export, its check included, by the clock on the wall."""
    runs_waiting: Positive = 5
    """Runs in the queue, everybody's together, the one that is running included."""
    lab_places: Positive = 12
    """Runs of a lab and passes of what is not trained, which go one by one; a visitor has one lab at a time."""
    labs: Positive = 50
    """Labs of strangers that are kept; of more, the oldest that have ended go first."""
    chat_waiting: Positive = 6
    """Visitors who wait for an answer in the chat: a minute or so on two cores while a run trains. Where an engine
    answers several at once, so many for each of these."""
    pages: Positive = 200
    """Open pages whose state is kept, about 0.6 MB each; of more, the one used longest ago is forgotten."""
    evaluations_waiting: Positive = 3
    """Evaluations in the queue behind the one that is worked on; a visitor has one at a time."""
    message_characters: Positive = 8000
    """Characters of a message in the chat."""
    votes: Positive = 500
    """Votes of a visitor that are kept."""
    vote_characters: Positive = 20_000
    """Characters of what a vote is kept with: what was asked, and both answers."""
    votes_mb: Positive = 50
    """Megabytes of all votes that are kept; none is removed but by who gave it, so beyond it none is added."""
    hub: bool = False
    """Whether data sets are read from the Hub."""
    base_models: Annotated[tuple[str, ...], BeforeValidator(_names)] = (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "sentence-transformers/all-MiniLM-L6-v2",
        "distilbert/distilbert-base-uncased",
    )
    """The only base models; in a list of limits they are joined by `+`. No folder is ever one."""

    def sentence(self) -> str:
        """The limits that matter to who starts a run."""
        return (
            f"This page is shared: a run takes up to {self.rows:,} rows, {self.steps:,} steps and "
            f"{self.run_minutes:g} minutes, rank {self.rank}, and one run a visitor at a time."
        )


def read_limits(written: str | None = None) -> Limits:
    """Limits from `name=value` pairs: those in `$BEFORE_AFTER_LIMITS`, then `written`, which wins.

    The base models of the recipes that the operator prefers may be trained as well.

    Raises:
        RecipeError: no such limit, or a value that cannot be one; or no such recipe is preferred.
    """
    values: dict[str, str] = {}
    for pair in f"{os.environ.get(VARIABLE, '')},{written or ''}".split(","):
        if not pair.strip():
            continue
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in Limits.model_fields:
            close = difflib.get_close_matches(name, Limits.model_fields, n=1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise RecipeError("There is no such limit", got=pair, fix=f"{hint}There are: {_all_names()}.")
        values[name] = value
    try:
        limits = Limits.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise RecipeError(f"The limit {name} is wrong: {first['msg']}", got=first["input"]) from None
    bases = dict.fromkeys((*limits.base_models, *(recipe.model.base for recipe in preferred())))
    return limits.model_copy(update={"base_models": tuple(bases)})


def check_recipe(recipe: Recipe, limits: Limits, *, adapter: str | None = None) -> None:
    """Refuse settings beyond the limits, all of them in one message. Reads no data.

    Args:
        recipe: the settings.
        limits: what is allowed.
        adapter: the one `model.adapter` that the page has found to be this visitor's to go on with.

    Raises:
        RecipeError: with each setting, its value, and what is allowed.
    """
    training, evaluation, sampling = recipe.training, recipe.evaluation, recipe.way.sampling
    rows_a_step = training.batch_size * training.gradient_accumulation
    answers = sampling.answers if sampling else recipe.way.answers_a_row
    several = "way.num_generations" if sampling else "the answers of a row"
    compared = (
        ("strategy.rank", getattr(recipe.strategy, "rank", 0), limits.rank),
        ("training.batch_size", rows_a_step, limits.batch_size),
        (f"training.batch_size times {several}", rows_a_step * answers if answers > 1 else 0, limits.batch_size),
        ("way.max_new_tokens", sampling.new_tokens if sampling else 0, limits.new_tokens),
        ("training.max_tokens", training.max_tokens, limits.max_tokens),
        ("strategy.blocks", getattr(recipe.strategy, "blocks", 0) or 0, limits.blocks),
        ("training.eval_rows", training.eval_rows, limits.test_rows),
        ("data.test_rows", recipe.data.test_rows or 0, limits.test_rows),
        ("evaluation.batch_size", evaluation.batch_size or 0, limits.batch_size * 2),
        ("evaluation.max_new_tokens", evaluation.max_new_tokens, limits.new_tokens),
        ("evaluation.few_shot", recipe.few_shot, limits.few_shot),
    )
    wrong = [f"{name} is {value:,}, at most {most:,}" for name, value, most in compared if value > most]
    if wrong:
        raise RecipeError(f"That is more than this public page allows: {'; '.join(wrong)}", fix=_ELSEWHERE)
    refused = (("model.adapter", recipe.model.adapter, adapter), ("training.report_to", training.report_to, None))
    for name, value, allowed in refused:
        if value not in (None, allowed):
            raise RecipeError(
                f"This public page has no {name}: it reads no folders and tells nobody else",
                got=value[:100],
                fix=_ELSEWHERE,
            )
    if recipe.way.runs:
        raise RecipeError(
            "This public page lets no run read another one, as a reward model is read",
            got=recipe.way.runs[0][:100],
            fix=f"Take rewards that can be checked: rouge, exact, length or format. {_ELSEWHERE}",
        )
    if recipe.where != HERE:
        raise RecipeError(
            "This public page runs one process of this machine and sends nothing elsewhere",
            got=f"where={recipe.where[:100]}",
            fix=f"Leave where out. {_ELSEWHERE}",
        )
    if recipe.model.base not in limits.base_models:
        known = ", ".join(limits.base_models)
        raise RecipeError(
            "This public page trains only base models that it knows",
            got=recipe.model.base[:100],
            fix=f"Use {known}.",
        )
    if recipe.named_here:
        raise RecipeError(
            "This public page opens no files and runs no metrics that are named in a recipe",
            got=recipe.named_here[0][:100],
            fix="Leave it out.",
        )
    _check_whole(recipe, limits)
    for source in (recipe.data.source, recipe.data.test, recipe.evaluation.source):
        if source is not None:
            check_source(source, limits)


def _check_whole(recipe: Recipe, limits: Limits) -> None:
    """Refuse a whole model that is too large to keep; nothing is fetched to find out.

    Raises:
        RecipeError: with its size, what is allowed, and what would do.
    """
    if not recipe.strategy.whole:
        return
    from finetuning.estimates.estimate import parameter_count

    megabytes = parameter_count(recipe).total * 4 / 1e6
    if megabytes > limits.whole_mb:
        raise RecipeError(
            f"With strategy.kind: {recipe.strategy.kind} a whole model is kept, and {recipe.model.base} takes "
            f"{megabytes:,.0f} MB of the disk where this public page allows {limits.whole_mb:,}",
            fix="Choose strategy.kind=lora, whose adapter takes a few, or a smaller base model.",
        )


def check_source(source: str, limits: Limits) -> None:
    """Refuse the Hub where it is not allowed. Whose file a `file:` is, only the page knows."""
    if not source.startswith(("corpus:", "file:")) and not (limits.hub and source.startswith("hub:")):
        raise RecipeError(
            "This public page reads no data from elsewhere", got=source[:100], fix="Upload a file instead."
        )


def check_rows(splits: Mapping[str, Dataset], task: Task, limits: Limits, recipe: Recipe | None = None) -> None:
    """Refuse rows beyond the limits: how many, how long, and, for a recipe, how many steps they make.

    Raises:
        RecipeError: with the number, what is allowed, and the row if it is one.
    """
    count = sum(map(len, splits.values()))
    if count > limits.rows:
        raise RecipeError(
            f"The data has {count:,} rows, and this public page takes {limits.rows:,}",
            fix=f"Upload fewer rows. {_ELSEWHERE}",
        )
    for split in splits.values():
        for row in split:
            longest = max(map(len, (task.text_of(row), *task.references(row), row.get(REJECTED, ""))))
            if longest > limits.row_characters:
                raise RecipeError(
                    f"Row {row['row']} has {longest:,} characters, and this public page takes "
                    f"{limits.row_characters:,}",
                    fix="Shorten it, or leave it out.",
                )
    if recipe is not None and (steps := _steps(recipe, splits["train"], task)) > limits.steps:
        raise RecipeError(
            f"That makes {steps:,} training steps, and this public page allows {limits.steps:,}",
            fix=f"Train on fewer rows or for fewer epochs. {_ELSEWHERE}",
        )


def submit(recipe: Recipe, opened: Opened, limits: Limits, *, owner: str, adapter: str | None = None) -> Run:
    """Queue a stranger's run, after every check again; makes room on the disk first. `adapter`: see `check_recipe`.

    Raises:
        RecipeError: the recipe or its rows are beyond the limits.
        RunError: this owner has a run that is not over, or the queue is full.
    """
    check_recipe(recipe, limits, adapter=adapter)
    check_rows(opened.splits, opened.task, limits, recipe)
    with admitting():
        _check_queue(limits, owner)
        make_room(limits)
        return launch.submit(as_submitted(recipe, limits), owner=owner)


@contextlib.contextmanager
def admitting() -> Iterator[None]:
    """Within it nobody else lets strangers into the queue: no other click, no other process of the page."""
    folder = runs_folder() / ADMISSION
    with _submitting:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            yield


def as_submitted(recipe: Recipe, limits: Limits) -> Recipe:
    """`recipe` with the minutes and the test rows that it may have, where it asks for more or for any number."""
    minutes = min(recipe.training.max_minutes or math.inf, limits.run_minutes)
    test_rows = recipe.data.test_rows or limits.test_rows
    return with_overrides(recipe, {"training.max_minutes": minutes, "data.test_rows": test_rows})


def has_room(limits: Limits, owner: str) -> bool:
    """Whether the queue takes a run of this owner now."""
    try:
        _check_queue(limits, owner)
    except RunError:
        return False
    return True


def resume(run: Run, limits: Limits) -> None:
    """Put a stranger's run back into the queue, if there is room in it."""
    with admitting():
        _check_queue(limits, run.owner)
        launch.resume(run)


def make_room(
    limits: Limits, folder: Path | None = None, *, needed_bytes: int = 0, spare: Path | None = None
) -> int:
    """Remove strangers' runs and jobs, oldest first, until they fit the quota. None that is worked on is removed.

    Their kept uploads count as well. A local run, which has no owner, is neither counted nor removed. What is in
    the trash goes first. A removed run takes its upload with it.

    Args:
        limits: with the quota.
        folder: the runs folder.
        needed_bytes: room for what is to come.
        spare: the whole path of the folder of a run that stays.

    Returns:
        How many bytes too many are left, where what may go does not suffice; else 0.
    """
    folder = folder or runs_folder()
    _forget_uploads(folder)
    thrown_away = [Run(path) for path in sorted((folder / launch.TRASH).glob("*/"))]
    oldest_first = [run for run in (*thrown_away, *reversed(list_queue(folder))) if run.owner]
    sizes = [_bytes(run.folder) for run in oldest_first]
    uploads = sum(_bytes(owner) for owner in (folder / UPLOADS).glob("*/"))
    excess = sum(sizes) + uploads + needed_bytes - limits.runs_mb * 1_000_000
    for run, size in zip(oldest_first, sizes, strict=True):
        if excess <= 0:
            break
        if run.folder.resolve() != spare and (run.folder.parent.name == launch.TRASH or run.state() not in ACTIVE):
            owner = run.owner  # a file in its folder
            shutil.rmtree(run.folder, ignore_errors=True)
            excess -= size + _forget_uploads(folder, owner)
    return max(0, excess)


def keep_upload(path: Path, owner: str) -> Path:
    """A copy of an uploaded file that lasts as long as its owner's runs: `<runs>/uploads/OWNER/NAME`.

    The upload's own place does not last. The name holds a hash of the content, so equal files are kept once.

    Raises:
        RunError: the runs folder cannot be written to, or there is no space left.
    """
    import hashlib
    import re

    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()[:12]
    folder = runs_folder().resolve() / UPLOADS / owner
    copy = folder / f"{digest}-{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)[-100:]}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if copy.exists():
            copy.touch()  # its run is still to come: see `_forget_uploads`
            return copy
        half = folder / f"{copy.name}.half"  # half a copy must not pass for the whole
        try:
            shutil.copyfile(path, half)
            half.rename(copy)
        finally:
            half.unlink(missing_ok=True)
    return copy


def forget_refused(owner: str) -> None:
    """Remove the kept uploads of an owner whose run was refused, but for those that another run of theirs names."""
    _forget_uploads(runs_folder(), owner, waits_s=0.0)


def _forget_uploads(folder: Path, owner: str | None = None, *, waits_s: float = _UPLOAD_WAITS_S) -> int:
    """Remove the kept uploads that no run or job of their owner names any more; returns how many bytes those were.

    Args:
        folder: the runs folder.
        owner: whose uploads; None for everybody's.
        waits_s: so long after it was kept, an upload stays whether a run names it or not.
    """
    written: dict[str, str] = {}
    for run in list_queue(folder):
        with contextlib.suppress(OSError):
            file = run.folder / (JOB_FILE if run.is_job else "recipe.yaml")
            asked = file.read_text(encoding="utf-8", errors="replace")
            written[run.owner] = written.get(run.owner, "") + asked
    freed = 0
    for kept in (folder / UPLOADS).glob("*/*"):
        if owner not in (None, kept.parent.name):
            continue
        with contextlib.suppress(OSError):
            found = kept.stat()
            waits = time.time() - found.st_mtime < waits_s
            if not waits and kept.name not in written.get(kept.parent.name, ""):
                kept.unlink()
                freed += found.st_size
    return freed


def _check_queue(limits: Limits, owner: str) -> None:
    active = [run for run in list_runs() if run.state() in ACTIVE]
    if any(run.owner == owner for run in active):
        raise RunError(
            "You have a run that is not over, and each visitor may have one at a time",
            fix="Wait for it, or cancel it.",
        )
    if len(active) >= limits.runs_waiting:
        raise RunError(
            f"The queue is full: {len(active)} runs are being worked on or waiting",
            fix="Try again in some minutes.",
        )


def _steps(recipe: Recipe, rows: Dataset, task: Task) -> int:
    from finetuning.trainers.arguments import steps

    return steps(recipe, recipe.rows_of_tokens(rows, task))


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


def _all_names() -> str:
    return ", ".join(Limits.model_fields)


_ELSEWHERE = "There are no such limits on a machine of your own."

"""Which rows a tuned model is judged on, and which ones it learned from: decided here for every door.

Rows that were trained on say nothing about what was learned, so they are left out, or counted where someone wants
them. What learns beside it (floors, examples in a prompt) has its own training rows or none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.preferences import NothingBesides
from data.repeats import Repeats
from data.samples import sample
from data.sources import Opened, OpenedTest, corpus_names, open_test, shown_spec
from data.splits import same_text
from data.tasks import Task
from data.tasks.task import LIKED
from data.trained_rows import TrainedRows, hash_rows
from eval.findings import findings_of
from eval.preferences import good_answers
from eval.report.sections import Findings, Selection
from finetuning.preparation import how_read, open_data
from finetuning.recipe import EvaluationSettings, Recipe, parse_recipe, read_yaml, with_overrides
from finetuning.runs.beginning import Beginning
from finetuning.runs.folder import Run, runs_folder
from models.adapters import BaseOrigin
from models.kinds import judged_by
from models.prompting import PromptContract, task_of
from plumbing import doors
from plumbing.errors import DataError, RecipeError, UserError
from plumbing.reading import read_text

if TYPE_CHECKING:
    from datasets import Dataset

CARD_FILE = "README.md"
_MAX_CARD_BYTES = 2**22


@dataclass(frozen=True)
class JudgedRows:
    """The rows of one comparison, and what belongs to them."""

    spec: str
    rows: Dataset
    train: Dataset | None
    """The adapter's own training rows; None where they are not to be had."""
    selection: Selection
    findings: Findings | None
    """None without the training rows."""
    settings: EvaluationSettings
    """The run's own where there is one."""
    strategy: str = ""
    """What people call what was trained; empty where that is not known."""
    made_here: bool = False
    """Whether it is of a run of this machine's own, and not from elsewhere."""


def choose_rows(
    adapter: Path,
    source: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    skip_empty: bool = False,
    rows: int | None = None,
    keep_trained: bool = False,
    check: Callable[[Dataset], None] | None = None,
) -> JudgedRows:
    """The rows to judge `adapter` on.

    Args:
        adapter: the folder of the adapter, or of the whole model.
        source: a data source, of which the test split is taken, or all rows of a file. Left out, what the recipe of
            a run names (`evaluation.source`), else its own test split; for an adapter that is no run's, the bundled
            corpus of its task.
        columns: see `data.sources.open_source`; what they leave open is as in the run.
        labels: the same.
        skip_empty: leave out rows with an empty field, as a run that does so.
        rows: judge a fixed sample of this many.
        keep_trained: judge rows that were trained on, too.
        check: told the rows before any is left out for having been trained on; may refuse them.

    Raises:
        DataError: the source cannot be used, or no row is left.
    """
    task = task_of(adapter, PromptContract.load(adapter))
    training = Training.of(adapter, task)
    of_run = training.recipe.data if training.recipe and training.in_a_run else None
    usual, known = (of_run.columns or {}, of_run.labels or {}) if of_run else ({}, {})
    labels = {**known, **(labels or {})}
    if source is None and training.recipe is not None and training.in_a_run:
        source = training.recipe.evaluation.source
        rows = rows if source is None else rows or training.recipe.data.test_rows
    if source is None and training.recipe is not None and (training.in_a_run or training.on_a_corpus):
        own: dict[str, Any] = {"data.columns": {**usual, **(columns or {})} or None, "data.labels": labels or None}
        own["data.skip_empty"] = skip_empty or training.recipe.data.skip_empty
        opened = open_data(with_overrides(training.recipe, own | {"data.test_rows": None}))
        if check is not None:
            check(opened.splits["test"])
        return _of_run(opened, training, rows=rows, keep_trained=keep_trained)
    needed = judged_by(BaseOrigin.load(adapter).kind)
    spec = source or _corpus(task, needed)
    if not spec:
        raise DataError("It is not known what to judge this model on", fix=f"Give rows: {doors.own_file()}.")
    skip_empty = skip_empty or bool(of_run and of_run.skip_empty)
    trained_on, notes = training.opened(None)  # first: its guesses hold for the rows that are judged

    def read(besides: Sequence[str]) -> OpenedTest:
        return open_test(
            spec,
            task,
            columns=columns,
            labels=labels,
            usual_columns=usual,
            skip_empty=skip_empty,
            trained_on=trained_on,
            besides=besides,
        )

    way = training.recipe.way if training.recipe else None
    try:
        found = read(needed or (way.besides if way else ()))
    except NothingBesides as missing:
        if needed or way is None or not way.writes:
            raise
        found = read(())  # what it writes can be judged all the same
        notes.append(f"{missing.problem}, so it is not measured which answers are preferred.")
    if check is not None:
        check(found.rows)
    train = trained_on.splits["train"] if trained_on else None
    return _judge(
        found.spec,
        found.rows,
        task,
        found.repeats,
        training,
        train,
        [*found.notes, *how_read(found), *notes],
        rows=rows,
        keep_trained=keep_trained,
    )


def _corpus(task: Task, besides: Sequence[str]) -> str:
    """The bundled corpus of the task; where more columns are needed, one that has them; empty where none is."""
    if not besides:
        return task.corpus
    return next((f"corpus:{name}" for name in corpus_names(task, besides)), "")


def rows_of_run(adapter: Path, opened: Opened, findings: Findings) -> JudgedRows:
    """The rows that a run judges its adapter on at its end: `opened`, of which it was just trained."""
    return _of_run(opened, Training.of(adapter, opened.task), findings=findings)


# ---- what an adapter was trained on ------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """What is known of how an adapter was trained."""

    recipe: Recipe | None = None
    in_a_run: bool = False
    made_here: bool = False
    keys: TrainedRows | None = None
    train_sha256: str | None = None

    @classmethod
    def of(cls, adapter: Path, task: Task) -> Training:
        """What the run that `adapter` lies in says; of one that lies elsewhere, the recipe in its card."""
        run = Run(adapter.resolve().parent)
        if adapter.resolve() == run.tuned and (run.folder / "recipe.yaml").is_file():
            beginning = Beginning.load(run)
            sha256 = beginning.train_sha256 if beginning else None
            here = run.folder.parent == runs_folder().resolve()
            return cls(run.recipe(), True, here, TrainedRows.load(run.folder), sha256)
        recipe = _recipe_in_card(adapter)
        return cls(recipe if recipe and recipe.task_definition.name == task.name else None)

    @property
    def on_a_corpus(self) -> bool:
        """Whether the training rows are all those of a bundled corpus, which are here and do not change.

        A sample of them may have been drawn in another way by an earlier version.
        """
        if self.recipe is None:
            return False
        data = self.recipe.data
        return data.source.startswith("corpus:") and data.test is None and data.train_rows is None

    def opened(self, opened: Opened | None) -> tuple[Opened | None, list[str]]:
        """The data with the training rows, and why they are not to be had, in a sentence.

        `opened` is the run's data if it is at hand.
        """
        why = ""
        if self.recipe is None or not (self.in_a_run or self.on_a_corpus):
            why = "it is not known what the adapter was trained on"
        elif self.train_sha256 is None and not self.on_a_corpus:
            why = "the run has kept no record of them"
        else:
            try:
                opened = opened or open_data(self.recipe)
                train = opened.splits["train"]
                if self.train_sha256 in (None, hash_rows(train, opened.task)):
                    return opened, []
                why = "the data reads otherwise than when the run began"
            except UserError as error:
                why = f"the data cannot be opened now: {error.problem[0].lower()}{error.problem[1:]}"
        return None, [f"The training rows are not here ({why}), so whatever learns from them is left out."]

    def finds(self, train: Dataset | None, task: Task) -> Callable[[str], bool] | None:
        """Whether a text was trained on; None where nobody knows."""
        if self.keys is not None:
            return self.keys.__contains__
        if train is not None:
            known = {same_text(task.text_of(row)) for row in train}
            return lambda text: same_text(text) in known
        return None


def _recipe_in_card(adapter: Path) -> Recipe | None:
    """The recipe that `model_card` wrote into an adapter's card."""
    try:
        card = read_text(adapter / CARD_FILE, limit=_MAX_CARD_BYTES)
        recipe = card.rpartition("## The recipe\n\n```yaml\n")[2].partition("```")[0]
        return parse_recipe(read_yaml(recipe))
    except (OSError, ValueError, RecipeError):
        return None


# ---- the choice --------------------------------------------------------------------------------------------


def _of_run(
    opened: Opened,
    training: Training,
    *,
    rows: int | None = None,
    keep_trained: bool = False,
    findings: Findings | None = None,
) -> JudgedRows:
    assert training.recipe is not None
    at_hand, notes = training.opened(opened)
    return _judge(
        opened.spec,
        opened.splits["test"],
        opened.task,
        opened.repeats,
        training,
        at_hand.splits["train"] if at_hand else None,
        [*opened.notes, *how_read(opened), *notes],
        validation=opened.splits["validation"],
        rows=rows or training.recipe.data.test_rows,
        keep_trained=keep_trained,
        findings=findings,
    )


def _judge(
    spec: str,
    test: Dataset,
    task: Task,
    repeats: Repeats,
    training: Training,
    train: Dataset | None,
    notes: list[str],
    *,
    validation: Dataset | None = None,
    rows: int | None,
    keep_trained: bool,
    findings: Findings | None = None,
) -> JudgedRows:
    finds = training.finds(train, task)
    seen = {place for place, row in enumerate(test) if finds(task.text_of(row))} if finds else set()
    if seen and not keep_trained:
        if len(seen) == len(test):
            kept = ", or add --keep-trained-rows" if doors.current() == "command" else ""
            raise DataError(
                "Every row was trained on, so none can show what was learned",
                got=f"{len(test):,} rows of {shown_spec(spec)}",
                fix=f"Give rows that it was not trained on{kept}.",
            )
        test = test.select([place for place in range(len(test)) if place not in seen])
    judged = sample(test, rows, task)
    eligible = repeats.given - repeats.repeated - repeats.contradictory - (0 if keep_trained else len(seen))
    if LIKED in test.column_names:
        eligible = len(good_answers(test, task))
        notes = [*notes, f"What is written is compared with the good answers to {eligible:,} texts."]
    if findings is None and train is not None:
        others = train.select([]) if validation is None else validation
        findings = findings_of({"train": train, "validation": others, "test": judged}, task)
    selection = Selection(
        given=repeats.given,
        repeated=repeats.repeated,
        merged=bool(repeats.repeated) and task.kind == "generation" and LIKED not in test.column_names,
        contradictory=repeats.contradictory,
        trained_on=len(seen) if finds else None,
        trained_kept=bool(seen) and keep_trained,
        known_by=("run" if training.keys else "recipe") if finds else None,
        eligible=eligible,
        notes=notes,
    )
    recipe = training.recipe
    return JudgedRows(
        spec,
        judged,
        train,
        selection,
        findings,
        recipe.evaluation if recipe else EvaluationSettings(),
        recipe.strategy_title if recipe else "",
        training.made_here,
    )

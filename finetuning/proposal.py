"""A file → what it is, what can be learned from it, and the recipe that does: proposed with its reasons.

Reads the file once and opens no model; nothing heavy is imported, so that an answer takes about a second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.forms import Form
from data.origins import Choices, file_source
from data.proposed_task import ProposedTask, propose_task
from data.readers.files import is_readable, names_a_file, read_splits
from data.readers.folders import is_folder, read_folder
from data.readers.table import Table
from data.sources import Divided, absolute_spec, divide, shown_spec
from data.specs import path_of
from data.splits import SPLIT_NAMES
from data.tasks import Task
from data.tasks.own import USUAL, OwnTask
from data.tasks.task import REJECTED, Kind
from finetuning.recipe import Recipe, load_recipe, recipe_names, with_overrides, with_settings
from finetuning.ways import WAYS
from plumbing import doors
from plumbing.errors import DataError, UserError
from plumbing.printable import one_line, printable

MAX_TOKENS = 2_048
PROMPT_TOKENS = 64
BYTES_A_TOKEN = 3
"""Roughly, and rather too few: a row that is longer than it was thought is refused."""
MAX_NEW_TOKENS = 512
ENOUGH_STEPS = 50
"""Fewer teach next to nothing: few rows are gone through more often."""
MOST_EPOCHS = 10.0
USUAL_STEP = 16
"""Rows: a recipe with more a step has fewer steps, and learns as much in them."""
_AT_THE_COMMAND_LINE = (
    "Say which column is read and which is learned: add --set task.kind=classification, and --set "
    "data.columns.text=… --set data.columns.label=… with their names; or generation, with input and output."
)
_ON_THE_PAGE = "Say what it learns, and which column is read and which is learned: choose these by hand."
SHOWN_LABELS = 12


@dataclass(frozen=True)
class Proposal:
    """What a file is, and what to train on it."""

    spec: str
    form: Form
    rows: int
    task: Task
    why: str
    """Why this task, in a sentence."""
    recipe: Recipe
    base: str
    """The recipe that it is made from."""
    divided: Divided | None = None
    findings: tuple[str, ...] = field(default_factory=tuple)
    """What is odd about the rows."""
    error: UserError | None = None
    """Why it cannot be trained on as it is."""

    def sentences(self) -> list[str]:
        """What there is to say, a paragraph each."""
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        called = one_line(shown_spec(self.spec).removeprefix("file:"))
        said = [f"{called}: {rows}. {self.form.said}", self.why]
        if self.divided is not None:
            said += [*self._labels(), f"How it is read: {self.divided.mapping.reason}", *self._splits()]
            said += [*self.divided.notes, *self.findings]
        if self.error is None:
            said += [self._recipe(), *self._ways()]
        return [printable(sentence) for sentence in said]

    def _labels(self) -> list[str]:
        divided = self.divided
        if divided is None or not divided.task.is_classification:
            return []
        target = divided.task.target_column
        counts = Counter(row[target] for name in SPLIT_NAMES for row in divided.splits[name])
        shown = [f"{one_line(label)} {counts[label]:,}" for label in divided.task.labels[:SHOWN_LABELS]]
        more = len(divided.task.labels) - SHOWN_LABELS
        return [f"Labels: {', '.join([*shown, *([f'and {more:,} more'] if more > 0 else [])])}."]

    def _splits(self) -> list[str]:
        divided = self.divided
        assert divided is not None
        what = "passages" if divided.task.kind == "text" else "rows"
        train, validation, test = (f"{len(divided.splits[name]):,}" for name in SPLIT_NAMES)
        sizes = f"{train} {what} to train on, {validation} to validate, {test} to test"
        return [] if any(sizes in note for note in divided.notes) else [f"Splits: {sizes}."]

    def _ways(self) -> list[str]:
        """In which ways such rows can be learned, where there are several."""
        taken = self.recipe.way.kind
        others = [way for way in ways_for(self.form, self.task) if way != taken]
        if not others:
            return []
        others += ["sft, from the good answers alone"] if taken != "sft" else []
        how = f": {doors.change('way', doors.OPEN)}" if doors.current() == "command" else ""
        return [f"Way: {taken}. Such rows can be learned by {', '.join(others[:-1])} or {others[-1]}, too{how}."]

    def _recipe(self) -> str:
        shipped = isinstance(self.recipe.task, str)
        how = "as it ships, on these rows" if shipped else "its model and settings, with a task of your own"
        return (
            f"Recipe: {self.base}, {how}: {self.recipe.strategy_title} on {self.recipe.model.base}, "
            f"{self.recipe.training.epochs:g} epochs."
        )


def is_own_file(name: str) -> bool:
    """Returns whether what stands where a recipe's name may stand is a file or a folder of rows."""
    if name in recipe_names() or Path(name).suffix.casefold() in (".yaml", ".yml"):
        return False
    return name.startswith("file:") or names_a_file(name)


def propose(name: str, *, test: str | None = None, settings: Sequence[str] = ()) -> Proposal:
    """Returns what can be learned from the file, or folder, that is called `name`.

    `test` is another source for the test split, `settings` are changes to the recipe as for `train`.

    Raises:
        DataError: the file cannot be read, or it is not clear what could be learned. What is wrong with its rows
            is in `Proposal.error`.
        RecipeError: a setting is wrong.
    """
    path = path_of(name.removeprefix("file:"))
    if not is_folder(path) and not is_readable(path) and not path.suffix and not path.exists():
        raise DataError(
            "There is no such file, and no such recipe", got=name, fix=f"Paths are relative to {Path.cwd()}."
        )
    chosen = _chosen_columns(settings)
    read = read_folder if is_folder(path) else read_splits
    tables = read(path, header_names=tuple(chosen.values()), raw=None)
    fix = _ON_THE_PAGE if doors.current() == "page" else _AT_THE_COMMAND_LINE
    found = propose_task(tables, chosen=chosen, kind=_chosen_kind(settings), fix=fix).named(path)
    form, own, task = found.form, found.own, found.task
    count = sum(len(each.rows) + len(each.problems) for each in tables.values())
    way = chosen_way(settings) or next(iter(ways_for(form, task)), "")
    base = (WAYS[way].recipe if way else "") or task.recipe or USUAL[task.kind].recipe
    spec = f"file:{path.absolute()}"
    recipe = with_settings(_recipe(base, own, spec, test, task), settings)
    choices = Choices(
        recipe.task_definition,
        dict(recipe.data.columns or {}),
        dict(recipe.data.labels or {}),
        skip_empty=recipe.data.skip_empty,
        besides=recipe.way.besides,
    )
    proposal = Proposal(spec, form, count, recipe.task_definition, _why(found), recipe, base)
    opened = _opened(proposal, tables, choices, recipe.data.test)
    return opened if opened.divided is None else _with_lengths(opened, settings)


def _opened(proposal: Proposal, tables: Mapping[str, Table], choices: Choices, test: str | None) -> Proposal:
    """The proposal with its rows, or with what is wrong with them."""
    from data.hygiene import inspect

    name = Path(proposal.spec.removeprefix("file:")).name
    try:
        divided = divide(proposal.spec, file_source(tables, name, choices), choices, test=test)
    except DataError as error:
        return replace(proposal, error=error)
    findings = inspect(divided.by_column(), divided.task).sentences()
    return replace(proposal, divided=divided, task=divided.task, findings=tuple(findings))


def _why(found: ProposedTask) -> str:
    """The reason, and what else 0 and 1 may mean."""
    if found.polar is None:
        return found.why
    labels = found.polar.labels
    how = "say so below" if doors.current() == "page" else f"train {found.polar.recipe} with --data instead"
    return f"{found.why} If 0 means {labels[0]} and 1 {labels[1]}, {how}."


def ways_for(form: Form, task: Task) -> list[str]:
    """Returns the ways that learn from what rows of `form` have beside a task's columns, the usual one first."""
    needing = (name for name, way in WAYS.items() if way.besides and set(way.besides) <= set(form.gives))
    return [name for name in needing if WAYS[name].model_validate({"kind": name}).refused(task) is None]


# ---- which recipe --------------------------------------------------------------------------------------------


def _recipe(base: str, task: str | OwnTask, spec: str, test: str | None, definition: Task) -> Recipe:
    recipe = load_recipe(base)
    changes: dict[str, Any] = {"data.source": spec, "data.test": test and absolute_spec(test)}
    if not isinstance(task, str):
        title = f"{definition.title} · {recipe.way.title or recipe.strategy_title}"
        changes |= {"task": task.model_dump(exclude_none=True), "name": f"own-{task.name}"[:64], "title": title}
    return with_overrides(recipe, changes)


def _with_lengths(proposal: Proposal, settings: Sequence[str]) -> Proposal:
    """The proposal with room for its longest row and for its answers, unless somebody has said how much."""
    recipe, divided = proposal.recipe, proposal.divided
    assert divided is not None
    task = divided.task
    given = {setting.partition("=")[0] for setting in settings}
    changes: dict[str, Any] = {}
    longest, answers = 0, []
    for rows in divided.splits.values():
        for row in rows:
            references = task.references(row)
            answered = [*references, *([row[REJECTED]] if REJECTED in row else [])]
            longest = max(longest, _bytes(task.text_of(row)) + max(map(_bytes, answered), default=0))
            answers += [len(text.split()) for text in references[:1]]
    needed = PROMPT_TOKENS + _bytes(task.instruction) // BYTES_A_TOKEN + longest // BYTES_A_TOKEN
    refuses = not recipe.way.shares_rows  # else long rows are cut
    if "training.max_tokens" not in given and needed > recipe.training.max_tokens and refuses:
        changes["training.max_tokens"] = min(MAX_TOKENS, -(-needed // 128) * 128)
    train_rows = recipe.rows_of_tokens(divided.splits["train"], task)
    if "training.epochs" not in given and enough_epochs(recipe, train_rows) > recipe.training.epochs:
        changes["training.epochs"] = enough_epochs(recipe, train_rows)
    words = sorted(answers)[round(0.95 * (len(answers) - 1))] if answers and not task.is_classification else 0
    if "evaluation.max_new_tokens" not in given and 2 * words > recipe.evaluation.max_new_tokens:
        changes["evaluation.max_new_tokens"] = min(MAX_NEW_TOKENS, -(-2 * words // 16) * 16)
    return replace(proposal, recipe=with_overrides(recipe, changes)) if changes else proposal


def enough_epochs(recipe: Recipe, rows: int, steps: int = ENOUGH_STEPS) -> float:
    """Returns how often so many training rows are gone through for so many steps, to half an epoch; at most 10."""
    a_step = min(USUAL_STEP, recipe.training.batch_size * recipe.training.gradient_accumulation)
    return min(MOST_EPOCHS, math.ceil(2 * steps * a_step / max(1, rows)) / 2)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _chosen_columns(settings: Sequence[str]) -> dict[str, str]:
    """The columns that are chosen in settings as they are written."""
    chosen = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key.startswith("data.columns."):
            chosen[key.removeprefix("data.columns.")] = value
    return chosen


def chosen_way(settings: Sequence[str]) -> str | None:
    """Returns the way that is chosen in settings as they are written; None where none is."""
    written = (setting.partition("=") for setting in settings)
    return next((value for key, _, value in written if key in ("way", "way.kind") and value in WAYS), None)


def _chosen_kind(settings: Sequence[str]) -> Kind | None:
    value = next((setting.partition("=")[2] for setting in settings if setting.startswith("task.kind=")), None)
    return next((kind for kind in USUAL if kind == value), None)

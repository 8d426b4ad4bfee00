"""A file → what it is, what can be learned from it, and the recipe that does: proposed with its reasons.

Reads the file once and opens no model; nothing heavy is imported, so that an answer takes about a second.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.columns import ColumnMapping, guess, plain_name
from data.formats import shaped
from data.forms import Form, form_of
from data.labels import values_of
from data.labelwords import is_opinion
from data.origins import Choices, file_source
from data.readers.files import is_readable, names_a_file, read_splits
from data.readers.folders import is_folder, read_folder
from data.readers.table import Table
from data.sources import Divided, absolute_spec, divide, shown_spec
from data.specs import path_of
from data.splits import SPLIT_NAMES
from data.tasks import TASKS, Task
from data.tasks.own import USUAL, OwnTask
from data.tasks.task import REJECTED, Kind
from finetuning.recipe import Recipe, load_recipe, recipe_names, with_overrides, with_settings
from finetuning.ways import WAYS
from plumbing import doors
from plumbing.errors import DataError, UserError
from plumbing.printable import one_line, printable

LABEL_NAMES = frozenset(
    {"label", "labels", "class", "category", "intent", "emotion", "coarse_label", "fine_label", "target_label"}
)
"""Names that only a label has."""
LONG_ANSWER_WORDS = 4
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
    table = tables["train"]
    form = form_of(table)
    found, why = _task_of(tables, form, chosen, _chosen_kind(settings))
    task = TASKS[found] if isinstance(found, str) else _named(found, path).definition()
    count = sum(len(each.rows) + len(each.problems) for each in tables.values())
    way = chosen_way(settings) or next(iter(ways_for(form, task)), "")
    base = (WAYS[way].recipe if way else "") or task.recipe or USUAL[task.kind].recipe
    spec = f"file:{path.absolute()}"
    own = found if isinstance(found, str) else _named(found, path)
    recipe = with_settings(_recipe(base, own, spec, test, task), settings)
    choices = Choices(
        recipe.task_definition,
        dict(recipe.data.columns or {}),
        dict(recipe.data.labels or {}),
        skip_empty=recipe.data.skip_empty,
        besides=recipe.way.besides,
    )
    proposal = Proposal(spec, form, count, recipe.task_definition, why, recipe, base)
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


# ---- which task ----------------------------------------------------------------------------------------------


def _task_of(
    tables: Mapping[str, Table], form: Form, chosen: Mapping[str, str], kind: Kind | None
) -> tuple[str | OwnTask, str]:
    """The task that suits, and why, in a sentence."""
    if kind is not None:
        return _own(kind, form, tables["train"]), f"It is read as {kind}, as was asked."
    if form.kind == "text":
        return OwnTask(kind="text"), "Raw text: what can be learned is to expect what comes next."
    if form.kind == "chat":
        return OwnTask(kind="chat"), "Chats: what can be learned is to answer as the assistant in them does."
    if form.kind == "generation":
        if form.name in ("several references", "pairs") and (shipped := _of_shipped(tables)):
            return shipped
        labelled = _labelled(tables, chosen)
        if labelled and form.name in ("Alpaca", "prompt and completion"):
            return labelled
        own = _own("generation", form, tables["train"])
        return own, "What is to be answered is text: what can be learned is to write it."
    return _of_table(tables, chosen)


def _of_table(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> tuple[str | OwnTask, str]:
    """The task for columns that have no form: labels, if a few short values repeat, else texts."""
    table = tables["train"]
    labelled, written = _labelled(tables, chosen), _written(tables, chosen)
    if shipped := _of_shipped(tables):
        return shipped
    by_name = {plain_name(column) for column in table.columns} & LABEL_NAMES
    if labelled and (by_name or written is None or not _is_long(table, written)):
        return labelled
    if written is not None:
        why = f"'{one_line(written.target)}' holds texts: what can be learned is to write them."
        return OwnTask(kind="generation"), why
    if labelled:
        return labelled
    raise DataError(
        "It is not clear what could be learned from this file",
        got=list(table.columns),
        fix=_ON_THE_PAGE if doors.current() == "page" else _AT_THE_COMMAND_LINE,
    )


def _of_shipped(tables: Mapping[str, Table]) -> tuple[str, str] | None:
    """A task that ships and writes texts, if the columns are its own.

    Only one that is called after what it reads: a question and an answer may be anybody's.
    """
    for name, task in TASKS.items():
        if task.kind == "generation" and task.name == task.input_column:
            table = shaped({"train": tables["train"]}, task)["train"]
            if set(task.source_columns) <= {plain_name(column) for column in table.columns}:
                return name, f"Its columns are those of the task '{name}', which ships: {task.learns}"
    return None


def _labelled(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> tuple[str | OwnTask, str] | None:
    """A classification, if a column reads as labels: one that ships where they say good and bad."""
    usual = USUAL["classification"]
    found = _mapping(tables, usual, chosen)
    if found is None:
        return _of_polarity(tables, chosen)
    mapping, table = found
    if shipped := _of_polarity(tables, chosen):
        return shipped
    observed = set(values_of(mapping.target, [row for _, row in table.rows]))
    count = len(mapping.label_names)
    why = f"'{one_line(mapping.target)}' has {count} values that repeat: what can be learned is to say which."
    polar = next((task for task in TASKS.values() if task.polarity), None)
    if polar is not None and observed <= {"0", "1"}:
        why += f" If 0 means {polar.labels[0]} and 1 {polar.labels[1]}, "
        why += "say so below." if doors.current() == "page" else f"train {polar.recipe} with --data instead."
    return OwnTask(kind="classification"), why


def _of_polarity(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> tuple[str, str] | None:
    for name, task in TASKS.items():
        if not task.polarity or (found := _mapping(tables, task, chosen)) is None:
            continue
        mapping, table = found
        if _is_opinion(mapping, table, task):
            return name, f"'{one_line(mapping.target)}' says what is good and what is bad: the task '{name}' ships."
    return None


def _is_opinion(mapping: ColumnMapping, table: Table, task: Task) -> bool:
    """Whether the labels say good and bad, by themselves or by the name of their column."""
    names = {task.name, *task.target_names} - (set(USUAL["classification"].target_names) - {task.name})
    observed = values_of(mapping.target, [row for _, row in table.rows])
    return is_opinion(observed.keys(), by_name=plain_name(mapping.target) in names)


def _written(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> ColumnMapping | None:
    """Where texts to be written are, if there are any."""
    found = _mapping(tables, USUAL["generation"], chosen)
    return found[0] if found else None


def _is_long(table: Table, mapping: ColumnMapping) -> bool:
    texts = [text for _, row in table.rows if isinstance(text := row.get(mapping.target), str)]
    return bool(texts) and sum(len(text.split()) for text in texts) >= LONG_ANSWER_WORDS * len(texts)


def _mapping(
    tables: Mapping[str, Table], task: Task, chosen: Mapping[str, str]
) -> tuple[ColumnMapping, Table] | None:
    """Where the columns of `task` are, and in which table; None where that is not clear."""
    columns = {name: column for name, column in chosen.items() if name in task.source_columns}
    try:
        table = shaped({"train": tables["train"]}, task)["train"]
        rows = [row for _, row in table.rows]
        return guess(table.columns, rows, task, columns=columns, classes=table.classes), table
    except DataError:
        return None


def _own(kind: Kind, form: Form, table: Table) -> OwnTask:
    """A task of this kind; of questions about passages with both as its input."""
    names = {plain_name(column): column for column in table.columns}
    passage = names.get("context", names.get("passage"))
    if kind == "generation" and form.name == "question and passage" and passage:
        target = names.get("answers", names.get("answer"))
        return OwnTask(kind=kind, inputs=[passage, names["question"]], target=target, noun="questions")
    return OwnTask(kind=kind)


def _named(task: OwnTask, path: Path) -> OwnTask:
    """The task, called after its file."""
    return task.model_copy(update={"name": own_name(path)})


def own_name(path: Path) -> str:
    """Returns what a task of somebody's own is called whose rows are in `path`."""
    name = path.name
    while (suffix := Path(name).suffix) and len(suffix) <= 8:
        name = name.removesuffix(suffix)
    slug = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:48].strip("-")
    return slug if len(slug) > 1 else "own"


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

"""Which texts a side was trained on, as far as anybody says: the run's own record, a recipe, or a file.

A run keeps keys of the texts (`data.trained_rows`); a recipe that names all training rows of a bundled corpus says
as much; else a person gives the file. Where nobody says it is not known, which is reported as that and never as
none. Knows files and texts; opens no side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from data.origins import Choices, read_tables
from data.sources import open_source, shown_spec
from data.specs import path_of
from data.splits import same_text
from data.tasks import Task
from data.trained_rows import KEYS_FILE, TrainedRows
from data.validate import Row, check
from eval.sides.side import Asked
from plumbing.errors import DataError, UserError
from plumbing.reading import read_text

_RECIPE_FILE = "recipe.yaml"
_CARD_FILE = "README.md"
_IN_CARD = "## The recipe\n\n```yaml\n"
_MAX_BYTES = 2**22


@dataclass(frozen=True)
class Learned:
    """What a side was trained on."""

    known_by: Literal["run", "recipe", "file"]
    finds: Callable[[str], bool]
    """Whether a text is among it."""
    rows: list[Row] = field(default_factory=list)
    """The rows, where there is a file of them, and those of its rows whose label is one of the task's."""
    notes: tuple[str, ...] = ()


def learned_by(asked: Asked, chosen: Choices) -> Learned | None:
    """What is known of the side that somebody named so; None where nobody says.

    Args:
        asked: the side; a path of a run's folder or of what was tuned in it has the run's record.
        chosen: how the rows that are judged are read; those of `--trained-on` are read alike.

    Raises:
        DataError: the file that was given cannot be read.
    """
    folder = path_of(asked.text)
    known = _of_run(folder) or _of_recipe(folder, chosen.task)
    if asked.trained_on is None:
        return known
    given = _of_file(asked.trained_on, chosen)
    if known is None:
        return given
    finds, also = known.finds, given.finds
    return replace(given, known_by=known.known_by, finds=lambda text: finds(text) or also(text))


def _of_run(folder: Path) -> Learned | None:
    for place in (folder, folder.parent if folder.name in ("adapter", "model") else None):
        if place is not None and (place / KEYS_FILE).is_file() and (keys := TrainedRows.load(place)) is not None:
            return Learned("run", keys.__contains__)
    return None


def _of_recipe(folder: Path, task: Task) -> Learned | None:
    """All training rows of a bundled corpus, if a recipe beside the model, or in its card, names these."""
    data = _data_of(folder, task)
    source = str(data.get("source", ""))
    # A sample of them may have been drawn in another way by an earlier version.
    if not source.startswith("corpus:") or data.get("test") is not None or data.get("train_rows") is not None:
        return None
    try:
        opened = open_source(source, task)
    except UserError:
        return None
    known = {same_text(opened.task.text_of(row)) for row in opened.splits["train"]}
    return Learned("recipe", lambda text: same_text(text) in known)


def _data_of(folder: Path, task: Task) -> dict[str, Any]:
    """The block `data` of the recipe of such a task; empty where there is none, or none that can be read."""
    for path in (folder / _RECIPE_FILE, folder.parent / _RECIPE_FILE, folder / _CARD_FILE):
        if path.parent != folder and folder.name not in ("adapter", "model"):
            continue
        try:
            written = read_text(path, limit=_MAX_BYTES)
            if path.name == _CARD_FILE:
                written = written.rpartition(_IN_CARD)[2].partition("```")[0] if _IN_CARD in written else ""
            recipe = yaml.safe_load(written)
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            continue
        if not isinstance(recipe, dict) or not isinstance(recipe.get("data"), dict):
            continue
        named = recipe.get("task")
        if (named.get("name", "own") if isinstance(named, dict) else named) == task.name:
            return dict(recipe["data"])
    return {}


def _of_file(spec: str, chosen: Choices) -> Learned:
    """The rows of a file, whatever their labels: what counts are the texts."""
    task = chosen.task
    texts, given = [], 0
    if spec.startswith("corpus:"):
        rows = list(open_source(spec, task).splits["train"])
        texts = list(map(task.text_of, rows))
        given = len(texts)
    else:
        if spec.startswith("hub:"):
            raise DataError("Rows that were trained on are read from a file", got=spec, fix="Download it first.")
        path = path_of(spec.removeprefix("file:"))
        if not path.exists():
            raise DataError("There is no such file", got=spec, fix=f"Paths are relative to {Path.cwd()}.")
        tables = chosen.shaped(read_tables(path, chosen))
        mapping = chosen.mapping(tables["train"])
        rows = []
        for table in tables.values():
            given += len(table.rows) + len(table.problems)
            rows += check(table.rows, task, mapping, trained_on=False).rows
            read = check(table.rows, task, replace(mapping, labels=None), trained_on=False).rows
            texts += map(task.text_of, read)
    if not texts:
        raise DataError("No row of it can be read", got=spec, fix="Give the rows that the side was trained on.")
    notes: tuple[str, ...] = ()
    if unread := given - len(texts):
        those = "1 row" if unread == 1 else f"{unread:,} rows"
        notes = (f"{those} of {shown_spec(spec)} cannot be read: whether they are test rows, too, is not known.",)
    known = set(map(same_text, texts))
    return Learned("file", lambda text: same_text(text) in known, rows, notes)

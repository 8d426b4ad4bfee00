"""What a source is called: corpus:NAME, file:PATH, hub:OWNER/NAME, or the path of a file. Opens none of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from data.readers.files import SUFFIXES, names_a_file
from data.tasks import TASKS, Task
from data.tasks.task import BESIDES, REJECTED, WHY

CORPORA = Path(__file__).parent / "corpora"
METADATA = ("topic", "style", WHY)
"""What a corpus' rows carry beside the task's columns."""
FORMS = "corpus:NAME, file:PATH or hub:OWNER/NAME, or the path of a file that ends in " + ", ".join(SUFFIXES)


_KEPT = re.compile(r"^[0-9a-f]{12}-(?=.)")


def absolute_spec(spec: str) -> str:
    """Returns `spec` so that it names the same rows from any folder: a file by its whole path."""
    kind, _, rest = spec.partition(":")
    if kind in ("corpus", "hub") or (kind != "file" and not names_a_file(spec)):
        return spec
    return f"file:{path_of(rest if kind == 'file' else spec).absolute()}"


def shown_spec(spec: str) -> str:
    """Returns the source `spec` as a report names it: only the name of a file, not its folder, there or not."""
    kind, _, rest = spec.partition(":")
    if kind in ("corpus", "hub"):
        return spec
    if kind == "file" or names_a_file(spec) or "/" in spec:
        path = rest if kind == "file" else spec
        return f"file:{Path(path).name or path}"
    return spec


def named_spec(spec: str) -> str:
    """Returns what a person calls the source `spec`: `reviews`, `rows.csv`, `owner/name`.

    A page keeps an upload under its name after a hash of its content, of which nobody wants to know.
    """
    kind, _, name = shown_spec(spec).partition(":")
    return _KEPT.sub("", name) if kind == "file" else name or kind


def path_of(written: str) -> Path:
    """Returns the path that somebody wrote, `~` and all."""
    try:
        return Path(written).expanduser()
    except RuntimeError:  # `~somebody` whom this machine does not know
        return Path(written)


def corpus_names(task: Task | None = None, besides: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the names of the bundled corpora that `task` can use, or that any task can.

    With `besides`, see `data.sources.open_source`, those of pairs, which give each of these columns.
    """
    names = sorted(path.stem for path in CORPORA.glob("*.jsonl"))
    if task is not None:
        return tuple(name for name in names if _is_for(name, task, besides))
    asked = [(one, more) for one in TASKS.values() for more in ((), BESIDES)]
    return tuple(name for name in names if any(_is_for(name, one, more) for one, more in asked))


def _is_for(name: str, task: Task, besides: Sequence[str]) -> bool:
    """Whether a corpus is a task's own, or has the columns of one that has none; with `besides`, pairs of it."""
    columns = _corpus_columns(name)
    if besides:
        return {*task.input_columns, REJECTED} <= columns
    needed = (task.input_column,) if task.kind == "chat" else task.source_columns
    return f"corpus:{name}" == task.corpus if task.corpus else set(needed) <= columns


def _corpus_columns(name: str) -> set[str]:
    with (CORPORA / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return set(json.loads(next(lines)))

"""Which tuned models there are: those that ship, then the finished runs, newest first.

A choice has a key (`bundled:NAME`, `run:ID`) that forms carry around; `find` gives the choice of a key that the
visitor may use, and any other is refused, so no form can name a folder.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from data.tasks import STARTING_POINTS, Task
from finetuning.recipe import load_recipe, recipe_names
from finetuning.runs.folder import Run
from models.prompting import PromptContract, task_of
from models.tuned import bundled_folder
from models.whole import is_whole
from plumbing.errors import ModelError, RunError, UserError
from ui.drawing import text
from ui.server.visitors import Visitor

if TYPE_CHECKING:
    from models.pair import Pair
    from models.resolved import Progress

NEWEST = 100
"""Runs in a dropdown; an older one is opened in the Runs tab."""


@dataclass(frozen=True)
class Choice:
    """What was tuned, an adapter or a whole model, for a person to pick."""

    key: str
    label: str
    folder: Path
    evaluation: Path
    task: Task
    base: str
    kind: str
    """`causal` answers in words, `classifier` with label probabilities, `reward` not at all."""
    whole: bool = False
    """Whether it stands in memory beside its base, and not on it."""

    @property
    def models_held(self) -> int:
        """How many models will be in memory once it is open."""
        return 1 + self.whole

    def open(self, progress: Progress) -> Pair:
        """Base and tuned; errors as of `models.pair.open_pair`."""
        from models.pair import open_pair

        return open_pair(self.folder, progress=progress)


def place_of(task: Task) -> str:
    """Where a task's models are found on the page: by its name, or with all others that are one's own."""
    known = STARTING_POINTS.get(task.name)
    # A file may be called like a task that ships.
    same = known is not None and (task.kind, task.columns, task.labels) == (known.kind, known.columns, known.labels)
    return task.name if same else text.OWN


def places() -> list[tuple[str, str]]:
    """(title, place) of what the page begins with, and of one's own."""
    return [*((task.title, name) for name, task in STARTING_POINTS.items()), (text.OWN_TITLE, text.OWN)]


def all_choices(visitor: Visitor, place: str | None = None) -> list[Choice]:
    """What ships and the visitor's newest, those of one place only if it is given; no damaged one."""
    finished = (_of_run(run) for run in islice(filter(_has_tuned, visitor.runs()), NEWEST))
    found = [*bundled_choices(), *(choice for choice in finished if choice)]
    return [choice for choice in found if place is None or place_of(choice.task) == place]


def find(key: str | None, visitor: Visitor) -> Choice:
    """The choice of `key`; a `ModelError` if there is none, or it is somebody else's."""
    for choice in bundled_choices():
        if choice.key == key:
            return choice
    with contextlib.suppress(RunError):
        if key and key.startswith("run:") and (own := of_run(visitor.run(key.removeprefix("run:")))):
            return own
    raise ModelError("There is no such tuned model", got=str(key)[:100], fix="Choose one from the list.")


def of_run(run: Run) -> Choice | None:
    """The choice that is what a run has tuned; None if it has tuned nothing yet, or that is damaged."""
    return _of_run(run) if _has_tuned(run) else None


def options(visitor: Visitor, place: str | None = None) -> list[tuple[str, str]]:
    """(label, key) pairs for a dropdown."""
    return [(choice.label, choice.key) for choice in all_choices(visitor, place)]


def shipped(place: str) -> list[tuple[str, str]]:
    """As `options`, for a page that does not know its visitor yet."""
    return [(choice.label, choice.key) for choice in bundled_choices() if place_of(choice.task) == place]


def bundled_choices() -> list[Choice]:
    """What ships, but for what is damaged."""
    choices = []
    for folder in sorted(bundled_folder().glob("*/"), reverse=True):
        title = load_recipe(folder.name).title if folder.name in recipe_names() else folder.name
        choice = _choice(f"bundled:{folder.name}", f"{title} · shipped", folder, folder / "eval")
        if choice:
            choices.append(choice)
    return choices


def _has_tuned(run: Run) -> bool:
    return run.tuned.is_dir()


def _of_run(run: Run) -> Choice | None:
    try:
        title, created = run.recipe().title, run.status().created
    except UserError:
        return None  # the Runs tab shows it as damaged
    when = time.strftime("%d %b %H:%M", time.localtime(created))
    return _choice(f"run:{run.id}", f"{title} · {when} · {run.id[-4:]}", run.tuned, run.evaluation)


def _choice(key: str, label: str, folder: Path, evaluation: Path) -> Choice | None:
    try:
        origin = json.loads((folder / "base_model.json").read_text(encoding="utf-8"))
        task = task_of(folder, PromptContract.load(folder))
        names = str(origin["name"]), str(origin["kind"])
        return Choice(key, label, folder, evaluation, task, *names, whole=is_whole(folder))
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return None

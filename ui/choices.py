"""Which tuned models there are: those that ship, then the finished runs, newest first.

A choice has a key (`bundled:NAME`, `run:ID`) that forms carry around; `find` gives the choice of a key, and what is
not in the list is refused, so no form can name a folder.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from data.errors import ModelError, UserError
from data.tasks import TASKS, Task, TaskName
from finetuning.recipe import load_recipe, recipe_names
from finetuning.runs import finished_runs


@dataclass(frozen=True)
class Choice:
    """An adapter that a person can pick."""

    key: str
    label: str
    adapter: Path
    evaluation: Path
    task: Task
    base: str
    kind: str
    """`causal` answers in words, `classifier` with label probabilities."""


def bundled_folder() -> Path:
    """Where the adapters that ship lie: `$BEFORE_AFTER_BUNDLED`, else `models/bundled/`."""
    default = Path(__file__).parent.parent / "models" / "bundled"
    return Path(os.environ.get("BEFORE_AFTER_BUNDLED", default))


def all_choices(task: TaskName | None = None) -> list[Choice]:
    """Every adapter that is whole, those of one task only if it is given. A damaged one is left out."""
    found = [*_bundled(), *_finished()]
    return [choice for choice in found if task is None or choice.task.name == task]


def find(key: str | None) -> Choice:
    """The choice of `key`; a `ModelError` if there is none."""
    choices = {choice.key: choice for choice in all_choices()}
    if key not in choices:
        fix = "Choose one from the list." if choices else "Train one first."
        raise ModelError("There is no such tuned model", got=key, fix=fix)
    return choices[key]


def options(task: TaskName | None = None) -> list[tuple[str, str]]:
    """(label, key) pairs for a dropdown."""
    return [(choice.label, choice.key) for choice in all_choices(task)]


def _bundled() -> list[Choice]:
    choices = []
    for folder in sorted(bundled_folder().glob("*/"), reverse=True):
        title = load_recipe(folder.name).title if folder.name in recipe_names() else folder.name
        choice = _choice(f"bundled:{folder.name}", f"{title} · shipped", folder, folder / "eval")
        if choice:
            choices.append(choice)
    return choices


def _finished() -> list[Choice]:
    choices = []
    for run in finished_runs():
        try:
            title, created = run.recipe().title, run.status().created
        except UserError:
            continue  # the Runs tab shows it as damaged
        when = time.strftime("%d %b %H:%M", time.localtime(created))
        choice = _choice(f"run:{run.id}", f"{title} · {when} · {run.id[-4:]}", run.adapter, run.evaluation)
        if choice:
            choices.append(choice)
    return choices


def _choice(key: str, label: str, adapter: Path, evaluation: Path) -> Choice | None:
    try:
        origin = json.loads((adapter / "base_model.json").read_text(encoding="utf-8"))
        prompt = json.loads((adapter / "prompt.json").read_text(encoding="utf-8"))
        return Choice(
            key, label, adapter, evaluation, TASKS[prompt["task"]], str(origin["name"]), str(origin["kind"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None

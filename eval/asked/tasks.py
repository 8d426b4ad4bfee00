"""Which task the rows are of: by its name, by a file, or by what was tuned for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plumbing import doors
from plumbing.errors import RecipeError, UserError
from plumbing.reading import read_text

if TYPE_CHECKING:
    from data.tasks import Task
    from data.tasks.task import Kind
    from eval.sides.side import Asked

_MAX_BYTES = 2**18


def kind_named(name: str | None) -> Kind | None:
    """The kind of task of that name; None where it is none."""
    from data.tasks.task import KINDS

    return next((kind for kind in KINDS if kind == name), None)


def task_named(name: str) -> Task:
    """The task that ships under that name; or that of a file: `task.json`, or YAML with the block of a recipe.

    Raises:
        RecipeError: there is none, or the file is not of a task.
    """
    from data.tasks import TASKS
    from data.tasks.task import KINDS

    if name in TASKS:
        return TASKS[name]
    path = Path(name).expanduser()
    if path.suffix in (".json", ".yaml", ".yml") and path.is_file():
        return _in_file(path)
    known = ", ".join(TASKS)
    raise RecipeError(
        "There is no such task",
        got=name[:200],
        fix=f"There are {known}; a kind: {', '.join(KINDS)}; or a task.json or a YAML file of one.",
    )


def _in_file(path: Path) -> Task:
    import yaml
    from pydantic import ValidationError

    from data.tasks.own import OwnTask
    from data.tasks.saved import TASK_FILE, load_task

    if path.name == TASK_FILE:
        found = load_task(path.parent)
        assert found is not None, "the file is there"
        return found
    try:
        read = yaml.safe_load(read_text(path, limit=_MAX_BYTES))
        return OwnTask.model_validate(read.get("task", read) if isinstance(read, dict) else read).definition()
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        said = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        fix = "Write kind: classification, and whatever else differs."
        raise RecipeError(f"This is no task: {' '.join(said.split())[:200]}", got=str(path), fix=fix) from None


def task_of_sides(asked: Sequence[Asked]) -> Task | None:
    """The task that a side of ours was tuned for; None where none says.

    Raises:
        UserError: two say another.
    """
    found = {task.name: task for one in asked if (task := _tuned_for(one)) is not None}
    if len(found) > 1:
        fix = "Say which: --task NAME." if doors.current() == "command" else "Choose under “What is asked”."
        raise UserError("The sides were tuned for several tasks", got=sorted(found), fix=fix)
    return next(iter(found.values()), None)


def _tuned_for(asked: Asked) -> Task | None:
    """What the contract beside a side names; of a file that cannot be read, whoever opens the side says so."""
    from data.specs import path_of
    from models.prompting import CONTRACT_FILE, PromptContract, task_of

    path = path_of(asked.text)
    places = [path, path / "adapter", path / "model"]
    folder = next((place for place in places if (place / CONTRACT_FILE).is_file()), None)
    if folder is None:
        return None
    try:
        return task_of(folder, PromptContract.load(folder))
    except UserError:
        return None

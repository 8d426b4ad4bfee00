"""The tasks that ship, one file each; a person's own is a block in a recipe (`own`).

task.py    what a task is
own.py     a person's own: a few settings → a task
saved.py   a task in a file, beside what was tuned for it
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from data.tasks.task import Task as Task

_FIRST = ("sentiment", "dialogue")
"""The two that the page begins with; the others follow by their names."""


def _shipped() -> dict[str, Task]:
    """Every module here that defines a `TASK`."""
    found = {}
    for module in iter_modules(__path__):
        task = getattr(import_module(f"{__name__}.{module.name}"), "TASK", None)
        if isinstance(task, Task):
            found[task.name] = task
    first = [name for name in _FIRST if name in found]
    return {name: found[name] for name in [*first, *sorted(found.keys() - set(first))]}


TASKS: dict[str, Task] = _shipped()
STARTING_POINTS: dict[str, Task] = {name: TASKS[name] for name in _FIRST}
SENTIMENT, DIALOGUE = STARTING_POINTS.values()

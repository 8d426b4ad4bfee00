"""The tasks that ship, one file each; a person's own is a block in a recipe (`own`).

task.py    what a task is
own.py     a person's own: a few settings → a task
saved.py   a task in a file, beside what was tuned for it
"""

from __future__ import annotations

from data.tasks.task import Task as Task
from plumbing.registry import defined_in

_FIRST = ("sentiment", "dialogue")
"""The two that the page begins with; the others follow by their names."""


TASKS: dict[str, Task] = {task.name: task for task in defined_in(__name__, __path__, "TASK", first=_FIRST)}
STARTING_POINTS: dict[str, Task] = {name: TASKS[name] for name in _FIRST}
SENTIMENT, DIALOGUE = STARTING_POINTS.values()

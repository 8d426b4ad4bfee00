"""Any two models side by side in Compare: what was asked for, and what is open.

Both are asked the same: what one was tuned for, where none was tuned for another, else to chat. The key of two
models holds their names, so every use of it is checked as if they were written anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.tasks import Task
from data.tasks.own import USUAL
from eval.asked.tasks import task_of_sides
from eval.sides.endpoint import Settings
from eval.sides.side import Asked, Side
from plumbing.errors import ModelError, UserError
from ui.drawing import text
from ui.server.choices import Choice, find
from ui.server.naming import label_of, servers_for, side_named
from ui.server.visitors import Visitor

if TYPE_CHECKING:
    from models.resolved import Progress

KEY = "two:"
"""How the key of two models begins."""


class Sides:
    """Two models that are open, and what both are asked."""

    def __init__(self, sides: Sequence[Side], task: Task) -> None:
        """
        Raises:
            ModelError: there is no way in which both can answer.
        """
        self.left, self.right = sides
        self.task = task
        self.in_words = all("writes" in side.abilities for side in sides)
        can_choose = task.is_classification and all("chooses" in side.abilities for side in sides)
        self.labels = task.labels if can_choose else ()
        if not self.in_words and not self.labels:
            got = " and ".join(side.about.name for side in sides)
            raise ModelError(text.OTHER_UNLIKE, got=got, fix="Choose two that write.")

    @property
    def models_held(self) -> int:
        """How many models it holds in memory, at most."""
        return sum(side.about.kind != "endpoint" for side in (self.left, self.right))

    def close(self) -> None:
        """Give back their memory."""
        for side in (self.left, self.right):
            side.close()


@dataclass(frozen=True)
class Two:
    """Two models that somebody has named."""

    key: str
    names: tuple[str, str]
    """As the page calls them, left and right."""
    asked: tuple[Asked, Asked]
    task: Task
    servers: Settings | None = None

    @property
    def label(self) -> str:
        return f"{self.names[0]} | {self.names[1]}"

    @property
    def base(self) -> str:
        """What is loaded, in words."""
        return " and ".join(self.names)

    @property
    def models_held(self) -> int:
        """How many models will be in memory once both are open, at most."""
        return len(self.asked)

    def open(self, progress: Progress) -> Sides:
        """Both; errors as of `eval.sides.named.open_sides`, and of `Sides`."""
        from eval.sides.named import open_sides

        opened = open_sides(self.asked, self.task, progress=progress, servers=self.servers)
        try:
            return Sides(opened, self.task)
        except ModelError:
            for side in opened:
                side.close()
            raise


def two_of(left: str | None, right: str | None, visitor: Visitor) -> Two:
    """The two models that were chosen or written.

    Raises:
        UserError: one is missing, or this visitor may not name it.
    """
    both = (left or "").strip(), (right or "").strip()
    asked = side_named(both[0], visitor), side_named(both[1], visitor)
    names = label_of(both[0], visitor), label_of(both[1], visitor)
    return Two(KEY + json.dumps(both), names, asked, _task_of(asked), servers_for(visitor))


def find_any(key: str | None, visitor: Visitor) -> Choice | Two:
    """The choice of a key, or the two models of one that `two_of` made.

    Raises:
        ModelError: there is none, or this visitor may not use it.
    """
    if key is None or not key.startswith(KEY):
        return find(key, visitor)
    try:
        left, right = both = json.loads(key.removeprefix(KEY))
        if not isinstance(both, list) or not isinstance(left, str) or not isinstance(right, str):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise ModelError("There are no such two models", got=key[:100], fix="Choose them again.") from None
    return two_of(left, right, visitor)


def _task_of(asked: Sequence[Asked]) -> Task:
    """What both are asked: what those that were tuned here were tuned for, if that is one thing; else to chat."""
    try:
        return task_of_sides(asked) or USUAL["chat"]
    except UserError:
        return USUAL["chat"]

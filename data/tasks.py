"""What an example of each task is: its columns, and for a classification its labels.

Every room speaks of a task through `Task`. A row of a task is a plain mapping with exactly its two columns
(others may come along as metadata): `text, label` or `dialogue, summary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

TaskName = Literal["sentiment", "dialogue"]


@dataclass(frozen=True)
class Task:
    """One kind of work that a model can be tuned for."""

    name: TaskName
    title: str
    learns: str
    """In a sentence, for the page: what the model learns."""
    input_column: str
    target_column: str
    labels: tuple[str, ...] = ()
    """The label words in the order of their class ids; empty where the target is free text."""

    @property
    def columns(self) -> tuple[str, str]:
        return self.input_column, self.target_column

    @property
    def is_classification(self) -> bool:
        return bool(self.labels)

    def references(self, row: dict[str, Any]) -> list[str]:
        """The reference answers of `row`: one, or several where the target column holds a list."""
        target = row[self.target_column]
        return [target] if isinstance(target, str) else list(target)


SENTIMENT = Task(
    name="sentiment",
    title="Sentiment",
    learns="Read a review and say whether its verdict is positive or negative.",
    input_column="text",
    target_column="label",
    labels=("negative", "positive"),
)
DIALOGUE = Task(
    name="dialogue",
    title="Dialogue summary",
    learns="Read a conversation and say in a sentence or two who wants what, and how it ends.",
    input_column="dialogue",
    target_column="summary",
)
TASKS: dict[str, Task] = {task.name: task for task in (SENTIMENT, DIALOGUE)}

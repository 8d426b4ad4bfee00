"""How rows are read, out of what a person writes: `data.columns.text=body`, `data.labels.1=negative`.

Takes and checks words only; whether a source has such columns, whoever opens it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plumbing import doors
from plumbing.errors import RecipeError

_COLUMNS, _LABELS = "data.columns.", f"{doors.LABELS}."
_NO_LABEL = ("", "null")
"""What leaves a label's rows out."""


@dataclass(frozen=True)
class HowRead:
    """What was said of how rows are read."""

    columns: dict[str, str] = field(default_factory=dict)
    """Task column → column of the source."""
    labels: dict[str, str | None] = field(default_factory=dict)
    """Label value in the source → task label; None leaves such rows out."""
    skip_empty: bool = False
    """Leave out rows with an empty field."""

    @classmethod
    def of(cls, settings: Sequence[str]) -> HowRead:
        """
        Raises:
            RecipeError: one is another setting, or has no value that can be read.
        """
        columns: dict[str, str] = {}
        labels: dict[str, str | None] = {}
        skip_empty = False
        for setting in settings:
            key, equals, value = setting.partition("=")
            if setting.startswith(_LABELS):  # a label in somebody's data may hold the sign, what it means does not
                key, equals, value = setting.rpartition("=")
            name = key.removeprefix(_COLUMNS if key.startswith(_COLUMNS) else _LABELS)
            if not equals or not name:
                raise _not_so(setting)
            if key.startswith(_COLUMNS) and value:
                columns[name] = value
            elif key.startswith(_LABELS):
                labels[name] = None if value in _NO_LABEL else value
            elif key == doors.SKIP_EMPTY and value.casefold() in ("true", "false"):
                skip_empty = value.casefold() == "true"
            else:
                raise _not_so(setting)
        return cls(columns, labels, skip_empty)


def _not_so(setting: str) -> RecipeError:
    return RecipeError(
        "Only how the rows are read can be set here",
        got=setting[:100],
        fix="Write data.columns.NAME=COLUMN, data.labels.VALUE=LABEL or data.skip_empty=true.",
    )

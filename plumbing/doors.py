"""The door that a person came through, and how a setting is written there.

A hint is of use where it can be followed word for word: on the command line as `--set data.columns.text=body`, on
the page by the name of a field. A process belongs to one door; the worker of a run to the one that it was
submitted at, which is kept in the run's status. Knows names of settings and fields only, and asks nobody.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Literal

Door = Literal["command", "page"]

OPEN = "…"
"""Stands for what only the person knows."""

LABELS = "data.labels"
SKIP_EMPTY = "data.skip_empty"
MAX_TOKENS = "training.max_tokens"
BATCH_SIZE = "training.batch_size"
LEARNING_RATE = "training.learning_rate"

FIELDS = {
    LABELS: "What the labels mean",
    SKIP_EMPTY: "Leave out rows with an empty field",
    MAX_TOKENS: "Tokens a row",
    BATCH_SIZE: "Batch size",
    LEARNING_RATE: "Learning rate",
}
"""Setting → what its field on the page is called; for columns see `field`."""
_COLUMNS = "data.columns."

_door: Door = "command"


def enter(door: Door) -> None:
    """Say which door this process belongs to; one that says nothing is the command line."""
    global _door
    _door = door


def current() -> Door:
    """Returns the door this process belongs to."""
    return _door


def field(key: str) -> str | None:
    """Returns what the field of a setting is called on the page; None where it has none."""
    if key.startswith(_COLUMNS):
        return f"Column of the {key.removeprefix(_COLUMNS)}"
    return FIELDS.get(key)


def named(key: str) -> str:
    """Returns what a setting is called at this door."""
    return f"'{field(key)}'" if _door == "page" and field(key) else key


def can_set(key: str) -> bool:
    """Whether a setting can be changed at this door: the page has fields for some."""
    return _door == "command" or field(key) is not None


def own_file() -> str:
    """What a file of one's own is called where one is asked for."""
    return "file:PATH" if _door == "command" else "a file of your own"


def change(key: str, value: str = OPEN) -> str:
    """Returns how a setting is given `value` at this door, for the middle of a sentence: `add --set key=value`."""
    if _door == "page" and field(key):
        return f"tick {named(key)}" if value == "true" else f"write {value} in {named(key)}"
    return f"add {_option(key, value)}"


def side_option(name: str, value: str = OPEN) -> str:
    """Returns how a compared side is given an option at this door: `--option SIDE.labels=good,bad`."""
    written = f"{name}={value}"
    return f"--option {_quoted(f'SIDE.{written}')}" if _door == "command" else written


def choose_column(task_column: str, columns: Sequence[str]) -> str:
    """Returns how one of `columns` is chosen at this door, for the middle of a sentence."""
    key = f"data.columns.{task_column}"
    if _door == "page":
        quoted = [f"'{column}'" for column in columns]
        return f"choose {_or(quoted)} in {named(key)}"
    return f"add {_or([_option(key, column) for column in columns])}"


def map_labels(values: Sequence[str]) -> str:
    """Returns how the meaning of each label is given at this door, left open, for the middle of a sentence."""
    if _door == "page":
        return f"write {', '.join(f'{value}={OPEN}' for value in values)} in {named(LABELS)}"
    return f"add {' '.join(_option(f'{LABELS}.{value}') for value in values)}"


def _option(key: str, value: str = OPEN) -> str:
    return f"--set {_quoted(f'{key}={value}')}"


def _quoted(written: str) -> str:
    # The sign for what is left open is no reason for quotes: it does not stay.
    plain = shlex.quote(written.replace(OPEN, "")) == written.replace(OPEN, "")
    return written if plain else shlex.quote(written)


def _or(choices: Sequence[str]) -> str:
    return ", ".join(choices[:-1]) + " or " + choices[-1] if len(choices) > 1 else choices[0]

"""What every group of settings in a recipe is: frozen, and unknown keys are errors, told in sentences."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

Place = tuple[int | str, ...]
"""Where in the values a problem is, as pydantic gives it."""


class Settings(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def sentences(
    error: ValidationError,
    *,
    where: Callable[[Place], str] = lambda place: ".".join(map(str, place)),
    beside_the_point: Callable[[Any], bool] = lambda problem: False,
    known: Callable[[Place], Iterable[str]] = lambda place: (),
) -> list[str]:
    """What is wrong with a person's values, once for each place.

    Args:
        error: what pydantic says.
        where: a place → its dotted name, empty for the whole.
        beside_the_point: whether a problem is about another kind of value than was meant.
        known: the place of a setting that does not exist → the settings that it could have been.
    """
    found: dict[tuple[str, str], str] = {}
    for problem in error.errors():
        if beside_the_point(problem):
            continue
        name, text = where(problem["loc"]), problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"there is no such setting{_nearest(name.rpartition('.')[2], known(problem['loc']))}"
        elif name and problem["type"] != "missing" and not _is_said(problem):
            text = f"{text} (got {_shown(problem['input'])})"
        found.setdefault((name, text), f"{name}: {text}" if name else text)
    return list(found.values())


def _is_said(problem: Any) -> bool:
    """Whether a sentence of our own is about a whole group or list, and names what in it is wrong."""
    return problem["type"] == "value_error" and isinstance(problem["input"], (dict, list))


def _shown(value: object) -> str:
    """`value`, short: a number of 10,000 digits has no representation, and nobody reads it."""
    try:
        return repr(value)[:200]
    except ValueError:
        return "a number of very many digits"


def _nearest(wrong: str, known: Iterable[str]) -> str:
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(wrong, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(names)}" if names else ""

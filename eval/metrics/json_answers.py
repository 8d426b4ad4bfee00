"""Valid JSON: whether an answer is a value of JSON, and what that value is.

The whole answer has to be one JSON value, as RFC 8259 has it, or one block of Markdown with nothing around it, of
which what stands within it counts. `NaN` and `Infinity` are none of JSON's. Two keys of the same name are allowed,
and the last counts, as in a browser. What is nested more than `MOST_LEVELS` deep, or has a number that 64 bits
cannot hold, is taken for none: what reads an answer has to be able to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from data.tasks.task import Kind
from eval.metrics.metric import Family, Metric

MOST_LEVELS = 50
"""Of objects and lists: a schema of the most involved kind is still checked to such a depth."""
_FENCE = "```"


def json_in(answer: str) -> Any:
    """The value that an answer is. Raises a ValueError that says why it is none."""
    try:
        value = json.loads(_within(answer), parse_constant=_no_number, parse_int=_whole, parse_float=_real)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _deeper_than(value, MOST_LEVELS):
        raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    return value


def _within(answer: str) -> str:
    """What stands in the one block of an answer; an answer that is none as it is, without white space around it."""
    text = answer.strip().removeprefix("\ufeff")
    if not (len(text) >= 2 * len(_FENCE) and text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    language, _, within = text[len(_FENCE) : -len(_FENCE)].partition("\n")
    return within if language.strip().casefold() in ("", "json") else text


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is none of JSON's numbers")


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond what 64 bits hold")
    return value


def _whole(text: str) -> int | float:
    return int(text) if len(text) <= 300 else _real(text)


def _deeper_than(value: Any, levels: int) -> bool:
    """Whether more than so many objects and lists stand within each other."""
    around = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        within = (each for one in around for each in (one.values() if isinstance(one, dict) else one))
        around = [each for each in within if isinstance(each, (dict, list))]
    return bool(around)


def is_json(answer: str, references: Sequence[str] = ()) -> float:
    """1.0 where the answer is JSON, else 0.0."""
    try:
        json_in(answer)
    except ValueError:
        return 0.0
    return 1.0


def without_setting(metric: Metric, setting: str, instead: str) -> Metric:
    """`metric`, which takes no setting. Raises a ValueError where one is given, with what would do."""
    if setting:
        raise ValueError(f"{metric.name} takes no setting; {instead}")
    return metric


TASKS: tuple[Kind, ...] = ("generation", "chat")
_VALID = Metric("json", "valid JSON", "binary", TASKS, row=is_json)

FAMILY = Family(
    "json", "json", TASKS, lambda setting: without_setting(_VALID, setting, "write json-schema:FILE for a schema")
)

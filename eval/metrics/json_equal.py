"""The same JSON: whether an answer says what the reference says, whatever the order of keys, spaces and escapes.

Both are read as in `eval.metrics.json_answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.metrics.json_answers import TASKS, json_in, without_setting
from eval.metrics.metric import Family, Metric
from plumbing.errors import DataError


def same_json(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same, whatever the order of keys; 1 is 1.0, and neither is true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def says_the_same(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer is the same value as one of the references, else 0.0.

    Raises:
        DataError: a reference is no JSON.
    """
    wanted = [_wanted(reference) for reference in references]
    try:
        said = json_in(answer)
    except ValueError:
        return 0.0
    return float(any(same_json(said, one) for one in wanted))


def _wanted(reference: str) -> Any:
    try:
        return json_in(reference)
    except ValueError as error:
        raise DataError(
            f"A reference is not JSON, so no answer can be the same: {error}",
            got=reference,
            fix="Correct that row, or choose another metric.",
        ) from None


_SAME = Metric("json-equal", "same JSON as the reference", "binary", TASKS, row=says_the_same)

FAMILY = Family(
    "json-equal", "json-equal", TASKS, lambda setting: without_setting(_SAME, setting, "write json-equal")
)

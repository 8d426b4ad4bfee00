"""Regular expressions: whether an answer holds what a pattern describes; the pattern is given, or is the reference.

Patterns are those of the package `regex`, which are Python's and more. One is looked for anywhere in the answer,
without the white space around it: `^` and `$` hold it to the whole. An answer is whatever a model wrote, and a
pattern with repetitions in repetitions may take longer than anybody waits; so each search is given up after
`LONGEST_S`, and an answer of which that leaves unknown what it is worth is an error, and never a score.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from data.tasks.task import Kind
from eval.metrics.metric import Family, Metric
from plumbing.errors import DataError

MOST_CHARS = 1_000
"""Of a pattern."""
LONGEST_S = 0.5
"""Seconds of the processor for one answer, whatever else the machine does; most take a hundred-thousandth."""


def holds(text: str, pattern: str) -> bool:
    """Whether `pattern` is found in `text`.

    Raises:
        ValueError: it is no pattern.
        DataError: the search took longer than `LONGEST_S`.
    """
    try:
        return compiled(pattern).search(text, timeout=LONGEST_S) is not None
    except TimeoutError:
        raise DataError(
            f"A pattern takes more than {LONGEST_S:g} seconds on one text of {len(text):,} characters",
            got=pattern,
            fix="Write it without repetitions within repetitions: (a+)+ is a+.",
        ) from None


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """The pattern, ready to search. Raises a ValueError that says what is wrong with it."""
    import regex

    if len(pattern) > MOST_CHARS:
        raise ValueError(f"the pattern has {len(pattern):,} characters, and {MOST_CHARS:,} are the most")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"{pattern[:100]} is no regular expression: {error or 'it is nested too deeply'}"
        ) from None


def holds_its_reference(answer: str, references: Sequence[str]) -> float:
    """1.0 where one of the references, which are patterns, is found in the answer, else 0.0.

    Raises:
        DataError: a reference is no pattern, or takes too long.
    """
    for reference in references:
        try:
            compiled(reference)
        except ValueError as error:
            raise DataError(
                f"A reference cannot be looked for in an answer: {error}",
                got=reference,
                fix="Correct that row; or give one pattern for all rows: regex:PATTERN.",
            ) from None
    return float(any(holds(answer.strip(), reference) for reference in references))


_TASKS: tuple[Kind, ...] = ("generation", "chat")


def _of(pattern: str) -> Metric:
    if not pattern:
        return Metric("regex", "matches its pattern", "binary", _TASKS, row=holds_its_reference)
    compiled(pattern)

    def row(answer: str, references: Sequence[str]) -> float:
        return float(holds(answer.strip(), pattern))

    return Metric(f"regex:{pattern}", f"matches {pattern}", "binary", _TASKS, row=row)


FAMILY = Family("regex", "regex:PATTERN, or regex where references are patterns", _TASKS, _of)

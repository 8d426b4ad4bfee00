"""What is odd about pairs and thumbs though every row of them is valid: sides that are alike, length, balance.

Knows opened splits, as `data.hygiene` does, of which this is a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data.splits import SPLIT_NAMES, normalised
from data.tasks import Task
from data.tasks.task import LIKED, REJECTED, as_text

TELLING = 0.7
"""Share of pairs from which it is said that length alone tells the better answer."""
BALANCED = 0.6
"""Share that the more frequent thumb may have among balanced ones."""


def thumbs_in(splits: Mapping[str, Any]) -> list[bool]:
    """The thumbs of all rows, in the order of the splits; none where rows have none."""
    if not _all_have(splits, LIKED):
        return []
    return [bool(thumb) for name in SPLIT_NAMES for thumb in splits[name][LIKED]]


def worse_in(splits: Mapping[str, Any]) -> list[str]:
    """The worse answers of all pairs, in the same order; none where rows are none."""
    if not _all_have(splits, REJECTED):
        return []
    return [str(worse) for name in SPLIT_NAMES for worse in splits[name][REJECTED]]


def _all_have(splits: Mapping[str, Any], column: str) -> bool:
    """Whether each split, which is a data set or lists of values by column, has it."""
    return all(column in (getattr(splits[name], "column_names", None) or splits[name]) for name in SPLIT_NAMES)


def said_of(splits: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    """What a person should know of pairs and thumbs, a sentence each; nothing of other rows."""
    said: list[str] = []
    if worse := worse_in(splits):
        said += _of_pairs(splits, task, worse)
    if _all_have(splits, LIKED):
        said += _of_thumbs([bool(thumb) for thumb in splits["train"][LIKED]])
    return tuple(said)


def _of_pairs(splits: Mapping[str, Any], task: Task, worse: Sequence[str]) -> Iterator[str]:
    numbers = [number for name in SPLIT_NAMES for number in splits[name]["row"]]
    inputs = [normalised(as_text(given)) for name in SPLIT_NAMES for given in splits[name][task.input_column]]
    targets = [target for name in SPLIT_NAMES for target in splits[name][task.target_column]]
    better = [task.references({task.target_column: target})[0] for target in targets]
    pairs = [(normalised(one), normalised(other)) for one, other in zip(better, worse, strict=True)]
    alike = [number for number, (one, other) in zip(numbers, pairs, strict=True) if one == other]
    if alike:
        have = "1 pair has" if len(alike) == 1 else f"{len(alike):,} pairs have"
        yield f"{have} two answers that are the same but for case and punctuation (row {alike[0]})."
    known = {(given, *both) for given, both in zip(inputs, pairs, strict=True)}
    turned = [
        number
        for number, given, (one, other) in zip(numbers, inputs, pairs, strict=True)
        if one != other and (given, other, one) in known
    ]
    if turned:
        many, first = f"{len(turned):,}", turned[0]
        yield f"{many} pairs contradict each other: the same two answers, judged both ways (row {first})."
    longer = sum(len(one.split()) > len(other.split()) for one, other in zip(better, worse, strict=True))
    shorter = sum(len(one.split()) < len(other.split()) for one, other in zip(better, worse, strict=True))
    more, count = ("more", longer) if longer >= shorter else ("fewer", shorter)
    told = ", so that length alone tells them apart" if count >= TELLING * len(pairs) else ""
    yield f"The better answer has {more} words than the worse in {count:,} of {len(pairs):,} pairs{told}."


def _of_thumbs(thumbs: Sequence[bool]) -> Iterator[str]:
    up = sum(thumbs)
    share = max(up, len(thumbs) - up) / max(1, len(thumbs))
    which = "up" if 2 * up >= len(thumbs) else "down"
    verdict = "balanced" if share <= BALANCED else f"{share:.0%} {which}"
    yield f"The training thumbs are {verdict} ({up:,} up, {len(thumbs) - up:,} down)."

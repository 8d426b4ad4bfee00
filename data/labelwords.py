"""What raw label values mean: words, 0/1, -1/1, booleans and stars.

Knows values only, no tables. Reads a whole set of values at once, because "1" is negative among 1..5 stars
and positive beside a 0. Sets that could be read in two ways (1 and 2; 0, 1 and 2) are not read at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

NEGATIVE_WORDS = frozenset(
    {"negative", "neg", "bad", "unfavorable", "unfavourable", "unhappy", "dislike", "hate", "thumbs_down"}
    | {"false", "f", "no", "n"}
)
POSITIVE_WORDS = frozenset(
    {"positive", "pos", "good", "favorable", "favourable", "happy", "like", "love", "thumbs_up"}
    | {"true", "t", "yes", "y"}
)
LEFT_OUT_WORDS = frozenset({"neutral", "neu", "mixed", "unknown", "unsup", "unlabeled", "unlabelled", "none"})
SAY_NO_OPINION = frozenset({"false", "f", "no", "n", "true", "t", "yes", "y"})
"""Words that answer a question, and maybe not whether something is good."""
STRENGTH = re.compile(r"^(very|strongly|somewhat|slightly|extremely|mostly)[ _-]+")
STARS = re.compile(r"^([+-]?\d+(?:\.\d+)?)\s*-?\s*(?:stars?)?$")
MAX_VALUES = 21
"""More distinct values than half stars from 0 to 10 are not labels."""


@dataclass(frozen=True)
class Scheme:
    """How a set of raw values is read."""

    labels: dict[str, str | None]
    """Raw value as `label_key` writes it → label, or None to leave the row out."""
    numbers: str = ""
    """What the scale is called; empty for words."""

    def explained(self, but: Collection[str] = ()) -> str:
        """Returns how the values are read, without those of `but`, which somebody reads otherwise."""
        said = explained({value: label for value, label in self.labels.items() if value not in but})
        return f"{self.numbers} mean {said}" if self.numbers else said


def is_number(value: str) -> bool:
    """Returns whether a value, in the form of `label_key`, is a number."""
    return STARS.match(value) is not None


def label_key(value: Any) -> str:
    """Returns a raw label in one form: trimmed, lower case, `1.0` and `1 star` as `1`, nothing as ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(value).strip().casefold()
    number = STARS.match(text)
    return f"{float(number[1]):g}" if number else text


def read_values(observed: Collection[str], labels: tuple[str, ...]) -> Scheme | None:
    """Returns how values (in the form of `label_key`) are read as (negative, positive); None if unclear."""
    if not observed or len(observed) > MAX_VALUES or len(labels) != 2:
        return None
    if all(STARS.match(value) for value in observed):
        return _read_numbers(sorted({float(value) for value in observed}), *labels)
    return _read_words(observed, *labels)


def is_opinion(observed: Collection[str], *, by_name: bool) -> bool:
    """Whether values (in the form of `label_key`) say that something is good or bad, and nothing else.

    0 and 1, or no and yes, say so only in a column that says it `by_name`.
    """
    if read_values(observed, ("negative", "positive")) is None:
        return False
    words = {STRENGTH.sub("", value).replace(" ", "_") for value in observed}
    return by_name or bool(words & (NEGATIVE_WORDS | POSITIVE_WORDS) - SAY_NO_OPINION)


def read_most_values(observed: Collection[str], labels: tuple[str, ...]) -> Scheme | None:
    """Returns how those values are read that can be, if they give both labels; the others are left unknown.

    For a column that is known to hold the label, where "goood" is a slip in a row and not another reading.
    """
    numbers = {value for value in observed if STARS.match(value)}
    words = {value for value in observed if read_values({value}, labels)} - numbers
    schemes = (read_values(observed, labels), read_values(words, labels), read_values(numbers, labels))
    return next((scheme for scheme in schemes if scheme and set(labels) <= set(scheme.labels.values())), None)


def _read_words(observed: Collection[str], negative: str, positive: str) -> Scheme | None:
    read: dict[str, str | None] = {}
    for value in observed:
        word = STRENGTH.sub("", value).replace(" ", "_")
        if word in NEGATIVE_WORDS or word == negative:
            read[value] = negative
        elif word in POSITIVE_WORDS or word == positive:
            read[value] = positive
        elif word in LEFT_OUT_WORDS:
            read[value] = None
        else:
            return None
    return Scheme(read)


def _read_numbers(numbers: list[float], negative: str, positive: str) -> Scheme | None:
    def scheme(*, negative_to: float, positive_from: float, scale: list[float], name: str) -> Scheme:
        read = {
            f"{n:g}": negative if n <= negative_to else positive if n >= positive_from else None
            for n in sorted({*numbers, *scale})
        }
        return Scheme(read, name)

    values, low, high = set(numbers), numbers[0], numbers[-1]
    if values <= {0, 1}:
        return scheme(negative_to=0, positive_from=1, scale=[0, 1], name="0 and 1")
    if values <= {-1, 0, 1}:
        return scheme(negative_to=-1, positive_from=1, scale=[-1, 0, 1], name="-1 to 1")
    if {0, 4} <= values <= {0, 2, 4}:  # Sentiment140
        return scheme(negative_to=0, positive_from=4, scale=[0, 2, 4], name="0 to 4")
    if low < 1 or high < 3:
        return None  # 1 and 2 may be classes or stars; 0, 1, 2 may have a neutral in the middle
    if high <= 5:
        return scheme(negative_to=2, positive_from=4, scale=[1, 2, 3, 4, 5], name="1 to 5 stars")
    if high <= 10:  # as the IMDb data set was made: up to 4 is negative, from 7 positive
        return scheme(negative_to=4, positive_from=7, scale=[float(n) for n in range(1, 11)], name="1 to 10 points")
    return None


def explained(read: Mapping[str, str | None]) -> str:
    """Returns what the values mean, in a phrase: `1/2 = negative, 3 = left out, 4/5 = positive`."""
    groups: dict[str, list[str]] = {}
    for value, label in read.items():
        groups.setdefault(label or "left out", []).append(value)
    return ", ".join(f"{'/'.join(values)} = {label}" for label, values in groups.items())

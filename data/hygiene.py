"""What is odd about a data set though every row of it is valid: repeated rows, leakage, imbalance, lengths.

Knows opened splits; changes nothing and refuses nothing. Near-duplicates are found with MinHash signatures
and locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets",
chapter 3), so 100,000 rows take seconds, not n² comparisons; what is reported has been compared exactly.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from data.splits import SPLIT_NAMES, normalised
from data.tasks import Task

if TYPE_CHECKING:
    from datasets import DatasetDict

NEAR = 0.6
"""Similarity from which two texts count as near-duplicates: about one word in eight changed."""
SIGNATURE_SIZE = 64
QUANTILES = {"shortest": 0.0, "median": 0.5, "95 %": 0.95, "longest": 1.0}


@dataclass(frozen=True)
class Pair:
    """Two rows with much the same input. Row numbers are those of the source."""

    split_a: str
    row_a: int
    split_b: str
    row_b: int
    similarity: float
    """Jaccard similarity of the sets of words and of neighbouring words; 1.0 for equal texts."""


@dataclass(frozen=True)
class Hygiene:
    """What was found. Nothing here stops anybody from training."""

    rows: dict[str, int]
    """Split → number of rows."""
    duplicates: tuple[Pair, ...]
    """Inputs that are equal but for case, punctuation and spaces: each repetition with the first
    occurrence."""
    near_duplicates: tuple[Pair, ...]
    """Inputs that are nearly equal: each row with its likest predecessor in each split."""
    leaked: tuple[int, ...]
    """The test rows whose input occurs in training too."""
    contradictions: tuple[Pair, ...]
    """Equal inputs with different labels."""
    label_counts: dict[str, dict[str, int]]
    """Split → label → rows; empty for free text."""
    word_counts: dict[str, dict[str, int]]
    """Column → "shortest", "median", "95 %", "longest" → words, over all splits."""

    def sentences(self) -> list[str]:
        """Returns what a person should know, the weightiest first."""
        return [
            self._leakage(),
            *self._repetitions(),
            *self._balance(),
            *(
                f"The {column} has {words['median']} words in the middle case, {words['shortest']} to "
                f"{words['longest']} in all."
                for column, words in self.word_counts.items()
            ),
        ]

    def _leakage(self) -> str:
        across = (pair for pair in self.near_duplicates if (pair.split_a, pair.split_b) == ("train", "test"))
        nearly = {pair.row_b for pair in across} - set(self.leaked)
        if self.leaked:
            return f"{_rows(self.leaked, 'in the test split')} in training too: the test score will flatter."
        if nearly:
            return f"{_rows(nearly, 'in the test split')} nearly the same as one in training."
        return "No test row occurs in training."

    def _repetitions(self) -> Iterator[str]:
        if not self.duplicates and not self.near_duplicates:
            yield "No duplicates and no near-duplicates."
        if self.duplicates:
            yield f"{_rows(self.duplicates)} repeated ({_place(self.duplicates[0])} are the same)."
        if self.near_duplicates:
            closest = max(self.near_duplicates, key=lambda pair: pair.similarity)
            near_rows = {(pair.split_b, pair.row_b) for pair in self.near_duplicates}
            yield f"{_rows(near_rows)} nearly the same as another ({_place(closest)})."
        if self.contradictions:
            pair = self.contradictions[0]
            yield f"{_rows(self.contradictions)} repeated with another label ({_place(pair)})."

    def _balance(self) -> Iterator[str]:
        counts = self.label_counts.get("train")
        if not counts:
            return
        common, most = max(counts.items(), key=lambda item: item[1])
        share = most / max(1, sum(counts.values()))
        listed = ", ".join(f"{count:,} {label}" for label, count in sorted(counts.items()))
        verdict = "balanced" if share <= 0.6 else f"{share:.0%} {common}"
        yield f"The training labels are {verdict} ({listed})."


def inspect(splits: DatasetDict | Mapping[str, Any], task: Task, *, near: float = NEAR) -> Hygiene:
    """Returns what is odd about the opened splits. `near` is the similarity that counts as near, 0 to 1."""
    places = [(name, number) for name in SPLIT_NAMES for number in splits[name]["row"]]
    texts = [text for name in SPLIT_NAMES for text in splits[name][task.input_column]]
    targets = [target for name in SPLIT_NAMES for target in splits[name][task.target_column]]
    keys = [normalised(text) for text in texts]

    first: dict[str, int] = {}
    duplicates, contradictions = [], []
    for index, key in enumerate(keys):
        before = first.setdefault(key, index)
        if before == index:
            continue
        pair = Pair(*places[before], *places[index], 1.0)
        duplicates.append(pair)
        if task.is_classification and targets[before] != targets[index]:
            contradictions.append(pair)

    trained = {key for key, (name, _) in zip(keys, places, strict=True) if name == "train"}
    tested = [(key, number) for key, (name, number) in zip(keys, places, strict=True) if name == "test"]
    return Hygiene(
        rows={name: len(splits[name]) for name in SPLIT_NAMES},
        duplicates=tuple(duplicates),
        near_duplicates=tuple(_near_duplicates(keys, places, list(first.values()), near)),
        leaked=tuple(number for key, number in tested if key in trained),
        contradictions=tuple(contradictions),
        label_counts=_label_counts(splits, task),
        word_counts=_word_counts(texts, targets, task),
    )


def similarity(text_a: str, text_b: str) -> float:
    """Returns the Jaccard similarity of two texts' words and neighbouring words, 0 to 1."""
    return _jaccard(_shingles(normalised(text_a)), _shingles(normalised(text_b)))


def _near_duplicates(
    keys: Sequence[str], places: Sequence[tuple[str, int]], unique: Sequence[int], near: float
) -> Iterator[Pair]:
    from datasketch import MinHash, MinHashLSH

    # Finding a pair weighs more than looking at a candidate in vain: that one is compared exactly all the
    # same.
    lsh = MinHashLSH(threshold=near, num_perm=SIGNATURE_SIZE, weights=(0.2, 0.8))
    signatures = MinHash.generator(
        (_shingles(keys[index]) for index in unique), num_perm=SIGNATURE_SIZE, hashfunc=zlib.crc32
    )
    for index, signature in zip(unique, signatures, strict=True):
        split, _ = places[index]
        likest: dict[str, tuple[float, int]] = {}
        for candidate in sorted(lsh.query(signature)):
            alike = _jaccard(_shingles(keys[candidate]), _shingles(keys[index]))
            other_split, _ = places[candidate]
            if alike >= near and alike > likest.get(other_split, (0.0, 0))[0]:
                likest[other_split] = (alike, candidate)
        # Of a crowd of like rows one a split stands for all: otherwise n rows from one template cost n²
        # again.
        if split not in likest:
            lsh.insert(index, signature, check_duplication=False)
        for alike, candidate in likest.values():
            yield Pair(*places[candidate], *places[index], round(alike, 3))


def _shingles(key: str) -> set[bytes]:
    """The words and the pairs of neighbours: single words alone would call any two texts on one subject
    alike."""
    words = key.split()
    pairs = (f"{left} {right}" for left, right in pairwise(words))
    return {shingle.encode() for shingle in (*words, *pairs)}


def _jaccard(a: set[bytes], b: set[bytes]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0


def _label_counts(splits: Mapping[str, Any], task: Task) -> dict[str, dict[str, int]]:
    if not task.is_classification:
        return {}
    counted = {name: Counter(splits[name][task.target_column]) for name in SPLIT_NAMES}
    return {name: {label: counts[label] for label in task.labels} for name, counts in counted.items()}


def _word_counts(inputs: Sequence[str], targets: Sequence[Any], task: Task) -> dict[str, dict[str, int]]:
    texts = {task.input_column: list(inputs)}
    if not task.is_classification:
        references = (task.references({task.target_column: target}) for target in targets)
        texts[task.target_column] = [text for several in references for text in several]
    quantiles = {}
    for column, values in texts.items():
        lengths = sorted(len(text.split()) for text in values) or [0]
        quantiles[column] = {name: lengths[round(at * (len(lengths) - 1))] for name, at in QUANTILES.items()}
    return quantiles


def _rows(found: Collection[Any], where: str = "") -> str:
    place = f" {where}" if where else ""
    return f"1 row{place} is" if len(found) == 1 else f"{len(found):,} rows{place} are"


def _place(pair: Pair) -> str:
    return f"{pair.split_a} row {pair.row_a} and {pair.split_b} row {pair.row_b}"

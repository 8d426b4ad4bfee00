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

from data import pair_hygiene
from data.labels import listed
from data.splits import SPLIT_NAMES, normalised
from data.tasks import Task
from data.tasks.task import as_text
from data.words import words

if TYPE_CHECKING:
    import numpy as np
    from datasets import DatasetDict

NEAR = 0.6
"""Similarity from which two texts count as near-duplicates: one word in six changed. Each change takes a word and
two pairs from what is shared, so a share f of changed words leaves (2 - 3f) / (2 + 3f)."""
SIGNATURE_SIZE = 64
BAND_SIZE = 4
"""Values of a signature that two rows must share to be compared: 16 bands of 4 find 89 % of the pairs at 0.6
and all but two in a thousand at 0.75, and finding a pair weighs more than comparing one in vain."""
BUCKET_SIZE = 16
COMPARED = 3
COMPARED_CHARS = 16_000
COMPARED_WORDS = 2_000
"""Of a text, from its start: longer ones are near-duplicates if they begin alike."""
ESTIMATE_ERROR = 0.2
"""Three standard deviations of the similarity that two signatures of 64 values tell."""
BALANCED = 1.2
"""Times its even share that a label may have among balanced ones."""
LISTED_LABELS = 12
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
    """Equal inputs with different labels; equal answers to equal inputs with different thumbs."""
    label_counts: dict[str, dict[str, int]]
    """Split → label → rows; empty for free text."""
    word_counts: dict[str, dict[str, int]]
    """Column, or what is in it → "shortest", "median", "95 %", "longest" → words, over all splits."""
    answers: tuple[str, ...] = ()
    """What there is to know of pairs and thumbs, in sentences."""

    def sentences(self) -> list[str]:
        """Returns what a person should know, the weightiest first."""
        return [
            self._leakage(),
            *self._repetitions(),
            *self._balance(),
            *self.answers,
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
            other = "label" if self.label_counts else "thumb"
            yield f"{_rows(self.contradictions)} repeated with another {other} ({_place(pair)})."

    def _balance(self) -> Iterator[str]:
        counts = self.label_counts.get("train")
        if not counts:
            return
        common, most = max(counts.items(), key=lambda item: item[1])
        share = most / max(1, sum(counts.values()))
        verdict = "balanced" if share <= BALANCED / len(counts) else f"{share:.0%} {common}"
        if len(counts) <= LISTED_LABELS:
            shown = ", ".join(f"{count:,} {label}" for label, count in sorted(counts.items()))
            yield f"The training labels are {verdict} ({shown})."
        else:
            yield (
                f"The {len(counts)} training labels are {verdict}: {min(counts.values()):,} to {most:,} rows each, "
                f"{common} the most."
            )
        missing = [label for label in counts if not self.label_counts["test"].get(label)]
        if missing and len(missing) < len(counts) - 1:
            yield f"No test row has the label{'s' * (len(missing) > 1)} {listed(missing)}."


def inspect(splits: DatasetDict | Mapping[str, Any], task: Task, *, near: float = NEAR) -> Hygiene:
    """Returns what is odd about the opened splits. `near` is the similarity that counts as near, 0 to 1."""
    places = [(name, number) for name in SPLIT_NAMES for number in splits[name]["row"]]
    texts = [as_text(given) for name in SPLIT_NAMES for given in splits[name][task.input_column]]
    target_column = task.target_column
    targets = [target for name in SPLIT_NAMES if target_column for target in splits[name][target_column]]
    keys = [normalised(text) for text in texts]
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    thumbs = pair_hygiene.thumbs_in(splits)
    # Of answers with thumbs, another answer to the same is no repetition.
    whole = keys if not thumbs else [f"{key}\n{normalised(said)}" for key, said in zip(keys, targets, strict=True)]
    judged = targets if task.is_classification else thumbs

    earlier: dict[str, int] = {}
    duplicates, contradictions = [], []
    for index, key in enumerate(whole):
        before = earlier.setdefault(key, index)
        if before == index:
            continue
        pair = Pair(*places[before], *places[index], 1.0)
        duplicates.append(pair)
        if judged and judged[before] != judged[index]:
            contradictions.append(pair)

    trained = {key for key, (name, _) in zip(keys, places, strict=True) if name == "train"}
    tested = [(key, number) for key, (name, number) in zip(keys, places, strict=True) if name == "test"]
    return Hygiene(
        rows={name: len(splits[name]) for name in SPLIT_NAMES},
        duplicates=tuple(duplicates),
        near_duplicates=tuple(_near_duplicates(keys, places, sorted(first.values()), near)),
        leaked=tuple(number for key, number in tested if key in trained),
        contradictions=tuple(contradictions),
        label_counts=_label_counts(splits, task),
        word_counts=_word_counts(texts, targets, pair_hygiene.worse_in(splits), task),
        answers=pair_hygiene.said_of(splits, task),
    )


def similarity(text_a: str, text_b: str) -> float:
    """Returns the Jaccard similarity of two texts' words and neighbouring words, 0 to 1."""
    return _jaccard(_shingles(normalised(text_a)), _shingles(normalised(text_b)))


def _near_duplicates(
    keys: Sequence[str], places: Sequence[tuple[str, int]], unique: Sequence[int], near: float
) -> Iterator[Pair]:
    """The time for a row is bounded, whatever the others are like: of a bucket `BUCKET_SIZE` rows stand for all,
    and of its likest signatures `COMPARED` a split are looked at exactly. Rows made from one template, half of
    each its own, would cost n² otherwise."""
    import numpy as np

    signatures = _signatures(keys, unique)
    buckets: dict[tuple[int, int], list[int]] = {}
    for here, shared in _shared_buckets(signatures):
        index = unique[here]
        own = _shingles(keys[index])
        likest: dict[str, tuple[float, int]] = {}
        candidates = sorted({candidate for bucket in shared for candidate in buckets.get(bucket, ())})
        estimates = (signatures[candidates] == signatures[here]).mean(axis=1) if candidates else np.empty(0)
        for candidate in _promising(
            candidates, estimates, [places[unique[other]][0] for other in candidates], near
        ):
            other = unique[candidate]
            alike = _jaccard(_shingles(keys[other]), own)
            split, _ = places[other]
            if alike >= near and alike > likest.get(split, (0.0, 0))[0]:
                likest[split] = (alike, other)
        # Of a crowd of like rows one a split stands for all.
        if places[index][0] not in likest:
            for bucket in shared:
                rows = buckets.setdefault(bucket, [])
                if len(rows) < BUCKET_SIZE:
                    rows.append(here)
        for alike, other in likest.values():
            yield Pair(*places[other], *places[index], round(alike, 3))


def _signatures(keys: Sequence[str], unique: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """The MinHash signatures of the unique texts, [n, SIGNATURE_SIZE]."""
    import numpy as np
    from datasketch import MinHash

    signatures = np.empty((len(unique), SIGNATURE_SIZE), dtype=np.uint32)
    shingled = (_shingles(keys[index]) for index in unique)
    for here, signature in enumerate(MinHash.generator(shingled, num_perm=SIGNATURE_SIZE, hashfunc=zlib.crc32)):
        signatures[here] = signature.hashvalues
    return signatures


def _shared_buckets(
    signatures: np.ndarray[Any, np.dtype[np.uint32]],
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(row, its buckets that another row is in too), for the rows that have any. A bucket is (band, number)."""
    import numpy as np

    bands = signatures.reshape(len(signatures), -1, BAND_SIZE).astype(np.uint64)
    mixed = (bands * np.array([1, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)).sum(-1)
    numbers = np.empty(mixed.shape, dtype=np.int64)
    for band in range(mixed.shape[1]):
        _, number, count = np.unique(mixed[:, band], return_inverse=True, return_counts=True)
        numbers[:, band] = np.where(count[number] > 1, number, -1)
    for here in np.flatnonzero((numbers >= 0).any(axis=1)).tolist():
        yield here, [(band, number) for band, number in enumerate(numbers[here].tolist()) if number >= 0]


def _promising(candidates: Sequence[int], estimates: Any, splits: Sequence[str], near: float) -> list[int]:
    """Of the candidates whose signatures are nearly near, the `COMPARED` likest of each split."""
    chosen: list[int] = []
    taken: Counter[str] = Counter()
    for position in sorted(range(len(candidates)), key=lambda position: -float(estimates[position])):
        if estimates[position] < near - ESTIMATE_ERROR:
            break
        if taken[splits[position]] < COMPARED:
            taken[splits[position]] += 1
            chosen.append(candidates[position])
    return sorted(chosen)


def _shingles(key: str) -> set[bytes]:
    """The words and the pairs of neighbours: single words alone would call any two texts on one subject
    alike."""
    compared = words(key[:COMPARED_CHARS])[:COMPARED_WORDS]
    pairs = (f"{left} {right}" for left, right in pairwise(compared))
    return {shingle.encode() for shingle in (*compared, *pairs)}


def _jaccard(a: set[bytes], b: set[bytes]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0


def _label_counts(splits: Mapping[str, Any], task: Task) -> dict[str, dict[str, int]]:
    if not task.is_classification:
        return {}
    counted = {name: Counter(splits[name][task.target_column]) for name in SPLIT_NAMES}
    return {name: {label: counts[label] for label in task.labels} for name, counts in counted.items()}


def _word_counts(
    inputs: Sequence[str], targets: Sequence[Any], worse: Sequence[str], task: Task
) -> dict[str, dict[str, int]]:
    given, wanted = {"chat": ("chat", "last answer"), "text": ("passage", "")}.get(task.kind, task.columns)
    texts = {given: list(inputs)}
    if wanted and not task.is_classification:
        references = (task.references({task.target_column: target}) for target in targets)
        texts[wanted] = [text for several in references for text in several]
    if worse:
        texts["worse answer"] = list(worse)
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

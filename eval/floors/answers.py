"""Answers that need no tuning, so that a score means something: it should stand above these.

Each floor gives predictions, which the harness scores with the same metrics as base and tuned. A turn of a
dialogue is a line `Name: words`, and what follows it up to the next such line. Knows no model: what a frozen one
answers is in `eval.floors.probe`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data.words import words
from plumbing.errors import DataError

MOST_TRAIN_ROWS = 100_000

# "Ana: …", "#Person1#: …", "Dr. Anna Müller: …", "小明：…"; not "https://…", "10:30" or "Look, one thing: …".
_SPEAKER = re.compile(r"^[^\s:：?!,;？！，；][^:：?!,;？！，；]{0,38}(?::(?=\s|$)|：)")


@dataclass(frozen=True)
class Floor:
    """What the page says of a floor."""

    name: str
    sentence: str


FLOORS: dict[str, Floor] = {
    floor.name: floor
    for floor in (
        Floor("majority class", "Always answers the label that is the most frequent in training."),
        Floor(
            "TF-IDF + logistic regression",
            "Weighs words and pairs of words, learned from the same training rows; no language model.",
        ),
        Floor(
            "frozen base + logistic regression",
            "Learns nothing but a head on the base's features, from at most 1,000 of the same training rows.",
        ),
        Floor("first two turns", "Repeats the first two turns of the dialogue word for word."),
        Floor("longest turn", "Repeats the turn with the most words, word for word."),
    )
}
"""Every floor by its name."""


def majority_class(train_labels: Sequence[str], n: int) -> list[str]:
    """The most frequent of `train_labels`, `n` times; of equally frequent ones the first in the alphabet.

    Raises:
        DataError: `train_labels` is empty.
    """
    if not train_labels:
        raise DataError("There is no training row to learn a floor from", fix="Give at least one training row.")
    counts = Counter(train_labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * n


def tfidf_logistic_regression(
    train_texts: Sequence[str], train_labels: Sequence[str], texts: Sequence[str], *, seed: int = 0
) -> list[str]:
    """A label for each of `texts` by logistic regression on TF-IDF of words and pairs of words (tf as 1 + ln tf).

    Memory is bounded: words are hashed to 2^20 columns, so no vocabulary is kept, values are float32, and of
    more than `MOST_TRAIN_ROWS` rows that many are drawn by `seed` (nothing else is random); 100,000 texts of
    200 words need about 1 GB. Where training has one label or no word, its majority class.

    Raises:
        DataError: there are no training rows.
        ValueError: `train_texts` and `train_labels` differ in length.
    """
    rows = list(zip(train_texts, train_labels, strict=True))
    if len(rows) > MOST_TRAIN_ROWS:
        rows = random.Random(seed).sample(rows, MOST_TRAIN_ROWS)
    labels = [label for _, label in rows]
    if len(set(labels)) < 2 or not texts:
        return majority_class(labels, len(texts))

    import numpy as np
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    # Plain counts, neither signed nor normalised, since TF-IDF takes their logarithm.
    plain = {"alternate_sign": False, "norm": None, "dtype": np.float32}
    hashed = HashingVectorizer(n_features=2**20, ngram_range=(1, 2), tokenizer=_terms, token_pattern=None, **plain)
    counts = hashed.transform(text for text, _ in rows)
    used = np.flatnonzero(counts.getnnz(axis=0))  # of few texts, a small part of the columns
    if not used.size:
        return majority_class(labels, len(texts))
    tfidf = TfidfTransformer(sublinear_tf=True)
    classifier = LogisticRegression(C=10, max_iter=1000).fit(tfidf.fit_transform(counts[:, used]), labels)
    return [str(label) for label in classifier.predict(tfidf.transform(hashed.transform(texts)[:, used]))]


def _terms(text: str) -> list[str]:
    """The words of `text` but for single ASCII letters and digits, which say nothing of it."""
    return [word for word in words(text) if len(word) > 1 or not word.isascii()]


def lead_two(dialogue: str) -> str:
    """The first two turns, one a line, each with its speaker's name.

    LEAD-n of dialogue summarisation (Gliwa et al. 2019, https://aclanthology.org/D19-5409), two turns because
    the summaries here have one or two sentences. The names stay, as in the LEAD-3 and LONGEST-3 summaries of
    SAMSum that DialSummEval published (systems C and B of https://github.com/kite99520/DialSummEval).
    """
    return "\n".join(_turns(dialogue)[:2])


def longest_turn(dialogue: str) -> str:
    """The turn with the most words, its speaker's name not counted but kept; the first of equally long ones.

    LONGEST-n, with one turn; the sources are those of `lead_two`.
    """
    return max(_turns(dialogue), key=lambda turn: len(words(_said(turn))), default="")


def _turns(dialogue: str) -> list[str]:
    """The turns that say something, each on one line. Where nobody is named, every line is a turn."""
    turns: list[str] = []
    for line in dialogue.splitlines():
        said = " ".join(line.split())
        if turns and _SPEAKER.match(turns[-1]) and not _SPEAKER.match(said):
            turns[-1] = f"{turns[-1]} {said}".strip()
        elif said:
            turns.append(said)
    return [turn for turn in turns if _said(turn)]


def _said(turn: str) -> str:
    """What the turn says, without its speaker's name."""
    return _SPEAKER.sub("", turn).strip()

"""Labels without a language model: the most frequent one, and word counts."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from data.tasks.task import Input, as_text
from data.words import words
from eval.floors.floor import Example, Floor
from plumbing.errors import DataError

MOST_TRAIN_ROWS = 100_000
_MOST_WEIGHTS = 2**21
"""Columns times labels that the regression weighs: what it needs for its work is some 30 times as many numbers."""


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
    200 words need about 1 GB. With many labels only the columns that most texts have are weighed. Where training
    has one label or no word, its majority class.

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
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    hashed = hashing()
    counts = hashed.transform(text for text, _ in rows)
    in_texts = counts.getnnz(axis=0)
    used = np.flatnonzero(in_texts)  # of few texts, a small part of the columns
    if not used.size:
        return majority_class(labels, len(texts))
    classes = len(set(labels))
    if used.size * (classes if classes > 2 else 1) > _MOST_WEIGHTS:
        used = np.sort(used[np.argsort(-in_texts[used], kind="stable")[: _MOST_WEIGHTS // classes]])
    tfidf = TfidfTransformer(sublinear_tf=True)
    classifier = LogisticRegression(C=10, max_iter=1000 if classes == 2 else 200)
    with warnings.catch_warnings():
        if classes > 2:  # close enough for a floor: its labels hardly change any more
            warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(tfidf.fit_transform(counts[:, used]), labels)
    return [str(label) for label in classifier.predict(tfidf.transform(hashed.transform(texts)[:, used]))]


def hashing() -> Any:
    """What counts words and pairs of words of texts, in 2^20 columns."""
    import numpy as np
    from sklearn.feature_extraction.text import HashingVectorizer

    # Plain counts, neither signed nor normalised, since TF-IDF takes their logarithm.
    plain = {"alternate_sign": False, "norm": None, "dtype": np.float32}
    return HashingVectorizer(n_features=2**20, ngram_range=(1, 2), tokenizer=_terms, token_pattern=None, **plain)


def _terms(text: str) -> list[str]:
    """The words of `text` but for single ASCII letters and digits, which say nothing of it."""
    return [word for word in words(text) if len(word) > 1 or not word.isascii()]


def _majority(inputs: Sequence[Input], train: Sequence[Example]) -> list[str]:
    return majority_class([label for _, label in train], len(inputs))


def _tfidf(inputs: Sequence[Input], train: Sequence[Example]) -> list[str]:
    texts, labels = [as_text(given) for given, _ in train], [label for _, label in train]
    return tfidf_logistic_regression(texts, labels, [as_text(given) for given in inputs])


FLOORS = (
    Floor(
        "majority class", "Always answers the label that is the most frequent in training.", True, answer=_majority
    ),
    Floor(
        "TF-IDF + logistic regression",
        "Weighs words and pairs of words, learned from the same training rows; no language model.",
        True,
        answer=_tfidf,
    ),
)

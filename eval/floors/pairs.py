"""Which of two answers is the better, without a language model: by their lengths, and by their words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from eval.floors.floor import Floor
from eval.floors.labels import MOST_TRAIN_ROWS, hashing

Pair = tuple[str, str]
"""A better and a worse answer."""

LONGER = Floor(
    "longer answer", "Takes the answer with more characters for the better.", doing="taking the longer answer"
)
SHORTER = Floor(
    "shorter answer", "Takes the answer with fewer characters for the better.", doing="taking the shorter answer"
)
DIFFERENCE = Floor(
    "TF-IDF + logistic regression on the difference",
    "Weighs words and pairs of words that one answer has and the other lacks, learned from the same training "
    "pairs; it reads no question.",
    True,
)
FLOORS = (LONGER, SHORTER, DIFFERENCE)


def pair_margins(pairs: Sequence[Pair], train: Sequence[Pair]) -> dict[str, list[float]]:
    """By each floor's name, by how much it prefers the better answer of each pair; below 0 it takes the worse.

    That which learns is left out without training pairs.
    """
    longer = [float(length(better) - length(worse)) for better, worse in pairs]
    found = {LONGER.name: longer, SHORTER.name: [-margin for margin in longer]}
    return found | ({DIFFERENCE.name: difference_margins(pairs, train)} if train else {})


def length(answer: str) -> int:
    """Characters of an answer, without what stands around it."""
    return len(answer.strip())


def difference_margins(pairs: Sequence[Pair], train: Sequence[Pair], *, seed: int = 0) -> list[float]:
    """The log-odds that a logistic regression on differences of TF-IDF gives the better answer of each pair.

    Which of the two stands first says nothing, so there is no intercept. Memory is bounded as that of
    `labels.tfidf_logistic_regression`.
    """
    import numpy as np
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    if len(train) > MOST_TRAIN_ROWS:
        train = random.Random(seed).sample(train, MOST_TRAIN_ROWS)
    hashed = hashing()

    def counted(some: Sequence[Pair]) -> Any:
        return hashed.transform([text for side in zip(*some, strict=True) for text in side])

    counts = counted(train)
    used = np.flatnonzero(counts.getnnz(axis=0))  # of few texts, a small part of the columns
    if not used.size or not pairs:
        return [0.0] * len(pairs)
    tfidf = TfidfTransformer(sublinear_tf=True).fit(counts[:, used])

    def differences(counts: Any, n: int) -> Any:
        values = tfidf.transform(counts[:, used])
        return values[:n] - values[n:]

    learned = differences(counts, len(train))
    regression = LogisticRegression(C=10, max_iter=1000, fit_intercept=False)
    regression.fit(vstack([learned, -learned]), [1] * len(train) + [0] * len(train))
    margins = regression.decision_function(differences(counted(pairs), len(pairs)))
    return [float(margin) for margin in margins]

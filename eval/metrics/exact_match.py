"""Exact match: the share of answers that are a reference but for case, punctuation and articles.

As SQuAD's evaluation has it (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250), in any script.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

from eval.metrics.metric import Metric

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def is_exact(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer is one of the references once both are normalised, else 0.0."""
    return float(normalised(answer) in map(normalised, references))


def normalised(text: str) -> str:
    """`text` without case, punctuation of any script, English articles and needless white space.

    On ASCII text equal to the normalisation of SQuAD's own script.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(sign for sign in folded if not _is_left_out(sign))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def _is_left_out(sign: str) -> bool:
    if sign.isascii():
        return sign in string.punctuation
    category = unicodedata.category(sign)
    return category[0] == "P" or category == "Cf"  # Cf: what is not seen, such as a joiner


METRIC = Metric("exact_match", "exact match", "binary", ("generation", "chat"), row=is_exact)

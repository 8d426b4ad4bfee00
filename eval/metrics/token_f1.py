"""Token F1: how many words an answer shares with a reference, whatever their order.

SQuAD's F1 (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250) over the words of `data.words`, in any script;
articles count as words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data.words import words
from eval.metrics.metric import Metric


def token_f1(answer: str, references: Sequence[str]) -> float:
    """Harmonic mean of the precision and recall of the answer's words, 0 to 1, with the reference that suits best.

    Without a word on either side 1 where neither has one, else 0.
    """
    said = Counter(words(answer))
    return max(_f1(said, Counter(words(reference))) for reference in references)


def _f1(said: Counter[str], wanted: Counter[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (said & wanted).total() / (said.total() + wanted.total())


# A word more or less in an answer of twenty moves it by about 0.05.
METRIC = Metric("token_f1", "token F1", "real", ("generation", "chat"), flip=0.05, row=token_f1, limits=(0.0, 1.0))

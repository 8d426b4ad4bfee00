"""What the frozen base of a classifier knows: logistic regression on its features, with no weight of it trained.

The base side of a classifier has a head of random numbers, so that it answers by chance, and any training beats it.
This is the fair rival: the same base and the same training rows, and only a head is learned.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from data.tasks.task import as_text
from eval.floors.floor import Example, Floor
from eval.floors.labels import majority_class
from models.batches import like_lengths
from models.pair import Pair

MOST_TRAIN_ROWS = 1_000
"""Training rows that the head learns from, drawn where there are more: each costs one forward of the base."""
FLOOR = Floor(
    "frozen base + logistic regression",
    f"Learns nothing but a head on the base's features, from at most {MOST_TRAIN_ROWS:,} of the same training "
    "rows.",
    True,
)
_BATCH_SIZE = 64
_BATCH_TOKENS = 8192


def probe(
    pair: Pair,
    train: Sequence[Example],
    texts: Sequence[str],
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """A label for each of `texts`; where training has one label only, that one.

    Args:
        pair: of kind `classifier`.
        train: input and label of each training row; of more than `MOST_TRAIN_ROWS` so many are drawn by `seed`.
        texts: what to label.
        seed: of the draw; nothing else is random.
        on_progress: called with texts done and of all, the training rows among them.

    Raises:
        DataError: there are no training rows.
    """
    rows = list(train)
    if len(rows) > MOST_TRAIN_ROWS:
        rows = random.Random(seed).sample(rows, MOST_TRAIN_ROWS)
    labels = [label for _, label in rows]
    if len(set(labels)) < 2 or not texts:
        return majority_class(labels, len(texts))

    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = _features(pair, [*(as_text(given) for given, _ in rows), *texts], on_progress)
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    head.fit(features[: len(rows)], labels)
    return [str(label) for label in head.predict(features[len(rows) :])]


def _features(
    pair: Pair, texts: Sequence[str], on_progress: Callable[[int, int], None] | None
) -> list[list[float]]:
    """The base's last hidden states, a mean over the tokens of each text: [len(texts), H]."""
    import torch

    encoded = pair.tokenizer(list(texts))["input_ids"]  # too long ones were refused, none is cut
    found: dict[int, list[float]] = {}
    for indexes in like_lengths([len(ids) for ids in encoded], _BATCH_SIZE, _BATCH_TOKENS):
        inputs = pair.tokenizer.pad({"input_ids": [encoded[index] for index in indexes]}, return_tensors="pt")
        with torch.inference_mode(), pair.side(False) as model:
            inputs = inputs.to(model.device)
            hidden = model(**inputs, output_hidden_states=True).hidden_states[-1].float()  # [B, T, H]
        mask = inputs["attention_mask"][:, :, None]
        means = (hidden * mask).sum(1) / mask.sum(1)
        found |= dict(zip(indexes, means.tolist(), strict=True))
        if on_progress:
            on_progress(len(found), len(texts))
    return [found[index] for index in range(len(texts))]

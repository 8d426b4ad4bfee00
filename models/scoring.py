"""Log-likelihoods: how probable base and tuned find each label after the prompt. No sampling.

One forward pass holds base rows and tuned rows; only the positions that predict a label's tokens go through
the vocabulary projection, and the log-softmax over it is taken in float32.

Shapes: B rows, T tokens, L labels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.adapters import BASE, TUNED
from models.pair import Pair

if TYPE_CHECKING:
    import torch

_CLASSIFIER_MAX_TOKENS = 512


@dataclass(frozen=True)
class LabelScores:
    """Log-probabilities of the task's labels for one text, [L] each, normalised over the labels."""

    base: list[float]
    tuned: list[float]


def score_labels(
    pair: Pair,
    texts: Sequence[str],
    *,
    batch_size: int = 16,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[LabelScores]:
    """Score every label of the pair's task for each of `texts`, in their order.

    Args:
        pair: base and tuned.
        texts: inputs of a classification task.
        batch_size: texts a forward pass; each stands in it twice, for base and for tuned.
        on_batch: called with the number of texts done and of all.
    """
    import torch

    score = _score_causal if pair.kind == "causal" else _score_classifier
    # Rows of like length share a batch, so that little of it is padding.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    scores: list[LabelScores | None] = [None] * len(texts)
    done = 0
    for indexes in _batches(order, batch_size):
        with torch.inference_mode():
            base, tuned = score(pair, [texts[index] for index in indexes])
        for row, index in enumerate(indexes):
            scores[index] = LabelScores(base[row].tolist(), tuned[row].tolist())
        done += len(indexes)
        if on_batch:
            on_batch(done, len(texts))
    return [score for score in scores if score is not None]


def _score_causal(pair: Pair, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sides' label log-probabilities, [B, L] each.

    Every label is one continuation of the prompt. Labels that share all but their last token cost one row
    between them, so two one-token labels, the usual case, are scored in one forward pass of one row a text.
    """
    import torch

    assert pair.prompter is not None
    prompts = [pair.prompter.encode_prompt(text) for text in texts]
    labels = [pair.prompter.encode_target(label) for label in pair.task.labels]
    stems = sorted({tuple(label[:-1]) for label in labels})
    total = torch.zeros(2 * len(texts), len(labels))
    for stem in stems:
        rows = [prompt + list(stem) for prompt in prompts] * 2
        wanted = len(stem) + 1  # positions whose prediction counts: every stem token, and the last one
        log_probs = _last_log_probs(pair, rows, wanted, tuned_rows=len(texts))
        shared = sum(
            (log_probs[:, position, token] for position, token in enumerate(stem)),
            torch.zeros(len(rows)),
        )
        for column, label in enumerate(labels):
            if tuple(label[:-1]) == stem:
                total[:, column] = shared + log_probs[:, -1, label[-1]]
    total = total.log_softmax(dim=-1)
    return total[: len(texts)], total[len(texts) :]


def _last_log_probs(pair: Pair, rows: list[list[int]], wanted: int, *, tuned_rows: int) -> torch.Tensor:
    """Float32 log-probabilities at the last `wanted` positions of each row, [B, wanted, V].

    The last `tuned_rows` of the rows go through the adapter, the others do not.
    """
    batch = pair.batch(rows)
    positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    logits = pair.model(
        **batch,
        position_ids=positions,
        adapter_names=[BASE] * (len(rows) - tuned_rows) + [TUNED] * tuned_rows,
        logits_to_keep=wanted,
        use_cache=False,
    ).logits
    log_probs: torch.Tensor = logits.float().log_softmax(dim=-1).cpu()
    return log_probs


def _score_classifier(pair: Pair, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sides' class log-probabilities, [B, L] each; the base's head is the untrained one."""
    inputs = pair.tokenizer(
        texts, padding=True, truncation=True, max_length=_CLASSIFIER_MAX_TOKENS, return_tensors="pt"
    ).to(pair.model.device)
    # peft cannot mix rows with and without a trained head in one batch, so these are two passes.
    with pair.model.disable_adapter():
        base = pair.model(**inputs).logits
    tuned = pair.model(**inputs).logits
    return base.float().log_softmax(dim=-1).cpu(), tuned.float().log_softmax(dim=-1).cpu()


def _batches(order: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]

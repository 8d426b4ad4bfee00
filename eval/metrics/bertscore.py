"""BERTScore of answers, where an encoder is on this machine already. Never fetched for its sake.

Every word piece of an answer is matched with the most similar one of the reference, and the other way round, by
the cosine of their contextual embeddings; F1 of the two means (Zhang et al. 2020, https://arxiv.org/abs/1904.09675).
The encoder's last layer, no inverse document frequencies, no rescaling: values compare with each other only, not
with those of other encoders. Exploratory by that.

Shapes: A and R tokens of answer and reference, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eval.metrics.metric import Metric
from models.building import one_at_a_time

if TYPE_CHECKING:
    import torch

    from models.resolved import ResolvedModel

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
_BATCH_SIZE = 64
_MAX_TOKENS = 256


class BertScore:
    """An encoder that compares texts."""

    @one_at_a_time()
    def __init__(self, source: ResolvedModel) -> None:
        from transformers import AutoModel

        from models.loading import device, load_tokenizer

        self._tokenizer = load_tokenizer(source)
        self._model = AutoModel.from_pretrained(source.path, local_files_only=True).to(device()).eval()

    @classmethod
    def local(cls) -> BertScore | None:
        """One on the encoder that is here; None where there is none."""
        from models.sources import in_reach

        source = in_reach(ENCODER)
        return cls(source) if source else None

    def f1(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """F1 of each answer with the reference that gives it the most, 0 to 1; 0 for an empty answer."""
        texts = sorted({*answers, *(text for listed in references for text in listed)}, key=len)
        embedded: dict[str, torch.Tensor] = {}
        for start in range(0, len(texts), _BATCH_SIZE):
            batch = texts[start : start + _BATCH_SIZE]
            embedded |= zip(batch, self._embed(batch), strict=True)
        return [
            max(_f1(embedded[answer], embedded[reference]) for reference in listed)
            for answer, listed in zip(answers, references, strict=True)
        ]

    def _embed(self, texts: list[str]) -> list[torch.Tensor]:
        """Each text's unit embeddings, [A, H], without the special tokens."""
        import torch

        inputs = self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=_MAX_TOKENS,
            return_special_tokens_mask=True,
            return_tensors="pt",
        ).to(self._model.device)
        kept = inputs.pop("special_tokens_mask") == 0
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state.float()
        unit = torch.nn.functional.normalize(hidden, dim=-1).cpu()
        return [unit[row][kept[row].cpu()] for row in range(len(texts))]


def _f1(answer: torch.Tensor, reference: torch.Tensor) -> float:
    """Of unit embeddings [A, H] and [R, H]."""
    if not len(answer) or not len(reference):
        return 0.0
    similarity = answer @ reference.T  # [A, R]
    precision = similarity.max(dim=1).values.mean().item()
    recall = similarity.max(dim=0).values.mean().item()
    return max(0.0, 2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


def bertscore(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[float] | None:
    """F1 of each answer; None where the encoder is not on this machine."""
    encoder = BertScore.local()
    return encoder.f1(answers, references) if encoder else None


METRIC = Metric("bertscore", "BERTScore (MiniLM)", "real", ("generation", "chat"), flip=0.05, rows=bertscore)

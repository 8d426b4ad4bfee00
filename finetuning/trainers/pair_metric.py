"""The share of pairs whose better answer gets the higher reward, while a reward model learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetuning.trainers.tuning import without_adapter_wrapper
from models.prompting import Prompter
from models.reward import rewards_of_rows, rows_of_pairs

if TYPE_CHECKING:
    from datasets import Dataset


class PairMetric:
    """Of all rows that the validation loss is measured on: it costs no more than that."""

    def __init__(self, rows: Dataset, prompter: Prompter) -> None:
        self._pad = int(prompter.tokenizer.pad_token_id)
        self._better, self._worse = rows_of_pairs(prompter, rows)

    def __call__(self, model: Any) -> float:
        """Of `model`, which may be a peft one; it is left as it was."""
        from models.fast.llama import LlamaLayers
        from models.fast.supports import supports

        bare, trained = without_adapter_wrapper(model), model.training
        model.eval()
        try:
            layers = LlamaLayers(bare) if supports(bare) else None
            rewards = rewards_of_rows(model, [*self._better, *self._worse], pad=self._pad, layers=layers)
        finally:
            model.train(trained)
        better, worse = rewards[: len(self._better)], rewards[len(self._better) :]
        return sum(one > other for one, other in zip(better, worse, strict=True)) / len(better)

"""Learning from pairs: TRL's `DPOTrainer`, on rows of ours, with the reference measured beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import DPOConfig, DPOTrainer

from finetuning.recipe import Recipe
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.reference import AgainstReference, weighted


class PairTrainer(AgainstReference, DPOTrainer):
    """`DPOTrainer` on rows from `preparation.encode_pairs`."""

    measures: tuple[str, ...] = ("ref_chosen_logps", "ref_rejected_logps")
    columns: ClassVar[tuple[str, ...]] = ("prompt_ids", "chosen_ids", "rejected_ids", *measures)

    def row_lengths(self, rows: Any) -> list[int]:
        columns = (rows[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
        return [len(prompt) + max(len(one), len(other)) for prompt, one, other in zip(*columns, strict=True)]

    def reference_of(self, inputs: dict[str, Any]) -> Sequence[Tensor]:
        found = self.summed_log_probs(inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"])
        return found.chunk(2)  # the better ones, then the worse

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[float, float]:
        self.seen.append(pairs := len(inputs["input_ids"]) // 2)
        loss = self._compute_loss(self.model, inputs, return_outputs=False)  # type: ignore[no-untyped-call]
        return float(loss) * pairs, pairs

    def also_measured(self) -> dict[str, float]:
        pairs, self.seen = self.seen, []
        found = {name: each for name, each in self._metrics["eval"].items() if name.startswith("rewards/")}
        return {name: weighted(values, pairs) for name, values in found.items() if len(values) == len(pairs)}


def pair_trainer(
    settings: dict[str, Any],
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
    validation: Dataset | None = None,
) -> PairTrainer:
    """A trainer for rows from `preparation.encode_pairs`; after `prepare` it is ready for `.train()`.

    `settings` are those of `DPOConfig` that are the way's own.
    """
    arguments = DPOConfig(
        **shared_arguments(recipe, output, len(train)),
        **settings,
        max_length=None,  # rows that are too long were refused, none is cut
        precompute_ref_log_probs=True,
        disable_dropout=not getattr(recipe.strategy, "dropout", 0),
    )
    return PairTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        callbacks=callbacks,
    )

"""Learning from thumbs: TRL's `KTOTrainer`, on rows of ours, with the reference measured beforehand.

How far the model is from its reference on average is estimated by answers to other prompts than their own. Each
row keeps one such answer, of its own batch, so that the reference of that can be measured beforehand, too. So the
batches are the same in every epoch, and only their order is another. Answers to one prompt stay together: it is
computed once then, and a batch has thumbs of both kinds where there are both for each prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import KTOConfig, KTOTrainer

from finetuning.recipe import Recipe
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.lengths import LikeLengthSampler
from finetuning.trainers.reference import AgainstReference, weighted
from finetuning.trainers.together import summed
from models.fast.groups import grouped

_OTHER = "KL_completion_ids"


class SamePromptSampler(LikeLengthSampler):
    """The same batches in every epoch, of prompts of like length, with the answers to each one after the other."""

    def __init__(self, prompts: Sequence[Sequence[int]], batch_size: int, *, seed: int) -> None:
        super().__init__([len(prompt) for prompt in prompts], batch_size, seed=seed, regroup=False)
        self._of_one_prompt = grouped([tuple(prompt) for prompt in prompts])

    def _batches(self, generator: torch.Generator) -> list[list[int]]:
        order = torch.randperm(len(self._of_one_prompt), generator=generator).tolist()
        groups = [self._of_one_prompt[number] for number in order]
        rows: list[int] = []
        for start in range(0, len(groups), self.pool):
            pool = sorted(groups[start : start + self.pool], key=lambda places: self.lengths[places[0]])
            rows += [place for places in pool for place in places]
        return [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]


class ThumbTrainer(AgainstReference, KTOTrainer):
    """`KTOTrainer` on rows from `preparation.encode_thumbs`."""

    measures: tuple[str, ...] = ("ref_logps", "ref_KL_logps")
    columns: ClassVar[tuple[str, ...]] = ("prompt_ids", "completion_ids", _OTHER, "label", *measures)

    calculate_KL: bool

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.calculate_KL:
            self.measures = ThumbTrainer.measures[:1]

    def row_lengths(self, rows: Any) -> list[int]:
        return [len(prompt) for prompt in rows["prompt_ids"]]  # which answers to the same have in common

    def train_batches(self) -> list[list[int]]:
        return self._get_train_sampler().batches()

    def laid_out(self, rows: Dataset, batches: Sequence[Sequence[int]]) -> Dataset:
        if not self.calculate_KL:
            return rows
        others = answers_of_others(rows["prompt_ids"][:], batches)
        answers = rows["completion_ids"][:]
        return rows.add_column(_OTHER, [answers[place] for place in others])

    def reference_of(self, inputs: dict[str, Any]) -> Sequence[Tensor]:
        names = ("input_ids", "attention_mask", "completion_mask")
        kinds = ("", "KL_") if self.calculate_KL else ("",)
        return [self.summed_log_probs(*(inputs[f"{kind}{name}"] for name in names)) for kind in kinds]

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[float, float]:
        count, up = len(inputs["label"]), int(inputs["label"].sum())
        self.seen.append((up, count - up))
        loss = self._compute_loss(self.model, inputs, return_outputs=False)  # type: ignore[no-untyped-call]
        return float(loss) * count, count

    def also_measured(self) -> dict[str, float]:
        thumbs, self.seen = self.seen, []
        values = self._metrics["eval"]
        counts = {
            "rewards/chosen": [up for up, _ in thumbs if up],
            "rewards/rejected": [down for _, down in thumbs if down],
            "kl": [up + down for up, down in thumbs],
        }
        found = {name: weighted(values[name], each) for name, each in counts.items() if values.get(name)}
        if {"rewards/chosen", "rewards/rejected"} <= found.keys():
            found["rewards/margins"] = found["rewards/chosen"] - found["rewards/rejected"]
        return found

    def _compute_kl_logps(self, model: Any, batch: dict[str, Any]) -> Any:
        """TRL takes the mean of what the processes have found, of however many answers; the batch's counts."""
        found = super()._compute_kl_logps(model, batch)  # type: ignore[no-untyped-call]
        if self.share is None or self.share.even or found is None:
            return found
        own = (found - batch["ref_KL_logps"]).mean()
        all_rows = summed(own * self.share.weight) / self.args.world_size
        return found - own + all_rows.to(found)

    def _get_train_sampler(self, train_dataset: Any = None) -> SamePromptSampler:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        return SamePromptSampler(rows["prompt_ids"][:], self.args.train_batch_size, seed=self.args.seed)


def answers_of_others(prompts: Sequence[Sequence[int]], batches: Sequence[Sequence[int]]) -> list[int]:
    """For each row the place of one whose answer was given to another prompt.

    Where that can be, each answer of a batch is taken once: the estimate is of those that are learned from.

    Args:
        prompts: as tokens.
        batches: places of the rows, each once.
    """
    found = list(range(len(prompts)))
    for batch in batches:
        most = 0
        for back in range(1, len(batch)):
            others = [batch[number - back] for number in range(len(batch))]
            apart = sum(prompts[one] != prompts[other] for one, other in zip(batch, others, strict=True))
            if apart > most:
                most = apart
                for one, other in zip(batch, others, strict=True):
                    found[one] = other
            if most == len(batch):
                break
    # A batch may be of one prompt, mostly: then it is any row with another.
    another = next((place for place in range(len(prompts)) if prompts[place] != prompts[0]), 0)
    for place, other in enumerate(found):
        if prompts[other] == prompts[place]:
            found[place] = 0 if prompts[place] != prompts[0] else another
    return found


def thumb_trainer(
    settings: dict[str, Any],
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
    validation: Dataset | None = None,
) -> ThumbTrainer:
    """A trainer for rows from `preparation.encode_thumbs`; after `prepare` it is ready for `.train()`.

    `settings` are those of `KTOConfig` that are the way's own.
    """
    arguments = KTOConfig(
        **shared_arguments(recipe, output, len(train)),
        **settings,
        max_length=None,  # rows that are too long were refused, none is cut
        precompute_ref_log_probs=True,
        disable_dropout=not getattr(recipe.strategy, "dropout", 0),
    )
    return ThumbTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        callbacks=callbacks,
    )

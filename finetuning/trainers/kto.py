"""Learning from thumbs: TRL's `KTOTrainer`, on rows of ours, with the reference measured beforehand.

How far the model is from its reference on average is estimated by answers to other prompts than their own. Each
row keeps one such answer, of its own batch, so that the reference of that can be measured beforehand, too. So the
batches are the same in every epoch, and only their order is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from datasets import Dataset
from torch import Tensor
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import KTOConfig, KTOTrainer

from finetuning.recipe import Recipe
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.lengths import LikeLengthSampler
from finetuning.trainers.reference import AgainstReference, weighted

_OTHER = "KL_completion_ids"


class ThumbTrainer(AgainstReference, KTOTrainer):
    """`KTOTrainer` on rows from `preparation.encode_thumbs`."""

    measures = ("ref_logps", "ref_KL_logps")
    columns: ClassVar[tuple[str, ...]] = ("prompt_ids", "completion_ids", _OTHER, "label", *measures)

    calculate_KL: bool

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.calculate_KL:
            self.measures = ThumbTrainer.measures[:1]
        self._thumbs: list[tuple[int, int]] = []
        """How many up and down each batch has had since the last measurement."""

    def row_lengths(self, rows: Any) -> list[int]:
        both = zip(rows["prompt_ids"], rows["completion_ids"], strict=True)
        return [len(prompt) + len(answer) for prompt, answer in both]

    def train_batches(self) -> list[list[int]]:
        return self._sampler(self.train_dataset).batches()

    def laid_out(self, rows: Dataset, batches: Sequence[Sequence[int]]) -> Dataset:
        if not self.calculate_KL:
            return rows
        others = answers_of_others(rows["prompt_ids"][:], batches)
        answers = rows["completion_ids"][:]
        return rows.add_column(_OTHER, [answers[place] for place in others])  # type: ignore[call-arg]

    def reference_of(self, inputs: dict[str, Any]) -> Sequence[Tensor]:
        names = ("input_ids", "attention_mask", "completion_mask")
        kinds = ("", "KL_") if self.calculate_KL else ("",)
        return [self.summed_log_probs(*(inputs[f"{kind}{name}"] for name in names)) for kind in kinds]

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[float, float]:
        count, up = len(inputs["label"]), int(inputs["label"].sum())
        self._thumbs.append((up, count - up))
        loss = self._compute_loss(self.model, inputs, return_outputs=False)
        return float(loss) * count, count

    def also_measured(self) -> dict[str, float]:
        thumbs, self._thumbs = self._thumbs, []
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

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._sampler(train_dataset if train_dataset is not None else self.train_dataset)

    def _sampler(self, rows: Any) -> LikeLengthSampler:
        return LikeLengthSampler(
            self.row_lengths(rows), self.args.train_batch_size, seed=self.args.seed, regroup=False
        )


def answers_of_others(prompts: Sequence[Sequence[int]], batches: Sequence[Sequence[int]]) -> list[int]:
    """For each row the place of one whose answer was given to another prompt: before it in its batch, if there is.

    Args:
        prompts: as tokens.
        batches: places of the rows, each once.
    """
    found = list(range(len(prompts)))
    for batch in batches:
        for number, place in enumerate(batch):
            before = (batch[(number - back) % len(batch)] for back in range(1, len(batch)))
            found[place] = next((other for other in before if prompts[other] != prompts[place]), place)
    # A batch may be of one prompt alone: then it is any row with another.
    other = next((place for place in range(len(prompts)) if prompts[place] != prompts[0]), 0)
    return [
        (0 if prompts[place] != prompts[0] else other) if one == place else one for place, one in enumerate(found)
    ]


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

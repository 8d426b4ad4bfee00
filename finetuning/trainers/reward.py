"""Fine-tuning of a reward model: TRL's `RewardTrainer`, on pairs of a better and a worse answer to one prompt.

The loss is that of Bradley and Terry (1952), -log sigmoid(better - worse), the mean over the pairs; see Ouyang et
al. 2022, https://arxiv.org/abs/2203.02155. What is ours in it is speed on a CPU, with equal losses and gradients:
the prompt goes through the layers once for both of its answers (`models.fast.ends`).
"""

from __future__ import annotations

import functools
import types
from statistics import fmean
from typing import Any, ClassVar

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from transformers.modeling_outputs import SequenceClassifierOutputWithPast
from trl import RewardConfig, RewardTrainer

from finetuning.recipe import Recipe
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.tuning import Tuning, without_adapter_wrapper
from models.fast.ends import ends_of_rows
from models.fast.llama import LlamaLayers
from models.fast.supports import supports


class PairsTrainer(Tuning, RewardTrainer):
    """`RewardTrainer` that computes the prompt of a pair once."""

    columns: ClassVar[tuple[str, ...]] = ("chosen_ids", "rejected_ids")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.accelerator.device.type == "cpu":
            share_prompts(without_adapter_wrapper(self.model))

    def row_lengths(self, rows: Any) -> list[int]:
        both = zip(*(map(len, rows[column]) for column in self.columns), strict=True)
        return [2 * max(lengths) for lengths in both]

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[float, float]:
        better, worse = self.model(**inputs, use_cache=False).logits[:, 0].float().chunk(2)
        self.seen += (better - worse).tolist()
        losses = -logsigmoid(better - worse)
        if (coefficient := self.args.center_rewards_coefficient) is not None:
            losses += coefficient * (better + worse) ** 2
        return float(losses.sum()), len(better)

    def also_measured(self) -> dict[str, float]:
        margins, self.seen = self.seen, []
        if not margins:
            return {}
        accuracy = fmean(margin > 0 for margin in margins)
        return {"accuracy": accuracy, "metric": accuracy, "margin": fmean(margins)}


def reward_trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
    validation: Dataset | None = None,
    *,
    center_rewards_coefficient: float | None = None,
) -> PairsTrainer:
    """A trainer for rows with `chosen_ids` and `rejected_ids`, ready for `.train()`."""
    arguments = RewardConfig(
        **shared_arguments(recipe, output, len(train)),
        max_length=None,  # rows that are too long were refused, none is left out
        # TRL's default, unless somebody has asked for some: both answers of a pair go through the same model.
        disable_dropout=not getattr(recipe.strategy, "dropout", 0.0),
        center_rewards_coefficient=center_rewards_coefficient,
    )
    return PairsTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def share_prompts(model: PreTrainedModel) -> None:
    """Let `model`, which has a head over a row's last token, compute what rows begin with once.

    For the models whose layers `models.fast.supports` lists, and rows that are padded behind their ends; whatever
    else it is given goes through its own modules. What is active in the model, and trained, is seen at each call.
    """
    own = model.forward
    layers: LlamaLayers | None = None

    @functools.wraps(type(model).forward)
    def forward(self: Any, *arguments: Any, **inputs: Any) -> Any:
        nonlocal layers
        rows = None if arguments or self.is_activation_checkpointing else _rows(inputs, self.config)
        if rows is None or not supports(self):
            return own(*arguments, **inputs)
        if layers is None or not layers.is_current:
            layers = LlamaLayers(self)
        return SequenceClassifierOutputWithPast(logits=self.score(ends_of_rows(layers, rows)))

    model.forward = types.MethodType(forward, model)


def _rows(inputs: dict[str, Any], config: Any) -> list[list[int]] | None:
    """The rows of tokens that are given, up to where the library reads them; None where there is more than rows."""
    mask, ids = inputs.get("attention_mask"), inputs.get("input_ids")
    given = {name for name, value in inputs.items() if value is not None}  # peft names all that there could be
    if mask is None or ids is None or not given <= {"input_ids", "attention_mask", "use_cache", "return_dict"}:
        return None
    if mask.dim() != 2 or not bool((mask[:, 1:] <= mask[:, :-1]).all()):
        return None
    # The library reads a row at its last token that is none for padding, whatever the mask says.
    real = ids != config.get_text_config().pad_token_id
    ends = real.shape[1] - real.flip(1).to(torch.int8).argmax(1)
    if bool((ends > mask.sum(1)).any() or (~real.any(1)).any()):
        return None
    return [row[:end] for row, end in zip(ids.tolist(), ends.tolist(), strict=True)]

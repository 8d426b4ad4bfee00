"""A reward model: a language model with a head of one number learns which of two answers is the better.

It writes nothing. Its numbers are what another model learns to get more of, and only differences between answers to
one prompt mean anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from data.tasks.task import REJECTED
from finetuning.strategies.strategy import ModelKind
from finetuning.ways.answering import Answering

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.reward import PairsTrainer


class Reward(Answering):
    """Two answers to one prompt: the better one is to get the higher number."""

    kind: Literal["reward"] = "reward"
    center_rewards_coefficient: Annotated[float, Field(ge=0, le=10)] | None = None
    """The sum of a pair's two rewards squared, times this, is added to the loss, so that rewards stay about 0
    (Eisenstein et al. 2023, https://arxiv.org/abs/2312.09244, equation 2; 0.01 is recommended). Left out: they are
    wherever they happen to be, which changes no order."""

    model_kind: ClassVar[ModelKind] = "reward"
    writes: ClassVar[bool] = False
    besides: ClassVar[tuple[str, ...]] = (REJECTED,)
    recipe: ClassVar[str] = "dialogue-smollm2-reward"
    title: ClassVar[str] = "reward model"
    answers_a_row: ClassVar[int] = 2
    loss_unit: ClassVar[str] = "nats a pair"
    curves: ClassVar[tuple[str, ...]] = ("accuracy", "margin")
    pipeline: ClassVar[str] = "text-classification"
    marked: ClassVar[str] = (
        "One pair as the model sees it. Marked are its two answers, each of which follows the prompt by itself: "
        "the model learns to give the first a higher number than the second."
    )

    def refused(self, task: Task) -> str | None:
        if task.kind in ("generation", "chat"):
            return None
        what = "raw text has no answers; give pairs of them"
        if task.is_classification:
            what = "a label is right or wrong; way: sft can learn it"
        return f"a reward model learns which of two answers is the better, and {what}"

    def does(self, task: Task) -> str:
        return (
            f"A reward model: it gives an answer to a {task.noun[0]} one number, the higher the better, and writes "
            f"nothing itself. The task of the answers: {task.learns}"
        )

    def encode(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        task: Task,
        *,
        limit: int | None = None,
    ) -> Dataset:
        from finetuning.preparation import encode_for_reward

        return encode_for_reward(rows, self.prompter(tokenizer, task), recipe.training.max_tokens, limit=limit)

    def require_room(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        *,
        limit: int | None,
        new_tokens: int,
    ) -> None:
        from models.context import require_room_for_pairs

        require_room_for_pairs(rows, self.prompter(tokenizer, task), limit=limit)

    def task_metric(self, rows: Dataset, tokenizer: PreTrainedTokenizerBase, recipe: Recipe, task: Task) -> None:
        return None

    def trainer(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset,
        output: str,
        callbacks: list[TrainerCallback],
        validation: Dataset | None = None,
    ) -> PairsTrainer:
        from finetuning.trainers.reward import reward_trainer

        return reward_trainer(
            recipe,
            model,
            tokenizer,
            train,
            output,
            callbacks,
            validation,
            center_rewards_coefficient=self.center_rewards_coefficient,
        )

"""Direct preference optimisation: of two answers to a prompt the better one is made more probable than the worse.

DPO: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290. It stands for a reward model and the policy that is
optimised against it: the reward of an answer is beta times what its log-probability has gained on the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from data.tasks.task import REJECTED
from finetuning.ways.preferring import Preferring

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.dpo import PairTrainer


class Dpo(Preferring):
    """Pairs of a better and a worse answer."""

    kind: Literal["dpo"] = "dpo"
    loss: Literal["sigmoid", "hinge", "ipo", "robust"] = "sigmoid"
    """sigmoid: DPO's own. hinge: nothing more is learned from a pair whose rewards are 1 apart (SLiC,
    https://arxiv.org/abs/2305.10425). ipo: they are to be half of 1 / beta a token apart and no more, which holds
    back where all pairs are clear (https://arxiv.org/abs/2310.12036). robust: some pairs are the wrong way round
    (https://arxiv.org/abs/2403.00409)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """The share of pairs that are thought to be the wrong way round; with loss: robust."""

    besides: ClassVar[tuple[str, ...]] = (REJECTED,)
    recipe: ClassVar[str] = "dialogue-smollm2-dpo"
    title: ClassVar[str] = "preferences (DPO)"
    marked: ClassVar[str] = (
        "One row as the model sees it. Marked are its two answers, each of which follows the prompt by itself: the "
        "model learns to find the first more probable than the second."
    )
    loss_unit: ClassVar[str] = "nats a pair"
    curves: ClassVar[tuple[str, ...]] = (
        "rewards/accuracies",
        "rewards/margins",
        "rewards/chosen",
        "rewards/rejected",
    )
    answers_a_row: ClassVar[int] = 2

    @model_validator(mode="after")
    def _fits_together(self) -> Dpo:
        if self.label_smoothing and self.loss != "robust":
            raise ValueError("label_smoothing: only loss: robust knows of pairs that are the wrong way round")
        if self.loss == "robust" and not self.label_smoothing:
            raise ValueError(
                "label_smoothing: loss: robust needs the share of pairs that are the wrong way round; set 0.1"
            )
        return self

    def about(self) -> str:
        loss = "" if self.loss == "sigmoid" else f", loss {self.loss}"
        return f"It learned from pairs of answers, by direct preference optimisation (beta {self.beta:g}{loss})."

    def encode(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        task: Task,
        *,
        limit: int | None = None,
    ) -> Dataset:
        from finetuning.preparation import encode_pairs

        return encode_pairs(rows, self.prompter(tokenizer, task), recipe.training.max_tokens, limit=limit)

    def trainer(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset,
        output: str,
        callbacks: list[TrainerCallback],
        validation: Dataset | None = None,
    ) -> PairTrainer:
        from finetuning.trainers.dpo import pair_trainer

        settings = {"beta": self.beta, "loss_type": [self.loss], "label_smoothing": self.label_smoothing}
        return pair_trainer(settings, recipe, model, tokenizer, train, output, callbacks, validation)

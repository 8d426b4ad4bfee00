"""Kahneman-Tversky optimisation: good answers are made more probable, bad ones less, as people weigh gain and loss.

KTO: Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306. It needs no pairs: each answer has a thumb up or
down. What a gain is worth saturates, and it counts from how far the model is from its reference on average, which
is estimated by the answers of a batch to each other's prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from data.tasks.task import LIKED
from finetuning.ways.preferring import Preferring

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.kto import ThumbTrainer

Weight = Annotated[float, Field(gt=0, le=1000)]


class Kto(Preferring):
    """Answers, each with a thumb up or down; a pair gives one of each."""

    kind: Literal["kto"] = "kto"
    loss: Literal["kto", "apo_zero"] = "kto"
    """kto: gains count from the average one. apo_zero: they count from nothing, for good answers that are better
    than the model's own (https://arxiv.org/abs/2408.06266); that saves the pass that the average takes."""
    liked_weight: Weight | None = None
    """How much an answer with a thumb up weighs. Left out: where these are the rarer ones, so much that both kinds
    weigh the same together; else 1."""
    disliked_weight: Weight | None = None
    """The same of one with a thumb down."""

    besides: ClassVar[tuple[str, ...]] = (LIKED,)
    recipe: ClassVar[str] = "dialogue-smollm2-kto"
    title: ClassVar[str] = "thumbs (KTO)"
    marked: ClassVar[str] = (
        "One row as the model sees it. Marked is the answer: the model learns to find it more probable if its "
        "thumb is up, and less if it is down."
    )
    loss_unit: ClassVar[str] = ""
    curves: ClassVar[tuple[str, ...]] = ("rewards/margins", "kl", "rewards/chosen", "rewards/rejected")
    together: ClassVar[bool] = True
    compares_rows: ClassVar[bool] = True

    @property
    def more_passes(self) -> int:
        return int(self.loss == "kto")  # over the answers to other prompts

    @property
    def passes_before(self) -> int:
        return 1 + self.more_passes

    def unfit(self, recipe: Recipe) -> str | None:
        if self.loss == "kto" and recipe.training.batch_size < 2:
            return (
                "training.batch_size: way: kto compares each answer with the others of its batch, so that has to "
                "have 2 rows or more"
            )
        return None

    def weights(self, liked: int, disliked: int) -> tuple[float, float]:
        """How much an answer with a thumb up weighs, and one with a thumb down, where there are so many of each."""
        up = self.liked_weight or max(1.0, disliked / max(1, liked))
        down = self.disliked_weight or max(1.0, liked / max(1, disliked))
        return up, down

    def about(self) -> str:
        loss = "" if self.loss == "kto" else f", loss {self.loss}"
        return (
            "It learned from answers with a thumb up or down, by Kahneman-Tversky optimisation "
            f"(beta {self.beta:g}{loss})."
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
        from finetuning.preparation import encode_thumbs

        return encode_thumbs(rows, self.prompter(tokenizer, task), recipe.training.max_tokens, limit=limit)

    def trainer(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset,
        output: str,
        callbacks: list[TrainerCallback],
        validation: Dataset | None = None,
    ) -> ThumbTrainer:
        from finetuning.trainers.kto import thumb_trainer

        liked = sum(train["label"])
        up, down = self.weights(liked, len(train) - liked)
        settings = {
            "beta": self.beta,
            "loss_type": {"kto": "kto", "apo_zero": "apo_zero_unpaired"}[self.loss],
            "desirable_weight": up,
            "undesirable_weight": down,
        }
        return thumb_trainer(settings, recipe, model, tokenizer, train, output, callbacks, validation)

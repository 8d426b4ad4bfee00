"""Full fine-tuning: every weight of the model learns. It needs the most memory, and forgets the most.

Of a classifier that is its encoder, its pooler and its head. A vocabulary projection that is the embedding stays
tied to it: the one weight learns from both. All of it is float32; a GPU with bfloat16 computes in that by autocast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from finetuning.strategies.anew import start_anew
from finetuning.strategies.strategy import ModelKind, Shape, Strategy

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Full(Strategy):
    """Every weight learns."""

    kind: Literal["full"] = "full"
    new: bool = False
    """Start from random weights instead of those that the base has learned: what its pretraining was worth."""

    whole: ClassVar[bool] = True
    packed: ClassVar[bool] = False
    forgets: ClassVar[str] = "forgets most"

    def named(self, precision: str, kind: ModelKind = "causal") -> str:
        return "Training from random weights" if self.new else "Full fine-tuning"

    def about(self, precision: str, kind: ModelKind = "causal") -> str:
        from_where = ", from random numbers" if self.new else ""
        return f"every weight of the model was trained{from_where}"

    def blocks_trained(self, kind: ModelKind, blocks: int) -> int:
        return blocks

    def measured(self, blocks: int) -> Full:
        return Full()

    def apply(self, model: PreTrainedModel, kind: ModelKind, *, base: str, seed: int) -> Any:
        self.require(model, kind, base)
        model.float().requires_grad_(True)
        if self.new:
            start_anew([model], model, seed=seed)
        return model

    def trained(self, model: PreTrainedModel, kind: ModelKind) -> Mapping[str, Shape]:
        return {name: tuple(value.shape) for name, value in model.named_parameters()}

"""Full fine-tuning: every weight of the model learns. It needs the most memory, and forgets the most.

Of a classifier that is its encoder, its pooler and its head. A vocabulary projection that is the embedding stays
tied to it: the one weight learns from both. All of it is float32; a GPU with bfloat16 computes in that by autocast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from finetuning.strategies.strategy import ModelKind, Shape, Strategy

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Full(Strategy):
    """Every weight learns."""

    kind: Literal["full"] = "full"

    whole: ClassVar[bool] = True
    packed: ClassVar[bool] = False
    forgets: ClassVar[str] = "forgets most"

    def named(self, precision: str, kind: ModelKind = "causal") -> str:
        return "Full fine-tuning"

    def about(self, precision: str, kind: ModelKind = "causal") -> str:
        return "every weight of the model was trained"

    def blocks_trained(self, kind: ModelKind, blocks: int) -> int:
        return blocks

    def measured(self, blocks: int) -> Full:
        return self

    def apply(self, model: PreTrainedModel, kind: ModelKind, *, base: str, seed: int) -> Any:
        self.require(model, kind, base)
        model.float().requires_grad_(True)
        return model

    def trained(self, model: PreTrainedModel, kind: ModelKind) -> Mapping[str, Shape]:
        return {name: tuple(value.shape) for name, value in model.named_parameters()}

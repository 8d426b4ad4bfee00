"""Transfer learning: all but the last layers stay as they are.

Of a language model the last blocks learn and the norm after them. Its vocabulary projection stays frozen: mostly it
is the embedding. Of a reward model its new head learns with them. Of a classifier a new head learns on frozen
layers, and the last blocks where some are asked for.
To the head belongs whatever comes after the blocks: the pooler of BERT and its like, which many checkpoints do not
even have, as the `pre_classifier` of DistilBERT, which does the same work and is part of its head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from finetuning.strategies.anew import start_anew
from finetuning.strategies.strategy import ModelKind, Shape, Strategy
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_USUAL_BLOCKS: dict[ModelKind, int] = {"causal": 2, "classifier": 0, "reward": 2}


class Last(Strategy):
    """The last layers learn."""

    kind: Literal["last"] = "last"
    blocks: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many of the last blocks learn. Left out: two of a language or a reward model, of a classifier none but
    its head."""
    new: bool = False
    """Start those blocks anew, at random, instead of from what they have learned before."""

    whole: ClassVar[bool] = True
    packed: ClassVar[bool] = False
    forgets: ClassVar[str] = "forgets less than full"

    def named(self, precision: str, kind: ModelKind = "causal") -> str:
        count = self._wanted(kind)
        return f"Transfer learning ({f'last {_blocks(count)}' if count else 'head'})"

    def about(self, precision: str, kind: ModelKind = "causal") -> str:
        count = self._wanted(kind)
        which = f"the last {_blocks(count)} and what follows were" if count else "its head alone was"
        return f"{which} trained, all else was frozen"

    def refused(self, kind: ModelKind, precision: str) -> str | None:
        if kind == "causal" and self.blocks == 0:
            return "strategy.blocks: with 0 nothing of a language model would learn; set 1 or more"
        if self.new and not self._wanted(kind):
            return (
                "strategy.new: it starts blocks anew, and none learn here; the head is new in any case. "
                "Set strategy.blocks to 1 or more"
            )
        return super().refused(kind, precision)

    def blocks_trained(self, kind: ModelKind, blocks: int) -> int:
        return self._wanted(kind)

    def measured(self, blocks: int) -> Last:
        return Last(blocks=blocks)

    def require(self, model: PreTrainedModel, kind: ModelKind, base: str) -> None:
        super().require(model, kind, base)
        blocks, wanted = blocks_of(model), self._wanted(kind)
        if wanted > len(blocks):
            raise RecipeError(
                f"strategy.blocks is {wanted}, and {base} has {len(blocks)}",
                fix=f"Set strategy.blocks to {len(blocks)} or less.",
            )

    def apply(self, model: PreTrainedModel, kind: ModelKind, *, base: str, seed: int) -> Any:
        self.require(model, kind, base)
        model.requires_grad_(False)
        if self.new:
            start_anew(self._blocks(model, kind), model, seed=seed)
        for module in self._modules(model, kind):
            module.float().requires_grad_(True)
        return model

    def trained(self, model: PreTrainedModel, kind: ModelKind) -> Mapping[str, Shape]:
        learns = {id(value) for module in self._modules(model, kind) for value in module.parameters()}
        return {name: tuple(value.shape) for name, value in model.named_parameters() if id(value) in learns}

    def _wanted(self, kind: ModelKind) -> int:
        return _USUAL_BLOCKS[kind] if self.blocks is None else self.blocks

    def _blocks(self, model: PreTrainedModel, kind: ModelKind) -> list[torch.nn.Module]:
        blocks = blocks_of(model)
        return blocks[len(blocks) - self._wanted(kind) :]

    def _modules(self, model: PreTrainedModel, kind: ModelKind) -> Iterator[torch.nn.Module]:
        """What learns: the blocks, and what comes after them but a language model's vocabulary projection."""
        yield from self._blocks(model, kind)
        yield from after_blocks(model)
        if kind != "causal":
            body: Any = model.base_model
            yield from (module for module in model.children() if module is not body)


def blocks_of(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The model's blocks from the first to the last: its list of as many modules as its configuration says.

    Raises:
        RecipeError: it has none that can be told.
    """
    return _blocks_and_owner(model)[0]


def after_blocks(model: PreTrainedModel) -> list[torch.nn.Module]:
    """What of the model's body comes after its last block: a norm, a pooler; nothing where there is neither."""
    body: Any = model.base_model
    _, owner = _blocks_and_owner(model)
    norms = [module for module in owner.children() if "norm" in type(module).__name__.casefold()]
    pooler = getattr(body, "pooler", None)
    return norms[-1:] + ([pooler] if pooler is not None else [])


def _blocks_and_owner(model: PreTrainedModel) -> tuple[list[torch.nn.Module], torch.nn.Module]:
    """The blocks, and the module whose list they are."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    body: Any = model.base_model
    for owner in body.modules():
        for module in owner.children():
            if isinstance(module, torch.nn.ModuleList) and len(module) == count:
                return list(module), owner
    raise RecipeError(
        "It cannot be told which are the last layers of this model",
        got=type(model).__name__,
        fix="Choose strategy.kind=lora or full.",
    )


def _blocks(count: int) -> str:
    return "block" if count == 1 else f"{count} blocks"

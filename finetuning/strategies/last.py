"""Transfer learning: all but the last layers stay as they are.

Of a classifier a new head learns on frozen layers, and the last blocks where some are asked for; of a language
model the last blocks and the norm after them. Its vocabulary projection stays frozen: mostly it is the embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from finetuning.strategies.strategy import ModelKind, Shape, Strategy
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_USUAL_BLOCKS: dict[ModelKind, int] = {"causal": 2, "classifier": 0}


class Last(Strategy):
    """The last layers learn."""

    kind: Literal["last"] = "last"
    blocks: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many of the last blocks learn. Left out: two of a language model, of a classifier none but its head."""
    new: bool = False
    """Start those blocks anew, at random, instead of from what they have learned before."""

    whole: ClassVar[bool] = True
    packed: ClassVar[bool] = False
    forgets: ClassVar[str] = "forgets less than full"

    def named(self, precision: str) -> str:
        return "Head only" if self.blocks == 0 else "Last layers"

    def about(self, precision: str) -> str:
        if self.blocks == 0:
            return "only its head was trained"
        count = "the last blocks" if self.blocks is None else f"the last {self.blocks} blocks"
        return f"{count} and what comes after them were trained, all else was frozen"

    def require(self, model: PreTrainedModel, kind: ModelKind, base: str) -> None:
        blocks, wanted = blocks_of(model), self._wanted(kind)
        if wanted > len(blocks):
            raise RecipeError(
                f"strategy.blocks is {wanted}, and {base} has {len(blocks)}",
                fix=f"Set strategy.blocks to {len(blocks)} or less.",
            )
        if kind == "causal" and wanted == 0:
            raise RecipeError(
                "With strategy.blocks=0 nothing of a language model would learn", fix="Set 1 or more."
            )

    def apply(self, model: PreTrainedModel, kind: ModelKind, *, base: str, seed: int) -> Any:
        import torch

        self.require(model, kind, base)
        model.requires_grad_(False)
        if self.new:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                for block in self._blocks(model, kind):
                    block.apply(model._init_weights)
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
        if kind == "classifier":
            body: Any = model.base_model
            yield from (module for module in model.children() if module is not body)
        elif (norm := final_norm(model)) is not None:
            yield norm


def blocks_of(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The model's blocks from the first to the last: its list of as many modules as its configuration says.

    Raises:
        RecipeError: it has none that can be told.
    """
    import torch

    count = model.config.get_text_config().num_hidden_layers
    body: Any = model.base_model
    for module in body.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return list(module)
    raise RecipeError(
        "It cannot be told which are the last layers of this model",
        got=type(model).__name__,
        fix="Choose strategy.kind=lora or full.",
    )


def final_norm(model: PreTrainedModel) -> torch.nn.Module | None:
    """The norm after a language model's last block; None where there is none."""
    body: Any = model.base_model
    after = [module for module in body.children() if "norm" in type(module).__name__.casefold()]
    return after[-1] if after else None

"""What a strategy is: settings of its own, and what they do to a loaded base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from finetuning.settings import Settings
from models.kinds import Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ModelKind = Kind
Shape = tuple[int, ...]


class Strategy(Settings):
    """Which parameters learn. A subclass a file; nothing outside of that file asks which one it is."""

    kind: str
    """Its name in a recipe."""

    whole: ClassVar[bool]
    """Whether a whole model is saved, and not an adapter beside its base."""
    packed: ClassVar[bool]
    """Whether the base may be held in 4 bits: weights that learn cannot be."""
    forgets: ClassVar[str]
    """What it costs elsewhere, in words, beside another one."""

    def named(self, precision: str, kind: ModelKind = "causal") -> str:
        """What people call it: `QLoRA`."""
        raise NotImplementedError

    def about(self, precision: str, kind: ModelKind = "causal") -> str:
        """A sentence for a model's card: which parameters learned."""
        raise NotImplementedError

    def refused(self, kind: ModelKind, precision: str) -> str | None:
        """Why these settings make no sense, whatever the base, and what would, in a sentence; None where they do.

        Args:
            kind: of the model.
            precision: in which its base is held, or `auto`.
        """
        if not self.whole or precision in ("auto", "float32"):
            return None
        if precision == "nf4":
            return (
                f"strategy.kind: {self.kind} changes weights, and those in 4 bits (model.precision: nf4) cannot be "
                "changed; lora can, or model.precision: auto"
            )
        return (
            f"strategy.kind: {self.kind} changes weights, which are held in float32 so that small changes are not "
            f"lost (model.precision: {precision}); auto does so, and a GPU computes in bfloat16 all the same"
        )

    def blocks_trained(self, kind: ModelKind, blocks: int) -> int:
        """How many of a model's `blocks` gradients go through: none go back behind the first that learns."""
        raise NotImplementedError

    def measured(self, blocks: int) -> Strategy:
        """The settings with which its speed is measured, on a model of so few `blocks` that all of them learn."""
        raise NotImplementedError

    def require(self, model: PreTrainedModel, kind: ModelKind, base: str) -> None:
        """Refuse settings that do not fit the base model, which is loaded or on the `meta` device.

        Raises:
            RecipeError: with what does not fit, and what would.
            ModelError: what was tuned could not be opened afterwards.
        """
        if self.whole:
            from models.whole import require_openable

            require_openable(model)

    def apply(self, model: PreTrainedModel, kind: ModelKind, *, base: str, seed: int) -> Any:
        """Returns `model` ready to train: what learns is in float32 and asks for gradients, all else is frozen.

        Args:
            model: as `models.loading` loads it; it is changed.
            kind: a new head, as of a classifier, always learns.
            base: its name, to be noted in what is saved.
            seed: of whatever starts at random.

        Raises:
            RecipeError: as `require`.
        """
        raise NotImplementedError

    def trained(self, model: PreTrainedModel, kind: ModelKind) -> Mapping[str, Shape]:
        """Name → shape of each parameter that would learn; `model`, maybe on the `meta` device, stays as it is."""
        raise NotImplementedError

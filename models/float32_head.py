"""The vocabulary projection in float32, whatever the model computes in: for scores that rounding would decide."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from models.sides import Sides


class Float32Head:
    """A side's projection in float32, onto some tokens alone where no other's probability matters.

    One that is more than a weight and a bias, an adapted one for example, projects as it does itself.
    """

    def __init__(self, pair: Sides, tuned: bool, only: Sequence[int] | None = None) -> None:
        """
        Args:
            pair: of language models.
            tuned: whose projection.
            only: tokens that it projects onto, where it may.
        """
        from models.fast.supports import is_plain_head
        from models.head import makes_logits

        model = pair.bare(tuned)
        self._head: Any = model.get_output_embeddings()
        self._weight: torch.Tensor | None = None
        self._bias: torch.Tensor | None = None
        self.is_narrow = False
        """Whether it projects onto `only`, in their order."""
        if not is_plain_head(self._head):
            return
        tokens: list[int] | slice = slice(None)
        if only is not None and (pair.layers_of(tuned) is not None or makes_logits(model)):
            tokens, self.is_narrow = list(only), True
        self._weight = self._head.weight[tokens].detach().float()  # [V or len(only), H]
        if self._head.bias is not None:
            self._bias = self._head.bias[tokens].detach().float()

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, [..., V or len(only)]."""
        import torch

        assert self._weight is not None
        return torch.nn.functional.linear(hidden.to(self._weight.dtype), self._weight, self._bias)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it, the model projects by this; what it does to its logits afterwards, it does to these."""
        if self._weight is None:
            yield
            return
        hook = self._head.register_forward_hook(lambda _, given, __: self(given[0]))
        try:
            yield
        finally:
            hook.remove()

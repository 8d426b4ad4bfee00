"""What is asked of a model's sides to compute with them: a pair has two, a base by itself has one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from models.loading import LoadedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from models.fast.llama import LlamaLayers


class Sides(Protocol):
    """As `models.pair.Pair` has them."""

    def bare(self, tuned: bool) -> PreTrainedModel:
        """The model of a side, without peft's outermost wrapper."""

    def layers_of(self, tuned: bool) -> LlamaLayers | None:
        """A side's layers by hand, where they compute what its model does as it is now."""

    def side(self, tuned: bool) -> AbstractContextManager[Any]:
        """Within it, the model that it gives answers as the tuned one, or as the base."""


class Alone:
    """A base model by itself: the base's side, and no other."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._layers: LlamaLayers | None = None

    def bare(self, tuned: bool = False) -> PreTrainedModel:
        return self.loaded.model

    def layers_of(self, tuned: bool = False) -> LlamaLayers | None:
        from models.fast.llama import LlamaLayers
        from models.fast.supports import supports

        if self._layers is None and supports(self.loaded.model):
            self._layers = LlamaLayers(self.loaded.model)
        return self._layers

    @contextlib.contextmanager
    def side(self, tuned: bool = False) -> Iterator[Any]:
        yield self.loaded.model

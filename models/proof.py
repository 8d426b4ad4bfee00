"""A proof that what was tuned acts: on one prompt, base and tuned are two models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.adapters import BaseOrigin
from models.resolved import ResolvedModel
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

Inputs = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class Proof:
    """Measured on one prompt: the base's own logits come out on the one side, and others on the other."""

    largest_change: float
    """Largest absolute difference between base and tuned logits."""
    same_weights: bool
    """Whether the base weights here are known to be byte for byte those of training."""
    trained_on: str
    """Where those of training came from; empty where nobody says."""
    used_with: str
    changed: tuple[int, int] | None = None
    """Of a whole model, how many of its tensors are not the base's, and how many there are; None for an adapter."""

    def describe(self) -> str:
        """A sentence for the badge."""
        moved = f"logits move by up to {self.largest_change:.2f}"
        if self.changed is None:
            acts = f"adapter acts: {moved}, and with it off they are the base's"
        else:
            acts = f"tuned model acts: {moved}, and {self.changed[0]} of its {self.changed[1]} weights are its own"
        if self.same_weights or not self.trained_on:
            return acts
        return f"{acts}; trained on the {self.trained_on} weights, used with the {self.used_with} weights"


def prove_adapter(
    before: torch.Tensor, model: PeftModel, inputs: Inputs, origin: BaseOrigin | None, used: ResolvedModel
) -> Proof:
    """Compare logits: base alone (`before`, [1, ..., V or labels]), adapter off, adapter on.

    `origin` is None of an adapter that does not say which weights it was trained on.

    Raises:
        ModelError: with the adapter off the logits are not the base's, or with it on nothing changes.
    """
    import torch

    with torch.no_grad():
        with model.disable_adapter():
            off = model(**inputs).logits
        on = model(**inputs).logits
    if not torch.equal(off, before):
        apart = (off - before).abs().max().item()
        raise ModelError("With the adapter off, the logits are not those of the base model", got=apart)
    return _proof(before, on, "adapter", origin, used)


def prove_whole(
    before: torch.Tensor,
    model: PreTrainedModel,
    inputs: Inputs,
    origin: BaseOrigin,
    used: ResolvedModel,
    changed: tuple[int, int],
) -> Proof:
    """Compare the logits of the base, `before`, with those of a whole tuned model.

    Raises:
        ModelError: they are the same, or not numbers.
    """
    import torch

    with torch.no_grad():
        tuned = model(**inputs).logits
    return _proof(before, tuned, "tuned model", origin, used, changed)


def _proof(
    base: torch.Tensor,
    tuned: torch.Tensor,
    what: str,
    origin: BaseOrigin | None,
    used: ResolvedModel,
    changed: tuple[int, int] | None = None,
) -> Proof:
    change = (tuned.float() - base.float()).abs().max().item()
    if not math.isfinite(change):
        raise ModelError(f"The logits of the {what} are not numbers", got=change, fix="Train it again.")
    if change == 0.0:
        raise ModelError(
            f"The {what} changes nothing: its logits are exactly those of the base model",
            got="largest difference 0.0",
            fix="It was not trained, or its weights did not fit the model. Train it again.",
        )
    return Proof(
        largest_change=change,
        same_weights=origin is not None and origin.weights_sha256 == used.weights_sha256,
        trained_on=origin.origin if origin else "",
        used_with=used.origin,
        changed=changed,
    )

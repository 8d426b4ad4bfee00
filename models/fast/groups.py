"""Log-probabilities of completions whose prompts come several times, as policy optimisation asks for them.

A prompt with all that was written to it is a group. Its prompt goes through the layers once, forward and backward,
and so does what all prompts begin with; only what predicts a completion's tokens goes through the vocabulary
projection, some positions at a time (`models.head`). What learns gets the gradients that each row alone would give.

Shapes: T tokens of a completion, S of all of them, H hidden size.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.fast.llama import LlamaLayers
from models.fast.packing import Group, PackedGroups
from models.fast.supports import supports
from models.head import label_log_probs


class Scored(NamedTuple):
    """Of every completion, in the order in which they were given."""

    log_probs: list[Tensor]
    """Of its tokens, [T] each in float32; autograd goes through them to what is trained."""
    entropies: list[Tensor] | None
    """Of the predictions of its tokens, [T] each, without gradients; None where they were not asked for."""


def completion_log_probs(
    model: Any,
    prompts: Sequence[list[int]],
    completions: Sequence[list[int]],
    *,
    temperature: float = 1.0,
    entropy: bool = False,
) -> Scored | None:
    """How probable `model`, as it is now, finds the tokens of each completion after its prompt.

    Which adapter is active, whether it is switched off, and what is trained, is seen at each call. There are no
    gradients where autograd is off, nor where the adapter is.

    Args:
        model: a causal one, or a peft one around it.
        prompts: a token each at least. Equal ones, wherever they stand, are computed once.
        completions: one for each prompt, the token that ends it included; it may be empty.
        temperature: by which logits are divided, as they were when the completions were drawn.
        entropy: whether the entropies are wanted.

    Returns:
        None where `models.fast.supports` does not list the model as it is now, or where its activations are to be
        computed again in the backward: then its own modules have to do it.
    """
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    if bare.is_activation_checkpointing or not supports(bare):
        return None
    if not any(completions):
        nothing = [torch.zeros(0) for _ in completions]
        return Scored(nothing, nothing if entropy else None)
    layers = LlamaLayers(bare)
    packed, places = _laid(prompts, completions, layers.heads)
    # The end of a prompt predicts the first token of each of its completions, but is computed once.
    keep, at = torch.unique(torch.tensor([*chain.from_iterable(places)]), return_inverse=True)
    labels = torch.tensor([*chain.from_iterable(completions)])
    hidden = layers.norm(layers(packed, keep)).index_select(0, at)  # [S, H]
    log_probs, entropies, _ = label_log_probs(hidden, bare.get_output_embeddings(), labels, temperature=temperature)
    counts = [len(completion) for completion in completions]
    return Scored([*log_probs.split(counts)], [*entropies.split(counts)] if entropy else None)


def grouped(items: Sequence[Hashable]) -> list[list[int]]:
    """The places of equal items, together, in the order in which each is first met."""
    found: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        found.setdefault(item, []).append(place)
    return [*found.values()]


def _laid(
    prompts: Sequence[list[int]], completions: Sequence[list[int]], heads: tuple[int, int]
) -> tuple[PackedGroups, list[list[int]]]:
    """All rows as groups, and of each completion the places that predict its tokens: all but the last are read."""
    together = grouped([tuple(prompt) for prompt in prompts])
    groups = [Group(prompts[numbers[0]], [completions[number][:-1] for number in numbers]) for numbers in together]
    packed = PackedGroups(groups, heads=heads)
    places: list[list[int]] = [[]] * len(completions)
    for numbers, end, starts in zip(together, packed.ends, packed.starts, strict=True):
        for number, start in zip(numbers, starts, strict=True):
            behind = range(start, start + len(completions[number]) - 1)
            places[number] = [end, *behind] if completions[number] else []
    return packed, places

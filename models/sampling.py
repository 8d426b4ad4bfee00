"""Answers that are drawn at random, many to each of a few prompts: what policy optimisation learns from.

By hand where `models.fast.supports` lists the model: each prompt is read once, for all of its answers. Otherwise by
`transformers`' own `generate`. Both draw by the same numbers, which come from a generator that is given: the same
model and the same generator write the same answers, and a run that goes on draws as if it had not stopped.

Shapes: M rows, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from models.batches import like_lengths
from models.fast.llama import LlamaLayers
from models.fast.sampling import Choose, sampled
from models.fast.supports import supports
from models.pair import UNPACKED_AT_MOST
from models.prefix import StoppedError

_ROWS = 64
"""Answers that are written at once on a processor, about."""
_ROWS_OF_A_CARD = 256


def sample(
    model: Any,
    prompts: Sequence[list[int]],
    count: int,
    *,
    ends: set[int],
    max_new_tokens: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    should_stop: Callable[[], bool] | None = None,
) -> list[list[list[int]]]:
    """`count` answers to each of `prompts`, drawn from what `model`, as it is now, finds probable.

    Args:
        model: a causal one, or a peft one around it; its adapter acts where it is not switched off. Nothing is
            dropped while it answers.
        prompts: as tokens, at least one each; equal ones are read as often as they come.
        count: answers to each.
        ends: tokens that end an answer, as `stepping.end_tokens` gives them.
        max_new_tokens: where an answer is cut off.
        generator: a processor's. It gives `max_new_tokens * len(prompts) * count` numbers, whatever is written, so
            that an answer does not depend on how long the others get.
        temperature: by which logits are divided; at 0 the most probable token is taken.
        top_k: draw from so many tokens only, the most probable.
        top_p: draw from as few tokens, the most probable, as have this probability together.
        should_stop: asked before every token.

    Returns:
        The tokens of each answer, up to and with the one that ends it.

    Raises:
        StoppedError: `should_stop` said so.
    """
    numbers = torch.rand(max_new_tokens, len(prompts), count, dtype=torch.float64, generator=generator)
    choose = functools.partial(drawn, temperature=temperature, top_k=top_k, top_p=top_p)
    found: dict[int, list[list[int]]] = {}
    with _without_dropout(model):
        write = _writer(model, choose=choose, ends=ends, should_stop=should_stop)
        at_once = max(1, (_ROWS_OF_A_CARD if model.device.type == "cuda" else _ROWS) // count)
        for indexes in like_lengths([len(prompt) for prompt in prompts], at_once):
            answers = write([prompts[index] for index in indexes], numbers[:, indexes].flatten(1))
            found |= {index: answers[at * count : (at + 1) * count] for at, index in enumerate(indexes)}
    return [found[index] for index in range(len(prompts))]


def drawn(
    logits: Tensor, numbers: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """A token for each row, [M], where each is as frequent as it is probable if `numbers` are uniform.

    It is the first token up to which the probabilities add up to the number: one number a row is all that it takes.

    Args:
        logits: [M, V].
        numbers: from 0 to below 1, [M].
        temperature: as `sample` has it, and what follows, too.
        top_k: the same.
        top_p: the same.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    if logits.device.type == "mps":  # it has no double precision
        options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        return drawn(logits.cpu(), numbers, **options).to(logits.device)
    logits = logits.float() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    probs = logits.softmax(dim=-1)
    if top_p < 1:
        values, order = probs.sort(dim=-1, descending=True)
        before = values.cumsum(dim=-1, dtype=torch.float64) - values
        probs = torch.zeros_like(probs).scatter_(1, order, values.masked_fill(before >= top_p, 0))
    sums = probs.cumsum(dim=-1, dtype=torch.float64)  # in float32 the rare tokens would be lost at their end
    wanted = (1 - numbers.to(sums.device)) * sums[:, -1]  # above 0: a token without probability is never the first
    return torch.searchsorted(sums, wanted[:, None])[:, 0]


@contextlib.contextmanager
def _without_dropout(model: torch.nn.Module) -> Iterator[None]:
    trained = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(trained)


_Writer = Callable[[list[list[int]], Tensor], list[list[int]]]
"""Prompts and the numbers by which tokens are drawn, [steps, M] → answers, those to the first prompt in front."""


def _writer(model: Any, *, choose: Choose, ends: set[int], should_stop: Callable[[], bool] | None) -> _Writer:
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not supports(bare):
        return functools.partial(_by_modules, model, choose=choose, ends=ends, should_stop=should_stop)
    layers = LlamaLayers(bare)
    if layers.are_packed and bare.num_parameters() < UNPACKED_AT_MOST:
        layers.prepare_decoding()
    return functools.partial(sampled, layers, choose=choose, ends=ends, should_stop=should_stop)


def _by_modules(
    model: Any,
    prompts: list[list[int]],
    numbers: Tensor,
    *,
    choose: Choose,
    ends: set[int],
    should_stop: Callable[[], bool] | None,
) -> list[list[int]]:
    """The same as `sampled`, by `generate`: it takes the most probable token, and only one is left to it."""
    from transformers import (
        GenerationConfig,
        LogitsProcessor,
        LogitsProcessorList,
        StoppingCriteria,
        StoppingCriteriaList,
    )

    rows = [prompt for prompt in prompts for _ in range(numbers.shape[1] // len(prompts))]
    width, pad = max(map(len, rows)), min(ends, default=0)
    ids = [[pad] * (width - len(row)) + row for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    step, stopped = iter(numbers), False

    class Drawn(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            chosen = choose(scores, next(step))
            return torch.full_like(scores, float("-inf")).scatter_(1, chosen[:, None], 0)

    class Stopped(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            nonlocal stopped
            stopped = should_stop is not None and should_stop()
            return torch.full((len(input_ids),), stopped, device=input_ids.device)

    config = GenerationConfig(
        max_new_tokens=len(numbers), do_sample=False, eos_token_id=sorted(ends) or [-1], pad_token_id=pad
    )
    written = model.generate(
        input_ids=torch.tensor(ids, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=config,
        logits_processor=LogitsProcessorList([Drawn()]),
        stopping_criteria=StoppingCriteriaList([Stopped()]),
    )
    if stopped:
        raise StoppedError
    return [_up_to_end(row, ends) for row in written[:, width:].tolist()]


def _up_to_end(tokens: list[int], ends: set[int]) -> list[int]:
    return tokens[: next((place + 1 for place, token in enumerate(tokens) if token in ends), len(tokens))]

"""Greedy answers token by token, by whatever computes a pair's sides: layers by hand, or the models' own modules.

Of an adapter, rows of both sides stand in one batch, so that the base's weights are read once for both. Two whole
models, and an adapter that peft does not let stand beside its base in a batch (DoRA), take turns, a token each.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapters import BASE, TUNED
from models.chat_template import ChatTemplate
from models.pair import Pair

if TYPE_CHECKING:
    import torch

Tokens = list[int | None]
"""The next token of every row; None for a row that has ended."""


@dataclass
class Answer:
    """One side's answer so far."""

    text: str = ""
    tokens: int = 0
    """Generated tokens, the end of turn not counted."""
    seconds: float = 0.0
    """From the call to this side's newest token."""
    first_token_seconds: float = 0.0
    finished: bool = False
    """Whether the model ended its turn itself, rather than being stopped or cut off."""
    token_ids: list[int] = field(default_factory=list, repr=False)


class RowStreamer:
    """Takes each step's token of every row and keeps the answers; `transformers` has one for one row."""

    def __init__(self, pair: Pair, rows: int, on_step: Callable[[], None] | None = None) -> None:
        self.answers = [Answer() for _ in range(rows)]
        self._pair = pair
        self._on_step = on_step
        self._ends = end_tokens(pair.model, pair.tokenizer)
        self._started = time.perf_counter()
        self._prompt_seen = False

    def put(self, tokens: torch.Tensor) -> None:
        if not self._prompt_seen:  # generate hands over the prompt first
            self._prompt_seen = True
            return
        self.take(tokens.tolist())

    def take(self, tokens: Sequence[int | None]) -> None:
        """The next token of every row; None, or whatever else, for a row that has ended."""
        now = time.perf_counter() - self._started
        for answer, token in zip(self.answers, tokens, strict=True):
            if token is None or answer.finished:
                continue
            answer.seconds = now
            if token in self._ends:
                answer.finished = True
                continue
            answer.token_ids.append(token)
            answer.tokens += 1
            answer.first_token_seconds = answer.first_token_seconds or now
        if self._on_step:
            self._on_step()

    def end(self) -> None:
        for answer in self.answers:
            answer.text = self.decode(answer)

    def decode(self, answer: Answer) -> str:
        text = self._pair.tokenizer.decode(answer.token_ids, skip_special_tokens=True)
        # A character of several tokens is not whole until its last token is there.
        return str(text).rstrip("\ufffd")


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a turn: the chat template's, the tokenizer's, and what the model's own settings name."""
    return _ends(model.generation_config, tokenizer)


def end_tokens_at(folder: Path, tokenizer: Any) -> set[int]:
    """The same of the model in `folder`, which is not loaded."""
    from transformers import AutoConfig, GenerationConfig

    try:
        settings = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        settings = GenerationConfig.from_model_config(config)
    return _ends(settings, tokenizer)


def _ends(settings: Any, tokenizer: Any) -> set[int]:
    more = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    own = [ChatTemplate.of(tokenizer).end_token, tokenizer.eos_token_id]
    return {int(token) for token in [*own, *more] if token is not None}


def has_layers(pair: Pair) -> bool:
    """Whether both sides are computed by hand."""
    return all(pair.layers_of(tuned) is not None for tuned in {True, not pair.is_whole})


def steps(
    pair: Pair,
    base: Sequence[list[int]],
    tuned: Sequence[list[int]],
    *,
    max_new_tokens: int,
    ends: set[int] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[Tokens]:
    """Yield the next token of every row, those of `base` first, as long as any has not ended.

    By hand, in this thread; by modules, which are asked for a row at a time, a row a side at most.

    Args:
        pair: of kind `causal`.
        base: prompts that the base answers, as tokens.
        tuned: prompts that the tuned side answers.
        max_new_tokens: how many steps there are at most.
        ends: tokens that end a row; by default those that end a turn.
        should_stop: asked while long prompts are read by hand.

    Raises:
        StoppedError: `should_stop` said so.
    """
    ends = end_tokens(pair.model, pair.tokenizer) if ends is None else ends
    if not has_layers(pair):
        sides = [(tuned_side, rows) for tuned_side, rows in ((False, base), (True, tuned)) if rows]
        yield from _in_turns([(_by_modules(pair, side, rows[0], max_new_tokens, ends), 1) for side, rows in sides])
        return
    from models.fast.decoding import greedy

    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "ends": ends, "should_stop": should_stop}
    layers: Any = pair.layers_of(True)
    if not pair.is_whole:
        yield from greedy(layers, base, tuned, **limits)
        return
    own = [(greedy(pair.layers_of(False), base, [], **limits), len(base))] if base else []  # type: ignore[arg-type]
    yield from _in_turns([*own, *([(greedy(layers, [], tuned, **limits), len(tuned))] if tuned else [])])


def _in_turns(sides: Sequence[tuple[Iterator[Tokens], int]]) -> Iterator[Tokens]:
    """A step of each side, with so many rows, as one step of all rows; a side that has ended gives no more."""
    for each in zip_longest(*(tokens for tokens, _ in sides)):
        yield [token for step, (_, rows) in zip(each, sides, strict=True) for token in step or [None] * rows]


def _by_modules(
    pair: Pair, tuned: bool, prompt: list[int], max_new_tokens: int, ends: set[int]
) -> Iterator[Tokens]:
    """The tokens of one row by a side's own modules. One row has no padding: nothing has to be said of places."""
    import torch

    from models.head import only_at

    cache, ids = None, prompt
    for _ in range(max_new_tokens):
        given: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        with torch.inference_mode(), pair.side(tuned) as model, only_at(pair.bare(tuned), lambda h: h[:, -1:]):
            outputs = model(input_ids=torch.tensor([ids], device=model.device), use_cache=True, **given)
        token = int(outputs.logits[0, -1].argmax())
        yield [token]
        if token in ends:
            return
        cache = getattr(outputs, "past_key_values", None)
        ids = [token] if cache is not None else [*ids, token]  # one that keeps nothing reads all of it again


def generate(
    pair: Pair,
    base: Sequence[list[int]],
    tuned: Sequence[list[int]],
    streamer: RowStreamer,
    *,
    max_new_tokens: int,
    stop: threading.Event | None = None,
) -> None:
    """Let `transformers`' own `generate` answer prompts of one side, or, where the pair mixes them, of both.

    Args:
        pair: of kind `causal`.
        base: prompts that the base answers, as tokens.
        tuned: prompts that the tuned side answers.
        streamer: takes the tokens, those of `base` first.
        max_new_tokens: where an answer is cut off.
        stop: once it is set, this ends within a token.
    """
    import torch
    from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

    class Stopped(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            return torch.full((input_ids.shape[0],), stop is not None and stop.is_set(), device=input_ids.device)

    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(end_tokens(pair.model, pair.tokenizer)),
        pad_token_id=pair.tokenizer.pad_token_id,
    )
    mixed = {"adapter_names": [BASE] * len(base) + [TUNED] * len(tuned)} if pair.mixes else {}
    try:
        with torch.inference_mode(), pair.side(pair.mixes or bool(tuned)) as model:
            model.generate(
                **pair.batch([*base, *tuned]),
                **mixed,
                generation_config=config,
                streamer=streamer,
                stopping_criteria=StoppingCriteriaList([Stopped()]),
            )
    except BaseException:
        _drop_adapter_names(pair)
        raise


def _drop_adapter_names(pair: Pair) -> None:
    """Remove the hooks by which peft tells layers whose row is whose; after an error it leaves them in place."""
    for module in pair.model.modules():
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, functools.partial) and "adapter_names" in hook.keywords:
                del module._forward_pre_hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)

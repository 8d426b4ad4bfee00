"""Answers of base and tuned: streamed for a chat, from one call; in batches for an evaluation.

Greedy always: the two sides then differ by the adapter and by nothing else. Rows without and with the adapter
stand in the same batch, so that the base weights are read once for both.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import statistics
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from models.adapters import BASE, TUNED
from models.batches import like_lengths
from models.chat_template import ChatTemplate
from models.pair import Pair
from models.prefix import StoppedError
from models.prompting import Message

if TYPE_CHECKING:
    import torch

GENERATION_BATCH_SIZE = 32
"""Texts a batch on a processor, which gains little from more."""
_MOST_AT_ONCE = 256
_SHARE_OF_FREE = 0.5
"""Of a card's free memory, for what `answers_at_once` counts; the rest is for what it does not."""


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


@dataclass(frozen=True)
class AnswerPair:
    """What base and tuned have answered so far."""

    base: Answer
    tuned: Answer


class _RowStreamer:
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


def stream_answers(
    pair: Pair,
    base_prompt: list[int],
    tuned_prompt: list[int],
    *,
    max_new_tokens: int,
    stop: threading.Event | None = None,
) -> Generator[AnswerPair]:
    """Generate both answers in one batch and yield them after every token.

    Args:
        pair: base and tuned, of kind `causal`.
        base_prompt: the base side's prompt, as tokens; the sides' histories may differ.
        tuned_prompt: the tuned side's.
        max_new_tokens: where an answer is cut off.
        stop: set it, or close the generator, and it ends within a token, or within a piece of a long prompt.
    """
    stop = stop or threading.Event()
    if pair.layers is None:
        yield from _stream_from_thread(pair, [base_prompt, tuned_prompt], max_new_tokens, stop)
        return
    streamer = _RowStreamer(pair, 2)
    with contextlib.suppress(StoppedError):
        for _ in _steps(pair, [base_prompt], [tuned_prompt], streamer, max_new_tokens, stop.is_set):
            yield _snapshots(streamer)
            if stop.is_set():
                break
    yield _snapshots(streamer)  # a listener that was not told of the stop yet looks once more


def second_side_cost(pair: Pair, prompt: list[int], *, tokens: int = 6, times: int = 2) -> float | None:
    """How many times as long a token of both sides in one batch takes as one of the tuned side alone.

    Args:
        pair: base and tuned, of kind `causal`.
        prompt: what both are asked, as tokens.
        tokens: decoded each time.
        times: how often each is tried, in turns.

    Returns:
        A ratio of medians, measured now; None where `transformers` generates, a token of which is not its own step.
    """
    layers = pair.layers
    if layers is None:
        return None
    from models.fast.decoding import greedy

    taken: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(times):
        for base in taken:
            last = None
            for _ in greedy(layers, [prompt] * base, [prompt], max_new_tokens=tokens, ends=set()):
                now = time.perf_counter()
                if last is not None:
                    taken[base].append(now - last)
                last = now
    return statistics.median(taken[1]) / statistics.median(taken[0])


def _stream_from_thread(
    pair: Pair, prompts: list[list[int]], max_new_tokens: int, stop: threading.Event
) -> Iterator[AnswerPair]:
    """The same by `generate`, which returns when all is done: it runs in a thread and is listened to."""
    steps: queue.Queue[AnswerPair | BaseException | None] = queue.Queue()

    def publish() -> None:
        steps.put(_snapshots(streamer))

    streamer = _RowStreamer(pair, 2, publish)

    def work() -> None:
        try:
            _generate(pair, prompts, [BASE, TUNED], streamer, max_new_tokens=max_new_tokens, stop=stop)
            publish()
            steps.put(None)
        except BaseException as error:
            steps.put(error)

    thread = threading.Thread(target=work, name="generate", daemon=True)
    thread.start()
    try:
        while (step := steps.get()) is not None:
            if isinstance(step, BaseException):
                raise step
            yield step
    finally:
        stop.set()
        thread.join()


def answers_at_once(pair: Pair, prompts: Iterable[list[int]], max_new_tokens: int) -> int:
    """How many of `prompts`, which only a card looks at, are answered together, by both sides.

    A step of a few rows leaves most of a card idle, and takes as long as one of hundreds. So there they are as many
    as its free memory holds.
    """
    model: Any = pair.model.get_base_model()
    if model.device.type != "cuda":
        return GENERATION_BATCH_SIZE
    import torch

    free, _ = torch.cuda.mem_get_info(model.device)
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    tokens = max(map(len, prompts), default=1) + max_new_tokens
    return _rows_that_fit(model.config.get_text_config(), model.dtype.itemsize, free, tokens) // 2 or 1


def _rows_that_fit(config: Any, itemsize: int, free_bytes: int, tokens: int) -> int:
    """Rows of `tokens` tokens whose keys and values, and one layer's work on them, fit; both sides' counted."""
    width, heads = config.hidden_size, config.num_attention_heads
    size = getattr(config, "head_dim", None) or width // heads
    kept = 2 * config.num_hidden_layers * (getattr(config, "num_key_value_heads", None) or heads) * size
    worked = 3 * (getattr(config, "intermediate_size", None) or 4 * width) + 6 * width
    fit = int(_SHARE_OF_FREE * free_bytes / (itemsize * (kept + worked) * tokens))
    return min(fit, 2 * _MOST_AT_ONCE)


def answer_batch(
    pair: Pair,
    texts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[AnswerPair]:
    """Greedy answers of base and tuned to each of `texts`, in their order.

    Args:
        pair: base and tuned, of kind `causal`.
        texts: inputs of the pair's task.
        max_new_tokens: where an answer is cut off.
        batch_size: texts a batch; by default `answers_at_once`.
        on_batch: called with the number of texts done and of all.
    """
    assert pair.prompter is not None
    prompts = [pair.prompter.encode_prompt(text) for text in texts]
    batch_size = batch_size or answers_at_once(pair, prompts, max_new_tokens)
    answers: dict[int, AnswerPair] = {}
    for indexes in like_lengths([len(prompt) for prompt in prompts], batch_size):
        rows = [prompts[index] for index in indexes]
        streamer = _RowStreamer(pair, 2 * len(rows))
        _answer_both(pair, rows, rows, streamer, max_new_tokens=max_new_tokens)
        base, tuned = streamer.answers[: len(rows)], streamer.answers[len(rows) :]
        answers |= {index: AnswerPair(*both) for index, *both in zip(indexes, base, tuned, strict=True)}
        if on_batch:
            on_batch(len(answers), len(texts))
    return [answers[index] for index in range(len(texts))]


def answer_base_batch(
    pair: Pair,
    texts: Sequence[str],
    history: Sequence[Message],
    *,
    max_new_tokens: int,
    batch_size: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Greedy answers of the base alone, after a few-shot prompt whose examples are computed once.

    Args:
        pair: of kind `causal`; the tuned side is not asked.
        texts: inputs of the pair's task.
        history: the examples, as messages of the user and the assistant in turn.
        max_new_tokens: where an answer is cut off.
        batch_size: texts a batch; by default `answers_at_once`.
        on_batch: called with the number of texts done and of all.
    """
    assert pair.prompter is not None
    prompts = [pair.prompter.encode_prompt(text, history) for text in texts]
    batch_size = batch_size or answers_at_once(pair, prompts, max_new_tokens)
    answers: dict[int, Answer] = {}
    for indexes in like_lengths([len(prompt) for prompt in prompts], batch_size):
        streamer = _RowStreamer(pair, len(indexes))
        _answer_both(pair, [prompts[index] for index in indexes], [], streamer, max_new_tokens=max_new_tokens)
        answers |= dict(zip(indexes, streamer.answers, strict=True))
        if on_batch:
            on_batch(len(answers), len(texts))
    return [answers[index] for index in range(len(texts))]


def _answer_both(
    pair: Pair,
    base: list[list[int]],
    tuned: list[list[int]],
    streamer: _RowStreamer,
    *,
    max_new_tokens: int,
) -> None:
    """Generate answers to prompts of either side in one batch; the streamer's rows are the base's, then tuned's."""
    if pair.layers is None:
        names = [BASE] * len(base) + [TUNED] * len(tuned)
        _generate(pair, base + tuned, names, streamer, max_new_tokens=max_new_tokens)
        return
    for _ in _steps(pair, base, tuned, streamer, max_new_tokens):
        pass
    streamer.end()


def _steps(
    pair: Pair,
    base: list[list[int]],
    tuned: list[list[int]],
    streamer: _RowStreamer,
    max_new_tokens: int,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[None]:
    """Decode by the pair's layers, in this thread; yields after every token, which the streamer then has."""
    from models.fast.decoding import greedy

    layers = pair.layers
    assert layers is not None
    ends = end_tokens(pair.model, pair.tokenizer)
    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "ends": ends, "should_stop": should_stop}
    for tokens in greedy(layers, base, tuned, **limits):
        streamer.take(tokens)
        yield


def _generate(
    pair: Pair,
    rows: list[list[int]],
    names: list[str],
    streamer: _RowStreamer,
    *,
    max_new_tokens: int,
    stop: threading.Event | None = None,
) -> None:
    """The same by `transformers`' own `generate`, where a model is not Llama-like; `names`: whose row is whose."""
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
    try:
        with torch.inference_mode():
            pair.model.generate(
                **pair.batch(rows),
                adapter_names=names,
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


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a turn: the chat template's, the tokenizer's, and what the model's own settings name."""
    ends = model.generation_config.eos_token_id
    more = ends if isinstance(ends, list) else [ends]
    own = [ChatTemplate.of(tokenizer).end_token, tokenizer.eos_token_id]
    return {int(token) for token in [*own, *more] if token is not None}


def _snapshots(streamer: _RowStreamer) -> AnswerPair:
    """Both sides' answers as they are now."""
    base, tuned = (
        replace(answer, text=streamer.decode(answer), token_ids=[*answer.token_ids]) for answer in streamer.answers
    )
    return AnswerPair(base, tuned)

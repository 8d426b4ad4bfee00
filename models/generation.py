"""Answers of base and tuned: streamed for a chat, from one call; in batches for an evaluation.

Greedy always: the two sides then differ by what was tuned and by nothing else. How a token comes about, and when
the sides share a batch, is in `models.stepping`.
"""

from __future__ import annotations

import contextlib
import queue
import statistics
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.batches import each_row, like_lengths
from models.pair import Pair
from models.prefix import StoppedError
from models.prompting import Input, Message
from models.stepping import Answer as Answer
from models.stepping import RowStreamer, generate, has_layers, steps
from models.stepping import end_tokens as end_tokens

GENERATION_BATCH_SIZE = 32
"""Texts a batch on a processor, which gains little from more."""
_MOST_AT_ONCE = 256
_SHARE_OF_FREE = 0.5
"""Of a card's free memory, for what `answers_at_once` counts; the rest is for what it does not."""


@dataclass(frozen=True)
class AnswerPair:
    """What base and tuned have answered so far."""

    base: Answer
    tuned: Answer


def stream_answers(
    pair: Pair,
    base_prompt: list[int],
    tuned_prompt: list[int],
    *,
    max_new_tokens: int,
    stop: threading.Event | None = None,
) -> Generator[AnswerPair]:
    """Generate both answers, a token of each in turn or in one batch, and yield them after every token.

    Args:
        pair: base and tuned, of kind `causal`.
        base_prompt: the base side's prompt, as tokens; the sides' histories may differ.
        tuned_prompt: the tuned side's.
        max_new_tokens: where an answer is cut off.
        stop: set it, or close the generator, and it ends within a token, or within a piece of a long prompt.
    """
    stop = stop or threading.Event()
    if pair.mixes and not has_layers(pair):
        yield from _stream_from_thread(pair, base_prompt, tuned_prompt, max_new_tokens, stop)
        return
    streamer = RowStreamer(pair, 2)
    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "should_stop": stop.is_set}
    with contextlib.suppress(StoppedError):
        for tokens in steps(pair, [base_prompt], [tuned_prompt], **limits):
            streamer.take(tokens)
            yield _snapshots(streamer)
            if stop.is_set():
                break
    yield _snapshots(streamer)  # a listener that was not told of the stop yet looks once more


def stream_side(
    pair: Pair, prompt: list[int], *, tuned: bool, max_new_tokens: int, stop: threading.Event | None = None
) -> Generator[Answer]:
    """The same of one side alone, in this thread.

    Args:
        pair: of kind `causal`.
        prompt: as tokens.
        tuned: which side is asked.
        max_new_tokens: where the answer is cut off.
        stop: as for `stream_answers`.
    """
    stop = stop or threading.Event()
    streamer = RowStreamer(pair, 1)
    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "should_stop": stop.is_set}
    with contextlib.suppress(StoppedError):
        for tokens in steps(pair, [] if tuned else [prompt], [prompt] if tuned else [], **limits):
            streamer.take(tokens)
            yield _snapshot(streamer, 0)
            if stop.is_set():
                break
    yield _snapshot(streamer, 0)


def second_side_cost(pair: Pair, prompt: list[int], *, tokens: int = 6, times: int = 2) -> float | None:
    """How many times as long a token of both sides takes as one of the tuned side alone.

    Args:
        pair: base and tuned, of kind `causal`.
        prompt: what both are asked, as tokens.
        tokens: decoded each time.
        times: how often each is tried, in turns.

    Returns:
        A ratio of medians, measured now; None where `transformers` generates, a token of which is not its own step.
    """
    if pair.mixes and not has_layers(pair):
        return None
    taken: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(times):
        for base in taken:
            last = None
            for _ in steps(pair, [prompt] * base, [prompt], max_new_tokens=tokens, ends=set()):
                now = time.perf_counter()
                if last is not None:
                    taken[base].append(now - last)
                last = now
    return statistics.median(taken[1]) / statistics.median(taken[0])


def _stream_from_thread(
    pair: Pair, base: list[int], tuned: list[int], max_new_tokens: int, stop: threading.Event
) -> Iterator[AnswerPair]:
    """The same by `generate`, which returns when all is done: it runs in a thread and is listened to."""
    taken: queue.Queue[AnswerPair | BaseException | None] = queue.Queue()

    def publish() -> None:
        taken.put(_snapshots(streamer))

    streamer = RowStreamer(pair, 2, publish)

    def work() -> None:
        try:
            generate(pair, [base], [tuned], streamer, max_new_tokens=max_new_tokens, stop=stop)
            publish()
            taken.put(None)
        except BaseException as error:
            taken.put(error)

    thread = threading.Thread(target=work, name="generate", daemon=True)
    thread.start()
    try:
        while (step := taken.get()) is not None:
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
    model: Any = pair.bare(True)
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
    texts: Sequence[Input],
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

    def both(indexes: list[int]) -> Iterable[AnswerPair]:
        rows = [prompts[index] for index in indexes]
        return map(AnswerPair, *_answers(pair, rows, rows, max_new_tokens))

    return each_row(like_lengths(list(map(len, prompts)), batch_size), both, len(texts), on_batch)


def answer_base_batch(
    pair: Pair,
    texts: Sequence[Input],
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
    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "batch_size": batch_size, "on_batch": on_batch}
    return answer_side_batch(pair, texts, tuned=False, history=history, **limits)


def answer_side_batch(
    pair: Pair,
    texts: Sequence[Input],
    *,
    tuned: bool,
    history: Sequence[Message] = (),
    max_new_tokens: int,
    batch_size: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Greedy answers of one side alone, in the order of `texts`.

    Args:
        pair: of kind `causal`.
        texts: inputs of the pair's task.
        tuned: which side is asked.
        history: messages before each.
        max_new_tokens: where an answer is cut off.
        batch_size: texts a batch; by default `answers_at_once`.
        on_batch: called with the number of texts done and of all.
    """
    assert pair.prompter is not None
    prompts = [pair.prompter.encode_prompt(text, history) for text in texts]
    batch_size = batch_size or answers_at_once(pair, prompts, max_new_tokens)

    def of_side(indexes: list[int]) -> Iterable[Answer]:
        rows = [prompts[index] for index in indexes]
        return _answers(pair, *(([], rows) if tuned else (rows, [])), max_new_tokens)[tuned]

    return each_row(like_lengths(list(map(len, prompts)), batch_size), of_side, len(texts), on_batch)


def _answers(
    pair: Pair, base: list[list[int]], tuned: list[list[int]], max_new_tokens: int
) -> tuple[list[Answer], list[Answer]]:
    """Both sides' answers to their prompts: in one batch where the pair mixes them, else side after side."""
    if base and tuned and not pair.mixes:
        return _answers(pair, base, [], max_new_tokens)[0], _answers(pair, [], tuned, max_new_tokens)[1]
    streamer = RowStreamer(pair, len(base) + len(tuned))
    if has_layers(pair):
        for tokens in steps(pair, base, tuned, max_new_tokens=max_new_tokens):
            streamer.take(tokens)
        streamer.end()
    else:
        generate(pair, base, tuned, streamer, max_new_tokens=max_new_tokens)
    return streamer.answers[: len(base)], streamer.answers[len(base) :]


def _snapshots(streamer: RowStreamer) -> AnswerPair:
    """Both sides' answers as they are now."""
    return AnswerPair(_snapshot(streamer, 0), _snapshot(streamer, 1))


def _snapshot(streamer: RowStreamer, row: int) -> Answer:
    answer = streamer.answers[row]
    return replace(answer, text=streamer.decode(answer), token_ids=[*answer.token_ids])

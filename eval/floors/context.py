"""The base model with a text in its prompt that holds what it is asked: another way to what it was not taught.

The text stands before every question, in the same message, for the base alone. A tuned model that knows as much
answers with a fraction of the prompt, and that is what the comparison shows: scores and tokens side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from data.tasks.task import Input
from eval.floors.few_shot import base_answers
from eval.metrics import primary_of
from eval.report.schema import RowResult
from eval.report.sections import WithContext
from eval.scores import judge, measure, row_scores
from models.context import max_positions
from models.pair import Pair
from plumbing.errors import DataError
from plumbing.reading import read_text

MAX_BYTES = 2**20
"""Of a text in a prompt: a quarter of a million tokens, more than any base model here reads."""
_TOKENS_AT_ONCE = 2**14
"""Of the prompts of a batch on a processor, where each row keeps its own keys and values of the whole text."""


@dataclass(frozen=True)
class Context:
    """A text to stand before every question."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Context:
        """The text in `path`.

        Raises:
            DataError: there is none, or it is no text, empty, or too long for any prompt.
        """
        try:
            text = read_text(path, limit=MAX_BYTES).strip()
            if not text:
                raise ValueError("it is empty")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise DataError(
                f"The text to put before every question cannot be read: {why}",
                got=str(path),
                fix="Give a text file, or leave out evaluation.context.",
            ) from None
        return cls(path.name, text)

    def before(self, asked: Input) -> Input:
        """`asked` with the text before it; of a chat, before what the user says first."""
        if isinstance(asked, str):
            return f"{self.text}\n\n{asked}"
        messages = [dict(message) for message in asked]
        first = next((message for message in messages if message["role"] == "user"), messages[-1])
        first["content"] = f"{self.text}\n\n{first['content']}"
        return messages


def no_room(pair: Pair, inputs: Sequence[Input], context: Context, max_new_tokens: int) -> str:
    """Why the text cannot stand before every one of `inputs`, in a sentence; empty where it can."""
    prompter, limit = pair.prompter, max_positions(pair.model.config)
    assert prompter is not None
    if limit is None:
        return ""
    longest = max(len(prompter.encode_prompt(context.before(asked))) for asked in inputs) + max_new_tokens
    if longest <= limit:
        return ""
    return (
        f"The base was not shown {context.name} in its prompt: with the longest test row and its answer that takes "
        f"{longest:,} tokens, and it reads at most {limit:,}."
    )


def answers_with(
    pair: Pair,
    inputs: Sequence[Input],
    context: Context,
    max_new_tokens: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """The base's answers with the text, which fits, before each of `inputs`."""
    prompter = pair.prompter
    assert prompter is not None
    with_text = [context.before(asked) for asked in inputs]
    longest = max(len(prompter.encode_prompt(asked)) for asked in with_text)
    at_once = max(1, _TOKENS_AT_ONCE // longest) if pair.model.device.type == "cpu" else None
    return base_answers(pair, with_text, [], max_new_tokens, on_progress, batch_size=at_once)


def measure_context(
    pair: Pair,
    rows: Sequence[RowResult],
    context: Context,
    *,
    max_new_tokens: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> WithContext:
    """Let the base answer the rows of a comparison again, with the text before each.

    Args:
        pair: of kind `causal`.
        rows: the comparison's rows, with the tuned side's answers.
        context: the text; it fits, see `no_room`.
        max_new_tokens: where an answer is cut off.
        on_progress: called with rows done and rows in all.
    """
    task, prompter, metric = pair.task, pair.prompter, primary_of(pair.task)
    assert prompter is not None
    without = [row.asked for row in rows]
    inputs = [context.before(asked) for asked in without]
    references = [row.references for row in rows]
    tokens = [len(prompter.encode_prompt(asked)) for asked in inputs]
    answers = answers_with(pair, without, context, max_new_tokens, on_progress)
    tuned = [row.tuned.scores[metric.name] for row in rows]
    return WithContext(
        name=context.name,
        text_sha256=hashlib.sha256(context.text.encode()).hexdigest(),
        scores=measure(answers, references, task),
        judgement=judge(row_scores(answers, references, task), tuned, metric),
        prompt_tokens=fmean(tokens),
        prompt_tokens_without=fmean(len(prompter.encode_prompt(asked)) for asked in without),
    )

"""A chat in the terminal: one message, two answers that grow side by side."""

from __future__ import annotations

from pathlib import Path

from rich.columns import Columns
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from models.adapters import BaseOrigin
from models.context import max_positions
from models.generation import Answer, AnswerPair, stream_answers
from models.kinds import require_answers
from models.pair import Pair, open_pair
from models.prompting import Message
from models.scoring import score_labels
from plumbing.errors import DataError


def converse(adapter: Path, console: Console, *, message: str | None, max_new_tokens: int) -> None:
    """Answer `message`, or every line typed until an empty one; each side remembers its own answers.

    Of a model of raw texts a line is how one begins, and both sides go on with it.
    """
    require_answers(BaseOrigin.load(adapter).kind)
    with console.status("Opening the models"):
        pair = open_pair(adapter)
    console.print(f"[dim]{pair.base.describe()} · {pair.proof.describe()}[/]", highlight=False)
    histories: tuple[list[Message], list[Message]] = ([], [])
    while True:
        asked = "It begins" if pair.task.kind == "text" else "You"
        text = message if message is not None else console.input(f"[bold]{asked}:[/] ").strip()
        if not text:
            return
        try:
            if pair.kind == "classifier":
                _show_labels(pair, text, console)
            else:
                _answer(pair, text, histories, console, max_new_tokens)
        except DataError as error:
            if message is not None:
                raise
            console.print(str(error), style="red", highlight=False, markup=False)
        if message is not None:
            return


def _check_length(pair: Pair, tokens: int) -> None:
    """Raise a `DataError` where a message, with all before it and its answer, is longer than the model reads."""
    limit = max_positions(pair.model.config)
    if limit is not None and tokens > limit:
        raise DataError(
            f"This message is too long: with what was said before and its answer it takes {tokens:,} tokens, and "
            f"{pair.base.name} reads at most {limit:,}",
            fix="Shorten it, or begin anew.",
        )


def _answer(
    pair: Pair,
    text: str,
    histories: tuple[list[Message], list[Message]],
    console: Console,
    max_new_tokens: int,
) -> None:
    assert pair.prompter is not None
    base, tuned = (pair.prompter.encode_prompt(text, history) for history in histories)
    _check_length(pair, max(len(base), len(tuned)) + max_new_tokens)
    last: AnswerPair | None = None
    with Live(console=console, auto_refresh=False) as live:
        for last in stream_answers(pair, base, tuned, max_new_tokens=max_new_tokens):
            live.update(_side_by_side(last), refresh=True)
    if last:
        for history, answer in zip(histories, (last.base, last.tuned), strict=True):
            history += [{"role": "user", "content": text}, {"role": "assistant", "content": answer.text}]


def _side_by_side(answers: AnswerPair) -> Columns:
    def panel(title: str, answer: Answer, style: str) -> Panel:
        stats = f"{answer.tokens} tokens · {answer.seconds:.1f} s"
        return Panel(Text(answer.text), title=title, subtitle=stats, border_style=style, width=60)

    return Columns([panel("Before · base", answers.base, "dim"), panel("After · tuned", answers.tuned, "green")])


def _show_labels(pair: Pair, text: str, console: Console) -> None:
    import math

    _check_length(pair, len(pair.tokenizer(text)["input_ids"]))
    scores = score_labels(pair, [text])[0]
    for title, values in (("Before · base ", scores.base), ("After · tuned", scores.tuned)):
        shares = ", ".join(
            f"{label} {math.exp(value):.0%}" for label, value in zip(pair.task.labels, values, strict=True)
        )
        console.print(f"{title}: {shares}", highlight=False)

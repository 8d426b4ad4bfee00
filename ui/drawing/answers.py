"""How a message and its two answers are drawn, and what a conversation remembers of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from eval.vote_lines import Choice, Models
from ui.drawing import charts, text
from ui.drawing.differences import compared, marked
from ui.drawing.markup import Child, Markup, join, progress, tag

SideName = Literal["base", "tuned"]
Message = dict[str, str]
"""`{"role": …, "content": …}`."""
ALL_BARS = 8
"""Up to so many labels each has its bar; of more only the likeliest."""
FEW_BARS = 5
TITLES: dict[SideName, tuple[str, str]] = {"base": ("Before", "base"), "tuned": ("After", "tuned")}
PLACES = ("Left", "Right")
"""What the sides are called while nobody is told which is which."""


@dataclass
class Side:
    """One side's answer."""

    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    first_token_seconds: float = 0.0
    stopped: bool = False
    label: str = ""
    """The answer of a task with labels: the likeliest one."""
    is_right: bool | None = None
    """Whether `label` is; None where nobody said what is."""
    score: str = ""
    """Of a text against the reference, ready to show."""
    probabilities: list[float] | None = None
    """Of the task's labels, in their order; None where there are none."""
    whole: bool = True
    """Whether the text ended by itself, and was not cut off."""


@dataclass
class Ballot:
    """That the sides of a turn stand shuffled and without their names until there is a vote."""

    id: str
    left: SideName
    """Which one stands left, then and afterwards."""
    vote: Choice | None = None


@dataclass
class Turn:
    """A message and what both sides made of it."""

    message: str
    references: list[str] = field(default_factory=list)
    """The right answers, where the message is a test row."""
    labels: tuple[str, ...] = ()
    in_words: bool = True
    """False for a classifier, which answers with probabilities alone."""
    before: tuple[Message, ...] = ()
    """What was said before it to both, where it is a test row of a chat."""
    metric: str = "rougeL"
    """What an answer in words is scored by."""
    is_chat: bool = False
    """Whether the task is to go on with a conversation."""
    goes_on: bool = False
    """Whether both sides go on with the message itself, as with a text that it begins: nothing follows up on it."""
    second_side_cost: float | None = None
    """How many times as long both sides took together as the tuned one alone; None where that is not known."""
    base: Side = field(default_factory=Side)
    tuned: Side = field(default_factory=Side)
    models: Models | None = None
    """What answers; None until it is open, and of any two models, on which nobody votes."""
    names: tuple[str, str] | None = None
    """Of any two models what each is called; None of a base and what was tuned from it."""
    ballot: Ballot | None = None
    """None where the sides have their names and places from the beginning."""
    example: int = 0
    """Which of its model's examples it is, from 1; 0 for what somebody wrote."""
    recorded: Turn | None = None
    """What both sides answered to it when the tuned model was evaluated: shown while it is waited for."""
    recorded_on: str = ""
    """Of such a one the day, as `28 Nov 2026`; empty of what is answered live."""

    @property
    def is_hidden(self) -> bool:
        """Whether nobody is to know yet which side is which."""
        return self.ballot is not None and self.ballot.vote is None

    @property
    def places(self) -> tuple[SideName, SideName]:
        """Which side stands left, and which right."""
        return ("tuned", "base") if self.ballot and self.ballot.left == "tuned" else ("base", "tuned")

    def voted(self, name: SideName) -> str:
        """What the vote says of a side; empty where there is none, or it is for the other."""
        if self.ballot is None or self.ballot.vote is None:
            return ""
        if self.ballot.vote in text.VOTED:
            return text.VOTED[self.ballot.vote]
        chosen = self.places[PLACES.index(self.ballot.vote.capitalize())]
        return text.VOTED["better"] if chosen == name else ""

    @property
    def was_stopped(self) -> bool:
        return self.base.stopped or self.tuned.stopped

    def side(self, name: SideName) -> Side:
        return self.base if name == "base" else self.tuned

    @property
    def asked(self) -> list[Message]:
        """The messages that both sides are sent, without what else was said."""
        return [*self.before, {"role": "user", "content": self.message}]

    def judge(self) -> None:
        """Say what each side answers, and how right that is: a label by its probability, a text by its metric."""
        for side in (self.base, self.tuned):
            if side.probabilities is not None:
                side.label = self.labels[max(range(len(self.labels)), key=side.probabilities.__getitem__)]
                side.is_right = side.label in self.references if self.references else None
            elif self.references and not self.labels:
                from eval.metrics import metric_named

                metric = metric_named(self.metric)
                if metric.row is not None:
                    side.score = f"{metric.title} {metric.row(side.text, self.references):.2f}"


def history(turns: Sequence[Turn], name: SideName) -> list[dict[str, str]]:
    """The chat messages of one side so far."""
    messages: list[Message] = []
    for turn in turns:
        messages += [*turn.asked, {"role": "assistant", "content": turn.side(name).text}]
    return messages


def given(turn: Turn, before: Sequence[Turn], name: SideName) -> str | list[Message]:
    """What a side is asked: the message, after what was said before, if anything was.

    That is messages, so that what a system says first in a chat stands in place of the task's instruction.
    """
    said = history(before, name)
    return [*said, *turn.asked] if said or turn.before else turn.message


def shares(log_probabilities: Sequence[float]) -> list[float]:
    return [math.exp(value) for value in log_probabilities]


def panel(name: SideName, turn: Turn | None, *, growing: bool = False) -> Markup:
    """One side's panel, empty without a turn."""
    if turn is None:
        return empty_panel(name)
    if turn.is_hidden:
        return _hidden_panel(name, turn, growing)
    return _panel(name, *_answer(name, turn, growing), voted=turn.voted(name), names=turn.names)


def _answer(name: SideName, turn: Turn, growing: bool = False, *, instead: Markup | None = None) -> list[Child]:
    """What one side answered, and how; `instead` stands in place of the words behind a label, or below others."""
    side = turn.side(name)
    looks = "ba-answer ba-growing" if growing else "ba-answer"
    shown = side.text if growing else _marked(name, turn)
    words = tag("div", tag("div", shown, class_="ba-text"), class_=looks, tabindex=0) if turn.in_words else None
    score = tag("span", side.score, class_="ba-score") if side.score else None
    stats = tag("div", tag("span", " · ".join(_stats(turn, name))), score, class_="ba-stats")
    if side.probabilities is None:
        return [words, stats, instead]
    bars = charts.label_bars(*_bars(turn.labels, side.probabilities), side=name)
    own = tag("div", instead, class_="ba-words") if instead else _own_words(turn, side, words)
    return [_verdict(side, turn.labels), bars, own, stats]


def _marked(name: SideName, turn: Turn) -> Child:
    """A side's words, those that the other does not say marked; of a label's words none."""
    said = turn.side(name).text
    if turn.labels or not (turn.base.text and turn.tuned.text):
        return said
    found = compared(turn.base.text, turn.tuned.text)
    return marked(said, found.own[name == "tuned"]) if found.are_alike else said


def empty_panel(name: SideName, said: str = text.WAITING, *, names: tuple[str, str] | None = None) -> Markup:
    """One side's panel without an answer; `names` as of a turn."""
    return _panel(name, tag("div", tag("div", said, class_="ba-quiet"), class_="ba-answer"), names=names)


def _hidden_panel(name: SideName, turn: Turn, growing: bool) -> Markup:
    """The answer, and nothing by which a side could be known: no name, colour, number, bar or score.

    While the answers grow both panels say the same, for which one is ahead would be told by who stops first.
    """
    title = PLACES[turn.places.index(name)]
    if growing:
        tokens = max(turn.base.tokens, turn.tuned.tokens)
        return _unnamed_panel(title, progress(text.BOTH_WRITE.format(tokens=tokens), 0, 0))
    side = turn.side(name)
    if turn.labels:
        return _unnamed_panel(title, tag("div", tag("span", side.label, class_="ba-score"), class_="ba-verdict"))
    return _unnamed_panel(title, tag("div", tag("div", side.text, class_="ba-text"), class_="ba-answer"))


def _unnamed_panel(title: str, *parts: Child) -> Markup:
    return tag("section", tag("h2", title), join(parts), class_="ba-panel ba-hidden-panel", aria_label=title)


def _bars(labels: Sequence[str], shares: Sequence[float]) -> tuple[list[str], list[float]]:
    """The labels that are drawn, and their shares: all in their order, or of many the likeliest."""
    pairs = list(zip(labels, shares, strict=True))
    if len(pairs) > ALL_BARS:
        pairs = sorted(pairs, key=lambda pair: -pair[1])[:FEW_BARS]
    return [label for label, _ in pairs], [share for _, share in pairs]


def _verdict(side: Side, labels: Sequence[str]) -> Markup:
    """What the side answers, large, and where that is from."""
    assert side.probabilities is not None
    share = side.probabilities[labels.index(side.label)]
    mark = {True: "✓ ", False: "✗ ", None: ""}[side.is_right]
    looks = {True: "ba-score ba-right", False: "ba-score ba-wrong", None: "ba-score"}[side.is_right]
    source = tag("small", text.LABEL_SOURCE.format(percent=100 * share))
    return tag("div", tag("span", f"{mark}{side.label}", class_=looks), source, class_="ba-verdict")


def _own_words(turn: Turn, side: Side, words: Markup | None) -> Markup | None:
    """What the side writes when it is let, which is not its answer and may say something else."""
    if words is None:
        return None
    if turn.recorded_on:
        words = tag("div", text.NOT_RECORDED, class_="ba-small ba-answer")
    named = {label for label in turn.labels if re.search(rf"\b{re.escape(label)}\b", side.text, re.IGNORECASE)}
    said = text.OTHER_WORDS if named and side.label not in named else text.OWN_WORDS
    return tag("div", tag("div", said, class_="ba-small"), words, class_="ba-words")


def _stats(turn: Turn, name: SideName) -> list[str]:
    """How much was said how fast."""
    side = turn.side(name)
    if turn.recorded_on:
        return [text.RECORDED_STATS.format(day=turn.recorded_on)]
    stats = [f"{side.seconds:.1f} s"]
    if turn.in_words and (side.tokens or not side.text):  # not every server counts
        stats.insert(0, "1 token" if side.tokens == 1 else f"{side.tokens} tokens")
        after_first = side.seconds - side.first_token_seconds
        if side.tokens > 1 and after_first > 0:
            stats.append(f"{(side.tokens - 1) / after_first:.0f} tokens/s")
            stats.append(f"first {side.first_token_seconds:.1f} s")
    if side.stopped:
        stats.append(text.STOPPED)
    if name == "base" and turn.second_side_cost is not None:
        percent = 100 * (turn.second_side_cost - 1)
        # Two at once may be measured as quicker than one, which only says how exact that is.
        stats.append(text.SECOND_SIDE.format(percent=percent) if percent >= 1 else text.NO_SECOND_SIDE)
    return stats


def waiting_panel(name: SideName, turn: Turn, what: str, done: int = 0, total: int = 0) -> Markup:
    """A panel that shows what is being waited for, under what was recorded, if anything was."""
    waiting = progress(what, done, total)
    if turn.is_hidden:
        return _unnamed_panel(PLACES[turn.places.index(name)], waiting)
    shown = _answer(name, turn.recorded, instead=waiting) if turn.recorded else [waiting]
    return _panel(name, *shown, names=turn.names)


def message_card(turn: Turn | None) -> Markup:
    if turn is None:
        return Markup("")
    shown = tag("div", turn.message, class_="ba-text")
    number = turn.example or None
    return tag("div", *_said_before(turn), shown, class_="ba-message", tabindex=0, data_example=number)


def _said_before(turn: Turn) -> list[Markup]:
    """The messages before it that both sides are sent, each after who said it."""
    return [
        tag("div", tag("b", message["role"]), message["content"], class_="ba-text ba-before")
        for message in turn.before
    ]


def reference_line(turn: Turn | None) -> Markup:
    """The right answers; none before a vote, which is about the answers and not about which is like these."""
    if turn is None or not turn.references or turn.is_hidden:
        return Markup("")
    return tag("div", tag("b", "Reference"), " / ".join(turn.references), class_="ba-reference")


def past(turns: Sequence[Turn]) -> Markup:
    """The turns before the newest one; each side's own."""
    if not turns:
        return Markup("")
    return tag("div", tag("div", *map(_past_turn, turns)), class_="ba-past", tabindex=0)


def _past_turn(turn: Turn) -> Markup:
    def answer(name: SideName) -> Markup:
        return tag("div", turn.side(name).text, class_=f"ba-text ba-from-{name}")

    asked = tag("div", *_said_before(turn), turn.message, class_="ba-text ba-asked")
    if turn.is_hidden:  # never voted on
        return tag("div", asked, class_="ba-turn")
    return tag("div", asked, answer("base"), answer("tuned"), class_="ba-turn")


def _panel(name: SideName, *parts: Child, voted: str = "", names: tuple[str, str] | None = None) -> Markup:
    before, what = TITLES[name]
    if names is not None:
        before, what = PLACES[name == "tuned"], names[name == "tuned"]
    title = tag("h2", before, tag("small", f"{what} · {voted}" if voted else what))
    return tag("section", title, join(parts), class_=f"ba-panel ba-{name}-panel", aria_label=f"{before}: {what}")

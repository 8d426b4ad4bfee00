"""What came of a message, in a sentence: for the eye under both answers, and read out once they are there."""

from __future__ import annotations

from ui.drawing import text
from ui.drawing.answers import PLACES, TITLES, Side, Turn
from ui.drawing.differences import compared
from ui.drawing.markup import Markup, tag

LIVE = "element.setAttribute('role', 'status'); element.setAttribute('aria-live', 'polite');"
"""What makes the place of the sentence one that is read out when it changes. Answers that grow are not."""


def told(turn: Turn | None) -> Markup:
    """The sentence of a turn that has ended, drawn."""
    said = sentence(turn) if turn else ""
    return tag("div", said, class_="ba-told") if said else Markup("")


def being_answered() -> Markup:
    """In place of it while a message is answered."""
    return tag("div", text.BEING_ANSWERED, class_="ba-told")


def sentence(turn: Turn) -> str:
    """What both sides made of it; empty where there is nothing to say."""
    if turn.was_stopped:
        return text.STOPPED.capitalize() + "."
    if turn.is_hidden:
        return text.BOTH_THERE
    said = _labels(turn) if turn.base.label and turn.tuned.label else _words(turn)
    if turn.recorded_on and said:
        return f"{text.RECORDED.format(day=turn.recorded_on)} {said}"
    return said


def _names(turn: Turn) -> tuple[str, str]:
    return PLACES if turn.names is not None else (TITLES["base"][0], TITLES["tuned"][0])


def _labels(turn: Turn) -> str:
    (before, after), base, tuned = _names(turn), turn.base, turn.tuned
    if base.label == tuned.label:
        return f"{before} and {after} both say {base.label}{_judged(base)}."
    return f"{before} says {base.label}{_judged(base)}; {after} says {tuned.label}{_judged(tuned)}."


def _judged(side: Side) -> str:
    return {True: ", which is right", False: ", which is wrong", None: ""}[side.is_right]


def _words(turn: Turn) -> str:
    """How they score, and how much both say."""
    if not (turn.base.text and turn.tuned.text):
        return ""
    (before, after), base, tuned = _names(turn), turn.base.score, turn.tuned.score
    said = []
    if base and tuned:
        said.append(f"{before}: {base}. {after}: {tuned}.")
    found = compared(turn.base.text, turn.tuned.text)
    shared = text.SHARED.format(common=found.common, most=found.most)
    return " ".join([*said, f"{shared} {text.UNDERLINED if found.are_alike else text.UNLIKE}"])

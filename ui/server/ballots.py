"""Which side stands left, where nobody is told before they have voted; and what a vote is kept with.

Which one it is follows from a number that is drawn for each question and from a seed. Both stay on the server: the
number with the turn, in a state that Gradio keeps here, the seed in this process. Nothing of an answer is sent
before both are whole, so whoever reads all that a page is sent finds the sides apart in what they answered alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from eval.vote_lines import Answer, Message, Models, Vote
from eval.vote_lines import Choice as Given
from models.tuned import weights_sha256
from plumbing.remembered import Remembered
from ui.drawing.answers import Ballot, Side, SideName, Turn
from ui.server.choices import Choice
from ui.server.visitors import Visitor

if TYPE_CHECKING:
    from models.pair import Pair

_REMEMBERED = 20_000
"""Answers that were shown with their names, everybody's together."""


class Ballots:
    """Draws ballots, and remembers whom which answers were shown to with the names of their sides."""

    def __init__(self, seed: bytes | None = None) -> None:
        self._seed = seed or secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._named: OrderedDict[str, None] = OrderedDict()

    def new(self) -> Ballot:
        """A ballot for the next question."""
        number = secrets.token_hex(16)
        return Ballot(number, left=self.left_of(number))

    def left_of(self, ballot: str) -> SideName:
        """Which side stands left on that ballot."""
        return "tuned" if hmac.digest(self._seed, ballot.encode(), "sha256")[0] & 1 else "base"

    def note(self, owner: str, turn: Turn) -> None:
        """Remember that `owner` is shown this turn, unless its sides are hidden, or nothing has answered it."""
        if turn.models is None or turn.is_hidden:
            return
        with self._lock:
            for key in _answers(owner, turn):
                self._remember(key)

    def note_recorded(self, owner: str, turn: Turn) -> None:
        """Remember that `owner` is shown what both sides answered to it before, with their names."""
        with self._lock:
            self._remember(_recorded(owner, turn))

    def _remember(self, key: str) -> None:
        self._named[key] = None
        self._named.move_to_end(key)
        while len(self._named) > _REMEMBERED:
            self._named.popitem(last=False)

    def has_seen(self, owner: str, turn: Turn) -> bool:
        """Whether `owner` was shown one of these answers to the same question with the name of its side.

        Answers are greedy: the base says the same beside every model that was tuned from it.
        """
        return any(key in self._named for key in [*_answers(owner, turn), _recorded(owner, turn)])


def _recorded(owner: str, turn: Turn) -> str:
    """What stands for both answers as they were recorded, whatever the tuned model."""
    return hashlib.sha256(json.dumps([owner, turn.asked]).encode()).hexdigest()


def _answers(owner: str, turn: Turn) -> list[str]:
    """What stands for each of the two answers."""
    sides = turn.models.sides if turn.models else ()
    return [hashlib.sha256(json.dumps([owner, turn.asked, side]).encode()).hexdigest() for side in sides]


BALLOTS = Ballots()


def models_of(pair: Pair, key: str) -> Models:
    """What answers, as a vote names it; `key` is that of the choice."""
    return Models(
        base=pair.base.name,
        base_sha256=pair.base.weights_sha256,
        tuned=key,
        tuned_sha256=pair.adapter_sha256,
        contract_sha256=pair.contract.sha256,
        task=pair.task.name,
    )


def vote_on(turn: Turn, ballot: Ballot, given: Given, *, seen: bool) -> Vote:
    """The vote that is given on a turn whose sides `ballot` hides, to be kept; `seen` as in `Vote`."""
    assert turn.models is not None
    return Vote(
        ballot=ballot.id,
        time=time.time(),
        prompt=[Message.model_validate(message) for message in turn.asked],
        base=_answer(turn, turn.base),
        tuned=_answer(turn, turn.tuned),
        models=turn.models,
        left=ballot.left,
        vote=given,
        seen=seen,
    )


def _answer(turn: Turn, side: Side) -> Answer:
    return Answer(text=side.label) if turn.labels else Answer(text=side.text, whole=side.whole)


def votes_on(choice: Choice, visitor: Visitor) -> list[Vote]:
    """The visitor's votes on a tuned model as it is now, the oldest first."""
    found = [vote for vote in visitor.votes() if vote.models.tuned == choice.key]
    if not found:
        return []
    try:
        now = _weights(str(choice.folder))
    except OSError:  # it is being removed
        return []
    return [vote for vote in found if vote.models.tuned_sha256 == now]


_weights = Remembered(lambda folder: weights_sha256(Path(folder)), most=256)

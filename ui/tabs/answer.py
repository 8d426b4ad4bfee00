"""A message and its two answers on the page: asked in turn, drawn as they are written, put back where they fail.

What a person may do there is in `compare`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from eval.sides.engine import EngineError
from models.kinds import require_answers
from plumbing.errors import ModelError, UserError
from ui.drawing import answers, text
from ui.drawing.answers import Side, Turn
from ui.drawing.markup import join, tag
from ui.drawing.told import being_answered, told
from ui.server.answering import prepare
from ui.server.ballots import BALLOTS
from ui.server.choices import Choice
from ui.server.engine import OnEngine, Served, ways
from ui.server.lent_gpu import lent
from ui.server.models_in_use import MODELS, ModelsInUse, Opened, Opening, Place
from ui.server.toast import show
from ui.server.two_answering import both_of
from ui.server.two_models import Two, find_any
from ui.server.visitors import visitor_of
from ui.tabs.events import Updates
from ui.tabs.top_line import badge, badge_waiting, instead, not_open, status


@dataclass
class Answers:
    """The components that a message and its answers are drawn in."""

    badge: gr.HTML
    past: gr.HTML
    message: gr.HTML
    before: gr.HTML
    after: gr.HTML
    reference: gr.HTML
    box: gr.Textbox
    follow: gr.Button
    """Asks about what was answered last; where the task has a right label, there is nothing to ask, and in a chat
    every message does."""
    stop: gr.Button
    turns: gr.State
    """What is on the page, the newest last."""
    status: gr.HTML
    """The page's top line, which names the model that is open."""
    bar: gr.Row
    """Where a vote is given, while nobody is told which side is which."""
    told: gr.HTML
    """What came of the message, in a sentence that is read out."""

    @property
    def outputs(self) -> list[Any]:
        shown = [self.badge, self.past, self.message, self.before, self.after, self.reference]
        return [*shown, self.box, self.turns, self.status, self.follow, self.stop, self.bar, self.told]

    def answer(
        self,
        turn: Turn,
        key: str | None,
        request: gr.Request,
        *,
        before: Sequence[Turn] = (),
        shown: list[Turn],
        accepted: Updates | None = None,
        blind: bool = False,
    ) -> Iterator[Updates]:
        """Answer `turn` when it is this visitor's turn.

        Args:
            turn: the message.
            key: of the tuned model.
            request: who asks.
            before: what was said before it, which both sides read; mostly nothing.
            shown: what is on the page, to which it goes back where nothing comes of the message.
            accepted: yielded once nothing can be refused.
            blind: shuffle the sides and leave out their names, until there is a vote.
        """
        visitor = visitor_of(request)
        asked: dict[str, Any] = {"before": before, "shown": shown, "accepted": accepted, "blind": blind}
        first, *rest = ways(find_any(key, visitor)) if key is not None else [MODELS]
        try:
            yield from self._answer_by(first, turn, key, request, **asked)
        except EngineError as error:  # then this machine does
            turn.base, turn.tuned = Side(), Side()
            said = instead(visitor.shown(str(error)))
            for here in rest:
                for updates in self._answer_by(here, turn, key, request, **asked):
                    if self.badge in updates:
                        updates[self.badge] = join([updates[self.badge], said])
                    yield updates

    def _answer_by(
        self,
        way: Served | ModelsInUse,
        turn: Turn,
        key: str | None,
        request: gr.Request,
        *,
        before: Sequence[Turn],
        shown: list[Turn],
        accepted: Updates | None,
        blind: bool,
    ) -> Iterator[Updates]:
        """The same by an engine or by this machine; an engine that does not answer draws nothing of that."""
        if key is None:
            yield {self.before: answers.empty_panel("base", text.NO_MODELS)}
            raise ModelError(text.NO_MODELS)
        visitor = visitor_of(request)
        visitor.check_message(turn.message)
        choice = find_any(key, visitor)
        if isinstance(choice, Two):  # on which nobody votes
            turn.names = choice.names
        else:
            try:
                require_answers(choice.kind)
            except ModelError as error:
                yield self._failed(turn, str(error))
                raise
            turn.ballot = BALLOTS.new() if blind else None
            if turn.recorded is not None and not blind:  # it may be shown until there is a live answer
                BALLOTS.note_recorded(visitor.owner, turn)
        stop = MODELS.new_stop(request.session_hash)
        longest = visitor.limits.chat_waiting if visitor.limits else None
        MODELS.wait_for_end(request.session_hash)  # of what this page had going, which is drawn where this will be
        with MODELS.answering(request.session_hash), way.line.place(longest) as place:
            ahead = 1
            for ahead in way.line.wait(place, stop):
                if ahead:
                    said = text.QUEUED if ahead == 1 else text.QUEUED_BEHIND.format(ahead=ahead)
                    yield self._waiting(turn, said + way.line.said_to_take(ahead))
            if ahead:  # stopped while it was waiting
                yield self.show(shown)
            else:
                try:
                    now = (list(before), shown, stop, place, accepted or {})
                    yield from self._answer_now(way, turn, choice, *now)
                except EngineError:
                    raise
                except Exception as error:
                    said = visitor.shown(str(error)) if isinstance(error, UserError) else text.NOT_ANSWERED
                    yield self._failed(turn, said) | self._top(choice, way.opened(choice))
                    raise
                finally:
                    if not before:
                        BALLOTS.note(visitor.owner, turn)
        yield {self.stop: stop_button()}

    def _answer_now(
        self,
        way: Served | ModelsInUse,
        turn: Turn,
        choice: Choice | Two,
        before: list[Turn],
        shown: list[Turn],
        stop: threading.Event,
        place: Place,
        accepted: Updates,
    ) -> Iterator[Updates]:
        """Open the model, answer `turn` and remember it."""
        opened: Opened | OnEngine | None = None
        said = ""
        for state in way.open(choice, stop):
            place.seen = time.monotonic()
            if not isinstance(state, Opening):
                opened = state
            elif state.said != said:
                said = state.said
                yield self._opening(state, turn)
        if opened is None:  # stopped while it was loading
            yield self.show(shown) | self._top(choice, way.opened(choice))
            return
        is_open, both = self._top(choice, opened), lent(both_of(opened), opened, choice)
        try:
            both.check_length(turn, before)
        except UserError as error:
            show(error)
            yield is_open | self.show(shown)
            return
        prepare(turn, both)
        turn.models = both.named(choice.key)
        start = {self.past: answers.past(before), self.follow: gr.Button(visible=False)}
        yield accepted | is_open | start | self._begun(turn)
        for _ in both.answers(turn, before, stop):
            place.seen = time.monotonic()
            yield self._panels(turn, growing=True)
        turn.judge()
        if turn.was_stopped:  # half an answer is not voted on
            turn.ballot = None
        yield self.show([*before, turn])
        if turn.in_words and not turn.was_stopped:
            both.weigh(turn)
            yield self._panels(turn)

    def _waiting(self, turn: Turn, what: str, done: int = 0, total: int = 0) -> Updates:
        """Panels that show what is being waited for; there is nothing to vote on yet."""
        left, right = (answers.waiting_panel(name, turn, what, done, total) for name in turn.places)
        shown = not turn.is_hidden and turn.recorded
        return {
            self.before: left,
            self.after: right,
            self.bar: gr.Row(visible=False),
            self.told: told(turn.recorded) if shown else being_answered(),
            self.stop: stop_button(going=True),
        }

    def _begun(self, turn: Turn) -> Updates:
        """Panels of which nothing is answered yet."""
        drawn = self._draw(turn, growing=True) | {self.told: being_answered(), self.stop: stop_button(going=True)}
        recorded = turn.recorded is not None and not turn.is_hidden
        return drawn | self._waiting(turn, text.ANSWERING) if recorded else drawn

    def _opening(self, state: Opening, turn: Turn) -> Updates:
        top = tag("div", tag("i", class_="ba-busy"), state.what, class_="ba-status")
        return self._waiting(turn, state.said, state.done, state.total) | {
            self.message: answers.message_card(turn),
            self.reference: answers.reference_line(turn),
            self.badge: badge_waiting(),  # what it said is of the model before
            self.status: top,
        }

    def show(self, turns: list[Turn]) -> Updates:
        """A page on which `turns` are answered."""
        last = turns[-1] if turns else None
        hidden = last is not None and last.is_hidden
        alone = last is None or last.labels or last.is_chat or last.goes_on or not last.in_words or hidden
        buttons = {self.follow: gr.Button(visible=not alone), self.bar: gr.Row(visible=hidden)}
        shown: Updates = {self.turns: turns, self.past: answers.past(turns[:-1]), self.told: told(last)}
        shown |= {self.stop: stop_button()}
        return shown | buttons | self._draw(last)

    def _top(self, choice: Choice | Two, opened: Opened | OnEngine | None) -> Updates:
        """The badge and the page's top line: of `choice`, open or not, and not of the model before it."""
        if opened is not None:
            return {self.badge: badge(opened), self.status: status(opened)}
        return {self.badge: badge_waiting(), self.status: not_open(choice.base)}

    def _failed(self, turn: Turn, said: str) -> Updates:
        """A page on which `turn` could not be answered; its message stays to be read."""
        panels = {
            self.before: answers.empty_panel("base", said, names=turn.names),
            self.after: answers.empty_panel("tuned", said, names=turn.names),
            self.bar: gr.Row(visible=False),
            self.told: "",
        }
        around = {self.message: answers.message_card(turn), self.reference: answers.reference_line(turn)}
        ended = {self.turns: [], self.past: "", self.stop: stop_button(), self.follow: gr.Button(visible=False)}
        return ended | around | panels

    def _draw(self, turn: Turn | None, *, growing: bool = False) -> Updates:
        return {
            self.message: answers.message_card(turn),
            self.reference: answers.reference_line(turn),
            **self._panels(turn, growing=growing),
        }

    def _panels(self, turn: Turn | None, *, growing: bool = False) -> Updates:
        left, right = turn.places if turn else ("base", "tuned")
        return {
            self.before: answers.panel(left, turn, growing=growing),
            self.after: answers.panel(right, turn, growing=growing),
        }


def stop_button(*, going: bool = False) -> gr.Button:
    """The button as it is while it has not been asked for: of use where an answer is going."""
    return gr.Button(value="Stop", interactive=going)

"""The Compare tab: one message, two answers, from one copy of the weights.

A new message, example or model stops what the same session had going. Nothing a person wrote is lost to an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from data.tasks import STARTING_POINTS
from plumbing.errors import ModelError, UserError
from ui.drawing import answers, text
from ui.drawing.answers import Turn
from ui.drawing.markup import join, tag
from ui.server.answering import check_length, score, stream, take_cores, weigh
from ui.server.choices import Choice, find, options, shipped
from ui.server.models_in_use import MODELS, Opening, Place
from ui.server.toast import show, toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs.examples import SHOWN, examples
from ui.tabs.top_line import badge, badge_waiting, not_open, status

if TYPE_CHECKING:
    from models.pair import Pair

FIRST_TASK = next(iter(STARTING_POINTS.values()))
Updates = dict[Any, Any]
"""Component → its new value; what is not in it stays."""


@dataclass
class Compare:
    """The tab's components, and what they do."""

    task: gr.Radio
    model: gr.Dropdown
    badge: gr.HTML
    past: gr.HTML
    message: gr.HTML
    before: gr.HTML
    after: gr.HTML
    reference: gr.HTML
    examples: list[gr.Button]
    box: gr.Textbox
    send: gr.Button
    follow: gr.Button
    """Asks about what was answered last; where the task has a right label, there is nothing to ask."""
    stop: gr.Button
    clear: gr.Button
    turns: gr.State
    """What is on the page, the newest last."""
    status: gr.HTML
    """The page's top line, which names the model that is open."""
    asked: gr.State
    """A test row that another tab asks both sides about: its text and its references, until it is answered."""
    remembered: dict[str, Updates] = field(default_factory=dict)
    """What the first example's answer by a shipped adapter looked like, by the adapter's key."""

    @property
    def outputs(self) -> list[Any]:
        shown = [self.badge, self.past, self.message, self.before, self.after, self.reference]
        return [*shown, self.box, self.turns, self.status, self.asked, self.follow, self.stop]

    @property
    def chosen(self) -> list[Any]:
        """The inputs of `run_example`."""
        return [self.task, self.model, self.turns]

    # ---- what a person does ----

    @toasts
    def write(self, message: str, key: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
        """A message of one's own. It stands alone: what was answered before is no part of it."""
        yield from self._answer(_own(message), key, request, shown=turns, accepted={self.box: ""})

    @toasts
    def follow_up(self, message: str, key: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
        """A message of one's own, after what was said before."""
        turn = _own(message)
        # Another task may have been chosen after the answer that is on the page.
        has_labels = key is not None and find(key, visitor_of(request)).task.is_classification
        if not turns or turns[-1].labels or has_labels:
            raise UserError(text.NOTHING_SAID, fix="Send the message.")
        yield from self._answer(turn, key, request, before=turns, shown=turns, accepted={self.box: ""})

    def run_example(self, index: int) -> Any:
        """The handler of the example button `index`."""

        @toasts
        def answer_example(task: str, key: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
            example = examples(STARTING_POINTS[task])[index]
            turn = Turn(example.text, list(example.references))
            yield from self._answer(turn, key, request, shown=turns)

        return answer_example

    @toasts
    def greet(self, task: str, key: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
        """A page that was just opened: the first example, live where nobody is waiting, else as it was answered."""
        if MODELS.line.is_busy and key in self.remembered:
            yield self.remembered[key]
            return
        drawn: Updates = {}
        for updates in self.run_example(0)(task, key, turns, request):
            drawn |= updates if isinstance(updates, dict) else {}
            # Only who waits for others is shown no message, and they may have been answered meanwhile.
            if self.before in drawn and self.message not in drawn and key in self.remembered:
                yield self.remembered[key]
                return
            yield updates
        if key and key.startswith("bundled:") and (shown := drawn.get(self.turns)) and not shown[-1].was_stopped:
            note = tag("div", text.REMEMBERED, class_="ba-note")
            self.remembered[key] = drawn | {self.reference: join([drawn[self.reference], note])}

    def refresh(self, task: str, key: str | None, request: gr.Request) -> Any:
        """The visitor's own tuned models, for a page that was just opened; the choice stays."""
        found = options(visitor_of(request), STARTING_POINTS[task].name)
        keys = [known for _, known in found]
        return gr.Dropdown(choices=found, value=key if key in keys else (keys[0] if keys else None))

    @toasts
    def answer_asked(
        self, asked: tuple[str, list[str]] | None, key: str | None, turns: list[Turn], request: gr.Request
    ) -> Iterator[Updates]:
        """The test row that another tab asked for, from the message box."""
        if asked is None:  # it could not be asked, which was said
            return
        yield {self.asked: None}
        yield from self._answer(Turn(*asked), key, request, shown=turns, accepted={self.box: ""})

    def stop_answer(self, request: gr.Request) -> Any:
        """Stop what this browser session has going, and say so before it has ended."""
        stop_session(request)
        going = MODELS.is_answering(request.session_hash)
        return gr.Button(value=text.STOPPING, interactive=False) if going else _stop_button()

    def settle(self, request: gr.Request) -> Any:
        """Stop says Stop again, where the answer ended before the page heard that it was being stopped."""
        return gr.skip() if MODELS.is_answering(request.session_hash) else _stop_button()

    def change_task(self, task: str, request: gr.Request) -> list[Any]:
        """Another task has other models and examples."""
        found = options(visitor_of(request), STARTING_POINTS[task].name)
        names = [example.name for example in examples(STARTING_POINTS[task])]
        buttons = [
            gr.Button(value=names[index] if index < len(names) else "", visible=index < len(names))
            for index in range(SHOWN)
        ]
        model = gr.Dropdown(choices=found, value=found[0][1] if found else None)
        return [model, gr.Textbox(placeholder=STARTING_POINTS[task].message_hint), *buttons]

    def forget(self) -> Updates:
        """An empty page."""
        return self._show([])

    # ---- answering ----

    def _answer(
        self,
        turn: Turn,
        key: str | None,
        request: gr.Request,
        *,
        before: Sequence[Turn] = (),
        shown: list[Turn],
        accepted: Updates | None = None,
    ) -> Iterator[Updates]:
        """Answer `turn` when it is this visitor's turn.

        Args:
            turn: the message.
            key: of the tuned model.
            request: who asks.
            before: what was said before it, which both sides read; mostly nothing.
            shown: what is on the page, to which it goes back where nothing comes of the message.
            accepted: yielded once nothing can be refused.
        """
        if key is None:
            yield {self.before: answers.panel("base", None, empty=text.NO_MODELS)}
            raise ModelError(text.NO_MODELS)
        visitor = visitor_of(request)
        visitor.check_message(turn.message)
        choice = find(key, visitor)
        stop = MODELS.new_stop(request.session_hash)
        longest = visitor.limits.chat_waiting if visitor.limits else None
        with MODELS.answering(request.session_hash), MODELS.line.place(longest) as place:
            ahead = 1
            for ahead in MODELS.line.wait(place, stop):
                if ahead:
                    said = text.QUEUED if ahead == 1 else text.QUEUED_BEHIND.format(ahead=ahead)
                    yield {side: answers.waiting_panel(name, said) for side, name in self._sides()}
            if ahead:  # stopped while it was waiting
                yield self._show(shown)
            else:
                try:
                    yield from self._answer_now(turn, choice, list(before), shown, stop, place, accepted or {})
                except Exception as error:
                    said = visitor.shown(str(error)) if isinstance(error, UserError) else text.NOT_ANSWERED
                    yield self._failed(turn, said) | self._top(choice, MODELS.opened(choice))
                    raise
        yield {self.stop: _stop_button()}

    def _answer_now(
        self,
        turn: Turn,
        choice: Choice,
        before: list[Turn],
        shown: list[Turn],
        stop: threading.Event,
        place: Place,
        accepted: Updates,
    ) -> Iterator[Updates]:
        """Open the model, answer `turn` and remember it."""
        pair: Pair | None = None
        for state in MODELS.open(choice, stop):
            place.seen = time.monotonic()
            if isinstance(state, Opening):
                yield self._opening(state, turn)
            else:
                pair = state
        if pair is None:  # stopped while it was loading
            yield self._show(shown) | self._top(choice, MODELS.opened(choice))
            return
        is_open = self._top(choice, pair)
        try:
            check_length(pair, turn, before)
        except UserError as error:
            show(error)
            yield is_open | self._show(shown)
            return
        turn.labels = pair.task.labels
        turn.in_words = pair.kind == "causal"
        start = {self.past: answers.past(before), self.follow: gr.Button(visible=False)}
        yield accepted | is_open | start | self._draw(turn, growing=True)
        for updates in self._generate(pair, turn, before, stop):
            place.seen = time.monotonic()
            yield updates
        turn.judge()
        yield self._show([*before, turn])
        if turn.in_words and not turn.was_stopped:
            weigh(pair, turn)
            yield self._panels(turn)

    def _generate(self, pair: Pair, turn: Turn, turns: list[Turn], stop: threading.Event) -> Iterator[Updates]:
        take_cores()
        if turn.labels:
            score(pair, turn, stop)
            turn.judge()
            yield self._panels(turn, growing=True)
        if turn.in_words and not turn.was_stopped:
            for _ in stream(pair, turn, turns, stop):
                yield self._panels(turn, growing=True)

    def _sides(self) -> list[tuple[gr.HTML, answers.SideName]]:
        return [(self.before, "base"), (self.after, "tuned")]

    def _opening(self, state: Opening, turn: Turn) -> Updates:
        what = (state.what, state.done, state.total)
        top = tag("div", tag("i", class_="ba-busy"), state.what, class_="ba-status")
        return {
            self.before: answers.waiting_panel("base", *what),
            self.after: answers.waiting_panel("tuned", *what),
            self.message: answers.message_card(turn),
            self.reference: answers.reference_line(turn),
            self.status: top,
        }

    def _show(self, turns: list[Turn]) -> Updates:
        """A page on which `turns` are answered."""
        last = turns[-1] if turns else None
        follow = gr.Button(visible=last is not None and last.in_words and not last.labels)
        shown = {self.turns: turns, self.past: answers.past(turns[:-1]), self.follow: follow}
        return shown | self._draw(last)

    def _top(self, choice: Choice, pair: Pair | None) -> Updates:
        """The badge and the page's top line: of `choice`, open or not, and not of the model before it."""
        if pair is not None:
            return {self.badge: badge(pair), self.status: status(pair)}
        return {self.badge: badge_waiting(), self.status: not_open(choice.base)}

    def _failed(self, turn: Turn, said: str) -> Updates:
        """A page on which `turn` could not be answered; its message stays to be read."""
        panels = {side: answers.panel(name, None, empty=said) for side, name in self._sides()}
        around = {self.message: answers.message_card(turn), self.reference: answers.reference_line(turn)}
        ended = {self.turns: [], self.past: "", self.stop: _stop_button(), self.follow: gr.Button(visible=False)}
        return ended | around | panels

    def _draw(self, turn: Turn | None, *, growing: bool = False) -> Updates:
        return {
            self.message: answers.message_card(turn),
            self.reference: answers.reference_line(turn),
            **self._panels(turn, growing=growing),
        }

    def _panels(self, turn: Turn | None, *, growing: bool = False) -> Updates:
        return {
            self.before: answers.panel("base", turn, growing=growing),
            self.after: answers.panel("tuned", turn, growing=growing),
        }


def _own(message: str) -> Turn:
    """A message that somebody wrote; a `UserError` where there is none."""
    if not message or not message.strip():
        raise UserError("The message is empty", fix="Write something, or pick an example.")
    return Turn(message.strip())


def _stop_button() -> gr.Button:
    return gr.Button(value="Stop", interactive=True)


def build_compare(status_line: gr.HTML) -> Compare:
    """Lay the tab out and connect it."""
    found = shipped(FIRST_TASK.name)
    with gr.Row(equal_height=True):
        task = gr.Radio(
            [(task.title, name) for name, task in STARTING_POINTS.items()],
            value=FIRST_TASK.name,
            label="Task",
            scale=4,
            elem_id="task",
        )
        model = gr.Dropdown(
            found, value=found[0][1] if found else None, label="Tuned model", scale=4, elem_id="model"
        )
        with gr.Column(scale=5, min_width=240):
            badge_line = gr.HTML(badge_waiting(), elem_id="badge", elem_classes="ba-plain")
    past = gr.HTML(elem_id="past", elem_classes="ba-plain")
    message = gr.HTML(elem_id="message", elem_classes="ba-plain")
    with gr.Row(equal_height=True, elem_classes="ba-sides"):
        before = gr.HTML(answers.panel("base", None), elem_id="before", elem_classes="ba-plain")
        after = gr.HTML(answers.panel("tuned", None), elem_id="after", elem_classes="ba-plain")
    reference = gr.HTML(elem_id="reference", elem_classes="ba-plain")
    with gr.Row(equal_height=True, elem_classes="ba-actions"):
        box = gr.Textbox(
            placeholder=FIRST_TASK.message_hint,
            show_label=False,
            lines=1,
            max_lines=5,
            elem_id="box",
            scale=1,
        )
        send = gr.Button("Send", variant="primary", scale=0, elem_id="send")
        follow = gr.Button("Follow up", scale=0, visible=False, elem_id="follow")
        stop = gr.Button("Stop", scale=0, elem_id="stop")
        clear = gr.Button("Clear", scale=0, elem_id="clear")
    with gr.Row(elem_classes="ba-chips"):
        gr.HTML(tag("span", "Try", class_="ba-small"), elem_classes="ba-plain")
        names = [example.name for example in examples(FIRST_TASK)]
        buttons = [
            gr.Button(
                names[index] if index < len(names) else "",
                visible=index < len(names),
                size="sm",
                elem_id=f"example-{index}",
            )
            for index in range(SHOWN)
        ]
    tab = Compare(
        task, model, badge_line, past, message, before, after, reference, buttons, box, send, follow, stop, clear,
        gr.State([]), status_line, gr.State(None),
    )  # fmt: skip
    _connect(tab)
    return tab


CHAT: dict[str, Any] = {
    "concurrency_limit": None,  # who waits and who is refused is up to `models_in_use.Line`
    "concurrency_id": "chat",
    "show_progress": "hidden",
    "api_visibility": "private",
}
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ACT: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
"""What a person does and may be refused. Gradio shows no toast of a handler that does not wait in its queue."""


def stop_session(request: gr.Request) -> None:
    """Stop what this browser session has going."""
    MODELS.stop(request.session_hash)


def _connect(tab: Compare) -> None:
    said = [tab.box, tab.model, tab.turns]
    for trigger in (tab.send.click, tab.box.submit):
        trigger(stop_session, **QUICK).then(tab.write, said, tab.outputs, **CHAT)
    tab.follow.click(stop_session, **QUICK).then(tab.follow_up, said, tab.outputs, **CHAT)
    for index, button in enumerate(tab.examples):
        button.click(stop_session, **QUICK).then(tab.run_example(index), tab.chosen, tab.outputs, **CHAT)
    tab.stop.click(tab.stop_answer, None, tab.stop, **QUICK).then(tab.settle, None, tab.stop, **QUICK)
    tab.clear.click(stop_session, **QUICK).then(tab.forget, None, tab.outputs, **QUICK)
    tab.task.input(stop_session, **QUICK).then(
        tab.change_task, tab.task, [tab.model, tab.box, *tab.examples], **QUICK
    ).then(tab.run_example(0), tab.chosen, tab.outputs, **CHAT)
    tab.model.input(stop_session, **QUICK).then(tab.run_example(0), tab.chosen, tab.outputs, **CHAT)


def choose(choice: Choice, visitor: Visitor) -> list[Any]:
    """Values for task and model that select `choice`."""
    found = options(visitor, choice.task.name)
    if choice.key not in [key for _, key in found]:
        found.append((choice.label, choice.key))
    return [gr.Radio(value=choice.task.name), gr.Dropdown(choices=found, value=choice.key)]

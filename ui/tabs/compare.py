"""The Compare tab: one message, two answers, from one copy of the weights where an adapter was tuned.

A new message, example or model stops what the same session had going. Nothing a person wrote is lost to an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS, Task
from finetuning.limits import Limits
from plumbing.errors import UserError
from ui.drawing import answers, text
from ui.drawing.answers import Turn
from ui.drawing.markup import join, tag
from ui.server.address import Address, WrongAddress, address_of
from ui.server.ballots import BALLOTS
from ui.server.choices import Choice, options, place_of, places, shipped
from ui.server.models_in_use import MODELS
from ui.server.toast import toasts
from ui.server.two_models import Two, find_any, two_of
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import take, voting
from ui.tabs.answer import Answers, stop_button
from ui.tabs.events import CHAT, QUICK, Updates, stop_session
from ui.tabs.examples import SHOWN, Example, examples, examples_of
from ui.tabs.other_models import OtherModels, build_other_models
from ui.tabs.top_line import badge_waiting
from ui.tabs.voting import Voting

FIRST_TASK = next(iter(STARTING_POINTS.values()))


@dataclass
class Compare(Answers):
    """The tab's components, and what they do."""

    task: gr.Radio
    """One of those that the page begins with, or one's own."""
    model: gr.Dropdown
    examples: list[gr.Button]
    send: gr.Button
    clear: gr.Button
    voting: Voting
    others: OtherModels
    take: gr.HTML
    link: gr.Button
    remembered: dict[str, Updates] = field(default_factory=dict)
    """What the first example's answer by a shipped adapter looked like, by the adapter's key."""

    @property
    def chosen(self) -> list[Any]:
        """The inputs of `run_example`."""
        return [self.task, self.model, self.turns, self.voting.blind]

    @property
    def greeted(self) -> list[Any]:
        """The inputs of `greet`: a page that is opened hides nothing."""
        return [self.task, self.model, self.turns]

    @property
    def hinted(self) -> list[Any]:
        """The outputs of `change_model`: what to write to it, and the examples."""
        return [self.box, *self.examples]

    # ---- what a person does ----

    @toasts
    def write(
        self, message: str, key: str | None, turns: list[Turn], request: gr.Request, blind: bool = False
    ) -> Iterator[Updates]:
        """A message of one's own. It stands alone, unless what was learned is to go on with a chat.

        Where sides are hidden it always does: each side goes on with what it has said, and that is known by then.
        """
        turn = _own(message)
        goes_on = bool(turns) and not turns[-1].labels and not turns[-1].is_hidden and key is not None and not blind
        goes_on = goes_on and find_any(key, visitor_of(request)).task.kind == "chat"
        before = turns if goes_on else []
        accepted = {self.box: ""}
        yield from self.answer(turn, key, request, before=before, shown=turns, accepted=accepted, blind=blind)

    @toasts
    def follow_up(self, message: str, key: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
        """A message of one's own, after what was said before."""
        turn = _own(message)
        # Another task may have been chosen after the answer that is on the page.
        task = find_any(key, visitor_of(request)).task if key is not None else None
        alone = task is not None and (task.is_classification or task.kind == "text")
        if not turns or turns[-1].labels or turns[-1].is_hidden or turns[-1].goes_on or alone:
            raise UserError(text.NOTHING_SAID, fix="Send the message.")
        yield from self.answer(turn, key, request, before=turns, shown=turns, accepted={self.box: ""})

    def run_example(self, index: int) -> Any:
        """The handler of the example button `index`."""

        @toasts
        def answer_example(
            task: str, key: str | None, turns: list[Turn], request: gr.Request, blind: bool = False
        ) -> Iterator[Updates]:
            known = _examples(task, find_any(key, visitor_of(request)) if key else None)
            if key and index >= len(known):  # of a model that was never evaluated
                yield self.show([])
                return
            turn = known[index].turn() if index < len(known) else Turn("")
            turn.example = index + 1
            yield from self.answer(turn, key, request, shown=turns, blind=blind)

        return answer_example

    @toasts
    def greet(self, task: str, key: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
        """A page that was just opened: the first example, live where nobody is waiting, else as it was answered.

        Where its address names another tab, nobody looks here; where it names an example, that one.
        """
        there = _addressed(request)
        if there.opens not in ("", "compare"):
            return
        if there.model or there.example:
            with contextlib.suppress(UserError):  # which is said where addresses are
                if there.model:
                    task, key = place_of(find_any(there.model, visitor_of(request)).task), there.model
            yield from self.run_example(max(0, there.example - 1))(task, key, turns, request)
            return
        if MODELS.line.is_busy and key in self.remembered:
            yield self._as_remembered(key, request)
            return
        drawn: Updates = {}
        for updates in self.run_example(0)(task, key, turns, request):
            drawn |= updates if isinstance(updates, dict) else {}
            # Only who waits for others is shown no message, and they may have been answered meanwhile.
            if self.before in drawn and self.message not in drawn and key in self.remembered:
                yield self._as_remembered(key, request)
                return
            yield updates
        if key and key.startswith("bundled:") and (shown := drawn.get(self.turns)) and not shown[-1].was_stopped:
            note = tag("div", text.REMEMBERED, class_="ba-note")
            self.remembered[key] = drawn | {self.reference: join([drawn[self.reference], note])}

    def _as_remembered(self, key: str, request: gr.Request) -> Updates:
        """The first example as it was answered for somebody before, with the names of its sides."""
        page = self.remembered[key]
        for turn in page.get(self.turns, []):
            BALLOTS.note(visitor_of(request).owner, turn)
        return page

    def refresh(self, task: str, key: str | None, request: gr.Request) -> Any:
        """The visitor's own tuned models, for a page that was just opened; the choice stays."""
        found = options(visitor_of(request), task)
        keys = [known for _, known in found]
        return gr.Dropdown(choices=found, value=key if key in keys else (keys[0] if keys else None))

    @toasts
    def answer_asked(
        self, asked: Turn | None, key: str | None, turns: list[Turn], request: gr.Request
    ) -> Iterator[Updates]:
        """The test row that another tab asked for, from the message box.

        Its sides are never hidden: the click was on both answers, with their names.
        """
        if asked is None:  # it could not be asked, which was said
            return
        yield {self.asked: None}
        yield from self.answer(asked, key, request, shown=turns, accepted={self.box: ""})

    def stop_answer(self, request: gr.Request) -> Any:
        """Stop what this browser session has going, and say so before it has ended."""
        stop_session(request)
        going = MODELS.is_answering(request.session_hash)
        return gr.Button(value=text.STOPPING, interactive=False) if going else stop_button()

    def settle(self, request: gr.Request) -> Any:
        """Stop says Stop again, where the answer ended before the page heard that it was being stopped."""
        return gr.skip() if MODELS.is_answering(request.session_hash) else stop_button()

    def change_task(self, task: str, request: gr.Request) -> list[Any]:
        """Another task has other models, and these have other examples."""
        visitor = visitor_of(request)
        found = options(visitor, task)
        model = gr.Dropdown(choices=found, value=found[0][1] if found else None)
        return [model, *self.about(task, find_any(found[0][1], visitor) if found else None)]

    def change_model(self, task: str, key: str | None, request: gr.Request) -> list[Any]:
        """Another model may be of another task."""
        try:
            choice = find_any(key, visitor_of(request)) if key else None
        except UserError:  # which is said when it is asked
            choice = None
        return self.about(task, choice)

    def about(self, task: str, choice: Choice | Two | None) -> list[Any]:
        """What to write to a tuned model, and its examples; outputs: `hinted`."""
        known = _examples(task, choice)
        buttons = [
            gr.Button(value=known[index].name if index < len(known) else "", visible=index < len(known))
            for index in range(SHOWN)
        ]
        return [gr.Textbox(placeholder=_hint(task, choice)), *buttons]

    @toasts
    def use_others(
        self, left: str | None, right: str | None, turns: list[Turn], request: gr.Request
    ) -> Iterator[Updates]:
        """Two models that were named become the chosen one, and answer the first example, where there is one."""
        visitor = visitor_of(request)
        two = two_of(left, right, visitor)
        place = place_of(two.task)
        found = [(two.label, two.key), *options(visitor, place)]
        chosen = {self.task: gr.Radio(value=place), self.model: gr.Dropdown(choices=found, value=two.key)}
        yield chosen | dict(zip(self.hinted, self.about(place, two), strict=True))
        if examples_of(two):
            yield from self.run_example(0)(place, two.key, turns, request)
        else:
            yield self.show([]) | self._names(two)

    def forget(self, key: str | None, request: gr.Request) -> Updates:
        """An empty page."""
        try:
            chosen = find_any(key, visitor_of(request)) if key else None
        except UserError:  # which is said when it is asked
            chosen = None
        return self.show([]) | self._names(chosen)

    def _names(self, chosen: Choice | Two | None) -> Updates:
        """Empty panels that say what will answer."""
        names = chosen.names if isinstance(chosen, Two) else None
        return {
            self.before: answers.empty_panel("base", names=names),
            self.after: answers.empty_panel("tuned", names=names),
        }


def _task_of(task: str, choice: Choice | Two | None) -> Task | None:
    return choice.task if choice else STARTING_POINTS.get(task)


def _examples(task: str, choice: Choice | Two | None) -> tuple[Example, ...]:
    """Of a model, or, where there is none, of a task that ships."""
    if choice is not None:
        return examples_of(choice)
    known = STARTING_POINTS.get(task)
    return examples(known) if known else ()


def _hint(task: str, choice: Choice | Two | None) -> str:
    known = _task_of(task, choice)
    return known.message_hint if known else text.NO_OWN_MODELS


def _addressed(request: gr.Request) -> Address:
    """What the page's address names; nothing where it is wrong, which is said where addresses are."""
    try:
        return address_of(request)
    except WrongAddress:
        return Address()


def _own(message: str) -> Turn:
    """A message that somebody wrote; a `UserError` where there is none."""
    if not message or not message.strip():
        raise UserError("The message is empty", fix="Write something, or pick an example.")
    return Turn(message.strip())


def build_compare(status_line: gr.HTML, limits: Limits | None = None) -> Compare:
    """Lay the tab out and connect it."""
    found = shipped(FIRST_TASK.name)
    with gr.Row(equal_height=True):
        task = gr.Radio(places(), value=FIRST_TASK.name, label="Task", scale=5, min_width=450, elem_id="task")
        model = gr.Dropdown(
            found, value=found[0][1] if found else None, label="Tuned model", scale=4, elem_id="model"
        )
        with gr.Column(scale=3, min_width=200):
            badge_line = gr.HTML(badge_waiting(), elem_id="badge", elem_classes="ba-plain")
    past = gr.HTML(elem_id="past", elem_classes="ba-plain")
    message = gr.HTML(elem_id="message", elem_classes="ba-plain")
    with gr.Row(equal_height=True, elem_classes="ba-sides"):
        before = gr.HTML(answers.panel("base", None), elem_id="before", elem_classes="ba-plain")
        after = gr.HTML(answers.panel("tuned", None), elem_id="after", elem_classes="ba-plain")
    bar, choices = voting.build_bar(public=limits is not None)
    reference = gr.HTML(elem_id="reference", elem_classes="ba-plain")
    votes = voting.build_voting(bar, choices)
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
        link = gr.Button(text.COPY_LINK, scale=0, elem_id="compare-link")
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
        votes.blind.render()  # type: ignore[no-untyped-call]
    taken = take.build_take("compare", shown=True)
    others = build_other_models(limits)
    tab = Compare(
        badge_line, past, message, before, after, reference, box, follow, stop, gr.State([]), status_line,
        gr.State(None), bar, task, model, buttons, send, clear, votes, others, taken, link,
    )  # fmt: skip
    _connect(tab)
    return tab


def _connect(tab: Compare) -> None:
    said = [tab.box, tab.model, tab.turns]
    for trigger in (tab.send.click, tab.box.submit):
        trigger(stop_session, **QUICK).then(tab.write, [*said, tab.voting.blind], tab.outputs, **CHAT)
    tab.follow.click(stop_session, **QUICK).then(tab.follow_up, said, tab.outputs, **CHAT)
    for index, button in enumerate(tab.examples):
        button.click(stop_session, **QUICK).then(tab.run_example(index), tab.chosen, tab.outputs, **CHAT)
    tab.stop.click(tab.stop_answer, None, tab.stop, **QUICK).then(tab.settle, None, tab.stop, **QUICK)
    tab.clear.click(stop_session, **QUICK).then(tab.forget, tab.model, tab.outputs, **QUICK)
    voting.connect(tab.voting, tab, tab.model)
    take.connect_take(tab.take, tab.model)
    take.close_with(tab.take, tab.model)
    changed = list(dict.fromkeys([tab.task, tab.model, *tab.hinted, *tab.outputs]))
    tab.others.use.click(stop_session, **QUICK).then(
        tab.use_others, [*tab.others.named, tab.turns], changed, **CHAT
    )
    tab.task.input(stop_session, **QUICK).then(tab.change_task, tab.task, [tab.model, *tab.hinted], **QUICK).then(
        tab.run_example(0), tab.chosen, tab.outputs, **CHAT
    )
    tab.model.input(stop_session, **QUICK).then(tab.change_model, [tab.task, tab.model], tab.hinted, **QUICK).then(
        tab.run_example(0), tab.chosen, tab.outputs, **CHAT
    )


def choose(choice: Choice, visitor: Visitor) -> list[Any]:
    """Values for task and model that select `choice`."""
    place = place_of(choice.task)
    found = options(visitor, place)
    if choice.key not in [key for _, key in found]:
        found.append((choice.label, choice.key))
    return [gr.Radio(value=place), gr.Dropdown(choices=found, value=choice.key)]

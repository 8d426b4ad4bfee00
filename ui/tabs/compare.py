"""The Compare tab: one message, two answers, from one copy of the weights where an adapter was tuned.

A new message, example or model stops what the same session had going. Nothing a person wrote is lost to an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS, Task
from finetuning.limits import Limits
from plumbing.errors import UserError
from ui.drawing import answers, text
from ui.drawing.answers import Turn
from ui.drawing.markup import Markup, join, tag
from ui.drawing.story import story
from ui.drawing.told import LIVE, told
from ui.server.address import Address, WrongAddress, address_of
from ui.server.ballots import BALLOTS
from ui.server.choices import Choice, bundled_choices, options, place_of, places, shipped
from ui.server.engine import ways
from ui.server.models_in_use import MODELS, short_name
from ui.server.recorded import recorded
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

_PATIENCE_S = 5.0
"""For so long a page that was just opened waits for others, before it leaves it at what was recorded: mostly for
what the same browser had going before it was opened anew."""
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
    story: gr.HTML
    """What the chosen model is, in a sentence of measured numbers."""
    take: gr.HTML
    link: gr.Button

    @property
    def chosen(self) -> list[Any]:
        """The inputs of whatever asks an example."""
        return [self.task, self.model, self.turns, self.voting.blind]

    @property
    def greeted(self) -> list[Any]:
        """The outputs of `greet`."""
        return list(dict.fromkeys([self.model, *self.outputs, *self.voting.told]))

    @property
    def hinted(self) -> list[Any]:
        """The outputs of `about`: what to write to a model, the examples, and what it is."""
        return [self.box, *self.examples, self.story]

    @property
    def changed(self) -> list[Any]:
        """The outputs of whatever chooses a model and asks it."""
        return list(dict.fromkeys([self.task, self.model, *self.hinted, *self.outputs]))

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
            turn = self._asked(known[index], key, request) if index < len(known) else Turn("")
            turn.example = index + 1
            yield from self.answer(turn, key, request, shown=turns, blind=blind)

        return answer_example

    @toasts
    def pick(
        self,
        task: str,
        key: str | None,
        turns: list[Turn],
        blind: bool,
        event: gr.EventData,
        request: gr.Request,
    ) -> Iterator[Updates]:
        """The example whose button was clicked."""
        index = next((place for place, button in enumerate(self.examples) if button is event.target), SHOWN)
        yield from self.run_example(index)(task, key, turns, request, blind)

    def _asked(self, example: Example, key: str | None, request: gr.Request) -> Turn:
        """An example as a message, with what both sides answered to it when the model was evaluated."""
        turn = example.turn()
        choice = find_any(key, visitor_of(request)) if key else None
        turn.recorded = as_recorded(example, choice) if isinstance(choice, Choice) else None
        return turn

    @toasts
    def greet(self, task: str, key: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
        """A page that was just opened: the first example as recorded, then live, unless others are waiting.

        Where its address names another tab, nobody looks here; where it names a model or an example, that one.
        """
        there = _addressed(request)
        chosen: Updates = {}
        if there.model and there.opens == "compare":
            with contextlib.suppress(UserError):  # which is said where addresses are
                task, key = place_of(find_any(there.model, visitor_of(request)).task), there.model
        else:
            found, key = _choosable(task, key, request)
            chosen = {self.model: gr.Dropdown(choices=found, value=key)}
        yield chosen | dict(zip(self.voting.told, self.voting.tell(key, request), strict=True))
        if there.opens not in ("", "compare"):
            return
        shown = _examples(task, find_any(key, visitor_of(request)) if key else None)
        index = there.example - 1 if 0 < there.example <= len(shown) else 0
        turn = self._asked(shown[index], key, request) if key and shown else None
        if turn is not None and turn.recorded is not None:
            BALLOTS.note_recorded(visitor_of(request).owner, turn)
            yield self._as_recorded(turn.recorded)
            line = ways(find_any(key, visitor_of(request)))[0].line
            if not line.is_free_within(_PATIENCE_S):
                note = tag("div", text.OTHERS_FIRST, class_="ba-note")
                yield {self.reference: join([answers.reference_line(turn), note])}
                return
        yield from self.run_example(index)(task, key, turns, request)

    def _as_recorded(self, turn: Turn) -> Updates:
        """A page that shows what was recorded, on which nothing follows."""
        hidden = {self.follow: gr.Button(visible=False), self.bar: gr.Row(visible=False)}
        return {self.turns: [], self.past: "", self.told: told(turn)} | hidden | self._draw(turn)

    def refresh(self, task: str, key: str | None, request: gr.Request) -> Any:
        """The visitor's own tuned models, for a page that was just opened; the choice stays."""
        found, key = _choosable(task, key, request)
        return gr.Dropdown(choices=found, value=key)

    def open_with(
        self, choice: Choice, visitor: Visitor, turns: list[Turn], request: gr.Request, asked: Turn | None = None
    ) -> Iterator[Updates]:
        """Choose a model from another tab, and ask it that turn, or its first example; outputs: `changed`.

        Its sides are never hidden: the click was on both answers, with their names.
        """
        place = place_of(choice.task)
        chosen = dict(zip([self.task, self.model], choose(choice, visitor), strict=True))
        chosen |= dict(zip(self.hinted, self.about(place, choice), strict=True))
        if asked is None:
            yield chosen
            yield from self.run_example(0)(place, choice.key, turns, request)
        else:
            yield chosen | {self.box: gr.Textbox(value=asked.message, placeholder=choice.task.message_hint)}
            yield from self.answer(asked, choice.key, request, shown=turns, accepted={self.box: ""})

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
        found, key = _choosable(task, None, request)
        model = gr.Dropdown(choices=found, value=key)
        return [model, *self.about(task, find_any(key, visitor) if key else None)]

    @toasts
    def choose_task(
        self, task: str, turns: list[Turn], request: gr.Request, blind: bool = False
    ) -> Iterator[Updates]:
        """As `change_task`, and the first example is asked; outputs: `changed`."""
        model, *hinted = self.change_task(task, request)
        _, key = _choosable(task, None, request)
        yield {self.model: model} | dict(zip(self.hinted, hinted, strict=True))
        yield from self.run_example(0)(task, key, turns, request, blind)

    @toasts
    def choose_model(
        self, task: str, key: str | None, turns: list[Turn], request: gr.Request, blind: bool = False
    ) -> Iterator[Updates]:
        """Another model may be of another task; its first example is asked; outputs: `changed`."""
        try:
            choice = find_any(key, visitor_of(request)) if key else None
        except UserError:  # which is said when it is asked
            choice = None
        yield dict(zip(self.hinted, self.about(task, choice), strict=True))
        yield from self.run_example(0)(task, key, turns, request, blind)

    def about(self, task: str, choice: Choice | Two | None) -> list[Any]:
        """What to write to a tuned model, its examples, and what it is; outputs: `hinted`."""
        known = _examples(task, choice)
        buttons = [
            gr.Button(value=known[index].name if index < len(known) else "", visible=index < len(known))
            for index in range(SHOWN)
        ]
        return [gr.Textbox(placeholder=_hint(task, choice)), *buttons, story_of(choice)]

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
        """Stop what this page has going; then it is empty."""
        stop_session(request)
        MODELS.wait_for_end(request.session_hash)  # or its last words would be drawn after this
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


def _choosable(task: str, key: str | None, request: gr.Request) -> tuple[list[tuple[str, str]], str | None]:
    """The tuned models of a task, as a dropdown shows them, and which is chosen: `key`, or the first."""
    found = options(visitor_of(request), task)
    keys = [known for _, known in found]
    return found, key if key in keys else next(iter(keys), None)


def as_recorded(example: Example, choice: Choice) -> Turn | None:
    """What both sides answered to an example when a tuned model was evaluated; None where it was not asked then."""
    known = recorded(choice.evaluation)
    return known.turn(example.turn(), choice.task, writes=choice.kind == "causal") if known else None


def story_of(choice: Choice | Two | None) -> Markup:
    """What a tuned model is, as far as that was measured."""
    known = recorded(choice.evaluation) if isinstance(choice, Choice) else None
    if known is None or not isinstance(choice, Choice):
        return Markup("")
    return story(known.report, short_name(choice.base), choice.folder)


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
    """Lay the tab out and connect it; it begins with an example as it was answered when that was recorded."""
    found = shipped(FIRST_TASK.name)
    first = next((choice for choice in bundled_choices() if found and choice.key == found[0][1]), None)
    known = _examples(FIRST_TASK.name, first)
    turn = as_recorded(known[0], first) if first and known else None
    about = gr.HTML(story_of(first), elem_id="story", elem_classes="ba-plain")
    with gr.Row(equal_height=True):
        task = gr.Radio(places(), value=FIRST_TASK.name, label="Task", scale=5, min_width=450, elem_id="task")
        model = gr.Dropdown(
            found, value=found[0][1] if found else None, label="Tuned model", scale=4, elem_id="model"
        )
        with gr.Column(scale=3, min_width=200):
            badge_line = gr.HTML(badge_waiting(), elem_id="badge", elem_classes="ba-plain")
    past = gr.HTML(elem_id="past", elem_classes="ba-plain")
    message = gr.HTML(answers.message_card(turn), elem_id="message", elem_classes="ba-plain")
    with gr.Row(equal_height=True, elem_classes="ba-sides"):
        before = gr.HTML(answers.panel("base", turn), elem_id="before", elem_classes="ba-plain")
        after = gr.HTML(answers.panel("tuned", turn), elem_id="after", elem_classes="ba-plain")
    came = gr.HTML(told(turn), elem_id="told", elem_classes="ba-plain", js_on_load=LIVE)
    bar, choices = voting.build_bar(public=limits is not None)
    reference = gr.HTML(answers.reference_line(turn), elem_id="reference", elem_classes="ba-plain")
    votes = voting.build_voting(bar, choices)
    with gr.Row(equal_height=True, elem_classes="ba-actions"):
        box = gr.Textbox(
            placeholder=FIRST_TASK.message_hint,
            label="Message",
            show_label=False,
            lines=1,
            max_lines=5,
            elem_id="box",
            scale=1,
        )
        send = gr.Button("Send", variant="primary", scale=0, elem_id="send")
        follow = gr.Button("Follow up", scale=0, visible=False, elem_id="follow")
        stop = gr.Button("Stop", scale=0, interactive=False, elem_id="stop")
        clear = gr.Button("Clear", scale=0, elem_id="clear")
        link = gr.Button(text.COPY_LINK, scale=0, elem_id="compare-link")
    with gr.Row(elem_classes="ba-chips"):
        gr.HTML(tag("span", "Try", class_="ba-small"), elem_classes="ba-plain")
        names = [example.name for example in known]
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
        bar, came, task, model, buttons, send, clear, votes, others, about, taken, link,
    )  # fmt: skip
    _connect(tab)
    return tab


def _connect(tab: Compare) -> None:
    said = [tab.box, tab.model, tab.turns]
    blind = tab.voting.blind
    gr.on([tab.send.click, tab.box.submit], tab.write, [*said, blind], tab.outputs, **CHAT)
    tab.follow.click(tab.follow_up, said, tab.outputs, **CHAT)
    gr.on([button.click for button in tab.examples], tab.pick, tab.chosen, tab.outputs, **CHAT)
    tab.stop.click(tab.stop_answer, None, tab.stop, **QUICK).then(tab.settle, None, tab.stop, **QUICK)
    tab.clear.click(tab.forget, tab.model, tab.outputs, **QUICK)
    voting.connect(tab.voting, tab, tab.model)
    take.connect_take(tab.take, tab.model)
    take.close_with(tab.take, tab.model)
    named = tab.others.named
    tab.others.box.expand(tab.others.refresh, named, named, **QUICK)
    tab.others.use.click(tab.use_others, [*named, tab.turns], tab.changed, **CHAT)
    tab.task.input(tab.choose_task, [tab.task, tab.turns, blind], tab.changed, **CHAT)
    tab.model.input(tab.choose_model, tab.chosen, tab.changed, **CHAT)


def choose(choice: Choice, visitor: Visitor) -> list[Any]:
    """Values for task and model that select `choice`."""
    place = place_of(choice.task)
    found = options(visitor, place)
    if choice.key not in [key for _, key in found]:
        found.append((choice.label, choice.key))
    return [gr.Radio(value=place), gr.Dropdown(choices=found, value=choice.key)]

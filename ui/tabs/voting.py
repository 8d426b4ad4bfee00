"""Votes in the Compare tab: the switch that hides which side is which, the four buttons, and what the votes say.

A vote is kept before the names of the sides are shown. What is learned from votes is learned by a run like any
other. Whoever gave votes can delete them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from eval.vote_lines import Choice as Given
from finetuning.votes.keeping import votes_folder
from finetuning.votes.lessons import LESSONS, Lesson, Lessons
from finetuning.votes.publishing import dataset_of
from finetuning.votes.training import LEARNED, voted_on, votes_recipe
from models import libraries
from plumbing.errors import UserError
from ui.drawing import text, votes
from ui.drawing.answers import Turn
from ui.drawing.markup import tag
from ui.server.ballots import BALLOTS, vote_on, votes_on
from ui.server.choices import find
from ui.server.scratch import new_folder
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs.events import ACT, ONCE, QUICK, Updates, ask_first

if TYPE_CHECKING:
    from ui.tabs.answer import Answers


@dataclass
class Voting:
    """The components of a vote, and what they do."""

    blind: gr.Checkbox
    bar: gr.Row
    """Holds the buttons; part of what an answer shows or hides."""
    buttons: dict[Given, gr.Button]
    line: gr.HTML
    learn: gr.Accordion
    lessons: gr.HTML
    starts: list[gr.Button]
    """One for each of `LESSONS`."""
    delete: gr.Button
    asked: gr.Row
    """Around the second question before votes are deleted."""
    really: gr.Button
    keep: gr.Button

    @property
    def told(self) -> list[Any]:
        """The outputs of `tell`."""
        return [self.line, self.learn, self.lessons, *self.starts]

    def tell(self, key: str | None, request: gr.Request) -> list[Any]:
        """What the visitor's votes on the chosen model say; outputs: `told`."""
        visitor = visitor_of(request)
        found, aside, given_any = [], [], False
        with contextlib.suppress(UserError):  # which is said when the model is asked, or there is a vote
            given_any, aside = bool(visitor.votes()), visitor.said_of_votes()
            found = votes_on(find(key, visitor), visitor) if key else []
        given = [lesson.of(found) for lesson in LESSONS]
        drawn = votes.line(votes.so_far(found, aside))
        buttons = [gr.Button(interactive=not lessons.lacking) for lessons in given]
        shown = gr.HTML(value=drawn, visible=bool(drawn))
        return [shown, gr.Accordion(visible=given_any), votes.lessons(given), *buttons]

    def give(self, given: Given, page: Answers) -> Callable[..., Any]:
        """The handler of the button for the vote `given`: keeps it, then shows the names of the sides."""

        @toasts
        def vote(key: str | None, turns: list[Turn], request: gr.Request) -> Updates:
            turn, visitor = turns[-1] if turns else None, visitor_of(request)
            ballot = turn.ballot if turn else None  # another click may take it away meanwhile
            if turn is None or ballot is None or ballot.vote is not None or turn.models is None:
                raise UserError(text.NOTHING_HIDDEN, fix="Tick Blind, and ask something.")
            visitor.vote(vote_on(turn, ballot, given, seen=BALLOTS.has_seen(visitor.owner, turn)))
            ballot.vote = given
            BALLOTS.note(visitor.owner, turn)
            return page.show(turns) | dict(zip(self.told, self.tell(key, request), strict=True))

        return vote

    def switch(self, page: Answers) -> Callable[..., Any]:
        """The handler of the switch: who turns it off is told the names of the sides, and has no vote any more."""

        def switched(blind: bool, turns: list[Turn], request: gr.Request) -> Updates:
            turn = turns[-1] if turns else None
            if blind or turn is None or not turn.is_hidden:
                return {self.bar: gr.Row(visible=turn is not None and turn.is_hidden)}
            turn.ballot = None
            BALLOTS.note(visitor_of(request).owner, turn)
            return page.show(turns)

        return switched

    def learn_from(self, lesson: Lesson) -> Callable[..., Any]:
        """The handler of a button that starts a run on the visitor's votes on the chosen model."""

        @toasts
        def start(key: str | None, request: gr.Request) -> None:
            visitor = visitor_of(request)
            choice = find(key, visitor)
            lessons = lesson.of(votes_on(choice, visitor))
            lessons.require_enough()
            libraries.ready()
            from finetuning.preparation import open_data

            voted, adapter = voted_on(choice.key)
            with visitor.starting():
                recipe = votes_recipe(voted, adapter, lessons, _written(lessons, visitor))
                opened = open_data(recipe)
                run = visitor.started(recipe)
                if run is None:
                    run = visitor.submit(recipe, opened, adapter=adapter)
                    gr.Info(text.STARTED.format(run=run.id), title="Started")
                else:
                    gr.Info(text.STARTED.format(run=run.id))

        return start

    @toasts
    def forget(self, key: str | None, request: gr.Request) -> Updates:
        """Delete the visitor's votes, all of them."""
        count = visitor_of(request).forget_votes()
        gr.Info(text.FORGOTTEN.format(count="1 vote" if count == 1 else f"{count:,} votes"), title="Deleted")
        return {self.asked: gr.Row(visible=False)} | dict(zip(self.told, self.tell(key, request), strict=True))


def _written(lessons: Lessons, visitor: Visitor) -> str:
    """Write the rows to where they last as long as their run; returns the source."""
    if visitor.is_stranger:
        return f"file:{visitor.keep(lessons.write_into(new_folder()))}"
    return f"file:{lessons.write_into(votes_folder() / LEARNED).absolute()}"


# ---- laying it out ---------------------------------------------------------------------------------------------


def build_bar(*, public: bool) -> tuple[gr.Row, dict[Given, gr.Button]]:
    """The four buttons, under the answers; out of sight until there is something to vote on."""
    dataset = dataset_of()
    copied = [text.VOTE_COPIED.format(dataset=dataset)] if dataset else []
    kept = " ".join([text.VOTE_KEPT, *copied]) if public or copied else None
    with gr.Row(visible=False, equal_height=True, elem_id="vote", elem_classes="ba-actions ba-vote") as bar:
        note = tag("span", kept, class_="ba-small") if kept else None
        gr.HTML(tag("div", tag("b", text.WHICH), note), elem_classes="ba-plain")
        buttons = {
            given: gr.Button(title, scale=0, elem_id=f"vote-{given.replace(' ', '-')}")
            for given, title in text.VOTES.items()
        }
    return bar, buttons  # type: ignore[return-value]  # the keys are those of Given


def build_voting(bar: gr.Row, buttons: dict[Given, gr.Button]) -> Voting:
    """What the votes say, under the answers as well, quiet until there are any; and the switch, to be rendered."""
    blind = gr.Checkbox(
        False, label=text.BLIND, container=False, scale=0, min_width=0, elem_id="blind", elem_classes="ba-switch",
        render=False,
    )  # fmt: skip
    line = gr.HTML(visible=False, elem_id="votes", elem_classes="ba-plain")
    with gr.Accordion(text.LEARN_TITLE, open=False, visible=False, elem_id="votes-learn") as learn:
        lessons = gr.HTML(elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            starts = [
                gr.Button(text.LEARN_FROM[lesson.name], scale=0, elem_id=f"votes-{lesson.name}")
                for lesson in LESSONS
            ]
            delete = gr.Button(text.FORGET, scale=0, elem_id="votes-delete")
        with gr.Row(visible=False, elem_classes="ba-actions ba-asked") as asked:
            gr.HTML(tag("div", text.FORGET_ASKED, class_="ba-strong"), elem_classes="ba-plain")
            really = gr.Button("Delete them", variant="stop", scale=0, elem_id="votes-really")
            keep = gr.Button("Keep them", scale=0, elem_id="votes-keep")
    return Voting(blind, bar, buttons, line, learn, lessons, starts, delete, asked, really, keep)


def connect(voting: Voting, page: Answers, model: gr.Dropdown) -> None:
    """Connect what is under the answers of `page`, which are those of `model`."""

    def vote(key: str | None, turns: list[Turn], event: gr.EventData, request: gr.Request) -> Any:
        given = next((each for each, button in voting.buttons.items() if button is event.target), None)
        return gr.skip() if given is None else voting.give(given, page)(key, turns, request)

    def learn(key: str | None, event: gr.EventData, request: gr.Request) -> None:
        for lesson, button in zip(LESSONS, voting.starts, strict=True):
            if button is event.target:
                voting.learn_from(lesson)(key, request)

    shown = list(dict.fromkeys([*page.outputs, *voting.told]))
    gr.on([button.click for button in voting.buttons.values()], vote, [model, page.turns], shown, **ACT)
    voting.blind.input(voting.switch(page), [voting.blind, page.turns], page.outputs, **QUICK)
    model.change(voting.tell, model, voting.told, **QUICK)
    ask_first(voting.delete, voting.keep, voting.asked)
    voting.really.click(voting.forget, model, [voting.asked, *voting.told], **ACT)
    gr.on([button.click for button in voting.starts], learn, model, None, **ONCE)

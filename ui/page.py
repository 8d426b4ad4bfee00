"""The page: its top line, its tabs, and what leads from one tab to another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from finetuning.limits import Limits
from plumbing import zero_gpu
from ui.api.publish import Page, publish
from ui.drawing import text
from ui.drawing.answers import Turn
from ui.drawing.markup import tag
from ui.server.choices import find
from ui.server.pushing import sign_in_is_there
from ui.server.toast import toasts
from ui.server.visitors import visitor_of
from ui.tabs.addresses import Addressed, build_said, connect_addresses
from ui.tabs.compare import Compare, build_compare
from ui.tabs.evaluate import build_evaluate
from ui.tabs.events import ACT, CHAT, QUICK, Updates, stop_session
from ui.tabs.examples import example_of_row
from ui.tabs.flipped import flipped
from ui.tabs.going import build_going, connect_going
from ui.tabs.lab import build_lab
from ui.tabs.lab import connect_opening as look_at_labs
from ui.tabs.leading import filled
from ui.tabs.learn import Learn, build_learn, open_learn, target_of
from ui.tabs.report_view import ReportView, Shown
from ui.tabs.runs import build_runs, choice_of
from ui.tabs.runs import connect_opening as look_at_runs
from ui.tabs.top_line import no_model
from ui.tabs.train import build_train, connect_opening, then_rest
from ui.tabs.train_steps import Train

CACHE_S = (3600, 24 * 3600)
"""How often files that were uploaded or offered for download are looked at, and how old those are that go."""


def build_page(limits: Limits | None = None) -> gr.Blocks:
    """The whole page, ready to launch; for strangers where there are limits. Loads no model."""
    page = Page(title=text.TITLE, analytics_enabled=False, delete_cache=CACHE_S)
    public = limits is not None
    with page:
        publish(page)
        with gr.Row(equal_height=True, elem_classes="ba-head"):
            gr.HTML(_top(), elem_classes="ba-plain")
            status = gr.HTML(no_model(), elem_id="status", elem_classes="ba-plain")
            if sign_in_is_there():
                _sign_in(page)
        with gr.Column(elem_classes="ba-lines"):
            going, said = build_going(), build_said()
        if zero_gpu.is_here():
            gr.HTML(tag("div", text.LENT_GPU, class_="ba-note"), elem_id="lent-gpu", elem_classes="ba-plain")
        with gr.Tabs(selected="compare", elem_id="tabs") as tabs:
            with gr.Tab("Compare", id="compare") as compare_tab:
                compare = build_compare(status, limits)
            with gr.Tab("Train", id="train") as train_tab:
                train = build_train(limits)
            with gr.Tab("Evaluate", id="evaluate") as evaluate_tab:
                evaluate = build_evaluate(limits)
            with gr.Tab("Runs", id="runs") as runs_tab:
                runs = build_runs(public=public)
            with gr.Tab("Lab", id="lab") as lab_tab:
                lab = build_lab(limits)
            with gr.Tab("Learn", id="learn") as learn_tab:
                learn = build_learn(limits)
        page.load(compare.greet, [compare.task, compare.model, compare.turns], compare.greeted, **CHAT)
        page.unload(stop_session)
        compare_tab.select(compare.refresh, [compare.task, compare.model], compare.model, **QUICK)
        connect_opening(train, page.load, train_tab.select)
        look_at_runs(runs, runs_tab.select)
        look_at_labs(lab, lab_tab.select)
        evaluate_tab.select(evaluate.refresh, [evaluate.task, evaluate.model], evaluate.model, **QUICK).then(
            evaluate.come_back, evaluate.chosen, evaluate.drawn, **QUICK
        )
        form = evaluate.any.form
        evaluate_tab.select(form.refresh, form.named, form.named, **QUICK)
        open_learn(learn, learn_tab.select)
        for button, run_id in ((train.follow.compare, train.follow.run_id), (runs.compare, runs.run_id)):
            _lead_to_compare(button, run_id, tabs, compare)
        for view in (train.follow.view, evaluate.view, runs.view):
            _lead_row_to_compare(view, tabs, compare)
        _lead_from_learn(learn, tabs, lab.chosen, train)
        connect_going(going, [page.load, tabs.change, train.follow.run_id.change, evaluate.judged.job_id.change])
        links = [compare.link, evaluate.judged.link, runs.link, runs.link_run]
        connect_addresses(page, Addressed(tabs, said, compare, evaluate, runs), links)
    return page


def _sign_in(page: gr.Blocks) -> None:
    """The button by which a visitor of a Space signs in with an account on the Hub, to push there."""
    button = gr.LoginButton(icon=None, size="sm", scale=0, elem_id="sign-in")
    # By itself it would wait in the queue, and be one of the API's endpoints.
    button.load_event_to_attach = None
    page.load(button._check_login_status, None, button, **QUICK)


def _lead_from_learn(learn: Learn, tabs: gr.Tabs, chosen_lab: gr.Dropdown, train: Train) -> None:
    """A button of Learn opens what it names: the form of Train, filled, a lab, or another tab."""

    @toasts
    def fill(wanted: str, request: gr.Request, *values: Any) -> Updates:
        given, visitor = train.given(values), visitor_of(request)
        return filled(train, target_of(wanted), given, visitor) | {tabs: gr.Tabs(selected="train")}

    gr.on([learn.lesson.click, learn.wrong.click], learn.go, None, [tabs, chosen_lab, learn.wanted], **ACT)
    then_rest(train, learn.wanted.change(fill, [learn.wanted, *train.inputs], [tabs, *train.begun], **ACT))


def _lead_to_compare(button: gr.Button, run_id: gr.Textbox, tabs: gr.Tabs, compare: Compare) -> None:
    """`button` opens Compare with that run, and a row that it has right and its base had not, else an example."""

    @toasts
    def go(chosen: str | None, turns: list[Turn], request: gr.Request) -> Iterator[Updates]:
        visitor = visitor_of(request)
        choice = choice_of(chosen, visitor)
        yield {tabs: gr.Tabs(selected="compare")}
        yield from compare.open_with(choice, visitor, turns, request, flipped(choice))

    button.click(go, [run_id, compare.turns], [tabs, *compare.changed], **CHAT)


def _lead_row_to_compare(view: ReportView, tabs: gr.Tabs, compare: Compare) -> None:
    """A click on a test row of a report opens Compare with the model that was evaluated, and asks it."""

    @toasts
    def go(shown: Shown | None, turns: list[Turn], event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        row = view.row(shown, event)
        assert shown is not None
        visitor = visitor_of(request)
        choice = find(shown.key, visitor)
        yield {tabs: gr.Tabs(selected="compare")}
        yield from compare.open_with(choice, visitor, turns, request, example_of_row(row).turn())

    view.flips.click(go, [view.shown, compare.turns], [tabs, *compare.changed], **CHAT)


def _top() -> str:
    name = tag("h1", "Before/", tag("span", "After"))
    return tag("div", name, tag("span", text.TAGLINE, class_="ba-tagline"), class_="ba-top")

"""The page: its top line, its tabs, and what leads from one tab to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS
from finetuning.limits import Limits
from finetuning.preferred import beginning_of
from plumbing import zero_gpu
from ui.api.publish import Page, publish
from ui.drawing import text
from ui.drawing.markup import tag
from ui.server.choices import find, place_of
from ui.server.pushing import sign_in_is_there
from ui.server.toast import toasts
from ui.server.visitors import visitor_of
from ui.tabs.addresses import Addressed, build_said, connect_addresses
from ui.tabs.compare import Compare, build_compare, choose
from ui.tabs.evaluate import build_evaluate
from ui.tabs.events import ACT, CHAT, QUICK, Updates, stop_session
from ui.tabs.examples import example_of_row, examples_of
from ui.tabs.flipped import flipped
from ui.tabs.going import build_going, connect_going
from ui.tabs.lab import build_lab
from ui.tabs.leading import filled, outputs
from ui.tabs.learn import Learn, build_learn, open_learn, target_of
from ui.tabs.report_view import ReportView, Shown
from ui.tabs.runs import build_runs, choice_of
from ui.tabs.top_line import no_model
from ui.tabs.train import begin_anew, build_train, fill
from ui.tabs.train_steps import TrainTask

CACHE_S = (3600, 24 * 3600)
"""How often files that were uploaded or offered for download are looked at, and how old those are that go."""


def build_page(limits: Limits | None = None) -> gr.Blocks:
    """The whole page, ready to launch; for strangers where there are limits. Loads no model."""
    page = Page(title=text.TITLE, analytics_enabled=False, delete_cache=CACHE_S)
    public = limits is not None
    with page:
        publish(page)
        with gr.Row(equal_height=True):
            gr.HTML(_top(), elem_classes="ba-plain")
            status = gr.HTML(no_model(), elem_id="status", elem_classes="ba-plain")
            if sign_in_is_there():
                _sign_in(page)
        going, said = build_going(), build_said()
        if zero_gpu.is_here():
            gr.HTML(tag("div", text.LENT_GPU, class_="ba-note"), elem_id="lent-gpu", elem_classes="ba-plain")
        with gr.Tabs(selected="compare", elem_id="tabs") as tabs:
            with gr.Tab("Compare", id="compare") as compare_tab:
                compare = build_compare(status, limits)
            with gr.Tab("Train", id="train") as train_tab:
                gr.HTML(tag("div", text.ASKED, class_="ba-ask"), elem_classes="ba-plain")
                inner, train = {}, {}
                titles = {name: beginning_of(task).recipe.title for name, task in STARTING_POINTS.items()}
                with gr.Tabs() as forms:
                    for name, title in (titles | {text.OWN: text.OWN_TITLE}).items():
                        with gr.Tab(title, id=f"train-{name}") as inner[name]:
                            train[name] = build_train(name, limits)
            with gr.Tab("Evaluate", id="evaluate") as evaluate_tab:
                evaluate = build_evaluate(limits)
            with gr.Tab("Runs", id="runs") as runs_tab:
                runs = build_runs(public=public)
            with gr.Tab("Lab", id="lab") as lab_tab:
                lab = build_lab(limits)
            with gr.Tab("Learn", id="learn") as learn_tab:
                learn = build_learn(limits)
        chosen = [compare.task, compare.model]
        gr.on([page.load, compare_tab.select], compare.refresh, chosen, compare.model, **QUICK)
        page.load(compare.others.refresh, compare.others.named, compare.others.named, **QUICK)
        page.load(compare.voting.tell, compare.model, compare.voting.told, **QUICK)
        page.load(compare.greet, compare.greeted, compare.outputs, **CHAT)
        page.unload(stop_session)
        first, *others = train
        fill(train[first], train_tab.select)
        for task in others:
            fill(train[task], inner[task].select)
        for tab in train.values():
            run = tab.follow
            page.load(run.find_run, None, run.watched, **QUICK).then(run.poll, run.seen, run.followed, **QUICK)
            _lead_to_compare(run.compare, run.run_id, tabs, compare)
            _lead_row_to_compare(run.view, tabs, compare)
        _lead_to_compare(runs.compare, runs.run_id, tabs, compare)
        for view in (evaluate.view, runs.view):
            _lead_row_to_compare(view, tabs, compare)
        runs_tab.select(runs.look, runs.seen, runs.shown, **QUICK)
        lab_tab.select(lab.refresh, lab.listed, [lab.listed, lab.table], **QUICK).then(
            lab.choose, lab.chosen, lab.chosen_shown, **ACT
        )
        watching = {runs_tab: runs.timer, lab_tab: lab.timer}
        for watched, timer in watching.items():
            watched.select(lambda: gr.Timer(active=True), None, timer, **QUICK)
            for other in {compare_tab, train_tab, evaluate_tab, learn_tab, *watching} - {watched}:
                other.select(lambda: gr.Timer(active=False), None, timer, **QUICK)
        evaluate_tab.select(evaluate.refresh, [evaluate.task, evaluate.model], evaluate.model, **QUICK).then(
            evaluate.come_back, evaluate.chosen, evaluate.drawn, **QUICK
        )
        form = evaluate.any.form
        evaluate_tab.select(form.refresh, form.named, form.named, **QUICK)
        open_learn(learn, learn_tab.select)
        _lead_from_learn(learn, tabs, forms, lab.chosen, train)
        followed = [*(tab.follow.run_id for tab in train.values()), evaluate.judged.job_id]
        connect_going(going, [page.load, tabs.change, *(each.change for each in followed)])
        links = [compare.link, evaluate.judged.link, runs.link, runs.link_run]
        connect_addresses(page, Addressed(tabs, said, compare, evaluate, runs), links)
    return page


def _sign_in(page: gr.Blocks) -> None:
    """The button by which a visitor of a Space signs in with an account on the Hub, to push there."""
    button = gr.LoginButton(icon=None, size="sm", scale=0, elem_id="sign-in")
    # By itself it would wait in the queue, and be one of the API's endpoints.
    button.load_event_to_attach = None
    page.load(button._check_login_status, None, button, **QUICK)


def _lead_from_learn(
    learn: Learn, tabs: gr.Tabs, forms: gr.Tabs, chosen_lab: gr.Dropdown, train: dict[str, TrainTask]
) -> None:
    """A button of Learn opens what it names: a form of Train, once that is filled, a lab, or another tab."""
    for html in (learn.lesson, learn.wrong):
        html.click(learn.go, None, [tabs, forms, chosen_lab, *learn.wanted.values()], **ACT)
    for name, wanted in learn.wanted.items():
        tab = train[name]
        opened = wanted.change(_fills(tab), wanted, outputs(tab), **ACT).then(
            _opens(name), None, [tabs, forms], **QUICK
        )
        (begin_anew if tab.what else fill)(tab, opened.then)


def _fills(tab: TrainTask) -> Callable[[str], Updates]:
    @toasts
    def fill_form(wanted: str) -> Updates:
        return filled(tab, target_of(wanted))

    return fill_form


def _opens(name: str) -> Callable[[], list[gr.Tabs]]:
    def open_form() -> list[gr.Tabs]:
        return [gr.Tabs(selected="train"), gr.Tabs(selected=f"train-{name}")]

    return open_form


def _lead_to_compare(button: gr.Button, run_id: gr.Textbox, tabs: gr.Tabs, compare: Compare) -> None:
    """`button` opens Compare with that run, and a row that it has right and its base had not, else an example."""

    @toasts
    def go(chosen: str | None, request: gr.Request) -> list[Any]:
        visitor = visitor_of(request)
        choice = choice_of(chosen, visitor)
        hinted = compare.about(place_of(choice.task), choice)
        asked = flipped(choice) or next((each.turn() for each in examples_of(choice)), None)
        return [gr.Tabs(selected="compare"), *choose(choice, visitor), *hinted, asked]

    shown = [tabs, compare.task, compare.model, *compare.hinted, compare.asked]
    button.click(stop_session, **QUICK).then(go, run_id, shown, **ACT).success(
        compare.answer_asked, [compare.asked, compare.model, compare.turns], compare.outputs, **CHAT
    )


def _lead_row_to_compare(view: ReportView, tabs: gr.Tabs, compare: Compare) -> None:
    """A click on a test row of a report opens Compare with the model that was evaluated, and asks it."""

    @toasts
    def go(shown: Shown | None, event: gr.EventData, request: gr.Request) -> list[Any]:
        row = view.row(shown, event)
        assert shown is not None
        visitor = visitor_of(request)
        choice = find(shown.key, visitor)
        stop_session(request)
        _, *examples = compare.about(place_of(choice.task), choice)
        asked = example_of_row(row).turn()
        box = gr.Textbox(value=asked.message, placeholder=choice.task.message_hint)
        return [gr.Tabs(selected="compare"), *choose(choice, visitor), box, *examples, asked]

    shown = [tabs, compare.task, compare.model, *compare.hinted, compare.asked]
    view.flips.click(go, view.shown, shown, **ACT).success(
        compare.answer_asked, [compare.asked, compare.model, compare.turns], compare.outputs, **CHAT
    )


def _top() -> str:
    name = tag("h1", "Before/", tag("span", "After"))
    return tag("div", name, tag("span", text.TAGLINE, class_="ba-tagline"), class_="ba-top")

"""The page: its top line, its tabs, and what leads from one tab to another."""

from __future__ import annotations

from typing import Any

import gradio as gr

from data.tasks import TASKS
from finetuning.recipe import load_recipe
from ui import text
from ui.choices import find
from ui.compare import CHAT, QUICK, Compare, build_compare, choose, stop_session
from ui.evaluate import build_evaluate
from ui.markup import tag
from ui.report_view import ReportView, Shown
from ui.runs import build_runs, choice_of
from ui.toast import toasts
from ui.train import RECIPES, build_train, fill


def build_page() -> gr.Blocks:
    """The whole page, ready to launch. Loads no model."""
    page: gr.Blocks = gr.Blocks(title=text.TITLE, analytics_enabled=False)
    with page:
        with gr.Row(equal_height=True):
            gr.HTML(_top(), elem_classes="ba-plain")
            status = gr.HTML(_no_model(), elem_id="status", elem_classes="ba-plain")
        with gr.Tabs(selected="compare", elem_id="tabs") as tabs:
            with gr.Tab("Compare", id="compare"):
                compare = build_compare(status)
            with gr.Tab("Train", id="train") as train_tab, gr.Tabs(elem_id="train-tabs"):
                inner, train = {}, {}
                for task in TASKS:
                    with gr.Tab(load_recipe(RECIPES[task]).title, id=f"train-{task}") as inner[task]:
                        train[task] = build_train(task)
            with gr.Tab("Evaluate", id="evaluate") as evaluate_tab:
                evaluate = build_evaluate()
            with gr.Tab("Runs", id="runs"):
                runs = build_runs()
        page.load(compare.run_example(0), [compare.task, compare.model], compare.outputs, **CHAT)
        page.unload(stop_session)
        fill(train["sentiment"], train_tab.select)
        fill(train["dialogue"], inner["dialogue"].select)
        for tab in train.values():
            page.load(tab.find_run, None, [tab.run_id, tab.drawn], **QUICK)
            _lead_to_compare(tab.compare, tab.run_id, tabs, compare)
            _lead_row_to_compare(tab.view, tabs, compare)
        _lead_to_compare(runs.compare, runs.run_id, tabs, compare)
        for view in (evaluate.view, runs.view):
            _lead_row_to_compare(view, tabs, compare)
        evaluate_tab.select(evaluate.refresh, [evaluate.task, evaluate.model], evaluate.model, **QUICK)
    return page


def _lead_to_compare(button: gr.Button, run_id: gr.State, tabs: gr.Tabs, compare: Compare) -> None:
    """`button` opens Compare with that run, and an example answered by it."""

    @toasts
    def go(chosen: str | None) -> list[Any]:
        choice = choice_of(chosen)
        _, placeholder, *examples = compare.change_task(choice.task.name)
        return [gr.Tabs(selected="compare"), *choose(choice), placeholder, *examples]

    shown = [tabs, compare.task, compare.model, compare.box, *compare.examples]
    button.click(stop_session, **QUICK).then(go, run_id, shown, **QUICK).success(
        compare.run_example(0), [compare.task, compare.model], compare.outputs, **CHAT
    )


def _lead_row_to_compare(view: ReportView, tabs: gr.Tabs, compare: Compare) -> None:
    """A click on a test row of a report opens Compare with the model that was evaluated, and asks it."""

    @toasts
    def go(shown: Shown | None, event: gr.EventData, request: gr.Request) -> list[Any]:
        row = view.row(shown, event)
        assert shown is not None
        choice = find(shown.key)
        stop_session(request)
        _, _, *examples = compare.change_task(choice.task.name)
        box = gr.Textbox(value=row.input, placeholder=text.MESSAGE_PLACEHOLDER[choice.task.name])
        asked = (row.input, row.references)
        return [gr.Tabs(selected="compare"), *choose(choice), box, *examples, asked]

    shown = [tabs, compare.task, compare.model, compare.box, *compare.examples, compare.asked]
    view.flips.click(go, view.shown, shown, **QUICK).success(
        compare.answer_asked, [compare.asked, compare.model], compare.outputs, **CHAT
    )


def _top() -> str:
    name = tag("h1", "Before/", tag("span", "After"))
    return tag("div", name, tag("span", text.TAGLINE, class_="ba-tagline"), class_="ba-top")


def _no_model() -> str:
    return tag("div", tag("i"), "no model open yet", class_="ba-status")

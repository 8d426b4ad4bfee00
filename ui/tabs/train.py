"""The Train tab: five numbered steps from whatever starting point, one that ships or one's own.

Three of them ask for a decision: which rows, how much, and Start. Everything else is proposed, and folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.events import Dependency

from data.tasks import STARTING_POINTS
from finetuning.limits import Limits
from finetuning.preferred import beginning_of
from ui.drawing import text
from ui.drawing.markup import progress, tag
from ui.tabs import data_form, follow, sizes, train_form
from ui.tabs.events import ACT, ONCE, QUICK, SLOW
from ui.tabs.follow import Follow
from ui.tabs.task_form import build_task_form
from ui.tabs.train_form import TrainForm
from ui.tabs.train_steps import Train, learns, step_title

NAME = "train"
"""What the ids of its components begin with."""


def build_train(limits: Limits | None = None) -> Train:
    """Lay out the five steps and connect them, but for what leads to other tabs; as for the first starting point.

    Args:
        limits: of strangers.
    """
    # Where the operator prefers a recipe, it is what the page begins with.
    first = max(STARTING_POINTS.values(), key=lambda task: bool(beginning_of(task).reason))
    begins = beginning_of(first)
    known = {name: train_form.recipes_of(name) for name in STARTING_POINTS}
    known[text.OWN] = train_form.recipes_of(None)
    place = build_places(first.name)
    with gr.Column(elem_classes="ba-step"):
        said = gr.HTML(learns(first), elem_id=f"{NAME}-learns", elem_classes="ba-plain")
        what = build_task_form(NAME)
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(2), elem_classes="ba-plain")
        data = data_form.build_data_form(
            NAME, task=first, corpora=data_form.corpora_of(first), hub_allowed=limits is None or limits.hub,
            also=True,
        )  # fmt: skip
        waiting = progress("Reading the rows …", 0, 0)
        summary = gr.HTML(waiting, elem_id=f"{NAME}-data", elem_classes="ba-plain")
        preview = gr.HTML(elem_id=f"{NAME}-preview", elem_classes="ba-plain")
        tokens = gr.HTML(elem_id=f"{NAME}-tokens", elem_classes="ba-plain")
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(3), elem_classes="ba-plain")
        reason = tag("div", begins.reason, class_="ba-note") if begins.reason else ""
        why = gr.HTML(reason, elem_id=f"{NAME}-why", elem_classes="ba-plain")
        weights = gr.HTML(elem_id=f"{NAME}-weights", elem_classes="ba-plain")
        chosen, base_fields = train_form.build_base(NAME, begins.recipe, known[first.name], limits)
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(4, text.SIZE), elem_classes="ba-plain")
        size = sizes.build_sizes(NAME)
        table = gr.HTML(elem_id=f"{NAME}-sizes", elem_classes="ba-plain")
        costs = gr.HTML(elem_id=f"{NAME}-costs", elem_classes="ba-plain", render=False)
        more, settings = train_form.build_settings(NAME, begins.recipe, costs, limits)
        if limits is not None:
            gr.HTML(tag("div", limits.sentence(), class_="ba-note"), elem_classes="ba-plain")
        estimate = gr.HTML(elem_id=f"{NAME}-estimate", elem_classes="ba-plain")
        start, *going_on = follow.build_start(NAME)
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(5), elem_classes="ba-plain")
        ended = follow.build_end(NAME)
    form = TrainForm(chosen, [*base_fields, *settings], size, table, more, costs)
    tab = Train(
        known, limits, place, said, what, data, summary, preview, tokens, why, weights, form, estimate, start,
        Follow(*going_on, *ended),
    )  # fmt: skip
    _connect(tab)
    return tab


def build_places(first: str) -> gr.Radio:
    """The choice of a starting point, and which one is chosen at first."""
    gr.HTML(tag("div", text.ASKED, class_="ba-ask"), elem_classes="ba-plain")
    titles = [(beginning_of(task).recipe.title, name) for name, task in STARTING_POINTS.items()]
    return gr.Radio(
        [*titles, (text.OWN_TITLE, text.OWN)], value=first, label=text.ASKED, show_label=False, container=False,
        elem_id=f"{NAME}-from",
    )  # fmt: skip


def _connect(tab: Train) -> None:
    data, form = tab.data, tab.form
    strategy = form.field("strategy.kind")
    others = [tab.place, tab.what.what, data.kind, form.recipe, strategy]
    taken = gr.on([*(each.input for each in others), *data.other_source], tab.take, tab.inputs, tab.begun, **SLOW)
    sized = form.size.input(tab.choose_size, [form.size, *tab.inputs], form.sized, **ACT)
    as_set = f"() => '{sizes.AS_SET}'"
    gr.on(_edits(form.sized), None, None, form.size, js=as_set, **QUICK)
    gr.on([form.more.expand, strategy.input], tab.show_costs, tab.inputs, form.costs, **SLOW)
    gr.on(_edits(form.fields), tab.show_estimate, tab.inputs, tab.estimated, **SLOW)
    sized.then(tab.show_estimate, tab.inputs, tab.estimated, **SLOW)
    then_rest(tab, taken)
    tab.start.click(tab.start_run, tab.inputs, tab.follow.followed, **ONCE)


def _edits(fields: Sequence[Any]) -> list[Any]:
    """What a person does to fields, and not what fills them; a line of text is written once it is left."""
    lines = [each for each in fields if isinstance(each, gr.Textbox)]
    others = [each.input for each in fields if each not in lines]
    return [*others, *(each.blur for each in lines), *(each.submit for each in lines)]


def then_rest(tab: Train, filled: Dependency) -> None:
    """What follows once the form is filled, and not while some of its fields still hold what no longer fits."""
    filled.then(tab.show_rest, tab.inputs, tab.rest, **SLOW)


def connect_opening(tab: Train, load: Any, select: Any) -> None:
    """What is read and shown once somebody looks: the rows when the tab is opened, and a run that goes on."""
    again = [*tab.data.other_reading, tab.what.instruction.submit]
    then_rest(tab, gr.on([select, *again], tab.show_data, tab.inputs, tab.shown, **SLOW))
    follow.connect(tab.follow, load, select)

"""The Train tab: the two tasks that the page begins with, and one's own; the same five numbered steps each.

Three of them ask for a decision: which rows, how much, and Start. Everything else is proposed, and folded.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS
from finetuning.limits import Limits
from finetuning.preferred import beginning_of
from ui.drawing import text
from ui.drawing.markup import join, progress, tag
from ui.tabs import data_form, follow, sizes, train_form
from ui.tabs.beginning import known_task
from ui.tabs.events import ACT, ONCE, QUICK, SLOW
from ui.tabs.examples import examples, in_and_out
from ui.tabs.follow import Follow
from ui.tabs.task_form import build_task_form, other_corpora, place_of
from ui.tabs.train_form import TrainForm
from ui.tabs.train_steps import TrainTask, step_title


def build_train(name: str, limits: Limits | None = None) -> TrainTask:
    """Lay out the five steps and connect them, but for what leads to other tabs.

    Args:
        name: of a task that the page begins with; any other is what the parts of one's own are called.
        limits: of strangers.
    """
    task = known_task(name)
    begins = beginning_of(task or next(iter(STARTING_POINTS.values())))
    recipe = begins.recipe
    known = train_form.recipes_of(task.name if task else None)
    what = None
    with gr.Column(elem_classes="ba-step"):
        said = (
            join([step_title(1, task.learns), in_and_out(examples(task)[0])])
            if task
            else step_title(1, text.OWN_LEARNS)
        )
        learns = gr.HTML(said, elem_id=f"{name}-learns", elem_classes="ba-plain")
        if task is None:
            what = build_task_form(name)
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(2), elem_classes="ba-plain")
        data = data_form.build_data_form(
            name, task=task, corpora=data_form.corpora_of(task) if task else other_corpora(),
            hub_allowed=limits is None or limits.hub, any_task=task is None,
        )  # fmt: skip
        waiting = progress("Reading the rows …", 0, 0) if task else data_form.waiting("file")
        summary = gr.HTML(waiting, elem_id=f"{name}-data", elem_classes="ba-plain")
        preview = gr.HTML(elem_id=f"{name}-preview", elem_classes="ba-plain")
        tokens = gr.HTML(elem_id=f"{name}-tokens", elem_classes="ba-plain")
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(3), elem_classes="ba-plain")
        if task and begins.reason:
            gr.HTML(tag("div", begins.reason, class_="ba-note"), elem_id=f"{name}-why", elem_classes="ba-plain")
        weights = gr.HTML(elem_id=f"{name}-weights", elem_classes="ba-plain")
        chosen, base_fields = train_form.build_base(name, recipe, known, limits)
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(4, text.SIZE), elem_classes="ba-plain")
        size = sizes.build_sizes(name)
        table = gr.HTML(elem_id=f"{name}-sizes", elem_classes="ba-plain")
        costs = gr.HTML(elem_id=f"{name}-costs", elem_classes="ba-plain", render=False)
        more, settings = train_form.build_settings(name, recipe, costs, limits)
        if limits is not None:
            gr.HTML(tag("div", limits.sentence(), class_="ba-note"), elem_classes="ba-plain")
        estimate = gr.HTML(elem_id=f"{name}-estimate", elem_classes="ba-plain")
        start, *going_on = follow.build_start(name)
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(step_title(5), elem_classes="ba-plain")
        ended = follow.build_end(name)
    form = TrainForm(chosen, [*base_fields, *settings], size, table, more, costs)
    tab = TrainTask(
        name, known, limits, learns, what, data, summary, preview, tokens, weights, form, estimate, start,
        Follow(lambda made: place_of(made) == name, *going_on, *ended),
    )  # fmt: skip
    _connect(tab)
    return tab


def _connect(tab: TrainTask) -> None:
    data, form = tab.data, tab.form
    other_kind = data.kind.input(data_form.visible_parts, data.kind, data.parts, **QUICK).then
    for trigger in (other_kind, *data.other_source):
        _fill(tab, trigger, tab.show_other_data, tab.begun)
    if tab.what is not None:
        _fill(tab, tab.what.what.input, tab.show_other_task, tab.begun)
    again = [*data.other_reading, *([tab.what.instruction.submit] if tab.what else [])]
    for trigger in again:
        fill(tab, trigger)
    filled = [*form.fields, form.size]
    form.recipe.input(tab.choose_recipe, tab.inputs, filled, **ACT).then(
        tab.show_data, tab.inputs, tab.shown, **SLOW
    ).then(tab.show_sizes, tab.inputs, form.sizes, **SLOW).then(tab.show_tokens, tab.inputs, tab.tokens, **SLOW)
    strategy = form.field("strategy.kind")
    of_strategy = [each for each in form.fields if each is not strategy]
    strategy.input(tab.choose_strategy, tab.inputs, of_strategy, **ACT).then(
        tab.show_costs, tab.inputs, form.costs, **SLOW
    ).then(tab.show_sizes, tab.inputs, form.sizes, **SLOW)
    form.size.input(tab.choose_size, [form.size, *tab.inputs], form.sized, **ACT)
    gr.on([field.input for field in form.sized], lambda: sizes.AS_SET, None, form.size, **QUICK)
    form.more.expand(tab.show_costs, tab.inputs, form.costs, **SLOW)
    # One listener for all of them: a recipe changes many fields at once, and one estimate is enough.
    changes = [field.change for field in form.fields]
    gr.on(changes, tab.show_estimate, tab.inputs, [tab.weights, tab.estimate], **SLOW)
    started = tab.start.click(tab.start_run, tab.inputs, tab.follow.watched, **ONCE)
    started.then(tab.follow.poll, tab.follow.seen, tab.follow.followed, **QUICK)
    follow.connect(tab.follow)


def fill(tab: TrainTask, trigger: Any) -> None:
    """Read the data, estimate and draw a row's tokens when `trigger` happens: not before anybody looks."""
    _fill(tab, trigger, tab.show_data, tab.shown)


def begin_anew(tab: TrainTask, trigger: Any) -> None:
    """As `fill` for other rows: what is learned, columns, size and settings are proposed anew."""
    _fill(tab, trigger, tab.show_other_data, tab.begun)


def _fill(tab: TrainTask, trigger: Any, show: Any, shown: list[Any]) -> None:
    trigger(show, tab.inputs, shown, **SLOW).then(tab.show_tokens, tab.inputs, tab.tokens, **SLOW).then(
        tab.show_estimate, tab.inputs, [tab.weights, tab.estimate], **SLOW
    ).then(tab.show_sizes, tab.inputs, tab.form.sizes, **SLOW)

"""The Learn tab: what fine-tuning is, each part with numbers of this machine and a button to what is behind it.

Nothing of it is computed before the tab is opened: then its words are drawn at once, what has to be counted is put
in once the libraries are there, and a model's weights are measured in the background.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.demonstrations.demonstration import stored
from finetuning.limits import Limits
from models import libraries
from models.adapter_files import MAX_RANK
from plumbing.errors import UserError
from ui.drawing import learn as drawing
from ui.drawing import learn_text as said
from ui.drawing.learn import Counts
from ui.drawing.markup import Markup, clicked, counted, progress, tag
from ui.server.four_bit import FOUR_BIT, base_in_use, usual_base
from ui.server.models_in_use import Opening, short_name
from ui.server.toast import toasts
from ui.tabs import leading
from ui.tabs import learn_numbers as numbers
from ui.tabs.events import ACT, ONCE, QUICK, Updates
from ui.tabs.run_view import id_box

OTHER_TABS = ("compare", "evaluate", "runs")
# A click on one of our buttons says what it opens; it is a button, so the keyboard has it, too.
_ON_CLICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('[data-go]');
  if (button) trigger('click', {go: button.dataset.go});
});
"""


@dataclass
class Learn:
    """The tab's components, and what they do."""

    limits: Limits | None
    lesson: gr.HTML
    rank: gr.Slider
    update: gr.HTML
    levels: gr.HTML
    measure: gr.Button
    wrong: gr.HTML
    wanted: gr.Textbox
    """Which target the form of Train is to be filled with, and when that was asked for, so that the same one can be
    asked for again. The page holds it."""
    counted: Counts | None = None
    """What was counted for somebody already."""

    def show(self) -> list[Markup]:
        """The words, with the numbers that are known at once; outputs: `shown`."""
        found = numbers.demonstrations(self.limits, offered=self.counted is not None)
        wrong = drawing.wrong(found, stored())
        return [drawing.lesson(numbers.numbers(self.limits), self.counted), wrong]

    @toasts
    def open(self, rank: float) -> Iterator[Updates]:
        """The words at once, then what has to be counted, then what a model's weights are; outputs: `opened`."""
        yield dict(zip(self.shown, self.show(), strict=True))
        yield dict(zip(self.counting, self.count(rank), strict=True))
        for measured in self.show_levels():
            yield dict(zip(self.measured, measured, strict=True)) if isinstance(measured, list) else measured

    def count(self, rank: float) -> list[Markup]:
        """The words again, with what has to be counted, and the update at a rank; outputs: `counting`."""
        libraries.ready()
        self.counted = numbers.counts(self.limits)
        return [*self.show(), self.draw_update(rank)]

    def draw_update(self, rank: float) -> Markup:
        """W + BA at a rank."""
        libraries.ready()
        return drawing.update(numbers.update_at(min(MAX_RANK, max(1, round(rank)))))

    @toasts
    def show_levels(self) -> Iterator[list[Any]]:
        """NF4 over the weights of the model that is open, or that were measured before; else a button to do so."""
        base = base_in_use() or usual_base()
        if (found := FOUR_BIT.found(base)) is not None:
            yield [drawing.levels(found), gr.Button(visible=False)]
        elif base_in_use() == base and FOUR_BIT.is_quick(base):
            yield from self.measure_levels()
        else:
            note = said.NOT_MEASURED.format(base=short_name(base))
            yield [tag("div", note, class_="ba-note"), gr.Button(visible=True)]

    @toasts
    def measure_levels(self) -> Iterator[list[Any]]:
        """The same, measured now where it was not before; outputs: `measured`."""
        try:
            for state in FOUR_BIT.measure(base_in_use() or usual_base()):
                if isinstance(state, Opening):
                    bar = progress(counted(state.what, state.done, state.total, "layers"), state.done, state.total)
                    yield [bar, gr.Button(visible=False)]
                else:
                    yield [drawing.levels(state), gr.Button(visible=False)]
        except UserError:
            yield ["", gr.Button(visible=True)]
            raise

    @toasts
    def go(self, event: gr.EventData) -> list[Any]:
        """What a button opens; outputs: tabs, the lab that is chosen in Lab, and `wanted`."""
        target = clicked(event, "go")
        kind, _, name = target.partition(":")
        if kind == leading.TAB and name in OTHER_TABS:
            return [gr.Tabs(selected=name), gr.skip(), gr.skip()]
        if kind == leading.LAB and name in numbers.LABS:
            return [gr.Tabs(selected="lab"), name, gr.skip()]
        if target != leading.OWN:
            leading.recipe_of(target)  # said here where it means none
        return [gr.skip(), gr.skip(), f"{target} {time.time_ns()}"]

    @property
    def shown(self) -> list[Any]:
        return [self.lesson, self.wrong]

    @property
    def counting(self) -> list[Any]:
        return [*self.shown, self.update]

    @property
    def measured(self) -> list[Any]:
        return [self.levels, self.measure]

    @property
    def opened(self) -> list[Any]:
        return [*self.counting, *self.measured]


def target_of(wanted: str | None) -> str:
    """What Train's form was asked to be filled with."""
    return (wanted or "").partition(" ")[0]


def build_learn(limits: Limits | None = None) -> Learn:
    """Lay the tab out and connect it, but for what opens it and what it leads to."""
    lesson = gr.HTML(
        tag("div", said.OPENING, class_="ba-note"), elem_id="learn", elem_classes="ba-plain", js_on_load=_ON_CLICK
    )
    title = tag("div", tag("h3", said.RANK_TITLE), class_="ba-learn ba-section")
    gr.HTML(title, elem_classes="ba-plain")
    rank = gr.Slider(
        1,
        MAX_RANK,
        numbers.RANK,
        step=1,
        precision=0,
        label=said.RANK,
        elem_id="learn-rank",
        elem_classes="ba-narrow",
    )
    update = gr.HTML(elem_id="learn-update", elem_classes="ba-plain")
    about = tag("div", drawing.about_levels(), class_="ba-learn ba-section ba-stack")
    gr.HTML(about, elem_classes="ba-plain")
    levels = gr.HTML(elem_id="learn-levels", elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions"):
        measure = gr.Button(said.MEASURE, visible=False, scale=0, elem_id="learn-measure")
    wrong = gr.HTML(elem_id="learn-wrong", elem_classes="ba-plain", js_on_load=_ON_CLICK)
    tab = Learn(limits, lesson, rank, update, levels, measure, wrong, id_box("learn-wanted"))
    rank.change(tab.draw_update, rank, update, **QUICK | {"trigger_mode": "always_last"})
    measure.click(tab.measure_levels, None, tab.measured, **ONCE)
    return tab


def open_learn(tab: Learn, trigger: Any) -> None:
    """Fill the tab when `trigger` happens."""
    trigger(tab.open, tab.rank, tab.opened, **ACT)

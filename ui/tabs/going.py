"""What a visitor has going, in the top line of every tab: a run, an evaluation or an export, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.runs.folder import ACTIVE, WORKING, Run, Status
from finetuning.runs.jobs import kind_of
from plumbing.errors import RunError
from ui.drawing import text
from ui.drawing.markup import Markup, tag
from ui.server.judging import JUDGING
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import run_view
from ui.tabs.clock import build_clock, set_to
from ui.tabs.events import QUICK

POLL_S = 3.0
# A plain click goes there within the page; with a key it is a link like any other.
_JS = """
element.addEventListener('click', event => {
  const link = event.target.closest('[data-tab]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const tabs = [...document.querySelectorAll('#tabs [role=tab]')];
  const tab = tabs.find(each => each.textContent.trim().toLowerCase() === link.dataset.tab);
  if (tab) { event.preventDefault(); tab.click(); }
});
"""


@dataclass
class Going:
    """The components."""

    chip: gr.HTML
    clock: gr.HTML
    """On while there is something."""

    def look(self, request: gr.Request) -> list[Any]:
        """What the visitor has going now."""
        visitor = visitor_of(request)
        found = _newest(visitor)
        return [_chip(*found) if found else "", set_to(found is not None)]


def build_going() -> Going:
    """Lay the components out."""
    return Going(gr.HTML(elem_id="going", elem_classes="ba-plain", js_on_load=_JS), build_clock(POLL_S))


def connect_going(going: Going, triggers: Sequence[Any]) -> None:
    """Look when something may have begun, and again while it goes on."""
    gr.on([going.clock.click, *triggers], going.look, None, [going.chip, going.clock], **QUICK)


def _newest(visitor: Visitor) -> tuple[Run, Status] | None:
    """The one that is worked on, else the newest that waits."""
    waiting: tuple[Run, Status] | None = None
    for run in visitor.queue():
        if run.state() not in ACTIVE:
            continue
        try:
            status = run.status()
        except RunError:
            continue
        if status.state in WORKING:
            return run, status
        waiting = waiting or (run, status)
    return waiting


def _chip(run: Run, status: Status) -> Markup:
    judges = run.is_job and kind_of(run) in JUDGING
    tab = "evaluate" if judges else "runs"
    what = text.GOING.get(kind_of(run) if run.is_job else status.state, text.GOING["running"])
    if status.state == "queued":
        what = f"{text.GOING['queued']}: {what.lower()}" if run.is_job else text.GOING["queued"]
    how_far = f" {status.done:,} of {status.total:,}" if status.state in WORKING and status.total else ""
    said = f"{what}{how_far}{run_view.time_left(status)}"
    if run.is_job and not judges:  # an export is shown beside what it is of
        return tag("div", tag("i", class_="ba-busy"), said, class_="ba-status")
    name = "report" if judges else "run"
    link = tag("a", said, href=f"?tab={tab}&{name}={run.id}", data_tab=tab)
    return tag("div", tag("i", class_="ba-busy"), link, class_="ba-status")

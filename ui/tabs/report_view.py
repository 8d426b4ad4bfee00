"""A report on the page, the same in every tab: verdict, what flipped with its filters, everything else, downloads.

The components, and what they do; how the parts are drawn is in `reports.py` and `flips.py`. What is shown is named
by its folder, which is read again for every filter: nothing of it is kept in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from eval.report.folder import REPORT_FILE, load
from eval.report.schema import Report, RowResult
from plumbing.errors import RunError, UserError
from ui.drawing import flips, reports, text
from ui.drawing.markup import clicked, tag
from ui.server.downloads import FILES, copies
from ui.server.toast import toasts
from ui.server.visitors import Visitor
from ui.tabs.events import ACT

# A click anywhere in a row opens it; the button in it is there for the keyboard.
_ON_CLICK = """
element.addEventListener('click', event => {
  const row = event.target.closest('tr');
  const button = row && row.querySelector('[data-row]');
  if (button && !String(window.getSelection())) trigger('click', {row: button.dataset.row});
});
"""


@dataclass(frozen=True)
class Shown:
    """Which report is on the page."""

    folder: Path
    key: str
    """The tuned model that was evaluated, as in `ui.server.choices`."""


@dataclass
class ReportView:
    """The components; `outputs` is what `draw` and `clear` fill."""

    shown: gr.State
    verdict: gr.HTML
    box: gr.Column
    """Around everything that needs the rows."""
    kind: gr.Radio
    wanted: gr.Textbox
    flips: gr.HTML
    details: gr.HTML
    downloads: list[gr.DownloadButton]

    @property
    def outputs(self) -> list[Any]:
        parts = [self.shown, self.verdict, self.box, self.kind, self.wanted, self.flips, self.details]
        return [*parts, *self.downloads]

    def draw(self, folder: Path, key: str, visitor: Visitor) -> list[Any]:
        """The report in `folder`, of the model with this key; what is wrong with it where it cannot be read."""
        try:
            report = load(folder)[0]
        except (RunError, OSError) as error:
            damaged = (folder / REPORT_FILE).exists()
            return self.clear(tag("div", visitor.shown(str(error)), class_="ba-note") if damaged else "")
        rows = reports.rows_of(folder)
        found = flips.flips(report, rows)
        files = copies(folder, report, rows)
        visitor.offer([path for path in files if path])
        return [
            Shown(folder, key),
            reports.verdict(report, rows),
            gr.Column(visible=bool(rows)),
            gr.Radio(choices=flips.kind_options(report), value="all"),
            "",
            flips.draw(found),
            reports.details(report),
            *(gr.DownloadButton(value=path, visible=True) for path in files),
        ]

    def clear(self, said: str = "") -> list[Any]:
        """No report, but a note."""
        hidden = [gr.DownloadButton(visible=False) for _ in self.downloads]
        return [None, said, gr.Column(visible=False), gr.skip(), gr.skip(), "", "", *hidden]

    @toasts
    def filter(self, shown: Shown | None, kind: str, wanted: str) -> Any:
        """The rows of a kind that hold a text."""
        report, rows = _read(shown)
        return flips.draw(flips.chosen(flips.flips(report, rows), kind, wanted or ""))

    def row(self, shown: Shown | None, event: gr.EventData) -> RowResult:
        """The test row that was clicked."""
        _, rows = _read(shown)
        number = clicked(event, "row")
        if not number.isascii() or not number.isdecimal() or not 1 <= int(number) <= len(rows):
            raise RunError("There is no such test row", got=number)
        return rows[int(number) - 1]


def _read(shown: Shown | None) -> tuple[Report, list[RowResult]]:
    """Report and rows; a page that was open for long has forgotten which."""
    if shown is None:
        raise UserError("This report is no longer open", fix="Evaluate again, or open its run.")
    report, rows = load(shown.folder)
    return report, list(rows)


def build_report_view(name: str) -> ReportView:
    """Lay the components out and connect the filters; ids begin with `name`."""
    shown = gr.State(None)
    verdict = gr.HTML(elem_id=f"{name}-verdict", elem_classes="ba-plain")
    with gr.Column(visible=False, elem_id=f"{name}-rows", elem_classes="ba-flips-box") as box:
        title = [tag("h3", text.FLIPS_TITLE), tag("div", text.FLIPS_HINT, class_="ba-note")]
        gr.HTML(tag("div", *title, class_="ba-section"), elem_classes="ba-plain")
        with gr.Row(equal_height=True, elem_classes="ba-filters"):
            hidden_label: dict[str, Any] = {"show_label": False, "container": False}  # read out all the same
            kind = gr.Radio(
                [(known.capitalize(), known) for known in flips.KINDS],
                value="all",
                label="Rows to show",
                elem_id=f"{name}-kind",
                scale=2,
                **hidden_label,
            )
            wanted = gr.Textbox(
                placeholder=text.FILTER, label=text.FILTER, elem_id=f"{name}-wanted", scale=1, **hidden_label
            )
        drawn = gr.HTML(elem_id=f"{name}-flips", elem_classes="ba-plain", js_on_load=_ON_CLICK)
    details = gr.HTML(elem_id=f"{name}-details", elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions ba-downloads"):
        downloads = [
            gr.DownloadButton(file, visible=False, scale=0, size="sm", elem_id=f"{name}-{file.replace('.', '-')}")
            for file in FILES
        ]
    view = ReportView(shown, verdict, box, kind, wanted, drawn, details, downloads)
    # Not `input` of the box: Gradio does not send it for what is pasted or deleted.
    triggers = [kind.input, wanted.change]
    gr.on(triggers, view.filter, [shown, kind, wanted], drawn, trigger_mode="always_last", **ACT)
    return view

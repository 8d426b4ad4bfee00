"""A verdict on any models on the page: what came out, the rows that changed with their filters, and downloads.

What is shown is named by its folder, which is read again for every filter, as `report_view.py` does it.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from eval.verdict.folder import HTML_FILE, MARKDOWN_FILE, ROWS_FILE, VERDICT_FILE, load, save
from eval.verdict.junit import to_junit
from eval.verdict.schema import Verdict, VerdictRow
from plumbing.errors import RunError, UserError
from ui.drawing import text, verdicts
from ui.drawing.markup import tag
from ui.server import scratch
from ui.server.toast import toasts
from ui.server.visitors import Visitor
from ui.tabs.events import ACT

JUNIT_FILE = "junit.xml"
FILES = (HTML_FILE, MARKDOWN_FILE, VERDICT_FILE, JUNIT_FILE, ROWS_FILE)
"""What can be downloaded."""


_REMEMBERED = 100
_served: OrderedDict[tuple[Path, int, bool], tuple[float, Path]] = OrderedDict()
"""When the files of a verdict were put where; by its folder, when it was written, and whether for a stranger."""


def served(folder: Path, visitor: Visitor) -> Path:
    """The files of the verdict in `folder` as this visitor may read them, from where they are served.

    Raises:
        RunError: the verdict cannot be read.
        OSError: there is none, or there is no space left.
    """
    wanted = folder, (folder / VERDICT_FILE).stat().st_mtime_ns, visitor.is_stranger
    made_at, place = _served.get(wanted, (-math.inf, folder))
    if time.monotonic() - made_at > scratch.LASTS_S / 2:
        place = kept(*load(folder), visitor)
        while len(_served) >= _REMEMBERED:
            _served.popitem(last=False)
        _served[wanted] = time.monotonic(), place
    return place


def kept(found: Verdict, rows: Sequence[VerdictRow], visitor: Visitor) -> Path:
    """A new folder of files of a verdict, as this visitor may read them."""
    folder = scratch.new_folder(served=True)
    shown = _as_shown(found, visitor)
    (folder / JUNIT_FILE).write_text(to_junit(shown), encoding="utf-8")
    save(shown, rows, folder)
    return folder


def _as_shown(found: Verdict, visitor: Visitor) -> Verdict:
    """A verdict whose sentences tell a stranger of no folder of this machine."""

    def said(sentences: Sequence[str]) -> list[str]:
        return [visitor.shown(each) for each in sentences]

    sides = [
        side.model_copy(
            update={
                "info": side.info.model_copy(
                    update={"notes": said(side.info.notes), "proof": visitor.shown(side.info.proof)}
                )
            }
        )
        for side in found.sides
    ]
    data = found.data
    if data.selection is not None:
        selection = data.selection.model_copy(update={"notes": said(data.selection.notes)})
        data = data.model_copy(update={"selection": selection})
    return found.model_copy(update={"sides": sides, "data": data, "notes": said(found.notes)})


@dataclass
class VerdictView:
    """The components; `outputs` is what `draw` and `clear` fill."""

    shown: gr.State
    """The folder of what is on the page."""
    verdict: gr.HTML
    box: gr.Column
    """Around everything that needs the rows."""
    side: gr.Dropdown
    kind: gr.Radio
    wanted: gr.Textbox
    rows: gr.HTML
    details: gr.HTML
    downloads: list[gr.DownloadButton]

    @property
    def outputs(self) -> list[Any]:
        parts = [self.shown, self.verdict, self.box, self.side, self.kind, self.wanted, self.rows, self.details]
        return [*parts, *self.downloads]

    def draw(self, folder: Path, visitor: Visitor) -> list[Any]:
        """The verdict in a folder; what is wrong with it where it cannot be read."""
        try:
            folder = served(folder, visitor)
            found, rows = load(folder)
        except (RunError, OSError) as error:
            return self.clear(tag("div", visitor.shown(str(error)), class_="ba-note"))
        files = [str(folder / name) for name in FILES]
        visitor.offer(files)
        sides = verdicts.tuned_options(found)
        first = sides[0][1]
        changed = verdicts.changed(found, first, rows)
        return [
            folder,
            verdicts.verdict(found),
            gr.Column(visible=True),
            gr.Dropdown(choices=sides, value=first, visible=len(sides) > 1),
            gr.Radio(choices=verdicts.kind_options(changed), value="all"),
            "",
            verdicts.draw_rows(found, first, changed),
            verdicts.details(found),
            *(gr.DownloadButton(value=file, visible=True) for file in files),
        ]

    def clear(self, said: str = "") -> list[Any]:
        """No verdict, but a note."""
        hidden = [gr.DownloadButton(visible=False) for _ in self.downloads]
        return [None, said, gr.Column(visible=False), gr.skip(), gr.skip(), gr.skip(), "", "", *hidden]

    @toasts
    def filter(self, folder: Path | None, side: str | None, kind: str, wanted: str | None) -> Any:
        """The rows of a kind that hold a text, by what became of them from the base to one side."""
        if folder is None:
            raise UserError("This verdict is no longer open", fix="Compare again.")
        found, rows = load(folder)
        keys = [key for _, key in verdicts.tuned_options(found)]
        key = side if side in keys else keys[0]
        changed = verdicts.changed(found, key, rows)
        drawn = verdicts.draw_rows(found, key, verdicts.chosen(changed, kind, wanted or ""))
        return [gr.Radio(choices=verdicts.kind_options(changed)), drawn]


def build_verdict_view(name: str) -> VerdictView:
    """Lay the components out and connect the filters; ids begin with `name`."""
    shown = gr.State(None)
    verdict = gr.HTML(elem_id=f"{name}-verdict", elem_classes="ba-plain")
    with gr.Column(visible=False, elem_id=f"{name}-rows", elem_classes="ba-flips-box") as box:
        gr.HTML(tag("div", tag("h3", text.FLIPS_TITLE), class_="ba-section"), elem_classes="ba-plain")
        side = gr.Dropdown([], visible=False, label=text.CHANGED_BY, elem_id=f"{name}-side")
        with gr.Row(equal_height=True, elem_classes="ba-filters"):
            hidden_label: dict[str, Any] = {"show_label": False, "container": False}  # read out all the same
            kind = gr.Radio(
                [(known.capitalize(), known) for known in verdicts.KINDS],
                value="all", label="Rows to show", elem_id=f"{name}-kind", scale=2, **hidden_label,
            )  # fmt: skip
            wanted = gr.Textbox(
                placeholder=text.FILTER, label=text.FILTER, elem_id=f"{name}-wanted", scale=1, **hidden_label
            )
        drawn = gr.HTML(elem_id=f"{name}-flips", elem_classes="ba-plain")
    details = gr.HTML(elem_id=f"{name}-details", elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions ba-downloads"):
        downloads = [
            gr.DownloadButton(file, visible=False, scale=0, size="sm", elem_id=f"{name}-{file.replace('.', '-')}")
            for file in FILES
        ]
    view = VerdictView(shown, verdict, box, side, kind, wanted, drawn, details, downloads)
    # Not `input` of the box: Gradio does not send it for what is pasted or deleted.
    triggers = [side.input, kind.input, wanted.change]
    gr.on(triggers, view.filter, [shown, side, kind, wanted], [kind, drawn], trigger_mode="always_last", **ACT)
    return view

"""The Lab tab: the labs that ship with what they came to, and one's own: started, followed, read, downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from eval.lab.schema import LabResult
from finetuning.lab.folder import ACTIVE, HTML_FILE, RESUMABLE, LabFolder
from finetuning.lab.lab import Lab, lab_names, load_lab
from finetuning.lab.plan import Plan, make_plan
from finetuning.lab.results import stored
from finetuning.limits import Limits
from models import libraries
from plumbing.errors import RunError, UserError
from ui.drawing import labs, text
from ui.drawing.markup import Markup, clicked, progress, tag
from ui.server.downloads import LAB_FILES, files_of_lab
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs.clock import build_clock, set_to
from ui.tabs.events import ACT, ONCE, QUICK
from ui.tabs.run_view import id_box

POLL_S = 3.0
SHOWN = 20
"""Labs in the table: the newest."""
# A click anywhere in a row opens its lab; the button in it is there for the keyboard.
_ON_CLICK = """
element.addEventListener('click', event => {
  const row = event.target.closest('tr');
  const button = row && row.querySelector('[data-lab]');
  if (button) trigger('click', {lab: button.dataset.lab});
});
"""


@dataclass
class LabTab:
    """The tab's components."""

    chosen: gr.Dropdown
    about: gr.HTML
    start: gr.Button
    ask: gr.Button
    takes: gr.HTML
    shipped: list[gr.DownloadButton]
    """Of what the chosen lab came to where it was measured."""
    table: gr.HTML
    detail: gr.Column
    title: gr.HTML
    state: gr.HTML
    cancel: gr.Button
    resume: gr.Button
    result: gr.HTML
    downloads: list[gr.DownloadButton]
    lab_id: gr.Textbox
    listed: gr.State
    drawn: gr.State
    clock: gr.HTML
    """On while the open lab, or one in the table, goes on."""

    # ---- the labs that ship ----

    @toasts
    def choose(self, name: str | None, request: gr.Request) -> list[Any]:
        """Another of the labs that ship; outputs: `chosen_shown`."""
        visitor, lab = visitor_of(request), shipped_lab(name)
        return [about(lab), "", *_offered(stored(lab.name), visitor)]

    def estimate(self, name: str | None, request: gr.Request) -> Iterator[Markup]:
        """What the lab takes on this machine, or why it cannot be made here."""
        visitor = visitor_of(request)
        yield progress("Timing layers like those of its models …", 0, 0)
        libraries.ready()
        from finetuning.lab.dry_run import shares
        from finetuning.lab.launch import planned
        from finetuning.lab.rows import open_rows

        try:
            plan = planned(shipped_lab(name), visitor.limits)
            yield labs.takes(shares(plan, open_rows(plan)))
        except UserError as error:
            said = tag("div", visitor.shown(str(error)), class_="ba-strong")
            yield tag("div", said, class_="ba-problems")

    @toasts
    def begin(self, name: str | None, request: gr.Request) -> list[Any]:
        """Start the lab, or show the one that is going on; outputs: `seen`."""
        visitor, lab = visitor_of(request), shipped_lab(name)
        libraries.ready()
        with visitor.starting():
            found = visitor.start_lab(lab)
        return self.look(found.id, "", "", request)

    # ---- one's own ----

    def look(self, lab_id: str | None, drawn: str, listed: str, request: gr.Request) -> list[Any]:
        """The table and the open lab again, as far as they changed; outputs: `seen`."""
        table, opened = self.refresh(listed, request), self.poll(lab_id, drawn, request)
        goes_on = any(lab.state() in ACTIVE for lab in visitor_of(request).labs()[:SHOWN])
        return [set_to(goes_on), *_each(table, 2), *_each(opened, len(self.followed))]

    def refresh(self, listed: str, request: gr.Request) -> Any:
        """The table again, if a lab came or changed."""
        found = visitor_of(request).labs()[:SHOWN]
        for lab in found:
            _settle(lab)
        now = " ".join(map(fingerprint, found))
        return gr.skip() if now == listed and listed else [now or "none", labs.listing(found)]

    @toasts
    def open(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """The lab that was clicked."""
        visitor = visitor_of(request)
        lab = visitor.lab(clicked(event, "lab"))
        return [lab.id, fingerprint(lab), *self._draw(lab, visitor)]

    def poll(self, lab_id: str | None, drawn: str, request: gr.Request) -> Any:
        """The open lab again, if it changed; nothing more of it once it is gone."""
        if not lab_id:
            return gr.skip()
        visitor = visitor_of(request)
        try:
            lab = visitor.lab(lab_id)
        except RunError:
            return ["", "", gr.Column(visible=False), *[gr.skip()] * (len(self.followed) - 3)]
        _settle(lab)
        now = fingerprint(lab)
        return gr.skip() if now == drawn else [lab_id, now, *self._draw(lab, visitor)]

    @toasts
    def change(
        self, lab_id: str | None, drawn: str, listed: str, event: gr.EventData, request: gr.Request
    ) -> list[Any]:
        """Ask the open lab to stop, or let it go on, by the button that was clicked; outputs: `seen`."""
        from finetuning.lab.launch import cancel

        if lab_id:
            visitor = visitor_of(request)
            lab = visitor.lab(lab_id)
            if event.target is self.cancel:
                cancel(lab)
            else:
                with visitor.starting():
                    visitor.resume_lab(lab)
        return self.look(lab_id, drawn, listed, request)

    def _draw(self, lab: LabFolder, visitor: Visitor) -> list[Any]:
        state = lab.state()
        try:
            title = lab.lab().title
            said, found = labs.state_of(lab, visitor.shown), _as_shown(lab.results(), visitor)
            again = bool(found and lab.record().failed)
        except UserError as error:
            title, found, again = "A damaged lab", None, False
            said = tag("div", visitor.shown(str(error)), class_="ba-note")
        return [
            gr.Column(visible=True),
            tag("div", title, tag("small", lab.id), class_="ba-run-title"),
            said,
            gr.Button(visible=state in ACTIVE),
            gr.Button(visible=state in RESUMABLE or (state == "finished" and again)),
            labs.result(found) if found else "",
            *_offered(found, visitor),
        ]

    @property
    def chosen_shown(self) -> list[Any]:
        """The outputs of `choose`."""
        return [self.about, self.takes, *self.shipped]

    @property
    def followed(self) -> list[Any]:
        """The outputs of `open`."""
        shown = [self.title, self.state, self.cancel, self.resume, self.result, *self.downloads]
        return [self.lab_id, self.drawn, self.detail, *shown]

    @property
    def known(self) -> list[Any]:
        """The inputs of `look`: which lab is open, how it was drawn last, and how the table was."""
        return [self.lab_id, self.drawn, self.listed]

    @property
    def seen(self) -> list[Any]:
        """The outputs of `look`, and of whatever may change a lab."""
        return [self.clock, self.listed, self.table, *self.followed]


def shipped_lab(name: str | None) -> Lab:
    """The lab of that name which ships: never a file that somebody names."""
    if name not in lab_names():
        raise RunError("There is no such lab", got=str(name)[:100], fix="Choose one from the list.")
    return load_lab(str(name))


def about(lab: Lab) -> Markup:
    """What is shown of a lab that ships."""
    plan: Plan | None = None
    measured = stored(lab.name)
    if measured is None:
        try:
            plan = make_plan(lab)
        except UserError:  # which is said when it is started
            plan = None
    return labs.about(lab, plan, measured)


def _each(update: Any, count: int) -> list[Any]:
    """An update of so many outputs, one by one."""
    return list(update) if isinstance(update, list) else [update] * count


def fingerprint(lab: LabFolder) -> str:
    """Changes whenever something that is drawn has changed."""
    found = []
    for name in ("status.json", "record.json", HTML_FILE, "cancel"):
        try:
            stamp = (lab.folder / name).stat()
        except OSError:
            continue
        found.append(f"{stamp.st_mtime_ns}.{stamp.st_size}")
    return f"{lab.id} {' '.join(found)}"


def _settle(lab: LabFolder) -> None:
    from finetuning.lab.launch import settle

    settle(lab)


def _as_shown(result: LabResult | None, visitor: Visitor) -> LabResult | None:
    """A lab's results as their visitor may read them: why an option failed may name a folder of this machine."""
    if result is None:
        return None
    options = [option.model_copy(update={"failed": visitor.shown(option.failed)}) for option in result.options]
    return result.model_copy(update={"options": options})


def _offered(result: LabResult | None, visitor: Visitor) -> list[Any]:
    """The buttons by which a lab's files are downloaded; none where there is no result."""
    if result is None:
        return [gr.DownloadButton(visible=False) for _ in LAB_FILES]
    files = files_of_lab(result)
    visitor.offer(files)
    return [gr.DownloadButton(value=file, visible=True) for file in files]


def _download_buttons(name: str) -> list[gr.DownloadButton]:
    titles = {"html": "HTML file", "md": "Markdown", "json": "JSON"}
    with gr.Row(elem_classes="ba-actions ba-downloads"):
        return [
            gr.DownloadButton(titles[kind], visible=False, scale=0, size="sm", elem_id=f"{name}-{kind}")
            for kind in LAB_FILES
        ]


FIRST_LAB = "options-sentiment"
"""The one that is shown at first: it runs anywhere."""


def build_lab(limits: Limits | None = None) -> LabTab:
    """Lay the tab out and connect it."""
    names = lab_names()
    known = [(load_lab(name).title, name) for name in names]
    gr.HTML(tag("div", text.LAB_INTRO, class_="ba-note"), elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions"):
        chosen = gr.Dropdown(known, value=FIRST_LAB, label="Lab", elem_id="lab-chosen", min_width=320)
        ask = gr.Button("What would it take here?", scale=0, elem_id="lab-ask")
        start = gr.Button("Start", variant="primary", scale=0, elem_id="lab-start")
    if limits is not None:
        said = f"{text.LAB_STRANGER} A lab takes up to {limits.lab_places} runs and passes here."
        gr.HTML(tag("div", said, class_="ba-note"), elem_classes="ba-plain")
    takes = gr.HTML(elem_id="lab-takes", elem_classes="ba-plain")
    shown = gr.HTML(about(load_lab(FIRST_LAB)), elem_id="lab-about", elem_classes="ba-plain")
    shipped = _download_buttons("lab-shipped")
    gr.HTML(tag("h3", "Your labs", class_="ba-section"), elem_classes="ba-plain")
    listing = gr.HTML(elem_id="lab-table", elem_classes="ba-plain", js_on_load=_ON_CLICK)
    with gr.Column(visible=False, elem_id="lab-detail") as detail:
        title = gr.HTML(elem_classes="ba-plain")
        state = gr.HTML(elem_id="lab-state", elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            cancel = gr.Button("Cancel", scale=0, visible=False, elem_id="lab-cancel")
            resume = gr.Button("Go on", scale=0, visible=False, elem_id="lab-resume")
        result = gr.HTML(elem_id="lab-result", elem_classes="ba-plain")
        downloads = _download_buttons("lab")
    tab = LabTab(
        chosen, shown, start, ask, takes, shipped, listing, detail, title, state, cancel, resume, result, downloads,
        id_box("lab-id"), gr.State(""), gr.State(""), build_clock(POLL_S),
    )  # fmt: skip
    _connect(tab)
    return tab


def _connect(tab: LabTab) -> None:
    tab.ask.click(tab.estimate, tab.chosen, tab.takes, **ONCE)
    tab.start.click(tab.begin, tab.chosen, tab.seen, **ONCE)
    tab.table.click(tab.open, None, tab.followed, **ACT)
    gr.on([tab.cancel.click, tab.resume.click], tab.change, tab.known, tab.seen, **ACT)


def connect_opening(tab: LabTab, select: Any) -> None:
    """What is looked up when the tab is opened, as well as later: one's labs, and what the chosen one is."""
    gr.on([select, tab.clock.click], tab.look, tab.known, tab.seen, **QUICK)
    # By hand, or by a button of Learn.
    gr.on([select, tab.chosen.change], tab.choose, tab.chosen, tab.chosen_shown, **ACT)

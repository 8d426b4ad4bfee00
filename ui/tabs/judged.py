"""What is being judged, what came of it, and what was judged before: the lower half of the Evaluate tab.

What judges is a job in the queue of runs, in a process of its own: this reads its folder and draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.jobs.asked import EVALUATION, AnyModels, Evaluation
from finetuning.jobs.prompts import read_prompts
from finetuning.runs.folder import ACTIVE, Run
from finetuning.runs.jobs import asked_of, kind_of
from plumbing.errors import DataError, RunError
from ui.drawing import reports, text, verdicts
from ui.drawing.markup import Child, Markup, clicked, fold, progress, table, tag
from ui.server.judging import JUDGING, rows_said
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import run_view
from ui.tabs.clock import build_clock, set_to
from ui.tabs.data_form import problems
from ui.tabs.deleted import Deleted, build_deleted
from ui.tabs.events import ACT, QUICK
from ui.tabs.report_view import ReportView, build_report_view
from ui.tabs.verdict_view import VerdictView, build_verdict_view

POLL_S = 1.0
LISTED = 50
"""Of what was judged before, the newest."""
# A click anywhere in a row opens it; the button in it is there for the keyboard.
_ON_CLICK = """
element.addEventListener('click', event => {
  const row = event.target.closest('tr');
  const button = row && row.querySelector('[data-job]');
  if (button) trigger('click', {job: button.dataset.job});
});
"""


@dataclass
class Judged:
    """The components, and what they do; `followed` is what most of it fills."""

    state: gr.HTML
    stop: gr.Button
    link: gr.Button
    delete: gr.Button
    prompts: gr.HTML
    view: ReportView
    verdict: VerdictView
    listing: gr.HTML
    deleted: Deleted
    job_id: gr.Textbox
    """What is followed, kept by the page itself: empty for a report that a model came with."""
    drawn: gr.State
    """The fingerprint of what is drawn, so that a look that finds nothing new changes nothing."""
    clock: gr.HTML
    """On while something is judged."""

    @property
    def seen(self) -> list[Any]:
        """The inputs of `look`."""
        return [self.job_id, self.drawn]

    @property
    def followed(self) -> list[Any]:
        around = [self.clock, self.state, self.stop, self.delete, self.prompts, self.listing]
        return [*self.seen, *around, *self.view.outputs, *self.verdict.outputs]

    # ---- what is shown ----

    def look(self, job_id: str | None, drawn: str, request: gr.Request) -> Any:
        """What is followed again, where its folder changed; once it is gone, that it is."""
        if not job_id:
            return gr.skip()
        visitor = visitor_of(request)
        try:
            return self.shown(visitor.job(job_id), visitor, drawn)
        except RunError:
            return self.said(tag("div", text.JOB_GONE, class_="ba-note"), visitor)

    def shown(self, job: Run, visitor: Visitor, drawn: str = "") -> Any:
        """A job as it is now, unless it is drawn like that already."""
        now = f"{run_view.fingerprint(job)} {run_view.queue_place(job) if job.state() == 'queued' else ''}"
        if now == drawn:
            return gr.skip()
        state = job.state()
        is_over = state not in ACTIVE
        listed = _listing(visitor) if is_over or not drawn else gr.skip()
        if state == "finished":
            came = self._came(job, visitor)
        else:
            came = [*self.view.clear(), *self.verdict.clear()] if is_over or not drawn else self._unchanged()
        return [
            job.id,
            now,
            set_to(not is_over),
            _state(job, visitor),
            gr.Button(visible=not is_over),
            gr.Button(visible=is_over),
            "" if is_over else verdicts.prompts(read_prompts(job)),
            listed,
            *came,
        ]

    def said(self, said: Markup | str, visitor: Visitor, report: list[Any] | None = None) -> list[Any]:
        """No job, but a sentence, and a report of the model's own where there is one."""
        hidden = gr.Button(visible=False)
        shown = self.view.clear() if report is None else report
        around = [set_to(False), said, hidden, hidden, "", _listing(visitor)]
        return ["", "", *around, *shown, *self.verdict.clear()]

    def reading(self) -> list[Any]:
        """What was asked for is looked at."""
        bar = progress(text.READING_ROWS, 0, 0)
        unchanged = [gr.skip()] * len(self.seen)
        around = [gr.skip(), bar, gr.skip(), gr.Button(visible=False), "", gr.skip()]
        return [*unchanged, *around, *self.view.clear(), *self.verdict.clear()]

    def refused(self, said: Markup | str) -> list[Any]:
        """Why it is not judged, in place of its progress."""
        return [*[gr.skip()] * 3, said, *[gr.skip()] * 4, *self._unchanged()]

    def asked(self, ask: Callable[[], Run], visitor: Visitor) -> Iterator[Any]:
        """What is put on the page while something is asked for, and once it is.

        Raises:
            UserError: what `ask` raises, but for problems of rows, which are shown.
        """
        yield self.reading()
        try:
            yield self.shown(ask(), visitor)
        except DataError as error:
            yield self.refused(problems(error, visitor))
        except Exception:  # whatever it is, nothing is being done
            yield self.refused("")
            raise

    def going_on(self, job_id: str | None, visitor: Visitor) -> Run | None:
        """What is followed, while it goes on; where nothing is, the newest of this visitor's that does."""
        if job_id:
            try:
                job = visitor.job(job_id)
            except RunError:
                return None
            return job if job.state() in ACTIVE else None
        return next((job for job in visitor.jobs(JUDGING) if job.state() in ACTIVE), None)

    # ---- what a person does ----

    @toasts
    def open(self, event: gr.EventData, request: gr.Request) -> Any:
        """What was clicked in the list."""
        visitor = visitor_of(request)
        return self.shown(visitor.job(clicked(event, "job")), visitor)

    @toasts
    def end(self, job_id: str | None, drawn: str, request: gr.Request) -> Any:
        """Ask what is followed to stop, and show that it will."""
        from finetuning.runs.launch import cancel

        if job_id:
            cancel(visitor_of(request).job(job_id))
        return self.look(job_id, drawn, request)

    @toasts
    def throw_away(self, job_id: str | None, request: gr.Request) -> list[Any]:
        """Move what is shown to the trash."""
        from finetuning.runs.launch import trash

        visitor = visitor_of(request)
        job = visitor.job(job_id)
        called = text.REPORT_ON.format(what=_title(job))
        trash(job)
        return [*self.deleted.of(job.id, called), *self.said("", visitor)]

    @toasts
    def take_back(self, job_id: str | None, request: gr.Request) -> list[Any]:
        """Take it out of the trash, and show it again."""
        visitor = visitor_of(request)
        return [*self.deleted.nothing(), *self.shown(visitor.restore(job_id), visitor)]

    # ---- parts ----

    def _came(self, job: Run, visitor: Visitor) -> list[Any]:
        """The report of a job that has finished, in its view, and nothing in the other."""
        if kind_of(job) == EVALUATION:
            key = asked_of(job, Evaluation).model
            return [*self.view.draw(job.evaluation, key, visitor), *self.verdict.clear()]
        return [*self.view.clear(), *self.verdict.draw(job.evaluation, visitor)]

    def _unchanged(self) -> list[Any]:
        return [gr.skip()] * (len(self.view.outputs) + len(self.verdict.outputs))


def build_judged() -> Judged:
    """Lay the components out and connect them."""
    state = gr.HTML(elem_id="evaluate-progress", elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions"):
        stop = gr.Button("Stop", scale=0, visible=False, elem_id="evaluate-stop")
        delete = gr.Button("Delete", scale=0, visible=False, elem_id="evaluate-delete")
        link = gr.Button(text.COPY_LINK, scale=0, elem_id="evaluate-link")
    deleted = build_deleted("evaluate")
    prompts = gr.HTML(elem_id="any-prompts", elem_classes="ba-plain")
    view = build_report_view("evaluate")
    verdict = build_verdict_view("any")
    listing = gr.HTML(elem_id="evaluate-listing", elem_classes="ba-plain", js_on_load=_ON_CLICK)
    tab = Judged(
        state, stop, link, delete, prompts, view, verdict, listing, deleted, run_view.id_box("evaluate-job"),
        gr.State(""), build_clock(POLL_S),
    )  # fmt: skip
    tab.clock.click(tab.look, tab.seen, tab.followed, **QUICK)
    tab.stop.click(tab.end, tab.seen, tab.followed, **ACT)
    tab.listing.click(tab.open, None, tab.followed, **ACT)
    with_undo = [*tab.deleted.outputs, *tab.followed]
    tab.delete.click(tab.throw_away, tab.job_id, with_undo, **ACT)
    tab.deleted.undo.click(tab.take_back, tab.deleted.run_id, with_undo, **ACT)
    return tab


# ---- drawing -----------------------------------------------------------------------------------------------


def _asked(job: Run) -> Evaluation | AnyModels:
    return asked_of(job, Evaluation) if kind_of(job) == EVALUATION else asked_of(job, AnyModels)


def _title(job: Run) -> str:
    try:
        return _asked(job).title
    except RunError:
        return job.id


def _state(job: Run, visitor: Visitor) -> Markup:
    """What is judged, and how far that is."""
    try:
        asked, status = _asked(job), job.status()
    except RunError as error:
        return tag("div", visitor.shown(str(error)), class_="ba-note")
    what = tag("div", tag("span", asked.title, class_="ba-strong"), f" · {rows_said(asked)}")
    if status.state == "finished":
        when = time.strftime("%d %b %H:%M", time.localtime(status.ended or status.created))
        return tag("div", what, tag("div", f"Measured {when}, in {run_view.minutes(status)}.", class_="ba-note"))
    stopped = tag("div", text.STOPPED_HERE, class_="ba-note") if status.state == "cancelled" else None
    return tag("div", what, run_view.state_line(job, visitor, with_id=False), stopped, role="status")


def _listing(visitor: Visitor) -> Markup:
    """What was judged here, newest first, folded; nothing where nothing was."""
    jobs = visitor.jobs(JUDGING)
    if not jobs:
        return Markup("")
    headers = ["judged", "rows", "state", "what came out", "when"]
    drawn = table(headers, map(_row, jobs[:LISTED]), class_="ba-table ba-rows", label=text.JUDGED_BEFORE)
    return fold(f"{text.JUDGED_BEFORE} ({len(jobs):,})", drawn)


def _row(job: Run) -> list[Child]:
    try:
        asked, status = _asked(job), job.status()
    except RunError:
        name = tag("button", job.id, data_job=job.id, type="button")
        return [name, "", run_view.state_chip("damaged"), "", ""]
    came = reports.primary_score if isinstance(asked, Evaluation) else verdicts.headline_in
    return [
        tag("button", asked.title, data_job=job.id, type="button"),
        rows_said(asked),
        run_view.state_chip(status.state),
        came(job.evaluation),
        time.strftime("%d %b %H:%M", time.localtime(status.created)),
    ]

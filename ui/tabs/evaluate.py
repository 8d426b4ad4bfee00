"""The Evaluate tab: any tuned model on any test set, base against tuned."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS
from finetuning.limits import Limits
from models import libraries
from plumbing.errors import DataError, UserError
from ui.drawing import reports, text
from ui.drawing.markup import counted, progress, tag
from ui.server import scratch
from ui.server.choices import Choice, find, options, place_of, places, shipped
from ui.server.models_in_use import Line, share_cores, short_name
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import data_form
from ui.tabs.data_form import Chosen, DataForm
from ui.tabs.events import ACT, QUICK, Updates
from ui.tabs.fields import read_whole_or_all, whole_or_all
from ui.tabs.report_view import ReportView, Shown, build_report_view

TIMED_S = 3.0
"""So long a part has to have gone on before it is said how long the rest of it takes."""
ROWS_LABEL = "Test rows"


@dataclass
class Evaluate:
    """The tab's components."""

    task: gr.Radio
    model: gr.Dropdown
    forms: dict[str, DataForm]
    groups: dict[str, gr.Column]
    rows: gr.Textbox
    few_shot: gr.Checkbox
    forgetting: gr.Checkbox
    run: gr.Button
    progress: gr.HTML
    view: ReportView
    busy: set[str] = field(default_factory=set)
    """The open pages whose evaluation is going on, by their sessions."""

    @property
    def chosen(self) -> list[Any]:
        """The inputs of `show_own`."""
        return [self.model, self.view.shown]

    @property
    def drawn(self) -> list[Any]:
        """The outputs of `show_own` and `evaluate`."""
        return [self.progress, *self.view.outputs]

    def change_task(self, task: str, request: gr.Request) -> list[Any]:
        """Another task has other models and another form."""
        found = options(visitor_of(request), task)
        groups = [gr.Column(visible=name == task) for name in self.groups]
        return [gr.Dropdown(choices=found, value=found[0][1] if found else None), *groups]

    def name_columns(self, key: str | None, request: gr.Request) -> Updates:
        """The columns of other rows are called what the chosen model's task calls them."""
        form = self.forms[text.OWN]
        try:
            task = find(key, visitor_of(request)).task if key else None
        except UserError:  # which is said when it is evaluated
            task = None
        return form.named_for(task) if task and place_of(task) == text.OWN else gr.skip()

    def refresh(self, task: str, key: str | None, request: gr.Request) -> Any:
        """Runs that finished meanwhile; the choice stays."""
        found = options(visitor_of(request), task)
        keys = [known for _, known in found]
        return gr.Dropdown(choices=found, value=key if key in keys else (keys[0] if keys else None))

    def show_own(self, key: str | None, shown: Shown | None, request: gr.Request) -> Any:
        """The report that the chosen model came with, unless one of it is there already, or is being made."""
        if request.session_hash in self.busy or (shown is not None and shown.key == key):
            return gr.skip()
        if key is None:
            return ["", *self.view.clear()]
        visitor = visitor_of(request)
        try:
            choice = find(key, visitor)
        except UserError as error:  # such as of a run that was deleted
            return [data_form.problems(error, visitor), *self.view.clear()]
        report = reports.report_of(choice.evaluation)
        said = text.OWN_REPORT.format(rows=report.n) if report else text.NO_OWN_REPORT
        return [tag("div", said, class_="ba-note"), *self.view.draw(choice.evaluation, choice.key, visitor)]

    @toasts
    def evaluate(
        self,
        task: str,
        key: str | None,
        rows: str | None,
        few_shot: bool,
        forgetting: bool,
        request: gr.Request,
        *values: Any,
    ) -> Iterator[Any]:
        """Compare on the chosen rows; progress while it lasts, then the report."""
        visitor = visitor_of(request)
        choice = find(key, visitor)
        if place_of(choice.task) != task:
            raise UserError("This model is for another task", got=choice.label, fix="Choose a model again.")
        names = list(self.forms)
        each = len(self.forms[task].inputs)
        start = names.index(task) * each
        chosen = data_form.read(choice.task, *values[start : start + each])
        if chosen is None:
            raise DataError("No test set is chosen", fix="Upload a file, or write the name of a data set.")
        if chosen.source != data_form.OWN:
            visitor.check_source(chosen.source)
        examples = choice.task.few_shot if few_shot else 0
        work = _Work(choice, chosen, _row_count(rows, visitor), examples, bool(forgetting), visitor)
        page = request.session_hash or ""
        self.busy.add(page)
        try:  # ends also where whoever asked has gone
            yield from self._evaluate(work, choice, visitor)
        finally:
            self.busy.discard(page)

    def _evaluate(self, work: _Work, choice: Choice, visitor: Visitor) -> Iterator[Any]:
        unchanged = [gr.skip()] * len(self.view.outputs)
        yield ["", *self.view.clear()]
        left = TimeLeft()
        try:
            for what, done, total in _in_turn(work, visitor):
                said = counted(what, done, total) + left.said(what, done, total, time.monotonic())
                yield [progress(said, done, total), *unchanged]
        except DataError as error:
            yield [data_form.problems(error, visitor), *unchanged]
            return
        except Exception:  # whatever it is, nothing is being done any more
            yield ["", *unchanged]
            raise
        yield ["", *self.view.draw(work.folder, choice.key, visitor)]


def _in_turn(work: _Work, visitor: Visitor) -> Iterator[tuple[str, int, int]]:
    """(what, done, total) of `work`, which waits for those of earlier visitors."""
    with _line.place(visitor.limits.evaluations_waiting if visitor.limits else None) as place:
        for ahead in _line.wait(place, threading.Event()):
            if ahead:
                yield f"Waiting: {ahead} evaluation{'s' * (ahead != 1)} before yours", 0, 0
        for state in work.states():
            place.seen = time.monotonic()
            yield state


def _row_count(rows: str | None, visitor: Visitor) -> int | None:
    """How many test rows; None for all of them. A stranger who asks for all gets as many as there may be."""
    wanted = read_whole_or_all(rows, ROWS_LABEL)
    most = visitor.limits.test_rows if visitor.limits else None
    if wanted and most and wanted > most:
        raise UserError(f"This public page evaluates on up to {most:,} rows", got=wanted, fix=f"Write {most}.")
    return wanted or most


class TimeLeft:
    """How long the part that is being worked on will still take, by how fast it has gone so far."""

    def __init__(self) -> None:
        self._what = ""
        self._begun = (0.0, 0)

    def said(self, what: str, done: int, total: int, now: float) -> str:
        """` · about 40 s left`, or nothing while that is not known.

        Args:
            what: is being done; of another thing nothing is known yet.
            done: of it.
            total: of it; 0 where it is not known.
            now: in seconds, from any start.
        """
        if what != self._what or done < self._begun[1]:
            self._what, self._begun = what, (now, done)
        begun, first = self._begun
        if total <= done or done <= first or now - begun < TIMED_S:
            return ""
        left = (total - done) * (now - begun) / (done - first)
        return f" · about {left:.0f} s left" if left < 90 else f" · about {left / 60:.0f} min left"


_line = Line()
"""Whose comparison is next."""


class _AbandonedError(Exception):
    """Whoever asked for the comparison has gone."""


class _Work:
    """One comparison in a thread of its own, which tells how far it is, and ends when nobody listens any more."""

    working = threading.Lock()
    """Held by the thread: one comparison at a time, whatever became of the page that asked for the one before."""

    def __init__(
        self, choice: Choice, chosen: Chosen, rows: int | None, few_shot: int, forgetting: bool, visitor: Visitor
    ) -> None:
        self.folder = scratch.new_folder()
        self._choice, self._chosen, self._rows, self._visitor = choice, chosen, rows, visitor
        self._few_shot, self._forgetting = few_shot, forgetting
        self._news: queue.Queue[tuple[str, int, int] | Exception | None] = queue.Queue()
        self._abandoned = threading.Event()
        self._ends = math.inf

    def states(self) -> Iterator[tuple[str, int, int]]:
        """(what, done, total) until it is done; raises what the comparison raised."""
        threading.Thread(target=self._work, name="evaluate", daemon=True).start()
        yield f"Reading the rows, loading {short_name(self._choice.base)} …", 0, 0
        try:
            while (news := self._news.get()) is not None:
                if isinstance(news, Exception):
                    raise news
                yield news
        finally:
            self._abandoned.set()

    def _tell(self, what: str, done: int, total: int) -> None:
        if self._abandoned.is_set():
            raise _AbandonedError
        if time.monotonic() > self._ends:
            raise UserError("This evaluation takes longer than this public page allows", fix="Use fewer rows.")
        self._news.put((what, done, total))

    def _work(self) -> None:
        try:
            with self.working:
                self._compare()
        except Exception as error:
            self._news.put(error)
        else:
            self._news.put(None)

    def _compare(self) -> None:
        libraries.ready()
        from eval.report.folder import save
        from finetuning.evaluation import evaluate_adapter
        from finetuning.judged_rows import choose_rows

        self._tell("Reading the rows", 0, 0)
        if limits := self._visitor.limits:
            self._ends = time.monotonic() + 60 * limits.evaluation_minutes
        task, chosen = self._choice.task, self._chosen
        judged = choose_rows(
            self._choice.folder,
            None if chosen.source == data_form.OWN else chosen.source,
            columns=chosen.columns,
            labels=chosen.labels,
            skip_empty=chosen.skip_empty,
            rows=self._rows,
            check=lambda rows: self._visitor.check_rows({"test": rows}, task),
        )
        share_cores()
        result = evaluate_adapter(
            self._choice.folder,
            judged,
            few_shot=self._few_shot,
            forgetting=self._forgetting,
            on_progress=self._tell,
        )
        save(result.report, result.rows, self.folder)


def build_evaluate(limits: Limits | None = None) -> Evaluate:
    """Lay the tab out and connect it."""
    hub_allowed = limits is None or limits.hub
    first, *_ = STARTING_POINTS
    found = shipped(first)
    gr.HTML(tag("div", text.EVALUATE_INTRO, class_="ba-note"), elem_classes="ba-plain")
    with gr.Row():
        task = gr.Radio(
            places(),
            value=first,
            label="Task",
            elem_id="evaluate-task",
            min_width=450,
        )
        model = gr.Dropdown(
            found,
            value=found[0][1] if found else None,
            label="Tuned model",
            elem_id="evaluate-model",
            min_width=280,
        )
        most = limits.test_rows if limits else None
        rows = whole_or_all(
            None, label=ROWS_LABEL, most=most, info=text.FEWER_ROWS, elem_id="evaluate-rows", min_width=120
        )
    forms, groups = {}, {}
    gr.HTML(tag("div", "Test set", class_="ba-small"), elem_classes="ba-plain")
    for _, name in places():
        known = STARTING_POINTS.get(name)
        corpora = data_form.corpora_of(known) if known else []
        with gr.Column(visible=name == first) as group:
            forms[name] = data_form.build_data_form(
                f"evaluate-{name}", task=known, corpora=corpora, hub_allowed=hub_allowed, own=True
            )
        groups[name] = group
    with gr.Row(elem_classes="ba-checks"):
        few_shot = gr.Checkbox(
            False, label=text.FEW_SHOT, container=False, min_width=320, elem_id="evaluate-few-shot"
        )
        forgetting = gr.Checkbox(
            False, label=text.FORGETTING, container=False, min_width=320, elem_id="evaluate-forgetting"
        )
    gr.HTML(tag("div", text.LONGER, class_="ba-note"), elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions"):
        run = gr.Button("Evaluate", variant="primary", scale=0, elem_id="evaluate-run")
    bar = gr.HTML(elem_id="evaluate-progress", elem_classes="ba-plain")
    view = build_report_view("evaluate")
    tab = Evaluate(task, model, forms, groups, rows, few_shot, forgetting, run, bar, view)
    _connect(tab)
    return tab


def _connect(tab: Evaluate) -> None:
    tab.task.input(tab.change_task, tab.task, [tab.model, *tab.groups.values()], **QUICK).then(
        tab.show_own, tab.chosen, tab.drawn, **ACT
    )
    tab.model.input(tab.show_own, tab.chosen, tab.drawn, **ACT)
    own = tab.forms[text.OWN]
    called = [own.input_column, own.target_column, own.labels]
    tab.model.change(tab.name_columns, tab.model, called, **QUICK)
    for form in tab.forms.values():
        form.kind.input(data_form.visible_parts, form.kind, form.parts, **QUICK)
        form.file.upload(_show_columns, form.file, form.reading, **QUICK)
    inputs: list[Any] = [tab.task, tab.model, tab.rows, tab.few_shot, tab.forgetting]
    for form in tab.forms.values():
        inputs += form.inputs
    tab.run.click(
        tab.evaluate,
        inputs,
        tab.drawn,
        concurrency_limit=None,  # one at a time, and who waits for it, is up to `_line`
        show_progress="hidden",
        api_visibility="private",
    )


def _show_columns(file: str | None) -> list[Any]:
    """An uploaded file's columns, so that others than the guessed ones can be chosen."""
    columns = data_form.columns_of(Chosen(f"file:{file}", None, None)) if file else []
    return data_form.guessed(bool(file), columns)

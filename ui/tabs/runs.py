"""The Runs tab: every run in a table, newest first, a page at a time; a click opens one, ticks compare several.

A damaged run does not hide the others, nor does one that is deleted while somebody looks at it. Only the runs of
the page that is shown are read, and a look reads no more than when their files changed.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.specs import named_spec
from finetuning.recipe import Recipe
from finetuning.runs.folder import ACTIVE, MOST_NAMED, RESUMABLE, Run, Status
from finetuning.side_by_side import MOST, compare_runs
from plumbing.errors import RunError, UserError
from ui.drawing import reports, text, votes
from ui.drawing.markup import Child, Markup, clicked, join, table, tag
from ui.drawing.side_by_side import side_by_side
from ui.server.ballots import votes_on
from ui.server.choices import Choice, of_run
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import run_view, take
from ui.tabs.clock import build_clock
from ui.tabs.deleted import Deleted, build_deleted
from ui.tabs.events import ACT, QUICK
from ui.tabs.report_view import ReportView, build_report_view

POLL_S = 3.0
SHOWN = 50
"""Runs on a page of the table."""
_NOT_SHOWN = "not shown"
"""How runs that are ticked are drawn while one of the table is open."""
# A click anywhere in a row opens its run; the button in it is there for the keyboard. A tick is no click.
_JS = """
element.addEventListener('click', event => {
  if (event.target.closest('.ba-tick-cell')) return;
  const row = event.target.closest('tr');
  const button = row && row.querySelector('[data-run]');
  if (button) trigger('click', {run: button.dataset.run});
});
element.addEventListener('change', event => {
  if (!event.target.closest('[data-tick]')) return;
  const ticked = [...element.querySelectorAll('[data-tick]:checked')].slice(0, MOST);
  trigger('input', Object.fromEntries(ticked.map((box, place) => [`run${place}`, box.dataset.tick])));
});
""".replace("MOST", str(MOST + 1))


@dataclass
class Runs:
    """The tab's components."""

    table: gr.HTML
    pages: gr.Row
    newer: gr.Button
    older: gr.Button
    deleted: Deleted
    beside: gr.Column
    """Around what compares several runs."""
    compared: gr.HTML
    link: gr.Button
    clear: gr.Button
    detail: gr.Column
    title: gr.HTML
    state: gr.HTML
    votes: gr.HTML
    loss: gr.HTML
    take: gr.HTML
    view: ReportView
    recipe: gr.HTML
    log: gr.HTML
    compare: gr.Button
    link_run: gr.Button
    cancel: gr.Button
    resume: gr.Button
    delete: gr.Button
    name: gr.Textbox
    listed: gr.State
    page: gr.State
    """Which page of the table is shown, from 0."""
    run_id: gr.Textbox
    """The run that is open; like the next, kept by the page itself."""
    ticked: gr.Textbox
    """The ids of the runs that are ticked, with a space between."""
    drawn: gr.State
    drawn_beside: gr.State
    clock: gr.HTML
    """Strikes while the tab is looked at."""

    # ---- looking ----

    def look(
        self,
        listed: str,
        page: int,
        run_id: str | None,
        drawn: str,
        ticked: str | None,
        drawn_beside: str,
        request: gr.Request,
    ) -> Any:
        """Whatever changed since it was drawn: the table, the run that is open, those that are compared."""
        visitor = visitor_of(request)
        parts = [
            self._listing(listed, page, ticked, visitor),
            self._again(run_id, drawn, visitor),
            self._beside(ticked, drawn_beside, visitor),
        ]
        return gr.skip() if all(each is None for each in parts) else self._all(*parts)

    def turn(self, page: int, ticked: str | None, event: gr.EventData, request: gr.Request) -> Any:
        """Newer runs or older ones, by the button that was clicked."""
        step = -1 if event.target is self.newer else 1
        return self._listing("", max(0, page + step), ticked, visitor_of(request))

    def show(self, run: Run, ticked: str | None, page: int, visitor: Visitor) -> list[Any]:
        """The table, and a run open below it; nothing is compared."""
        return self._all(
            self._listing("", page, ticked, visitor), self._open(run, visitor), self._nothing_beside(ticked)
        )

    def show_beside(self, ticked: str, page: int, visitor: Visitor) -> list[Any]:
        """The table, and several runs side by side below it; none is open."""
        return self._all(
            self._listing("", page, ticked, visitor), self._closed(), self._beside(ticked, None, visitor)
        )

    # ---- what a person does ----

    @toasts
    def open(self, ticked: str | None, event: gr.EventData, request: gr.Request) -> list[Any]:
        """The run that was clicked."""
        visitor = visitor_of(request)
        run = visitor.run(clicked(event, "run"))
        return [*self._open(run, visitor), *self._nothing_beside(ticked)]

    @toasts
    def tick(self, ticked: str | None, page: int, event: gr.EventData, request: gr.Request) -> list[Any]:
        """The runs that are ticked on this page of the table, and those that were on others."""
        visitor = visitor_of(request)
        before = (ticked or "").split()
        here = [run.id for run in visitor.runs()[page * SHOWN : (page + 1) * SHOWN]]
        now = {clicked(event, f"run{place}") for place in range(MOST + 1)}
        left = [each for each in before if each not in here or each in now]
        chosen = [*left, *(each for each in here if each in now and each not in left)]
        if len(chosen) > MOST:
            gr.Info(text.MOST_TICKED.format(most=MOST), title=text.REFUSED)
            return self.show_beside(" ".join(chosen[:MOST]), page, visitor)
        # The table is as it was clicked: drawn again, it would take back a tick that comes meanwhile.
        return self._all(None, self._closed(), self._beside(" ".join(chosen), None, visitor))

    def untick(self, page: int, request: gr.Request) -> list[Any]:
        """Compare none."""
        return self.show_beside("", page, visitor_of(request))

    @toasts
    def throw_away(self, run_id: str | None, ticked: str | None, page: int, request: gr.Request) -> list[Any]:
        """Move the open run to the trash."""
        from finetuning.runs.launch import trash

        visitor = visitor_of(request)
        run = visitor.run(run_id)
        called = _called(run)
        trash(run)
        left = " ".join(each for each in (ticked or "").split() if each != run.id)
        shown = self._all(self._listing("", page, left, visitor), self._closed(), self._nothing_beside(left))
        return [*self.deleted.of(run.id, called), *shown]

    @toasts
    def take_back(self, run_id: str | None, ticked: str | None, page: int, request: gr.Request) -> list[Any]:
        """Take it out of the trash, and open it again."""
        visitor = visitor_of(request)
        return [*self.deleted.nothing(), *self.show(visitor.restore(run_id), ticked, page, visitor)]

    @toasts
    def rename(
        self, name: str | None, run_id: str | None, ticked: str | None, page: int, request: gr.Request
    ) -> list[Any]:
        """Call the open run so from now on."""
        visitor = visitor_of(request)
        run = visitor.run(run_id)
        run.rename(name or "")
        return self.show(run, ticked, page, visitor)

    # ---- parts: what fills `listing`, `followed` and `comparing`, or None where nothing is new ----

    def _listing(self, listed: str, page: int, ticked: str | None, visitor: Visitor) -> list[Any] | None:
        runs = visitor.runs()
        page = min(page, _last_page(runs))
        shown = runs[page * SHOWN : (page + 1) * SHOWN]
        names = " ".join(run.called for run in shown)
        now = f"{len(runs)} {page} {names} " + " ".join(map(run_view.fingerprint, shown))
        if now == listed:
            return None
        several = gr.Row(visible=len(runs) > SHOWN)
        newer, older = gr.Button(interactive=page > 0), gr.Button(interactive=page < _last_page(runs))
        return [now, page, run_table(runs, page, (ticked or "").split()), several, newer, older]

    def _again(self, run_id: str | None, drawn: str, visitor: Visitor) -> list[Any] | None:
        if not run_id:
            return None
        try:
            run = visitor.run(run_id)
        except RunError:
            return self._closed()
        return None if _seen(run, visitor) == drawn else self._open(run, visitor, again=True)

    def _beside(self, ticked: str | None, drawn: str | None, visitor: Visitor) -> list[Any] | None:
        if drawn == _NOT_SHOWN:
            return None
        runs = []
        for run_id in (ticked or "").split():
            with contextlib.suppress(RunError):  # it was deleted
                runs.append(visitor.run(run_id))
        chosen = " ".join(run.id for run in runs)
        now = " ".join([chosen, *(f"{run.called} {run_view.fingerprint(run)}" for run in runs)])
        if now == drawn:
            return None
        if len(runs) < 2:
            said = tag("div", text.TICK_ONE_MORE, class_="ba-note", role="status") if runs else ""
            only = gr.Button(visible=False)
            return [chosen, now, gr.Column(visible=bool(runs)), said, only]
        try:
            shown: Markup = side_by_side(compare_runs(runs[:MOST]))
        except UserError as error:
            shown = tag("div", visitor.shown(str(error)), class_="ba-note")
        return [chosen, now, gr.Column(visible=True), shown, gr.Button(visible=True)]

    def _nothing_beside(self, ticked: str | None) -> list[Any]:
        return [ticked or "", _NOT_SHOWN, gr.Column(visible=False), "", gr.skip()]

    def _open(self, run: Run, visitor: Visitor, *, again: bool = False) -> list[Any]:
        """`again` lets be what may be written now: the name."""
        state = run.state()
        return [
            run.id,
            _seen(run, visitor),
            gr.Column(visible=True),
            _title(run),
            run_view.state_line(run, visitor, with_id=False),
            _votes(run, visitor),
            run_view.loss(run),
            tag("pre", visitor.shown(_recipe(run)), class_="ba-log ba-upwards"),
            run_view.log(run, visitor),
            gr.skip() if again else run.called,
            gr.Button(visible=of_run(run) is not None),
            gr.Button(visible=state in ACTIVE),
            gr.Button(visible=state in RESUMABLE),
            gr.Button(visible=state not in ACTIVE),
            take.closed(of_run(run)),
            *self.view.draw(run.evaluation, f"run:{run.id}", visitor),
        ]

    def _closed(self) -> list[Any]:
        unchanged = [gr.skip()] * (len(self.followed) - 3)
        return ["", "", gr.Column(visible=False), *unchanged]

    def _all(self, *parts: list[Any] | None) -> list[Any]:
        """The parts one after the other, in the order of `shown`."""
        groups = (self.listing, self.followed, self.comparing)
        return [
            value
            for part, group in zip(parts, groups, strict=True)
            for value in ([gr.skip()] * len(group) if part is None else part)
        ]

    @property
    def listing(self) -> list[Any]:
        return [self.listed, self.page, self.table, self.pages, self.newer, self.older]

    @property
    def followed(self) -> list[Any]:
        shown = [self.title, self.state, self.votes, self.loss, self.recipe, self.log, self.name]
        asked = [self.compare, self.cancel, self.resume, self.delete, self.take]
        return [self.run_id, self.drawn, self.detail, *shown, *asked, *self.view.outputs]

    @property
    def comparing(self) -> list[Any]:
        return [self.ticked, self.drawn_beside, self.beside, self.compared, self.link]

    @property
    def seen(self) -> list[Any]:
        """The inputs of `look`."""
        return [self.listed, self.page, self.run_id, self.drawn, self.ticked, self.drawn_beside]

    @property
    def shown(self) -> list[Any]:
        """The outputs of `look`, and of whatever shows all of the tab."""
        return [*self.listing, *self.followed, *self.comparing]


# ---- drawing -----------------------------------------------------------------------------------------------


def run_table(runs: list[Run], page: int = 0, ticked: list[str] | None = None) -> Markup:
    """A page of the runs, those that are compared ticked; one that cannot be read says so."""
    if not runs:
        return tag("div", text.NO_RUNS, class_="ba-empty-chart")
    headers = ["compare", "run", "data", "state", "base → tuned", "when", "took"]
    shown = runs[page * SHOWN : (page + 1) * SHOWN]
    rows = (_row(run, run.id in (ticked or ())) for run in shown)
    parts = [table(headers, rows, class_="ba-table ba-rows", label="Runs")]
    if len(runs) > SHOWN:
        first = page * SHOWN + 1
        parts.append(tag("div", f"{first:,} to {first + len(shown) - 1:,} of {len(runs):,} runs", class_="ba-note"))
    return tag("div", *parts, class_="ba-stack")


def _last_page(runs: list[Run]) -> int:
    return max(0, len(runs) - 1) // SHOWN


def _row(run: Run, ticked: bool) -> list[Child]:
    called = _called(run)
    tick = tag(
        "input", type="checkbox", data_tick=run.id, aria_label=f"Compare {called}, {run.id[-4:]}",
        checked="" if ticked else None,
    )  # fmt: skip
    name = join([tag("label", tick, class_="ba-tick-cell")])
    button = tag("button", called, data_run=run.id, type="button")
    try:
        recipe, status = run.recipe(), run.status()
    except UserError:
        return [name, button, "", run_view.state_chip("damaged"), "", "", ""]
    return [
        name,
        join([button, tag("div", f"{_how(recipe)} · {run.id[-4:]}", class_="ba-small")]),
        join([named_spec(recipe.data.source), tag("div", _rows(recipe, status), class_="ba-small")]),
        run_view.state_chip(status.state),
        reports.primary_score(run.evaluation),
        time.strftime("%d %b %H:%M", time.localtime(status.created)),
        run_view.minutes(status),
    ]


def _called(run: Run) -> str:
    """What a person has named it, or else what it was made with."""
    if run.called:
        return run.called
    try:
        return run.recipe().title
    except UserError:
        return run.id


def _how(recipe: Recipe) -> str:
    """What tells runs of one title apart: `3 epochs · rank 8 · rate 0.0005`."""
    training, rank = recipe.training, getattr(recipe.strategy, "rank", None)
    length = f"{training.max_steps:,} steps" if training.max_steps else f"{training.epochs:g} epochs"
    parts = [length, f"rank {rank}" if rank else "", f"rate {training.learning_rate:g}"]
    return " · ".join(part for part in parts if part)


def _rows(recipe: Recipe, status: Status) -> str:
    """`512 rows`; nothing before the rows are known."""
    rows = status.facts.get("train_rows") or recipe.data.train_rows
    return f"{rows:,} rows" if isinstance(rows, int) else ""


def _title(run: Run) -> Markup:
    try:
        made = run.recipe().title
    except UserError:
        made = "A damaged run"
    small = run.id if not run.called else f"{made} · {run.id}"
    return tag("div", run.called or made, tag("small", small), class_="ba-run-title")


def _votes(run: Run, visitor: Visitor) -> gr.HTML:
    """What votes in Compare say of what the run has tuned."""
    try:
        choice = of_run(run)
        drawn = votes.line(votes.so_far(votes_on(choice, visitor))) if choice else Markup("")
    except UserError as error:
        drawn = tag("div", visitor.shown(str(error)), class_="ba-note")
    return gr.HTML(value=drawn, visible=bool(drawn))


def _seen(run: Run, visitor: Visitor) -> str:
    """Changes whenever something that is drawn of an open run has changed: of votes the visitor's own on it."""
    votes = 0
    with contextlib.suppress(RunError):  # which is said where votes are drawn
        votes = sum(vote.models.tuned == f"run:{run.id}" for vote in visitor.votes())
    return f"{run_view.fingerprint(run)} {votes} {run.called}"


def _recipe(run: Run) -> str:
    try:
        return (run.folder / "recipe.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"recipe.yaml cannot be read: {error.strerror}"


# ---- laying it out -----------------------------------------------------------------------------------------


def build_runs(*, public: bool) -> Runs:
    """Lay the tab out and connect it."""
    intro = text.RUNS_STRANGER if public else text.RUNS_INTRO
    gr.HTML(tag("div", intro, class_="ba-note"), elem_classes="ba-plain")
    listing = gr.HTML(elem_id="runs-table", elem_classes="ba-plain", js_on_load=_JS)
    with gr.Row(visible=False, elem_classes="ba-actions") as pages:
        newer = gr.Button("Newer", scale=0, size="sm", elem_id="runs-newer")
        older = gr.Button("Older", scale=0, size="sm", elem_id="runs-older")
    deleted = build_deleted("runs")
    with gr.Column(visible=False, elem_id="runs-beside") as beside:
        compared = gr.HTML(elem_id="runs-compared", elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            link = gr.Button(text.COPY_LINK, scale=0, size="sm", elem_id="runs-link-compared")
            clear = gr.Button("Untick all", scale=0, size="sm", elem_id="runs-untick")
    with gr.Column(visible=False, elem_id="runs-detail") as detail:
        title = gr.HTML(elem_classes="ba-plain")
        state = gr.HTML(elem_id="runs-state", elem_classes="ba-plain")
        voted = gr.HTML(visible=False, elem_id="runs-votes", elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            compare = gr.Button("Compare with this run", variant="primary", scale=0, elem_id="runs-compare")
            cancel = gr.Button("Cancel", scale=0, visible=False, elem_id="runs-cancel")
            resume = gr.Button("Resume", scale=0, visible=False, elem_id="runs-resume")
            delete = gr.Button("Delete", scale=0, visible=False, elem_id="runs-delete")
            link_run = gr.Button(text.COPY_LINK, scale=0, elem_id="runs-link")
        name = gr.Textbox(
            label=text.RENAME, max_lines=1, max_length=MOST_NAMED, elem_id="runs-name", elem_classes="ba-narrow"
        )
        taken = take.build_take("runs")
        view = build_report_view("runs")
        loss = gr.HTML(elem_id="runs-loss", elem_classes="ba-plain")
        with gr.Accordion("Recipe", open=False):
            recipe = gr.HTML(elem_id="runs-recipe", elem_classes="ba-plain")
        with gr.Accordion("Log", open=False):
            log = gr.HTML(elem_id="runs-log", elem_classes="ba-plain")
    tab = Runs(
        listing, pages, newer, older, deleted, beside, compared, link, clear, detail, title, state, voted, loss,
        taken, view, recipe, log, compare, link_run, cancel, resume, delete, name, gr.State(""), gr.State(0),
        run_view.id_box("runs-run"), run_view.id_box("runs-ticked"), gr.State(""), gr.State(""),
        build_clock(POLL_S, on=True),
    )  # fmt: skip
    _connect(tab)
    return tab


def _connect(tab: Runs) -> None:
    place = [tab.ticked, tab.page]
    tab.table.click(tab.open, tab.ticked, [*tab.followed, *tab.comparing], **ACT)
    # Every tick is sent: Gradio's "always_last" sends the first one's again, with what that said.
    tab.table.input(tab.tick, place, tab.shown, trigger_mode="multiple", **ACT)
    tab.clear.click(tab.untick, tab.page, tab.shown, **QUICK)
    tab.cancel.click(run_view.cancel, tab.run_id, None, **ACT)
    tab.resume.click(run_view.resume, tab.run_id, None, **ACT)
    tab.name.submit(tab.rename, [tab.name, tab.run_id, *place], tab.shown, **ACT)
    take.connect_take(tab.take, tab.run_id, take.of_run)
    with_undo = [*tab.deleted.outputs, *tab.shown]
    tab.delete.click(tab.throw_away, [tab.run_id, *place], with_undo, **ACT)
    tab.deleted.undo.click(tab.take_back, [tab.deleted.run_id, *place], with_undo, **ACT)
    gr.on([tab.newer.click, tab.older.click], tab.turn, [tab.page, tab.ticked], tab.listing, **QUICK)


def connect_opening(tab: Runs, select: Any) -> None:
    """What changed is looked up when the tab is opened, as well as later."""
    gr.on([select, tab.clock.click], tab.look, tab.seen, tab.shown, **QUICK)


def choice_of(run_id: str | None, visitor: Visitor) -> Choice:
    """The choice of a finished run; a `RunError` if it cannot be compared."""
    choice = of_run(visitor.run(run_id))
    if choice is None:
        raise RunError("This run has no adapter to compare with", got=run_id, fix="Choose a finished run.")
    return choice

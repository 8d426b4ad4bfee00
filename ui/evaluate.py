"""The Evaluate tab: any tuned model on any test set, base against tuned."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from data.errors import DataError, UserError
from data.tasks import TASKS
from ui import data_form, libraries, text
from ui.choices import Choice, find, options
from ui.compare import QUICK
from ui.data_form import Chosen, DataForm
from ui.markup import counted, progress, tag
from ui.models_in_use import share_cores, short_name
from ui.report_view import ReportView, build_report_view
from ui.toast import toasts

ROWS = 40
"""Test rows unless another number is written: enough to see a difference, and a minute or two of work."""
FEW_SHOT_EXAMPLES = {"sentiment": 4, "dialogue": 2}
"""Examples in the base's prompt where some are asked for; a dialogue is long."""


@dataclass
class Evaluate:
    """The tab's components."""

    task: gr.Radio
    model: gr.Dropdown
    forms: dict[str, DataForm]
    groups: dict[str, gr.Column]
    rows: gr.Number
    few_shot: gr.Checkbox
    forgetting: gr.Checkbox
    run: gr.Button
    progress: gr.HTML
    view: ReportView

    def change_task(self, task: str) -> list[Any]:
        """Another task has other models and another form."""
        found = options(TASKS[task].name)
        groups = [gr.Column(visible=name == task) for name in self.groups]
        return [gr.Dropdown(choices=found, value=found[0][1] if found else None), *groups]

    def refresh(self, task: str, key: str | None) -> Any:
        """Runs that finished meanwhile; the choice stays."""
        found = options(TASKS[task].name)
        keys = [known for _, known in found]
        return gr.Dropdown(choices=found, value=key if key in keys else (keys[0] if keys else None))

    @toasts
    def evaluate(
        self, task: str, key: str | None, rows: float | None, few_shot: bool, forgetting: bool, *values: Any
    ) -> Iterator[Any]:
        """Compare on the chosen rows; progress while it lasts, then the report."""
        choice = find(key)
        if choice.task.name != task:
            raise UserError("This model is for another task", got=choice.label, fix="Choose a model again.")
        names = list(self.forms)
        each = len(self.forms[task].inputs)
        start = names.index(task) * each
        chosen = data_form.read(choice.task, *values[start : start + each])
        if chosen is None:
            raise DataError("No test set is chosen", fix="Upload a file, or write the name of a data set.")
        if rows is not None and (rows < 1 or rows != int(rows)):
            raise UserError("The number of test rows is a whole number from 1", got=rows)
        examples = FEW_SHOT_EXAMPLES[choice.task.name] if few_shot else 0
        work = _Work(choice, chosen, int(rows) if rows else None, examples, bool(forgetting))
        unchanged = [gr.skip()] * len(self.view.outputs)
        yield ["", *self.view.clear()]
        try:
            for what, done, total in work.states():
                yield [progress(counted(what, done, total), done, total), *unchanged]
        except DataError as error:
            yield [data_form.problems(error), *unchanged]
            return
        except UserError:
            yield ["", *unchanged]
            raise
        yield ["", *self.view.draw(work.folder, choice.key)]


class _Work:
    """One comparison in a thread of its own, which tells how far it is."""

    def __init__(self, choice: Choice, chosen: Chosen, rows: int | None, few_shot: int, forgetting: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="before-after-"))
        self._choice, self._chosen, self._rows = choice, chosen, rows
        self._few_shot, self._forgetting = few_shot, forgetting
        self._news: queue.Queue[tuple[str, int, int] | Exception | None] = queue.Queue()

    def states(self) -> Iterator[tuple[str, int, int]]:
        """(what, done, total) until it is done; raises what the comparison raised."""
        threading.Thread(target=self._work, name="evaluate", daemon=True).start()
        yield f"Reading the rows, loading {short_name(self._choice.base)} …", 0, 0
        while (news := self._news.get()) is not None:
            if isinstance(news, Exception):
                raise news
            yield news

    def _work(self) -> None:
        libraries.ready()
        from eval.report import save
        from finetuning.evaluation import evaluate_adapter

        try:
            share_cores()
            result = evaluate_adapter(
                self._choice.adapter,
                self._chosen.source,
                test_rows=self._rows,
                columns=self._chosen.columns,
                labels=self._chosen.labels,
                few_shot=self._few_shot,
                forgetting=self._forgetting,
                on_progress=lambda what, done, total: self._news.put((what, done, total)),
            )
            save(result.report, result.rows, self.folder)
        except Exception as error:
            self._news.put(error)
        else:
            self._news.put(None)


def build_evaluate() -> Evaluate:
    """Lay the tab out and connect it."""
    first = "sentiment"
    found = options("sentiment")
    gr.HTML(tag("div", text.EVALUATE_INTRO, class_="ba-note"), elem_classes="ba-plain")
    with gr.Row():
        task = gr.Radio(
            [(known.title, name) for name, known in TASKS.items()],
            value=first,
            label="Task",
            elem_id="evaluate-task",
        )
        model = gr.Dropdown(
            found,
            value=found[0][1] if found else None,
            label="Tuned model",
            elem_id="evaluate-model",
            min_width=280,
        )
        rows = gr.Number(ROWS, label="Test rows (empty: all)", step=1, elem_id="evaluate-rows", min_width=120)
    forms, groups = {}, {}
    gr.HTML(tag("div", "Test set", class_="ba-small"), elem_classes="ba-plain")
    for name, known in TASKS.items():
        with gr.Column(visible=name == first) as group:
            forms[name] = data_form.build_data_form(known, f"evaluate-{name}")
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
    tab.task.input(tab.change_task, tab.task, [tab.model, *tab.groups.values()], **QUICK)
    for form in tab.forms.values():
        form.kind.input(data_form.visible_parts, form.kind, form.parts, **QUICK)
        form.file.upload(_show_columns, form.file, [form.mapping, form.input_column, form.target_column], **QUICK)
    inputs: list[Any] = [tab.task, tab.model, tab.rows, tab.few_shot, tab.forgetting]
    for form in tab.forms.values():
        inputs += form.inputs
    tab.run.click(
        tab.evaluate,
        inputs,
        [tab.progress, *tab.view.outputs],
        concurrency_limit=1,
        concurrency_id="evaluate",
        show_progress="hidden",
        api_visibility="private",
    )


def _show_columns(file: str | None) -> list[Any]:
    """An uploaded file's columns, so that others than the guessed ones can be chosen."""
    columns = data_form.columns_of(Chosen(f"file:{file}", None, None)) if file else []
    choices = [("guessed", data_form.GUESS), *((name, name) for name in columns)]
    dropdown = gr.Dropdown(choices=choices, value=data_form.GUESS)
    return [gr.Row(visible=bool(columns)), dropdown, dropdown]

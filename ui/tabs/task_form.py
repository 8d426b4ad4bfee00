"""Step 1 of what is one's own: what is learned from the rows, proposed and open to change. A form → a task.

What of the two tasks that the page begins with is known from the start comes out of the rows here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from data.proposed_task import own_name
from data.tasks import STARTING_POINTS, TASKS, Task
from data.tasks.own import USUAL, OwnTask
from data.tasks.task import MAX_INSTRUCTION_CHARS
from finetuning.recipe import Recipe, recipe_names
from plumbing.errors import RecipeError
from plumbing.printable import one_line
from ui.drawing import text
from ui.tabs.data_form import GUESS, DataForm

FIRST_KIND = "classification"
OWN_NAME = "own-"
"""How the recipe of a task of one's own is called."""
_TITLE_CHARACTERS = 80


@dataclass
class TaskForm:
    """The components."""

    row: gr.Row
    """Around the others; seen once there are rows to propose them for."""
    what: gr.Dropdown
    """A kind of task, or one that ships."""
    instruction: gr.Textbox
    proposed: gr.Textbox
    """The instruction that was proposed last, kept by the page: what is left as it was changes with the labels."""

    @property
    def inputs(self) -> list[Any]:
        return [self.what, self.instruction, self.proposed]

    def asks(self, given: Mapping[Any, Any]) -> str:
        """The instruction that somebody wrote; empty for the one that follows from the rows."""
        written = (given[self.instruction] or "").strip()
        return "" if written == (given[self.proposed] or "").strip() else written

    def task(self, data: DataForm, given: Mapping[Any, Any]) -> tuple[Task, dict[str, Any] | None]:
        """The task that the form describes, and the settings of a recipe that say so; none of a task that ships.

        Raises:
            RecipeError: there is no such kind of task, or it cannot have such settings.
        """
        if (corpus := of_corpus(given[data.kind])) is not None:
            return corpus, None
        what = given[self.what]
        if what in TASKS:
            return TASKS[what], None
        if what not in USUAL:
            raise RecipeError("There is no such kind of task", got=str(what)[:100], fix="Choose one from the list.")
        source = given[data.file] if given[data.kind] == "file" else given[data.hub]
        own: dict[str, Any] = {"kind": what, "name": own_name(Path(str(source or "own")))}
        asked = self.asks(given) if USUAL[what].target_column else ""  # nothing stands before raw text
        if asked:
            own["instruction"] = asked
        if len(asked) > MAX_INSTRUCTION_CHARS:
            raise RecipeError(
                f"The instruction has more than {MAX_INSTRUCTION_CHARS:,} characters", fix="Shorten it."
            )
        columns = [given[each] for each in (data.also, data.input_column, data.target_column)]
        also, read, answer = (column if column and column != GUESS else None for column in columns)
        if also and read and also != read and what not in ("chat", "text"):
            own |= {"inputs": [also, read]} | ({"target": answer} if answer else {})
        try:
            task = OwnTask.model_validate(own).definition()
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise RecipeError(f"This is no task: {said}", fix="Choose its columns again.") from None
        title = one_line(Path(str(source or "")).stem)[:_TITLE_CHARACTERS] or task.title
        return task, {"task": own, "name": f"{OWN_NAME}{task.name}"[:64], "title": title}

    def shown_for(self, task: Task, given: Mapping[Any, Any], *, ships: bool) -> dict[Any, Any]:
        """Updates once the rows are known: the instruction that follows from them, or what somebody wrote."""
        follows = {} if self.asks(given) or ships else {self.instruction: task.instruction}
        answers = bool(task.target_column)
        hint = gr.update(placeholder=text.INSTRUCTION_HINTS[task.kind], visible=answers and not ships) | (
            {"value": task.instruction} if follows else {}
        )
        return {self.row: gr.Row(visible=True), self.instruction: hint} | (
            {self.proposed: task.instruction} if follows else {}
        )


def build_task_form(name: str) -> TaskForm:
    """Lay the components out."""
    with gr.Row(visible=False) as row:
        what = gr.Dropdown(what_options(), value=FIRST_KIND, label=text.WHAT_LABEL, elem_id=f"{name}-what", scale=1)
        instruction = gr.Textbox(
            "", label=text.INSTRUCTION, placeholder=text.INSTRUCTION_HINTS[FIRST_KIND], max_lines=4, scale=2,
            max_length=MAX_INSTRUCTION_CHARS, elem_id=f"{name}-instruction",
        )  # fmt: skip
    proposed = gr.Textbox("", visible="hidden", show_label=False, container=False, elem_id=f"{name}-proposed")
    return TaskForm(row, what, instruction, proposed)


def what_options() -> list[tuple[str, str]]:
    """(label, value) of what can be learned from rows of one's own."""
    shipped = [
        (text.AS_SHIPPED.format(title=task.title), name)
        for name, task in TASKS.items()
        if task.recipe in recipe_names()
    ]
    return [*((said, kind) for kind, said in text.KINDS.items()), *shipped]


def other_corpora() -> list[tuple[str, str]]:
    """(label, source) of the bundled corpora of the tasks that are no starting point."""
    others = [task for name, task in TASKS.items() if name not in STARTING_POINTS]
    known = [task for task in others if task.corpus and task.recipe in recipe_names()]
    return [(text.TRY.format(title=task.title), task.corpus) for task in known]


def place_of(recipe: Recipe) -> str:
    """The starting point of Train that has a recipe."""
    own = recipe.name.startswith(OWN_NAME) or not isinstance(recipe.task, str) or recipe.task not in STARTING_POINTS
    return text.OWN if own else str(recipe.task)


def of_corpus(source: str | None) -> Task | None:
    """The task of a bundled corpus; None for any other source."""
    return next((task for task in TASKS.values() if task.corpus and task.corpus == source), None)


def recipe_of(task: Task) -> str:
    """The recipe that gives a task its model and settings, as far as it ships."""
    name = task.recipe or USUAL[task.kind].recipe
    return name if name in recipe_names() else USUAL["classification"].recipe

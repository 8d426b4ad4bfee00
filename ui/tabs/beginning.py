"""What a form of Train begins with once its rows are chosen: of a known task its columns, of one's own everything.

The proposal for a file is `finetuning.proposal`'s, the same as on the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS, TASKS, Task
from data.tasks.own import USUAL
from finetuning.recipe import Recipe, load_recipe
from models import libraries
from plumbing.printable import one_line
from ui.server.rows import ROWS
from ui.server.visitors import Visitor
from ui.tabs import data_form
from ui.tabs.data_form import GUESS, DataForm
from ui.tabs.task_form import TaskForm, of_corpus, recipe_of


@dataclass
class Beginning:
    """What the form says now, and what else there is to say."""

    given: dict[Any, Any]
    """Component → value, as the page has it once it is updated."""
    updates: dict[Any, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    """The recipe whose settings the form gets; None where they stay."""
    why: str = ""
    """Why this is what can be learned."""
    said: tuple[str, ...] = ()
    """What the rows are."""


def known_task(name: str) -> Task | None:
    """The task of a starting point; None where it comes out of the rows."""
    return STARTING_POINTS.get(name)


def begin(
    form: TaskForm | None, data: DataForm, given: dict[Any, Any], visitor: Visitor, *, what: str | None = None
) -> Beginning:
    """The beginning for the rows that the form names; `what` is to be learned, where somebody has said so.

    Raises:
        UserError: the file cannot be read, or what can be learned from it is not clear.
    """
    begun = Beginning(given | data_form.without_columns(data))
    if form is None:
        return begun
    if corpus := of_corpus(given[data.kind]):
        return _chosen(begun, form, corpus.name, load_recipe(corpus.recipe))
    if what in TASKS:
        return _chosen(begun, form, what, load_recipe(recipe_of(TASKS[what])))
    if given[data.kind] == "file" and given[data.file]:
        return _of_file(begun, form, data, visitor, what)
    if what in USUAL:
        return _chosen(begun, form, what, load_recipe(recipe_of(USUAL[what])))
    return begun


def _chosen(begun: Beginning, form: TaskForm, what: str, recipe: Recipe) -> Beginning:
    begun.recipe = recipe
    begun.given[form.what] = what
    begun.updates[form.what] = gr.update(value=what)
    return begun


def _of_file(begun: Beginning, form: TaskForm, data: DataForm, visitor: Visitor, what: str | None) -> Beginning:
    """What a file proposes; its rows are remembered, so that they are not read again."""
    libraries.ready()
    from finetuning.proposal import propose

    found = propose(begun.given[data.file], settings=[f"task.kind={what}"] if what else ())
    own = not isinstance(found.recipe.task, str)
    begun.why, begun.said = found.why, (found.form.said,)
    recipe = found.recipe.model_copy(update={"name": found.base})
    _chosen(begun, form, found.task.kind if own else found.task.name, recipe)
    if (divided := found.divided) is None:
        return begun
    inputs = divided.mapping.inputs
    begun.given[data.input_column] = inputs[-1]
    begun.given[data.target_column] = divided.mapping.target or GUESS
    if data.also is not None:
        also = inputs[0] if len(inputs) > 1 else GUESS
        begun.given[data.also] = also
        begun.updates[data.also] = gr.update(value=also, choices=[(one_line(also), also)])
    task = form.task(data, begun.given)[0]
    chosen = data_form.read(task, *(begun.given[each] for each in data.inputs))
    if chosen is not None and len(inputs) == len(task.input_columns) == 1:
        ROWS.open(
            chosen.source, task, columns=chosen.columns, labels=chosen.labels, skip_empty=chosen.skip_empty,
            besides=found.recipe.way.besides if found.recipe else (), read=divided.opened,
        )  # fmt: skip
    return begun

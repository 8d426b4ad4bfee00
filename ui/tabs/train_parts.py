"""The components of the Train tab, and what the form that they make says: a task, rows, a recipe.

One form for every starting point: a task that the page begins with, or one's own, which comes out of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.sources import Opened
from data.tasks import Task
from finetuning.limits import Limits
from finetuning.recipe import Recipe
from plumbing.errors import DataError, RecipeError, RunError, UserError
from ui.server.rows import ROWS
from ui.server.visitors import Visitor
from ui.tabs import data_form, train_form
from ui.tabs.beginning import known_task
from ui.tabs.data_form import Chosen, DataForm
from ui.tabs.follow import Follow
from ui.tabs.sizes import Counts
from ui.tabs.task_form import OWN_NAME, TaskForm, of_corpus, other_corpora
from ui.tabs.train_form import TrainForm

Given = dict[Any, Any]
"""Component → its value in the page."""


@dataclass
class TrainParts:
    """The five steps, from whatever starting point."""

    known: dict[str, list[Recipe]]
    """Starting point → the recipes that can be chosen."""
    limits: Limits | None
    place: gr.Radio
    """The starting point: the name of a task that the page begins with, or `text.OWN`."""
    learns: gr.HTML
    what: TaskForm
    """What is learned, where that comes out of the rows."""
    data: DataForm
    data_summary: gr.HTML
    data_preview: gr.HTML
    tokens: gr.HTML
    why: gr.HTML
    """Why it begins with this base model, where the operator prefers another."""
    weights: gr.HTML
    form: TrainForm
    estimate: gr.HTML
    start: gr.Button
    follow: Follow

    @property
    def inputs(self) -> list[Any]:
        return [self.place, *self.what.inputs, *self.data.inputs, *self.form.inputs]

    @property
    def shown(self) -> list[Any]:
        """What is drawn of rows that were read."""
        data, what = self.data, self.what
        of_rows = [self.data_summary, self.data_preview, data.mapping, *data.columns, data.labels]
        return [*of_rows, self.learns, what.row, what.what, what.instruction, what.proposed]

    @property
    def begun(self) -> list[Any]:
        """What is drawn where the form is proposed anew."""
        source = [self.place, self.data.kind, *self.data.parts, self.why]
        return list(dict.fromkeys([*self.shown, *source, *self.form.inputs, self.form.size]))

    @property
    def rest(self) -> list[Any]:
        """What takes longer than reading the rows."""
        return [*self.estimated, self.tokens, self.form.sizes]

    @property
    def estimated(self) -> list[Any]:
        """What the run takes."""
        return [self.weights, self.estimate]

    def given(self, values: tuple[Any, ...]) -> Given:
        """The values of `inputs` by their components.

        Raises:
            RecipeError: there is no such starting point.
        """
        given = dict(zip(self.inputs, values, strict=True))
        if given[self.place] not in self.known:
            raise RecipeError("There is no such starting point", got=str(given[self.place])[:100])
        return given

    def sources(self, place: str) -> list[tuple[str, str]]:
        """(label, value) of where a starting point's rows may come from."""
        task = known_task(place)
        corpora = data_form.corpora_of(task) if task else other_corpora()
        hub = self.limits is None or self.limits.hub
        return data_form.sources(corpora, hub_allowed=hub, any_task=task is None)

    def task_of(self, given: Given) -> Task:
        """What is learned."""
        return known_task(given[self.place]) or self.what.task(self.data, given)[0]

    def rows_of(self, given: Given) -> Chosen | None:
        """What the form says of the rows; None while a file or a name is still missing."""
        return data_form.read(self.task_of(given), *(given[each] for each in self.data.inputs))

    def chosen(self, given: Given, visitor: Visitor, recipe: Recipe | None = None) -> Chosen:
        """What the form says of the rows, for the recipe that is chosen there, or another.

        Raises:
            UserError: nothing is chosen, or this visitor may not use it.
        """
        chosen = self.rows_of(given)
        if chosen is None:
            raise DataError("No data is chosen", fix="Upload a file, or write the name of a data set.")
        visitor.check_source(chosen.source)
        return train_form.with_own_corpus(chosen, recipe or self.shipped(given))

    def recipe(self, given: Given, visitor: Visitor, chosen: Chosen | None = None) -> Recipe:
        """The recipe that the form describes, on those rows.

        Raises:
            UserError: settings that are wrong, or more than this visitor may have.
        """
        form = [given[each] for each in self.form.inputs]
        task = None if known_task(given[self.place]) else self._own_settings(given)
        known = self.known[given[self.place]]
        recipe = train_form.read(known, chosen or self.chosen(given, visitor), *form, task=task)
        with train_form.in_labels():
            visitor.check_recipe(recipe)
        return recipe

    def _own_settings(self, given: Given) -> dict[str, Any] | None:
        """The settings that make a recipe that of one's own task; None where it is that of a corpus already."""
        task, settings = self.what.task(self.data, given)
        if settings is None and not (of_corpus(given[self.data.kind]) and self.shipped(given).task == task.name):
            settings = {"task": task.name, "name": f"{OWN_NAME}{task.name}"[:64], "title": task.title}
        return settings

    def recipe_and_rows(self, given: Given, visitor: Visitor) -> tuple[Recipe, Opened]:
        """The recipe with what its task has from the rows, and the rows; errors as of both."""
        chosen = self.chosen(given, visitor)
        recipe = self.recipe(given, visitor, chosen)
        opened = self.open_rows(chosen, visitor, self.task_of(given), self.shipped(given))
        return train_form.knowing(recipe, opened.task), opened

    def shipped(self, given: Given) -> Recipe:
        """The recipe that was chosen, as it ships.

        Raises:
            RunError: there is none for this starting point.
        """
        name = given[self.form.recipe]
        found = next((recipe for recipe in self.known[given[self.place]] if recipe.name == name), None)
        if found is None:
            raise RunError("There is no such recipe", got=str(name)[:100])
        return found

    def open_rows(self, chosen: Chosen, visitor: Visitor, task: Task, shipped: Recipe) -> Opened:
        """The rows, of which this visitor may have so many.

        Raises:
            UserError: they cannot be read so, or are too many.
        """
        opened = ROWS.open(
            chosen.source,
            task,
            columns=chosen.columns,
            labels=chosen.labels,
            skip_empty=chosen.skip_empty,
            besides=shipped.way.besides,
        )
        visitor.check_rows(opened.splits, opened.task)
        return opened

    def counts(self, given: Given, visitor: Visitor, recipe: Recipe) -> Counts:
        """How many rows `recipe` would have, as far as that is known."""
        try:
            chosen = self.chosen(given, visitor, recipe)
            return Counts.of(self.open_rows(chosen, visitor, self.task_of(given), recipe), recipe)
        except UserError:
            return Counts()

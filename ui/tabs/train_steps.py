"""What the five steps of the Train tab do: read the form, show what the rows are and what it takes, and start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.sources import Opened
from data.tasks import Task
from finetuning.limits import Limits
from finetuning.recipe import Recipe
from models import libraries
from plumbing.errors import DataError, RunError, UserError
from ui.drawing import text
from ui.drawing.markup import Markup, join, tag
from ui.server.models_in_use import short_name
from ui.server.rows import ROWS
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import data_form, sizes, train_form
from ui.tabs.beginning import Beginning, begin, known_task
from ui.tabs.data_form import Chosen, DataForm
from ui.tabs.events import Updates
from ui.tabs.examples import example_of, in_and_out
from ui.tabs.follow import Follow
from ui.tabs.sizes import Counts
from ui.tabs.task_form import OWN_NAME, TaskForm, of_corpus
from ui.tabs.train_form import TrainForm

Given = dict[Any, Any]
"""Component → its value in the page."""


@dataclass
class TrainTask:
    """The five steps of a task that the page begins with, or of one's own."""

    name: str
    known: list[Recipe]
    """The recipes that can be chosen."""
    limits: Limits | None
    learns: gr.HTML
    what: TaskForm | None
    """What is learned, where that comes out of the rows."""
    data: DataForm
    data_summary: gr.HTML
    data_preview: gr.HTML
    tokens: gr.HTML
    weights: gr.HTML
    form: TrainForm
    estimate: gr.HTML
    start: gr.Button
    follow: Follow

    # ---- steps 1 to 4 ----

    def show_data(self, request: gr.Request, *values: Any) -> Updates:
        """What the rows are, read as the form says, or all that is wrong with them."""
        given = self.given(values)
        visitor = visitor_of(request)
        return self._show(given, visitor, Beginning(given))

    def show_other_data(self, request: gr.Request, *values: Any) -> Updates:
        """As `show_data` of other rows: what is learned, columns, size and settings are proposed anew."""
        return self._begin(request, self.given(values))

    def show_other_task(self, request: gr.Request, *values: Any) -> Updates:
        """As `show_data` where something else is to be learned from the same rows."""
        given = self.given(values)
        assert self.what is not None
        return self._begin(request, given, what=given[self.what.what])

    def show_tokens(self, request: gr.Request, *values: Any) -> Markup:
        """One row as the model sees it. What is wrong is said elsewhere."""
        libraries.ready()
        from finetuning.preparation import token_preview

        visitor, given = visitor_of(request), self.given(values)
        try:
            recipe, opened = self._recipe_and_rows(given, visitor)
            tokens = token_preview(recipe, opened.task, opened.splits["train"][0])
        except DataError:
            return Markup("")  # said above
        except UserError as error:
            return tag("div", visitor.shown(str(error)), class_="ba-note")
        usual = text.TOKENS_CAPTION if recipe.way.writes else text.TOKENS_CAPTION_CLASSIFIER
        caption = recipe.way.marked or usual
        classes = ("ba-token", "ba-token ba-trained")
        spans = [tag("span", token, class_=classes[trained]) for token, trained in tokens]
        return join([tag("div", caption, class_="ba-note"), tag("div", *spans, class_="ba-tokens")])

    def show_estimate(self, request: gr.Request, *values: Any) -> list[Markup]:
        """Weights (step 3) and what the run will take (step 4)."""
        libraries.ready()
        from finetuning.estimates.estimate import estimate
        from finetuning.preparation import sampled

        visitor = visitor_of(request)
        try:
            recipe, opened = self._recipe_and_rows(self.given(values), visitor)
            found = estimate(recipe, splits=sampled(opened, recipe).splits)
        except DataError:
            return [Markup(""), Markup("")]  # said above
        except UserError as error:
            return [Markup(""), data_form.problems(error, visitor)]
        base = short_name(recipe.model.base)
        weights = train_form.weights_sentence(base, found.weight_mb, recipe.model.precision)
        few = data_form.too_few(recipe.data.test_rows) if recipe.data.test_rows else None
        said = join([tag("div", found.sentence(), class_="ba-estimate"), few])
        return [tag("div", weights, class_="ba-note"), said]

    def show_sizes(self, request: gr.Request, *values: Any) -> Markup:
        """What each size takes; nothing where that cannot be said, which is said elsewhere."""
        visitor, given = visitor_of(request), self.given(values)
        try:
            recipe, opened = self._recipe_and_rows(given, visitor)
        except UserError:
            return Markup("")
        return sizes.size_table(recipe, self._shipped(given), opened, visitor.limits)

    def show_costs(self, request: gr.Request, *values: Any) -> Markup:
        """What each strategy takes, for who has opened the settings; as `show_sizes`."""
        visitor, given = visitor_of(request), self.given(values)
        try:
            recipe, opened = self._recipe_and_rows(given, visitor)
        except UserError:
            return Markup("")
        return sizes.strategy_table(recipe, opened)

    @toasts
    def choose_recipe(self, request: gr.Request, *values: Any) -> Updates:
        """Another recipe fills the form anew, in the size that is normal for it."""
        given = self.given(values)
        recipe = self._shipped(given)
        return self._filled(recipe, self._counts(given, visitor_of(request), recipe))

    @toasts
    def choose_strategy(self, request: gr.Request, *values: Any) -> Updates:
        """Another strategy has other settings."""
        given = self.given(values)
        return self.form.of_strategy(given[self.form.field("strategy.kind")], self._shipped(given))

    @toasts
    def choose_size(self, request: gr.Request, size: str, *values: Any) -> list[Any]:
        """Rows and epochs of a size; what is written there stays where no size is chosen."""
        given = self.given(values)
        if size == sizes.AS_SET:
            return [gr.skip()] * len(train_form.SIZED)
        counts = self._counts(given, visitor_of(request), self._shipped(given))
        return sizes.fields_of(sizes.settings_of(size, self._shipped(given), counts, self.limits))

    @toasts
    def start_run(self, request: gr.Request, *values: Any) -> list[Any]:
        """Check the data, submit the run, watch it."""
        visitor, given = visitor_of(request), self.given(values)
        chosen = self._chosen(given, visitor)
        self._recipe(given, visitor, chosen)
        # Every problem is shown before a model is loaded.
        opened = self._open(chosen, visitor, self._task(given), self._shipped(given))
        with visitor.starting():
            recipe = self._recipe(given, visitor, train_form.kept(chosen, visitor))
            run = visitor.started(recipe)
            if run is None:
                with train_form.in_labels():
                    run = visitor.submit(recipe, opened)
            else:
                gr.Info(text.SAME_RUN)
        return [run.id, "", gr.Timer(active=True)]

    # ---- what the form says ----

    @property
    def inputs(self) -> list[Any]:
        return [*(self.what.inputs if self.what else []), *self.data.inputs, *self.form.inputs]

    @property
    def shown(self) -> list[Any]:
        """The outputs of `show_data`."""
        data, what = self.data, self.what
        own = [self.learns, what.row, what.what, what.instruction, what.proposed, data.labels] if what else []
        return [self.data_summary, self.data_preview, data.mapping, *data.columns, *own]

    @property
    def begun(self) -> list[Any]:
        """The outputs of `show_other_data`."""
        settings = [*self.form.inputs, self.form.size] if self.what else [*self.form.sized, self.form.size]
        return [*self.shown, *settings]

    def given(self, values: tuple[Any, ...]) -> Given:
        """The values of `inputs` by their components."""
        return dict(zip(self.inputs, values, strict=True))

    def _values(self, given: Given) -> list[Any]:
        return [given[each] for each in self.data.inputs]

    def _task(self, given: Given) -> Task:
        return known_task(self.name) or self.what.task(self.data, given)[0]  # type: ignore[union-attr]

    def _chosen(self, given: Given, visitor: Visitor, recipe: Recipe | None = None) -> Chosen:
        """What the form says of the rows, for the recipe that is chosen there, or another."""
        chosen = data_form.read(self._task(given), *self._values(given))
        if chosen is None:
            raise DataError("No data is chosen", fix="Upload a file, or write the name of a data set.")
        visitor.check_source(chosen.source)
        return train_form.with_own_corpus(chosen, recipe or self._shipped(given))

    def _recipe(self, given: Given, visitor: Visitor, chosen: Chosen | None = None) -> Recipe:
        form = [given[each] for each in self.form.inputs]
        task = self._own_settings(given) if self.what else None
        recipe = train_form.read(self.known, chosen or self._chosen(given, visitor), *form, task=task)
        with train_form.in_labels():
            visitor.check_recipe(recipe)
        return recipe

    def _own_settings(self, given: Given) -> dict[str, Any] | None:
        """The settings that make a recipe that of one's own task; None where it is that of a corpus already."""
        assert self.what is not None
        task, settings = self.what.task(self.data, given)
        if settings is None and not (of_corpus(given[self.data.kind]) and self._shipped(given).task == task.name):
            settings = {"task": task.name, "name": f"{OWN_NAME}{task.name}"[:64], "title": task.title}
        return settings

    def _recipe_and_rows(self, given: Given, visitor: Visitor) -> tuple[Recipe, Opened]:
        """The recipe with what its task has from the rows, and the rows."""
        chosen = self._chosen(given, visitor)
        recipe = self._recipe(given, visitor, chosen)
        opened = self._open(chosen, visitor, self._task(given), self._shipped(given))
        return train_form.knowing(recipe, opened.task), opened

    def _shipped(self, given: Given) -> Recipe:
        """The recipe that was chosen, as it ships."""
        name = given[self.form.recipe]
        found = next((recipe for recipe in self.known if recipe.name == name), None)
        if found is None:
            raise RunError("There is no such recipe", got=str(name)[:100])
        return found

    def _open(self, chosen: Chosen, visitor: Visitor, task: Task, shipped: Recipe) -> Opened:
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

    def _counts(self, given: Given, visitor: Visitor, recipe: Recipe) -> Counts:
        try:
            chosen = self._chosen(given, visitor, recipe)
            return Counts.of(self._open(chosen, visitor, self._task(given), recipe), recipe)
        except UserError:
            return Counts()

    # ---- what is shown of it ----

    def _begin(self, request: gr.Request, given: Given, *, what: str | None = None) -> Updates:
        """Propose what can be proposed of other rows, or another task, and show them so."""
        visitor = visitor_of(request)
        try:
            beginning = begin(self.what, self.data, given, visitor, what=what)
        except UserError as error:
            given = given | data_form.without_columns(self.data)
            return self._failed(error, given, visitor)
        begun = _merged(beginning.updates, self._show(beginning.given, visitor, beginning))
        if beginning.recipe is not None:
            begun[self.form.recipe] = beginning.recipe.name
            return begun | self._filled(beginning.recipe, self._counts(beginning.given, visitor, beginning.recipe))
        known = [recipe for recipe in self.known if recipe.name == given[self.form.recipe]]
        if self.what is None and known:
            return begun | self._sized(known[0], self._counts(beginning.given, visitor, known[0]))
        return begun

    def _filled(self, recipe: Recipe, counts: Counts) -> Updates:
        return self.form.filled(recipe) | self._sized(recipe, counts)

    def _sized(self, recipe: Recipe, counts: Counts) -> Updates:
        settings = sizes.settings_of(sizes.NORMAL, recipe, counts, self.limits)
        fields = zip(self.form.sized, sizes.fields_of(settings), strict=True)
        return dict(fields) | {self.form.size: sizes.NORMAL}

    def _show(self, given: Given, visitor: Visitor, beginning: Beginning) -> Updates:
        try:
            task = self._task(given)
            chosen = data_form.read(task, *self._values(given))
            if chosen is None:
                return {self.data_summary: data_form.waiting(given[self.data.kind]), self.data_preview: ""}
            visitor.check_source(chosen.source)
            shipped = beginning.recipe or self._shipped(given)
            opened = self._open(train_form.with_own_corpus(chosen, shipped), visitor, task, shipped)
        except UserError as error:
            return self._failed(error, given, visitor)
        summary = data_form.summary(opened, said=beginning.said)
        shown: Updates = {self.data_summary: summary, self.data_preview: data_form.preview(opened)}
        if self.what:
            is_corpus = chosen.source.startswith("corpus:")
            learns = join([step_title(1, opened.task.learns), _why(beginning.why), in_and_out(example_of(opened))])
            shown |= {self.learns: learns, self.what.what: gr.update(visible=not is_corpus)}
            ships = is_corpus or given[self.what.what] not in text.KINDS
            shown |= self.what.shown_for(opened.task, given, ships=ships)
            shown |= self.data.named_for(opened.task, answered=bool(opened.mapping.target))
        return _merged(shown, data_form.column_updates(self.data, opened))

    def _failed(self, error: UserError, given: Given, visitor: Visitor) -> Updates:
        """What is wrong, and, of rows that cannot be read so, the columns that they have."""
        shown: Updates = {self.data_summary: data_form.problems(error, visitor), self.data_preview: ""}
        if not isinstance(error, DataError):
            return shown
        try:
            task = self._task(given)
            chosen = data_form.read(task, *self._values(given))
        except UserError:
            return shown
        if chosen is None:
            return shown
        wanted = (task.input_columns[-1], task.target_column)
        by_hand = [(chosen.columns or {}).get(column) for column in wanted]
        columns = data_form.column_updates(self.data, None, data_form.columns_of(chosen), by_hand)
        named = {self.what.row: gr.Row(visible=True)} | self.data.named_for(task) if self.what else {}
        return _merged(shown | named, columns)


def _merged(some: Updates, others: Updates) -> Updates:
    """Both updates of a component as one."""
    merged = some | others
    for each in some.keys() & others.keys():
        if isinstance(some[each], dict) and isinstance(others[each], dict):
            merged[each] = some[each] | others[each]
    return merged


def _why(said: str) -> Markup | None:
    return tag("div", said, class_="ba-note") if said else None


def step_title(number: int, said: str = "") -> Markup:
    """The number and the name of a step, and what there is to say of it."""
    title = tag("h2", text.STEPS[number])
    return tag("div", tag("b", number), title, tag("span", said) if said else None, class_="ba-step-title")

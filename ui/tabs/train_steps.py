"""What the five steps of the Train tab do: show what the rows are and what it takes, propose the rest, start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS, Task
from finetuning.preferred import Beginning as Preferred
from finetuning.preferred import beginning_of
from finetuning.recipe import Recipe
from models import libraries
from plumbing.errors import DataError, UserError
from ui.drawing import text
from ui.drawing.markup import Markup, join, tag
from ui.server.models_in_use import short_name
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import data_form, sizes, train_form
from ui.tabs.beginning import Beginning, begin, known_task
from ui.tabs.data_form import GUESS
from ui.tabs.events import Updates
from ui.tabs.examples import example_of, examples, in_and_out
from ui.tabs.sizes import Counts
from ui.tabs.train_parts import Given, TrainParts
from ui.tabs.updates import after, merged


class Train(TrainParts):
    """The tab's components, and what they do."""

    # ---- rows, and what is proposed of them ----

    @toasts
    def show_data(self, request: gr.Request, *values: Any) -> Updates:
        """What the rows are, read as the form says, or all that is wrong with them; outputs: `shown`."""
        given = self.given(values)
        return self._show(given, visitor_of(request), Beginning(given))

    @toasts
    def show_other_data(self, request: gr.Request, *values: Any) -> Updates:
        """As `show_data` of other rows: what is learned, columns, settings are proposed; outputs: `begun`."""
        given = self.given(values)
        return self._begin(given, visitor_of(request))

    @toasts
    def show_other_task(self, request: gr.Request, *values: Any) -> Updates:
        """As `show_other_data` where something else is to be learned from the same rows."""
        given = self.given(values)
        return self._begin(given, visitor_of(request), what=given[self.what.what])

    @toasts
    def choose_place(self, request: gr.Request, *values: Any) -> Updates:
        """Another starting point: its rows, and the whole form as its recipe has it. A file stays where it is."""
        given = self.given(values)
        return self.begin_at(given[self.place], given, visitor_of(request))

    def take(self, event: gr.EventData, request: gr.Request, *values: Any) -> Any:
        """What follows from what was chosen or brought; outputs: `begun`."""
        follows = {
            self.place: self.choose_place,
            self.what.what: self.show_other_task,
            self.form.recipe: self.choose_recipe,
            self.form.field("strategy.kind"): self.choose_strategy,
        }
        return follows.get(event.target, self.show_other_data)(request, *values)

    def begin_at(
        self,
        place: str,
        given: Given,
        visitor: Visitor,
        *,
        source: str | None = None,
        as_written: Recipe | None = None,
    ) -> Updates:
        """The whole form as a starting point begins it; outputs: `begun`.

        Args:
            place: the starting point.
            given: what the page has.
            visitor: whose page it is.
            source: the rows, if not the first of the starting point's.
            as_written: a recipe whose settings the form gets in place of those that are proposed.
        """
        recipe = as_written or _preferred(place).recipe
        size = sizes.NORMAL if as_written is None else sizes.AS_SET
        placed = merged(self._placed(place, source, recipe), self.form.filled(recipe) | {self.form.size: size})
        now = after(given, placed)
        shown = self._begin(now, visitor) if as_written is None else self._show(now, visitor, Beginning(now))
        return merged(placed, shown)

    @toasts
    def choose_recipe(self, request: gr.Request, *values: Any) -> Updates:
        """Another recipe fills the form anew, in the size that is normal for it; outputs: `begun`."""
        given, visitor = self.given(values), visitor_of(request)
        recipe = self.shipped(given)
        filled = self._filled(recipe, self.counts(given, visitor, recipe))
        now = after(given, filled)
        return merged(filled, self._show(now, visitor, Beginning(now)))

    @toasts
    def choose_strategy(self, request: gr.Request, *values: Any) -> Updates:
        """Another strategy has other settings; outputs: `begun`."""
        given = self.given(values)
        chosen = given[self.form.field("strategy.kind")]
        return self.form.of_strategy(chosen, self.shipped(given))

    @toasts
    def choose_size(self, request: gr.Request, size: str, *values: Any) -> list[Any]:
        """Rows and epochs of a size; what is written there stays where no size is chosen."""
        given = self.given(values)
        if size == sizes.AS_SET:
            return [gr.skip()] * len(train_form.SIZED)
        recipe = self.shipped(given)
        counts = self.counts(given, visitor_of(request), recipe)
        return sizes.fields_of(sizes.settings_of(size, recipe, counts, self.limits))

    # ---- what it takes ----

    def show_rest(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """What takes longer than reading the rows: what the run takes, a row as tokens, what each size takes."""
        yield dict(zip(self.estimated, self.show_estimate(request, *values), strict=True))
        yield {self.tokens: self.show_tokens(request, *values)}
        yield {self.form.sizes: self.show_sizes(request, *values)}

    def show_tokens(self, request: gr.Request, *values: Any) -> Markup:
        """One row as the model sees it. What is wrong is said elsewhere."""
        libraries.ready()
        from finetuning.preparation import token_preview

        visitor = visitor_of(request)
        try:
            recipe, opened = self.recipe_and_rows(self.given(values), visitor)
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
            recipe, opened = self.recipe_and_rows(self.given(values), visitor)
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
        visitor = visitor_of(request)
        try:
            given = self.given(values)
            recipe, opened = self.recipe_and_rows(given, visitor)
        except UserError:
            return Markup("")
        return sizes.size_table(recipe, self.shipped(given), opened, visitor.limits)

    def show_costs(self, request: gr.Request, *values: Any) -> Markup:
        """What each strategy takes, for who has opened the settings; as `show_sizes`."""
        try:
            recipe, opened = self.recipe_and_rows(self.given(values), visitor_of(request))
        except UserError:
            return Markup("")
        return sizes.strategy_table(recipe, opened)

    @toasts
    def start_run(self, request: gr.Request, *values: Any) -> list[Any]:
        """Check the data, submit the run, show it; outputs: those of `follow`."""
        visitor, given = visitor_of(request), self.given(values)
        chosen = self.chosen(given, visitor)
        self.recipe(given, visitor, chosen)
        # Every problem is shown before a model is loaded.
        opened = self.open_rows(chosen, visitor, self.task_of(given), self.shipped(given))
        with visitor.starting():
            recipe = self.recipe(given, visitor, train_form.kept(chosen, visitor))
            run = visitor.started(recipe)
            if run is None:
                with train_form.in_labels():
                    run = visitor.submit(recipe, opened)
            else:
                gr.Info(text.SAME_RUN)
        return self.follow.shown(run, visitor)

    # ---- drawing it ----

    def _placed(self, place: str, source: str | None, recipe: Recipe) -> Updates:
        """What a starting point changes whatever the rows are: what can be chosen, and what is."""
        task, reason = known_task(place), _preferred(place).reason
        sources, offered = self.sources(place), train_form.offered(self.known[place], self.limits)
        return {
            self.place: place,
            self.data.kind: gr.update(choices=sources, value=source or sources[0][1]),
            self.data.labels: gr.update(placeholder=data_form.labels_hint(task)),
            self.form.recipe: gr.update(choices=train_form.titles(offered), value=recipe.name),
            self.form.field("model.base"): gr.update(choices=train_form.bases(offered)),
            self.why: tag("div", reason, class_="ba-note") if reason else "",
            self.learns: learns(task),
        }

    def _begin(self, given: Given, visitor: Visitor, *, what: str | None = None) -> Updates:
        """Propose what can be proposed of other rows, or another task, and show them so."""
        forgotten, known = self._forgotten(given[self.data.kind]), known_task(given[self.place])
        try:
            beginning = begin(None if known else self.what, self.data, given, visitor, what=what)
        except UserError as error:
            return merged(forgotten, self._failed(error, after(given, forgotten), visitor))
        begun = merged(forgotten, merged(beginning.updates, self._show(beginning.given, visitor, beginning)))
        if (recipe := beginning.recipe) is not None:
            begun[self.form.recipe] = recipe.name
            return begun | self._filled(recipe, self.counts(beginning.given, visitor, recipe))
        chosen = [recipe for recipe in self.known[given[self.place]] if recipe.name == given[self.form.recipe]]
        if known and chosen:
            return begun | self._sized(chosen[0], self.counts(beginning.given, visitor, chosen[0]))
        return begun

    def _forgotten(self, kind: str) -> Updates:
        """What was said of the rows before is not said of others; a file stays, to come back to."""
        data, guessed = self.data, gr.update(choices=[("guessed", GUESS)], value=GUESS)
        return {
            data.file: gr.update(visible=kind == "file"),
            data.hub: gr.update(visible=kind == "hub"),
            data.mapping: gr.update(visible=kind == "hub"),
            data.input_column: guessed,
            data.target_column: guessed,
            data.labels: gr.update(value=""),
            data.skip_empty: False,
            self.what.row: gr.update(visible=False),
        }

    def _filled(self, recipe: Recipe, counts: Counts) -> Updates:
        return self.form.filled(recipe) | self._sized(recipe, counts)

    def _sized(self, recipe: Recipe, counts: Counts) -> Updates:
        settings = sizes.settings_of(sizes.NORMAL, recipe, counts, self.limits)
        fields = zip(self.form.sized, sizes.fields_of(settings), strict=True)
        return dict(fields) | {self.form.size: sizes.NORMAL}

    def _show(self, given: Given, visitor: Visitor, beginning: Beginning) -> Updates:
        known = known_task(given[self.place])
        try:
            task, chosen = self.task_of(given), self.rows_of(given)
            if chosen is None:
                waiting = {self.data_summary: data_form.waiting(given[self.data.kind]), self.data_preview: ""}
                return waiting | {self.learns: learns(known)}
            visitor.check_source(chosen.source)
            shipped = beginning.recipe or self.shipped(given)
            opened = self.open_rows(train_form.with_own_corpus(chosen, shipped), visitor, task, shipped)
        except UserError as error:
            return self._failed(error, given, visitor)
        summary = data_form.summary(opened, said=beginning.said)
        shown: Updates = {self.data_summary: summary, self.data_preview: data_form.preview(opened)}
        if known is not None:
            shown |= {self.learns: learns(known)} | self._named_for(known)
            return merged(shown, data_form.column_updates(self.data, opened))
        is_corpus = chosen.source.startswith("corpus:")
        title, example = step_title(1, opened.task.learns), in_and_out(example_of(opened))
        shown |= {
            self.learns: join([title, _why(beginning.why), example]),
            self.what.what: gr.update(visible=not is_corpus),
        }
        ships = is_corpus or given[self.what.what] not in text.KINDS
        shown |= self.what.shown_for(opened.task, given, ships=ships)
        shown |= self.data.named_for(opened.task, answered=bool(opened.mapping.target))
        return merged(shown, data_form.column_updates(self.data, opened))

    def _named_for(self, known: Task) -> Updates:
        """The fields as a task that the page begins with calls them: it reads one column."""
        return self.data.named_for(known) | {self.data.also: gr.update(visible=False)}

    def _failed(self, error: UserError, given: Given, visitor: Visitor) -> Updates:
        """What is wrong, and, of rows that cannot be read so, the columns that they have."""
        known = known_task(given[self.place])
        shown: Updates = {self.data_summary: data_form.problems(error, visitor), self.data_preview: ""}
        if not isinstance(error, DataError):
            return shown
        try:
            task, chosen = self.task_of(given), self.rows_of(given)
        except UserError:
            return shown
        if chosen is None:
            return shown
        wanted = (task.input_columns[-1], task.target_column)
        by_hand = [(chosen.columns or {}).get(column) for column in wanted]
        columns = data_form.column_updates(self.data, None, data_form.columns_of(chosen), by_hand)
        if known is None:
            named = {self.what.row: gr.Row(visible=True)} | self.data.named_for(task)
        else:
            named = self._named_for(known)
        return merged(shown | named, columns)


def _preferred(place: str) -> Preferred:
    """What a starting point begins with on this machine; one's own with what the first of them does."""
    return beginning_of(known_task(place) or next(iter(STARTING_POINTS.values())))


def _why(said: str) -> Markup | None:
    return tag("div", said, class_="ba-note") if said else None


def learns(task: Task | None) -> Markup:
    """The first step's title and an example, of a task that the page begins with; of one's own a promise."""
    if task is None:
        return step_title(1, text.OWN_LEARNS)
    return join([step_title(1, task.learns), in_and_out(examples(task)[0])])


def step_title(number: int, said: str = "") -> Markup:
    """The number and the name of a step, and what there is to say of it."""
    title = tag("h2", text.STEPS[number])
    return tag("div", tag("b", number), title, tag("span", said) if said else None, class_="ba-step-title")

"""Carries a lab out: each option's trials, the choice among them, its seeds, then the options that are no run.

Runs go into the queue one at a time, so that others have their turn between them. Everything is written down before
the next thing is done: called again, it goes on where it ended. The test rows are looked at after the choice, once.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from statistics import median

from finetuning.besides import open_besides
from finetuning.lab.folder import LabFolder, Tried
from finetuning.lab.measured import Bases, Measured, of_run, of_untrained
from finetuning.lab.plan import (
    Cell,
    pilot_place,
    pilot_recipe,
    places_of,
    run_recipe,
    seed_place,
    trial_place,
    written,
)
from finetuning.lab.strangers import submit
from finetuning.recipe import Recipe
from finetuning.runs import launch
from finetuning.runs.beginning import file_hashes
from finetuning.runs.folder import ACTIVE, RESUMABLE, Run, list_runs, open_run
from plumbing.errors import RunError, UserError
from plumbing.redaction import redact

POLL_S = 0.5
NOTED_S = 10.0
"""So often it is written down how long a lab has been worked on, for its process may be ended at any time."""


class Stopped(Exception):
    """The lab was asked to stop, or somebody cancelled its run. Holds a sentence."""


class _Failed(Exception):
    """A run came to nothing. Holds the reason, in a sentence."""


class Runner:
    """Carries out one lab."""

    def __init__(self, lab: LabFolder) -> None:
        self.lab = lab
        self.settings, self.plan = lab.lab(), lab.plan()
        self.limits, self.record = lab.limits(), lab.record()
        self._seconds_before, self._began = lab.status().seconds, time.monotonic()
        self._seconds_noted = self._seconds_before
        self._resumed: set[str] = set()
        """Runs that were sent on already: one that ends early twice has failed."""
        self._submitted: set[str] = set()
        """Runs of this attempt: what made one of them fail would do so again."""

    @property
    def seconds(self) -> float:
        """How long the lab has been worked on, earlier attempts included."""
        return round(self._seconds_before + time.monotonic() - self._began, 1)

    def carry_out(self) -> None:
        """Do all that is left to do, and write down what is measured.

        Raises:
            Stopped: it was asked to stop.
            RunError: no option could be measured.
        """
        self.record.failed.clear()  # what failed is tried again
        self._check_files()
        self.lab.keep(self.record)
        for cell in self.plan.cells[:1]:  # they have one metric
            open_besides(cell.recipe.task_definition)
        for cell in self.plan.trained:
            self._trained(cell)
        bases = Bases()
        for cell in self.plan.untrained:
            self._untrained(cell, bases)
        if not any(self.lab.measured(place) for place in self.plan.places()):
            raise RunError(
                "No option of this lab could be measured", got=next(iter(self.record.failed.values()), "")
            )
        self._tell("Writing it down")

    # ---- one option ------------------------------------------------------------------------------------------

    def _trained(self, cell: Cell) -> None:
        """Choose, train with every seed, judge. An option that fails does not stop the others."""
        try:
            steps = self._steps(cell)
            chosen = self._chosen(cell, steps)
            for seed in cell.seeds:
                self._judge(cell, chosen, seed, steps)
        except (_Failed, UserError) as error:
            self._failed(cell, error)

    def _steps(self, cell: Cell) -> int | None:
        """How many steps fit into the budget's minutes, by a few that are timed; None for another budget."""
        if self.plan.minutes is None:
            return None
        known = {
            each.name: self.record.steps.get(each.key) for each in self.plan.trained if self.plan.is_timed(each)
        }
        if not self.plan.is_timed(cell) and (steps := known[cell.name]) is not None:
            return steps
        if cell.key not in self.record.steps:
            place = pilot_place(cell)
            self._tell(f"{cell.name}: timing a step")
            recipe = pilot_recipe(cell, place=place, lab=self.lab.id, title=self.settings.title)
            run = self._finished(place, recipe)
            self.record.steps[cell.key] = steps_in(self.plan.minutes, run)
            self.lab.keep(self.record)
            _drop_weights(run)
        return self.record.steps[cell.key]

    def _chosen(self, cell: Cell, steps: int | None) -> int:
        """Which trial is the best on the validation rows."""
        if not cell.is_tuned:
            return 0
        if cell.key not in self.record.chosen:
            tried = [self._tried(cell, number, steps) for number in range(len(cell.trials))]
            best = best_of([one.value for one in tried], higher=self._higher_is_better(cell))
            self.record.tried[cell.key] = tried
            if best is None:
                self.lab.keep(self.record)
                raise _Failed(f"none of its {len(tried)} trials came to anything: {tried[0].said}")
            self.record.chosen[cell.key] = best
            self.lab.keep(self.record)
        best = self.record.chosen[cell.key]
        if cell.recipe.strategy.whole and not self.settings.keep_whole:
            for number in range(len(cell.trials)):
                if number != best and (run := self._run_at(trial_place(cell, number))):
                    _drop_weights(run)
        return best

    def _tried(self, cell: Cell, number: int, steps: int | None) -> Tried:
        """One trial: a run that ends once it is trained."""
        place = trial_place(cell, number)
        self._tell(f"{cell.name}: trying {written(cell.trials[number]) or 'its recipe'}")
        recipe = self._recipe(cell, number, cell.seeds[0], place=place, steps=steps, judged=False)
        try:
            run = self._finished(place, recipe)
        except _Failed as error:
            return Tried(run=self.record.runs.get(place, ""), said=redact(str(error)))
        value = validation_of(run, by=self.settings.choose)
        return Tried(run=run.id, value=value, said="" if value is not None else "it measured no validation rows")

    def _judge(self, cell: Cell, trial: int, seed: int, steps: int | None) -> None:
        """Train with one seed and let base and tuned answer the test rows; the chosen trial is trained already."""
        place = seed_place(cell, seed)
        if self.lab.measured(place) is not None:
            return
        self._tell(f"{cell.name}: seed {seed}")
        tried = self._run_at(trial_place(cell, trial)) if cell.is_tuned and seed == cell.seeds[0] else None
        if tried is not None and place not in self.record.runs and tried.tuned.is_dir():
            self.record.runs[place] = tried.id
            self.lab.keep(self.record)
            launch.judge(tried)
        run = self._finished(place, self._recipe(cell, trial, seed, place=place, steps=steps, judged=True))
        if not (run.evaluation / "report.json").is_file():  # it was noted, and not put back into the queue
            launch.judge(run)
            run = self._to_its_end(run)
        self._keep(place, of_run(run))
        if cell.recipe.strategy.whole and not self.settings.keep_whole:
            _drop_weights(run)

    def _untrained(self, cell: Cell, bases: Bases) -> None:
        """Let an option answer in which nothing is trained."""
        try:
            for seed in cell.seeds:
                place = seed_place(cell, seed)
                if self.lab.measured(place) is None:
                    self._tell(f"{cell.name}: seed {seed}" if cell.seeds[1:] else cell.name)
                    self._keep(place, of_untrained(cell, seed, bases, self._going_on))
        except UserError as error:
            self._failed(cell, error)

    # ---- one run ---------------------------------------------------------------------------------------------

    def _finished(self, place: str, recipe: Recipe) -> Run:
        """The run of a place, submitted where there is none, once it has finished.

        Raises:
            _Failed: it came to nothing.
            Stopped: the lab was asked to stop, or somebody cancelled the run.
        """
        run = self._run_at(place) or self._made_and_not_noted(recipe)
        if run is None:
            self._check()
            self._check_files()
            run = submit(recipe, self.lab.runs, self.limits, owner=self.lab.owner, check=self._check)
            self._submitted.add(run.id)
        if self.record.runs.get(place) != run.id:
            self.record.runs[place] = run.id
            self.lab.keep(self.record)
        return self._to_its_end(run)

    def _to_its_end(self, run: Run) -> Run:
        """Wait until a run has finished; one that ended early, in an earlier attempt or by force, goes on once."""
        while True:
            try:
                state = run.status().state
                again = run.id in self._resumed or (state == "failed" and run.id in self._submitted)
                if state in RESUMABLE and not again:
                    self._resumed.add(run.id)
                    self._check()
                    launch.resume(run)
                for _ in launch.wait(run, POLL_S):
                    self._check(run)
                status = run.status()
            except UserError as error:  # such as of a run that is deleted meanwhile
                raise _Failed(str(error)) from None
            if status.state == "finished":
                return run
            if status.state == "cancelled":
                raise Stopped(f"Run {run.id} was cancelled")
            if status.state == "failed" or run.id in self._resumed:
                raise _Failed(status.error or f"run {run.id} was {status.state}")

    def _run_at(self, place: str) -> Run | None:
        """The run that was noted for a place, unless somebody has deleted it."""
        run_id = self.record.runs.get(place)
        if run_id is None:
            return None
        try:
            run = open_run(run_id, self.lab.runs)
            run.status()
            return run
        except RunError:
            return None

    def _made_and_not_noted(self, recipe: Recipe) -> Run | None:
        """A run of just this recipe that was submitted when the lab's process was ended.

        The recipe's name has the lab's number in it.
        """
        for run in list_runs(self.lab.runs, owner=self.lab.owner):
            if run.id.startswith(f"{recipe.name}-") and run.id not in self.record.runs.values():
                with contextlib.suppress(UserError):
                    if run.recipe() == recipe and run.state() != "damaged":
                        return run
        return None

    # ---- small things ----------------------------------------------------------------------------------------

    def _check_files(self) -> None:
        """Refuse to go on with other rows than the lab began with: what is compared has one split.

        Raises:
            RunError: with the file that has changed.
        """
        now = {spec: found for cell in self.plan.cells for spec, found in file_hashes(cell.recipe).items()}
        for spec, found in now.items():
            if self.record.files.setdefault(spec, found) != found:
                raise RunError(
                    "The file has changed since the lab began",
                    got=spec.removeprefix("file:"),
                    fix="Put it back as it was, or start a new lab: --new.",
                )

    def _keep(self, place: str, measured: Measured) -> None:
        """Write down what was measured, of the rows that the lab began with."""
        self._check_files()
        self.lab.keep_measured(place, measured)

    def _failed(self, cell: Cell, error: Exception) -> None:
        """Write down why an option has no score."""
        self.record.failed[cell.key] = redact(str(error))
        self.lab.keep(self.record)

    def _recipe(self, cell: Cell, trial: int, seed: int, *, place: str, steps: int | None, judged: bool) -> Recipe:
        return run_recipe(
            cell, trial, seed, place=place, lab=self.lab.id, title=self.settings.title, steps=steps, judged=judged
        )

    def _higher_is_better(self, cell: Cell) -> bool:
        from eval.metrics import primary_of

        return self.settings.choose == "metric" and primary_of(cell.recipe.task_definition).higher_is_better

    def _check(self, run: Run | None = None) -> None:
        """Stop where that was asked for; a run that is going on is stopped first, and its checkpoint kept."""
        if self.seconds - self._seconds_noted > NOTED_S:
            self._seconds_noted = self.lab.update(seconds=self.seconds).seconds
        if not self.lab.cancel_requested():
            return
        if run is not None and run.status().state in ACTIVE:
            launch.cancel(run)
            for _ in launch.wait(run, POLL_S):
                pass
        raise Stopped("It was asked to stop")

    def _tell(self, what: str) -> None:
        """Say what is being done, and how much of all is done."""
        self._check()
        done = sum(self._is_done(cell) for cell in self.plan.cells)
        self.lab.update(phase=what, done=done, seconds=self.seconds)

    def _is_done(self, cell: Cell) -> int:
        """How many places of a cell are done."""
        if cell.key in self.record.failed:
            return len(places_of(cell, self.plan))
        tries = len(cell.trials) if cell.is_tuned and cell.key in self.record.chosen else 0
        seeds = sum(self.lab.measured(seed_place(cell, seed)) is not None for seed in cell.seeds)
        return tries + seeds + (cell.key in self.record.steps and self.plan.is_timed(cell))

    def _going_on(self, what: str, done: int, total: int) -> None:
        """Stop where that was asked for: a long pass of an untrained option asks, too."""
        self._check()


def validation_of(run: Run, *, by: str) -> float | None:
    """What a run that was trained measured on the validation rows, at the step that it kept; None of none.

    `by` is loss, or metric for the task's metric on some of these rows.
    """
    lines = run.evaluations()
    if not lines:
        return None
    kept = min(lines, key=lambda line: line["eval_loss"])
    if run.recipe().training.keep == "last":
        kept = lines[-1]
    value = kept.get("eval_loss" if by == "loss" else "eval_metric")
    return float(value) if value is not None and math.isfinite(value) else None


def best_of(values: list[float | None], *, higher: bool) -> int | None:
    """Where the best is, the first of several; None where there is no value at all."""
    there = [(value, -place) for place, value in enumerate(values) if value is not None]
    if not there:
        return None
    best = max(there) if higher else min(there, key=lambda one: (one[0], -one[1]))
    return -best[1]


def steps_in(minutes: float, run: Run) -> int:
    """How many steps fit into so many minutes, by the median of a run, whose first, which warms up, does not count.

    Raises:
        _Failed: it has too few to say.
    """
    seconds = [line["step_seconds"] for line in run.metrics()[0][1:] if line.get("step_seconds")]
    if not seconds:
        raise _Failed("its steps could not be timed")
    return max(1, int(60 * minutes / median(seconds)))


def _drop_weights(run: Run) -> None:
    """Remove what a run has tuned: as large as its base, and no longer needed. What it measured stays."""
    shutil.rmtree(run.tuned, ignore_errors=True)

"""Several runs side by side: the settings that differ, each run's verdict, and what tells the runs from each other.

Two runs that were judged on the same test rows by the same metric are compared by the paired test of those rows'
scores, which are on file; of more than two, all pairs with Holm's correction. Loads no model, and judges nothing
anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data.specs import named_spec
from eval.lab.judging import all_pairs, name_of_test
from eval.lab.schema import PairResult
from eval.lab.words import PAIR_HEAD, listed, named_pair
from eval.metrics.metric import Metric
from eval.report.figures import p_value, with_interval
from eval.report.folder import load
from eval.report.schema import Report
from finetuning.recipe import Recipe
from finetuning.runs.folder import Run, Status
from plumbing.errors import RunError, UserError

MOST = 6
"""Runs at a time: of more, no plot could be read."""
LETTERS = "ABCDEF"
NOTHING = "–"
_NO_SETTINGS = frozenset({"name", "title", "version"})


@dataclass(frozen=True)
class Row:
    """A test row's score, by what was tuned."""

    key: str
    scores: Sequence[float]


@dataclass(frozen=True)
class Beside:
    """One of the runs."""

    letter: str
    run: Run
    called: str
    recipe: Recipe | None
    """None where it cannot be read."""
    status: Status | None

    @property
    def title(self) -> str:
        """`A: Sentiment · LoRA`."""
        return f"{self.letter}: {self.called}"

    @cached_property
    def report(self) -> Report | None:
        """Of its own test rows; None where it was not judged, or that cannot be read."""
        try:
            return load(self.run.evaluation)[0]
        except (UserError, OSError):
            return None

    @cached_property
    def scores(self) -> list[float]:
        """Of each test row by the metric of the verdict; none where they cannot be read."""
        if self.report is None:
            return []
        name = self.report.primary.name
        try:
            found = [row.tuned.scores.get(name) for row in load(self.run.evaluation)[1]]
        except (UserError, OSError):
            return []
        scores = [score for score in found if score is not None]
        return scores if len(scores) == len(found) == self.report.n else []

    @property
    def judged_on(self) -> tuple[str, str, str, int] | None:
        """What two runs have to share to be compared; None where it is not known."""
        if self.report is None or not self.report.data.test_sha256 or not self.scores:
            return None
        return self.report.task, self.report.primary.name, self.report.data.test_sha256, self.report.n

    @property
    def lowest(self) -> tuple[int, float] | None:
        """The step with the lowest validation loss, and that loss."""
        found = [(line["step"], float(line["eval_loss"])) for line in self.run.evaluations()]
        return min(found, key=lambda each: each[1], default=None)


@dataclass(frozen=True)
class Alike:
    """Runs that were judged on the same rows by the same metric."""

    runs: Sequence[Beside]
    metric: Metric
    n: int
    noun: tuple[str, str]
    pairs: Sequence[PairResult]
    """By letters."""
    test: str
    """In words."""


@dataclass(frozen=True)
class SideBySide:
    """What there is to say of several runs."""

    runs: Sequence[Beside]
    settings: Sequence[tuple[str, Sequence[str]]]
    """Those that differ: a setting's name, and its value in each run."""
    alike: Sequence[Alike]
    notes: Sequence[str]
    """What a reader has to know besides, in sentences."""


def compare_runs(runs: Sequence[Run]) -> SideBySide:
    """What there is to say of these runs, in their order.

    Raises:
        RunError: there are not two, or there are more than can be compared at a time.
    """
    several = list(dict.fromkeys(runs))
    if len(several) < 2:
        raise RunError("It takes two runs to compare", got=len(several), fix="Choose another one.")
    if len(several) > MOST:
        raise RunError(f"Up to {MOST} runs are compared at a time", got=len(several), fix="Choose fewer.")
    beside = [_beside(letter, run) for letter, run in zip(LETTERS, several, strict=False)]
    alike = list(_alike(beside))
    return SideBySide(beside, _settings(beside), alike, list(_notes(beside, alike)))


def _beside(letter: str, run: Run) -> Beside:
    recipe: Recipe | None = None
    status: Status | None = None
    with contextlib.suppress(UserError):
        recipe = run.recipe()
    with contextlib.suppress(RunError):
        status = run.status()
    return Beside(letter, run, run.called or (recipe.title if recipe else run.id), recipe, status)


def _settings(beside: Sequence[Beside]) -> list[tuple[str, list[str]]]:
    known = [dict(_leaves(each.recipe.model_dump())) if each.recipe else {} for each in beside]
    names = dict.fromkeys(name for settings in known for name in settings)
    found = []
    for name in names:
        if name.partition(".")[0] in _NO_SETTINGS:
            continue
        values = [_written(name, settings[name]) if name in settings else NOTHING for settings in known]
        if len(set(values)) > 1:
            found.append((name, values))
    return found


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _written(name: str, value: object) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    return named_spec(str(value)) if name in ("data.source", "data.test", "evaluation.source") else str(value)


def _alike(beside: Sequence[Beside]) -> Iterator[Alike]:
    groups: dict[tuple[str, str, str, int], list[Beside]] = {}
    for each in beside:
        if (key := each.judged_on) is not None:
            groups.setdefault(key, []).append(each)
    for group in groups.values():
        if len(group) < 2:
            continue
        report = group[0].report
        assert report is not None, "it was judged"
        metric, rows = report.primary.metric, [Row(each.letter, each.scores) for each in group]
        pairs = all_pairs(rows, metric)
        yield Alike(group, metric, report.n, report.asked.noun, pairs, name_of_test(rows, metric))


def _notes(beside: Sequence[Beside], alike: Sequence[Alike]) -> Iterator[str]:
    judged = [each for each in beside if each.report is not None]
    told = {each.letter for group in alike for each in group.runs}
    left = [each.letter for each in judged if each.letter not in told]
    if len(judged) >= 2 and left:
        them = f"{listed(left)} {'was' if len(left) == 1 else 'were'} not"
        who = them if told else "None of these runs was"
        yield (
            f"{who} judged on the same test rows and by the same metric as another one, so no test tells them "
            "apart. Train them on the same data, or give them one test file, to have one."
        )
    measured = {
        (each.recipe.way.kind, each.recipe.model.base, each.recipe.task_definition.name, each.recipe.data.source)
        for each in beside
        if each.recipe is not None
    }
    if len(measured) > 1:
        yield (
            "The runs differ in what is learned, from which rows, or by which base model: their losses measure "
            "different things, so compare how the curves go and not how high they lie."
        )


# ---- in words ----------------------------------------------------------------------------------------------

VERDICT_HEAD = ("run", "judged by", "base", "tuned", "difference", "p", "verdict", "lowest validation loss")
"""The columns of the table of verdicts, each against its own base; `verdict_cells` gives a row."""


def verdict_cells(each: Beside) -> list[str]:
    """A run's verdict, in the order of `VERDICT_HEAD`."""
    lowest = f"{each.lowest[1]:.3f} at step {each.lowest[0]:,}" if each.lowest else NOTHING
    if each.report is None:
        state = each.status.state if each.status else "damaged"
        return [each.title, f"not judged: {state}", *[NOTHING] * (len(VERDICT_HEAD) - 3), lowest]
    primary, test, noun = each.report.primary, each.report.verdict, each.report.asked.noun
    digits = primary.metric.digits + 1
    return [
        each.title,
        f"{primary.tells}, {each.report.n:,} {noun[each.report.n != 1]}",
        f"{primary.base:.{digits}f}",
        f"{primary.tuned:.{digits}f}",
        with_interval(primary.difference, test.interval, sign="+", digits=digits),
        p_value(test),
        test.outcome,
        lowest,
    ]


_CORRECTED = PAIR_HEAD.index("p, corrected")


def pair_head(group: Alike) -> list[str]:
    """The columns of the table of pairs; of a single one nothing is corrected."""
    return _without_corrected(PAIR_HEAD, group)


def pair_rows(group: Alike) -> list[list[str]]:
    """A row for each pair of a group, in the order of `pair_head`."""
    rows = (named_pair(pair, pair.one, pair.other, digits=group.metric.digits + 1) for pair in group.pairs)
    return [_without_corrected(row, group) for row in rows]


def _without_corrected(cells: Sequence[str], group: Alike) -> list[str]:
    return [each for place, each in enumerate(cells) if place != _CORRECTED or len(group.pairs) > 1]


def headline(group: Alike) -> str:
    """Which of a group is better than which, in a sentence or two."""
    differ = [pair for pair in group.pairs if pair.outcome != "no evidence"]
    scores = {each.letter: group.metric.said(each.report.primary.tuned) for each in group.runs if each.report}
    measured = ", ".join(f"{letter} {score}" for letter, score in scores.items())
    on = f"on the same {group.n:,} {group.noun[group.n != 1]} {group.metric.named} is {measured}"
    if not differ:
        names = listed(list(scores))
        which = f"{names} differ" if len(scores) == 2 else f"any two of {names} differ"
        return f"No evidence that {which}: {on}."
    better_than: dict[str, list[str]] = {}
    for pair in differ:
        winner, loser = (pair.other, pair.one) if pair.outcome == "better" else (pair.one, pair.other)
        better_than.setdefault(loser, []).append(winner)
    said = "; ".join(
        f"{listed(winners)} {'is' if len(winners) == 1 else 'are'} better than {loser}"
        for loser, winners in better_than.items()
    )
    rest = len(group.pairs) - len(differ)
    others = (
        f" No evidence that the other {'pair differs' if rest == 1 else f'{rest} pairs differ'}." if rest else ""
    )
    return f"{said}: {on}.{others}"


def rests_on(group: Alike) -> str:
    """What that rests on."""
    corrected = (
        f" The p-values of the {len(group.pairs)} pairs are corrected by Holm's method; the interval of a "
        "difference is that of its pair alone."
        if len(group.pairs) > 1
        else ""
    )
    return (
        f"By the {group.test} of the tuned models' answers to these rows, as the reports have them: whether the "
        f"models would differ on other rows like these. Of other seeds it says nothing.{corrected}"
    )

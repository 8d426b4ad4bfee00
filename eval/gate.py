"""The regression gate: is what is measured now worse than what was measured before, on the same rows?

A baseline holds the score of every row, so that now and then are compared pair by pair: a gate on two averages
either sleeps through a regression or cries at every rounding. It also holds the hashes of all that the scores
depend on, which may change only together with it; and the scores of the first baseline of its line, so that small
losses, each of which is no evidence, do not add up unseen. `eval/test_regression.py` runs it under pytest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.passages import passages_of
from data.tasks import Task
from data.tasks.task import REJECTED
from data.trained_rows import TrainedRows
from eval.compare import Result
from eval.documents import text_of
from eval.metrics import metric_named
from eval.report.folder import load
from eval.report.markdown import p_value, with_interval
from eval.report.schema import Report, RowResult
from eval.scores import judge
from eval.statistics import Judgement, fewest_rows
from plumbing.errors import RunError
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    import datasets

BASELINES = Path(__file__).parent / "baselines"
ALPHA = 0.01
"""The gate is run again and again: at this p-value each of the tests that it can fail by, three at most, calls an
honest run worse once in 200 times or more seldom."""
UPDATE = "pytest eval/ --update-baselines"
ALL = slice(None)

_HASHES = {"adapter_sha256": "tuned model", "prompt_sha256": "prompt", "test_sha256": "test set"}
_LINE = ("task", "metric", "base_weights_sha256", "adapter_sha256", "test_sha256")
"""What the baselines of one line share: with another of these, the scores are those of something else."""


class First(BaseModel):
    """The first baseline of a line, which no update overwrites."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: str = Field(description="float32, bfloat16 or nf4.")
    computed_in: str = Field(default="", description="What products were computed in; empty where not known.")
    created: str = Field(description="When it was measured: UTC, ISO 8601.")
    base: list[float] = Field(description="The base's score of each row, in the order of the test set.")
    tuned: list[float] = Field(description="The tuned model's score of each row.")


class Baseline(BaseModel):
    """What an adapter scored before, row by row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="The adapter's name.")
    task: str = Field(description="Its task.")
    metric: str = Field(description="The primary metric, whose scores these are.")
    base_model: str = Field(description="The base model's name.")
    origin: str = Field(description="Where the base weights came from; other weights have a baseline of their own.")
    base_weights_sha256: str = Field(description="SHA-256 over the base weights.")
    adapter_sha256: str = Field(description="SHA-256 of the weights of the adapter, or of the whole model.")
    prompt_sha256: str = Field(description="Hash of the prompt contract.")
    test_sha256: str = Field(description="SHA-256 over the test rows.")
    precision: str = Field(description="float32, bfloat16 or nf4.")
    computed_in: str = Field(default="", description="What products were computed in; empty where not known.")
    versions: dict[str, str] = Field(description="Versions of the libraries.")
    created: str = Field(description="When it was measured: UTC, ISO 8601.")
    base: list[float] = Field(description="The base's score of each row, in the order of the test set.")
    tuned: list[float] = Field(description="The tuned model's score of each row.")
    first: First | None = Field(default=None, description="The first of this line; none where this one is.")

    @classmethod
    def of(cls, name: str, report: Report, rows: Sequence[RowResult]) -> Baseline:
        """The baseline that a comparison makes."""
        metric = report.primary.name
        return cls(
            name=name,
            task=report.task,
            metric=metric,
            base_model=report.base.name,
            origin=report.base.origin,
            base_weights_sha256=report.base.weights_sha256,
            adapter_sha256=report.adapter_sha256,
            prompt_sha256=report.prompt_sha256,
            test_sha256=report.data.test_sha256,
            precision=report.precision,
            computed_in=report.computed_in,
            versions=report.versions,
            created=report.created,
            base=[row.base.scores[metric] for row in rows],
            tuned=[row.tuned.scores[metric] for row in rows],
        )

    def after(self, then: Baseline | None) -> Baseline:
        """This one in the place of `then`, which goes on as the first of the line unless another line begins."""
        if then is None or any(getattr(self, key) != getattr(then, key) for key in _LINE):
            return self
        return self.model_copy(update={"first": then.oldest})

    @property
    def oldest(self) -> First:
        """The first of the line: this one, where it has no other."""
        return self.first or First(**{key: getattr(self, key) for key in First.model_fields})


@dataclass(frozen=True)
class Outcome:
    """What the gate says."""

    failures: tuple[str, ...]
    """Empty where it is passed; else sentences."""
    notes: tuple[str, ...]
    table: str
    """Markdown: every pair of sides that was compared."""

    @property
    def passed(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        return "\n".join([self.table, *self.notes, *(f"FAILED: {failure}" for failure in self.failures)])


def baseline_file(name: str, origin: str, folder: Path = BASELINES) -> Path:
    """Where the baseline of adapter `name` on base weights from `origin` is kept."""
    return folder / f"{name}.{re.sub(r'[^a-z0-9]+', '-', origin.lower())}.json"


def read_baseline(path: Path) -> Baseline | None:
    """The baseline in `path`; None where there is none.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return Baseline.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RunError(
            f"The baseline {path.name} cannot be read: {str(error).splitlines()[0]}",
            got=str(path),
            fix=f"Restore it: git checkout -- {shlex.quote(str(path))}. Or remove it and then measure it again: "
            f"{UPDATE}. That begins a new line, in which what was lost before is not seen.",
        ) from None


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write it in the place of the one that is there, whose line it goes on with.

    Raises:
        RunError: what is there is damaged, so that the first of its line is not known.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, baseline.after(read_baseline(path)).model_dump_json(indent=1) + "\n")


def check(now: Baseline, then: Baseline | None, *, base_on: slice = ALL) -> Outcome:
    """Compare what is measured now with the baseline, or without one the tuned model with its base.

    Args:
        now: the scores.
        then: the baseline, where there is one.
        base_on: the rows that the base's scores of `now` are of; with a baseline they are shown and decide nothing.

    Fails where the paired test says worse at `ALPHA`, than the baseline or than the first of its line; where so few
    rows are compared that it never could; where adapter, prompt or test set changed and the baseline did not; and
    where the baseline holds another metric. Other precision, libraries or base weights of the same origin are
    noted, and judged by what they do to the scores.
    """
    some = "" if base_on == ALL else f" ({len(now.base)} rows)"
    gain = _judge(now.base, now.tuned[base_on], now)
    compared = [] if some else [_Line("base → tuned", now.base, now.tuned, gain)]
    if then is None:
        notes = [f"There is no baseline of {now.name} on weights from {now.origin}. To make one: {UPDATE}."]
        failures = []
        if gain.outcome != "better":
            few = f" ({len(now.base)} rows cannot show it)" if len(now.base) < fewest_rows(ALPHA) else ""
            failures = [
                f"without a baseline tuned has to be better than base, and the test says: {gain.outcome}{few}"
            ]
        return Outcome(tuple(failures), tuple(notes), _table(compared, now))
    failures = [
        f"the {what} changed, and the baseline did not ({getattr(then, key)[:12]} → {getattr(now, key)[:12]}). "
        f"If that was meant: {UPDATE}"
        for key, what in _HASHES.items()
        if getattr(now, key) != getattr(then, key)
    ]
    if apart := _not_comparable(now, then):
        failures.append(apart)
    elif now.test_sha256 == then.test_sha256:
        failures += _too_few(then, then.tuned)
        base = then.base[base_on]
        compared.append(_Line(f"base, then → now{some}", base, now.base, _judge(base, now.base, now)))
        change = _judge(then.tuned, now.tuned, now)
        compared.append(_Line("tuned, then → now", then.tuned, now.tuned, change))
        if change.outcome == "worse":
            failures.append(f"the tuned model got worse: {_change(then.tuned, now.tuned, change, now)}")
        if then.first and all(getattr(now, key) == getattr(then, key) for key in _LINE):
            slide = _judge(then.first.tuned, now.tuned, now)
            compared.append(_Line("tuned, first → now", then.first.tuned, now.tuned, slide))
            if slide.outcome == "worse":
                lost = _change(then.first.tuned, now.tuned, slide, now)
                failures.append(f"the tuned model slid since {then.first.created[:10]}: {lost}")
    return Outcome(tuple(failures), tuple(_notes(now, then)), _table(compared, now))


def check_run(
    now: Baseline, then: Baseline, against: Baseline | None, trained_on: Sequence[bool] | None = None
) -> Outcome:
    """Gate a run: against its base, against its own report, and against another run on the same rows.

    Args:
        now: the run's adapter, scored now.
        then: what its report says.
        against: the other run's adapter, scored now on the rows of this one.
        trained_on: of each row, whether the other run was trained on it: such rows are no test of it, and are left
            out of that comparison. None where it is not known.
    """
    outcome = check(now, then)
    gain = _judge(now.base, now.tuned, now)
    failures, notes, compared = list(outcome.failures), list(outcome.notes), []
    if gain.outcome == "worse":
        failures.append(f"the tuned model is worse than its base: {_change(now.base, now.tuned, gain, now)}")
    if against and (apart := _not_comparable(now, against)):
        failures.append(apart)
    elif against:
        new = [not trained for trained in trained_on or [False] * len(now.tuned)]
        before, after = list(compress(against.tuned, new)), list(compress(now.tuned, new))
        notes += _about_training(against, trained_on, len(after))
        failures += _too_few(against, before)
        if after:
            rival = _judge(before, after, now)
            compared = [_Line(f"{against.name} → {now.name}", before, after, rival)]
            if rival.outcome == "worse":
                failures.append(f"worse than {against.name}: {_change(before, after, rival, now)}")
    rows = [outcome.table, *(line.row() for line in compared)]
    return Outcome(tuple(failures), tuple(notes), "\n".join(rows))


def _about_training(against: Baseline, trained_on: Sequence[bool] | None, left: int) -> list[str]:
    if trained_on is None:
        return [
            f"Whether {against.name} was trained on some of these rows is not known: it keeps no record of them."
        ]
    if count := sum(trained_on):
        return [f"{against.name} was trained on {count:,} of these rows: it is compared on the other {left:,}."]
    return []


def _not_comparable(now: Baseline, then: Baseline) -> str:
    """Why scores of one are none of the other, in a sentence; empty where they are the same thing."""
    if now.task != then.task:
        return f"{then.name} is scored on the task '{then.task}' and {now.name} on '{now.task}': another question"
    if now.metric != then.metric:
        titles = (metric_named(one.metric).title for one in (then, now))
        return "scores of {} cannot be compared with scores of {}: measure both by one metric".format(*titles)
    if now.test_sha256 == then.test_sha256 and len(now.tuned) != len(then.tuned):
        return f"{then.name} has {len(then.tuned):,} scores for the {len(now.tuned):,} rows of the same test set"
    return ""


def _too_few(then: Baseline, before: Sequence[float]) -> list[str]:
    """A gate that cannot fail is none: a sentence, where the loss of all that `before` has would be no evidence."""
    needed = fewest_rows(ALPHA)
    losable = sum(score != 0 or not metric_named(then.metric).higher_is_better for score in before)
    if losable >= needed:
        return []
    return [
        f"this could never fail: of {len(before):,} rows {losable} of {then.name} could get worse, and "
        f"p ≤ {ALPHA:g} takes {needed}. Use a larger test set"
    ]


def frozen_rows(folder: Path, task: Task) -> tuple[Report, list[RowResult], datasets.Dataset]:
    """A report with its rows, and these as a test set with the columns of `task`, which they were judged by.

    Raises:
        RunError: there is no report in `folder`, or it is damaged, or of another task.
    """
    from datasets import Dataset

    report, read = load(folder)
    if report.task != task.name:
        raise RunError(
            f"The report is of the task '{report.task}', and the model beside it was tuned for '{task.name}'",
            got=str(folder),
            fix="Evaluate again.",
        )
    rows = list(read)
    if task.kind == "text":
        return report, rows, Dataset.from_dict({task.input_column: list(map(text_of, rows))})
    alone = all(len(row.references) == 1 for row in rows)
    targets = [row.references[0] if alone else row.references for row in rows]
    columns: dict[str, list[Any]] = {task.input_column: [row.asked for row in rows], task.target_column: targets}
    if all(row.rejected is not None for row in rows):
        columns[REJECTED] = [row.rejected for row in rows]
    return report, rows, Dataset.from_dict(columns)


def known_to(trained: TrainedRows, row: RowResult) -> bool:
    """Whether a model that was `trained` so has learned from a row: of a text, from any passage of it."""
    is_text = row.base.perplexity is not None
    return any(each in trained for each in (passages_of(text_of(row)) if is_text else [row.input]))


def measured(name: str, result: Result) -> Baseline:
    """A comparison just made, in the shape of a baseline."""
    return Baseline.of(name, result.report, result.rows)


@dataclass(frozen=True)
class _Line:
    what: str
    before: list[float]
    after: list[float]
    judgement: Judgement

    def row(self) -> str:
        test = self.judgement
        cells = [
            self.what,
            f"{_mean(self.before):.3f}",
            f"{_mean(self.after):.3f}",
            with_interval(test.difference, test.interval, sign="+"),
            p_value(test),
            test.outcome,
            self.caught(),
        ]
        return f"| {' | '.join(cells)} |"

    def caught(self) -> str:
        """The smallest loss that the test finds in 80 % of test sets; where no row differs there is no spread to
        tell it by, and any loss in so many rows is found if no row gains."""
        if self.judgement.detectable is not None:
            return f"{self.judgement.detectable:.3f}"
        needed = fewest_rows(ALPHA)
        return f"any in {needed} rows" if len(self.before) >= needed else "none"


def _table(lines: list[_Line], now: Baseline) -> str:
    title = f"{metric_named(now.metric).title}, {len(now.tuned):,} rows"
    change = f"difference ({1 - ALPHA:.0%} interval)"
    heads = f"{now.name} ({title}) | before | after | {change} | p | verdict | a loss it would catch"
    head = f"| {heads} |\n|---|---:|---:|---:|---:|---|---:|"
    return "\n".join([head, *(line.row() for line in lines)])


def _notes(now: Baseline, then: Baseline) -> list[str]:
    notes = []
    if (now.precision, now.computed_in) != (then.precision, then.computed_in):
        notes.append(f"Another precision than the baseline's: {_precision(then)} → {_precision(now)}.")
    if now.base_weights_sha256 != then.base_weights_sha256:
        notes.append(f"Other base weights than the baseline's, though from {now.origin} too.")
    if changed := [
        f"{name} {then.versions[name]} → {version}"
        for name, version in now.versions.items()
        if name in then.versions and then.versions[name] != version
    ]:
        notes.append(f"Other versions than the baseline's: {', '.join(changed)}.")
    return notes


def _precision(one: Baseline) -> str:
    plain = one.computed_in in ("", one.precision)
    return one.precision if plain else f"{one.precision} computed in {one.computed_in}"


def _judge(before: list[float], after: list[float], now: Baseline) -> Judgement:
    return judge(before, after, metric_named(now.metric), alpha=ALPHA)


def _change(before: list[float], after: list[float], judgement: Judgement, now: Baseline) -> str:
    title = metric_named(now.metric).title
    return f"{title} {_mean(before):.3f} → {_mean(after):.3f} on {len(after):,} rows, p {p_value(judgement)}"


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)

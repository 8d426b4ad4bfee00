"""The regression gate: is what is measured now worse than what was measured before, on the same rows?

A baseline holds the score of every row, so that now and then are compared pair by pair: a gate on two averages
either sleeps through a regression or cries at every rounding. It also holds the hashes of all that the scores
depend on, which may change only together with it. `eval/test_regression.py` runs it under pytest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import RunError
from data.tasks import TASKS, TaskName
from data.writing import write_atomically
from eval.aggregate import judge
from eval.harness import Result
from eval.markdown import p_value, with_interval
from eval.metrics.metric import metric_named
from eval.report import load
from eval.schema import Report, RowResult
from eval.statistics import Judgement

if TYPE_CHECKING:
    import datasets

BASELINES = Path(__file__).parent / "baselines"
ALPHA = 0.01
"""The gate is run again and again: at this p-value an honest run fails at most once in 200 times."""
UPDATE = "pytest eval/ --update-baselines"

_HASHES = {"adapter_sha256": "adapter", "prompt_sha256": "prompt", "test_sha256": "test set"}


class Baseline(BaseModel):
    """What an adapter scored before, row by row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="The adapter's name.")
    task: TaskName = Field(description="Its task.")
    metric: str = Field(description="The primary metric, whose scores these are.")
    base_model: str = Field(description="The base model's name.")
    origin: str = Field(description="Where the base weights came from; other weights have a baseline of their own.")
    base_weights_sha256: str = Field(description="SHA-256 over the base weights.")
    adapter_sha256: str = Field(description="SHA-256 of the adapter's weights file.")
    prompt_sha256: str = Field(description="Hash of the prompt contract.")
    test_sha256: str = Field(description="SHA-256 over the test rows.")
    precision: str = Field(description="float32, bfloat16 or nf4.")
    versions: dict[str, str] = Field(description="Versions of the libraries.")
    created: str = Field(description="When it was measured: UTC, ISO 8601.")
    base: list[float] = Field(description="The base's score of each row, in the order of the test set.")
    tuned: list[float] = Field(description="The tuned model's score of each row.")

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
            versions=report.versions,
            created=report.created,
            base=[row.base.scores[metric] for row in rows],
            tuned=[row.tuned.scores[metric] for row in rows],
        )


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
            fix=f"Restore it, or measure it again: {UPDATE}.",
        ) from None


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write it, replacing what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, baseline.model_dump_json(indent=1) + "\n")


def check(now: Baseline, then: Baseline | None) -> Outcome:
    """Compare what is measured now with the baseline, or without one the tuned model with its base.

    Fails where the paired test says worse at `ALPHA`, or where adapter, prompt or test set changed and the baseline
    did not. Other libraries or base weights of the same origin are noted, and judged by what they do to the scores.
    """
    gain = _judge(now.base, now.tuned, now)
    compared = [_Line("base → tuned", now.base, now.tuned, gain)]
    if then is None:
        notes = [f"There is no baseline of {now.name} on weights from {now.origin}. To make one: {UPDATE}."]
        failures = []
        if gain.outcome != "better":
            failures = [f"without a baseline tuned has to be better than base, and the test says: {gain.outcome}"]
        return Outcome(tuple(failures), tuple(notes), _table(compared, now))
    failures = [
        f"the {what} changed, and the baseline did not ({getattr(then, key)[:12]} → {getattr(now, key)[:12]}). "
        f"If that was meant: {UPDATE}"
        for key, what in _HASHES.items()
        if getattr(now, key) != getattr(then, key)
    ]
    if now.test_sha256 == then.test_sha256:
        for side in ("base", "tuned"):
            before, after = getattr(then, side), getattr(now, side)
            change = _judge(before, after, now)
            compared.append(_Line(f"{side}, then → now", before, after, change))
            if side == "tuned" and change.outcome == "worse":
                failures.append(f"the tuned model got worse: {_change(before, after, change, now)}")
    return Outcome(tuple(failures), tuple(_notes(now, then)), _table(compared, now))


def check_run(now: Baseline, then: Baseline, against: Baseline | None) -> Outcome:
    """Gate a run: against its base, against its own report, and against another run on the same rows.

    Args:
        now: the run's adapter, scored now.
        then: what its report says.
        against: the other run's adapter, scored now on the rows of this one.
    """
    outcome = check(now, then)
    gain = _judge(now.base, now.tuned, now)
    failures, compared = list(outcome.failures), []
    if gain.outcome == "worse":
        failures.append(f"the tuned model is worse than its base: {_change(now.base, now.tuned, gain, now)}")
    if against:
        rival = _judge(against.tuned, now.tuned, now)
        compared = [_Line(f"{against.name} → {now.name}", against.tuned, now.tuned, rival)]
        if rival.outcome == "worse":
            failures.append(f"worse than {against.name}: {_change(against.tuned, now.tuned, rival, now)}")
    rows = [outcome.table, *(line.row() for line in compared)]
    return Outcome(tuple(failures), outcome.notes, "\n".join(rows))


def frozen_rows(folder: Path) -> tuple[Report, list[RowResult], datasets.Dataset]:
    """A report with its rows, and these as a test set with the columns of the task.

    Raises:
        RunError: there is no report in `folder`, or it is damaged.
    """
    from datasets import Dataset

    report, read = load(folder)
    rows = list(read)
    task = TASKS[report.task]
    targets = [row.references[0] if len(row.references) == 1 else row.references for row in rows]
    columns = {task.input_column: [row.input for row in rows], task.target_column: targets}
    if any(isinstance(target, list) for target in targets):
        columns[task.target_column] = [row.references for row in rows]
    return report, rows, Dataset.from_dict(columns)


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
        ]
        return f"| {' | '.join(cells)} |"


def _table(lines: list[_Line], now: Baseline) -> str:
    title = f"{metric_named(now.metric).title}, {len(now.tuned):,} rows"
    change = f"difference ({1 - ALPHA:.0%} interval)"
    head = f"| {now.name} ({title}) | before | after | {change} | p | verdict |\n|---|---:|---:|---:|---:|---|"
    return "\n".join([head, *(line.row() for line in lines)])


def _notes(now: Baseline, then: Baseline) -> list[str]:
    notes = []
    if now.base_weights_sha256 != then.base_weights_sha256:
        notes.append(f"Other base weights than the baseline's, though from {now.origin} too.")
    if changed := [
        f"{name} {then.versions[name]} → {version}"
        for name, version in now.versions.items()
        if name in then.versions and then.versions[name] != version
    ]:
        notes.append(f"Other versions than the baseline's: {', '.join(changed)}.")
    return notes


def _judge(before: list[float], after: list[float], now: Baseline) -> Judgement:
    return judge(before, after, metric_named(now.metric), alpha=ALPHA)


def _change(before: list[float], after: list[float], judgement: Judgement, now: Baseline) -> str:
    title = metric_named(now.metric).title
    return f"{title} {_mean(before):.3f} → {_mean(after):.3f} on {len(after):,} rows, p {p_value(judgement)}"


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)

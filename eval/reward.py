"""A reward model against its base on pairs of answers: which of the two does each take for the better?

A base has no rewards: its head is new. What it has without any tuning is how probable it finds an answer, so the
rival is the language model's mean log-probability a token of each answer behind the same prompt: it takes the
answer with the higher one for the better. Beside both stand floors that read no question (`eval.floors.pairs`).
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from data.tasks import Task
from data.tasks.task import REJECTED, WHY, Input, as_text
from eval.aggregate import flips, metrics
from eval.calibration import brier_score, expected_calibration_error, reliability
from eval.floors.pairs import FLOORS, length, pair_margins
from eval.length_bias import length_bias
from eval.metrics.pair_accuracy import METRIC, takes_the_better
from eval.provenance import OnRows, Progress, Result, about, hash_rows, telling
from eval.report.rewards import Rewards, TellsKind
from eval.report.schema import Report, RowMessage, RowResult, SideResult
from eval.report.sections import CalibrationSide, DataInfo, FloorResult, TaskInfo
from eval.scores import judge
from models.context import max_positions, require_room_for_pairs
from models.likelihoods import log_likelihoods_of
from models.loading import load
from models.pair import Pair
from models.reward import BATCH_ROWS, score_answers
from models.sides import Alone
from plumbing.errors import DataError

if TYPE_CHECKING:
    import datasets

NOUN = ("pair", "pairs")
"""What a row of the report is called."""


@dataclass(frozen=True)
class _Pairs:
    """Rows of pairs, column by column."""

    inputs: list[Input]
    better: list[str]
    worse: list[str]

    @classmethod
    def of(cls, rows: datasets.Dataset, task: Task, what: str) -> _Pairs:
        """Raises a `DataError` where a column is missing, or there are no rows."""
        columns = [*task.columns, REJECTED]
        if missing := [column for column in columns if column not in rows.column_names]:
            raise DataError(
                f"The {what} lacks the column {missing[0]!r}",
                got=rows.column_names,
                fix=f"A reward model is judged on pairs: {', '.join(columns)}, which holds the worse answer.",
            )
        if not len(rows):
            raise DataError(f"The {what} is empty", fix="Give at least one pair.")
        read = list(rows.select_columns(columns))
        return cls(
            [task.input_of(row) for row in read],
            [task.references(row)[0] for row in read],
            [str(row[REJECTED]) for row in read],
        )

    @property
    def answers(self) -> list[tuple[str, str]]:
        return list(zip(self.better, self.worse, strict=True))


def compare_rewards(
    pair: Pair,
    test: datasets.Dataset,
    *,
    train: datasets.Dataset | None = None,
    data_spec: str = "",
    split: str = "test",
    batch_size: int | None = None,
    on_progress: Progress | None = None,
) -> Result:
    """Let base and tuned choose between the two answers of every row of `test`, and judge the difference.

    Args:
        pair: of kind `reward`.
        test: rows with the task's columns and the worse answer of each pair.
        train: training rows, for the floor that learns from them.
        data_spec: where the rows come from, for the report.
        split: which split they are, for the report.
        batch_size: answers a batch, at most.
        on_progress: told what is being done and how far it is.

    Raises:
        DataError: `test` or `train` is empty or lacks a column, or a row does not fit into the model.
    """
    assert pair.prompter is not None
    task = replace(pair.task, metric=METRIC.name)
    pairs = _Pairs.of(test, task, "test set")
    require_room_for_pairs(test, pair.prompter, limit=max_positions(pair.model.config))
    learned = _Pairs.of(train, task, "training set") if train is not None else None
    tell, started = telling(on_progress), time.perf_counter()
    rewards = score_answers(
        pair,
        [*pairs.inputs, *pairs.inputs],
        [*pairs.better, *pairs.worse],
        batch_size=batch_size or BATCH_ROWS,
        on_batch=tell("The rewards of both answers"),
    )
    found = log_probabilities(pair, pairs.inputs, pairs.answers, on_rows=tell("How probable the base finds them"))
    rows = _rows(pairs, found, _both(rewards))
    seconds = time.perf_counter() - started
    references = [[better, worse] for better, worse in pairs.answers]
    report = Report(
        task=task.name,
        about=TaskInfo(kind=task.kind, title=task.title, noun=NOUN),
        kind=pair.kind,
        n=len(rows),
        metrics=metrics(rows, task),
        flips=flips(rows, task),
        rewards=rewards_of(rows, test[WHY][:] if WHY in test.column_names else ()),
        floors=_floors(pairs, learned, rows),
        data=DataInfo(
            spec=data_spec,
            split=split,
            test_sha256=hash_rows(list(map(as_text, pairs.inputs)), references),
        ),
        train_rows=len(learned.inputs) if learned else 0,
        batch_size=batch_size or BATCH_ROWS,
        tokenizer="",
        max_new_tokens=None,
        seconds=seconds,
        **about(pair),
    )
    return Result(report, rows)


def log_probabilities(
    pair: Pair, inputs: Sequence[Input], answers: Sequence[tuple[str, str]], *, on_rows: OnRows = None
) -> list[tuple[float, float]]:
    """How probable the base, as a language model, finds both answers of each pair: the mean over their tokens.

    It is opened beside the reward model, and gone afterwards.
    """
    assert pair.prompter is not None
    task, base = pair.task, Alone(load(pair.base, kind="causal", precision=pair.precision))
    rows = [
        {task.input_column: given, task.target_column: both[place]}
        for place in (0, 1)
        for given, both in zip(inputs, answers, strict=True)
    ]
    # Of a chat what was said before is the same for both answers.
    examples = [replace(each, spans=each.spans[-1:]) for each in pair.prompter.encode_rows(rows)]
    summed = log_likelihoods_of(base, examples, on_batch=on_rows)
    means = [total / max(1, each.learned) for total, each in zip(summed, examples, strict=True)]
    del base
    gc.collect()
    return _both(means)


def rewards_of(rows: Sequence[RowResult], whys: Sequence[str | None] = ()) -> Rewards:
    """What the rewards of a comparison's rows amount to.

    Args:
        rows: pairs.
        whys: what is wrong with the worse answer of each, where that is said.
    """
    tuned, base = ([_given(getattr(row, side)) for row in rows] for side in ("tuned", "base"))
    margins = [better - worse for better, worse in tuned]
    sure = [1 / (1 + math.exp(-abs(margin))) for margin in margins]
    right = [float(margin > 0) for margin in margins]
    of_better = [chance if margin > 0 else 1 - chance for chance, margin in zip(sure, margins, strict=True)]
    shares = [{"better": chance, "worse": 1 - chance} for chance in of_better]
    everything = [reward for both in tuned for reward in both]
    return Rewards(
        mean=fmean(everything),
        spread=pstdev(everything),
        margin=fmean(margins),
        calibration=CalibrationSide(
            expected_calibration_error=expected_calibration_error(sure, right),
            brier_score=brier_score(shares, ["better"] * len(rows)),
            bins=reliability(sure, right),
        ),
        length=length_bias(
            [length(row.references[0]) - length(row.rejected or "") for row in rows],
            [better - worse for better, worse in base],
            margins,
        ),
        kinds=_kinds(rows, whys),
    )


def _kinds(rows: Sequence[RowResult], whys: Sequence[str | None]) -> list[TellsKind]:
    """The most frequent first."""
    found: dict[str, list[RowResult]] = {}
    for row, why in zip(rows, whys, strict=False):
        if why:
            found.setdefault(str(why), []).append(row)
    return [
        TellsKind(
            why=why,
            pairs=len(some),
            base=fmean(row.base.scores[METRIC.name] for row in some),
            tuned=fmean(row.tuned.scores[METRIC.name] for row in some),
        )
        for why, some in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _given(side: SideResult) -> tuple[float, float]:
    assert side.rewards is not None
    return side.rewards


def _both(values: Sequence[float]) -> list[tuple[float, float]]:
    """Values of all better answers and then of all worse ones → of each pair."""
    return list(zip(values[: len(values) // 2], values[len(values) // 2 :], strict=True))


def _rows(
    pairs: _Pairs, base: Sequence[tuple[float, float]], tuned: Sequence[tuple[float, float]]
) -> list[RowResult]:
    def side(answers: tuple[str, str], values: tuple[float, float]) -> SideResult:
        taken = _taken(answers, values[0] - values[1])
        scores = {METRIC.name: takes_the_better(taken, answers[:1])}
        return SideResult(answer=taken, scores=scores, rewards=values)

    return [
        RowResult(
            input=as_text(given),
            references=[answers[0]],
            rejected=answers[1],
            base=side(answers, before),
            tuned=side(answers, after),
            messages=None if isinstance(given, str) else [RowMessage.model_validate(dict(one)) for one in given],
        )
        for given, answers, before, after in zip(pairs.inputs, pairs.answers, base, tuned, strict=True)
    ]


def _taken(answers: tuple[str, str], margin: float) -> str:
    """The answer that is taken for the better one; none where they cannot be told apart."""
    return answers[0] if margin > 0 else answers[1] if margin < 0 else ""


def _floors(pairs: _Pairs, learned: _Pairs | None, rows: Sequence[RowResult]) -> list[FloorResult]:
    margins = pair_margins(pairs.answers, learned.answers if learned else [])
    tuned = [row.tuned.scores[METRIC.name] for row in rows]
    found = []
    for floor in FLOORS:
        if floor.name in margins:
            right = [float(margin > 0) for margin in margins[floor.name]]
            found.append(
                FloorResult(
                    name=floor.name,
                    sentence=floor.sentence,
                    scores={METRIC.name: fmean(right)},
                    judgement=judge(right, tuned, METRIC),
                    doing=floor.doing,
                )
            )
    return found

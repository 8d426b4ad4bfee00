"""Held-out pairs and thumbs: what base and tuned find more probable, and what tuning has done to either answer.

Rows have what `data.tasks.task.BESIDES` names beside the columns of their task. What the numbers mean is said in
`eval.report.preferences`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from data.repeats import one_row_a_text
from data.splits import same_text
from data.tasks import Task
from data.tasks.task import LIKED, REJECTED, WHY
from eval.areas import area, area_intervals
from eval.report.preferences import Areas, Divergence, OfKind, Preference, Thumbs
from eval.statistics import judge_labels, mean_interval, wilson
from models.context import max_positions
from models.encoded import EncodedExample
from models.likelihoods import TurnLikelihood, log_likelihoods

if TYPE_CHECKING:
    from datasets import Dataset

    from models.pair import Pair

OnRows = Callable[[int, int], None]


@dataclass(frozen=True)
class _Answer:
    """How probable both sides find an answer."""

    found: TurnLikelihood

    @property
    def base(self) -> float:
        """The mean log-probability a token."""
        return self.found.base / self.found.tokens

    @property
    def tuned(self) -> float:
        return self.found.tuned / self.found.tokens

    @property
    def gained(self) -> float:
        """The implicit reward, in nats."""
        return self.found.tuned - self.found.base


def good_answers(rows: Dataset, task: Task) -> Dataset:
    """The rows whose answer is a good one, one a text, as any task has them; other rows as they are."""
    if LIKED not in rows.column_names:
        return rows
    from datasets import Dataset

    liked = [{name: value for name, value in row.items() if name != LIKED} for row in rows if row[LIKED]]
    return Dataset.from_list(_alike(one_row_a_text(liked, task)[0], task)) if liked else rows.select([])


def judge_pairs(pair: Pair, rows: Dataset, on_progress: OnRows | None = None) -> Preference | None:
    """What both sides make of pairs; None where the rows are none, or none of them fits into the model."""
    if REJECTED not in rows.column_names or pair.kind != "causal" or not _answers(pair.task):
        return None
    task = pair.task
    some: list[dict[str, Any]] = [dict(row) for row in rows]
    better, worse, places = _encoded(pair, some, [[task.references(row)[0], row[REJECTED]] for row in some])
    if not places:
        return None
    good, bad = _found(pair, better, worse, on_progress)
    both = list(zip(good, bad, strict=True))
    base = [float(one.base > other.base) for one, other in both]
    tuned = [float(one.tuned > other.tuned) for one, other in both]
    margins = [one.gained - other.gained for one, other in both]
    rewarded = sum(margin > 0 for margin in margins)
    n = len(both)
    return Preference(
        pairs=n,
        left_out=len(some) - n,
        base=fmean(base),
        tuned=fmean(tuned),
        base_interval=wilson(round(sum(base)), n),
        tuned_interval=wilson(round(sum(tuned)), n),
        judgement=judge_labels(base, tuned),
        rewarded=rewarded / n,
        rewarded_interval=wilson(rewarded, n),
        margin=fmean(margins),
        margin_interval=mean_interval(margins),
        better_gained=fmean(one.gained for one in good),
        worse_gained=fmean(other.gained for other in bad),
        longer=fmean(one.found.tokens > other.found.tokens for one, other in both),
        divergence=_divergence(good),
        kinds=_kinds([some[place].get(WHY) for place in places], base, tuned, margins),
    )


def _kinds(
    whys: Sequence[str | None], base: Sequence[float], tuned: Sequence[float], margins: Sequence[float]
) -> list[OfKind]:
    """By what is wrong with the worse answer, the most frequent first; nothing where rows do not say."""
    found: dict[str, list[int]] = {}
    for place, why in enumerate(whys):
        if why:
            found.setdefault(str(why), []).append(place)
    return [
        OfKind(
            why=why,
            pairs=len(places),
            base=fmean(base[place] for place in places),
            tuned=fmean(tuned[place] for place in places),
            rewarded=fmean(margins[place] > 0 for place in places),
        )
        for why, places in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def judge_thumbs(pair: Pair, rows: Dataset, on_progress: OnRows | None = None) -> Thumbs | None:
    """What both sides make of answers with thumbs; None as in `judge_pairs`."""
    if LIKED not in rows.column_names or pair.kind != "causal" or not _answers(pair.task):
        return None
    task = pair.task
    some: list[dict[str, Any]] = [dict(row) for row in rows]
    examples, places = _encoded(pair, some, [[task.references(row)[0]] for row in some])
    if not places:
        return None
    thumbs = [bool(some[place][LIKED]) for place in places]
    order = [place for wanted in (True, False) for place, thumb in enumerate(thumbs) if thumb is wanted]
    up = sum(thumbs)
    good, bad = _found(pair, [examples[at] for at in order[:up]], [examples[at] for at in order[up:]], on_progress)
    groups = [same_text(task.text_of(some[places[at]])) for at in order]
    return Thumbs(
        liked=up,
        disliked=len(thumbs) - up,
        left_out=len(some) - len(places),
        areas=_areas(good, bad, groups) if good and bad else None,
        liked_gained=fmean(one.gained for one in good) if good else None,
        disliked_gained=fmean(one.gained for one in bad) if bad else None,
        divergence=_divergence(good) if good else None,
    )


def _answers(task: Task) -> bool:
    return task.kind in ("generation", "chat")


def _encoded(pair: Pair, rows: Sequence[dict[str, Any]], answers: Sequence[Sequence[str]]) -> Any:
    """A list of examples for each of a row's answers, of the rows that fit into the model, and which these are."""
    assert pair.prompter is not None
    limit = max_positions(pair.model.config)
    given = [pair.task.input_of(row) for row in rows]
    encoded = pair.prompter.encode_answers(given, *zip(*answers, strict=True)) if rows else []
    longest = [len(prompt) + max(map(len, sides)) for prompt, *sides in encoded]
    places = [place for place, tokens in enumerate(longest) if limit is None or tokens <= limit]
    kept = [encoded[place] for place in places]
    count = len(answers[0]) if rows else 1
    sides = ([EncodedExample.of(each[0], each[number]) for each in kept] for number in range(1, count + 1))
    return *sides, places


def _found(
    pair: Pair, good: Sequence[EncodedExample], bad: Sequence[EncodedExample], on_progress: OnRows | None
) -> tuple[list[_Answer], list[_Answer]]:
    """How probable both sides find them; of the good ones also how far they are apart."""
    total = len(good) + len(bad)

    def telling(before: int) -> OnRows | None:
        return (lambda done, _: on_progress(before + done, total)) if on_progress else None

    better = log_likelihoods(pair, good, divergence=True, on_batch=telling(0)) if good else []
    worse = log_likelihoods(pair, bad, on_batch=telling(len(good))) if bad else []
    return [_Answer(each) for each in better], [_Answer(each) for each in worse]


def _divergence(answers: Sequence[_Answer]) -> Divergence:
    tokens = sum(one.found.tokens for one in answers)
    return Divergence(nats=sum(one.found.divergence or 0.0 for one in answers) / tokens, tokens=tokens)


def _areas(good: Sequence[_Answer], bad: Sequence[_Answer], groups: Sequence[str]) -> Areas:
    answers, marks = [*good, *bad], [True] * len(good) + [False] * len(bad)
    scores = {
        "base": [one.base for one in answers],
        "tuned": [one.tuned for one in answers],
        "rewarded": [one.gained for one in answers],
    }
    intervals = area_intervals(scores, marks, groups)
    found = {name: area(values, marks) for name, values in scores.items()}
    return Areas.model_validate(found | {f"{name}_interval": each for name, each in intervals.items()})


def _alike(rows: Sequence[dict[str, Any]], task: Task) -> list[dict[str, Any]]:
    """The rows with a list of references each, where one of them has several: a column has one type."""
    if not any(isinstance(row[task.target_column], list) for row in rows):
        return list(rows)
    return [{**row, task.target_column: task.references(row)} for row in rows]

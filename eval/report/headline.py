"""The verdict in sentences: what changed, what takes from its worth, and what it rests on.

For who never saw a p-value. Knows values only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from eval.paired_shares import mcnemar_p
from eval.report.schema import Report
from eval.report.sections import Confusion, MetricResult

UNTRAINED_HEAD = (
    "The base here has a classification head of random weights, so it answers by chance and is no fair rival: "
    'compare the tuned model with "frozen base + logistic regression" and TF-IDF instead.'
)
BASE_OF_REWARDS = (
    "The base here gives no rewards: it takes the answer that it finds more probable as a language model, by the "
    "mean log-probability of its tokens."
)
_DOING_BEFORE = {"first two turns": "repeating the first two turns", "longest turn": "repeating the longest turn"}
"""What floors of reports of before do, which do not say so."""
_MOST_NAMED = 3
"""Labels that a sentence names."""


def headline(report: Report) -> str:
    """The verdict in a sentence: `Better: on 380 reviews accuracy rose from 0.51 to 0.78.`

    What takes from its worth is said first: that the rows were trained on, labels that they lack, and a rival that
    takes no learning.
    """
    caveats = [*_known_rows(report), *_rows_of_labels(report), *_rivals_that_read_nothing(report)]
    than = " than the base" if caveats else ""
    return " ".join([*caveats, compared(report.primary, report.n, report.asked.noun, than=than)])


def compared(metric: MetricResult, n: int, noun: tuple[str, str], *, than: str = "") -> str:
    """Tuned against base by a metric that has a test, after `Better` what it is better `than`, if that is needed.

    `n` rows, which `noun` says what they are called: one, several.
    """
    what, verdict = metric.metric, metric.judgement
    assert verdict is not None, "a metric of rows has a test"
    title = what.named if what.named_higher_is_better else f"{what.named}, where lower is better,"
    on = f"on {n:,} {noun[n != 1]} {title}"
    base, tuned = what.said(metric.base), what.said(metric.tuned)
    if verdict.outcome == "no evidence":
        return f"No evidence of a change: {on} is {base} before and {tuned} after."
    rose = (verdict.difference > 0) == (what.higher_is_better == what.named_higher_is_better)
    verb = "rose" if rose else "fell"
    return f"{verdict.outcome.capitalize()}{than}: {on} {verb} from {base} to {tuned}."


def _known_rows(report: Report) -> Iterator[str]:
    """A sentence where someone asked to judge rows that were trained on, and there were some."""
    selection = report.data.selection
    if selection and selection.trained_kept and selection.trained_on:
        yield "Judged on rows that it was trained on, too: this says little about new ones."


def _rows_of_labels(report: Report) -> Iterator[str]:
    if report.confusion is not None:
        rows = map(sum, report.confusion.base)
        yield from labels_without_rows(dict(zip(report.confusion.labels, rows, strict=True)))


def labels_without_rows(counts: Mapping[str, int]) -> Iterator[str]:
    """A sentence where a label is right in no test row: the scores then say nothing about it.

    `counts` has the test rows of each label.
    """
    there = [label for label, count in counts.items() if count]
    lacking = _either([label for label, count in counts.items() if not count])
    if len(there) == 1:
        yield f"Every test row is {there[0]}: this says nothing about rows that are {lacking}."
    elif lacking:
        yield f"No test row is {lacking}: this says nothing about such rows."


def _either(labels: Sequence[str]) -> str:
    """`a, b or c`; of very many only the first, and how many more."""
    if len(labels) > _MOST_NAMED + 1:
        return f"{', '.join(labels[:_MOST_NAMED])} or one of {len(labels) - _MOST_NAMED} others"
    return " or ".join([part for part in (", ".join(labels[:-1]), *labels[-1:]) if part])


def _rivals_that_read_nothing(report: Report) -> Iterator[str]:
    """A sentence where tuned is not shown to be better than an answer that takes no learning.

    Labels: always the test rows' most frequent one, by the paired test of the verdict. Texts: the best floor.
    """
    metric = report.primary
    if report.confusion and metric.metric.kind == "binary":
        totals = list(map(sum, report.confusion.tuned))
        yield from constant_answer(report.confusion, totals, report.verdict.alpha)
        return
    doing = {floor.name: floor.doing or _DOING_BEFORE.get(floor.name, "") for floor in report.floors}
    floors = [floor for floor in report.floors if doing[floor.name] and metric.name in floor.scores]
    sign = 1 if metric.metric.higher_is_better else -1
    best = max(floors, key=lambda floor: sign * floor.scores[metric.name], default=None)
    if best is None:
        return
    rival = f"{doing[best.name]} ({metric.metric.said(best.scores[metric.name])})"
    if sign * metric.tuned <= sign * best.scores[metric.name]:
        yield f"No better than {rival}."
    elif best.judgement and best.judgement.outcome == "no evidence":
        yield f"No evidence that it is better than {rival}."


def constant_answer(confusion: Confusion, totals: Sequence[int], alpha: float) -> Iterator[str]:
    """A sentence where tuned is not shown to be better than the test rows' most frequent label, always.

    `totals` has the test rows of each label, in the order of the table.
    """
    common, n = totals.index(max(totals)), sum(totals)
    if totals[common] == n:
        return  # only one label is there, which is said already
    gains = sum(row[place] for place, row in enumerate(confusion.tuned) if place != common)
    losses = totals[common] - confusion.tuned[common][common]
    rival = f"always answering {confusion.labels[common]} ({totals[common] / n:.2f})"
    if gains <= losses:
        yield f"No better than {rival}."
    elif mcnemar_p(gains, losses) > alpha:
        yield f"No evidence that it is better than {rival}."


def explanation(report: Report) -> str:
    """What the verdict rests on, in sentences that need no statistics, and what was amiss in training."""
    head = {"classifier": UNTRAINED_HEAD, "reward": BASE_OF_REWARDS}.get(report.kind, "")
    return " ".join(part for part in (ground(report.primary), head, report.training) if part)


def ground(metric: MetricResult) -> str:
    """What a metric's verdict rests on: how large the difference may be, or what so many rows could have shown."""
    verdict, digits, told = metric.judgement, metric.metric.digits, metric.metric.told
    assert verdict is not None, "a metric of rows has a test"
    if verdict.outcome == "no evidence":
        if verdict.detectable is None and verdict.interval.low == verdict.interval.high == 0:
            return "That is because every row scores the same before and after, so there is nothing to judge by."
        if verdict.detectable is None:
            return "So few rows can show nothing, however large the difference. Use a larger test set."
        if told is not None:
            shown = sorted(told.times(sign * verdict.detectable) for sign in (1, -1))
            return (
                f"That is not proof that nothing changed: {verdict.n:,} rows can show a {told.title} of "
                f"{shown[0]:.2f} times what it was or less, or {shown[1]:.2f} times or more, and this one is "
                f"{told.times(verdict.difference):.2f} times."
            )
        return (
            f"That is not proof that nothing changed: {verdict.n:,} rows can show a difference of "
            f"{verdict.detectable:.{digits}f} or more, and this one is {verdict.difference:+.{digits}f}."
        )
    true = (
        f"The true difference is probably between {verdict.interval.low:+.{digits}f} and "
        f"{verdict.interval.high:+.{digits}f}."
    )
    if told is not None:
        low, high = sorted(map(told.times, (verdict.interval.low, verdict.interval.high)))
        true = f"The true {told.title} is probably {low:.2f} to {high:.2f} times what it was."
    return (
        f"{true} If tuning changed nothing, a difference this large would turn up in "
        f"{_seldom(verdict.p_value)} test sets."
    )


def _seldom(p_value: float) -> str:
    """`fewer than 1 in 1,000`, `about 1 in 40`."""
    return "fewer than 1 in 1,000" if p_value < 0.001 else f"about 1 in {max(1, round(1 / p_value)):,}"

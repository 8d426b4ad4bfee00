"""A verdict's numbers as tables of text: the same cells in the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.lab.words import NOT_MEASURED, PAIR_HEAD, named_pair
from eval.report.figures import (
    FEW_ROWS,
    METRIC_HEAD,
    PAIRS_SHOWN,
    WRITING_TITLES,
    metric_cells,
    p_text,
    p_value,
    with_interval,
)
from eval.report.sections import ClassScores, Confusion, Writing
from eval.verdict.circumstances import standard_numbers
from eval.verdict.pairs import leaderboard as places
from eval.verdict.schema import Comparison, SideResult, Suspect, Verdict
from eval.verdict.words import corrected, is_one_pair, outcome, titled

_CHARS = 200
"""Of a reference in a table."""


@dataclass(frozen=True)
class Grid:
    """A table; the first cell of a row names it."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def leaderboard(verdict: Verdict) -> Grid:
    """A row a side by the primary metric, the best first; a place is a range where sides are not told apart."""
    by, digits = verdict.by, verdict.by.digits + 1
    compared = {each.tuned: each for each in verdict.comparisons}
    rows = []
    for place in places(verdict):
        key = place.key
        cells = [titled(verdict, key), place.place, with_interval(place.value, place.interval, digits=digits)]
        if key not in compared:
            rows.append([*cells, "the base", "", ""])
            continue
        metric = compared[key].primary
        interval = metric.judgement.interval if metric.judgement else None
        difference = with_interval(metric.difference, interval, sign="+", digits=digits)
        rows.append([*cells, difference, p_text(corrected(verdict, key)), outcome(verdict, key)])
    way = "" if by.higher_is_better else ", lower is better"
    head = ["side", "place", f"{by.title}{way} (95 % interval)", "against the base", "p, corrected", "verdict"]
    return Grid("Every side, on the same rows", head, rows)


def metrics(comparison: Comparison, verdict: Verdict) -> Grid:
    """Every metric of one tuned side against the base."""
    rows = []
    for metric in comparison.metrics:
        cells = metric_cells(metric)
        if metric.primary and not is_one_pair(verdict):
            after = p_text(corrected(verdict, comparison.tuned))
            cells[-2:] = [f"{cells[-2]}, corrected {after}", outcome(verdict, comparison.tuned)]
        rows.append(cells)
    return Grid(f"{titled(verdict, comparison.tuned)} against the base, by every metric", METRIC_HEAD, rows)


def pairs(verdict: Verdict) -> Grid:
    """All pairs of sides."""
    digits = verdict.by.digits + 1
    rows = [
        named_pair(pair, titled(verdict, pair.one), titled(verdict, pair.other), digits=digits)
        for pair in verdict.pairs
    ]
    return Grid("Each pair of sides, judged on the same rows", PAIR_HEAD, rows)


def slices(comparison: Comparison, verdict: Verdict) -> Grid:
    """The primary metric by slice, the worst first."""
    digits = verdict.by.digits + 1
    rows = [
        [
            f"{each.by} = {each.value}",
            f"{each.n:,}",
            f"{each.base:.{digits}f}",
            f"{each.tuned:.{digits}f}",
            with_interval(each.judgement.difference, each.judgement.interval, sign="+", digits=digits),
            p_text(each.judgement.p_value),
            p_text(each.corrected),
            each.outcome,
        ]
        for each in comparison.slices
    ]
    head = ["slice", "rows", "base", "tuned", "difference", "p", "p, corrected", "verdict"]
    return Grid(f"{verdict.by.title} by slice", head, rows)


def classes(found: Sequence[ClassScores]) -> Grid:
    """Precision, recall and F1 of each label."""
    rows = []
    for each in found:
        sides = [(each.base.precision, each.tuned.precision), (each.base.recall, each.tuned.recall),
                 (each.base.f1, each.tuned.f1)]  # fmt: skip
        few = " (few)" if each.support < FEW_ROWS else ""
        rows.append([each.label, f"{each.support:,}{few}", *(f"{base:.2f} → {tuned:.2f}" for base, tuned in sides)])
    return Grid("Each label, base → tuned", ["label", "test rows", "precision", "recall", "F1"], rows)


def confused(confusion: Confusion) -> Grid:
    """The labels that are confused most often."""
    rows = [
        [pair.right, pair.answered, f"{pair.base:,}", f"{pair.tuned:,}"]
        for pair in confusion.most_confused(PAIRS_SHOWN)
    ]
    return Grid("What is confused with what, in rows", ["right label", "answered", "base", "tuned"], rows)


def writing(found: Writing) -> Grid:
    """How the answers are written."""
    rows = [
        [title, f"{getattr(found.base, name):.2f}", f"{getattr(found.tuned, name):.2f}"]
        for name, title in WRITING_TITLES.items()
    ]
    return Grid("How the answers are written", ["mean of the answers", "base", "tuned"], rows)


def calibration(comparison: Comparison) -> Grid | None:
    """Whether probabilities mean what they say; None where they are not known."""
    found = comparison.calibration
    if found is None:
        return None
    names = {"calibration error": "expected_calibration_error", "Brier score": "brier_score"}
    rows = [
        [f"{title}, lower is better", f"{getattr(found.base, name):.3f}", f"{getattr(found.tuned, name):.3f}"]
        for title, name in names.items()
    ]
    return Grid("How sure the sides are, and how right", ["", "base", "tuned"], rows)


def likelihood(comparison: Comparison) -> Grid | None:
    """How probable both sides find the reference answers; None where one cannot tell."""
    test = comparison.likelihood
    if test is None:
        return None
    difference = with_interval(test.difference, test.interval, sign="+")
    row = ["nats a token", difference, p_value(test), test.outcome]
    return Grid("The reference answers' likelihood", ["", "difference", "p", "verdict"], [row])


def suspects(found: Sequence[Suspect]) -> Grid:
    """Rows to look at."""
    rows = [
        [f"{each.row:,}", _brief(each.reference), _brief(each.instead) or NOT_MEASURED, f"{each.loss:.2f}"]
        for each in found
    ]
    return Grid("Rows to look at", ["row", "says", "the sides say", "loss, nats"], rows)


def standard(verdict: Verdict) -> Grid:
    """Standard benchmarks: a row for each and each tuned side."""
    base = verdict.sides[0].info.key
    rows = [
        [f"{task.name}, {task.metric}", f"{task.n:,}", titled(verdict, key), standard_numbers(task, base, key)]
        for task in verdict.standard
        for key in task.comparisons
    ]
    return Grid("Standard benchmarks", ["benchmark", "questions", "side", "against the base"], rows)


def sides(verdict: Verdict) -> Grid:
    """What each side is."""
    head = ["side", "kind", "on", "precision", "parameters", "weights' SHA-256", "prompt's SHA-256"]
    rows = []
    for side in verdict.sides:
        info = side.info
        revision = f" at {info.revision[:12]}" if info.revision else ""
        rows.append(
            [
                f"{info.key}: {info.name}{revision}",
                info.kind,
                info.base or NOT_MEASURED,
                info.precision or NOT_MEASURED,
                NOT_MEASURED if info.parameters is None else f"{info.parameters:,}",
                info.weights_sha256[:16] or "not known",
                side.prompt.sha256[:16],
            ]
        )
    return Grid("What answered", head, rows)


def spent(verdict: Verdict) -> Grid:
    """What the answers took."""
    head = ["side", "seconds", "tokens read", "tokens written", "requests", "made again", "from the cache", "cost"]
    return Grid("What the answers took", head, [_spent(verdict, side) for side in verdict.sides])


def _spent(verdict: Verdict, side: SideResult) -> list[str]:
    used = side.spent
    counted = [used.prompt_tokens, used.tokens, used.requests, used.retries, used.from_cache]
    cost = NOT_MEASURED if used.dollars is None else f"${used.dollars:.4f}"
    return [titled(verdict, side.info.key), f"{used.seconds:.1f}", *(f"{each:,}" for each in counted), cost]


def _brief(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _CHARS else f"{flat[: _CHARS - 1]}…"

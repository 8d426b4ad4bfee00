"""Numbers of a report as they are written: with their intervals, a p-value, a metric as a row of a table."""

from __future__ import annotations

from eval.report.sections import Flips, MetricResult
from eval.statistics import Interval, Judgement

PAIRS_SHOWN = 10
"""Labels that are confused most often, where there are very many labels."""
FEW_ROWS = 10
"""Test rows of a label below which its own scores say little."""
WRITING_TITLES = {
    "length_ratio": "length / reference",
    "novelty": "words not in what was asked",
    "repetition": "repeated runs of three words",
    "empty": "empty answers",
    "cut_off": "answers cut off",
}
"""What is measured of how answers are written, by its name in `eval.text_quality`."""
METRIC_HEAD = ("metric", "base", "tuned", "difference", "p", "verdict")
"""The columns of a table of metrics; `metric_cells` gives a row."""


def metric_cells(metric: MetricResult) -> list[str]:
    """A metric of both sides as a row of a table, in the order of `METRIC_HEAD`."""
    test, digits = metric.judgement, metric.metric.digits + 1
    return [
        metric.tells if metric.primary else f"{metric.tells} (exploratory)",
        with_interval(metric.base, metric.base_interval, digits=digits),
        with_interval(metric.tuned, metric.tuned_interval, digits=digits),
        with_interval(metric.difference, test.interval if test else None, sign="+", digits=digits),
        p_value(test),
        test.outcome if test else "",
    ]


def flipped(flips: Flips, metric: MetricResult) -> str:
    """`14 rows went from wrong to right, 3 went from right to wrong, 83 neither.`"""
    binary = metric.metric.kind == "binary"
    right = "went from wrong to right" if binary else f"gained in {metric.title}"
    wrong = "went from right to wrong" if binary else "lost"
    neither = f"changed by less than {flips.threshold:g}" if flips.threshold else "neither"
    rows = "row" if flips.gained == 1 else "rows"
    return f"{flips.gained:,} {rows} {right}, {flips.lost:,} {wrong}, {flips.same:,} {neither}."


def p_value(test: Judgement | None) -> str:
    """`0.030`, `< 0.001`, or nothing."""
    return "" if test is None else p_text(test.p_value)


def p_text(value: float) -> str:
    """The same of a number."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def of_any_size(number: float) -> str:
    """`61.8`, `4,321.5`; a million or more as `2.4e+09`: a perplexity that exploded."""
    return f"{number:,.1f}" if number < 1e6 else f"{number:.1e}"


def with_interval(value: float, interval: Interval | None, *, sign: str = "", digits: int = 3) -> str:
    """`0.765 (0.721 to 0.804)`."""

    def written(number: float) -> str:
        return f"{number:{sign}.{digits}f}"

    if interval is None:
        return written(value)
    return f"{written(value)} ({written(interval.low)} to {written(interval.high)})"

"""Numbers of a report as they are written: with their intervals, and a test's p-value."""

from __future__ import annotations

from eval.statistics import Interval, Judgement


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

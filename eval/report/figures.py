"""Numbers of a report as they are written: with their intervals, and a test's p-value."""

from __future__ import annotations

from eval.statistics import Interval, Judgement


def p_value(test: Judgement | None) -> str:
    """`0.030`, `< 0.001`, or nothing."""
    return "" if test is None else p_text(test.p_value)


def p_text(value: float) -> str:
    """The same of a number."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def with_interval(value: float, interval: Interval | None, *, sign: str = "", digits: int = 3) -> str:
    """`0.765 (0.721 to 0.804)`."""

    def written(number: float) -> str:
        return f"{number:{sign}.{digits}f}"

    if interval is None:
        return written(value)
    return f"{written(value)} ({written(interval.low)} to {written(interval.high)})"

"""A verdict's plots as SVG: every side's score, and the difference to the base, overall and by slice.

Names stand beside what they name, and the numbers are written out: nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.lab.plots import WIDTH, figure
from eval.lab.scales import Scale, round_ticks
from eval.report.figures import with_interval
from eval.statistics import Interval
from eval.verdict.schema import Comparison, Verdict
from eval.verdict.words import best_first, is_one_pair, titled
from plumbing.markup import Child, Markup, tag

LEFT, RIGHT, TOP, LINE, BOTTOM = 270, 220, 10, 30, 52
_LETTERS = 40
"""Of a name; a longer one is cut."""
MOST_SLICES = 30


@dataclass(frozen=True)
class Bar:
    """A value with its interval, on a line of its own."""

    name: str
    value: float
    interval: Interval | None
    tuned: bool = True
    """Filled, and in the colour of tuned; else that of base."""


def scores_plot(verdict: Verdict) -> Markup:
    """Every side's score with its interval."""
    sign, ranked = (-1 if verdict.by.higher_is_better else 1), verdict.sides
    ranked = sorted(ranked, key=lambda side: sign * side.scores[0].value)
    base = verdict.sides[0]
    bars = [
        Bar(titled(verdict, side.info.key), side.scores[0].value, side.scores[0].interval, side is not base)
        for side in ranked
    ]
    said = f"{verdict.by.title} of each side on {verdict.n:,} rows, with its 95 % interval"
    return forest(bars, verdict.by.title, said, digits=verdict.by.digits + 1)


def differences_plot(verdict: Verdict) -> Markup:
    """Every tuned side's difference to the base, and the margin where one was asked for."""
    bars = [
        Bar(titled(verdict, each.tuned), each.primary.difference, each.verdict.interval)
        for each in best_first(verdict)
    ]
    margins = [each.margin.margin for each in verdict.comparisons if each.margin]
    sign = -1 if verdict.by.higher_is_better else 1
    way = "" if verdict.by.higher_is_better else ", where lower is better"
    said = f"Difference in {verdict.by.title} to the base{way}, with its 95 % interval"
    lines = {0.0: "base", **({sign * margins[0]: "margin"} if margins else {})}
    return forest(
        bars, f"difference in {verdict.by.title}", said, lines=lines, digits=verdict.by.digits + 1, sign="+"
    )


def slices_plot(verdict: Verdict, comparison: Comparison) -> Markup | None:
    """The difference to the base on each slice, the worst first; None without any."""
    if not comparison.slices:
        return None
    shown = comparison.slices[:MOST_SLICES]
    bars = [
        Bar(f"{each.by} = {each.value} ({each.n:,})", each.judgement.difference, each.judgement.interval)
        for each in shown
    ]
    who = "" if is_one_pair(verdict) else f" of {titled(verdict, comparison.tuned)}"
    some = (
        f", the {MOST_SLICES} worst of {len(comparison.slices):,}" if len(comparison.slices) > MOST_SLICES else ""
    )
    said = f"Difference{who} to the base in {verdict.by.title} by slice{some}, each with its own 95 % interval"
    title = f"difference in {verdict.by.title}"
    return forest(bars, title, said, lines={0.0: "base"}, digits=verdict.by.digits + 1, sign="+")


def forest(
    bars: Sequence[Bar],
    axis: str,
    said: str,
    *,
    lines: dict[float, str] | None = None,
    digits: int = 3,
    sign: str = "",
) -> Markup:
    """Values with their intervals, one under the other, on one axis; `lines` stand upright at values, named."""
    ends = [end for bar in bars for end in _ends(bar)] + list(lines or ())
    ticks = round_ticks(min(ends), max(ends))
    across = Scale(ticks[0], ticks[-1], LEFT, WIDTH - RIGHT)
    height = TOP + LINE * len(bars) + BOTTOM
    foot = height - BOTTOM
    marks: list[Child] = []
    for tick in ticks:
        x = f"{across.place(tick):.1f}"
        marks.append(tag("line", x1=x, x2=x, y1=TOP, y2=foot, class_="lab-grid"))
        marks.append(_text(f"{tick:{sign}.3g}" if tick else "0", x, foot + 18, "middle", "lab-tick"))
    for value, name in (lines or {}).items():
        x = f"{across.place(value):.1f}"
        marks.append(tag("line", tag("title", name), x1=x, x2=x, y1=TOP, y2=foot, class_="lab-zero"))
    for number, bar in enumerate(bars):
        marks += _bar(bar, across, TOP + LINE * number + LINE / 2, digits, sign)
    marks.append(_text(axis, (LEFT + WIDTH - RIGHT) / 2, height - 10, "middle", "lab-tick"))
    return figure(marks, said, height=height)


def _bar(bar: Bar, across: Scale, y: float, digits: int, sign: str) -> list[Child]:
    name = bar.name if len(bar.name) <= _LETTERS else f"{bar.name[: _LETTERS - 1]}…"
    look = "" if bar.tuned else " lab-untrained"
    written = with_interval(bar.value, bar.interval, sign=sign, digits=digits)
    marks: list[Child] = [_text(name, LEFT - 12, y + 4, "end", "lab-name")]
    if bar.interval is not None:
        ends = {"x1": f"{across.place(bar.interval.low):.1f}", "x2": f"{across.place(bar.interval.high):.1f}"}
        marks.append(tag("line", y1=f"{y:.1f}", y2=f"{y:.1f}", class_=f"lab-interval{look}", **ends))
    title = tag("title", f"{bar.name}: {written}")
    dot: dict[str, Child] = {"cx": f"{across.place(bar.value):.1f}", "cy": f"{y:.1f}", "r": 5}
    marks.append(tag("circle", title, class_=f"lab-dot{look}", **dot))
    marks.append(_text(written, WIDTH - RIGHT + 12, y + 4, "start", "lab-name"))
    return marks


def _text(written: str, x: float | str, y: float, anchor: str, look: str) -> Markup:
    placed: dict[str, Child] = {
        "x": x if isinstance(x, str) else f"{x:.1f}",
        "y": f"{y:.1f}",
        "text_anchor": anchor,
    }
    return tag("text", written, class_=look, **placed)


def _ends(bar: Bar) -> tuple[float, ...]:
    return (bar.value, bar.interval.low, bar.interval.high) if bar.interval else (bar.value,)

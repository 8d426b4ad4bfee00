"""The plots of a lab as SVG: quality against what learns, gain against forgetting, quality by training rows.

Names stand at the points, and an option that is trained has a filled point: nothing is told by colour alone. All
numbers are in the table as well. Looks are in `plots.css`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.lab.scales import Scale, beside, log_ticks, round_ticks, short
from eval.lab.schema import LabResult, OptionResult
from eval.lab.words import titled
from eval.statistics import Interval
from plumbing.markup import Child, Markup, join, tag

CSS = (Path(__file__).parent / "plots.css").read_text(encoding="utf-8")

WIDTH, HEIGHT = 900, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 16, 52
_NOTHING = 90
"""Width of the column for options in which nothing learns, which no logarithm has a place for."""
_DASHES = ("", "7 4", "2 3", "10 3 2 3")


@dataclass(frozen=True)
class _Point:
    name: str
    x: float
    y: float
    trained: bool
    interval: Interval | None = None
    said: str = ""


def quality_plot(result: LabResult) -> Markup | None:
    """Each option's score with its interval, over the number of parameters that learn; None without any."""
    options = [option for option in result.compared if option.cost.trainable is not None]
    if not options:
        return None
    across = _learning_scale([option.cost.trainable or 0 for option in options])
    up = _up(_ends(option.mean, option.interval) for option in options)
    points = [
        _Point(
            titled(option, result),
            across.place(option.cost.trainable) if option.cost.trainable else LEFT + _NOTHING / 2,
            up.place(option.mean or 0.0),
            option.trained,
            option.interval,
            f"{titled(option, result)}: {option.mean:.3f}, {option.cost.trainable or 0:,} parameters learn",
        )
        for option in options
    ]
    marks: list[Child] = [
        _grid(up, result.by.title),
        _across([(across.place(tick), short(tick)) for tick in log_ticks(across.low, across.high)]),
    ]
    if any(not option.cost.trainable for option in options):
        x = LEFT + _NOTHING
        marks.append(tag("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="lab-grid"))
        marks.append(_tick(LEFT + _NOTHING / 2, "nothing"))
    said = f"{result.by.title} of each option with its 95 % interval, over the number of parameters that learn"
    return figure([*marks, _axis_name("parameters that learn"), *_drawn(points, up)], said)


def forgetting_plot(result: LabResult) -> Markup | None:
    """Each option's gain over its base against what it cost on general text; None where not two have both."""
    options = [option for option in result.compared if option.gain is not None and option.elsewhere is not None]
    if len(options) < 2:
        return None
    ratios = [option.elsewhere.ratio for option in options if option.elsewhere]
    # Room on both sides; and a change of a percent is not drawn as if it were a large one.
    low, high = min(*ratios, 1 / 1.02) / 1.01, max(*ratios, 1.05) * 1.02
    across = Scale(low, high, LEFT + 20, WIDTH - RIGHT - 20, log=True)
    up = _up([(0.0, 0.0), *(_ends(option.gain, option.gain_interval) for option in options)])
    points = [
        _Point(
            titled(option, result),
            across.place(ratio),
            up.place(option.gain or 0.0),
            option.trained,
            option.gain_interval,
            f"{titled(option, result)}: gain {option.gain:+.3f}, perplexity of general text × {ratio:.2f}",
        )
        for option, ratio in zip(options, ratios, strict=True)
    ]
    one, zero = across.place(1.0), up.place(0.0)
    marks: list[Child] = [
        _grid(up, f"gain in {result.by.title}", sign="+"),
        _across([(across.place(tick), f"× {tick:.3g}") for tick in _ratio_ticks(low, high)]),
        tag("line", x1=f"{one:.1f}", x2=f"{one:.1f}", y1=TOP, y2=HEIGHT - BOTTOM, class_="lab-zero"),
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{zero:.1f}", y2=f"{zero:.1f}", class_="lab-zero"),
    ]
    said = f"Gain in {result.by.title} over the base, over what became of the perplexity of general text"
    name = "perplexity of general text, tuned by base: right of 1 something was forgotten"
    return figure([*marks, _axis_name(name), *_drawn(points, up)], said)


def curve_plot(result: LabResult) -> Markup | None:
    """Each option's score over the number of training rows; None where not several numbers were tried."""
    if not result.is_curve:
        return None
    counts = sorted({option.rows for option in result.measured if option.rows})
    if len(counts) < 2:
        return None
    across = Scale(counts[0], counts[-1], LEFT + 20, WIDTH - RIGHT - 190, log=True)
    up = _up(_ends(option.mean, option.interval) for option in result.measured)
    lines: dict[str, list[OptionResult]] = {}
    for option in result.measured:
        lines.setdefault(option.name, []).append(option)
    marks: list[Child] = [_grid(up, result.by.title), _across([(across.place(one), f"{one:,}") for one in counts])]
    ends, names = [], list(lines)
    for number, options in enumerate(lines.values()):
        line, end = _line(options, across, up, _DASHES[number % len(_DASHES)])
        marks.append(line)
        ends.append(end)
    for (x, y, anchor), name in zip(beside(ends, names, right=WIDTH), names, strict=True):
        marks.append(tag("text", name, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_="lab-name"))
    said = f"{result.by.title} of each option with its 95 % interval, over the number of training rows"
    return figure([*marks, _axis_name("training rows")], said)


# ---- parts -------------------------------------------------------------------------------------------------


def figure(marks: Sequence[Child], said: str, *, height: int = HEIGHT) -> Markup:
    """A plot of these `marks` that says what it shows."""
    drawing = tag("svg", *marks, viewBox=f"0 0 {WIDTH} {height}", class_="lab-plot", role="img", aria_label=said)
    box = tag("div", drawing, class_="lab-plot-box", tabindex=0, role="region", aria_label=said)
    return tag("figure", box, tag("figcaption", f"{said}.", class_="lab-caption"), class_="lab-figure")


def _drawn(points: Sequence[_Point], up: Scale) -> list[Markup]:
    """Intervals first, then points over them, then names."""
    marks = [_interval(point.x, point.interval, up, point.trained) for point in points if point.interval]
    marks += [_dot(point.x, point.y, point.trained, point.said) for point in points]
    places = beside([(point.x, point.y) for point in points], [point.name for point in points], right=WIDTH - 4)
    for point, (x, y, anchor) in zip(points, places, strict=True):
        marks.append(tag("text", point.name, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_="lab-name"))
    return marks


def _line(
    options: Sequence[OptionResult], across: Scale, up: Scale, dashes: str
) -> tuple[Markup, tuple[float, float]]:
    """One option's line with its intervals, and where it ends; one without a number of rows is level."""
    trained = options[0].trained
    look = "lab-line" if trained else "lab-line lab-untrained"
    by_rows = sorted((option for option in options if option.rows), key=lambda option: option.rows or 0)
    if not by_rows:
        y = up.place(options[0].mean or 0.0)
        ends: dict[str, Child] = {"x1": LEFT, "x2": f"{across.end:.1f}", "y1": f"{y:.1f}", "y2": f"{y:.1f}"}
        return tag("line", class_=look, stroke_dasharray=dashes or None, **ends), (across.end, y)
    places = [(across.place(option.rows or 1), up.place(option.mean or 0.0)) for option in by_rows]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = [tag("polyline", points=path, class_=look, stroke_dasharray=dashes or None)]
    for option, (x, y) in zip(by_rows, places, strict=True):
        if option.interval:
            marks.append(_interval(x, option.interval, up, trained))
        marks.append(_dot(x, y, trained, f"{option.name}, {option.rows:,} rows: {option.mean:.3f}"))
    return tag("g", *marks), places[-1]


def _dot(x: float, y: float, trained: bool, said: str) -> Markup:
    look = "lab-dot" if trained else "lab-dot lab-untrained"
    return tag("circle", tag("title", said), cx=f"{x:.1f}", cy=f"{y:.1f}", r=5, class_=look)


def _interval(x: float, interval: Interval, up: Scale, trained: bool) -> Markup:
    ends = {"y1": f"{up.place(interval.low):.1f}", "y2": f"{up.place(interval.high):.1f}"}
    look = "lab-interval" if trained else "lab-interval lab-untrained"
    return tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", class_=look, **ends)


def _up(ends: Iterable[tuple[float, float]]) -> Scale:
    """The upward axis, from a round number to a round number around all `ends`."""
    lows, highs = zip(*ends, strict=True)
    ticks = round_ticks(min(lows), max(highs))
    return Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)


def _ends(mean: float | None, interval: Interval | None) -> tuple[float, float]:
    return (interval.low, interval.high) if interval else (mean or 0.0, mean or 0.0)


def _learning_scale(counts: Sequence[int]) -> Scale:
    """The axis of parameters that learn, right of the column for nothing, if that is needed."""
    some = [count for count in counts if count] or [1]
    start = LEFT + (_NOTHING if len(some) < len(counts) or not any(counts) else 0)
    return Scale(min(some) / 2, max(some) * 2, start + 16, WIDTH - RIGHT - 60, log=True)


def _ratio_ticks(low: float, high: float) -> list[float]:
    """Round ratios between the two, 1 among them."""
    ticks = round_ticks(low, high, about=5) if high / low < 4 else [1.0, *log_ticks(low, high)]
    return sorted({1.0, *(tick for tick in ticks if low <= tick <= high)})


def _grid(up: Scale, name: str, *, sign: str = "") -> Markup:
    marks = []
    for tick in round_ticks(up.low, up.high):
        y = f"{up.place(tick):.1f}"
        marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="lab-grid"))
        place: dict[str, Child] = {"x": LEFT - 8, "y": f"{up.place(tick) + 4:.1f}", "text_anchor": "end"}
        marks.append(tag("text", f"{tick:{sign}.3g}" if tick else "0", class_="lab-tick", **place))
    middle = f"{(TOP + HEIGHT - BOTTOM) / 2:.0f}"
    upwards: dict[str, Child] = {
        "x": 14,
        "y": middle,
        "transform": f"rotate(-90 14 {middle})",
        "text_anchor": "middle",
    }
    return join([*marks, tag("text", name, class_="lab-tick", **upwards)])


def _across(ticks: Iterable[tuple[float, str]]) -> Markup:
    return join(_tick(x, written) for x, written in ticks)


def _tick(x: float, written: str) -> Markup:
    return tag("text", written, x=f"{x:.1f}", y=HEIGHT - BOTTOM + 18, text_anchor="middle", class_="lab-tick")


def _axis_name(name: str) -> Markup:
    return tag("text", name, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 10, text_anchor="middle", class_="lab-tick")

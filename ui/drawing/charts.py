"""Loss curve, probabilities, differences row by row and reliability as small SVG and HTML drawings.

Drawn on the server: a few kilobytes at most, no plotting library in the page, and the colours are the theme's own,
so *base* and *tuned* look the same here as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from eval.calibration import ReliabilityBin
from eval.statistics import Interval
from ui.drawing.markup import Markup, join, tag

WIDTH, HEIGHT = 1140, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 30
LOW_HEIGHT = 140
"""Of what is drawn under a loss."""
SQUARE, SQUARE_LEFT = 220, 42
LINES_DRAWN = 400
"""Of a plot with a line for each row: more would lie on top of each other."""

Point = tuple[float, float]


def loss_curve(
    train: Sequence[Point],
    validation: Sequence[Point] = (),
    *,
    total: int = 0,
    stretch: int = 1,
    kept: str = "",
) -> Markup:
    """Loss over optimizer steps, as (step, loss) points; `total` steps is where the axis ends.

    `stretch` is how many steps the lowest and the highest point stand for, where not all are drawn. `kept` is what
    the step with the lowest validation loss is called in the drawing; empty marks none.
    """
    train = [point for point in train if math.isfinite(point[1])]
    validation = [point for point in validation if math.isfinite(point[1])]
    if not train:
        return tag("div", "The loss curve starts with the first step.", class_="ba-empty-chart")
    values = [loss for _, loss in (*train, *validation)]
    top = _nice_ceiling(max(values))
    last = max(total, int(max(step for step, _ in (*train, *validation))), 1)

    def place(point: Point) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * point[0] / last
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - point[1] / top)
        return f"{x:.1f},{y:.1f}"

    lines = [tag("polyline", points=" ".join(map(place, train)), class_="ba-line")]
    if validation:
        lines.append(tag("polyline", points=" ".join(map(place, validation)), class_="ba-line ba-line-validation"))
    for point in (train[-1], *validation):
        x, y = place(point).split(",")
        lines.append(tag("circle", cx=x, cy=y, r=3.5, class_="ba-dot"))
    best = min(validation, key=lambda point: point[1]) if kept and validation else None
    if best:
        x, y = place(best).split(",")
        lines.append(tag("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="ba-kept"))
        lines.append(tag("circle", cx=x, cy=y, r=6, class_="ba-kept"))
    drawing = tag(
        "svg",
        _grid(top, last),
        *lines,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="ba-chart",
        role="img",
        aria_label=f"Loss after {train[-1][0]:.0f} steps: {train[-1][1]:.3f}",
    )
    now = f"training loss {train[-1][1]:.3f} at step {train[-1][0]:.0f}"
    if validation:
        now += f" · validation loss {validation[-1][1]:.3f} (dashed)"
    if best:
        now += f" · {kept}: step {best[0]:.0f}, validation loss {best[1]:.3f}"
    if stretch > 1:
        now += f" · drawn are the lowest and the highest of every {stretch:,} steps"
    return tag("figure", drawing, tag("figcaption", now, class_="ba-small"), class_="ba-figure")


def curve(
    title: str,
    train: Sequence[Point],
    validation: Sequence[Point] = (),
    *,
    total: int = 0,
    kept: tuple[str, Point] | None = None,
) -> Markup:
    """Anything that was measured with the steps, as (step, value) points of training and of validation rows.

    `kept` is one of the latter that is marked, and what it is called.
    """
    both = [*train, *validation]
    ticks = _ticks_between(min(value for _, value in both), max(value for _, value in both))
    last = max(total, int(max(step for step, _ in both)), 1)

    def place(point: Point) -> tuple[str, str]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * point[0] / last
        y = TOP + (LOW_HEIGHT - TOP - BOTTOM) * (ticks[-1] - point[1]) / (ticks[-1] - ticks[0])
        return f"{x:.1f}", f"{y:.1f}"

    marks = []
    for tick in ticks:
        x, y = place((0, tick))
        marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="ba-grid"))
        marks.append(tag("text", f"{tick:.3g}", x=LEFT - 8, y=y, dy=4, text_anchor="end", class_="ba-tick"))
    marks += _steps(last, LOW_HEIGHT)
    for points, look in ((train, "ba-line"), (validation, "ba-line ba-line-validation")):
        if points:
            marks.append(tag("polyline", points=" ".join(map(",".join, map(place, points))), class_=look))
            x, y = place(points[-1])
            marks.append(tag("circle", cx=x, cy=y, r=3.5, class_="ba-dot"))
    now = [
        f"{name} {points[-1][1]:.3g}"
        for name, points in (("training", train), ("validation", validation))
        if points
    ]
    said = f"{title}: {' · '.join(now)}{' (dashed)' if validation else ''}"
    if kept:
        x, y = place(kept[1])
        marks.append(tag("line", x1=x, x2=x, y1=TOP, y2=LOW_HEIGHT - BOTTOM, class_="ba-kept"))
        marks.append(tag("circle", cx=x, cy=y, r=6, class_="ba-kept"))
        said += f" · {kept[0]}: step {kept[1][0]:.0f}, {kept[1][1]:.3g}"
    drawing = tag(
        "svg", *marks, viewBox=f"0 0 {WIDTH} {LOW_HEIGHT}", class_="ba-chart", role="img", aria_label=said
    )
    return tag("figure", drawing, tag("figcaption", said, class_="ba-small"), class_="ba-figure")


def against(points: Sequence[tuple[float, float, float]], *, across: str, up: str) -> Markup:
    """One measurement against another as both went on, as (step, across, up): a way from the first to the last.

    Where a model gets more of what it is paid for and less of what is wanted, the way leads to the right and down.
    """
    ticks = [
        _ticks_between(min(values), max(values)) for values in zip(*(point[1:] for point in points), strict=True)
    ]

    def place(point: tuple[float, float, float]) -> tuple[float, float]:
        x, y = ((value - axis[0]) / (axis[-1] - axis[0]) for value, axis in zip(point[1:], ticks, strict=True))
        return SQUARE_LEFT + SQUARE * x, TOP + SQUARE * (1 - y)

    marks = []
    for value in ticks[0]:
        x, y = place((0, value, ticks[1][0]))
        marks.append(tag("text", f"{value:.3g}", x=f"{x:.1f}", y=y + 18, text_anchor="middle", class_="ba-tick"))
    for value in ticks[1]:
        x, y = place((0, ticks[0][0], value))
        marks.append(tag("line", x1=SQUARE_LEFT, x2=SQUARE_LEFT + SQUARE, y1=y, y2=y, class_="ba-grid"))
        marks.append(tag("text", f"{value:.3g}", x=SQUARE_LEFT - 6, y=y + 4, text_anchor="end", class_="ba-tick"))
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))
    marks.append(tag("polyline", points=way, class_="ba-line"))
    for point in points:
        x, y = place(point)
        said = f"step {point[0]:.0f}: {across} {point[1]:.3g}, {up} {point[2]:.3g}"
        radius = 6 if point is points[-1] else 3.5
        marks.append(tag("circle", tag("title", said), cx=f"{x:.1f}", cy=f"{y:.1f}", r=radius, class_="ba-dot"))
    first, last = points[0], points[-1]
    said = (
        f"{across} (across) against {up} (up), from step {first[0]:.0f} to {last[0]:.0f}, the large dot: "
        f"{first[1]:.3g} → {last[1]:.3g}, {first[2]:.3g} → {last[2]:.3g}"
    )
    drawing = tag(
        "svg",
        *marks,
        viewBox=f"0 0 {SQUARE_LEFT + SQUARE + 20} {TOP + SQUARE + 24}",
        class_="ba-chart ba-square",
        role="img",
        aria_label=said,
    )
    return tag("figure", drawing, tag("figcaption", said, class_="ba-small"), class_="ba-figure")


def label_bars(labels: Sequence[str], probabilities: Sequence[float], *, side: str) -> Markup:
    """One bar a label; `side` is `base` or `tuned`."""
    return tag(
        "div",
        *(
            tag(
                "div",
                tag("span", label, class_="ba-bar-name"),
                _bar(probability, side),
                tag("span", f"{probability:.0%}", class_="ba-bar-value"),
                class_="ba-bar-row",
            )
            for label, probability in zip(labels, probabilities, strict=True)
        ),
        class_="ba-bars",
    )


def differences(changes: Sequence[float], mean: float, interval: Interval, *, what: str) -> Markup:
    """A line for each row's change, sorted, with the zero line, and the mean in the band of its interval.

    `what` says what a line is: `One line a dialogue: …`. Of very many rows, evenly spaced ones are drawn.
    """
    ordered = sorted(changes)
    drawn = ordered
    if len(ordered) > LINES_DRAWN:
        drawn = [ordered[round(i * (len(ordered) - 1) / (LINES_DRAWN - 1))] for i in range(LINES_DRAWN)]
        what += f" ({LINES_DRAWN} of {len(ordered):,} lines are drawn)"
    ticks = _ticks_between(min(ordered[0], interval.low, 0.0), max(ordered[-1], interval.high, 0.0))

    def y(value: float) -> str:
        return f"{100 * (ticks[-1] - value) / (ticks[-1] - ticks[0]):.2f}%"

    width = min(6.0, max(0.75, 220 / len(drawn)))
    marks = [tag("line", x1="0", x2="100%", y1=y(tick), y2=y(tick), class_="ba-grid") for tick in ticks]
    for number, change in enumerate(drawn):
        x = f"{100 * (number + 0.5) / len(drawn):.2f}%"
        side = "ba-tuned-mark" if change > 0 else "ba-base-mark"
        if change:
            marks.append(tag("line", x1=x, x2=x, y1=y(0), y2=y(change), stroke_width=f"{width:.2f}", class_=side))
        marks.append(tag("circle", cx=x, cy=y(change), r=f"{0.5 + width / 2:.2f}", class_=side))
    band = 100 * (interval.high - interval.low) / (ticks[-1] - ticks[0])
    marks += [
        tag("rect", x="0", width="100%", y=y(interval.high), height=f"{band:.2f}%", class_="ba-band"),
        tag("line", x1="0", x2="100%", y1=y(mean), y2=y(mean), class_="ba-mean"),
        tag("line", x1="0", x2="100%", y1=y(0), y2=y(0), class_="ba-zero"),
    ]
    # Percentages for places and pixels for letters: the same drawing is legible in a wide and in a narrow column.
    plot = tag("svg", *marks, width="100%", height="100%", aria_hidden="true")
    scale = [tag("span", f"{tick:+.3g}" if tick else "0", style=f"top:{y(tick)}") for tick in ticks]
    said = f"mean {mean:+.3f}, 95 % interval {interval.low:+.3f} to {interval.high:+.3f}"
    return tag(
        "figure",
        tag("div", plot, *scale, class_="ba-plot", role="img", aria_label=f"{what}; {said}"),
        tag("figcaption", f"{what}. ", tag("i", class_="ba-band-key"), f" {said}.", class_="ba-small"),
        class_="ba-figure",
    )


def outcomes(right: int, gained: int, lost: int, wrong: int) -> Markup:
    """Shares of the rows that stayed right, became right, became wrong and stayed wrong, as one divided bar."""
    parts = [
        ("right → right", right, "ba-both-right"),
        ("wrong → right", gained, "ba-tuned-fill"),
        ("right → wrong", lost, "ba-base-fill"),
        ("wrong → wrong", wrong, "ba-both-wrong"),
    ]
    n = sum(count for _, count, _ in parts)
    bar = [tag("span", class_=look, style=f"flex-grow:{count}") for _, count, look in parts if count]
    said = ", ".join(f"{name}: {count:,}" for name, count, _ in parts)
    legend = [
        tag("li", tag("i", class_=look), name, " ", tag("b", f"{count:,}"), f" ({count / n:.0%})")
        for name, count, look in parts
    ]
    return tag(
        "figure",
        tag("div", *bar, class_="ba-outcomes", role="img", aria_label=f"Before → after, of {n:,} rows. {said}"),
        tag("ul", tag("li", f"Of {n:,} rows, before → after:"), *legend, class_="ba-legend"),
        class_="ba-figure",
    )


def reliability(base: Sequence[ReliabilityBin], tuned: Sequence[ReliabilityBin]) -> Markup:
    """Confidence against the share that is right, for each side that has any; on the diagonal, they are equal."""
    sides = [(side, bins) for side, bins in (("base", base), ("tuned", tuned)) if bins]
    points = [*base, *tuned]
    # With two labels no answer is less sure than 0.5.
    start = 0.4 if all(point.low >= 0.4 for point in points) else 0.0
    most = max(point.n for point in points)

    def place(confidence: float, accuracy: float) -> tuple[float, float]:
        return SQUARE_LEFT + SQUARE * (confidence - start) / (1 - start), TOP + SQUARE * (1 - accuracy)

    marks = [_square_grid(start)]
    (x1, y1), (x2, y2) = place(start, start), place(1, 1)
    marks.append(tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_="ba-diagonal"))
    for side, bins in sides:
        placed = [(*place(point.mean_confidence, point.accuracy), point) for point in bins]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in placed)
        marks.append(tag("polyline", points=line, class_=f"ba-reliability ba-{side}-mark"))
        for x, y, point in placed:
            said = f"{side}: {point.n:,} answers, {point.mean_confidence:.0%} sure, {point.accuracy:.0%} right"
            radius = f"{2.5 + 5 * math.sqrt(point.n / most):.1f}"
            dot = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": radius}
            marks.append(tag("circle", tag("title", said), class_=f"ba-{side}-mark", **dot))
    drawing = tag(
        "svg",
        *marks,
        viewBox=f"0 0 {SQUARE_LEFT + SQUARE + 20} {TOP + SQUARE + 24}",
        class_="ba-chart ba-square",
        role="img",
        aria_label="Confidence (across) against the share of answers that are right (up), for "
        + " and ".join(side for side, _ in sides),
    )
    return tag("figure", drawing, class_="ba-figure")


def _square_grid(start: float) -> Markup:
    """The axes of a square plot of shares: from `start` across, from 0 up."""
    marks = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = TOP + SQUARE * (1 - value)
        marks.append(tag("line", x1=SQUARE_LEFT, x2=SQUARE_LEFT + SQUARE, y1=y, y2=y, class_="ba-grid"))
        marks.append(tag("text", f"{value:.0%}", x=SQUARE_LEFT - 6, y=y + 4, text_anchor="end", class_="ba-tick"))
    for value in (start, (1 + start) / 2, 1.0):
        x = SQUARE_LEFT + SQUARE * (value - start) / (1 - start)
        y = TOP + SQUARE + 18
        marks.append(tag("text", f"{value:.0%}", x=f"{x:.1f}", y=y, text_anchor="middle", class_="ba-tick"))
    return join(marks)


def _ticks_between(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced, from `low` or below to `high` or above; at least two."""
    wanted = (high - low) / 4 or 0.25
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= wanted * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def _bar(share: float, side: str) -> Markup:
    width = 100 * min(1.0, max(0.0, share))
    return tag(
        "span", tag("span", class_=f"ba-bar-fill ba-{side}-fill", style=f"width:{width:.1f}%"), class_="ba-bar"
    )


def _grid(top: float, last: int) -> Markup:
    marks = []
    for quarter in range(5):
        y = TOP + (HEIGHT - TOP - BOTTOM) * quarter / 4
        marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="ba-grid"))
        value = f"{top * (1 - quarter / 4):.3g}"
        marks.append(tag("text", value, x=LEFT - 8, y=f"{y + 4:.1f}", text_anchor="end", class_="ba-tick"))
    return join([*marks, *_steps(last, HEIGHT)])


def _steps(last: int, height: int) -> list[Markup]:
    """The numbers under an axis of steps."""
    marks = []
    for step in _ticks(last):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
        anchor = "end" if step == last else "middle"
        label = f"step {step}" if step == last else step
        marks.append(tag("text", label, x=f"{x:.1f}", y=height - 8, text_anchor=anchor, class_="ba-tick"))
    return marks


def _ticks(last: int) -> list[int]:
    return sorted({round(last * quarter / 4) for quarter in range(5)})


def _nice_ceiling(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * 0.999)

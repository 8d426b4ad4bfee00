"""Loss curve, probabilities, differences row by row and reliability as small SVG and HTML drawings.

Drawn on the server, in the frames of `plots`: a few kilobytes at most, no plotting library in the page, and the
colours are the theme's own, so *base* and *tuned* look the same here as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from eval.calibration import ReliabilityBin
from eval.statistics import Interval
from ui.drawing.markup import Markup, join, tag
from ui.drawing.plots import SIZE, Axis, Frame, Point, axis, axis_of_shares, axis_of_steps, plot

LINES_DRAWN = 400
"""Of a plot with a line for each row: more would lie on top of each other."""


def loss_curve(
    train: Sequence[Point],
    validation: Sequence[Point] = (),
    *,
    total: int = 0,
    stretch: int = 1,
    kept: str = "",
    unit: str = "",
) -> Markup:
    """Loss over optimizer steps, as (step, loss) points; `total` steps is where the axis ends.

    `stretch` is how many steps the lowest and the highest point stand for, where not all are drawn. `kept` is what
    the step with the lowest validation loss is called in the drawing; empty marks none. `unit` is the loss's.
    """
    train = [point for point in train if math.isfinite(point[1])]
    validation = [point for point in validation if math.isfinite(point[1])]
    if not train:
        return tag("div", "The loss curve starts with the first step.", class_="ba-empty-chart")
    values = [loss for _, loss in (*train, *validation)]
    last = max(total, *(step for step, _ in (*train, *validation)))
    frame = Frame(axis_of_steps(last), axis(unit, (0.0, *values)))
    marks = [frame.line(train, "ba-line")]
    if validation:
        marks.append(frame.line(validation, "ba-line ba-line-validation"))
    marks += [frame.dot(point) for point in (train[-1], *validation)]
    now = f"training loss {train[-1][1]:.3f} at step {train[-1][0]:.0f}"
    if validation:
        now += f" · validation loss {validation[-1][1]:.3f} (dashed)"
    best = min(validation, key=lambda point: point[1]) if kept and validation else None
    if best:
        marks += _marked(frame, best)
        now += f" · {kept}: step {best[0]:.0f}, validation loss {best[1]:.3f}"
    if stretch > 1:
        now += f" · drawn are the lowest and the highest of every {stretch:,} steps"
    return plot("Loss", frame, marks, said=now)


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
    frame = Frame(axis_of_steps(max(total, *(step for step, _ in both))), axis("", (value for _, value in both)))
    marks: list[Markup] = []
    for points, look in ((train, "ba-line"), (validation, "ba-line ba-line-validation")):
        if points:
            marks += [frame.line(points, look), frame.dot(points[-1])]
    now = [
        f"{name} {points[-1][1]:.3g}"
        for name, points in (("training", train), ("validation", validation))
        if points
    ]
    said = f"{' · '.join(now)}{' (dashed)' if validation else ''}"
    if kept:
        marks += _marked(frame, kept[1])
        said += f" · {kept[0]}: step {kept[1][0]:.0f}, {kept[1][1]:.3g}"
    return plot(_capital(title), frame, marks, said=said, look="ba-low")


def _marked(frame: Frame, point: Point) -> list[Markup]:
    """A step that a run keeps: a line down from it, and a ring around it."""
    return [frame.upright(point[0], "ba-kept"), frame.dot(point, "ba-ring", size=13), frame.dot(point)]


def against(points: Sequence[tuple[float, float, float]], *, across: str, up: str) -> Markup:
    """One measurement against another as both went on, as (step, across, up): a way from the first to the last.

    Where a model gets more of what it is paid for and less of what is wanted, the way leads to the right and down.
    """
    frame = Frame(axis(across, (point[1] for point in points)), axis("", (point[2] for point in points)))
    marks = [frame.line((point[1:] for point in points), "ba-line")]
    for point in points:
        said = f"step {point[0]:.0f}: {across} {point[1]:.3g}, {up} {point[2]:.3g}"
        marks.append(frame.dot(point[1:], size=12 if point is points[-1] else 7, said=said))
    first, last = points[0], points[-1]
    said = (
        f"{across} (across) against {up} (up), from step {first[0]:.0f} to {last[0]:.0f}, the large dot: "
        f"{first[1]:.3g} → {last[1]:.3g}, {first[2]:.3g} → {last[2]:.3g}"
    )
    return plot(_capital(up), frame, marks, said=said, look="ba-square")


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]


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


def differences(
    changes: Sequence[float], mean: float, interval: Interval, *, what: str, title: str = "Change of each row"
) -> Markup:
    """A line for each row's change, sorted, with the zero line, and the mean in the band of its interval.

    `what` says what a line is: `One line a dialogue: …`. Of very many rows, evenly spaced ones are drawn. `title`
    says what changed.
    """
    ordered = sorted(changes)
    drawn = ordered
    if len(ordered) > LINES_DRAWN:
        drawn = [ordered[round(i * (len(ordered) - 1) / (LINES_DRAWN - 1))] for i in range(LINES_DRAWN)]
        what += f" ({LINES_DRAWN} of {len(ordered):,} lines are drawn)"
    ends = (min(ordered[0], interval.low, 0.0), max(ordered[-1], interval.high, 0.0))
    frame = Frame(
        Axis(f"{len(ordered):,} rows, sorted", 0, len(drawn), []), axis("tuned minus base", ends, written="{:+.3g}")
    )
    width = min(6.0, max(0.75, 220 / len(drawn)))
    marks: list[Markup] = []
    for number, change in enumerate(drawn):
        x, y = f"{frame.x(number + 0.5):.1f}", f"{frame.y(change):.1f}"
        side = "ba-tuned-mark" if change > 0 else "ba-base-mark"
        if change:
            ends_at = {"y1": f"{frame.y(0):.1f}", "y2": y}
            marks.append(tag("line", x1=x, x2=x, stroke_width=f"{width:.2f}", class_=side, **ends_at))
        marks.append(frame.dot((number + 0.5, change), side, size=1 + width))
    top, bottom = frame.y(interval.high), frame.y(interval.low)
    band = tag("rect", x=0, width=SIZE, y=f"{top:.1f}", height=f"{bottom - top:.1f}", class_="ba-band")
    marks += [band, frame.level(mean, "ba-mean"), frame.level(0, "ba-zero")]
    said = f"mean {mean:+.3f}, 95 % interval {interval.low:+.3f} to {interval.high:+.3f}"
    caption = join([f"{what}. ", tag("i", class_="ba-band-key"), f" {said}."])
    return plot(title, frame, marks, said=f"{what}; {said}", caption=caption)


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
    frame = Frame(axis_of_shares("confidence of an answer", start), axis_of_shares("share that is right"))
    marks = [frame.line([(start, start), (1.0, 1.0)], "ba-diagonal")]
    for side, bins in sides:
        placed = [(point.mean_confidence, point.accuracy) for point in bins]
        marks.append(frame.line(placed, f"ba-reliability ba-{side}-mark"))
        for place, point in zip(placed, bins, strict=True):
            said = f"{side}: {point.n:,} answers, {point.mean_confidence:.0%} sure, {point.accuracy:.0%} right"
            marks.append(frame.dot(place, f"ba-{side}-mark", size=5 + 10 * math.sqrt(point.n / most), said=said))
    who = " and ".join(side for side, _ in sides)
    of = {side: "; ".join(f"{point.mean_confidence:.0%} sure, {point.accuracy:.0%} right" for point in bins)
          for side, bins in sides}  # fmt: skip
    said = f"Of {who}: {'. '.join(f'{side}: {points}' for side, points in of.items())}"
    return plot(
        "Calibration", frame, marks, said=said, caption=f"{who}; dashed: as sure as right", look="ba-square"
    )


def _bar(share: float, side: str) -> Markup:
    width = 100 * min(1.0, max(0.0, share))
    return tag(
        "span", tag("span", class_=f"ba-bar-fill ba-{side}-fill", style=f"width:{width:.1f}%"), class_="ba-bar"
    )

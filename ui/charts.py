"""Loss curve, label probabilities and scores as small SVG and HTML drawings.

Drawn on the server: a few hundred bytes each, no plotting library in the page, and the colours are the theme's own,
so *base* and *tuned* look the same here as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ui.markup import Markup, join, tag

WIDTH, HEIGHT = 1140, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 30

Point = tuple[float, float]


def loss_curve(train: Sequence[Point], validation: Sequence[Point] = (), *, total: int = 0) -> Markup:
    """Loss over optimizer steps, as (step, loss) points; `total` steps is where the axis ends."""
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
    return tag("figure", drawing, tag("figcaption", now, class_="ba-small"), class_="ba-figure")


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


def score_bars(scores: Sequence[tuple[str, float, float]]) -> Markup:
    """A pair of bars a metric, from (name, base, tuned); scores are shares of 1."""
    return tag("div", *(_score_pair(*score) for score in scores), class_="ba-score-bars")


def _score_pair(name: str, base: float, tuned: float) -> Markup:
    rows = [
        tag(
            "div",
            tag("span", side, class_="ba-bar-name"),
            _bar(value, side),
            tag("span", f"{value:.3f}", class_="ba-bar-value"),
            class_="ba-bar-row",
        )
        for side, value in (("base", base), ("tuned", tuned))
    ]
    return tag("div", tag("div", name, class_="ba-small ba-strong"), *rows, class_="ba-bars")


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
    for step in _ticks(last):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
        anchor = "end" if step == last else "middle"
        label = f"step {step}" if step == last else step
        marks.append(tag("text", label, x=f"{x:.1f}", y=HEIGHT - 8, text_anchor=anchor, class_="ba-tick"))
    return join(marks)


def _ticks(last: int) -> list[int]:
    return sorted({round(last * quarter / 4) for quarter in range(5)})


def _nice_ceiling(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * 0.999)

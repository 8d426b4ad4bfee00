"""The frame of a plot: a title, two axes with round numbers and units, and a sentence for who does not see it.

Places are shares of the frame and letters have pixels, so a drawing is legible in a wide and in a narrow column.
Knows neither a run nor a report. Looks are in `plots.css`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.lab.scales import round_ticks
from ui.drawing.markup import Child, Markup, tag

CSS = (Path(__file__).parent / "plots.css").read_text(encoding="utf-8")
SIZE = 1000
"""Units that a frame is wide and tall, however many pixels that are: lines keep their width, see `plots.css`."""
_STEP_TICKS = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, with what stands at some of them."""

    title: str
    """What is measured, with its unit."""
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def share(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def axis(title: str, values: Iterable[float], *, written: str = "{:.3g}") -> Axis:
    """An axis from a round number to a round number around all values."""
    known = list(values)
    ticks = round_ticks(min(known), max(known))
    return Axis(title, ticks[0], ticks[-1], [(tick, written.format(tick) if tick else "0") for tick in ticks])


def axis_of_steps(last: float) -> Axis:
    """An axis of optimizer steps from 0 to `last`, which stands at its end; the others are round."""
    last = max(int(last), 1)
    round_ones = [
        tick for tick in round_ticks(0, last, about=_STEP_TICKS) if tick == int(tick) and tick < 0.93 * last
    ]
    return Axis("optimizer step", 0, last, [*((tick, f"{tick:,.0f}") for tick in round_ones), (last, f"{last:,}")])


def axis_of_shares(title: str, low: float = 0.0) -> Axis:
    """An axis of shares from `low` to 1."""
    ticks = [low + (1 - low) * quarter / 4 for quarter in range(5)]
    return Axis(title, low, 1.0, [(tick, f"{tick:.0%}") for tick in ticks])


@dataclass(frozen=True)
class Frame:
    """Where values are drawn."""

    across: Axis
    up: Axis

    def x(self, value: float) -> float:
        return SIZE * self.across.share(value)

    def y(self, value: float) -> float:
        return SIZE * (1 - self.up.share(value))

    def line(self, points: Iterable[Point], look: str, *, dashes: str | None = None) -> Markup:
        """A line through the points."""
        places = " ".join(f"{self.x(across):.1f},{self.y(up):.1f}" for across, up in points)
        return tag("polyline", points=places, class_=look, stroke_dasharray=dashes)

    def dot(self, point: Point, look: str = "ba-dot", *, size: float = 7, said: str = "") -> Markup:
        """A round dot of so many pixels."""
        # A line without length has round ends, and keeps its shape in a frame that is wider than tall.
        x, y = f"{self.x(point[0]):.1f}", f"{self.y(point[1]):.1f}"
        title = tag("title", said) if said else None
        return tag("line", title, x1=x, x2=x, y1=y, y2=y, stroke_width=f"{size:.1f}", class_=f"ba-round {look}")

    def level(self, value: float, look: str) -> Markup:
        """A line from side to side."""
        y = f"{self.y(value):.1f}"
        return tag("line", x1=0, x2=SIZE, y1=y, y2=y, class_=look)

    def upright(self, value: float, look: str) -> Markup:
        """A line from top to bottom."""
        x = f"{self.x(value):.1f}"
        return tag("line", x1=x, x2=x, y1=0, y2=SIZE, class_=look)

    def bar(self, left: float, right: float, top: float, look: str, *, said: str = "") -> Markup:
        """A bar from the bottom to `top`."""
        box = {"x": self.x(left), "width": self.x(right) - self.x(left), "y": self.y(top)}
        box["height"] = SIZE - box["y"]
        title = tag("title", said) if said else None
        return tag("rect", title, class_=look, **{name: f"{value:.2f}" for name, value in box.items()})


def plot(
    title: str,
    frame: Frame,
    marks: Sequence[Child],
    *,
    said: str,
    caption: Child = None,
    beside: Sequence[Child] = (),
    look: str = "",
) -> Markup:
    """The whole figure.

    Args:
        title: what is drawn.
        frame: with its axes.
        marks: what is in it.
        said: the same in a sentence.
        caption: below it; left out, `said`.
        beside: letters right of it, each where its line ends.
        look: further classes: `ba-low`, `ba-square`.
    """
    grid = [frame.level(value, "ba-grid") for value, _ in frame.up.ticks]
    drawing = tag(
        "svg", *grid, *marks, viewBox=f"0 0 {SIZE} {SIZE}", preserveAspectRatio="none", aria_hidden="true"
    )
    up = [
        tag("span", name, style=f"top:{100 - 100 * frame.up.share(value):.2f}%") for value, name in frame.up.ticks
    ]
    across = [
        tag("b", name, style=f"left:{100 * frame.across.share(value):.2f}%") for value, name in frame.across.ticks
    ]
    box = tag("div", drawing, *up, *across, *beside, class_="ba-plot", role="img", aria_label=f"{title}. {said}")
    named = [tag("div", tag("b", title), f" {frame.up.title}" if frame.up.title else None, class_="ba-plot-title")]
    below = tag("div", frame.across.title, class_="ba-plot-across", aria_hidden="true")
    under = tag("figcaption", said if caption is None else caption, class_="ba-small")
    return tag("figure", *named, box, below, under, class_=f"ba-figure ba-plotted {look}".strip())

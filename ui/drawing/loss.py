"""The loss of runs as it is drawn: read on as the run goes on, and thinned while it is read.

Of the runs looked at last some hundred points each are kept, however long they are.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetuning.runs.metrics import MetricsReader
from ui.drawing import charts, text
from ui.drawing.markup import Markup, tag
from ui.drawing.plots import Point

KEPT = 32
"""Runs whose curve is remembered."""
REWARD, METRIC = "reward", "metric"
"""What a model is paid for, and what is wanted. They are drawn against each other as well, to see if they part."""
MOST_WORTH = 500
"""Measurements of both that are drawn."""
STRETCHES = 300
"""Of a curve, at most: a stretch is less than four pixels wide."""


class Thinned:
    """A line of any number of points, held in a few hundred.

    It is divided into stretches of equally many points, and of each the lowest and the highest are kept, in their
    order: a line through them covers what a line through all would, and no peak is lost.
    """

    def __init__(self, stretches: int = STRETCHES) -> None:
        """Args:
        stretches: an even number; where there would be more, two become one.
        """
        self.stretch = 1
        """Points in each."""
        self._most = stretches
        self._held: list[tuple[Point, Point]] = []
        """The lowest and the highest of each stretch."""
        self._in_last = 0
        self._last: Point | None = None

    def add(self, point: Point) -> None:
        """The next point, (step, value)."""
        if self._held and self._in_last < self.stretch:
            self._held[-1] = _extremes(self._held[-1], (point, point))
            self._in_last += 1
        else:
            if len(self._held) == self._most:
                pairs = zip(self._held[::2], self._held[1::2], strict=True)
                self._held = [_extremes(one, other) for one, other in pairs]
                self.stretch *= 2
            self._held.append((point, point))
            self._in_last = 1
        self._last = point

    def points(self) -> list[Point]:
        """What is drawn; the newest point is always the last."""
        drawn: list[Point] = []
        for low, high in self._held:
            drawn += [low] if low == high else sorted((low, high))
        if self._last is not None and drawn[-1] != self._last:
            drawn.append(self._last)
        return drawn


def _extremes(one: tuple[Point, Point], other: tuple[Point, Point]) -> tuple[Point, Point]:
    low = min(one[0], other[0], key=lambda point: point[1])
    high = max(one[1], other[1], key=lambda point: point[1])
    return low, high


class Curve:
    """The loss in one `metrics.jsonl`, and what else is drawn of it."""

    def __init__(self, path: Path, more: Sequence[str] = (), *, falls: bool = True, unit: str = "") -> None:
        """Args:
        path: of the file.
        more: names of further values, as `finetuning.ways.way.Way.curves` has them.
        falls: whether the loss is one that falls; else it is left out where there is something else to draw.
        unit: of the loss.
        """
        self.reader = MetricsReader(path)
        self._lock = threading.Lock()
        self._names, self._falls, self._unit = ("loss", *more), falls, unit
        self._clear()

    def _clear(self) -> None:
        self._lines = {name: (Thinned(), Thinned(100)) for name in self._names}
        self._worth: list[tuple[float, float, float]] = []
        """Step, reward and metric of validation rows, where both were measured."""

    def draw(self, total: int, kept: str = "") -> Markup:
        """The curves as far as they are written; `total` steps is where their axes end, `kept` names the best
        step."""
        with self._lock:
            self._read_on()
            points = {name: (train.points(), held.points()) for name, (train, held) in self._lines.items()}
            stretch, worth = self._lines["loss"][0].stretch, list(self._worth)
        losses, held_losses = points.pop("loss")
        total = total if losses else 0
        drawn = [charts.loss_curve(losses, held_losses, total=total, stretch=stretch, kept=kept, unit=self._unit)]
        for name, (measured, held) in points.items():
            best = max(held, key=lambda point: point[1], default=None) if kept and name == REWARD else None
            if measured or held:
                mark = (kept, best) if best else None
                drawn.append(charts.curve(text.CURVES.get(name, name), measured, held, total=total, kept=mark))
        if len(worth) > 1 and REWARD in points:
            drawn.append(charts.against(worth, across=text.CURVES[REWARD], up=text.CURVES[METRIC]))
        if not self._falls and len(drawn) > 1:
            del drawn[0]
        return drawn[0] if len(drawn) == 1 else tag("div", *drawn, class_="ba-stack")

    def losses(self) -> tuple[list[Point], list[Point]]:
        """The training and the validation loss so far."""
        with self._lock:
            self._read_on()
            train, held = self._lines["loss"]
            return train.points(), held.points()

    def _read_on(self) -> None:
        """With the lock held."""
        for anew, lines in self.reader.new_lines():
            if anew:
                self._clear()
            for line in lines:
                for name, (train, validation) in self._lines.items():
                    _add(train, line["step"], line.get(name))
                    _add(validation, line["step"], line.get(f"eval_{name}"))
                self._add_worth(line)

    def _add_worth(self, line: Mapping[str, Any]) -> None:
        values = [line.get(f"eval_{name}") for name in (REWARD, METRIC)]
        if all(value is not None and math.isfinite(value) for value in values) and len(self._worth) < MOST_WORTH:
            self._worth.append((float(line["step"]), *map(float, values)))  # type: ignore[arg-type]


def _add(line: Thinned, step: float, value: float | None) -> None:
    if value is not None and math.isfinite(value):
        line.add((float(step), float(value)))


_curves: OrderedDict[Path, Curve] = OrderedDict()
_lock = threading.Lock()


def curve_of(metrics: Path, more: Sequence[str] = (), *, falls: bool = True, unit: str = "") -> Curve:
    """The curve in a run's `metrics.jsonl`, of which only what is new is read; see `Curve`."""
    with _lock:
        curve = _curves.setdefault(metrics, Curve(metrics, more, falls=falls, unit=unit))
        _curves.move_to_end(metrics)
        while len(_curves) > KEPT:
            _curves.popitem(last=False)
    return curve


def loss_so_far(
    metrics: Path, *, total: int, kept: str = "", more: Sequence[str] = (), falls: bool = True, unit: str = ""
) -> Markup:
    """The loss curve of a run's `metrics.jsonl`, and of what else is in it."""
    return curve_of(metrics, more, falls=falls, unit=unit).draw(total, kept)

"""How several runs are drawn side by side: their losses in one plot, what differs, what tells them apart.

The sentences and numbers are `finetuning.side_by_side`'s, the same as at the command line. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from finetuning.side_by_side import (
    VERDICT_HEAD,
    Alike,
    Beside,
    SideBySide,
    headline,
    pair_head,
    pair_rows,
    rests_on,
    verdict_cells,
)
from ui.drawing import text
from ui.drawing.loss import curve_of
from ui.drawing.markup import Markup, cell, table, tag
from ui.drawing.plots import Frame, Point, axis, axis_of_steps, plot

_DASHES = {"A": None, "B": "9 4", "C": "2 3", "D": "12 3 2 3", "E": "5 5", "F": "1 5"}
_LETTER_PX, _PLOT_PX = 13, 220
"""How tall a letter is, and a plot."""


def side_by_side(found: SideBySide) -> Markup:
    """All that there is to say of the runs that were chosen."""
    said = [part for group in found.alike for part in _said(group)]
    notes = [tag("p", note, class_="ba-note") for note in found.notes]
    verdicts = (_with_letter(each, verdict_cells(each)) for each in found.runs)
    drawn = [
        table(VERDICT_HEAD, verdicts, class_="ba-table ba-numbers", label=text.VERDICTS_BESIDE),
        *(
            table(pair_head(group), pair_rows(group), class_="ba-table ba-numbers", label=text.PAIRS_BESIDE)
            for group in found.alike
        ),
        losses(found.runs),
        _settings(found),
    ]
    return tag("div", *said, *notes, *drawn, class_="ba-stack ba-runs-compared")


def _said(group: Alike) -> list[Markup]:
    return [tag("p", headline(group), class_="ba-headline"), tag("p", rests_on(group), class_="ba-note")]


def letter(each: Beside) -> Markup:
    """What stands for a run."""
    return tag("span", each.letter, class_=f"ba-letter ba-run-{each.letter.lower()}")


def _with_letter(each: Beside, cells: Sequence[str]) -> list[Markup | str]:
    _, *rest = cells
    return [tag("span", letter(each), each.called, tag("div", each.run.id[-20:], class_="ba-small")), *rest]


def _settings(found: SideBySide) -> Markup:
    if not found.settings:
        return tag("p", text.NO_SETTING_DIFFERS, class_="ba-note")
    head = ["setting", *(each.letter for each in found.runs)]
    rows = ([name, *(cell(value) for value in values)] for name, values in found.settings)
    return table(head, rows, class_="ba-table", label=text.SETTINGS_BESIDE)


# ---- losses ------------------------------------------------------------------------------------------------


def losses(runs: Sequence[Beside]) -> Markup:
    """Training and validation loss of every run over optimizer steps, each with its letter and its dashes."""
    known = {each.letter: _losses_of(each) for each in runs}
    drawn = {name: lines for name, lines in known.items() if lines[0]}
    if not drawn:
        return tag("div", text.NO_LOSSES, class_="ba-empty-chart")
    values = [loss for train, held in drawn.values() for _, loss in (*train, *held)]
    last = max(step for train, held in drawn.values() for step, _ in (*train, *held))
    units = {each.recipe.way.loss_unit for each in runs if each.letter in drawn and each.recipe}
    frame = Frame(axis_of_steps(last), axis(units.pop() if len(units) == 1 else "", (0.0, *values)))
    marks, said = [], []
    for name, (train, held) in drawn.items():
        marks.append(_of_run(frame, name, train, held))
        said.append(_said_of(name, train, held))
    missing = [name for name in known if name not in drawn]
    without = f" Of {' and '.join(missing)} there is none." if missing else ""
    caption = f"Thin: training loss. Thick, with dots: validation loss. {'; '.join(said)}.{without}"
    ends = {name: (held or train)[-1] for name, (train, held) in drawn.items()}
    return plot("Loss", frame, marks, said=caption, beside=_letters(frame, ends))


def _losses_of(each: Beside) -> tuple[list[Point], list[Point]]:
    way = each.recipe.way if each.recipe else None
    curve = curve_of(
        each.run.folder / "metrics.jsonl",
        way.curves if way else (),
        falls=way.loss_tells if way else True,
        unit=way.loss_unit if way else "",
    )
    return curve.losses()


def _of_run(frame: Frame, name: str, train: Sequence[Point], held: Sequence[Point]) -> Markup:
    dashes = _DASHES[name]
    lines = [frame.line(train, "ba-of-run", dashes=dashes)]
    if held:
        lines.append(frame.line(held, "ba-of-run ba-held", dashes=dashes))
    dots = [frame.dot(point, "ba-of-run") for point in held]
    return tag("g", *lines, *dots, class_=f"ba-run-{name.lower()}")


def _said_of(name: str, train: Sequence[Point], held: Sequence[Point]) -> str:
    said = f"{name}: training {train[-1][1]:.3f} at step {train[-1][0]:.0f}"
    if not held:
        return said
    step, lowest = min(held, key=lambda point: point[1])
    return f"{said}, validation {held[-1][1]:.3f}, lowest {lowest:.3f} at step {step:.0f}"


def _letters(frame: Frame, ends: dict[str, Point]) -> list[Markup]:
    """Each letter where its line ends, or a little below, where it would lie on another."""
    least = 100 * _LETTER_PX / _PLOT_PX
    found, above = [], -least
    for name, (step, value) in sorted(ends.items(), key=lambda each: -each[1][1]):
        above = max(100 - 100 * frame.up.share(value), above + least)
        place = f"top:{above:.2f}%;left:{100 * frame.across.share(step):.2f}%"
        found.append(tag("i", name, class_=f"ba-run-{name.lower()}", style=place))
    return found

"""How rewards are drawn: whether a reward model is as sure as it is right, and what length has to do with it.

The sentences are `eval.report.rewards_text`'s, the same as in report.md. Computes nothing.
"""

from __future__ import annotations

from eval.report.rewards import Rewards
from eval.report.rewards_text import (
    CALIBRATION,
    TITLE,
    WRONG,
    calibration_sentence,
    kind_rows,
    length_rows,
    length_sentence,
    margin_sentence,
)
from ui.drawing import charts, text
from ui.drawing.markup import Markup, cell, section, table, tag


def rewards(found: Rewards) -> Markup:
    """The section of a report."""
    plot = charts.reliability([], found.calibration.bins)
    said = (f"{CALIBRATION} {text.ON_THE_LINE}", calibration_sentence(found))
    calibration = tag("div", *(tag("p", one, class_="ba-said") for one in said), class_="ba-stack")
    lengths = table(
        ["", "pairs", "base", "tuned"],
        length_rows(found),
        class_="ba-table ba-numbers",
        label="Length, and what is preferred",
    )
    return section(
        TITLE,
        tag("p", margin_sentence(found), class_="ba-said"),
        tag("div", plot, calibration, class_="ba-beside"),
        tag("p", length_sentence(found), class_="ba-said"),
        lengths,
        _kinds(found) if found.kinds else None,
    )


def _kinds(found: Rewards) -> Markup:
    """Pair accuracy by what is wrong with the worse answer."""
    rows = ([cell(why), *rest] for why, *rest in kind_rows(found))
    return table([WRONG, "pairs", "base", "tuned"], rows, class_="ba-table ba-numbers", label=WRONG)

"""What a tuned model is, in one sentence of measured numbers: learned from what, how long, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path

from eval.report.schema import Report
from ui.drawing import text
from ui.drawing.markup import Markup, tag

MADE_FILE = "made.json"
"""Beside an adapter that ships: the minutes that its run took, its evaluation included, and on how many cores."""


def story(report: Report, base: str, tuned: Path) -> Markup:
    """The sentence, drawn.

    Args:
        report: of base and tuned.
        base: what the base is called.
        tuned: the folder of what was tuned.
    """
    return tag("div", tag("b", sentence(report, base, _made(tuned))), " ", text.TRY_IT, class_="ba-story")


def sentence(report: Report, base: str, made: str = "") -> str:
    """`SmolLM2-135M learned from 1,022 reviews: 59.5 % → 78.5 % right on 400 new ones.`

    `made` says how long it took.
    """
    _, several = report.asked.noun
    learned = f" learned from {report.train_rows:,} {several}" if report.train_rows else ", tuned"
    metric = report.primary
    if metric.metric.kind == "binary":
        came = f"{_percent(metric.base)} → {_percent(metric.tuned)} right"
    else:
        came = f"{metric.metric.named} {metric.metric.said(metric.base)} → {metric.metric.said(metric.tuned)}"
    return f"{base}{learned}{made}: {came} on {report.n:,} new ones."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _made(tuned: Path) -> str:
    """` in 8 minutes on 2 cores`; empty where nobody has written that down."""
    try:
        found = json.loads((tuned / MADE_FILE).read_text(encoding="utf-8"))
        minutes, cores = int(found["minutes"]), int(found["cores"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" in {minutes} minutes on {cores} cores"

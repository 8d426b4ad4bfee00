"""Rows to look at: their reference is what all sides find improbable. It may be wrong, or hard, or both sides are.

Labels: all sides give another label, the same one, and each of them is as sure of it as it is on average where that
label is right (the off-diagonal of Northcutt, Jiang and Chuang's confident joint, 2021, https://doi.org/10.1613/
jair.1.12125; each side is its own judge of what sure means). Texts: the loss a token lies beyond Tukey's fence, a
quartile and one and a half times what the middle half spans, for every side. Knows rows and values only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, quantiles

from eval.verdict.schema import Suspect, VerdictRow

MOST = 20
"""How many are listed."""
FEWEST = 20
"""Rows below which nothing is usual, so that nothing is unusual."""
_FENCE = 1.5
_LEAST = 1e-12
"""Of a probability, so that its loss is a number."""


def find_suspects(rows: Sequence[VerdictRow], *, most: int = MOST) -> tuple[list[Suspect], list[str]]:
    """The rows of which all sides find the reference improbable, the most improbable first; and what to say of
    them.

    Of labels every answer has to have its probabilities, of texts its log-likelihood: without them nothing is known
    of what a side finds improbable, which is then said.
    """
    sides = list(rows[0].answers)
    answers = {key: [row.answers[key] for row in rows] for key in sides}
    every = [answer for each in answers.values() for answer in each]
    if len(rows) < FEWEST:
        return [], []
    if all(answer.probabilities is not None for answer in every):
        found = _labels(rows, sides)
    elif all(answer.log_likelihood is not None for answer in every):
        found = _texts(rows, sides)
    else:
        return [], [
            "Rows whose reference may be wrong were not looked for: not every side says how probable it is."
        ]
    found.sort(key=lambda one: -one.loss)
    more = len(found) - most
    said = [f"Of {len(found):,} rows to look at the {most} most improbable are listed."] if more > 0 else []
    return found[:most], said


def _labels(rows: Sequence[VerdictRow], sides: Sequence[str]) -> list[Suspect]:
    sure = {key: _usual(rows, key) for key in sides}
    found = []
    for number, row in enumerate(rows, start=1):
        right = row.references[0]
        instead = {row.answers[key].text for key in sides}
        if len(instead) > 1 or right in instead:
            continue
        (label,) = instead
        given = {key: row.answers[key].probabilities or {} for key in sides}
        if all(label in sure[key] and given[key].get(label, 0.0) >= sure[key][label] for key in sides):
            loss = fmean(-math.log(max(_LEAST, given[key].get(right, 0.0))) for key in sides)
            found.append(Suspect(row=number, reference=right, instead=label, loss=loss))
    return found


def _usual(rows: Sequence[VerdictRow], key: str) -> dict[str, float]:
    """Label → how probable this side finds it, on average, where it is the reference."""
    given: dict[str, list[float]] = {}
    for row in rows:
        label = row.references[0]
        given.setdefault(label, []).append((row.answers[key].probabilities or {}).get(label, 0.0))
    return {label: fmean(values) for label, values in given.items()}


def _texts(rows: Sequence[VerdictRow], sides: Sequence[str]) -> list[Suspect]:
    losses = {key: [-(row.answers[key].log_likelihood or 0.0) for row in rows] for key in sides}
    fences = {}
    for key, values in losses.items():
        lower, _, upper = quantiles(values, n=4, method="inclusive")
        fences[key] = upper + _FENCE * (upper - lower)
    return [
        Suspect(
            row=number,
            reference=row.references[0],
            instead="",
            loss=fmean(losses[key][number - 1] for key in sides),
        )
        for number, row in enumerate(rows, start=1)
        if all(losses[key][number - 1] > fences[key] for key in sides)
    ]

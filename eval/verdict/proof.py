"""That two sides are two: by their own proofs, by the hashes of their weights, else by what they answered.

The same weights twice are the commonest mistake there is, as an adapter that was merged into the wrong folder, or a
name that a server maps to its only model; every number would then be of one model, and look like a finding. So it
stands in the headline. Knows what sides say of themselves, and rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.verdict.schema import SideResult, VerdictRow

_HASH_SHOWN = 12


@dataclass(frozen=True)
class Proof:
    """Whether two sides are two."""

    sentence: str
    doubt: str = ""
    """Why they may be one though their weights are not known to be the same, in a sentence; empty without a
    reason."""


def prove(base: SideResult, tuned: SideResult, rows: Sequence[VerdictRow]) -> Proof:
    """What there is to show that `tuned` is not `base`."""
    one, other = base.info, tuned.info
    differ = sum(_written(row, one.key) != _written(row, other.key) for row in rows)
    said = f"{differ:,} of {len(rows):,} answers differ" if differ else _none_differ(rows, one.key, other.key)
    if _same_weights(base, tuned):  # which the headline says of any sides, see `eval.verdict.words`
        return Proof(f"The same weights twice ({one.weights_sha256[:_HASH_SHOWN]}); {said}.")
    doubt = "" if differ else f"{other.key} answers as the base does: {said}."
    if other.proof:
        return Proof(f"{other.proof.rstrip('.')}; {said}.", doubt)
    if one.weights_sha256 == other.weights_sha256 != "" and one.scaled_by != other.scaled_by:
        return Proof(f"The same weights, scaled by {one.scaled_by} and by {other.scaled_by}; {said}.", doubt)
    if one.weights_sha256 and other.weights_sha256:
        hashes = " and ".join(side.weights_sha256[:_HASH_SHOWN] for side in (one, other))
        return Proof(f"Their weights differ ({hashes}); {said}.", doubt)
    if differ:
        return Proof(f"Only their answers show that they are two: {said}.")
    return Proof(f"Nothing shows that they are two: {said}, and the weights of both are not known.", doubt)


def _none_differ(rows: Sequence[VerdictRow], one: str, other: str) -> str:
    moved = sum(row.answers[one].probabilities != row.answers[other].probabilities for row in rows)
    same = "the only answer is the same" if len(rows) == 1 else f"all {len(rows):,} answers are the same"
    return f"{same}, though on {moved:,} the labels' probabilities differ" if moved else same


def _written(row: VerdictRow, key: str) -> str:
    """What a side wrote, as the labels that are read out of two texts may be the same; else its label."""
    answer = row.answers[key]
    return answer.text if answer.written is None else answer.written


def _same_weights(base: SideResult, tuned: SideResult) -> bool:
    return base.info.model is not None and base.info.model == tuned.info.model

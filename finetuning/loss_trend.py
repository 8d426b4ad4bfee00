"""Whether a run's loss rose while it trained, in a sentence. Knows numbers, and what a setting is called."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from plumbing import doors

_FEWEST_STEPS = 8
_MOST_COMPARED = 20
"""Steps at either end."""
_CLEARLY = 1.5
"""How many times the first steps' loss the last steps' has to be: one batch is harder than another."""


def rise(losses: Sequence[float], learning_rate: float) -> str:
    """What there is to say where the loss ended higher than it began; an empty text where that is not clear.

    The first tenth of the steps is compared with the last quarter, at most 20 of each. It is clear where the last
    are half as high again in the mean, and more than half of them higher than each of the first: a run that has
    gone astray jumps, and single batches of it may have no loss at all.

    Args:
        losses: of each step, from the first.
        learning_rate: its peak, for the advice.
    """
    if len(losses) < _FEWEST_STEPS:
        return ""
    first = losses[: max(2, min(_MOST_COMPARED, len(losses) // 10))]
    last = losses[-min(_MOST_COMPARED, len(losses) // 4) :]
    if median(last) <= max(first) or fmean(last) < _CLEARLY * fmean(first):
        return ""
    return (
        f"The loss rose in training, from {fmean(first):.3g} over the first {len(first)} steps to "
        f"{fmean(last):.3g} over the last {len(last)}: it fits its training rows worse than before. A learning "
        f"rate that is too high is the usual cause; {doors.named(doors.LEARNING_RATE)} was {learning_rate:g}."
    )

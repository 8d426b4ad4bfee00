"""What a report says of rewards, in sentences and as Markdown. Knows values only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from eval.report.figures import with_interval
from eval.report.rewards import Correlation, PairsOfLength, Rewards
from eval.report.schema import RowResult

Side = Literal["base", "tuned"]

WRONG = "pair accuracy by what is wrong with the worse answer"
TITLE = "How the rewards behave"
CALIBRATION = (
    "The probability that the answer with the higher reward is the better one is sigmoid(difference). Of the pairs "
    "where it is 80 %, are 80 % right?"
)


def margin_sentence(found: Rewards) -> str:
    """`The better answer gets 0.83 more than the worse one on average; …`"""
    more = f"{abs(found.margin):.2f} {'more' if found.margin >= 0 else 'less'}"
    return (
        f"The better answer gets {more} than the worse one on average; the mean of all rewards is "
        f"{found.mean:+.2f}, their standard deviation {found.spread:.2f}. Only differences between answers to one "
        "prompt mean anything."
    )


def calibration_sentence(found: Rewards) -> str:
    """The two numbers of the reliability plot."""
    side = found.calibration
    return (
        f"Calibration error (how far confidence is from accuracy): {side.expected_calibration_error:.3f}. Brier "
        f"score: {side.brier_score:.3f}."
    )


def length_sentence(found: Rewards) -> str:
    """Whether longer answers get more, beside how often the longer answer is the better one."""
    bias = found.length
    if bias.tuned.value is None:
        return "Nothing is to be said of length: no two answers of a pair differ in it, or none in their rewards."
    longer, shorter = bias.longer.n, bias.shorter.n
    return (
        f"Reward and length, within pairs: correlation {correlation_text(bias.tuned)}. Being the better answer and "
        f"length: {correlation_text(bias.labels)}; the better answer is the longer one in {longer:,} of "
        f"{longer + shorter + bias.same:,} pairs, the shorter one in {shorter:,}."
    )


def correlation_text(found: Correlation) -> str:
    """`+0.31 (+0.05 to +0.52)`."""
    if found.value is None:
        return "–"
    return with_interval(found.value, found.interval, sign="+", digits=2)


def length_rows(found: Rewards) -> list[tuple[str, str, str, str]]:
    """Of a table: what, of how many pairs, the base's value, the reward model's."""
    bias = found.length
    splits = (("better answer is the longer one", bias.longer), ("better answer is the shorter one", bias.shorter))
    rows = [
        (f"pair accuracy where the {what}", f"{split.n:,}", _share(split, "base"), _share(split, "tuned"))
        for what, split in splits
    ]
    pairs = bias.longer.n + bias.shorter.n + bias.same
    both = (correlation_text(bias.base), correlation_text(bias.tuned))
    return [*rows, ("correlation with length, within pairs", f"{pairs:,}", *both)]


def kind_rows(found: Rewards) -> list[tuple[str, str, str, str]]:
    """Of a table: what is wrong with the worse answer, in how many pairs, and both sides' accuracy on them."""
    return [(kind.why, f"{kind.pairs:,}", f"{kind.base:.2f}", f"{kind.tuned:.2f}") for kind in found.kinds]


def taken(row: RowResult, side: Side) -> str:
    """Which of a pair's answers a side takes, and what it gives both: `the better (1.20 against -0.31)`."""
    found = row.tuned if side == "tuned" else row.base
    assert found.rewards is not None
    better, worse = found.rewards
    which = "the better" if better > worse else "the worse" if better < worse else "neither"
    return f"{which} ({better:.2f} against {worse:.2f})"


def rewards_markdown(found: Rewards, plain: Callable[[str], str]) -> list[str]:
    """The section of report.md; `plain` makes text of somebody's data harmless."""
    bins = [
        "| sure | pairs | right |",
        "|---|---:|---:|",
        *(f"| {one.mean_confidence:.0%} | {one.n:,} | {one.accuracy:.0%} |" for one in found.calibration.bins),
    ]
    lengths = ["| | pairs | base | tuned |", "|---|---:|---:|---:|"]
    lengths += [f"| {' | '.join(row)} |" for row in length_rows(found)]
    said = [margin_sentence(found), f"{CALIBRATION} {calibration_sentence(found)}"]
    kinds = [f"| {WRONG} | pairs | base | tuned |", "|---|---:|---:|---:|"]
    kinds += [f"| {' | '.join(map(plain, row))} |" for row in kind_rows(found)]
    by_kind = ["\n".join(kinds)] if found.kinds else []
    return [f"## {TITLE}", *said, "\n".join(bins), length_sentence(found), "\n".join(lengths), *by_kind]


def _share(split: PairsOfLength, side: Side) -> str:
    value = split.tuned if side == "tuned" else split.base
    interval = split.tuned_interval if side == "tuned" else split.base_interval
    if value is None or interval is None:
        return "–"
    return with_interval(value, interval, digits=2)

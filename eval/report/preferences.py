"""What a report holds of held-out pairs and thumbs, field by field, and the same in words.

Two questions are asked. Which answer does a side find more probable? It is the one with the higher mean
log-probability a token, the end of its turn included: a sum would take the shorter one. And what has tuning done?
An answer's implicit reward is what its log-probability has gained from the base to the tuned side, summed, in nats:
that of DPO and KTO, divided by beta. The base is the base model, also where training went on with an adapter, which
is the reference of that training. Knows values only.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from eval.report.figures import p_value
from eval.report.sections import Strict
from eval.statistics import Interval, Judgement

RULE = "A side prefers the answer with the higher mean log-probability a token, the end of its turn included."
KINDS_HEAD = ("what is wrong with the worse answer", "pairs", "base", "tuned", "gained more")


class Divergence(Strict):
    """How far tuning has gone from the base, on held-out good answers."""

    nats: float = Field(
        description="Kullback-Leibler divergence of the tuned model's predictions from the base's, "
        "KL(tuned || base), exact over the whole vocabulary, the mean a token.",
    )
    tokens: int = Field(description="Tokens of the answers that it was measured at.", ge=1)


class OfKind(Strict):
    """The pairs whose worse answer has the same fault."""

    why: str = Field(description="What is wrong with it.")
    pairs: int = Field(description="How many there are.", ge=1)
    base: float = Field(description="Share of them whose better answer the base prefers.", ge=0, le=1)
    tuned: float = Field(description="The same of the tuned model.", ge=0, le=1)
    rewarded: float = Field(description="Share of them whose better answer has gained more.", ge=0, le=1)


class Preference(Strict):
    """Held-out pairs of a better and a worse answer to the same."""

    pairs: int = Field(description="Pairs that were judged.", ge=1)
    left_out: int = Field(default=0, description="Pairs that are too long for the model.", ge=0)
    base: float = Field(description="Share of the pairs whose better answer the base prefers.", ge=0, le=1)
    tuned: float = Field(description="The same of the tuned model.", ge=0, le=1)
    base_interval: Interval = Field(description="95 % interval of the base's share.")
    tuned_interval: Interval = Field(description="95 % interval of the tuned model's share.")
    judgement: Judgement = Field(description="The paired test of tuned against base.")
    rewarded: float = Field(
        description="Share of the pairs whose better answer has the higher implicit reward: it has gained more.",
        ge=0,
        le=1,
    )
    rewarded_interval: Interval = Field(description="95 % interval of that share; tuning at random gives a half.")
    margin: float = Field(
        description="By how much its implicit reward is higher, in nats, the mean over the pairs."
    )
    margin_interval: Interval = Field(description="95 % interval of that mean.")
    better_gained: float = Field(description="Mean implicit reward of the better answers, in nats.")
    worse_gained: float = Field(description="Mean implicit reward of the worse answers, in nats.")
    longer: float = Field(
        description="Share of the pairs whose better answer has more tokens: what taking the longer one gives.",
        ge=0,
        le=1,
    )
    divergence: Divergence = Field(description="On the better answers.")
    kinds: list[OfKind] = Field(
        default=[],
        description="The same by what is wrong with the worse answer, where the rows say; few pairs each.",
    )


class Areas(Strict):
    """How well good answers are told from bad ones: areas under ROC curves, 0.5 by chance and 1 at best."""

    base: float = Field(description="By the base's mean log-probability a token.", ge=0, le=1)
    tuned: float = Field(description="By the tuned model's.", ge=0, le=1)
    rewarded: float = Field(description="By the implicit reward.", ge=0, le=1)
    base_interval: Interval = Field(description="95 % interval of the base's area.")
    tuned_interval: Interval = Field(description="95 % interval of the tuned model's area.")
    difference_interval: Interval = Field(description="95 % interval of tuned minus base.")
    rewarded_interval: Interval = Field(description="95 % interval of that of the implicit reward.")


class Thumbs(Strict):
    """Held-out answers with a thumb up or down."""

    liked: int = Field(description="Answers with a thumb up.", ge=0)
    disliked: int = Field(description="Answers with a thumb down.", ge=0)
    left_out: int = Field(default=0, description="Answers that are too long for the model.", ge=0)
    areas: Areas | None = Field(default=None, description="None where all thumbs are the same.")
    liked_gained: float | None = Field(default=None, description="Mean implicit reward of the liked, in nats.")
    disliked_gained: float | None = Field(default=None, description="The same of the others.")
    divergence: Divergence | None = Field(default=None, description="On the liked answers.")


# ---- in words ------------------------------------------------------------------------------------------------


def preference_sentences(found: Preference) -> list[str]:
    """What the pairs say, in sentences."""
    test = found.judgement
    outcome = {
        "better": "it is better at it than the base",
        "worse": "it is worse at it than the base",
        "no evidence": "no evidence of a difference",
    }[test.outcome]
    left = f" {found.left_out:,} more are too long for the model." if found.left_out else ""
    return [
        f"Of {found.pairs:,} held-out pairs the base prefers the better answer in {found.base:.0%}, the tuned "
        f"model in {found.tuned:.0%}: {outcome} ({test.test}, p {p_value(test)}). {RULE}{left}",
        f"From the base to the tuned model the better answer gained more than the worse in {found.rewarded:.0%} "
        f"of them "
        f"({found.rewarded_interval.low:.0%} to {found.rewarded_interval.high:.0%}), by {found.margin:+.2f} nats "
        f"on average ({found.margin_interval.low:+.2f} to {found.margin_interval.high:+.2f}): the better ones "
        f"{found.better_gained:+.2f}, the worse {found.worse_gained:+.2f}.",
        f"Always taking the longer answer would be right in {found.longer:.0%}.",
        divergence_sentence(found.divergence, "better"),
    ]


def thumbs_sentences(found: Thumbs) -> list[str]:
    """What the thumbs say, in sentences."""
    left = f" {found.left_out:,} more are too long for the model." if found.left_out else ""
    said = [f"{found.liked:,} held-out answers have a thumb up, {found.disliked:,} one down.{left}"]
    if (areas := found.areas) is not None:
        said += [
            f"A liked answer is more probable than a disliked one, by its mean log-probability a token, in "
            f"{areas.base:.0%} of all such pairs for the base and in {areas.tuned:.0%} for the tuned model (area "
            f"under the ROC curve; the difference is probably between {areas.difference_interval.low:+.2f} and "
            f"{areas.difference_interval.high:+.2f}).",
            f"By what they gained from the base to the tuned model, {areas.rewarded:.0%} are in that order "
            f"({areas.rewarded_interval.low:.0%} to {areas.rewarded_interval.high:.0%}): the liked gained "
            f"{found.liked_gained or 0:+.2f} nats on average, the disliked {found.disliked_gained or 0:+.2f}.",
        ]
    if found.divergence is not None:
        said.append(divergence_sentence(found.divergence, "liked"))
    return said


def divergence_sentence(found: Divergence, which: str) -> str:
    """How far tuning has gone from the base."""
    return (
        f"On the {which} answers the tuned model is {found.nats:.3f} nats a token away from the base "
        f"(Kullback-Leibler divergence over the whole vocabulary, {found.tokens:,} tokens)."
    )


def preference_table(found: Preference) -> list[list[str]]:
    """What tells the better answer, in how many of the pairs, and the interval of that."""

    def row(said: str, share: float, interval: Interval | None) -> list[str]:
        limits = f"{interval.low:.3f} to {interval.high:.3f}" if interval else ""
        return [said, f"{share:.3f}", limits]

    return [
        row("the longer answer", found.longer, None),
        row("what the base finds more probable", found.base, found.base_interval),
        row("what the tuned model finds more probable", found.tuned, found.tuned_interval),
        row("what gained more from base to tuned", found.rewarded, found.rewarded_interval),
    ]


def kinds_table(found: Preference) -> list[list[str]]:
    """By what is wrong with the worse answer: how many pairs, and in which share of them the better is told."""
    return [
        [kind.why, f"{kind.pairs:,}", f"{kind.base:.2f}", f"{kind.tuned:.2f}", f"{kind.rewarded:.2f}"]
        for kind in found.kinds
    ]


def preferences_markdown(found: Preference | None, thumbs: Thumbs | None, plain: Callable[[str], str]) -> list[str]:
    """The sections of report.md; `plain` makes text of somebody's data harmless."""
    sections: list[str] = []
    if found:
        lines = ["| tells the better answer | share of the pairs | 95 % interval |", "|---|---:|---|"]
        lines += [f"| {' | '.join(row)} |" for row in preference_table(found)]
        sections += ["## Which answer is preferred", "\n".join(lines), " ".join(preference_sentences(found))]
        if found.kinds:
            lines = [f"| {' | '.join(KINDS_HEAD)} |", "|---" + "|---:" * (len(KINDS_HEAD) - 1) + "|"]
            lines += [f"| {' | '.join(map(plain, row))} |" for row in kinds_table(found)]
            sections.append("\n".join(lines))
    if thumbs:
        sections += ["## Liked and disliked answers", " ".join(thumbs_sentences(thumbs))]
    return sections

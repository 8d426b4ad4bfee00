"""A language model as the judge of answers: any side that writes, with a rubric, asked about two in both orders.

A judge has biases of its own: for what stands first, for its own words, for length (Zheng et al. 2023,
https://arxiv.org/abs/2306.05685). So an answer counts as the better one only where it is preferred in both orders;
how often the first place wins is reported, and how far people agree. What it is asked is in
`eval.verdict.judge_prompt`, and where votes come from in `eval.verdict.voted`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eval.sides.side import OnRows, Side
from eval.statistics import Interval, Judgement, judge_labels, wilson
from eval.verdict.judge_prompt import ANSWER_TOKENS, RUBRIC, Contest, Opinion, opinion_in, prompt, rubric_sha256
from eval.verdict.schema import Judged, JudgePair, SideInfo
from plumbing.errors import RecipeError

Preferred = Literal["tuned", "base", "tie"]


@dataclass(frozen=True)
class Both:
    """What the judge said of one contest: with the base first, and with the tuned side first."""

    base_first: Opinion | None
    tuned_first: Opinion | None

    @property
    def sides(self) -> tuple[Preferred | None, Preferred | None]:
        """The same, as sides."""
        by_place: dict[Opinion | None, tuple[Preferred | None, Preferred | None]] = {
            "first": ("base", "tuned"),
            "second": ("tuned", "base"),
            "tie": ("tie", "tie"),
            None: (None, None),
        }
        return by_place[self.base_first][0], by_place[self.tuned_first][1]

    @property
    def preferred(self) -> Preferred:
        """The side that is preferred in both orders; a tie where neither is."""
        one, other = self.sides
        return one if one == other and one is not None else "tie"


@dataclass(frozen=True)
class Judgements:
    """What a judge made of all answers."""

    judged: Judged
    preferred: Mapping[str, list[Preferred]]
    """Tuned side's key → of each row whose answer is preferred."""


def judge_answers(
    judge: Side,
    contests: Mapping[str, Sequence[Contest]],
    *,
    info: SideInfo,
    rubric: str = RUBRIC,
    voted: Sequence[tuple[Contest, Preferred]] = (),
    max_new_tokens: int = ANSWER_TOKENS,
    on_rows: OnRows | None = None,
) -> Judgements:
    """Ask the judge about every contest in both orders.

    Args:
        judge: writes; opened with `judge_prompt.TASK`.
        contests: tuned side's key → a contest for each row, as many of each.
        info: what the judge is, for the report.
        rubric: what to look for.
        voted: contests that people have voted on, and what they prefer: the judge is asked about these, too, and
            they count for nothing but its agreement with people.
        max_new_tokens: where its answers are cut off.
        on_rows: told how many answers there are, of how many.

    Raises:
        RecipeError: the judge cannot write.
        UserError: it cannot answer.
    """
    if "writes" not in judge.abilities:
        raise RecipeError(
            "What only chooses labels cannot judge answers", got=judge.about.name, fix="Take a model that writes."
        )
    said = _asked(
        judge,
        [*(one for each in contests.values() for one in each), *(contest for contest, _ in voted)],
        rubric,
        max_new_tokens,
        on_rows,
    )
    of_rows = {one.key: said[one.key] for each in contests.values() for one in each if not one.same}
    preferred = {key: [_preferred(one, said) for one in each] for key, each in contests.items()}
    human, kappa, interval = agreement([(_preferred(contest, said), vote) for contest, vote in voted])
    return Judgements(
        judged=Judged(
            judge=info,
            rubric=rubric,
            rubric_sha256=rubric_sha256(rubric),
            pairs=[_pair(key, found) for key, found in preferred.items()],
            **_habits(list(of_rows.values())),
            human=human,
            kappa=kappa,
            kappa_interval=interval,
        ),
        preferred=preferred,
    )


def _asked(
    judge: Side, contests: Sequence[Contest], rubric: str, max_new_tokens: int, on_rows: OnRows | None
) -> dict[str, Both]:
    """Contest's key → both opinions of it, of those whose answers differ; each is asked once."""
    differing = {contest.key: contest for contest in contests if not contest.same}
    prompts = [
        prompt(one, rubric, tuned_first=tuned_first) for one in differing.values() for tuned_first in (False, True)
    ]
    if not prompts:
        return {}
    opinions = [
        opinion_in(answer.text) for answer in judge.write(prompts, max_new_tokens=max_new_tokens, on_rows=on_rows)
    ]
    return {key: Both(*opinions[2 * place : 2 * place + 2]) for place, key in enumerate(differing)}


def _preferred(contest: Contest, said: Mapping[str, Both]) -> Preferred:
    return "tie" if contest.same else said[contest.key].preferred


def _pair(key: str, preferred: Sequence[Preferred]) -> JudgePair:
    counts = Counter(preferred)
    return JudgePair(
        tuned=key,
        wins=counts["tuned"],
        losses=counts["base"],
        ties=counts["tie"],
        judgement=sign_test(preferred),
    )


def sign_test(preferred: Sequence[Preferred]) -> Judgement:
    """The exact sign test of the rows where one side is preferred; ties are in the rows and not in the test.

    Raises:
        ValueError: there are no rows.
    """
    lost = [float(one == "base") for one in preferred]
    won = [float(one == "tuned") for one in preferred]
    # Of 0 and 1 that are never both 1 McNemar's exact test is the sign test.
    return judge_labels(lost, won).model_copy(update={"test": "exact sign test of rows preferred in both orders"})


def _habits(said: Sequence[Both]) -> dict[str, Any]:
    """How the judge judges, whatever it judges: the fields of `Judged` that say so."""
    opinions = [opinion for both in said for opinion in (both.base_first, both.tuned_first)]
    places = [opinion for opinion in opinions if opinion in ("first", "second")]
    read = [both.sides for both in said if None not in (both.base_first, both.tuned_first)]
    return {
        "answers": len(opinions),
        "first_place": places.count("first") / len(places) if places else None,
        "consistent": sum(one == other for one, other in read) / len(read) if read else None,
        "unread": opinions.count(None) / len(opinions) if opinions else None,
    }


_DRAWS = 2_000
_CHOICES: tuple[Preferred, ...] = ("tuned", "base", "tie")


def agreement(pairs: Sequence[tuple[Preferred, Preferred]]) -> tuple[int, float | None, Interval | None]:
    """How far a judge agrees with people: how many they are, Cohen's kappa, and its 95 % interval.

    Kappa is 1 where they always agree and 0 where they agree as often as by chance (Cohen 1960,
    https://doi.org/10.1177/001316446002000104). It is None where it says nothing: without pairs, or where both say
    the same of all of them. The interval is that of a percentile bootstrap over the pairs, so these have to be of
    different questions; draws in which kappa is not defined are left out. Where they agree on all pairs no draw
    differs, however few the pairs are: then its lower end is that of Wilson's interval of the agreement, with as
    much agreement by chance as was seen.

    Args:
        pairs: what the judge prefers, and what people do.
    """
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    n = len(pairs)
    if len({one for pair in pairs for one in pair}) < 2:
        return n, None, None
    kappa = float(cohen_kappa_score(*zip(*pairs, strict=True), labels=list(_CHOICES)))
    counts = Counter(pairs)
    shares = np.array([[counts[one, other] for other in _CHOICES] for one in _CHOICES]) / n
    if all(one == other for one, other in counts):
        chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
        return n, kappa, Interval(low=(wilson(n, n).low - chance) / (1 - chance), high=1.0)
    drawn = (
        np.random.default_rng(0).multinomial(n, shares.ravel(), size=_DRAWS).reshape(-1, 3, 3) / n
    )  # [draws, 3, 3]
    agreed = np.trace(drawn, axis1=1, axis2=2)
    by_chance = (drawn.sum(axis=2) * drawn.sum(axis=1)).sum(axis=1)
    defined = by_chance < 1
    kappas = (agreed[defined] - by_chance[defined]) / (1 - by_chance[defined])
    low, high = np.quantile(kappas, [0.025, 0.975])
    return n, kappa, Interval(low=float(low), high=float(high))

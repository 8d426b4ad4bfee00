"""A verdict in sentences: what came out, what takes from its worth, and what it rests on.

Computes nothing that the verdict does not say. The terminal, Markdown, HTML and JUnit say the same; tables are in
`tables`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from eval.lab.words import listed, outcome_between
from eval.report.figures import flipped, p_text, with_interval
from eval.report.headline import compared, constant_answer, ground, labels_without_rows
from eval.report.sections import MetricResult
from eval.statistics import fewest_rows
from eval.verdict.schema import Comparison, Margin, SideResult, SliceResult, Verdict

MUCH_UNREAD = 0.05
"""Share of answers that name no label from which a reader has to know it before anything else."""


# ---- names -------------------------------------------------------------------------------------------------


def titled(verdict: Verdict, key: str) -> str:
    """What a side is called: its name, with its key where another has the same name."""
    name = verdict.side(key).info.name
    alike = sum(side.info.name == name for side in verdict.sides)
    return name if alike == 1 else f"{name} ({key})"


def rows_judged(verdict: Verdict) -> str:
    """`400 reviews`."""
    return f"{verdict.n:,} {verdict.about.noun[verdict.n != 1]}"


def is_one_pair(verdict: Verdict) -> bool:
    """Whether one tuned side is compared with its base, and nothing has to be corrected."""
    return len(verdict.comparisons) == 1


def outcome(verdict: Verdict, tuned: str, *, against: str | None = None) -> str:
    """Whether a tuned side is better or worse than the base, or than another, by the corrected p-value."""
    return outcome_between(verdict.pairs, against or verdict.sides[0].info.key, tuned)


def best_first(verdict: Verdict) -> list[Comparison]:
    """The tuned sides, the best first."""
    sign = -1 if verdict.by.higher_is_better else 1
    return sorted(verdict.comparisons, key=lambda each: sign * each.primary.tuned)


# ---- the headline ------------------------------------------------------------------------------------------


def headline(verdict: Verdict) -> str:
    """What came out, in a few sentences; what takes from its worth is said first."""
    warned = caveats(verdict)
    if is_one_pair(verdict):
        (only,) = verdict.comparisons
        than = " than the base" if warned else ""
        said = [compared(only.primary, verdict.n, verdict.about.noun, than=than)]
        said += [margin_sentence(only.margin)] if only.margin else []
    else:
        said = list(_of_several(verdict))
    return " ".join([*warned, *said, *_worse_slices(verdict)])


def _of_several(verdict: Verdict) -> Iterator[str]:
    """The best of several tuned sides, those that tie with it, and those that are worse than the base."""
    ranked = best_first(verdict)
    best, *others = ranked
    base = verdict.sides[0].scores[0]
    than_base = {
        "better": "better than the base ({})",
        "worse": "and even it is worse than the base ({})",
        "no evidence": "and there is no evidence that it is better than the base ({})",
    }[outcome(verdict, best.tuned)].format(verdict.by.said(base.value))
    number = f"{verdict.by.named} {_score(verdict, best)} on {rows_judged(verdict)}"
    yield f"{titled(verdict, best.tuned)} is the best of {len(ranked)} here: {number}, {than_base}."
    ties = [other for other in others if outcome(verdict, other.tuned, against=best.tuned) == "no evidence"]
    if ties:
        names = listed([f"{titled(verdict, tie.tuned)} ({_score(verdict, tie)})" for tie in ties])
        yield f"A tie: there is no evidence that {names} {'are' if ties[1:] else 'is'} worse than that."
    if worse := [each for each in ranked if each is not best and outcome(verdict, each.tuned) == "worse"]:
        yield f"Worse than the base: {listed([titled(verdict, each.tuned) for each in worse])}."
    if missed := [each for each in verdict.comparisons if each.margin and not each.margin.holds]:
        names = listed([titled(verdict, each.tuned) for each in missed])
        margin = missed[0].margin
        assert margin is not None
        yield f"Not shown to be no worse than the base by {margin.margin:g} or more: {names}."


def _score(verdict: Verdict, comparison: Comparison) -> str:
    return verdict.by.said(comparison.primary.tuned)


def _worse_slices(verdict: Verdict) -> Iterator[str]:
    for each in verdict.comparisons:
        worse = [found for found in each.slices if found.outcome == "worse"]
        if worse:
            who = "" if is_one_pair(verdict) else f"{titled(verdict, each.tuned)}: "
            yield f"{who}Worse on {listed([_named_slice(found) for found in worse])}."


# ---- what takes from its worth -----------------------------------------------------------------------------


def caveats(verdict: Verdict) -> list[str]:
    """What a reader has to know before the verdict, in sentences; empty where there is nothing."""
    doubts = [each.doubt for each in verdict.comparisons if each.doubt]
    said = [*_known_rows(verdict), *_the_same(verdict), *doubts, *_much_unread(verdict)]
    classes = verdict.comparisons[0].classes
    if classes:
        said += labels_without_rows({each.label: each.support for each in classes})
    # Of several the best: that another is no better than that is no reason to doubt it.
    return [*said, *constant_rival(best_first(verdict)[0], verdict.alpha)]


def constant_rival(comparison: Comparison, alpha: float) -> list[str]:
    """A sentence where a tuned side is not shown to be better than one label, always; else none."""
    confusion, classes = comparison.confusion, comparison.classes
    if not confusion or not classes or comparison.primary.metric.kind != "binary":
        return []
    return list(constant_answer(confusion, [each.support for each in classes], alpha))


def _known_rows(verdict: Verdict) -> Iterator[str]:
    selection = verdict.data.selection
    if selection and selection.trained_kept:
        names = [titled(verdict, side.info.key) for side in verdict.sides if side.known.trained_on]
        if names:
            yield f"Judged on rows that {listed(names)} learned from, too: this says little about new ones."


def _the_same(verdict: Verdict) -> Iterator[str]:
    """A sentence for each set of sides that are one model: a folder given twice, for one."""
    alike: dict[tuple[str, ...], list[SideResult]] = {}
    for side in verdict.sides:
        if side.info.model is not None:
            alike.setdefault(side.info.model, []).append(side)
    for sides in alike.values():
        if len(sides) > 1:
            prompts = len({side.prompt.example for side in sides})
            how = "asked in the same way" if prompts == 1 else "asked differently, so this compares prompts"
            yield f"{listed([side.info.key for side in sides])} are one model: the same weights, {how}."


def _much_unread(verdict: Verdict) -> Iterator[str]:
    for side in verdict.sides:
        if side.unread is not None and side.unread >= MUCH_UNREAD:
            yield unread_sentence(verdict, side)


def unread_sentence(verdict: Verdict, side: SideResult) -> str:
    """How many answers of a side name no label, where labels were read out of what it wrote."""
    assert side.unread is not None
    who = titled(verdict, side.info.key)
    if not side.unread:
        return f"Every answer of {who} names a label."
    return f"{side.unread:.1%} of the answers of {who} name none of the labels, and count as wrong."


# ---- what the verdict rests on -----------------------------------------------------------------------------


def explanation(verdict: Verdict) -> list[str]:
    """What the verdict rests on, and what so many rows could have shown."""
    if is_one_pair(verdict):
        said = [ground(verdict.comparisons[0].primary)]
    else:
        said = [against_base(verdict, each) for each in best_first(verdict)]
    tests = dict.fromkeys(each.margin.test for each in verdict.comparisons if each.margin)
    return [*said, what_is_tested(verdict), *(f"The margin is judged by {test}." for test in tests)]


def against_base(verdict: Verdict, comparison: Comparison) -> str:
    """One of several tuned sides against the base, by the p-value that is corrected for all pairs."""
    found, test = outcome(verdict, comparison.tuned), comparison.verdict
    digits = comparison.primary.metric.digits + 1
    named = "no evidence of a change" if found == "no evidence" else f"{found} than the base"
    could = ""
    if found == "no evidence":
        could = " So few rows could have shown nothing, however large."
        if test.detectable is not None:
            could = f" By itself such a test could have found {test.detectable:.{digits}f} or more."
        elif test.interval.low == test.interval.high == 0:
            could = " Every row scores the same."
    numbers = metric_numbers(comparison.primary, corrected(verdict, comparison.tuned))
    return f"{titled(verdict, comparison.tuned)}: {named}. {numbers}{could}"


def metric_numbers(metric: MetricResult, corrected_p: float | None = None) -> str:
    """`accuracy 0.510 → 0.780, difference +0.270 (+0.210 to +0.330), p < 0.001.`"""
    test, digits = metric.judgement, metric.metric.digits + 1
    difference = with_interval(metric.difference, test.interval if test else None, sign="+", digits=digits)
    p = f", p {p_text(test.p_value)}" if test else ""
    after = f", corrected {p_text(corrected_p)}" if corrected_p is not None else ""
    return (
        f"{metric.title} {metric.base:.{digits}f} → {metric.tuned:.{digits}f}, difference {difference}{p}{after}."
    )


def corrected(verdict: Verdict, tuned: str) -> float:
    """The p-value of a tuned side against the base, corrected for all pairs."""
    both = {verdict.sides[0].info.key, tuned}
    return next(pair.corrected for pair in verdict.pairs if {pair.one, pair.other} == both)


def what_is_tested(verdict: Verdict) -> str:
    """What an interval and a p-value here are about."""
    title, pairs = verdict.by.title, len(verdict.pairs)
    how = f"by the {verdict.test} over {verdict.n:,} pairs of answers to the same rows"
    said = f"Intervals are 95 %. The verdict is about {title} alone, {how}"
    others = (
        "Every other p-value here is exploratory: none is corrected for how many there are, but those of slices "
        "and of standard benchmarks."
    )
    if pairs == 1:
        return f"{said}, at p ≤ {verdict.alpha:g}. {others}"
    return (
        f"{said}. The p-values of the {pairs} pairs of sides are corrected by Holm's method: the chance that any "
        f"difference that is called one is none is at most {verdict.alpha:.0%}. The interval of a difference is "
        f"that of its pair alone. {others}"
    )


def margin_sentence(margin: Margin) -> str:
    """Whether a tuned side is shown to be no worse than the base by more than a margin."""
    numbers = f"the one-sided 95 % limit of the difference is {margin.limit:+.3f}, p {p_text(margin.p_value)}"
    if margin.holds:
        return f"Not worse than the base by {margin.margin:g} or more: {numbers}."
    return f"Not shown to be no worse than the base by {margin.margin:g} or more: {numbers}."


def flips_sentence(comparison: Comparison) -> str:
    """`14 rows went from wrong to right, 3 went from right to wrong, 83 neither.`"""
    return flipped(comparison.flips, comparison.primary)


# ---- what it broke -----------------------------------------------------------------------------------------


def slices_sentence(comparison: Comparison, verdict: Verdict) -> str:
    """What became of the slices, by p-values that are corrected for their number; empty without any."""
    found = comparison.slices
    if not found:
        return ""
    whose = "their number" if is_one_pair(verdict) else "the number of all sides' slices"
    outcomes = Counter(each.outcome for each in found)
    told = [f"{outcomes[name]} {name}" for name in ("worse", "better") if outcomes[name]]
    number = f"{len(found):,} slice{'s' if len(found) > 1 else ''}"
    if not told:
        few = sum(each.n < fewest_rows() for each in found)
        small = f" {few} of them have fewer than {fewest_rows()} rows, which can show nothing." if few else ""
        return f"No evidence of a change in any of {number}, corrected for {whose}.{small}"
    return f"Of {number}, corrected for {whose}: {', '.join(told)}, the others without evidence of a change."


def slice_sentence(found: SliceResult, verdict: Verdict) -> str:
    """What became of one slice."""
    by, digits = verdict.by, verdict.by.digits + 1
    difference = with_interval(found.judgement.difference, found.judgement.interval, sign="+", digits=digits)
    verb = {"no evidence": "No evidence of a change"}.get(found.outcome, found.outcome.capitalize())
    return (
        f"{verb} on {_named_slice(found)}: {by.title} {found.base:.{digits}f} → {found.tuned:.{digits}f}, "
        f"difference {difference}, p {p_text(found.corrected)}, corrected for all slices."
    )


def _named_slice(found: SliceResult) -> str:
    return f"{found.by} = {found.value} ({found.n:,} row{'s' if found.n > 1 else ''})"

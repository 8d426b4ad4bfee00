"""A verdict as parts, in order: a title, sentences, tables. The terminal, Markdown and HTML only draw them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eval.verdict import circumstances, tables, words
from eval.verdict.schema import Comparison, Verdict
from eval.verdict.tables import Grid


@dataclass(frozen=True)
class Part:
    """Some of a verdict, under one title."""

    title: str
    said: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    besides: bool = False
    """Whether only who asks for it needs it: HTML folds it up, and the terminal leaves it out."""
    slices_of: Comparison | None = None
    """Whose slices it is about, for who draws them."""

    @property
    def is_empty(self) -> bool:
        return not any(self.said) and not any(grid.rows for grid in self.grids)


def parts(verdict: Verdict) -> list[Part]:
    """All that there is to say under the headline; of what is not there, nothing."""
    return [part for part in _parts(verdict) if not part.is_empty]


def _parts(verdict: Verdict) -> Iterator[Part]:
    several = not words.is_one_pair(verdict)
    ranked = words.best_first(verdict)
    yield Part("What came out", words.explanation(verdict), [tables.leaderboard(verdict)] if several else [])
    for each in ranked:
        yield _against_base(each, verdict, words.titled(verdict, each.tuned) if several else "By every metric")
    if several:
        yield Part("All pairs", grids=[tables.pairs(verdict)], besides=True)
    for each in ranked:
        title = f"What it broke: {words.titled(verdict, each.tuned)}" if several else "What it broke"
        grids = [tables.slices(each, verdict)] if each.slices else []
        yield Part(title, [words.slices_sentence(each, verdict)], grids, slices_of=each)
    for each in ranked:
        yield _answers(each, f"How the answers are: {words.titled(verdict, each.tuned)}" if several else "")
    suspects = [tables.suspects(verdict.suspects)] if verdict.suspects else []
    yield Part("Rows to look at", [circumstances.suspects_sentence(verdict.suspects)], suspects)
    if verdict.judged:
        yield Part("What a judge says", circumstances.judged_sentences(verdict.judged, verdict))
    if verdict.standard:
        said = circumstances.standard_sentence(verdict.standard)
        yield Part("Standard benchmarks", [said], [tables.standard(verdict)])
    yield Part("How they were asked", circumstances.how_asked(verdict))
    yield Part("What is known of the rows", circumstances.what_is_known(verdict))
    yield Part("What else there is to know", [*circumstances.proofs(verdict), *verdict.notes])
    yield Part("Where the numbers come from", grids=[tables.sides(verdict), tables.spent(verdict)], besides=True)


def _against_base(comparison: Comparison, verdict: Verdict, title: str) -> Part:
    said = [words.flips_sentence(comparison)]
    if not words.is_one_pair(verdict):  # of one pair these are in the headline
        said += words.constant_rival(comparison, verdict.alpha)
        said += [words.margin_sentence(comparison.margin)] if comparison.margin else []
    found = [tables.likelihood(comparison)]
    return Part(title, said, [tables.metrics(comparison, verdict), *(grid for grid in found if grid)])


def _answers(comparison: Comparison, title: str) -> Part:
    """Labels one by one, what is confused, how sure; or how the answers are written."""
    found: list[Grid | None] = [
        tables.classes(comparison.classes) if comparison.classes else None,
        tables.confused(comparison.confusion) if comparison.confusion else None,
        tables.calibration(comparison),
        tables.writing(comparison.writing) if comparison.writing else None,
    ]
    grids = [grid for grid in found if grid]
    return Part(title or "How the answers are", grids=grids, besides=True)


def facts(verdict: Verdict) -> dict[str, str]:
    """Where the numbers come from, besides what the tables say."""
    data = verdict.data
    cut = f"at most {verdict.max_new_tokens} tokens" if verdict.max_new_tokens is not None else ""
    return {
        "task": f"{verdict.about.title} ({verdict.task}), by {verdict.by.title}",
        "rows": f"{words.rows_judged(verdict)} of {data.spec or 'no name'}, SHA-256 {data.test_sha256}",
        **({"answers": cut} if cut else {}),
        "versions": ", ".join(f"{name} {version}" for name, version in verdict.versions.items()),
        "ended": verdict.created,
    }

"""Raw texts in a report's words: how probable both sides find them, and how each goes on. Knows values only."""

from __future__ import annotations

from eval.report.figures import with_interval
from eval.report.schema import Report, RowResult, SideResult
from eval.report.sections import FewShot, Texts, TextSide, WithContext

WORDS_SHOWN = 60
"""Of how a text goes on, beside what both sides wrote."""


def texts_sentence(texts: Texts, report: Report) -> str:
    """How probable both sides find all the texts together, and how they were read."""

    def said(side: TextSide) -> tuple[str, str]:
        return (
            with_interval(side.perplexity, side.perplexity_interval, digits=1),
            with_interval(side.bits_per_byte, side.bits_per_byte_interval),
        )

    (base, base_bits), (tuned, tuned_bits) = said(texts.base), said(texts.tuned)
    return (
        f"Perplexity of {report.n:,} {report.asked.noun[report.n != 1]}, {texts.tokens:,} tokens, where lower is "
        f"better: {base} before and {tuned} after; bits per byte: {base_bits} before and {tuned_bits} after. Each "
        f"is read by itself, at most {texts.window:,} tokens at once, and a long one counts for more."
    )


def others(few_shot: FewShot) -> str:
    """What the base has read before each: `4 other texts`."""
    return "another text" if few_shot.examples == 1 else f"{few_shot.examples} other texts"


def read_before(context: WithContext) -> str:
    """The base that has read something before each text, and how much that is."""
    return f"The base with {context.name} before each text, {context.prompt_tokens:,.0f} tokens to read"


def pairs_of(report: Report) -> str:
    """What the test of the verdict pairs."""
    return "likelihoods of the same texts" if report.texts else "answers to the same rows"


def named_side(name: str, side: SideResult) -> str:
    """`Base`, or of a text `Base, perplexity 12.3`."""
    return name if side.perplexity is None else f"{name}, perplexity {side.perplexity:,.1f}"


def right(row: RowResult) -> tuple[str, str]:
    """What a row's references are called, and these; of a text how it goes on, which may be pages."""
    if row.base.perplexity is None:
        return "Reference", " / ".join(row.references)
    words = row.references[0].split()
    return "The text goes on", " ".join([*words[:WORDS_SHOWN], *(["…"] if words[WORDS_SHOWN:] else [])])

"""How held-out pairs and thumbs are drawn in a report. The sentences are those of report.md."""

from __future__ import annotations

from eval.report.preferences import (
    KINDS_HEAD,
    kinds_table,
    preference_sentences,
    preference_table,
    thumbs_sentences,
)
from eval.report.schema import Report
from ui.drawing.markup import Markup, section, table, tag


def preferences(report: Report) -> list[Markup]:
    """A section for pairs and one for thumbs, where the report has them."""
    drawn = []
    if found := report.preference:
        headers = ["tells the better answer", "share of the pairs", "95 % interval"]
        shares = table(
            headers, preference_table(found), class_="ba-table ba-numbers", label="What tells the better answer"
        )
        said = (tag("p", sentence, class_="ba-said") for sentence in preference_sentences(found))
        kinds = table(KINDS_HEAD, kinds_table(found), class_="ba-table ba-numbers", label="By what is wrong")
        drawn.append(section("Which answer is preferred", shares, *said, kinds if found.kinds else None))
    if thumbs := report.thumbs:
        said = (tag("p", sentence, class_="ba-said") for sentence in thumbs_sentences(thumbs))
        drawn.append(section("Liked and disliked answers", *said))
    return drawn

"""Which rows were judged, in sentences: for the command line, the page and report.md. Knows values only."""

from __future__ import annotations

from eval.report.schema import Report
from eval.report.sections import Selection


def about_the_rows(report: Report) -> list[str]:
    """What a reader has to know of the rows before believing the numbers; nothing of a report of before."""
    selection, findings = report.data.selection, report.data.findings
    said = [counts(selection, report.rows_judged), *selection.notes] if selection else []
    if report.rows_judged != report.n:
        said.append(f"They are passages of {report.n:,} texts, and each text is judged as a whole.")
    if report.texts and report.texts.documents and report.texts.documents < report.n:
        said.append(_of_few_documents(report.texts.documents))
    left_out = filter(None, (report.few_shot_left_out, report.context_left_out))
    return [*said, *left_out, *(findings.sentences if findings else [])]


def _of_few_documents(documents: int) -> str:
    """What passages of a few documents cannot show: they are not independent of each other."""
    of, them = ("1 document", "it") if documents == 1 else (f"{documents:,} documents", "these")
    return (
        f"They are passages of {of}, so verdict and intervals are about other passages of {them}, and not about "
        "other documents."
    )


def counts(selection: Selection, judged: int) -> str:
    """`200 rows given, 150 trained on and left out, 50 judged.`"""
    parts = [f"{_rows(selection.given)} given"]
    if selection.repeated:
        became = "with their references added to the first" if selection.merged else "and left out"
        parts.append(f"{selection.repeated:,} repeated {became}")
    if selection.contradictory:
        parts.append(f"{selection.contradictory:,} left out for contradictory labels")
    if selection.trained_on is None:
        parts.append("how many of them were trained on is not known")
    elif selection.trained_kept:
        parts.append(f"{selection.trained_on:,} trained on and judged all the same")
    elif selection.trained_on:
        parts.append(f"{selection.trained_on:,} trained on and left out")
    else:
        parts.append("none trained on")
    sampled = f", a fixed sample of {selection.eligible:,}" if judged < selection.eligible else ""
    return f"{', '.join(parts)}; {judged:,} judged{sampled}."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"

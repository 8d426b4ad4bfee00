"""A report on the command line: the verdict, the metrics, what else would score, what it cost, which rows."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.report.figures import METRIC_HEAD, metric_cells
from eval.report.markdown import (
    EXPLORATORY,
    confused_sentence,
    context_sentence,
    context_title,
    cost,
    explanation,
    few_shot_sentence,
    few_shot_title,
    flips_sentence,
    headline,
    p_value,
    turns_sentence,
)
from eval.report.preferences import preference_sentences, thumbs_sentences
from eval.report.rewards_text import calibration_sentence, length_sentence, margin_sentence
from eval.report.rows_text import about_the_rows
from eval.report.schema import Report
from eval.report.texts import texts_sentence


def print_report(console: Console, report: Report) -> None:
    """Print `report`; names out of somebody's data are shown as they are, never obeyed."""
    console.print(f"[bold]{escape(headline(report))}[/] {escape(explanation(report))}", highlight=False)
    console.print(_metrics(report))
    for sentence in _about_the_answers(report):
        console.print(sentence, highlight=False, markup=False)
    if report.floors or report.few_shot or report.context:
        console.print(_what_else_would_score(report))
    for sentence in [*about_the_rows(report), *_about_the_rivals(report)]:
        console.print(sentence, highlight=False, markup=False)


def _metrics(report: Report) -> Table:
    table = Table(*METRIC_HEAD[:-1])  # the outcome of the primary one is the headline
    for metric in report.metrics:
        table.add_row(*map(escape, metric_cells(metric)[:-1]))
    return table


def _about_the_answers(report: Report) -> list[str]:
    said = [EXPLORATORY, flips_sentence(report)]
    if report.turns:
        said.append(turns_sentence(report.turns))
    if report.texts:
        said.append(texts_sentence(report.texts, report))
    if report.preference:
        said += preference_sentences(report.preference)
    if report.thumbs:
        said += thumbs_sentences(report.thumbs)
    if report.confusion and len(report.confusion.labels) > 2:
        said.append(confused_sentence(report.confusion))
    if report.rewards:
        said += [margin_sentence(report.rewards), calibration_sentence(report.rewards)]
        said.append(length_sentence(report.rewards))
    return [sentence for sentence in said if sentence]


def _what_else_would_score(report: Report) -> Table:
    """The rivals that need no tuning, by the primary metric, with the paired test of tuned against each."""
    primary = report.primary
    rivals = [(floor.name, floor.scores, floor.judgement) for floor in report.floors]
    if shown := report.few_shot:
        rivals.append((few_shot_title(shown, report), shown.scores, shown.judgement))
    if told := report.context:
        rivals.append((context_title(told), told.scores, told.judgement))
    table = Table("what else would score", escape(primary.title), "tuned against it", "p")
    for name, scores, test in rivals:
        score = scores.get(primary.name)
        written = "" if score is None else f"{score:.{primary.metric.digits + 1}f}"
        table.add_row(escape(name), written, test.outcome if test else "", p_value(test))
    return table


def _about_the_rivals(report: Report) -> list[str]:
    said = []
    if report.few_shot:
        said.append(few_shot_sentence(report.few_shot, report))
    if report.context:
        said.append(context_sentence(report.context, report))
    if report.forgetting:
        said.append(f"What it cost: {cost(report.forgetting)}")
    return said

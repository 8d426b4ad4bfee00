"""How a comparison's report is drawn: the verdict as a sentence, its numbers, and what else there is to know.

The sentences are `eval.report.markdown`'s, the same as in report.md. Computes nothing. A part that a report does
not have is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from data.sources import shown_spec
from eval.metrics import metric_named
from eval.report.folder import REPORT_FILE, load
from eval.report.markdown import (
    EXPLORATORY,
    PAIRS_SHOWN,
    answered,
    context_sentence,
    context_title,
    cost,
    cost_facts,
    explanation,
    few_shot_sentence,
    few_shot_title,
    headline,
    p_value,
    turns_sentence,
    with_interval,
)
from eval.report.rows_text import about_the_rows, counts
from eval.report.schema import Report, RowResult
from eval.report.sections import Calibration, ClassScores, Confusion, MetricResult
from eval.report.texts import pairs_of, texts_sentence
from eval.statistics import Interval, Judgement
from plumbing.errors import UserError
from plumbing.remembered import Remembered
from ui.drawing import charts, text
from ui.drawing.markup import Child, Markup, cell, fold, join, scrolling, section, table, tag
from ui.drawing.preferences import preferences
from ui.drawing.rewards import rewards

FEWEST_CALIBRATED = 50
"""Of fewer rows a line of calibration is drawn by chance alone."""


def report_of(folder: Path) -> Report | None:
    """The report in `folder`; None where there is none, or a damaged one."""
    try:
        return load(folder)[0]
    except (UserError, OSError):
        return None


def rows_of(folder: Path) -> list[RowResult]:
    """The rows of the report in `folder`; none where they cannot be read."""
    try:
        return list(load(folder)[1])
    except (UserError, OSError):
        return []


def primary_score(folder: Path) -> str:
    """`accuracy 0.51 → 0.78`, or nothing. A report that did not change is not read again."""
    return _primary_scores(f"{folder}/{REPORT_FILE}")


def _primary_score(path: str) -> str:
    report = report_of(Path(path).parent)
    if report is None:
        return ""
    metric = report.primary
    said = metric.metric.said
    return f"{metric.metric.named} {said(metric.base)} → {said(metric.tuned)}"


_primary_scores = Remembered(_primary_score, most=2**11)


# ---- before the flips: the verdict -------------------------------------------------------------------------


def verdict(report: Report, rows: Sequence[RowResult]) -> Markup:
    """The sentence, the numbers with their intervals, and how the rows changed."""
    sentences = [(headline(report), "ba-headline"), (explanation(report), "ba-said")]
    said = tag("div", *(tag("p", sentence, class_=look) for sentence, look in sentences))
    more = [turns_sentence(report.turns)] if report.turns else []
    more += [texts_sentence(report.texts, report)] if report.texts else []
    notes = (tag("div", sentence, class_="ba-note") for sentence in more)
    shown = (_rows_judged(report), _metric_table(report), *notes, _method(report), _changes(report, rows))
    return tag("div", said, *shown, class_="ba-stack")


def _rows_judged(report: Report) -> Markup | None:
    """How many rows were given, trained on and judged; a report of before does not know."""
    selection = report.data.selection
    return tag("div", counts(selection, report.rows_judged), class_="ba-note") if selection else None


def _metric_table(report: Report) -> Markup:
    rows = [
        [
            _metric_name(metric),
            _value(metric, metric.base, metric.base_interval),
            _value(metric, metric.tuned, metric.tuned_interval),
            _value(metric, metric.difference, metric.judgement.interval if metric.judgement else None, sign="+"),
            p_value(metric.judgement) or "–",
            metric.judgement.outcome if metric.judgement else "–",
        ]
        for metric in report.metrics
    ]
    headers = ["metric", "base", "tuned", "difference", "p", "verdict"]
    return table(headers, rows, class_="ba-table ba-metrics", label="Scores with 95 % intervals")


def _metric_name(metric: MetricResult) -> Markup:
    said = "primary" if metric.primary else "exploratory"
    look = "ba-strong" if metric.primary else None
    return join([tag("span", metric.tells, class_=look), tag("div", said, class_="ba-small")])


def _value(metric: MetricResult, value: float, interval: Interval | None, *, sign: str = "") -> Markup:
    """A number over its interval."""
    digits = metric.metric.digits + 1
    number, _, limits = with_interval(value, interval, sign=sign, digits=digits).partition(" (")
    small = tag("div", limits.rstrip(")"), class_="ba-small") if limits else None
    return join([tag("span", number), small])


def _method(report: Report) -> Markup:
    test = report.verdict
    level = f"p ≤ {test.alpha:g}".replace(" ", "\N{NO-BREAK SPACE}")
    judged = (
        f"The verdict is about {report.primary.title} alone, by the {test.test} at {level} over {report.n:,} pairs "
        f"of {pairs_of(report)}. {EXPLORATORY}"
    )
    return tag("div", f"{text.INTERVALS} {judged}", class_="ba-note")


def _changes(report: Report, rows: Sequence[RowResult]) -> Markup | None:
    """Labels and pairs: how many rows stayed or became right or wrong. Texts: every row's change."""
    if (report.confusion or report.rewards) and report.primary.metric.kind == "binary":
        right, lost = round(report.primary.base * report.n), report.flips.lost
        return charts.outcomes(right - lost, report.flips.gained, lost, report.n - right - report.flips.gained)
    if not rows:
        return None
    changes = [row.change(report.primary.name) for row in rows]
    what = f"A line is a {report.asked.noun[0]}: how much its {report.primary.title} changed, sorted"
    title = f"Change in {report.primary.title}"
    return charts.differences(changes, report.verdict.difference, report.verdict.interval, what=what, title=title)


# ---- after the flips: everything else ----------------------------------------------------------------------


def details(report: Report) -> Markup:
    """What else would score, what it cost, labels, writing, and where the numbers come from."""
    parts = [
        *preferences(report),
        *([rewards(report.rewards)] if report.rewards else []),
        _floors(report),
        _forgetting(report),
        _labels(report),
        _writing(report),
        _provenance(report),
    ]
    return tag("div", *(part for part in parts if part), class_="ba-stack")


def _floors(report: Report) -> Markup | None:
    few_shot, context = report.few_shot, report.context
    if not report.floors and not few_shot and not context:
        return None
    names = report.scored_by_all

    def row(title: Child, said: str, scores: dict[str, float], test: Judgement | None = None) -> list[Child]:
        explained = tag("div", said, class_="ba-small ba-wrapped") if said else None
        verdict = f"{test.outcome}, p {p_value(test)}" if test else ""
        return [join([title, explained]), *(f"{scores[name]:.3f}" for name in names), verdict]

    rows = [row(floor.name, floor.sentence, floor.scores, floor.judgement) for floor in report.floors]
    rows.append(row("base", "", {metric.name: metric.base for metric in report.metrics}, report.verdict))
    if few_shot:
        rows.append(row(few_shot_title(few_shot, report), "", few_shot.scores, few_shot.judgement))
    if context:
        rows.append(row(context_title(context), "", context.scores, context.judgement))
    tuned = {metric.name: metric.tuned for metric in report.metrics}
    rows.append(row(tag("span", "tuned", class_="ba-strong ba-of-tuned"), "", tuned))
    headers = ["answers by", *(metric_named(name).title for name in names), "tuned against it"]
    scores = table(headers, rows, class_="ba-table ba-numbers", label="What else would score")
    sentences = [few_shot_sentence(few_shot, report)] if few_shot else []
    sentences += [context_sentence(context, report)] if context else []
    return section("What else would score", *(tag("p", one, class_="ba-said") for one in sentences), scores)


def _forgetting(report: Report) -> Markup | None:
    found = report.forgetting
    if found is None:
        return None
    answers = table(
        ["instruction", "base", "tuned"],
        ([cell(answer.instruction), cell(answer.base), cell(answer.tuned)] for answer in found.answers),
        class_="ba-table ba-texts",
        label="Answers to general instructions",
    )
    folded = fold(f"Both sides' answers to {len(found.answers)} general instructions", answers)
    facts = tag("div", cost_facts(found), class_="ba-note")
    return section("What it cost", tag("p", cost(found), class_="ba-said"), facts, folded)


def _labels(report: Report) -> Markup | None:
    parts = []
    if report.confusion:
        parts.append(_confusion(report.confusion))
    if report.classes and len(report.classes) > 2:
        parts.append(_classes(report.classes))
    if report.calibration:
        parts.append(_calibration(report, report.calibration))
    return section("Answers by label, and how sure they are", *parts) if parts else None


def _confusion(confusion: Confusion) -> Markup:
    """A table for each side; of very many labels the pairs that are confused most often."""
    if confusion.is_large:
        pairs = confusion.most_confused(PAIRS_SHOWN)
        rows = ([cell(one), cell(other), f"{base:,}", f"{tuned:,}"] for one, other, base, tuned in pairs)
        headers = ["right label", "answered", "base", "tuned"]
        return table(headers, rows, class_="ba-table ba-numbers", label="Labels that are confused most often")
    both = (("base", confusion.base), ("tuned", confusion.tuned))
    return tag("div", *(_confusion_of(side, confusion.labels, counts) for side, counts in both), class_="ba-pair")


def _confusion_of(side: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """A table of right labels against answers; the darker, the larger the share of its row."""

    def share(count: int, total: int) -> Markup:
        said = tag("span", f" {count / total:.0%}", class_="ba-small")
        return tag("td", f"{count:,}", said, style=_shade(side, count / total))

    titles = ["right label", *(f"answers {label}" for label in labels)]
    head = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in titles)))
    rows = [
        tag("tr", tag("th", label, scope="row"), *(share(count, sum(row) or 1) for count in row))
        for label, row in zip(labels, counts, strict=True)
    ]
    caption = tag("caption", side, class_=f"ba-of-{side}")
    drawn = tag("table", caption, head, tag("tbody", *rows), class_="ba-table ba-confusion")
    return scrolling(drawn, label=f"Right labels against the answers of {side}")


def _classes(classes: Sequence[ClassScores]) -> Markup:
    """Each label's precision, recall and F1, base → tuned, folded: of many labels it is long."""

    def row(each: ClassScores) -> list[Child]:
        base, tuned = each.base, each.tuned
        pairs = ((base.precision, tuned.precision), (base.recall, tuned.recall), (base.f1, tuned.f1))
        return [cell(each.label), f"{each.support:,}", *(f"{before:.2f} → {after:.2f}" for before, after in pairs)]

    headers = ["label", "test rows", "precision", "recall", "F1"]
    drawn = table(headers, map(row, classes), class_="ba-table ba-numbers", label="Scores of each label")
    return fold(f"Each of the {len(classes)} labels, base → tuned", drawn)


def _calibration(report: Report, found: Calibration) -> Markup:
    base, tuned = found.base, found.tuned
    sides = [
        ("calibration error", base.expected_calibration_error, tuned.expected_calibration_error),
        ("Brier score", base.brier_score, tuned.brier_score),
    ]
    numbers = table(
        ["lower is better", "base", "tuned"],
        ([name, f"{before:.3f}", f"{after:.3f}"] for name, before, after in sides),
        class_="ba-table ba-numbers",
        label="Calibration",
    )
    words = [tag("p", text.CALIBRATION, class_="ba-said"), numbers]
    if report.near_ties:
        said = f"{report.near_ties:,} of {report.n:,} rows are {text.NEAR_TIES}"
        words.append(tag("div", said, class_="ba-note"))
    if report.n < FEWEST_CALIBRATED:
        few = text.TOO_FEW_CALIBRATED.format(rows=report.n, least=FEWEST_CALIBRATED)
        return tag("div", *words, tag("div", few, class_="ba-note"), class_="ba-stack")
    plot = charts.reliability(base.bins, tuned.bins)
    return tag("div", plot, tag("div", *words, class_="ba-stack"), class_="ba-beside")


def _shade(side: str, share: float) -> str:
    return f"background:color-mix(in srgb, var(--ba-{side}) {40 * share:.0f}%, var(--ba-paper))"


def _writing(report: Report) -> Markup | None:
    if report.writing is None:
        return None
    base, tuned = report.writing.base, report.writing.tuned
    rows = (
        [title, f"{getattr(base, name):.2f}", f"{getattr(tuned, name):.2f}"] for name, title in text.WRITING.items()
    )
    headers = ["mean of the answers", "base", "tuned"]
    drawn = table(headers, rows, class_="ba-table ba-numbers", label="How the answers are written")
    return section("How the answers are written", drawn)


def _provenance(report: Report) -> Markup:
    facts = [tag(name, said) for fact in _facts(report) for name, said in zip(("dt", "dd"), fact, strict=True)]
    return fold("Where the numbers come from", tag("dl", *facts, class_="ba-facts"))


def _facts(report: Report) -> Iterable[tuple[str, str]]:
    base, data = report.base, report.data
    how = answered(report.kind)
    if report.max_new_tokens is not None:
        how = f"greedy, at most {report.max_new_tokens} tokens"
    if report.texts is not None:
        how = f"likelihoods of at most {report.texts.window:,} tokens at once; going on {how}"
    yield "base model", f"{base.name}, from {base.origin}{f' ({base.revision})' if base.revision else ''}"
    yield "base weights", f"SHA-256 {base.weights_sha256}"
    yield "precision", report.precision
    if report.strategy:
        yield "trained with", report.strategy
    yield report.tuned_is, f"{report.adapter_proof.sentence}; SHA-256 {report.adapter_sha256 or 'not known'}"
    yield "prompt", f"SHA-256 {report.prompt_sha256}"
    source = f"{shown_spec(data.spec) or 'not named'}, split {data.split}, {report.n:,} rows"
    yield "data", f"{source}, SHA-256 {data.test_sha256}; {report.train_rows:,} training rows"
    if said := about_the_rows(report):
        yield "rows", " ".join(said)
    yield "answers", f"{how}, {report.batch_size} rows a batch"
    if report.max_new_tokens is not None and report.tokenizer:
        yield "ROUGE counts", report.tokenizer
    yield "versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())
    yield "time", f"{report.seconds:.0f} s, ended {report.created}"

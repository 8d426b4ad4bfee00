"""The report in words: its tables, a sentence about each section, and all of it as Markdown.

A sentence first, for who never saw a p-value (`headline`); then everything that a reviewer asks for. Knows values
only.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.metrics import Metric, metric_named
from eval.report.escaped import cell, plain, quote
from eval.report.figures import FEW_ROWS, WRITING_TITLES, flipped, metric_cells, of_any_size
from eval.report.figures import PAIRS_SHOWN as PAIRS_SHOWN
from eval.report.figures import p_value as p_value
from eval.report.figures import with_interval as with_interval
from eval.report.headline import explanation as explanation
from eval.report.headline import headline as headline
from eval.report.preferences import preferences_markdown
from eval.report.rewards_text import rewards_markdown, taken
from eval.report.rows_text import about_the_rows
from eval.report.schema import Report, RowResult
from eval.report.sections import ClassScores, Confusion, FewShot, Forgetting, TurnLikelihood, WithContext
from eval.report.texts import named_side, others, pairs_of, read_before, right, texts_sentence
from eval.statistics import Judgement

FLIPS_SHOWN = 5
_SIDE_BY_SIDE = 3
"""Labels up to which one table holds the answers of both sides."""
EXPLORATORY = "Every other p-value and comparison here is exploratory: none is corrected for how many there are."


def cost(forgetting: Forgetting) -> str:
    """What the gain cost elsewhere, in a sentence or two."""
    base, tuned = map(of_any_size, (forgetting.base_perplexity, forgetting.tuned_perplexity))
    said = {
        "worse": f"General text suffered: perplexity, where lower is better, went from {base} to {tuned}",
        "better": f"General text did not suffer: perplexity, where lower is better, went from {base} to {tuned}",
        "no evidence": f"No evidence that general text suffered: perplexity is {base} before and {tuned} after",
    }[forgetting.judgement.outcome]
    return (
        f"{said}. Both predict the same next word piece {forgetting.agreement:.0%} of the time, and "
        f"{forgetting.changed} of {len(forgetting.answers)} answers to general instructions changed."
    )


def cost_facts(forgetting: Forgetting) -> str:
    """The numbers behind it."""
    test, bits = forgetting.judgement, forgetting.bits_per_byte
    a_byte = "Bits per byte: {:.2f} before and {:.2f} after. ".format(*bits) if bits else ""
    change = with_interval(test.difference, test.interval, sign="+")
    return (
        f"{forgetting.passages:,} passages, {forgetting.tokens:,} tokens. {a_byte}Change of the mean "
        f"log-likelihood a token: {change} nats, p {p_value(test)}."
    )


def few_shot_sentence(few_shot: FewShot, report: Report) -> str:
    """The tuned model against the base that is shown examples."""
    name, metric = report.primary.name, report.primary.metric
    low, high = few_shot.spread(name)
    draws = ""
    if few_shot.draws[1:]:
        draws = f" on the mean of {len(few_shot.draws)} draws of them ({metric.said(low)} to {metric.said(high)})"
    outcome = _against(few_shot.judgement, "without any")
    reaches = (
        f"the base reaches {_named(metric)}{metric.said(few_shot.scores[name])}{draws}, and {outcome} "
        f"({metric.said(report.primary.tuned)})"
    )
    if report.texts:
        return f"With {others(few_shot)} before each, {few_shot.prompt_tokens:,.0f} tokens to read, {reaches}."
    return (
        f"Shown {few_shot.examples} examples in every prompt, {reaches}; a prompt then takes "
        f"{few_shot.prompt_tokens:.0f} tokens instead of {few_shot.prompt_tokens_without:.0f}."
    )


def few_shot_title(few_shot: FewShot, report: Report) -> str:
    """`base, 4 examples in the prompt (mean of 3 draws)`: what a table calls it."""
    draws = f" (mean of {len(few_shot.draws)} draws)" if few_shot.draws[1:] else ""
    shown = f"{others(few_shot)} before each" if report.texts else f"{few_shot.examples} examples in the prompt"
    return f"base, {shown}{draws}"


def _named(metric: Metric) -> str:
    """What a number is called where a sentence tells another than the mean."""
    return f"a {metric.told.title} of " if metric.told else ""


def context_sentence(context: WithContext, report: Report) -> str:
    """The tuned model against the base that has a text in its prompt."""
    metric, scores = report.primary.metric, context.scores
    outcome = f"{_against(context.judgement, 'without it')} ({metric.said(report.primary.tuned)})"
    reached = f"{_named(metric)}{metric.said(scores[report.primary.name])}"
    if report.texts:
        return f"{read_before(context)}: {reached}, and {outcome}."
    return (
        f"The base with {context.name} in its prompt: {reached}, {context.prompt_tokens:,.0f} tokens a question "
        f"instead of {context.prompt_tokens_without:,.0f}, and {outcome}."
    )


def context_title(context: WithContext) -> str:
    """`base, handbook.md in the prompt`: what a table calls it."""
    return f"base, {context.name} in the prompt"


def _against(test: Judgement, without: str) -> str:
    return {
        "better": f"the tuned model {without} is better",
        "worse": f"it is better than the tuned model {without}",
        "no evidence": f"there is no evidence of a difference to the tuned model {without}",
    }[test.outcome]


def turns_sentence(turns: TurnLikelihood) -> str:
    """How probable both sides find all that the assistant says."""
    return (
        f"Perplexity of all that the assistant says, {turns.tokens:,} tokens, where lower is better: "
        f"{turns.base_perplexity:.1f} before and {turns.tuned_perplexity:.1f} after."
    )


def confused_sentence(confusion: Confusion) -> str:
    """`Most often confused: a taken for b 7 times (12 before), …`; empty where the tuned model confuses nothing."""
    pairs = [pair for pair in confusion.most_confused(3) if pair.tuned]
    said = [
        f"{pair.right} taken for {pair.answered} {pair.tuned:,} {'times' if pair.tuned > 1 else 'time'} "
        f"({pair.base:,} before)"
        for pair in pairs
    ]
    return f"Most often confused: {', '.join(said)}." if said else ""


def table(report: Report) -> str:
    """The metrics of both sides with intervals and tests, as a Markdown table."""
    lines = [
        "| metric | base | tuned | difference | p | verdict |",
        "|---|---|---|---|---:|---|",
    ]
    for metric in report.metrics:
        named, *numbers = metric_cells(metric)
        lines.append(f"| {' | '.join([plain(named), *numbers])} |")
    return "\n".join(lines)


def to_markdown(report: Report, rows: Sequence[RowResult]) -> str:
    """The report for a person."""
    test = report.verdict
    sections = [
        f"# {plain(headline(report))}",
        explanation(report),
        table(report),
        *([turns_sentence(report.turns)] if report.turns else []),
        *([texts_sentence(report.texts, report)] if report.texts else []),
        f"Intervals are 95 %. The verdict is about {report.primary.title} alone, by the {test.test} at "
        f"p ≤ {test.alpha:g} over {report.n:,} pairs of {pairs_of(report)}. {EXPLORATORY}",
        *preferences_markdown(report.preference, report.thumbs, cell),
        *_floors(report),
        *_forgetting(report),
        *_labels(report),
        *(rewards_markdown(report.rewards, cell) if report.rewards else []),
        *_writing(report),
        *_flips(report, rows),
        *_rows(report),
        "## Where the numbers come from",
        _provenance(report),
    ]
    return "\n\n".join(sections) + "\n"


def _floors(report: Report) -> list[str]:
    shown, told = report.few_shot, report.context
    if not report.floors and not shown and not told:
        return []
    names = report.scored_by_all
    titles = [plain(metric_named(name).title) for name in names]
    lines = [
        f"| answers by | {' | '.join(titles)} | tuned against it, p | verdict |",
        "|---" * (len(names) + 3) + "|",
    ]

    def row(title: str, scores: dict[str, float], test: Judgement | None = None) -> str:
        cells = [title, *(f"{scores[name]:.3f}" for name in names), p_value(test), test.outcome if test else ""]
        return f"| {' | '.join(cells)} |"

    lines += [row(floor.name, floor.scores, floor.judgement) for floor in report.floors]
    lines.append(row("base", {metric.name: metric.base for metric in report.metrics}, report.verdict))
    if shown:
        lines.append(row(few_shot_title(shown, report), shown.scores, shown.judgement))
    if told:
        lines.append(row(plain(context_title(told)), told.scores, told.judgement))
    lines.append(row("**tuned**", {metric.name: metric.tuned for metric in report.metrics}))
    explained = [f"{floor.name}: {floor.sentence}" for floor in report.floors]
    said = [few_shot_sentence(shown, report)] if shown else []
    said += [plain(context_sentence(told, report))] if told else []
    return ["## What else would score", "\n".join(lines), *said, "\n".join(f"- {line}" for line in explained)]


def _forgetting(report: Report) -> list[str]:
    found = report.forgetting
    return ["## What it cost", cost(found), cost_facts(found)] if found else []


def _labels(report: Report) -> list[str]:
    sections = []
    if confusion := report.confusion:
        sections += ["## Answers by label", *_confusion(confusion)]
    if report.classes:
        sections += _classes(report.classes)
    if calibration := report.calibration:
        base, tuned = calibration.base, calibration.tuned
        sections.append(
            f"Calibration error (how far confidence is from accuracy): {base.expected_calibration_error:.3f} → "
            f"{tuned.expected_calibration_error:.3f}. "
            f"Brier score: {base.brier_score:.3f} → {tuned.brier_score:.3f}. "
            f"Rows whose labels are tied to within bfloat16's rounding: {report.near_ties}."
        )
    return sections


def _confusion(confusion: Confusion) -> list[str]:
    """A table for both sides, or one for each; of very many labels the pairs that are confused most often."""
    labels = [cell(label) for label in confusion.labels]
    if confusion.is_large:
        pairs = confusion.most_confused(PAIRS_SHOWN)
        lines = ["| right label | answered | base | tuned |", "|---|---|---:|---:|"]
        lines += [f"| {cell(one)} | {cell(other)} | {base} | {tuned} |" for one, other, base, tuned in pairs]
        said = f"Of {len(labels)} labels, those that are confused most often: number of rows."
        return (
            [said, "\n".join(lines)] if pairs else [f"None of the {len(labels)} labels is confused with another."]
        )
    if len(labels) <= _SIDE_BY_SIDE:
        heads = [f"{side}: {label}" for label in labels for side in ("base", "tuned")]
        both = zip(confusion.base, confusion.tuned, strict=True)
        counts = [[count for pair in zip(*rows, strict=True) for count in pair] for rows in both]
        return [_counts("right label", heads, labels, counts)]
    sides = (("base", confusion.base), ("tuned", confusion.tuned))
    return [_counts(f"right label, answers of {side}", labels, labels, counts) for side, counts in sides]


def _counts(corner: str, heads: Sequence[str], labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    lines = [f"| {corner} | {' | '.join(heads)} |", "|---" + "|---:" * len(heads) + "|"]
    lines += [f"| {label} | {' | '.join(map(str, row))} |" for label, row in zip(labels, counts, strict=True)]
    return "\n".join(lines)


def _classes(classes: Sequence[ClassScores]) -> list[str]:
    lines = ["| label | test rows | precision | recall | F1 |", "|---|---:|---:|---:|---:|"]
    for each in classes:
        sides = zip(_scores_of(each, "base"), _scores_of(each, "tuned"), strict=True)
        cells = [cell(each.label), f"{each.support:,}", *(f"{base:.2f} → {tuned:.2f}" for base, tuned in sides)]
        lines.append(f"| {' | '.join(cells)} |")
    few = [each.label for each in classes if each.support < FEW_ROWS]
    said = "Base → tuned; no label has a test of its own."
    if few:
        said += (
            f" {len(few)} of {len(classes)} labels have fewer than {FEW_ROWS} test rows: their scores say little."
        )
    return ["\n".join(lines), said]


def _scores_of(each: ClassScores, side: str) -> tuple[float, float, float]:
    found = each.base if side == "base" else each.tuned
    return found.precision, found.recall, found.f1


def _writing(report: Report) -> list[str]:
    if report.writing is None:
        return []
    base, tuned = report.writing.base, report.writing.tuned
    lines = ["| mean of the answers | base | tuned |", "|---|---:|---:|"]
    lines += [
        f"| {title} | {getattr(base, name):.2f} | {getattr(tuned, name):.2f} |"
        for name, title in WRITING_TITLES.items()
    ]
    return ["## How the answers are written", "\n".join(lines)]


def flips_sentence(report: Report) -> str:
    """`14 rows went from wrong to right, 3 went from right to wrong, 83 neither.`"""
    return flipped(report.flips, report.primary)


def _flips(report: Report, rows: Sequence[RowResult]) -> list[str]:
    metric = report.primary.metric
    sections = ["## What flipped", flips_sentence(report)]
    for title, kind in (("Gains", "gained"), ("Losses", "lost")):
        changed = [row for row in rows if report.flip(row) == kind]
        changed.sort(key=lambda row: abs(row.change(metric.name)), reverse=True)
        if changed:
            shown = "all" if len(changed) <= FLIPS_SHOWN else f"{FLIPS_SHOWN} of {len(changed):,}"
            sections += [f"### {title} ({shown})", *map(_example, changed[:FLIPS_SHOWN])]
    return sections


def _rows(report: Report) -> list[str]:
    said = about_the_rows(report)
    return ["## Which rows", "\n".join(f"- {plain(line)}" for line in said)] if said else []


def _provenance(report: Report) -> str:
    base, data = report.base, report.data
    decoding = answered(report.kind)
    if report.max_new_tokens is not None:
        decoding = f"greedy answers of at most {report.max_new_tokens} tokens"
    if report.texts is not None:
        decoding = (
            f"likelihoods of at most {report.texts.window:,} tokens at once; greedy continuations of at most "
            f"{report.max_new_tokens} tokens"
        )
    revision = f" ({plain(base.revision)})" if base.revision else ""
    source = f"{plain(data.spec) or 'not named'}, split {plain(data.split)}, {report.n:,} rows"
    facts = {
        "base model": f"{plain(base.name)}, from {base.origin}{revision}",
        "base weights": f"SHA-256 {base.weights_sha256}",
        "precision": report.precision + (f", computed in {report.computed_in}" if report.computed_in else ""),
        report.tuned_is: f"{plain(_trained(report))}; SHA-256 {report.adapter_sha256 or 'not known'}",
        "prompt": f"SHA-256 {report.prompt_sha256}",
        "data": f"{source}, SHA-256 {data.test_sha256}",
        "answers": f"{decoding}, {report.batch_size} rows a batch",
        **({"ROUGE counts": report.tokenizer} if report.max_new_tokens and report.tokenizer else {}),
        **({"text in the prompt": f"SHA-256 {report.context.text_sha256}"} if report.context else {}),
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        "time": f"{report.seconds:.0f} s, ended {report.created}",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def answered(kind: str) -> str:
    """How a model of a kind answers where it writes nothing."""
    return {
        "classifier": "class probabilities of the head",
        "reward": "the answer with the higher reward; of the base, with the higher log-probability a token",
    }.get(kind, "labels scored by their log-likelihood")


def _trained(report: Report) -> str:
    """What was trained, and that it acts."""
    proof = report.adapter_proof.sentence
    return f"{report.strategy}: {proof}" if report.strategy else proof


def _example(row: RowResult) -> str:
    parts = [quote(row.input)]
    sides = [(named_side("Base", row.base), row.base.answer), (named_side("Tuned", row.tuned), row.tuned.answer)]
    shown = [right(row), *sides]
    if row.rejected is not None and row.tuned.rewards is not None:
        sides = [("Base takes", taken(row, "base")), ("Tuned takes", taken(row, "tuned"))]
        shown = [("Better", row.references[0]), ("Worse", row.rejected), *sides]
    for title, text in shown:
        parts.append(f"**{title}:** {plain(' '.join(text.split())) or '(nothing)'}")
    return "\n\n".join(parts)

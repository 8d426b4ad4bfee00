"""The report in words: its verdict as a sentence, its tables, and all of it as Markdown.

A sentence first, for who never saw a p-value; then everything that a reviewer asks for. Knows values only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from eval.metrics.metric import metric_named
from eval.report.rows_text import about_the_rows
from eval.report.schema import Confusion, FewShot, Forgetting, Report, RowResult
from eval.statistics import Interval, Judgement, mcnemar_p

FLIPS_SHOWN = 5
EXPLORATORY = "Every other p-value and comparison here is exploratory: none is corrected for how many there are."
UNTRAINED_HEAD = (
    "The base here has a classification head of random weights, so it answers by chance and is no fair rival: "
    'compare the tuned model with "frozen base + logistic regression" and TF-IDF instead.'
)

_UNLEARNED = {"first two turns": "repeating the first two turns", "longest turn": "repeating the longest turn"}
_WRITING_TITLES = {
    "length_ratio": "length / reference",
    "novelty": "words not in what was asked",
    "repetition": "repeated runs of three words",
    "empty": "empty answers",
    "cut_off": "answers cut off",
}


def headline(report: Report) -> str:
    """The verdict in a sentence: `Better: on 380 reviews accuracy rose from 0.51 to 0.78.`

    What takes from its worth is said first: that the rows were trained on, labels that they lack, and a rival that
    takes no learning.
    """
    caveats = [*_known_rows(report), *_labels_without_rows(report), *_rivals_that_read_nothing(report)]
    return " ".join([*caveats, _compared(report, than=" than the base" if caveats else "")])


def _compared(report: Report, *, than: str) -> str:
    """Tuned against base, after `Better` what it is better `than`, where that needs to be said."""
    metric, verdict = report.primary, report.verdict
    on = f"on {report.n:,} {report.asked.noun[report.n != 1]} {metric.title}"
    base, tuned = (f"{value:.{metric.metric.digits}f}" for value in (metric.base, metric.tuned))
    if verdict.outcome == "no evidence":
        return f"No evidence of a change: {on} is {base} before and {tuned} after."
    verb = "rose" if verdict.difference > 0 else "fell"
    return f"{verdict.outcome.capitalize()}{than}: {on} {verb} from {base} to {tuned}."


def _known_rows(report: Report) -> Iterator[str]:
    """A sentence where someone asked to judge rows that were trained on, and there were some."""
    selection = report.data.selection
    if selection and selection.trained_kept and selection.trained_on:
        yield "Judged on rows that it was trained on, too: this says little about new ones."


def _labels_without_rows(report: Report) -> Iterator[str]:
    """A sentence where a label is right in no test row: the scores then say nothing about it."""
    if report.confusion is None:
        return
    counts = {label: sum(row) for label, row in zip(report.confusion.labels, report.confusion.base, strict=True)}
    there = [label for label, count in counts.items() if count]
    lacking = " or ".join(label for label, count in counts.items() if not count)
    if len(there) == 1:
        yield f"Every test row is {there[0]}: this says nothing about rows that are {lacking}."
    elif lacking:
        yield f"No test row is {lacking}: this says nothing about such rows."


def _rivals_that_read_nothing(report: Report) -> Iterator[str]:
    """A sentence where tuned is not shown to be better than an answer that takes no learning.

    Labels: always the test rows' most frequent one, by the paired test of the verdict. Texts: the best floor.
    """
    metric = report.primary
    if report.confusion and metric.name == "accuracy":
        yield from _constant_answer(report.confusion, report)
        return
    floors = [floor for floor in report.floors if floor.name in _UNLEARNED and metric.name in floor.scores]
    sign = 1 if metric.metric.higher_is_better else -1
    best = max(floors, key=lambda floor: sign * floor.scores[metric.name], default=None)
    if best is None:
        return
    rival = f"{_UNLEARNED[best.name]} ({best.scores[metric.name]:.{metric.metric.digits}f})"
    if sign * metric.tuned <= sign * best.scores[metric.name]:
        yield f"No better than {rival}."
    elif best.judgement and best.judgement.outcome == "no evidence":
        yield f"No evidence that it is better than {rival}."


def _constant_answer(confusion: Confusion, report: Report) -> Iterator[str]:
    totals = list(map(sum, confusion.tuned))
    common = totals.index(max(totals))
    if totals[common] == report.n:
        return  # only one label is there, which is said already
    gains = sum(row[index] for index, row in enumerate(confusion.tuned) if index != common)
    losses = totals[common] - confusion.tuned[common][common]
    rival = f"always answering {confusion.labels[common]} ({totals[common] / report.n:.2f})"
    if gains <= losses:
        yield f"No better than {rival}."
    elif mcnemar_p(gains, losses) > report.verdict.alpha:
        yield f"No evidence that it is better than {rival}."


def explanation(report: Report) -> str:
    """What the verdict rests on, in sentences that need no statistics, and what was amiss in training."""
    head = UNTRAINED_HEAD if report.kind == "classifier" else ""
    return " ".join(part for part in (_ground(report), head, report.training) if part)


def _ground(report: Report) -> str:
    verdict, digits = report.verdict, report.primary.metric.digits
    if verdict.outcome == "no evidence":
        if verdict.detectable is None and verdict.interval.low == verdict.interval.high == 0:
            return "That is because every row scores the same before and after, so there is nothing to judge by."
        if verdict.detectable is None:
            return "So few rows can show nothing, however large the difference. Use a larger test set."
        return (
            f"That is not proof that nothing changed: {verdict.n:,} rows can show a difference of "
            f"{verdict.detectable:.{digits}f} or more, and this one is {verdict.difference:+.{digits}f}."
        )
    return (
        f"The true difference is probably between {verdict.interval.low:+.{digits}f} and "
        f"{verdict.interval.high:+.{digits}f}. If tuning changed nothing, a difference this large would turn up in "
        f"{_seldom(verdict.p_value)} test sets."
    )


def cost(forgetting: Forgetting) -> str:
    """What the gain cost elsewhere, in a sentence or two."""
    base, tuned = f"{forgetting.base_perplexity:.1f}", f"{forgetting.tuned_perplexity:.1f}"
    said = {
        "worse": f"General text suffered: perplexity, where lower is better, went from {base} to {tuned}",
        "better": f"General text did not suffer: perplexity, where lower is better, went from {base} to {tuned}",
        "no evidence": f"No evidence that general text suffered: perplexity is {base} before and {tuned} after",
    }[forgetting.judgement.outcome]
    return (
        f"{said}. Both predict the same next word piece {forgetting.agreement:.0%} of the time, and "
        f"{forgetting.changed} of {len(forgetting.answers)} answers to general instructions changed."
    )


def few_shot_sentence(few_shot: FewShot, report: Report) -> str:
    """The tuned model against the base that is shown examples."""
    name, digits = report.primary.name, report.primary.metric.digits
    low, high = few_shot.spread(name)
    draws = ""
    if few_shot.draws[1:]:
        draws = f" on the mean of {len(few_shot.draws)} draws of them ({low:.{digits}f} to {high:.{digits}f})"
    outcome = {
        "better": "the tuned model without any is better",
        "worse": "it is better than the tuned model without any",
        "no evidence": "there is no evidence of a difference to the tuned model without any",
    }[few_shot.judgement.outcome]
    return (
        f"Shown {few_shot.examples} examples in every prompt, the base reaches "
        f"{few_shot.scores[name]:.{digits}f}{draws}, and {outcome} ({report.primary.tuned:.{digits}f}); a prompt "
        f"then takes {few_shot.prompt_tokens:.0f} tokens instead of {few_shot.prompt_tokens_without:.0f}."
    )


def few_shot_title(few_shot: FewShot) -> str:
    """`base, 4 examples in the prompt (mean of 3 draws)`: what a table calls it."""
    draws = f" (mean of {len(few_shot.draws)} draws)" if few_shot.draws[1:] else ""
    return f"base, {few_shot.examples} examples in the prompt{draws}"


def table(report: Report) -> str:
    """The metrics of both sides with intervals and tests, as a Markdown table."""
    lines = [
        "| metric | base | tuned | difference | p | verdict |",
        "|---|---|---|---|---:|---|",
    ]
    for metric in report.metrics:
        test, digits = metric.judgement, metric.metric.digits + 1
        cells = [
            metric.title if metric.primary else f"{metric.title} (exploratory)",
            with_interval(metric.base, metric.base_interval, digits=digits),
            with_interval(metric.tuned, metric.tuned_interval, digits=digits),
            with_interval(metric.difference, test.interval if test else None, sign="+", digits=digits),
            p_value(test),
            test.outcome if test else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def p_value(test: Judgement | None) -> str:
    """`0.03`, `< 0.001`, or nothing."""
    if test is None:
        return ""
    return "< 0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"


def with_interval(value: float, interval: Interval | None, *, sign: str = "", digits: int = 3) -> str:
    """`0.765 (0.721 to 0.804)`."""

    def written(number: float) -> str:
        return f"{number:{sign}.{digits}f}"

    if interval is None:
        return written(value)
    return f"{written(value)} ({written(interval.low)} to {written(interval.high)})"


def to_markdown(report: Report, rows: Sequence[RowResult]) -> str:
    """The report for a person."""
    test = report.verdict
    sections = [
        f"# {_plain(headline(report))}",
        explanation(report),
        table(report),
        f"Intervals are 95 %. The verdict is about {report.primary.title} alone, by the {test.test} at "
        f"p ≤ {test.alpha:g} over {report.n:,} pairs of answers to the same rows. {EXPLORATORY}",
        *_floors(report),
        *_forgetting(report),
        *_labels(report),
        *_writing(report),
        *_flips(report, rows),
        *_rows(report),
        "## Where the numbers come from",
        _provenance(report),
    ]
    return "\n\n".join(sections) + "\n"


def _floors(report: Report) -> list[str]:
    if not report.floors and not report.few_shot:
        return []
    scored = [floor.scores for floor in report.floors] + ([report.few_shot.scores] if report.few_shot else [])
    names = [metric.name for metric in report.metrics if all(metric.name in scores for scores in scored)]
    titles = [metric_named(name).title for name in names]
    lines = [
        f"| answers by | {' | '.join(titles)} | tuned against it, p | verdict |",
        "|---" * (len(names) + 3) + "|",
    ]

    def row(title: str, scores: dict[str, float], test: Judgement | None = None) -> str:
        cells = [title, *(f"{scores[name]:.3f}" for name in names), p_value(test), test.outcome if test else ""]
        return f"| {' | '.join(cells)} |"

    lines += [row(floor.name, floor.scores, floor.judgement) for floor in report.floors]
    lines.append(row("base", {metric.name: metric.base for metric in report.metrics}, report.verdict))
    if few_shot := report.few_shot:
        lines.append(row(few_shot_title(few_shot), few_shot.scores, few_shot.judgement))
    lines.append(row("**tuned**", {metric.name: metric.tuned for metric in report.metrics}))
    explained = [f"{floor.name}: {floor.sentence}" for floor in report.floors]
    said = [few_shot_sentence(report.few_shot, report)] if report.few_shot else []
    return ["## What else would score", "\n".join(lines), *said, "\n".join(f"- {line}" for line in explained)]


def _forgetting(report: Report) -> list[str]:
    found = report.forgetting
    if found is None:
        return []
    test = found.judgement
    facts = (
        f"{found.passages} passages, {found.tokens:,} tokens. Change of the mean log-likelihood a token: "
        f"{with_interval(test.difference, test.interval, sign='+')} nats, p {p_value(test)}."
    )
    return ["## What it cost", cost(found), facts]


def _labels(report: Report) -> list[str]:
    sections = []
    if confusion := report.confusion:
        lines = [
            f"| right label | {' | '.join(f'base: {label} | tuned: {label}' for label in confusion.labels)} |",
            "|---" + "|---:" * (2 * len(confusion.labels)) + "|",
        ]
        for index, label in enumerate(confusion.labels):
            counts = zip(confusion.base[index], confusion.tuned[index], strict=True)
            lines.append(f"| {label} | {' | '.join(f'{base} | {tuned}' for base, tuned in counts)} |")
        sections += ["## Answers by label", "\n".join(lines)]
    if calibration := report.calibration:
        base, tuned = calibration.base, calibration.tuned
        sections.append(
            f"Calibration error (how far confidence is from accuracy): {base.expected_calibration_error:.3f} → "
            f"{tuned.expected_calibration_error:.3f}. "
            f"Brier score: {base.brier_score:.3f} → {tuned.brier_score:.3f}. "
            f"Rows whose labels are tied to within bfloat16's rounding: {report.near_ties}."
        )
    return sections


def _writing(report: Report) -> list[str]:
    if report.writing is None:
        return []
    base, tuned = report.writing.base, report.writing.tuned
    lines = ["| mean of the answers | base | tuned |", "|---|---:|---:|"]
    lines += [
        f"| {title} | {getattr(base, name):.2f} | {getattr(tuned, name):.2f} |"
        for name, title in _WRITING_TITLES.items()
    ]
    return ["## How the answers are written", "\n".join(lines)]


def flips_sentence(report: Report) -> str:
    """`14 rows went from wrong to right, 3 went from right to wrong, 83 neither.`"""
    metric, flips = report.primary.metric, report.flips
    binary = metric.kind == "binary"
    right = "went from wrong to right" if binary else f"gained in {metric.title}"
    wrong = "went from right to wrong" if binary else "lost"
    neither = f"changed by less than {flips.threshold:g}" if flips.threshold else "neither"
    return f"{flips.gained:,} rows {right}, {flips.lost:,} {wrong}, {flips.same:,} {neither}."


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
    return ["## Which rows", "\n".join(f"- {_plain(line)}" for line in said)] if said else []


def _provenance(report: Report) -> str:
    base, data = report.base, report.data
    decoding = "labels scored by their log-likelihood"
    if report.kind == "classifier":
        decoding = "class probabilities of the head"
    if report.max_new_tokens is not None:
        decoding = f"greedy answers of at most {report.max_new_tokens} tokens"
    revision = f" ({_plain(base.revision)})" if base.revision else ""
    source = f"{_plain(data.spec) or 'not named'}, split {_plain(data.split)}, {report.n:,} rows"
    facts = {
        "base model": f"{_plain(base.name)}, from {base.origin}{revision}",
        "base weights": f"SHA-256 {base.weights_sha256}",
        "precision": report.precision + (f", computed in {report.computed_in}" if report.computed_in else ""),
        "adapter": f"{_plain(report.adapter_proof.sentence)}; SHA-256 {report.adapter_sha256 or 'not known'}",
        "prompt": f"SHA-256 {report.prompt_sha256}",
        "data": f"{source}, SHA-256 {data.test_sha256}",
        "answers": f"{decoding}, {report.batch_size} rows a batch",
        **({"ROUGE counts": report.tokenizer} if report.max_new_tokens is not None else {}),
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        "time": f"{report.seconds:.0f} s, ended {report.created}",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _example(row: RowResult) -> str:
    parts = [_quote(row.input)]
    for title, text in [
        ("Reference", " / ".join(row.references)),
        ("Base", row.base.answer),
        ("Tuned", row.tuned.answer),
    ]:
        parts.append(f"**{title}:** {_plain(' '.join(text.split())) or '(nothing)'}")
    return "\n\n".join(parts)


def _seldom(p_value: float) -> str:
    """`fewer than 1 in 1,000`, `about 1 in 40`."""
    return "fewer than 1 in 1,000" if p_value < 0.001 else f"about 1 in {max(1, round(1 / p_value)):,}"


def _quote(text: str) -> str:
    return "\\\n".join(f"> {_plain(line.strip())}" for line in text.splitlines() if line.strip())


def _plain(text: str) -> str:
    """Text of a model, a user or a data set, so that Markdown shows it and never obeys it."""
    escaped = re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", text)
    # What makes a heading or a list only at the start of a line: `#`, `-`, `1.`
    return re.sub(r"^(\s*\d*)([#+\-=.)])", r"\1\\\2", escaped)

"""Any sides on the same rows: let each answer, score, and judge all of it. `judge_sides` gives verdict and rows.

Sides may be far too big to be there together, so what is given are openers, and what is open is counted: see
`judge_sides`. All of them answer in the same way, or their answers are not comparable: labels are chosen by their
probabilities by all of them, or read out of what is written of all of them. Nothing here knows what a side is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, Literal

from data.tasks import Task
from data.tasks.task import as_text
from eval.aggregate import calibration, classes, confusion, flips, writing
from eval.aggregate import metrics as metrics_of
from eval.metrics import Metric, primary_of, require_primary
from eval.provenance import Progress, versions
from eval.report.schema import RowMessage, RowResult
from eval.report.schema import SideResult as AnswerOfRow
from eval.report.sections import MetricResult, TaskInfo, Writing
from eval.scores import require_scorable, scored
from eval.sides.side import About, Answered, side_keys
from eval.statistics import Judgement, judge_scores
from eval.verdict.asking import How, Opener, ask_all
from eval.verdict.margins import non_inferior, require_margin
from eval.verdict.pairs import judge_pairs
from eval.verdict.proof import prove
from eval.verdict.rows import TestRows
from eval.verdict.schema import (
    Answer,
    Comparison,
    Margin,
    PromptInfo,
    SideInfo,
    SideResult,
    SideScore,
    SpentInfo,
    Verdict,
    VerdictRow,
)
from eval.verdict.slices import judge_slices
from eval.verdict.suspects import find_suspects
from plumbing.errors import RecipeError


def judge_sides(
    openers: Sequence[Opener],
    rows: TestRows,
    *,
    more: Sequence[Metric] = (),
    max_new_tokens: int = 64,
    margin: float | None = None,
    alpha: float = 0.05,
    likelihood: bool = True,
    at_once: int = 1,
    on_progress: Progress | None = None,
) -> tuple[Verdict, list[VerdictRow]]:
    """Let every side answer all of `rows`, and judge each against the first and all pairs.

    Every side is opened before any is asked: what one cannot do, or that it cannot be opened, is known before
    another has worked for an hour. Of these `at_once` stay open, at most; the others are closed and opened again
    when it is their turn. So with 1 there is never more than one in memory, and each but the last is loaded twice.
    A side is closed as soon as it was asked; its answers are kept. None is open when this returns, or raises.

    Args:
        openers: of the sides, the base first.
        rows: from `eval.verdict.rows.open_rows`.
        more: metrics beside those of ours that suit the task.
        max_new_tokens: where an answer in words is cut off.
        margin: also judge whether each tuned side is no worse than the base by this much, in units of the metric.
        alpha: up to which a corrected p-value is a difference.
        likelihood: ask how probable the references are, where all sides can tell.
        at_once: sides that may be open together.
        on_progress: told what is being done and how far it is.

    Raises:
        ModelError: a side answers another task, or there is no way in which all can answer.
        RecipeError: a verdict cannot rest on the task's metric, or the margin is none of it.
        DataError: a metric that was asked for cannot score any answer to one of the rows.
        UserError: what a side raises.
    """
    if len(openers) < 2:
        raise ValueError("a verdict takes a base and a tuned side, at least")
    task = rows.task
    metric = _primary(task, margin)
    require_scorable(rows.references, task, more)
    keys = side_keys(len(openers))
    asked = ask_all(
        openers,
        keys,
        rows,
        max_new_tokens=max_new_tokens,
        likelihood=likelihood,
        at_once=at_once,
        on_progress=on_progress,
    )
    seen, given, how = asked.seen, asked.given, asked.how
    found = _rows(rows, {key: _scored(given[key].answers, rows, task, more, how) for key in keys})
    paired = {key: _paired(found, key) for key in keys[1:]}
    metrics = {key: metrics_of(both, task, more, alpha=alpha) for key, both in paired.items()}
    slices = judge_slices(found, "base", keys[1:], metric, alpha=alpha)
    sides = [
        SideResult(
            info=_info(key, seen[key].about),
            prompt=PromptInfo.model_validate(asdict(seen[key].prompted)),
            spent=SpentInfo.model_validate(asdict(given[key].spent)),
            known=known,
            answered=how,
            unread=fmean(not row.answers[key].text for row in found) if how == "read" else None,
            scores=_side_scores(metrics[keys[1]], "base") if key == "base" else _side_scores(metrics[key], "tuned"),
        )
        for key, known in zip(keys, rows.known, strict=True)
    ]
    comparisons, notes = [], list(asked.notes)
    for side in sides[1:]:
        key = side.info.key
        proof = prove(sides[0], side, found)
        alike = cut_alike(seen["base"].about, seen[key].about)
        comparisons.append(
            Comparison(
                tuned=key,
                metrics=metrics[key],
                differs=proof.sentence,
                doubt=proof.doubt,
                likelihood=_likelihood(found, key, alpha) if alike else None,
                margin=_margin(found, key, metric, margin) if margin is not None else None,
                slices=slices[key],
                **_sections(paired[key], found, key, task, max_new_tokens),
            )
        )
        if not alike and found[0].answers[key].log_likelihood is not None:
            notes.append(
                f"How probable the references are is not compared between base and {key}: it is not known that "
                "both cut texts into the same tokens, and nats a token of two kinds of token are no measure."
            )
    pairs, test = judge_pairs({key: _column(found, key, metric) for key in keys}, metric, alpha=alpha)
    suspects, said = find_suspects(found)
    verdict = Verdict(
        task=task.name,
        about=TaskInfo(kind=task.kind, title=task.title, noun=task.noun),
        labels=list(task.labels),
        metric=metric.name,
        n=len(found),
        data=rows.data,
        sides=sides,
        comparisons=comparisons,
        pairs=pairs,
        test=test,
        alpha=alpha,
        suspects=suspects,
        notes=[*notes, *rows.notes, *said],
        max_new_tokens=None if how == "chosen" else max_new_tokens,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return verdict, found


def _primary(task: Task, margin: float | None) -> Metric:
    """The metric that the verdict is about.

    Raises:
        RecipeError: there is none of that name, rows have none of it that could be paired, or the margin is no loss
            of it that could be ruled out.
    """
    try:
        require_primary(task.metric, task.kind)
    except ValueError as error:
        raise RecipeError(f"The verdict cannot rest on that metric: {error}", got=task.metric) from None
    metric = primary_of(task)
    if margin is not None:
        try:
            require_margin(margin, metric)
        except ValueError as error:
            raise RecipeError(f"There is no such margin: {error}", got=margin, fix="Write 0.02.") from None
    return metric


def cut_alike(base: About, tuned: About) -> bool:
    """Whether two sides cut texts into the same tokens, as far as it is known."""
    if base.tokenizer_sha256 and tuned.tokenizer_sha256:
        return base.tokenizer_sha256 == tuned.tokenizer_sha256
    return bool(tuned.base) and tuned.base in (base.name, base.base)


# ---- rows ------------------------------------------------------------------------------------------------------


def _rows(rows: TestRows, answers: Mapping[str, Sequence[Answer]]) -> list[VerdictRow]:
    return [
        VerdictRow(
            input=as_text(given),
            references=references,
            messages=None if isinstance(given, str) else [RowMessage.model_validate(dict(one)) for one in given],
            slices=slices,
            answers={key: each[place] for key, each in answers.items()},
        )
        for place, (given, references, slices) in enumerate(
            zip(rows.inputs, rows.references, rows.slices, strict=True)
        )
    ]


def _scored(
    answers: Sequence[Answered], rows: TestRows, task: Task, more: Sequence[Metric], how: How
) -> list[Answer]:
    """A side's answers with their scores; where labels are read, an answer that names none is wrong."""
    if task.is_classification:
        known = {*task.labels, ""} if how == "read" else set(task.labels)
        for answer in answers:
            if answer.text not in known or (
                answer.probabilities and answer.probabilities.keys() != set(task.labels)
            ):
                said = list(answer.probabilities or [])
                raise ValueError(f"a side answers {answer.text!r} of {said}, and the labels are {task.labels}")
    scores = scored([answer.text for answer in answers], rows.references, task, more)
    return [
        Answer(
            text=answer.text,
            written=answer.written,
            scores=values,
            probabilities=dict(answer.probabilities) if answer.probabilities is not None else None,
            log_likelihood=answer.log_likelihood,
            tokens=answer.tokens,
            cut_off=answer.cut_off,
        )
        for answer, values in zip(answers, scores, strict=True)
    ]


def _paired(rows: Sequence[VerdictRow], tuned: str) -> list[RowResult]:
    """The base and one tuned side, in the shape that a report's numbers are made of."""

    def side(answer: Answer) -> AnswerOfRow:
        return AnswerOfRow(
            answer=answer.text, scores=answer.scores, probabilities=answer.probabilities, tokens=answer.tokens
        )

    return [
        RowResult(
            input=row.input,
            references=row.references,
            base=side(row.answers["base"]),
            tuned=side(row.answers[tuned]),
            messages=row.messages,
        )
        for row in rows
    ]


def _column(rows: Sequence[VerdictRow], key: str, metric: Metric) -> list[float]:
    return [row.answers[key].scores[metric.name] for row in rows]


# ---- numbers ---------------------------------------------------------------------------------------------------


def _info(key: str, about: About) -> SideInfo:
    known = SideInfo.model_fields.keys() - {"key", "notes"}
    return SideInfo(key=key, notes=list(about.notes), **{name: getattr(about, name) for name in known})


def _side_scores(metrics: Sequence[MetricResult], side: Literal["base", "tuned"]) -> list[SideScore]:
    return [
        SideScore(
            name=one.name,
            primary=one.primary,
            value=getattr(one, side),
            interval=getattr(one, f"{side}_interval"),
        )
        for one in metrics
    ]


def _sections(
    both: Sequence[RowResult], rows: Sequence[VerdictRow], tuned: str, task: Task, max_new_tokens: int
) -> dict[str, Any]:
    """What else a report says of two sides, by its name in `Comparison`."""
    found: dict[str, Any] = {"flips": flips(both, task)}
    if task.is_classification:
        found |= {"confusion": confusion(both, task), "classes": classes(both, task)}
        if all(row.base.probabilities and row.tuned.probabilities for row in both):
            found["calibration"] = calibration(both)
        return found
    written = writing(both, max_new_tokens)
    # A side knows whether it was cut off, also where it counts no tokens.
    shares = {
        side: fmean(row.answers[key].cut_off for row in rows) for side, key in (("base", "base"), ("tuned", tuned))
    }
    sides = {side: getattr(written, side).model_copy(update={"cut_off": share}) for side, share in shares.items()}
    return found | {"writing": Writing(**sides)}


def _likelihood(rows: Sequence[VerdictRow], tuned: str, alpha: float) -> Judgement | None:
    values = [[row.answers[key].log_likelihood for row in rows] for key in ("base", tuned)]
    known = [[one for one in side if one is not None] for side in values]
    if any(len(side) < len(rows) for side in known):
        return None
    return judge_scores(*known, alpha=alpha)


def _margin(rows: Sequence[VerdictRow], tuned: str, metric: Metric, margin: float) -> Margin:
    return non_inferior(_column(rows, "base", metric), _column(rows, tuned, metric), metric, margin)

"""Both sides answer a message, or the rows of a test set."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any

import gradio as gr

from eval.report.folder import load
from eval.report.headline import headline
from eval.sides.engine import EngineError
from finetuning.runs.folder import Run
from models.kinds import require_answers
from plumbing.errors import RunError, UserError
from ui.api.recipes import source_for
from ui.drawing.answers import TITLES, Side, SideName, Turn
from ui.server.answering import Both, prepare
from ui.server.choices import Choice, bundled_choices, find
from ui.server.engine import OnEngine, Served, ways
from ui.server.judging import ask_evaluation
from ui.server.models_in_use import MODELS, ModelsInUse, Opened, Opening
from ui.server.two_answering import both_of
from ui.server.two_models import Two, two_of
from ui.server.visitors import Visitor, visitor_of
from ui.tabs.fields import read_row_count


def compare(
    request: gr.Request, message: str, model: str = "", against: str = "", reference: str = ""
) -> dict[str, Any]:
    """Ask a base model and what was tuned from it the same, and get both answers.

    Args:
        message: what both are asked, without an instruction: a review, a conversation, a question.
        model: a tuned model by its name in list_models; empty for the one that ships first.
        against: another model in place of the base; empty for the base.
        reference: the right answer, to score both; empty for none.

    Returns:
        model, task, and of before and after the answer, its label probabilities, its tokens and its seconds.
    """
    visitor = visitor_of(request)
    turn = _turn(message, reference, visitor)
    chosen = _chosen(model, against, visitor)
    session = request.session_hash or secrets.token_urlsafe()
    longest = visitor.limits.chat_waiting if visitor.limits else None
    first, *rest = ways(chosen)
    try:
        both = _answered_by(first, chosen, turn, session, longest)
    except EngineError:
        turn.base, turn.tuned = Side(), Side()
        [both] = [_answered_by(here, chosen, turn, session, longest) for here in rest]
    turn.judge()
    if turn.was_stopped:
        raise _stopped()
    names = chosen.names if isinstance(chosen, Two) else (TITLES["base"][1], TITLES["tuned"][1])
    key = chosen.key if isinstance(chosen, Choice) else model
    answered = {"model": key, "task": both.task.name, "message": turn.message}
    return answered | {"before": _side(turn, "base", names[0]), "after": _side(turn, "tuned", names[1])}


def evaluate(
    request: gr.Request,
    model: str = "",
    source: str = "",
    file: dict[str, Any] | None = None,
    columns: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    rows: int = 0,
    few_shot: bool = False,
    forgetting: bool = False,
) -> dict[str, Any]:
    """Compare a tuned model with its base on a test set, by a paired test: better, worse, or no evidence.

    Args:
        model: a tuned model by its name in list_models; empty for the one that ships first.
        source: the test set as corpus:NAME, hub:OWNER/NAME or, on a page of your own, file:PATH; empty for its own.
        file: an upload in place of a source, by handle_file of gradio_client.
        columns: how the task's columns are called there, such as text and label; empty to guess.
        labels: what the values of the label column mean, such as {"1": "negative", "3": "skip"}; empty to guess.
        rows: a sample of so many test rows; 0 for all.
        few_shot: compare with a base that has examples in its prompt, too.
        forgetting: measure on general text what tuning cost elsewhere, too.

    Returns:
        evaluation, model, the verdict in a sentence, and the report, which report.schema.json documents. For
        run_status and cancel_run an evaluation is a run, from another call while this one waits.
    """
    visitor = visitor_of(request)
    choice = find(model, visitor) if model else _first()
    count = read_row_count(str(rows) if rows else "", "rows", visitor)
    means = {value: None if label == "skip" else label for value, label in (labels or {}).items()}
    job = ask_evaluation(
        choice,
        visitor,
        source_for(visitor, source, file),
        columns=columns,
        labels=means,
        rows=count,
        few_shot=few_shot,
        forgetting=forgetting,
    )
    session = request.session_hash or secrets.token_urlsafe()
    with MODELS.one_more(session) as stop:
        _wait(job, stop)
    report, _ = load(job.evaluation)
    said = {"evaluation": job.id, "model": choice.key, "verdict": headline(report)}
    return said | {"report": report.model_dump(mode="json")}


def _wait(job: Run, stop: threading.Event) -> None:
    """Until the job has ended.

    Raises:
        RunError: it was stopped, or it failed, with the sentence of its worker.
    """
    from finetuning.runs import launch

    for _ in launch.wait(job):
        if stop.is_set():
            launch.cancel(job)
    status = job.status()
    if status.state == "cancelled":
        raise _stopped()
    if status.state != "finished":
        raise RunError((status.error or "The evaluation did not end").rstrip("."))


def _answered_by(
    way: Served | ModelsInUse, chosen: Choice | Two, turn: Turn, session: str, longest: int | None
) -> Both:
    """Let an engine or this machine answer `turn`, in its line; what has answered it.

    Raises:
        EngineError: the engine does not.
        UserError: it cannot be answered, or was stopped.
    """
    with MODELS.one_more(session) as stop, MODELS.answering(session), way.line.place(longest) as place:
        for _ in way.line.wait(place, stop):
            pass
        opened: Opened | OnEngine | None = None
        for state in way.open(chosen, stop):
            place.seen = time.monotonic()
            opened = opened if isinstance(state, Opening) else state
        if opened is None:
            raise _stopped()
        both = both_of(opened)
        both.check_length(turn, [])
        prepare(turn, both)
        for _ in both.answers(turn, [], stop):
            place.seen = time.monotonic()
    return both


def _turn(message: str, reference: str, visitor: Visitor) -> Turn:
    message, reference = message.strip(), reference.strip()
    if not message:
        raise UserError("The message is empty", fix="Write something.")
    visitor.check_message(message)
    visitor.check_message(reference)
    return Turn(message, references=[reference] if reference else [])


def _chosen(model: str, against: str, visitor: Visitor) -> Choice | Two:
    """What is to answer.

    Raises:
        ModelError: there is none, or this visitor may not use it, or it gives no answers.
    """
    if against:
        return two_of(against, model or _first().key, visitor)
    choice = find(model, visitor) if model else _first()
    require_answers(choice.kind)
    return choice


def _first() -> Choice:
    shipped = bundled_choices()
    if not shipped:
        raise UserError("No tuned model ships here", fix="Name one of list_models.")
    return shipped[0]


def _side(turn: Turn, name: SideName, called: str) -> dict[str, Any]:
    side: Side = turn.side(name)
    said: dict[str, Any] = {"name": called, "answer": side.label or side.text, "seconds": round(side.seconds, 3)}
    if side.probabilities is not None:
        said["probabilities"] = dict(zip(turn.labels, side.probabilities, strict=True))
        said["right"] = side.is_right
    if turn.in_words:
        said |= {"text": side.text, "tokens": side.tokens, "whole": side.whole}
    if side.score:
        said["score"] = side.score
    return said


def _stopped() -> RunError:
    return RunError("This was stopped", fix="Ask again.")

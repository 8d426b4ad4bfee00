"""Rows and reports made by hand, as a comparison gives them, without a model."""

import pytest

from data.tasks import TASKS
from eval import aggregate
from eval.metrics import suiting
from eval.report.schema import Report, RowResult, SideResult
from eval.report.sections import AdapterProofInfo, BaseModelInfo, DataInfo, TaskInfo


def _label_row(text, right, base, tuned):
    """A row of a classification; `base` and `tuned` are each side's probability of "positive"."""

    def side(positive):
        answer = "positive" if positive > 0.5 else "negative"
        return SideResult(
            answer=answer,
            scores={"accuracy": float(answer == right)},
            probabilities={"negative": 1 - positive, "positive": positive},
        )

    return RowResult(input=text, references=[right], base=side(base), tuned=side(tuned))


def _text_row(dialogue, references, base, tuned):
    """A row of a generation; `base` and `tuned` are each side's answer. No encoder is asked for a score."""
    metrics = [metric for metric in suiting("generation") if metric.row]

    def side(answer):
        scores = {metric.name: metric.row(answer, references) for metric in metrics}
        return SideResult(answer=answer, scores=scores, tokens=len(answer.split()))

    return RowResult(input=dialogue, references=references, base=side(base), tuned=side(tuned))


def _make_report(task_name, rows, *, train=None, **changed):
    """The report of `rows`: its numbers are those of `eval.aggregate`, and `changed` replaces fields."""
    task = TASKS[task_name] if isinstance(task_name, str) else task_name
    labels = task.is_classification
    values = {
        "task": task.name,
        "kind": "causal",
        "n": len(rows),
        "metrics": aggregate.metrics(rows, task),
        "flips": aggregate.flips(rows, task),
        "about": TaskInfo(kind=task.kind, title=task.title, noun=task.noun),
        "confusion": aggregate.confusion(rows, task) if labels else None,
        "classes": aggregate.classes(rows, task) if labels else None,
        "calibration": aggregate.calibration(rows) if labels else None,
        "near_ties": 3 if labels else None,
        "writing": None if labels else aggregate.writing(rows, 64),
        "floors": aggregate.floor_results(rows, task, train),
        "base": BaseModelInfo(
            name="owner/some_model",
            origin="package mirror",
            revision="some-model==1.2",
            weights_sha256="ab" * 32,
        ),
        "precision": "bfloat16",
        "adapter_proof": AdapterProofInfo(largest_change=3.25, same_weights=True, sentence="adapter acts"),
        "adapter_sha256": "12" * 32,
        "prompt_sha256": "cd" * 32,
        "data": DataInfo(spec="corpus:reviews", split="test", test_sha256="ef" * 32),
        "train_rows": len(train or []),
        "batch_size": 16,
        "max_new_tokens": None if labels else 64,
        "versions": {"torch": "2.13.0"},
        "seconds": 12.3,
        "created": "2026-01-02T03:04:05+00:00",
    }
    return Report(**values | changed)


@pytest.fixture(scope="session")
def label_row():
    """`label_row(text, right_label, base, tuned)`, the sides as probabilities of "positive"."""
    return _label_row


@pytest.fixture(scope="session")
def text_row():
    """`text_row(dialogue, references, base_answer, tuned_answer)`."""
    return _text_row


@pytest.fixture(scope="session")
def shares_row():
    """`shares_row(text, right_label, base, tuned)`, the sides as each label's probability."""

    def build(text, right, base, tuned):
        def side(shares):
            answer = max(shares, key=shares.get)
            return SideResult(answer=answer, scores={"accuracy": float(answer == right)}, probabilities=shares)

        return RowResult(input=text, references=[right], base=side(base), tuned=side(tuned))

    return build


@pytest.fixture(scope="session")
def make_report():
    """`make_report(task_or_name, rows, train=None, **fields)` → a report whose numbers are those of its rows."""
    return _make_report


@pytest.fixture(scope="session")
def flipped(label_row):
    """`flipped(n, gains, losses)` → rows of which so many went right and wrong; the others stay right.

    The labels take turns, from positive on; `labels` gives others.
    """

    def build(n, gains, losses, labels=("positive", "negative")):
        kinds = [(0.2, 0.9)] * gains + [(0.9, 0.2)] * losses + [(0.8, 0.8)] * (n - gains - losses)
        rows = []
        for number, kind in enumerate(kinds):
            right = labels[number % len(labels)]
            sides = kind if right == "positive" else [1 - of_right for of_right in kind]
            rows.append(label_row(f"Review {number}.", right, *sides))
        return rows

    return build

"""Verdicts of sides whose answers are written here; every number is computed from them as from a model's."""

from dataclasses import replace
from functools import lru_cache

import pytest

from data.tasks.own import OwnTask
from eval.report.sections import DataInfo
from eval.sides.side import About, Answered, Prompted, Spent
from eval.verdict.compare import judge_sides
from eval.verdict.rows import TestRows
from eval.verdict.schema import Known

LABELS = ("negative", "positive")
MOOD = OwnTask(kind="classification", name="mood", labels=list(LABELS)).definition()
LETTERS = OwnTask(kind="generation", name="letters").definition()


class Scripted:
    """A side that gives these answers; see `eval.sides.side.Side`."""

    def __init__(self, name, task, answers, *, abilities=("writes", "chooses")):
        self.about = About(kind="model", name=name)
        self.abilities = frozenset(abilities)
        self.task = task
        self.spent = Spent(seconds=1.5, tokens=len(answers), prompt_tokens=10 * len(answers))
        self.answers = answers

    def prompted(self, given):
        return Prompted(
            sha256=self.about.name.encode().hex().ljust(64, "0"), where_from="template", example=str(given)
        )

    def choose(self, inputs, *, on_rows=None):
        return self.answers

    def write(self, inputs, *, max_new_tokens, on_rows=None):
        return self.answers

    def likelihoods(self, inputs, targets, *, on_rows=None):
        raise AssertionError("it cannot")

    def close(self):
        pass


def chosen(label):
    other = LABELS[1 - LABELS.index(label)]
    return Answered(label, probabilities={label: 0.75, other: 0.25})


def read(label):
    return Answered(label, written=f"It is {label}." if label else "I cannot say.", tokens=4)


def rows_of(task, references, *, topics=None, inputs=None):
    count = len(references)
    return TestRows(
        task=task,
        inputs=inputs or [f"Text {number}." for number in range(count)],
        references=[[each] for each in references],
        slices=[{"topic": topic} for topic in topics or ["a"] * (count // 2) + ["b"] * (count - count // 2)],
        data=DataInfo(spec="file:rows.csv", split="test", test_sha256="ef" * 32),
        known=[],
    )


def labelled(references, wrong, answer=chosen):
    """Answers that are right but at these places."""
    turned = dict(zip(LABELS, reversed(LABELS), strict=True))
    return [answer(turned[label] if place in wrong else label) for place, label in enumerate(references)]


def _verdict(rows, sides, **options):
    rows = replace(rows, known=[Known(known_by=None, trained_on=None)] * len(sides))
    return judge_sides([lambda side=side: side for side in sides], rows, at_once=len(sides), **options)


def _labels(n, base, *tuned, names=("tuned",), topics=None):
    """Sides by the places where they are wrong."""
    references = [LABELS[place % 2] for place in range(n)]
    sides = [Scripted(name, MOOD, labelled(references, set(wrong)))
             for name, wrong in zip(("base", *names), (base, *tuned), strict=True)]  # fmt: skip
    return _verdict(rows_of(MOOD, references, topics=topics), sides)


def _read():
    references = [LABELS[place % 2] for place in range(40)]
    base = labelled(references, {1, 2, 3}, read)
    tuned = [read("") if place < 10 else answer for place, answer in enumerate(labelled(references, {20}, read))]
    sides = [
        Scripted(name, MOOD, answers, abilities=("writes",)) for name, answers in (("base", base), ("tuned", tuned))
    ]
    return _verdict(rows_of(MOOD, references), sides)


def _alike(*names):
    """Sides that write the same, so that there is no score to judge by."""
    written = [Answered(f"a parcel {place} maybe", tokens=4) for place in range(12)]
    sides = [Scripted(name, LETTERS, written, abilities=("writes",)) for name in ("base", *names)]
    return _verdict(rows_of(LETTERS, [f"the letter {place}" for place in range(12)]), sides)


def _texts():
    words = [f"the parcel number {place} comes on friday" for place in range(40)]
    base = [Answered(f"a parcel {place} maybe", tokens=4) for place in range(40)]
    tuned = [Answered(text if place % 3 else "it comes", tokens=6) for place, text in enumerate(words)]
    sides = [
        Scripted(name, LETTERS, answers, abilities=("writes",))
        for name, answers in (("base", base), ("tuned", tuned))
    ]
    return _verdict(rows_of(LETTERS, words), sides, margin=0.02)


@lru_cache
def _example(which):
    topics = ["shipping"] * 40 + ["returns"] * 80
    examples = {
        "labels": lambda: _labels(60, range(0, 50, 2), range(8)),
        "worse": lambda: _labels(60, range(6), range(36)),
        "same": lambda: _labels(60, range(20), [*range(2, 20), 30, 31]),
        "slice": lambda: _labels(120, [1, *range(40, 76)], [*range(20), *range(40, 52)], topics=topics),
        "several": lambda: _labels(80, range(36), range(8), range(9), range(64), names=("good", "good-too", "bad")),
        "uncorrected": lambda: _labels(60, range(10), range(16), range(10), range(10), names=("a", "b", "c")),
        "alike": lambda: _alike("tuned"),
        "all alike": lambda: _alike("one", "other"),
        "read": _read,
        "texts": _texts,
    }
    return examples[which]()


@pytest.fixture(scope="session")
def example():
    """`example(which)` → a verdict and its rows: labels, texts, several, worse, same, slice,
    uncorrected, alike, all alike, read."""
    return _example

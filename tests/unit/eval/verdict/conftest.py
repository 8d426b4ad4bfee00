"""Small real sides: one that answers from a book, and a TF-IDF classifier. They keep count of what is open."""

from collections import Counter
from dataclasses import replace

import pytest

from data.tasks.task import as_text
from eval.report.sections import DataInfo
from eval.sides.side import About, Answered, Prompted, Spent
from eval.verdict.rows import TestRows as Rows
from eval.verdict.schema import Answer, Known, VerdictRow
from eval.verdict.slices import by_length

OPEN = Counter()
"""How often a side of that name was opened; `now` and `most` are how many are open now, and were at once."""


class BookSide:
    """Answers what its book says to an input; where labels are asked for it names one, or none of them."""

    def __init__(self, name, task, book, *, abilities=("writes",), likely=None, **about):
        self.about = About(kind="model", name=name, **about)
        self.abilities, self.task, self.spent = frozenset(abilities), task, Spent()
        self.book, self.likely = book, likely
        OPEN[name] += 1
        OPEN["now"] += 1
        OPEN["most"] = max(OPEN["most"], OPEN["now"])
        self.closed = False

    def prompted(self, given):
        return Prompted(sha256="ab" * 32, where_from="bare text", example=as_text(given))

    def write(self, inputs, *, max_new_tokens, on_rows=None):
        assert not self.closed
        found = []
        for given in inputs:
            written = self.book[as_text(given)]
            self.spent.tokens += len(written.split())
            label = next((one for one in self.task.labels if one in written.split()), "")
            read = {"text": label, "written": written} if self.task.labels else {"text": written}
            found.append(Answered(**read, tokens=len(written.split()), cut_off=written.endswith("…")))
        if on_rows:
            on_rows(len(inputs), len(inputs))
        return found

    def choose(self, inputs, *, on_rows=None):
        raise AssertionError("it chooses none")

    def likelihoods(self, inputs, targets, *, on_rows=None):
        return [self.likely[as_text(given)] for given in inputs]

    def close(self):
        OPEN["now"] -= not self.closed
        self.closed = True


class TfidfSide(BookSide):
    """Logistic regression on TF-IDF of the texts that it was given to learn from."""

    def __init__(self, name, task, train, *, abilities=("writes", "chooses"), **about):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        super().__init__(name, task, {}, abilities=abilities, **about)
        self.model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=30))
        self.model.fit(*zip(*train, strict=True))

    def choose(self, inputs, *, on_rows=None):
        shares = self.model.predict_proba([as_text(given) for given in inputs])
        rows = [dict(zip(self.model.classes_, map(float, row), strict=True)) for row in shares]
        if on_rows:
            on_rows(len(inputs), len(inputs))
        return [Answered(text=max(row, key=row.get), probabilities=row) for row in rows]

    def write(self, inputs, *, max_new_tokens, on_rows=None):
        return [replace(one, written=one.text, probabilities=None) for one in self.choose(inputs)]


@pytest.fixture
def opened():
    """How often each side was opened, and how many are open now, and were at most."""
    OPEN.clear()
    yield OPEN
    assert OPEN["now"] == 0, "a side was left open"


@pytest.fixture(scope="session")
def book_side():
    return BookSide


@pytest.fixture(scope="session")
def tfidf_side():
    return TfidfSide


@pytest.fixture(scope="session")
def rows_of():
    """`rows_of(task, [(input, reference), …], sides)` → rows as `open_rows` gives them, of which nobody has
    learned."""

    def build(task, pairs, sides=2):
        inputs, references = [given for given, _ in pairs], [[target] for _, target in pairs]
        length = by_length([as_text(given) for given in inputs])
        slices = [{"length": value} for value in length.values or []] or [{} for _ in pairs]
        data = DataInfo(spec="file:rows.csv", split="test", test_sha256="cd" * 32)
        return Rows(task, inputs, references, slices, data, [Known(known_by=None, trained_on=None)] * sides)

    return build


@pytest.fixture(scope="session")
def scored_rows():
    """`scored_rows(base, tuned, …)` → rows whose answers have these accuracies, by the keys base, tuned, tuned-2
    …"""

    def build(*sides, slices=None, inputs=None):
        keys = ["base", "tuned", *(f"tuned-{number}" for number in range(2, len(sides)))]
        return [
            VerdictRow(
                input=inputs[place] if inputs else f"Row {place}.",
                references=["yes"],
                slices=slices[place] if slices else {},
                answers={
                    key: Answer(text="yes" if score else "no", scores={"accuracy": float(score)})
                    for key, score in zip(keys, scores, strict=True)
                },
            )
            for place, scores in enumerate(zip(*sides, strict=True))
        ]

    return build

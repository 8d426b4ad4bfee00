"""Base and tuned are compared row by row, whatever the batch, and the adapter touches the tuned side only."""

import math
from statistics import fmean

import pytest
from datasets import Dataset

from data.errors import DataError
from eval.harness import compare
from eval.metrics import Accuracy, MacroF1, rouge_scores
from eval.report import load, save
from models.pair import open_pair

REVIEWS = Dataset.from_list(
    [
        {"text": "The film was slow but the ending made me cry.", "label": "positive", "row": 1},
        {"text": "Bad.", "label": "negative", "row": 2},
        {
            "text": "The phone died after two days, and nobody answered my letters at all.",
            "label": "negative",
            "row": 3,
        },
        {"text": "I would see it again!", "label": "positive", "row": 4},
        {"text": "The soup is better than it looks, the shop is not.", "label": "positive", "row": 5},
    ]
)
DIALOGUES = Dataset.from_list(
    [
        {
            "dialogue": "Ana: My laptop is broken.\nLeo: I can look at it on Friday.",
            "summary": ["Leo helps Ana."],
        },
        {"dialogue": "Tom: Soup?\nAna: Yes.", "summary": ["Ana wants soup.", "They talk about soup."]},
        {
            "dialogue": "Leo: Is the shop still open?\nAna: Until six.\nLeo: And on Sunday?\nAna: Never.",
            "summary": ["The shop is open until six."],
        },
    ]
)


@pytest.fixture(scope="module", params=["causal", "classifier"])
def sentiment_pair(request):
    return request.getfixturevalue("tiny_pair" if request.param == "causal" else "tiny_classifier_pair")


@pytest.fixture(scope="module")
def summaries(tiny_dialogue_pair):
    return compare(tiny_dialogue_pair, DIALOGUES, data_spec="file:x.jsonl", split="validation", max_new_tokens=8)


def probabilities(rows, side):
    return [getattr(row, side).probabilities for row in rows]


def test_sentiment_takes_the_most_probable_label(sentiment_pair):
    result = compare(sentiment_pair, REVIEWS, data_spec="corpus:reviews")
    report, rows = result.report, result.rows
    assert (report.task, report.kind, report.n) == ("sentiment", sentiment_pair.kind, 5)
    assert [row.input for row in rows] == REVIEWS["text"][:]
    for side in ("base", "tuned"):
        answers = [getattr(row, side) for row in rows]
        for row, answer in zip(rows, answers, strict=True):
            assert math.isclose(sum(answer.probabilities.values()), 1.0, abs_tol=1e-6)
            assert answer.answer == max(answer.probabilities, key=answer.probabilities.get)
            assert answer.scores == {"accuracy": float(answer.answer == row.references[0])}
            assert answer.tokens is None
        values = {metric.name: getattr(metric, side) for metric in report.metrics}
        given = {"predictions": [answer.answer for answer in answers], "references": REVIEWS["label"][:]}
        assert values == Accuracy().compute(**given) | MacroF1().compute(**given)
        assert values["accuracy"] == pytest.approx(fmean(answer.scores["accuracy"] for answer in answers))
    assert report.primary.name == report.metrics[0].name == "accuracy"
    assert probabilities(rows, "base") != probabilities(rows, "tuned")


def test_a_batch_scores_as_single_rows_do(sentiment_pair):
    together = compare(sentiment_pair, REVIEWS, batch_size=5).rows
    alone = compare(sentiment_pair, REVIEWS, batch_size=1).rows
    for side in ("base", "tuned"):
        for one, other in zip(probabilities(together, side), probabilities(alone, side), strict=True):
            assert one == pytest.approx(other, abs=1e-5)


def test_swapped_rows_give_swapped_results(sentiment_pair):
    forwards = compare(sentiment_pair, REVIEWS, batch_size=2).rows
    backwards = compare(sentiment_pair, REVIEWS.select(range(4, -1, -1)), batch_size=2).rows
    assert [row.input for row in backwards] == [row.input for row in reversed(forwards)]
    for side in ("base", "tuned"):
        expected = reversed(probabilities(forwards, side))
        for one, other in zip(probabilities(backwards, side), expected, strict=True):
            assert one == pytest.approx(other, abs=1e-5)


def test_the_base_side_does_not_depend_on_the_adapter(tiny_pair, tiny_llama, make_adapter, tmp_path):
    other = open_pair(make_adapter(tmp_path / "other", tiny_llama, seed=7))
    one, two = compare(tiny_pair, REVIEWS).rows, compare(other, REVIEWS).rows
    assert probabilities(one, "base") == probabilities(two, "base")
    assert probabilities(one, "tuned") != probabilities(two, "tuned")


def test_summaries_are_scored_against_the_best_reference(summaries, tiny_dialogue_pair):
    report, rows = summaries.report, summaries.rows
    assert [metric.name for metric in report.metrics] == ["rougeL", "rouge1", "rouge2", "rougeLsum"]
    assert [metric.primary for metric in report.metrics] == [True, False, False, False]
    for metric in report.metrics:
        for side in ("base", "tuned"):
            each = [getattr(row, side).scores[metric.name] for row in rows]
            assert getattr(metric, side) == pytest.approx(fmean(each), abs=1e-12)
    for row, references in zip(rows, DIALOGUES["summary"], strict=True):
        assert row.references == references
        for side in (row.base, row.tuned):
            assert side.scores == rouge_scores(side.answer, references)
            assert side.probabilities is None
            assert 0 < side.tokens <= 8
    assert [row.base.answer for row in rows] != [row.tuned.answer for row in rows]


def test_a_batch_of_summaries_is_what_each_row_alone_gives(summaries, tiny_dialogue_pair):
    alone = compare(tiny_dialogue_pair, DIALOGUES.select([2, 0, 1]), batch_size=1, max_new_tokens=8).rows
    assert [alone[1], alone[2], alone[0]] == summaries.rows


def test_the_report_says_where_its_numbers_come_from(summaries, tiny_dialogue_pair, tmp_path):
    report = summaries.report
    assert (report.data.spec, report.data.split, report.max_new_tokens) == ("file:x.jsonl", "validation", 8)
    assert report.base.weights_sha256 == tiny_dialogue_pair.base.weights_sha256
    assert (report.base.origin, report.precision) == ("folder", "float32")
    assert report.prompt_sha256 == tiny_dialogue_pair.contract.sha256
    assert report.adapter_proof.largest_change > 0
    assert report.adapter_proof.same_weights
    assert report.adapter_proof.sentence.startswith("adapter acts")
    assert set(report.versions) >= {
        "torch",
        "transformers",
        "peft",
        "bitsandbytes",
        "rouge-score",
        "evaluate",
    }
    assert report.created.endswith("+00:00")
    save(report, summaries.rows, tmp_path)
    loaded, rows = load(tmp_path)
    assert (loaded, list(rows)) == (report, summaries.rows)


def test_the_hash_of_the_test_set_is_that_of_its_texts(tiny_pair):
    def data_hash(rows):
        return compare(tiny_pair, rows).report.data.test_sha256

    assert data_hash(REVIEWS) == data_hash(REVIEWS.remove_columns("row"))
    assert data_hash(REVIEWS) != data_hash(REVIEWS.select([1, 0, 2, 3, 4]))
    assert data_hash(REVIEWS.select([0])) != data_hash(
        Dataset.from_list([{"text": REVIEWS[0]["text"], "label": "negative"}])
    )


def test_progress_counts_rows(tiny_pair):
    seen = []
    compare(tiny_pair, REVIEWS, batch_size=2, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (REVIEWS.select([]), "empty"),
        (REVIEWS.remove_columns("label"), "lacks the column 'label'"),
        (Dataset.from_list([{"text": "So so.", "label": "neutral"}]), "Row 1 .* unknown label"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(tiny_pair, rows, problem):
    with pytest.raises(DataError, match=problem):
        compare(tiny_pair, rows)

"""Any adapter on any test set: which rows are taken, and what they are called."""

from data.sources import open_source
from data.tasks import SENTIMENT
from finetuning.evaluation import evaluate_adapter


def test_a_file_is_test_rows_from_the_first_to_the_last(tiny_adapter, reviews_file):
    result = evaluate_adapter(tiny_adapter, f"file:{reviews_file}")
    assert result.report.n == 48
    assert result.report.data.spec == f"file:{reviews_file}"


def test_without_a_source_the_corpus_of_the_task_is_used_from_its_first_test_row(tiny_adapter):
    result = evaluate_adapter(tiny_adapter, test_rows=6)
    expected = open_source("corpus:reviews", SENTIMENT).splits["test"]["text"][:6]
    assert [row.input for row in result.rows] == list(expected)
    assert result.report.data.spec == "corpus:reviews"


def test_progress_reaches_the_number_of_rows(tiny_adapter, reviews_file):
    seen = []
    evaluate_adapter(
        tiny_adapter,
        f"file:{reviews_file}",
        test_rows=20,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (20, 20)

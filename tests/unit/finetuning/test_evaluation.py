"""Any adapter on any test set: which rows are taken, and what they are called."""

from data.sources import open_source
from data.tasks import DIALOGUE, SENTIMENT
from finetuning.evaluation import evaluate_adapter


def test_a_file_is_test_rows_from_the_first_to_the_last(tiny_adapter, reviews_file):
    result = evaluate_adapter(tiny_adapter, f"file:{reviews_file}")
    assert result.report.n == 48
    assert result.report.data.spec == f"file:{reviews_file.name}"


def test_without_a_source_the_corpus_of_the_task_is_used_from_its_first_test_row(tiny_adapter):
    result = evaluate_adapter(tiny_adapter, test_rows=6)
    expected = open_source("corpus:reviews", SENTIMENT).splits["test"]["text"][:6]
    assert [row.input for row in result.rows] == list(expected)
    assert result.report.data.spec == "corpus:reviews"


def test_progress_names_what_is_done_and_reaches_the_number_of_rows(tiny_adapter, reviews_file):
    seen = []
    evaluate_adapter(
        tiny_adapter,
        f"file:{reviews_file}",
        test_rows=20,
        on_progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert seen[-1] == ("Comparing base and tuned", 20, 20)


def test_floors_and_examples_come_from_the_training_rows_of_the_tasks_corpus(tiny_adapter, reviews_file):
    """All rows of a file are test rows, so none of it is left to learn from."""
    report = evaluate_adapter(tiny_adapter, f"file:{reviews_file}", test_rows=8, few_shot=2).report
    train = open_source("corpus:reviews", SENTIMENT).splits["train"]
    assert report.train_rows == len(train)
    assert [floor.name for floor in report.floors] == ["majority class", "TF-IDF + logistic regression"]
    assert report.few_shot is not None and report.few_shot.examples == 2
    assert report.forgetting is None


def test_rows_that_are_given_are_taken_with_the_training_rows_that_belong_to_them(
    tiny_dialogue_adapter, dialogues_file
):
    rows = open_source(f"file:{dialogues_file}", DIALOGUE).splits
    result = evaluate_adapter(
        tiny_dialogue_adapter, "my dialogues", test=rows["test"], train=rows["train"], few_shot=1, max_new_tokens=4
    )
    assert [row.input for row in result.rows] == rows["test"]["dialogue"][:]
    assert (result.report.train_rows, result.report.data.spec) == (len(rows["train"]), "my dialogues")
    assert result.report.few_shot is not None
    alone = evaluate_adapter(
        tiny_dialogue_adapter, "my dialogues", test=rows["test"], few_shot=1, max_new_tokens=4
    ).report
    assert (alone.train_rows, alone.few_shot) == (0, None)


def test_forgetting_is_measured_where_it_is_asked_for(tiny_adapter, tiny_classifier_adapter, reviews_file):
    seen = []
    report = evaluate_adapter(
        tiny_adapter,
        f"file:{reviews_file}",
        test_rows=4,
        forgetting=True,
        on_progress=lambda what, done, total: seen.append(what),
    ).report
    assert report.forgetting is not None and report.forgetting.tuned_perplexity > 1
    assert seen[-1] == "General text, to see what was forgotten"
    report = evaluate_adapter(
        tiny_classifier_adapter, f"file:{reviews_file}", test_rows=4, few_shot=2, forgetting=True
    )
    assert (report.report.few_shot, report.report.forgetting) == (None, None)

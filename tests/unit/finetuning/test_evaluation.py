"""Any adapter on the rows that were chosen for it."""

import pytest

from finetuning.evaluation import evaluate_adapter
from finetuning.judged_rows import choose_rows

pytestmark = pytest.mark.cuda


def test_progress_names_what_is_done_and_reaches_the_number_of_rows(tiny_adapter, reviews_file):
    seen = []
    evaluate_adapter(
        tiny_adapter,
        choose_rows(tiny_adapter, f"file:{reviews_file}", rows=20),
        on_progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert seen[-1] == ("Comparing base and tuned", 20, 20)


def test_the_report_says_which_rows_were_judged(tiny_adapter, reviews_file):
    judged = choose_rows(tiny_adapter, f"file:{reviews_file}", rows=8)
    report = evaluate_adapter(tiny_adapter, judged, few_shot=2).report
    assert (report.n, report.data.spec) == (8, f"file:{reviews_file.name}")
    assert report.data.selection == judged.selection and report.data.findings is None
    # Nobody knows what this adapter was trained on, so nothing learns from other rows in its name.
    assert (report.train_rows, report.floors, report.few_shot) == (0, [], None)


def test_forgetting_is_measured_where_it_is_asked_for(tiny_adapter, tiny_classifier_adapter, reviews_file):
    seen = []
    judged = choose_rows(tiny_adapter, f"file:{reviews_file}", rows=4)
    report = evaluate_adapter(
        tiny_adapter, judged, forgetting=True, on_progress=lambda what, done, total: seen.append(what)
    ).report
    assert report.forgetting is not None and report.forgetting.tuned_perplexity > 1
    assert seen[-1] == "General text, to see what was forgotten"
    report = evaluate_adapter(tiny_classifier_adapter, judged, few_shot=2, forgetting=True).report
    assert (report.few_shot, report.forgetting) == (None, None)

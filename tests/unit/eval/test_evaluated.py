"""Every metric of ours as an `evaluate.Metric`, and what `evaluate` has on this machine as one of ours."""

from dataclasses import replace
from statistics import fmean

import pytest

from data.tasks import TASKS
from eval.metrics import METRICS, metric_named, primary_of, require_primary
from eval.metrics.evaluated import as_evaluate, load, place_of, value_of
from eval.scores import measure, row_scores, scored
from plumbing.errors import RecipeError

ANSWERS = ["Leo will repair the laptop on Friday.", "They talk about soup.", ""]
REFERENCES = [["Leo repairs it on Friday."], ["Ana asks about soup.", "They talk."], ["Nothing."]]
LABELS = ["refund", "delivery", "refund"], [["refund"], ["refund"], ["delivery"]]
OF_WORDS = [metric for metric in METRICS.values() if metric.tasks and (metric.row or metric.whole)]

SHARE = """
import datasets
import evaluate


class Share(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": %s})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        said = [one if isinstance(one, str) else " ".join(one) for one in references]
        hits = sum(answer in reference for answer, reference in zip(predictions, said))
        return {"of": len(predictions), "%s": hits / len(predictions)}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """`module(name, references)` → a folder with a metric of evaluate's, whose references are of that form."""
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", tmp_path / "cache")
    before = set(METRICS)

    def make(name, references="text"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.py").write_text(SHARE % (references, name))
        return folder

    yield make
    for name in set(METRICS) - before:
        del METRICS[name]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("metric", OF_WORDS, ids=lambda metric: metric.name)
def test_a_metric_of_ours_is_the_same_by_evaluate_and_leaves_nothing_behind(metric, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", tmp_path)
    monkeypatch.chdir(tmp_path)
    answers, references = LABELS if "classification" in metric.tasks else (ANSWERS, REFERENCES)
    task = TASKS["sentiment" if "classification" in metric.tasks else "dialogue"]
    found = as_evaluate(metric).compute(predictions=answers, references=references)
    assert found == {metric.name: measure(answers, references, task)[metric.name]}
    again = as_evaluate(metric)
    first = [texts[0] for texts in references]
    for count in (1, 3):  # as plain texts, and twice by one metric
        expected = value_of(metric, answers[:count], [[text] for text in first[:count]])
        assert again.compute(predictions=answers[:count], references=first[:count]) == {metric.name: expected}
    assert not list(tmp_path.iterdir())


def test_one_that_models_are_asked_for_takes_the_rows_values():
    found = as_evaluate(METRICS["perplexity"]).compute(predictions=[-2.0, -1.0])
    assert found == {"perplexity": -1.5}


def test_one_that_this_machine_cannot_compute_says_so(monkeypatch):
    monkeypatch.setattr("eval.metrics.bertscore.BertScore.local", lambda: None)
    with pytest.raises(RecipeError, match="cannot be computed on this machine"):
        as_evaluate(METRICS["bertscore"]).compute(predictions=["a"], references=["a"])


def test_a_folder_of_evaluates_scores_row_by_row_or_the_whole_set(module):
    folder = module("share")
    name = f"evaluate:{folder}"
    assert place_of(name) == folder / "share.py"
    require_primary(name, "generation")
    task = replace(TASKS["dialogue"], metric=name)
    with pytest.raises(RecipeError, match="not among the metrics that are loaded"):
        primary_of(task)  # a model from elsewhere may name code on this machine
    metric = load(name)
    assert (metric.title, metric.kind, metric.higher_is_better) == ("share", "real", True)
    assert primary_of(task) == metric and load(name) is metric
    answers, references = ["soup", "x", "Leo"], [["no soup"], ["a", "an x"], ["Ana"]]
    assert row_scores(answers, references, task) == [1.0, 1.0, 0.0]  # of two references the better one
    assert next(iter(scored(answers, references, task)[0])) == name
    whole = load(f"{name}:whole")
    assert whole.kind == "whole" and whole.whole(answers[::2], references[::2]) == 0.5
    with pytest.raises(RecipeError, match="one reference a row"):
        whole.whole(answers, references)
    with pytest.raises(ValueError, match=r"cannot rest on .* it is of a whole test set"):
        require_primary(f"{name}:whole", "generation")


def test_a_module_that_takes_several_references_gets_them_all(module):
    folder = module("lists", "datasets.List(text)")
    metric = load(f"evaluate:{folder}:lower")
    assert not metric.higher_is_better and metric_named(f"evaluate:{folder}:lower") is metric
    assert metric.row("a b", ["a", "b"]) == 1.0
    assert load(f"evaluate:{folder}:whole").whole(["a b", "c"], [["a", "b"], ["d"]]) == 0.5


def test_an_installed_module_and_one_that_evaluate_has_loaded_before_are_found(module, tmp_path, monkeypatch):
    folder = module("near")
    monkeypatch.syspath_prepend(str(folder.parent))
    assert place_of("evaluate:near.near") == "near.near"
    monkeypatch.chdir(tmp_path / "near")
    assert load("evaluate:near.near").row("a", ["b a"]) == 1.0
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "cached"))
    kept = tmp_path / "cached" / "evaluate_modules" / "metrics" / "evaluate-metric--far" / ("0" * 64)
    kept.mkdir(parents=True)
    (kept / "far.py").write_text(SHARE % ("text", "far"))
    assert place_of("evaluate:far") == kept / "far.py"
    assert load("evaluate:far").row("a", ["b"]) == 0.0


@pytest.mark.parametrize(
    ("name", "says"),
    [("evaluate:nowhere", "not on this machine"), ("evaluate:json", "defines no evaluate.Metric")],
)
def test_what_is_no_metric_is_said_so(name, says):
    with pytest.raises(RecipeError, match=says):
        load(name)


def test_a_metric_of_numbers_is_refused_when_it_is_loaded(module):
    folder = module("numbers", 'datasets.Value("int32")')
    with pytest.raises(RecipeError, match="something else than texts"):
        load(f"evaluate:{folder}")


def test_what_breaks_in_its_own_code_is_said_in_a_line(module):
    folder = module("broken")
    (folder / "broken.py").write_text("import no_such_module_at_all\n" + SHARE % ("text", "broken"))
    with pytest.raises(RecipeError, match="no_such_module_at_all"):
        load(f"evaluate:{folder}")
    folder = module("empty")
    file = folder / "empty.py"
    file.write_text(file.read_text().replace("len(predictions),", "'x',").replace("hits / len(predictions)", "'y'"))
    with pytest.raises(RecipeError, match="gives no number, but of, empty"):
        load(f"evaluate:{folder}").row("a", ["a"])


def test_a_name_tells_all_that_a_report_needs_of_it():
    """Nothing is loaded to read a report."""
    metric = metric_named("evaluate:/a/b/wer:whole:lower")
    assert (metric.title, metric.kind, metric.higher_is_better, metric.row) == ("wer", "whole", False, None)
    assert fmean([metric_named("evaluate:meteor").digits]) == 2

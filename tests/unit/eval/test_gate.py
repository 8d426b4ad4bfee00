"""The gate catches planted regressions and leaves an honest re-run alone, on a tiny model that is always right."""

import json
import random
import shutil

import pytest
from datasets import Dataset
from safetensors.torch import load_file, save_file

from data.errors import RunError
from data.sources import open_source
from data.tasks import SENTIMENT
from eval.gate import baseline_file, check, check_run, frozen_rows, measured, read_baseline, write_baseline
from eval.harness import compare
from eval.report import save
from models.adapter_files import WEIGHTS_FILE
from models.pair import open_pair
from models.prompting import CONTRACT_FILE, PromptContract


@pytest.fixture(scope="module")
def test_set(tiny_adapter):
    """Reviews whose label is what the tuned tiny model answers: tuned is right everywhere, base is not."""
    texts = open_source("corpus:reviews", SENTIMENT).splits["test"]["text"][:120]
    asked = Dataset.from_dict({"text": texts, "label": ["positive"] * len(texts)})
    answers = [row.tuned.answer for row in compare(open_pair(tiny_adapter), asked).rows]
    assert len(set(answers)) == 2
    return Dataset.from_dict({"text": texts, "label": answers})


def scored(adapter, rows, name="tiny"):
    return measured(name, compare(open_pair(adapter), rows))


@pytest.fixture(scope="module")
def baseline(tiny_adapter, test_set):
    return scored(tiny_adapter, test_set)


def copy(adapter, folder):
    return shutil.copytree(adapter, folder)


def damage(adapter):
    """Flip the sign of the update: the adapter still acts, and still fits."""
    weights = load_file(adapter / WEIGHTS_FILE)
    save_file({key: -value if "lora_B" in key else value for key, value in weights.items()}, adapter / WEIGHTS_FILE)


def test_an_honest_rerun_is_passed(tiny_adapter, test_set, baseline):
    outcome = check(scored(tiny_adapter, test_set), baseline)
    assert outcome.passed, outcome
    assert not outcome.notes
    assert "tuned, then → now | 1.000 | 1.000" in outcome.table


def test_a_rerun_that_rounds_otherwise_is_passed(test_set, baseline):
    flipped = [1 - score if index in (3, 40) else score for index, score in enumerate(baseline.tuned)]
    assert check(baseline.model_copy(update={"tuned": flipped}), baseline).passed


def test_a_damaged_adapter_is_caught(tiny_adapter, test_set, baseline, tmp_path):
    adapter = copy(tiny_adapter, tmp_path / "adapter")
    damage(adapter)
    outcome = check(scored(adapter, test_set), baseline)
    assert any("the adapter changed" in failure for failure in outcome.failures)
    assert any("got worse: accuracy 1.000 →" in failure for failure in outcome.failures)


def test_damage_is_caught_by_the_scores_alone(tiny_adapter, test_set, baseline, tmp_path):
    adapter = copy(tiny_adapter, tmp_path / "adapter")
    damage(adapter)
    now = scored(adapter, test_set).model_copy(update={"adapter_sha256": baseline.adapter_sha256})
    (failure,) = check(now, baseline).failures
    assert "worse" in failure


def test_a_changed_prompt_is_caught(tiny_adapter, test_set, baseline, tmp_path):
    adapter = copy(tiny_adapter, tmp_path / "adapter")
    contract = PromptContract.load(adapter)
    changed = PromptContract(contract.task, "Good?", contract.template, contract.special_tokens)
    changed.save(adapter)
    outcome = check(scored(adapter, test_set), baseline)
    assert any("the prompt changed" in failure for failure in outcome.failures)
    assert CONTRACT_FILE in {path.name for path in adapter.iterdir()}


def test_shuffled_labels_are_caught(tiny_adapter, test_set, baseline):
    labels = list(test_set["label"])
    random.Random(0).shuffle(labels)
    shuffled = Dataset.from_dict({"text": test_set["text"][:], "label": labels})
    outcome = check(scored(tiny_adapter, shuffled), baseline)
    assert any("the test set changed" in failure for failure in outcome.failures)
    assert "then → now" not in outcome.table  # other rows are not compared as if they were the same


def test_without_a_baseline_tuned_has_to_beat_base(baseline):
    outcome = check(baseline, None)
    assert outcome.passed and "There is no baseline" in outcome.notes[0]
    same = baseline.model_copy(update={"tuned": baseline.base})
    assert not check(same, None).passed


def test_other_versions_are_noted_not_failed(baseline):
    then = baseline.model_copy(update={"versions": baseline.versions | {"torch": "1.0"}})
    outcome = check(baseline, then)
    assert outcome.passed
    assert "torch 1.0 →" in outcome.notes[0]


def test_a_baseline_survives_the_disk_and_a_damaged_one_is_named(baseline, tmp_path):
    path = baseline_file("tiny", "package mirror", tmp_path)
    assert path.name == "tiny.package-mirror.json"
    assert read_baseline(path) is None
    write_baseline(baseline, path)
    assert read_baseline(path) == baseline
    path.write_text(json.dumps({"name": "tiny"}), encoding="utf-8")
    with pytest.raises(RunError, match=r"tiny\.package-mirror\.json cannot be read"):
        read_baseline(path)


def test_a_run_is_gated_against_its_report_its_base_and_another_run(tiny_adapter, test_set, baseline, tmp_path):
    result = compare(open_pair(tiny_adapter), test_set)
    save(result.report, result.rows, tmp_path / "eval")
    _report, _rows, again = frozen_rows(tmp_path / "eval")
    assert again["text"][:] == test_set["text"][:] and again["label"][:] == test_set["label"][:]

    adapter = copy(tiny_adapter, tmp_path / "adapter")
    damage(adapter)
    damaged = scored(adapter, again, "damaged")
    assert check_run(scored(tiny_adapter, again), baseline, damaged).passed
    outcome = check_run(damaged, damaged, baseline)
    assert [failure for failure in outcome.failures if "worse than tiny" in failure]
    assert "tiny → damaged" in outcome.table
    worse = check_run(baseline.model_copy(update={"base": baseline.tuned, "tuned": baseline.base}), baseline, None)
    assert [failure for failure in worse.failures if "worse than its base" in failure]

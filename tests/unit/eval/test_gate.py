"""The gate catches planted regressions and leaves an honest re-run alone, on a tiny model that is always right."""

import json
import random
import shutil

import pytest
from datasets import Dataset
from safetensors.torch import load_file, save_file

from data.sources import open_source
from data.tasks import SENTIMENT
from eval.compare import compare
from eval.gate import baseline_file, check, check_run, frozen_rows, measured, read_baseline, write_baseline
from eval.report.folder import save
from models.adapter_files import WEIGHTS_FILE
from models.pair import open_pair
from models.prompting import CONTRACT_FILE, PromptContract
from plumbing.errors import RunError


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


@pytest.mark.cuda
def test_an_honest_rerun_is_passed(tiny_adapter, test_set, baseline):
    outcome = check(scored(tiny_adapter, test_set), baseline)
    assert outcome.passed, outcome
    assert not outcome.notes
    assert "tuned, then → now | 1.000 | 1.000" in outcome.table


def test_a_rerun_that_rounds_otherwise_is_passed(test_set, baseline):
    flipped = [1 - score if index in (3, 40) else score for index, score in enumerate(baseline.tuned)]
    assert check(baseline.model_copy(update={"tuned": flipped}), baseline).passed


@pytest.mark.cuda
def test_a_damaged_adapter_is_caught(tiny_adapter, test_set, baseline, tmp_path):
    adapter = copy(tiny_adapter, tmp_path / "adapter")
    damage(adapter)
    outcome = check(scored(adapter, test_set), baseline)
    assert any("the tuned model changed" in failure for failure in outcome.failures)
    assert any("got worse: accuracy 1.000 →" in failure for failure in outcome.failures)


@pytest.mark.cuda
def test_damage_is_caught_by_the_scores_alone(tiny_adapter, test_set, baseline, tmp_path):
    adapter = copy(tiny_adapter, tmp_path / "adapter")
    damage(adapter)
    now = scored(adapter, test_set).model_copy(update={"adapter_sha256": baseline.adapter_sha256})
    (failure,) = check(now, baseline).failures
    assert "worse" in failure


@pytest.mark.cuda
def test_a_changed_prompt_is_caught(tiny_adapter, test_set, baseline, tmp_path):
    adapter = copy(tiny_adapter, tmp_path / "adapter")
    contract = PromptContract.load(adapter)
    changed = PromptContract(contract.task, "Good?", contract.template, contract.special_tokens)
    changed.save(adapter)
    outcome = check(scored(adapter, test_set), baseline)
    assert any("the prompt changed" in failure for failure in outcome.failures)
    assert CONTRACT_FILE in {path.name for path in adapter.iterdir()}


@pytest.mark.cuda
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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metric": "macro_f1"}, "macro-F1 cannot be compared with scores of accuracy"),
        ({"task": "dialogue", "metric": "rougeL"}, "the task 'dialogue'"),
    ],
)
def test_scores_of_something_else_are_not_compared(changed, said, baseline):
    then = baseline.model_copy(update={"tuned": [0.0] * len(baseline.tuned)} | changed)
    for outcome in (check(baseline, then), check_run(baseline, baseline, then)):
        (failure,) = outcome.failures
        assert said in failure
    assert "then → now" not in check(baseline, then).table


def test_another_precision_is_noted_and_judged(baseline):
    then = baseline.model_copy(update={"precision": "nf4", "computed_in": "bfloat16"})
    outcome = check(baseline, then)
    assert outcome.passed
    assert "nf4 computed in bfloat16 → float32" in outcome.notes[0]
    worse = baseline.model_copy(update={"tuned": [0.0] * len(baseline.tuned)})
    assert not check(worse, then).passed


def of_scores(baseline, tuned, **changed):
    base = [0.0, 1.0] * (len(tuned) // 2) + [0.0] * (len(tuned) % 2)
    return baseline.model_copy(update={"base": base, "tuned": tuned} | changed)


@pytest.mark.parametrize("right", [0, 7, 8])
def test_a_gate_that_could_never_fail_does(right, baseline):
    """Seven rows, or seven right ones of a hundred: to lose them all is no evidence at p ≤ 0.01."""
    for rows in {max(right, 1), 100}:
        base = [0.0] * rows
        before = of_scores(baseline, [1.0] * right + [0.0] * (rows - right), base=base)
        lost = of_scores(baseline, base, base=base)
        assert any("got worse" in failure for failure in check(lost, before).failures) == (right == 8)
        outcomes = (check(before, before), check_run(before, before, None), check_run(before, before, before))
        for outcome in outcomes:
            assert outcome.passed == (right == 8)
            assert right == 8 or f"{right} of tiny could get worse, and p ≤ 0.01 takes 8" in outcome.failures[0]


def test_the_smallest_loss_that_it_would_catch_is_in_the_table(baseline):
    """As many rows differ as in the comparison, and as many more as the loss: four times of five it is caught."""
    rows, chance = 120, random.Random(1)
    before = of_scores(baseline, [1.0] * 100 + [0.0] * 20)
    after = of_scores(baseline, [0.0] * 4 + [1.0] * 96 + [1.0] * 4 + [0.0] * 16)
    (line,) = [line for line in check(after, before).table.splitlines() if line.startswith("| tuned, then → now")]
    loss = float(line.split("|")[-2])
    assert 0.05 < loss < 0.2
    caught = 0
    for _ in range(200):
        share = max(8 / rows, loss)
        moves = [chance.random() for _ in range(rows)]
        was = [1.0 if move < (share + loss) / 2 or move >= share else 0.0 for move in moves]
        now = [0.0 if move < (share + loss) / 2 else 1.0 for move in moves]
        caught += bool(check(of_scores(baseline, now), of_scores(baseline, was)).failures)
    assert 0.7 < caught / 200 < 0.9


def test_where_no_row_differs_eight_that_lose_are_caught(baseline):
    before = of_scores(baseline, [0.5] * 40, task="dialogue", metric="rougeL")
    assert "| any in 8 rows |" in check(before, before).table
    for lost in (7, 8):
        after = of_scores(baseline, [0.4] * lost + [0.5] * (40 - lost), task="dialogue", metric="rougeL")
        assert check(after, before).passed == (lost == 7)


def test_rows_that_the_other_run_was_trained_on_are_no_test_of_it(baseline):
    """The other run knows its hundred training rows by heart and is worse on the rest."""
    now = of_scores(baseline, [1.0] * 50 + [0.0] * 50 + [1.0] * 20)
    other = of_scores(baseline, [1.0] * 100 + [0.0] * 20, name="other")
    assert any("worse than other" in failure for failure in check_run(now, now, other).failures)
    outcome = check_run(now, now, other, [True] * 92 + [False] * 28)
    assert outcome.passed
    assert outcome.notes == ("other was trained on 92 of these rows: it is compared on the other 28.",)
    assert "| other → tiny | 0.286 | 0.714 |" in outcome.table
    for left in (0, 7):
        outcome = check_run(now, now, other, [False] * left + [True] * (120 - left))
        assert any(f"of {left} rows {left} of other could get worse" in failure for failure in outcome.failures)
    assert "not known" in check_run(now, now, other, None).notes[0]
    assert check_run(now, now, None).notes == ()


def test_a_slow_slide_is_caught_though_each_step_is_no_evidence(baseline, tmp_path):
    path = tmp_path / "tiny.json"
    rights = (100, 97, 94, 91)
    for right in rights:
        now = of_scores(baseline, [1.0] * right + [0.0] * (120 - right))
        outcome = check(now, read_baseline(path) if right < 100 else now)
        assert outcome.passed == (right > 91)
        write_baseline(now, path)
    (failure,) = outcome.failures
    assert "slid since" in failure and "0.833 → 0.758" in failure
    assert "| tuned, first → now | 0.833 | 0.758" in outcome.table
    kept = read_baseline(path)
    assert sum(kept.first.tuned) == 100 and sum(kept.tuned) == 91


@pytest.mark.parametrize(
    "changed", ["adapter_sha256", "base_weights_sha256", "test_sha256", "prompt_sha256", "versions"]
)
def test_another_adapter_base_or_test_set_begins_a_line_and_nothing_else_does(changed, baseline, tmp_path):
    path = tmp_path / "tiny.json"
    write_baseline(baseline, path)
    assert read_baseline(path).first is None
    value = {"torch": "1.0"} if changed == "versions" else "0" * 64
    write_baseline(baseline.model_copy(update={changed: value}), path)
    first = read_baseline(path).first
    assert (first is None) == (changed not in ("prompt_sha256", "versions"))
    assert first is None or first.tuned == baseline.tuned


def test_a_baseline_of_before_is_read(baseline, tmp_path):
    """Without the first of its line and without what it was computed in."""
    old = baseline.model_dump(exclude={"first", "computed_in"})
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    then = read_baseline(path)
    assert check(baseline.model_copy(update={"computed_in": ""}), then).passed
    write_baseline(baseline, path)
    assert read_baseline(path).first.created == baseline.created


def test_a_baseline_survives_the_disk_and_a_damaged_one_is_named(baseline, tmp_path):
    path = baseline_file("tiny", "package mirror", tmp_path)
    assert path.name == "tiny.package-mirror.json"
    assert read_baseline(path) is None
    write_baseline(baseline, path)
    assert read_baseline(path) == baseline
    path.write_text(json.dumps({"name": "tiny"}), encoding="utf-8")
    for asked in (lambda: read_baseline(path), lambda: write_baseline(baseline, path)):
        with pytest.raises(RunError, match=r"tiny\.package-mirror\.json cannot be read") as caught:
            asked()
        # Measuring it again alone would end in this very error.
        assert caught.value.fix.startswith(f"Restore it: git checkout -- {path}. Or remove it and then measure it")
    path.unlink()
    write_baseline(baseline, path)
    assert read_baseline(path) == baseline


@pytest.mark.cuda
def test_a_run_is_gated_against_its_report_its_base_and_another_run(tiny_adapter, test_set, baseline, tmp_path):
    result = compare(open_pair(tiny_adapter), test_set)
    save(result.report, result.rows, tmp_path / "eval")
    _report, _rows, again = frozen_rows(tmp_path / "eval", SENTIMENT)
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

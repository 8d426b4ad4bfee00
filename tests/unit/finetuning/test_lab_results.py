"""From what a lab measured to its results: numbers of one option are never taken for those of another."""

import pytest

from eval.lab.schema import Cost, Elsewhere
from eval.report.sections import TaskInfo
from finetuning.lab.folder import create_lab
from finetuning.lab.lab import parse_lab
from finetuning.lab.measured import Measured
from finetuning.lab.plan import make_plan, places_of
from finetuning.lab.results import results_of
from plumbing.errors import RunError

REVIEWS = TaskInfo(kind="classification", title="Reviews", noun=("review", "reviews"))


def measured(scores, *, base=None, before=0.0, after=0.0, weights="float32", **more):
    elsewhere = Elsewhere(base_perplexity=before, tuned_perplexity=after) if before else None
    values = {"task": "sentiment", "about": REVIEWS, "metric": "accuracy", "data": "corpus:reviews", "cost": Cost()}
    values |= {"test_sha256": "ab", "scores": scores, "base_scores": base, "elsewhere": elsewhere}
    return Measured(**(values | {"computed": {"weights in": weights}} | more))


@pytest.fixture
def lab_of(tmp_path, monkeypatch):
    """`lab_of(options, measured, **more)` → a lab of which that was measured with every seed."""
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))

    def make(options, found, **more):
        values = {
            "name": "tiny",
            "title": "T",
            "question": "Q",
            "recipe": "sentiment-smollm2-lora",
            "seeds": [0, 1, 2],
        }
        lab = parse_lab(values | {"options": options} | more)
        made = create_lab(lab, plan := make_plan(lab), door="command")
        for cell in plan.cells:
            for number, place in enumerate(places_of(cell, plan)):
                each = found[cell.name]
                made.keep_measured(place, each[number] if isinstance(each, list) else each)
        return made

    return make


def test_a_base_is_compared_with_itself_in_the_same_precision(lab_of):
    options = [
        {"name": "QLoRA", "set": ["strategy=qlora"]},
        {"name": "LoRA"},
        {"name": "base", "untrained": "base"},
        {"name": "examples", "untrained": {"kind": "examples", "count": 2}},
    ]
    packed, plain = [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]
    lab = lab_of(options, {
        "QLoRA": measured([1.0] * 4, base=packed, before=76.0, after=80.0, weights="nf4"),
        "LoRA": measured([1.0] * 4, base=plain, before=62.0, after=63.0),
        "base": measured(plain),
        "examples": measured([0.0, 1.0, 1.0, 1.0]),
    })  # fmt: skip
    found = {option.name: option for option in results_of(lab).options}
    assert (found["QLoRA"].gain, found["LoRA"].gain, found["examples"].gain) == (0.75, 0.5, 0.25)
    assert found["base"].gain is None and found["base"].elsewhere.base_perplexity == 62.0
    assert found["QLoRA"].elsewhere.ratio == pytest.approx(80 / 76)


def test_a_base_that_answered_otherwise_beside_what_was_tuned_has_no_gain_over_itself(lab_of):
    beside, alone = [0.0, 0.5, 1.0], [0.0, 0.6, 1.0]
    lab = lab_of(
        [
            {"name": "LoRA"},
            {"name": "base", "untrained": "base"},
            {"name": "examples", "untrained": {"kind": "examples", "count": 2}},
        ],
        {"LoRA": measured([1.0] * 3, base=beside), "base": measured(alone), "examples": measured([0.3, 0.9, 1.0])},
    )
    found = {option.name: option for option in results_of(lab).options}
    assert found["base"].gain is None
    assert found["examples"].gain == pytest.approx(0.2) and found["LoRA"].gain == pytest.approx(0.5)


def test_a_rows_score_is_the_mean_of_its_seeds_to_the_last_digit(lab_of):
    one = [measured([1.0, 0.0, score]) for score in (1.0, 0.0, 0.0)]
    lab = lab_of([{"name": "a"}, {"name": "b"}], {"a": one, "b": measured([1.0, 1.0, 0.0])})
    a, _ = results_of(lab).options
    assert a.scores == [1.0, 0.0, 1 / 3] and a.mean == sum(seed.score for seed in a.seeds) / 3
    assert [seed.score for seed in a.seeds] == [2 / 3, 1 / 3, 1 / 3]


def test_of_what_is_chosen_by_its_reward_that_is_said(lab_of):
    rate = {"tune": {"training.learning_rate": [1e-4, 1e-3]}}
    options = [{"name": "GRPO", "recipe": "dialogue-smollm2-grpo"} | rate, {"name": "SFT"} | rate]
    same = {name: measured([1.0, 0.0]) for name in ("GRPO", "SFT")}
    found = results_of(lab_of(options, same, recipe="dialogue-smollm2-qlora"))
    assert [note for note in found.notes if "chosen by" in note] == [
        "GRPO was chosen by its validation loss, minus the mean reward."
    ]


def test_what_was_measured_on_other_rows_is_not_compared(lab_of):
    lab = lab_of([{"name": "a"}, {"name": "b"}], {"a": measured([1.0]), "b": measured([1.0], test_sha256="cd")})
    with pytest.raises(RunError, match="a on 1 of corpus:reviews, and b on 1"):
        results_of(lab)

"""What a lab takes, before it starts: a share for each option, and what its runs have in common is counted once."""

import pytest

from finetuning.estimates.estimate import Estimate
from finetuning.lab import dry_run
from finetuning.lab.lab import parse_lab
from finetuning.lab.plan import make_plan
from plumbing.errors import ModelError

OPENED = type("Opened", (), {"splits": {"train": list(range(40)), "test": [], "validation": []}, "task": None})()


@pytest.fixture
def estimated(monkeypatch):
    """Every run loads for 10 s, trains for 5 s a step or for 100, measures validation rows for 9 of these, and is
    evaluated for 30; examples take 7 more."""

    def estimate(recipe, *, splits, task):
        if recipe.model.base == "far/away":
            raise ModelError("Nothing is known about this base model")
        steps, validation = recipe.training.max_steps, 9.0 if recipe.training.eval_rows else 0.0
        training = 5.0 * steps + validation if steps else 100.0
        return Estimate(0, 0, 0, 0.0, 0.0, 10.0, training, 30.0 + 7.0 * (recipe.few_shot > 0))

    monkeypatch.setattr(dry_run, "estimate", estimate)


def taken(**more):
    values = {"name": "tiny", "title": "T", "question": "Q", "recipe": "sentiment-smollm2-lora", "seeds": [0, 1]}
    plan = make_plan(parse_lab(values | more))
    return dry_run.shares(plan, {cell.key: OPENED for cell in plan.cells})


def test_the_chosen_trial_is_not_trained_again_and_judged_once_a_seed(estimated):
    tune = {"training.learning_rate": [1e-4, 1e-3, 1e-2]}
    (share,) = taken(options=[{"name": "a"}], tune=tune)
    assert share.runs == 4 and share.what == "3 tried, 2 judged"
    assert share.seconds == 4 * 100 + (3 + 2) * 10 + 2 * 30
    (share,) = taken(options=[{"name": "a"}], tune=tune, budget={"minutes": 2})
    # Some steps that are timed first; then as many as two minutes hold, and the validation rows beside them.
    assert share.runs == 5 and share.seconds == (10 + 6 * 5) + 4 * (120 + 9) + 5 * 10 + 2 * 30


def test_what_is_not_trained_takes_its_pass_alone_and_what_is_not_known_is_said(estimated):
    options = [
        {"name": "base", "untrained": "base"},
        {"name": "examples", "untrained": {"kind": "examples", "count": 4}},
        {"name": "words", "untrained": {"kind": "floor", "name": "TF-IDF + logistic regression"}},
        {"name": "far", "set": ["model.base=far/away"], "untrained": "base"},
    ]
    base, examples, words, far = taken(options=options)
    assert (base.seconds, examples.seconds) == (5 + 15, 5 + 2 * 7) and words.seconds < 10
    assert far.seconds is None
    assert dry_run.total([base, examples]) == "3 runs and passes, about 39 s here"
    assert "of 1 options it is not known" in dry_run.total([base, far])
    assert dry_run.minutes(3600) == "45 to 75 min" and dry_run.minutes(20) == "about 20 s"

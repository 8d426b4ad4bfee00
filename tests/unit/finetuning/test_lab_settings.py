"""A lab's settings, its plan, and whether its runs fit together: all of it told before anything is run."""

import random

import pytest

from finetuning.lab import launch, strangers
from finetuning.lab.fitting import require_bases, require_fit
from finetuning.lab.lab import LABS, lab_names, load_lab, parse_lab
from finetuning.lab.plan import Plan, make_plan, pilot_recipe, run_recipe, seed_place, trial_place
from finetuning.lab.results import stored
from finetuning.lab.searches import Range, points
from finetuning.limits import Limits
from finetuning.overrides import read_yaml
from plumbing import network
from plumbing.errors import ModelError, RecipeError

RATE = "training.learning_rate"
DPO, QLORA = "dialogue-smollm2-dpo", "dialogue-smollm2-qlora"


def lab(**more):
    return parse_lab(
        {
            "name": "tiny",
            "title": "Tiny",
            "question": "Which?",
            "recipe": "sentiment-smollm2-lora",
            "options": [{"name": "LoRA"}, {"name": "full", "set": ["strategy.kind=full"]}],
        }
        | more
    )


# ---- the labs that ship ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", lab_names())
def test_every_lab_that_ships_fits_together_and_survives_being_written_down(name):
    found = load_lab(name)
    plan = make_plan(found)
    require_fit(plan)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert found.name == name and len(found.seeds) == 3 and found.budget is not None
    assert all(cell.is_tuned for cell in plan.trained), "a rate is chosen for each option"
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    # What else would score is an option, and is not measured once more beside each run.
    assert all(cell.recipe.few_shot == 0 and cell.recipe.evaluation.context is None for cell in plan.cells)
    for cell in filter(plan.is_timed, plan.trained):
        pilot_recipe(cell, place="a/pilot", lab="x-0001", title="T")
    text = (LABS / f"{name}.yaml").read_text()
    assert text.startswith("# ") and f"python -m finetuning sweep {name}" in text


def test_what_was_stored_of_a_lab_is_of_that_lab():
    for name in lab_names():
        if (result := stored(name)) is not None:
            names = {option.name for option in result.options}
            assert result.name == name and names == {cell.name for cell in make_plan(load_lab(name)).cells}
    assert stored("no-such-lab") is None


# ---- settings ----------------------------------------------------------------------------------------------

WRONG = {
    "did you mean untrained?": {"options": [{"name": "a", "untraind": "base"}]},
    "did you mean seeds?": {"seds": [1]},
    "two are called a": {"options": [{"name": "a"}, {"name": "a"}]},
    "say either steps or minutes": {"budget": {"steps": 3, "minutes": 1}},
    "one of them is there twice": {"seeds": [1, 1]},
    "low has to be below high": {"tune": {RATE: {"low": 1, "high": 0.1}}},
    "log needs a low above 0": {"tune": {RATE: {"low": 0, "high": 0.1, "log": True}}},
    "how many are drawn of training.learning_rate": {"tune": {RATE: {"low": 0.01, "high": 0.1}}},
    "there is nothing to draw from": {"draws": 3},
    "training.seed is the same for all runs, and said by seeds": {"set": ["training.seed=4"]},
    "training.epochs is the same for all runs, and said by budget": {
        "budget": {"steps": 3},
        "options": [{"name": "a", "set": ["training.epochs=3"]}],
    },
    "nothing is trained, so there is nothing to tune": {
        "options": [{"name": "a", "untrained": "base", "tune": {RATE: [1, 2]}}]
    },
    "there is no such floor; there are": {
        "options": [{"name": "a", "untrained": {"kind": "floor", "name": "magic"}}]
    },
    "has nothing to be compared with": {"options": [{"name": "a", "untrained": "base"}]},
}


@pytest.mark.parametrize("says", WRONG)
def test_settings_that_make_no_sense_are_refused_in_a_sentence(says):
    with pytest.raises(RecipeError, match="The lab is not valid") as caught:
        lab(**WRONG[says])
    assert says in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_no_such_lab_names_the_closest_and_a_damaged_file_is_a_sentence(tmp_path):
    with pytest.raises(RecipeError, match="Did you mean options-sentiment"):
        load_lab("option-sentiment")
    (tmp_path / "mine.yaml").write_text("options: [")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_lab(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("- a")
    with pytest.raises(RecipeError, match="not valid"):
        load_lab(tmp_path / "mine.yaml")


def test_a_lab_of_ones_own_is_named_after_its_file(tmp_path):
    values = read_yaml((LABS / "options-sentiment.yaml").read_text())
    (tmp_path / "My Lab 2.yaml").write_text(str({name: values[name] for name in values}))
    assert load_lab(tmp_path / "My Lab 2.yaml").name == "my-lab-2"


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"set": ["strategy.rnk=3"]}, "did you mean rank"),
        ({"recipe": "sentimant-smollm2-lora"}, "no such recipe"),
        ({"tune": {RATE: [0.1, 7]}}, "learning_rate"),
        ({"across": {"strategy.rank": [4, 0]}}, "rank"),
        ({"untrained": {"kind": "floor", "name": "longest turn"}}, "none of the task sentiment"),
        ({"recipe": "sentiment-minilm-lora", "untrained": "base"}, "answers nothing before it is trained"),
        # Of other test rows, or of another beta, a loss says something else.
        ({"tune": {"data.test_rows": [20, 30]}}, "validation rows cannot tell"),
        ({"recipe": DPO, "tune": {"way.beta": [0.1, 0.3]}}, "Or choose by the task's metric"),
    ],
)
def test_an_option_that_is_wrong_is_named_before_anything_is_run(option, says):
    with pytest.raises(RecipeError, match=r"^wrong: ") as caught:
        make_plan(lab(options=[{"name": "fine"}, {"name": "wrong"} | option]))
    assert says in str(caught.value)


# ---- searches ----------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_and_draws_are_some_of_them_each_once():
    space = {"a": [1, 2], "b": ["x", "y", "z"]}
    assert len(points(space, None, seed="")) == 6 and points({}, None, seed="") == [{}]
    drawn = points(space, 4, seed="s")
    assert len(drawn) == 4 == len({str(one) for one in drawn}) and drawn == points(space, 4, seed="s")
    assert drawn != points(space, 4, seed="t")
    assert len(points(space, 50, seed="s")) == 6


def test_a_range_is_drawn_within_its_ends_and_by_powers_of_ten_where_it_says_so():
    chance = random.Random(0)
    rates = [Range(low=1e-5, high=1e-1, log=True).draw(chance) for _ in range(400)]
    assert all(1e-5 <= rate <= 1e-1 for rate in rates)
    assert 60 < sum(rate < 1e-4 for rate in rates) < 140  # a quarter: a power of ten of four
    ranks = {Range(low=1, high=4).draw(chance) for _ in range(100)}
    assert ranks == {1, 2, 3, 4}


# ---- the plan ----------------------------------------------------------------------------------------------


def test_the_chosen_trial_is_the_first_seeds_run_and_everything_has_a_place_of_its_own():
    found = lab(tune={RATE: [1e-4, 1e-3]}, budget={"steps": 5}, options=[{"name": "LoRA"}, {"name": "base",
                "untrained": "base"}])  # fmt: skip
    plan = make_plan(found)
    lora = plan.cells[0]
    assert plan.places() == [
        "lora/try-1", "lora/try-2", "lora/seed-0", "lora/seed-1", "lora/seed-2", "base/seed-0",
    ]  # fmt: skip
    tried = run_recipe(lora, 1, 0, place=trial_place(lora, 1), lab="x-0001", title="T", steps=None, judged=False)
    final = run_recipe(lora, 1, 2, place=seed_place(lora, 2), lab="x-0001", title="T", steps=9, judged=True)
    assert tried.evaluation.skip and not final.evaluation.skip
    assert (tried.training.learning_rate, tried.training.max_steps, tried.training.seed) == (1e-3, 5, 0)
    assert (final.training.learning_rate, final.training.max_steps, final.training.seed) == (1e-3, 9, 2)
    assert tried.name != final.name and tried.name.endswith("0001")
    pilot = pilot_recipe(lora, place="lora/pilot", lab="x-0001", title="T")
    assert pilot.evaluation.skip and pilot.training.eval_rows == 0
    assert lora.recipe.few_shot == 0, "rivals are options of their own"


def test_what_no_loss_can_tell_the_metric_may_and_steps_are_timed_only_where_each_takes_as_long():
    beta, rank = {"way.beta": [0.1, 0.3]}, {"strategy.rank": [4, 8]}
    options = [{"name": "a"}]
    assert make_plan(lab(recipe=DPO, choose="metric", tune=beta, options=options)).cells[0].is_tuned
    assert make_plan(lab(tune=rank, budget={"steps": 5}, options=options)).cells[0].is_tuned
    with pytest.raises(RecipeError, match="steps of an option are timed once") as caught:
        make_plan(lab(tune=rank | {RATE: [1e-4, 1e-3]}, budget={"minutes": 1}, options=options))
    assert caught.value.got == "strategy.rank"


def test_a_name_is_that_of_one_option():
    options = [{"name": "a", "across": {"strategy.rank": [4]}}, {"name": "a, rank 4"}]
    with pytest.raises(RecipeError, match="Two options of this lab are called a, rank 4"):
        make_plan(lab(options=options))


def test_a_seed_counts_where_it_draws_something():
    options = [
        {"name": "words", "untrained": {"kind": "floor", "name": "TF-IDF + logistic regression"}},
        {"name": "examples", "untrained": {"kind": "examples", "count": 2}},
        {"name": "base", "untrained": "base"},
    ]
    for rows, counts in ((None, [1, 3, 1]), ([16], [3, 3, 1])):
        assert [len(cell.seeds) for cell in make_plan(lab(options=options, rows=rows)).cells] == counts


def test_combinations_across_are_options_and_rows_are_a_curve():
    found = lab(
        rows=[16, 64],
        options=[
            {"name": "LoRA", "across": {"strategy.rank": [4, 8]}},
            {"name": "TF-IDF", "untrained": {"kind": "floor", "name": "TF-IDF + logistic regression"}},
            {"name": "base", "untrained": "base"},
        ],
    )
    cells = make_plan(found).cells
    assert [(cell.name, cell.rows) for cell in cells] == [
        ("LoRA, rank 4", 16), ("LoRA, rank 4", 64), ("LoRA, rank 8", 16), ("LoRA, rank 8", 64),
        ("TF-IDF", 16), ("TF-IDF", 64), ("base", None),
    ]  # fmt: skip
    assert [cell.recipe.data.train_rows for cell in cells[:2]] == [16, 64]
    assert cells[0].recipe.strategy.rank == 4 and len(cells[-1].seeds) == 1


# ---- whether they fit --------------------------------------------------------------------------------------

UNFIT = {
    "the task": {"name": "b", "recipe": QLORA},
    "answers of up to": {"name": "b", "recipe": QLORA, "set": ["evaluation.max_new_tokens=20"]},
    "a verdict on": {"name": "b", "recipe": "dialogue-smollm2-reward"},
}


@pytest.mark.parametrize("what", UNFIT)
def test_runs_that_do_not_fit_together_are_refused_with_both_options_and_what_differs(what):
    recipe = "sentiment-smollm2-lora" if what == "the task" else QLORA
    plan = make_plan(lab(recipe=recipe, options=[{"name": "a"}, UNFIT[what]]))
    with pytest.raises(RecipeError, match="do not fit together: a has") as caught:
        require_fit(plan)
    assert what in str(caught.value) and "and b " in str(caught.value) and caught.value.fix


def test_settings_that_are_tried_have_to_fit_as_well():
    tune = {"evaluation.max_new_tokens": [20, 30]}
    with pytest.raises(RecipeError, match=r"a \(max_new_tokens 20\) has answers of up to 20, and a \(max_new_tok"):
        require_fit(make_plan(lab(recipe=QLORA, options=[{"name": "a", "tune": tune}])))


def test_there_has_to_be_something_to_choose_by():
    plan = make_plan(lab(tune={RATE: [1e-4, 1e-3]}, set=["training.eval_rows=0"]))
    with pytest.raises(RecipeError, match=r"nothing to choose training\.learning_rate by"):
        require_fit(plan)


def test_a_lab_that_needs_the_hub_is_refused_where_it_cannot_be_reached(monkeypatch):
    monkeypatch.setattr(network, "hub_reachable", lambda: False)
    monkeypatch.setattr("models.sources.in_reach", lambda name: None)
    require_bases(make_plan(load_lab("knowledge")))
    for name in ("aligned", "small-beats-large"):
        with pytest.raises(ModelError, match="needs base models from the Hub, which cannot be reached from here"):
            require_bases(make_plan(load_lab(name)))
    monkeypatch.setattr(network, "hub_reachable", lambda: True)
    require_bases(make_plan(load_lab("aligned")))


# ---- strangers ---------------------------------------------------------------------------------------------


def test_a_strangers_lab_is_small_and_each_of_its_runs_within_the_limits():
    small = make_plan(lab(seeds=[0], budget={"steps": 5}, options=[{"name": "a"}, {"name": "b"}]))
    within = strangers.within(small, Limits())
    assert [cell.recipe.training.max_minutes for cell in within.cells] == [20, 20]
    assert [cell.recipe.data.test_rows for cell in within.cells] == [200, 200]
    with pytest.raises(RecipeError, match="makes 6 runs and passes, and this public page allows 5"):
        strangers.within(make_plan(lab()), Limits(lab_places=5))
    large = make_plan(lab(seeds=[0], options=[{"name": "a", "tune": {"strategy.rank": [8, 64]}}]))
    with pytest.raises(RecipeError, match=r"strategy\.rank is 64"):
        strangers.within(large, Limits())
    elsewhere = make_plan(lab(seeds=[0], test="hub:a/b"))
    with pytest.raises(RecipeError, match="reads no data from elsewhere"):
        strangers.within(elsewhere, Limits())


def test_a_stranger_has_one_lab_at_a_time_and_the_oldest_that_have_ended_go(tmp_path, monkeypatch):
    from finetuning.lab.folder import create_lab, list_labs
    from plumbing.errors import RunError

    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    plan = make_plan(lab(seeds=[0]))
    made = [create_lab(lab(), plan, owner="ana", limits=Limits(), door="page") for _ in range(3)]
    mine = create_lab(lab(), plan, door="command")
    with pytest.raises(RunError, match="one at a time"):
        strangers.require_no_other("ana")
    strangers.require_no_other("bea")
    for one in made:
        one.update(state="finished")
    strangers.forget_oldest(Limits(labs=2))
    assert [one.id for one in list_labs()] == [mine.id, made[2].id]
    assert made[2].limits() == Limits() and mine.limits() is None


def test_a_lab_begins_only_once_it_is_known_to_fit(tmp_path, monkeypatch):
    from finetuning.lab.folder import list_labs

    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    with pytest.raises(RecipeError, match="fit together"):
        launch.planned(lab(options=[{"name": "a"}, UNFIT["the task"]]))
    assert list_labs() == []


def test_a_number_of_ten_thousand_digits_is_refused_in_a_sentence():
    with pytest.raises(RecipeError, match=r"minutes: .*got a number of very many digits"):
        parse_lab({"name": "a", "budget": {"minutes": 10**10_000}})


def test_a_sentence_about_a_whole_option_does_not_repeat_it():
    with pytest.raises(RecipeError) as caught:
        lab(**WRONG["nothing is trained, so there is nothing to tune"])
    assert "(got" not in str(caught.value)

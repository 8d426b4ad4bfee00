"""Chains: ordinary runs, a later one naming an earlier one's; going on where it stopped; what is wrong is said."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from finetuning import cli
from finetuning.chains import begin_anew, chain_names, is_chain, load_chain, take_up
from finetuning.recipe import recipe_names
from finetuning.runs import launch
from finetuning.runs.folder import list_runs
from finetuning.training import run_training
from plumbing.errors import ModelError, RecipeError, RunError

TWO = """\
name: small
title: A small chain
steps:
  - name: start
    title: first
    recipe: dialogue-smollm2-qlora
    set: {model.precision: float32}
  - name: policy
    title: second
    recipe: dialogue-smollm2-grpo
    set:
      model.adapter: step:start
      way.rewards: [{name: run, run: step:start}, rouge]
"""


@pytest.fixture
def written(tmp_path):
    """`written(text)` → the path of that chain."""

    def write(text=TWO):
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A runs folder in which no worker is started."""
    monkeypatch.setattr(launch, "_start", lambda queued: None)
    path = tmp_path / "runs"
    path.mkdir()
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(path))
    return path


@pytest.mark.parametrize("name", chain_names())
def test_every_chain_that_ships_is_whole(name):
    plan = load_chain(name)
    assert plan.chain.name == name and is_chain(name) and name not in recipe_names()


def test_a_chain_is_told_from_recipes_and_files(written, tmp_path):
    assert is_chain(written()) and not is_chain("dialogue-smollm2-qlora") and not is_chain("nothing.yaml")
    (tmp_path / "recipe.yaml").write_text("version: 2\nname: mine\n")
    assert not is_chain(str(tmp_path / "recipe.yaml"))


def test_a_later_step_has_the_ids_of_earlier_runs(written):
    plan = load_chain(written(), ["policy.training.max_steps=7"])
    first, second = plan.chain.steps
    assert plan.recipe(first, {}).name == "small-start"
    recipe = plan.recipe(second, {"start": "small-start-20260101-000000-0000"})
    assert recipe.model.adapter == "small-start-20260101-000000-0000" == recipe.way.runs[0]
    assert recipe.title == "A small chain · second" and recipe.training.max_steps == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("step:start", "step:nobody"), "not valid: the step policy names the run of nobody, and before it"),
        (("name: policy", "name: start"), "two steps are called start"),
        (("{model.precision: float32}", "{model.adapter: step:policy}"), "the run of policy, and it is the first"),
        (("recipe: dialogue-smollm2-grpo", "recipe: none"), "Of the step policy: there is no such recipe"),
        (("model.precision", "model.precisely"), "Of the step start: the recipe is not valid"),
        (("steps:", "stages:"), "The chain is not valid"),
    ],
)
def test_what_is_wrong_with_a_chain_is_said_before_anything_runs(written, change, said):
    with pytest.raises(RecipeError) as caught:
        load_chain(written(TWO.replace(*change)))
    assert said in str(caught.value)


@pytest.mark.parametrize("setting", ["training.max_steps=7", "reward.training.max_steps=7", "policy=7"])
def test_a_setting_belongs_to_a_step(written, setting):
    with pytest.raises(RecipeError, match="a setting belongs to one of its steps"):
        load_chain(written(), [setting])


def test_there_is_no_such_chain():
    with pytest.raises(RecipeError, match="instructgpt-small"):
        load_chain("nothing")


def test_a_step_goes_on_with_its_run_as_long_as_its_recipe_is_the_same(written, folder):
    path = written()
    plan = load_chain(path)
    step = plan.chain.steps[0]
    run, how = take_up(plan, step, {})
    assert how == "begins" and run.status().state == "queued"
    assert take_up(plan, step, {}) == (run, "goes on")
    run.update(state="cancelled")
    assert take_up(plan, step, {}) == (run, "is resumed") and run.status().state == "queued"
    changed, how = take_up(load_chain(path, ["start.training.epochs=1"]), step, {})
    assert how == "begins" and changed != run
    launch.trash(changed)
    again, how = take_up(load_chain(path, ["start.training.epochs=1"]), step, {})
    assert how == "begins" and again.status().state == "queued"
    begin_anew(plan.chain)
    assert take_up(plan, step, {})[1] == "begins"


def test_a_step_whose_process_is_gone_is_resumed(written, folder):
    """After a restart of the machine, say: nobody has looked at the run since."""
    plan = load_chain(written())
    step = plan.chain.steps[0]
    run, _ = take_up(plan, step, {})
    run.update(state="running", pid=2**22 + 1, pid_started=1.0)
    assert take_up(plan, step, {}) == (run, "is resumed")


def test_two_who_call_a_chain_at_once_share_its_run(written, folder, monkeypatch):
    plan, submit = load_chain(written()), launch.submit
    monkeypatch.setattr(launch, "submit", lambda *given: (time.sleep(0.3), submit(*given))[1])
    with ThreadPoolExecutor(2) as both:
        calls = [both.submit(take_up, plan, plan.chain.steps[0], {}) for _ in range(2)]
        (one, how), (other, how_other) = (call.result() for call in calls)
    assert one == other and {how, how_other} == {"begins", "goes on"} and len(list_runs(folder)) == 1


def test_a_note_that_is_damaged_begins_anew(written, folder):
    plan = load_chain(written())
    take_up(plan, plan.chain.steps[0], {})
    (folder / ".chains" / "small.json").write_text("{")
    assert take_up(plan, plan.chain.steps[0], {})[1] == "begins"


def test_a_chain_is_trained_by_one_command_and_goes_on_where_it_stopped(
    tiny_llama, dialogues_file, folder, written, monkeypatch, capsys
):
    """The worker is this process, which is asked to stop in the second step."""
    asked = [False, True, False]

    def start(run):
        stop = asked.pop(0)
        run_training(run, lambda: stop and run.status().phase == "Fine-tuning")
        return True

    monkeypatch.setattr(launch, "_start", start)
    small = {
        "model.base": str(tiny_llama), "model.precision": "float32", "training.max_steps": 2,
        "data.source": f"file:{dialogues_file}", "training.eval_rows": 0, "training.batch_size": 2,
        "evaluation.skip": True,
    }  # fmt: skip
    names = {"start": {}, "further": {"model.adapter": "step:start"}}
    steps = [
        {"name": name, "title": name, "recipe": "dialogue-smollm2-qlora", "set": small | more}
        for name, more in names.items()
    ]
    path = written(yaml.safe_dump({"name": "tiny", "title": "Tiny", "steps": steps}))
    with pytest.raises(RunError, match="The run was cancelled"):
        cli.train(path)
    assert "Step 2 of 2, further" in capsys.readouterr().out
    cli.train(path)
    said = " ".join(capsys.readouterr().out.split())
    assert "has finished" in said and "is resumed" in said and "The chain has finished" in said
    assert len(list_runs(folder)) == 2 and not asked


def test_three_steps_lead_from_one_run_to_the_next(tiny_llama, dialogues_file, folder, tmp_path, written):
    """Supervised start, reward model, policy optimisation, as InstructGPT did, on a tiny model."""
    pairs = tmp_path / "pairs.jsonl"
    rows = [json.loads(line) for line in dialogues_file.read_text().splitlines()]
    pairs.write_text(
        "".join(
            json.dumps({"dialogue": row["dialogue"], "chosen": row["summary"], "rejected": f"Nobody {n}."}) + "\n"
            for n, row in enumerate(rows)
        )
    )
    small = {
        "model.base": str(tiny_llama), "model.precision": "float32", "training.max_steps": 2,
        "training.batch_size": 2, "training.eval_rows": 0, "data.test_rows": 2,
        "evaluation.forgetting": False, "evaluation.few_shot": 0, "evaluation.max_new_tokens": 4,
        "evaluation.skip": True,
        "data.source": f"file:{dialogues_file}",
    }  # fmt: skip
    optimised = {
        "model.adapter": "step:supervised", "way.num_generations": 2, "way.max_new_tokens": 4,
        "way.rewards": [{"name": "run", "run": "step:reward"}],
    }  # fmt: skip
    steps = [
        {"name": "supervised", "title": "one", "recipe": "dialogue-smollm2-qlora", "set": small},
        {"name": "reward", "title": "two", "recipe": "dialogue-smollm2-qlora",
         "set": small | {"way": "reward", "data.source": f"file:{pairs}"}},
        {"name": "policy", "title": "three", "recipe": "dialogue-smollm2-grpo", "set": small | optimised},
    ]  # fmt: skip
    plan = load_chain(written(yaml.safe_dump({"name": "tiny", "title": "Tiny", "steps": steps})))
    runs = {}
    for step in plan.chain.steps:
        ids = {name: each.id for name, each in runs.items()}
        run, how = take_up(plan, step, ids)
        assert how == "begins"
        run_training(run, lambda run=run: run.status().phase == "Fine-tuning")
        assert run.status().state == "cancelled" and run.metrics()[0][-1]["step"] == 1
        assert take_up(plan, step, ids) == (run, "is resumed")
        run_training(run, run.cancel_requested)
        assert run.status().state == "finished" and run.metrics()[0][-1]["step"] == 2
        assert take_up(plan, step, ids) == (run, "has finished")
        runs[step.name] = run
    assert "It went on with the adapter tiny-supervised" in runs["policy"].status().facts["continues"]

    recipe = runs["policy"].recipe()
    with pytest.raises(RunError, match="There is no such run"):
        recipe.way.require(recipe.task_definition, tmp_path)
    wrong = recipe.way.model_copy(update={"rewards": [recipe.way.rewards[0].model_copy(
        update={"run": runs["supervised"].id})]})  # fmt: skip
    with pytest.raises(ModelError, match="not a reward model"):
        wrong.require(recipe.task_definition, folder)

    launch.trash(runs["reward"])
    launch.judge(runs["policy"])  # which takes nothing of what rewarded it
    run_training(runs["policy"], runs["policy"].cancel_requested)
    report = json.loads((runs["policy"].evaluation / "report.json").read_text())
    assert report["floors"][-1]["name"] == "the adapter it went on with"

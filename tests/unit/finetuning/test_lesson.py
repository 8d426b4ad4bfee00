"""The commands of docs/lesson.md, a part of the lesson at a time, over tiny models and in this process.

A run's worker is a process of its own, which imports torch for seconds; the runs here are carried out where one
would have been started. `tests/integration` starts real ones.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from finetuning.cli import app
from finetuning.demonstrations.demonstration import demonstration_names, load_demonstration
from finetuning.recipe import RECIPES, load_recipe, recipe_names
from finetuning.runs import launch
from finetuning.runs.folder import list_runs
from finetuning.training import run_training

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "lesson.md").read_text(encoding="utf-8")
CHAINS, LABS = RECIPES / "chains", RECIPES.parent / "labs"
PARTS = {
    part.partition("\n")[0]: [
        shlex.split(line)
        for block in re.findall(r"```bash\n(.*?)```", part, re.DOTALL)
        for line in block.splitlines()
    ]
    for part in DOCUMENT.split("\n## ")[1:]
}
"""Heading → its commands."""


def named(command):
    """The recipe, chain or lab that a command is about; None where it is about something else."""
    return command[4] if command[3] in ("train", "estimate", "sweep") and len(command) > 4 else None


def is_there(name):
    return name in recipe_names() or any((folder / f"{name}.yaml").is_file() for folder in (CHAINS, LABS))


def test_every_command_is_one_of_ours_and_names_what_ships():
    commands = [command for part in PARTS.values() for command in part]
    assert len(commands) > 15 and all(command[:3] == ["python", "-m", "finetuning"] for command in commands)
    assert [name for command in commands if (name := named(command)) and not is_there(name)] == []


def test_what_goes_wrong_is_what_the_page_shows():
    for name in demonstration_names():
        assert load_demonstration(name).command in DOCUMENT


@pytest.fixture(scope="module")
def files(tmp_path_factory, reviews_file, dialogues_file):
    """Kind of rows → a small file of them."""
    folder = tmp_path_factory.mktemp("lesson")
    dialogues = [json.loads(line) for line in dialogues_file.read_text().splitlines()]
    pairs = [
        {"dialogue": row["dialogue"], "chosen": row["summary"], "rejected": f"{row['summary'][:12]} …"}
        for row in dialogues
    ]
    thumbs = [
        {"dialogue": row["dialogue"], "summary": row["summary"], "liked": number % 2 == 0}
        for number, row in enumerate(dialogues)
    ]
    letters = [{"text": f"Dear {name}, the {thing} is still {word}."} for name in ("Ana", "Leo", "Mia")
               for thing in ("shop", "soup", "room") for word in ("warm", "open", "here", "cold")]  # fmt: skip
    made = {"reviews": reviews_file, "dialogues": dialogues_file}
    for name, rows in {"pairs": pairs, "thumbs": thumbs, "letters": letters}.items():
        made[name] = folder / f"{name}.jsonl"
        made[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


@pytest.fixture
def tiny(files, tiny_llama, tiny_bert):
    """`tiny(recipe)` → settings that make it a run of two steps over a tiny model."""

    def settings(name):
        recipe = load_recipe(name)
        besides = recipe.way.besides
        kind = "thumbs" if "liked" in besides else "pairs" if besides else {
            "classification": "reviews", "generation": "dialogues", "text": "letters",
        }[recipe.task_definition.kind]  # fmt: skip
        base = tiny_bert if recipe.kind == "classifier" else tiny_llama
        found = [f"model.base={base}", f"data.source=file:{files[kind]}", "data.train_rows=16", "data.test_rows=8"]
        found += [
            "training.max_steps=2",
            "training.batch_size=4",
            "training.eval_rows=4",
            "training.max_tokens=512",
        ]
        found += ["evaluation.max_new_tokens=4", "evaluation.few_shot=0", "evaluation.forgetting=false"]
        if "num_generations" in type(recipe.way).model_fields:
            found += ["way.num_generations=2", "way.max_new_tokens=4"]
        return found

    return settings


@pytest.fixture
def at_the_shell(tmp_path, monkeypatch):
    """`at_the_shell(arguments)` → what the command line prints; it ends well."""
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(ROOT)

    def work_here(folder=None):
        for run in list_runs(folder or tmp_path / "runs"):
            if run.state() == "queued":
                run_training(run, run.cancel_requested)

    monkeypatch.setattr(launch, "reconcile", work_here)

    def call(arguments):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return call


def with_tiny(command, tiny):
    """The arguments of a command with settings that make it small, where it has any."""
    name = named(command)
    if name is None:
        return command[3:]
    if (chain := CHAINS / f"{name}.yaml").is_file():
        steps = yaml.safe_load(chain.read_text())["steps"]
        settings = [f"{step['name']}.{setting}" for step in steps for setting in tiny(step["recipe"])]
    elif (lab := LABS / f"{name}.yaml").is_file():  # it is only told how long it takes, at a tiny base's speed
        settings = tiny(yaml.safe_load(lab.read_text())["recipe"])[:1]
    else:
        settings = tiny(name)
    return [*command[3:], *(word for setting in settings for word in ("--set", setting))]


@pytest.mark.parametrize("part", [title for title, commands in PARTS.items() if commands])
def test_the_commands_of_each_part_can_be_run_one_after_the_other(part, tiny, at_the_shell):
    for command in PARTS[part]:
        if named(command) is None or is_there(named(command)):
            at_the_shell(with_tiny(command, tiny))

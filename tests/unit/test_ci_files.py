"""What is to be copied into somebody's continuous integration calls what exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from eval.cli import app
from finetuning.cli import app as finetuning

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "docs" / "ci").glob("*.yml"))
APPS = {"eval": typer.main.get_command(app), "finetuning": typer.main.get_command(finetuning)}
_CALL = re.compile(r"python -m (eval|finetuning) ((?:[^\n#`]|\\\n)+)")


def calls_in(text):
    """Each `python -m eval …` of a text: which of the two, and its words."""
    for found in _CALL.finditer(text.replace("\\\n", " ")):
        yield found[1], shlex.split(found[2].strip().rstrip(".,;:"))


def unknown_in(text):
    """Commands and options that are written in a text and that there are none of."""
    for which, words in calls_in(text):
        command = APPS[which].commands.get(words[0]) if re.fullmatch(r"[a-z][a-z-]+", words[0]) else None
        if command is None:
            if re.fullmatch(r"[a-z][a-z-]+", words[0]):
                yield f"{which} {words[0]}"
            continue
        known = {option for each in command.params for option in each.opts} | {"--help"}
        yield from (
            f"{words[0]} {word}" for word in words[1:] if word.startswith("-") and word.split("=")[0] not in known
        )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_whole_and_calls_only_what_there_is(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["name"] and workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["runs-on"] and job["timeout-minutes"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert "${{ github.event" not in step.get("run", "")  # what a stranger writes is no command
    (script,) = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if step.get("name") == "Compare"
    ]
    (call,) = calls_in(script)
    assert call[0] == "eval" and call[1][0] == "compare" and not list(unknown_in(script))
    assert {"--base", "--tuned", "--data", "--junit"} <= set(call[1])
    named = set(re.findall(r"\$\{?([A-Z_]+)", script))
    assert named <= set(workflow["env"])
    assert re.findall(r"-m eval compare[^|]*--non-inferior", script)  # a gate is no lack of evidence


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_gives_strangers_nothing_and_is_changed_in_one_place(path):
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow[True] == "pull_request"  # YAML reads `on` so; that of a fork has no secret and may only read
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    for step in steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", "")  # what is put into a script is run
    assert "OWNER" not in text.replace(workflow["env"]["BEFORE_AFTER"], "")
    written = next(step["run"] for step in steps if step.get("name") == "Compare")
    (upload,) = [step for step in steps if step.get("uses", "").startswith("actions/upload-artifact@")]
    for file in upload["with"]["path"].split():
        assert re.search(rf"--\w+ {re.escape(Path(file).name)}\b", written), file


def test_a_workflow_file_is_there():
    assert WORKFLOWS


def test_the_options_of_the_gate_are_those_of_the_command(path=ROOT / "docs" / "ci" / "README.md"):
    from eval.conftest import OF_SIDES

    known = {option for each in APPS["eval"].commands["compare"].params for option in each.opts}
    assert set(OF_SIDES) <= known
    said = path.read_text(encoding="utf-8").partition("pytest eval/")[2].partition("\n\n")[0]
    assert {f"--{name}" for name in re.findall(r"--([a-z-]+)", said)} == {*OF_SIDES, "--base", "--tuned"}


def test_what_does_not_exist_would_be_found():
    assert list(unknown_in("python -m eval compare --bases x")) == ["compare --bases"]
    assert list(unknown_in("python -m eval compares --base x")) == ["eval compares"]

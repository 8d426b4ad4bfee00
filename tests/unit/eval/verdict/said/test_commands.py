"""`python -m eval`: its options, its exit codes, and what is refused before any model is opened."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.asked.request import Request
from eval.asked.tasks import kind_named, task_named, task_of_sides
from eval.cli import app
from eval.sides.side import Asked
from eval.verdict.folder import save
from plumbing.errors import RecipeError, UserError

ROOT = Path(__file__).resolve().parents[5]


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def request(**more):
    return Request(**{"base": "b", "tuned": ["t", "u"], "data": "rows.csv"} | more)


# ---- the command line --------------------------------------------------------------------------------------


def test_help_names_every_command_and_loads_nothing_heavy():
    code = """
import sys
from eval.cli import main
sys.argv = ["eval", "--help"]
try:
    main()
except SystemExit:
    print("LOADED", *sorted({"torch", "transformers", "datasets", "scipy"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(command in found.stdout for command in ("compare", "plan", "show"))
    assert found.stdout.splitlines()[-1].strip() == "LOADED"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "--base", "x", "--tuned", "y", "--data", "no-such.csv"], "no-such.csv"),
        (
            ["compare", "--base", "x", "--tuned", "y", "--data", "z.csv", "--require", "good"],
            "There is no such demand",
        ),
        (
            ["compare", "--base", "x", "--tuned", "y", "--data", "z.csv", "--json", "no/such/v.json"],
            "does not exist",
        ),
        (["compare", "--base", "x", "--tuned", "y", "--data", "z.csv", "--non-inferior", "-1"], "a number above 0"),
        (["plan"], "Say either what is to be found"),
        (["show", "no-such-folder"], "There is no verdict"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_code_2(words, said, tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "eval", *words], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 2 and said in found.stderr
    assert found.stderr.startswith("Error: ") and found.stderr.count("\n") == 1


def test_a_plan_says_how_many_rows_and_what_it_assumes():
    found = run("plan", "--difference", "0.1", "--discordance", "0.2")
    assert found.exit_code == 0 and "find a difference of 0.1" in found.stdout and "20.0%" in found.stdout


def test_a_verdict_is_shown_again_and_written_in_another_form_and_exits_as_it_did(example, tmp_path):
    save(*example("labels"), tmp_path / "better")
    save(*example("worse"), tmp_path / "worse")
    better = run("show", tmp_path / "better", "--json", tmp_path / "again.json", "--junit", tmp_path / "junit.xml")
    assert better.exit_code == 0 and "Better: on 60 texts" in better.stdout
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(
        (tmp_path / "better" / "verdict.json").read_text()
    )
    assert 'failures="0"' in (tmp_path / "junit.xml").read_text()
    worse = run("show", tmp_path / "worse", "--html", tmp_path / "worse.html")
    assert worse.exit_code == 1 and "FAILED: Worse: accuracy" in worse.stdout
    assert (tmp_path / "worse.html").read_text().startswith("<!doctype html>")
    assert run("show", tmp_path / "better", "--require", "better").exit_code == 0


# ---- what a person writes ----------------------------------------------------------------------------------


def test_sides_have_keys_and_what_is_said_of_one_reaches_it_alone():
    asked = request(
        options=["precision=float32", "tuned-2.base=other"], trained_on=["all.csv", "tuned-2=its=own.csv"],
        prompt=Path("p.jinja"), price="0.1/0.2", base="http://localhost:1/v1#m",
    ).asked()  # fmt: skip
    assert [one.text for one in asked] == ["http://localhost:1/v1#m", "t", "u"]
    assert [one.trained_on for one in asked] == [None, "all.csv", "its=own.csv"]
    assert asked[0].options == {"precision": "float32", "prompt": "p.jinja", "price": "0.1/0.2"}
    assert asked[2].options == {"precision": "float32", "base": "other", "prompt": "p.jinja"}


@pytest.mark.parametrize("wrong", ["tuned-3.base=x", "precision", "other.base=x"])
def test_an_option_of_no_side_is_refused(wrong):
    with pytest.raises(RecipeError, match="base, tuned, tuned-2"):
        request(options=[wrong]).check()


def test_a_task_is_one_that_ships_a_kind_or_a_file(tmp_path):
    assert task_named("sentiment").labels == ("negative", "positive")
    assert kind_named("chat") == "chat" and kind_named("sentiment") is None
    file = tmp_path / "mine.yaml"
    file.write_text("task:\n  kind: classification\n  labels: [a, b]\n  instruction: Which?\n")
    assert task_named(str(file)).labels == ("a", "b")
    file.write_text("kind: nonsense\n")
    with pytest.raises(RecipeError, match="kind"):
        task_named(str(file))
    with pytest.raises(RecipeError, match="There is no such task"):
        task_named("sentimental")


def test_the_task_of_what_was_tuned_here_is_known_and_two_are_a_question(tiny_adapter, tiny_dialogue_adapter):
    one, other = Asked(str(tiny_adapter)), Asked(str(tiny_dialogue_adapter))
    assert task_of_sides([one, Asked("somebody/model")]).name == "sentiment"
    assert task_of_sides([Asked("somebody/model")]) is None
    with pytest.raises(UserError, match="--task NAME"):
        task_of_sides([one, other])

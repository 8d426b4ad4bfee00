"""`python -m eval compare` from its options to its files, with models and adapters that really answer."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from eval.cli import app
from eval.verdict.folder import load

WORDS = ("slow", "kind", "cold", "bright", "late", "warm")


@pytest.fixture
def rows(tmp_path):
    """A file of reviews, two columns, nothing said about it."""
    file = tmp_path / "rows.csv"
    lines = [f"The {WORDS[n % 6]} film number {n},{('negative', 'positive')[n % 2]}" for n in range(24)]
    file.write_text("\n".join(["text,label", *lines]) + "\n")
    return file


@pytest.fixture
def plain_adapter(tiny_adapter, tmp_path):
    """What PEFT alone writes: none of our files beside it."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tiny_adapter / name, folder / name)
    return folder


def compare(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)], catch_exceptions=False)


def test_an_adapter_of_plain_peft_is_compared_with_its_base(tiny_llama, plain_adapter, rows, tmp_path):
    out = tmp_path / "out"
    found = compare(
        "--base", tiny_llama, "--tuned", plain_adapter, "--data", rows, "--out", out, "--json", tmp_path / "v.json",
        "--junit", tmp_path / "j.xml", "--instruction", "Good or bad?",
    )  # fmt: skip
    verdict, answers = load(out)
    assert found.exit_code == (1 if verdict.comparisons[0].verdict.outcome == "worse" else 0)
    assert found.stdout.count("is asked by its own chat template:\n") == 2 and "| Good or bad?" in found.stdout
    assert found.stdout.index("Good or bad?") < found.stdout.index("What came out")
    assert [side.info.kind for side in verdict.sides] == ["model", "adapter"]
    assert verdict.n == len(answers) == 24 and verdict.sides[1].known.known_by is None
    assert json.loads((tmp_path / "v.json").read_text()) == json.loads((out / "verdict.json").read_text())
    # The same adapter judged as a report would be has the same scores: they are asked alike.
    assert all(answer.probabilities for row in answers for answer in row.answers.values())


def test_a_model_that_is_given_twice_is_said_to_be_one(tiny_llama, rows):
    found = compare("--base", tiny_llama, "--tuned", tiny_llama, "--data", rows, "--rows", "12")
    assert found.exit_code == 0 and "base and tuned are one model" in found.stdout
    required = compare(
        "--base", tiny_llama, "--tuned", tiny_llama, "--data", rows, "--rows", "12", "--require", "better"
    )
    assert required.exit_code == 1 and "FAILED" in required.stdout

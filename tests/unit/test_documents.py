"""What the documents say of the program is so: messages, forms of rows, the licence, what the workflow runs."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from finetuning.proposal import propose

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["plumbing", "data", "models", "eval", "finetuning", "ui"]
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
OWN_DATA = (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")
OPEN = "…"


@cache
def sentences() -> list[str]:
    """Every text of the program, with what is filled in as a gap."""
    found = []
    for path in [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (str(each.value) if isinstance(each, ast.Constant) else OPEN for each in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize("message", re.findall(r"^### `(.+)`$", TROUBLES, re.MULTILINE))
def test_a_message_that_is_explained_is_one_that_the_program_gives(message: str) -> None:
    parts = [re.escape(part) for part in message.split(OPEN)]
    assert any(re.search(".*".join(parts), sentence) for sentence in sentences())


FORMS = [line for line in OWN_DATA.splitlines() if re.match(r"\| [a-zA-Z ]+ \| `\{", line)]


@pytest.mark.parametrize("line", FORMS, ids=lambda line: line.split("|")[1].strip())
def test_a_form_of_rows_that_is_shown_is_told_by_its_keys(line: str, tmp_path: Path) -> None:
    shown = json.loads(re.findall(r"`(\{.+?\})`", line)[0])
    file = tmp_path / "rows.jsonl"
    # The same row many times, each with a number in its text; labels take turns.
    rows = [json.loads(numbered(json.dumps(shown), number)) for number in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    proposal = propose(str(file))
    assert proposal.rows == 40 and proposal.error is None, proposal.error
    assert proposal.task.kind == KINDS[line.split("|")[1].strip()]


KINDS = {
    "two columns": "classification", "messages": "chat", "ShareGPT": "chat", "instructions": "generation",
    "prompt and completion": "generation", "better and worse": "generation", "thumbs": "generation",
    "question on a passage": "generation", "raw text": "text",
}  # fmt: skip


def numbered(row: str, number: int) -> str:
    """Another row of the same form."""
    changes = {
        "stuck.": f"stuck, says letter {number}.",
        '"repairs"': f'"team {number % 2}"',
        "true": ("true", "false")[number % 2],
        "Are you open?": f"Are you open on day {number}?",
        "We are open": f"On day {number} we are open",
        "Until when?": f"Until when on day {number}?",
        "We close": f"On day {number} we close",
    }
    for shown, other in changes.items():
        row = row.replace(shown, other)
    return row


def test_all_forms_that_are_shown_are_tried() -> None:
    assert {line.split("|")[1].strip() for line in FORMS} == set(KINDS)


def test_the_licence_is_the_one_that_is_named() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence and "Version 2.0, January 2004" in licence
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_workflow_runs_the_suite_on_every_python_and_installs_what_a_space_does() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    tests, space = workflow["jobs"]["tests"], workflow["jobs"]["space"]
    assert tests["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert {"run": "make test"} in tests["steps"]
    install = next(step["run"] for step in space["steps"] if step.get("name") == "Install as a Space does")
    assert '-r spaces/builder.txt "gradio==$version"' in install and "-r requirements.txt" in install
    assert "requirements.lock" not in install  # a Space has none
    front = (ROOT / "spaces" / "cpu" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^sdk_version: \d+\.\d+\.\d+$", front, re.MULTILINE)
    python = re.search(r'^python_version: "(.+)"$', front, re.MULTILINE)
    assert python and space["steps"][1]["with"]["python-version"] == python[1]


@pytest.mark.parametrize("path", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(
    str(each.relative_to(ROOT)) for each in (ROOT / "docs").rglob("*.md")
)])  # fmt: skip
def test_what_a_document_links_to_is_there(path: str) -> None:
    document = ROOT / path
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target

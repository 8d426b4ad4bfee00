"""The command line as a person and CI meet it: what 1 means, what is not lost, and what is refused early."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from eval import cli
from eval.asked.request import Request
from eval.commands.output import Output, ShutError
from eval.metrics import require_primary
from eval.sides.endpoint import Price
from eval.verdict.folder import load, save
from plumbing.errors import RunError, UserError
from plumbing.writing import write_atomically
from tests.unit.eval.faulty_server import completion, serving

ROOT = Path(__file__).resolve().parents[5]
COMPARE = typer.main.get_command(cli.app).commands["compare"]
HELP = {option: each.help for each in COMPARE.params for option in each.opts}
SUMS = [(f"What is {number} and 3?", f"It is {number + 3}.") for number in range(12)]


def run(*words_):
    return CliRunner().invoke(cli.app, list(map(str, words_)))


def process(*words_, cwd):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BEFORE_AFTER_CACHE": str(cwd), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "eval", *map(str, words_)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Whoever started the tests in the background has had them ignore what a person's Ctrl+C sends.
    return subprocess.Popen(
        command, cwd=cwd, env=env, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes
    )


def table(path, rows, head=("question", "answer")):
    path.write_text("\n".join(",".join(f'"{cell}"' for cell in row) for row in [head, *rows]) + "\n")
    return path


@pytest.fixture
def sums(tmp_path):
    return table(tmp_path / "sums.csv", SUMS)


# ---- what 1 means ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code"), [(ShutError(1), 1), (SystemExit(1), 2), (SystemExit(130), 130), (SystemExit(2), 2)]
)
def test_1_is_the_end_of_a_verdict_alone(end, code, monkeypatch):
    def ends(app):
        raise end

    monkeypatch.setattr(cli, "run", ends)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == code


def test_a_reader_that_goes_is_no_worse_model_and_what_was_to_be_written_is(example, tmp_path):
    save(*example("worse"), tmp_path / "v")
    shown = process("show", "v", "--json", "again.json", cwd=tmp_path)
    shown.stdout.close()  # as of `… | head`
    assert shown.wait() == 2, shown.stderr.read()
    shown.stderr.close()
    assert json.loads((tmp_path / "again.json").read_text())["task"] == "mood"


def test_of_several_sides_one_that_is_worse_is_enough(example, tmp_path):
    save(*example("several"), tmp_path / "several")
    found = run("show", tmp_path / "several")
    assert found.exit_code == 1 and found.stdout.count("FAILED") == 1 and "FAILED: bad: Worse" in found.stdout


@pytest.mark.parametrize(
    ("which", "said"),
    [("alike", "every row scores the same before and after"), ("all alike", "Every row scores the same.")],
)
def test_sides_that_score_the_same_on_every_row_have_a_verdict(which, said, example, tmp_path):
    save(*example(which), tmp_path / "v")  # all forms of it
    found = run("show", tmp_path / "v")
    assert found.exit_code == 0 and said in found.stdout, found.exception


# ---- what is not lost --------------------------------------------------------------------------------------


def test_a_verdict_that_cannot_be_written_is_said_all_the_same(example, tmp_path, capsys):
    gone = tmp_path / "gone"
    output = Output(json=tmp_path / "v.json", html=gone / "v.html")
    with pytest.raises(RunError, match="cannot be written"):
        output.give(*example("labels"))
    said = capsys.readouterr().out
    assert "Better: on 60 texts" in said and said.rstrip().endswith("v.json") and (tmp_path / "v.json").exists()


def test_what_is_no_file_is_not_written_over(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="no ordinary"):
        Output(json=tmp_path / "pipe").check()
    with pytest.raises(OSError, match="no ordinary file"):
        write_atomically(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()


def test_a_judge_that_fails_takes_no_verdict_with_it(tiny_llama, sums, tmp_path):
    with serving() as judge:
        judge.answer = lambda number, body: (400, {"error": {"message": "this model is gone"}})
        found = run(
            "compare", "--base", tiny_llama, "--tuned", tiny_llama, "--data", sums, "--max-new-tokens", "4",
            "--judge", judge.url, "--option", "judge.cache=off", "--prompt", prompt(tmp_path), "--option",
            f"base.prompt={prompt(tmp_path, 'Asked: ')}", "--out", tmp_path / "out",
        )  # fmt: skip
    assert isinstance(found.exception, UserError) and "this model is gone" in str(found.exception)
    verdict, rows = load(tmp_path / "out")
    assert len(rows) == 12 and verdict.judged is None and "What came out" in found.stdout
    assert any("Not all that was asked for" in note and "this model is gone" in note for note in verdict.notes)


def prompt(folder, before=""):
    """A file of a prompt; two of them make two answers of one model."""
    path = folder / f"prompt{len(before)}.jinja"
    path.write_text(before + "{{ input }} The answer:")
    return path


def test_interrupted_it_ends_with_130_and_goes_on_with_what_was_answered(sums, tmp_path):
    with serving() as server:
        server.models = [{"id": "one"}, {"id": "two"}]
        server.answer = lambda number, body: completion(f"{body['model']}: {number}", model=body["model"])
        server.seconds = 0.3
        asked = ("compare", "--base", f"{server.url}#one", "--tuned", f"{server.url}#two", "--data", sums,
                 "--option", "in_flight=1", "--out", "out")  # fmt: skip
        first = process(*asked, cwd=tmp_path)
        ends = time.monotonic() + 600
        while len(server.asked) < 4 and first.poll() is None and time.monotonic() < ends:
            time.sleep(0.05)
        first.send_signal(signal.SIGINT)
        out, error = first.communicate()
        assert first.returncode == 130, (out, error)
        assert b"the same command goes on from there" in b" ".join(out.split()) and b"Traceback" not in error
        kept, server.seconds = len(server.asked) - 1, 0.0
        second = process(*asked, cwd=tmp_path)
        out, error = second.communicate()
        assert second.returncode in (0, 1), (out, error)
    verdict, _ = load(tmp_path / "out")
    assert verdict.sides[0].spent.from_cache >= kept >= 3 and len(server.asked) == 24 + 1


def test_a_plan_takes_the_folder_that_a_comparison_wrote(example, tmp_path):
    save(*example("labels"), tmp_path / "v")
    by_folder, by_file = (run("plan", "--difference", "0.1", "--seen", path) for path in
                          (tmp_path / "v", tmp_path / "v" / "verdict.json"))  # fmt: skip
    assert by_folder.exit_code == 0 and by_folder.stdout == by_file.stdout != ""


# ---- what is refused before anything is asked --------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--judge", "http://127.0.0.1:9/v1#m"], "cannot be connected to"),
        (["--judge", "{classifier}"], "says in words which answer is better"),
        (["--metric", "accuracy"], "cannot be about this metric: accuracy does not suit"),
        (["--metric", "json:form.json"], "write json-schema:FILE"),
        (["--more-metric", "exactly"], "cannot be measured: there is no metric exactly"),
        (["--slice", "topics"], "There are: question, answer"),
    ],
)
def test_what_could_only_fail_later_is_refused_before_a_model_is_looked_for(more, said, sums, tmp_path):
    folder = tmp_path / "classifier"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    more = [each.format(classifier=folder) for each in more]
    found = run("compare", "--base", "no/such", "--tuned", "no/such", "--data", sums, *more)
    assert isinstance(found.exception, UserError) and said in str(found.exception)


# ---- what its help says ------------------------------------------------------------------------------------


def test_the_metrics_and_prices_that_help_names_are_some():
    of_labels, of_answers = HELP["--metric"].partition("Of labels ")[2].rstrip(".").split("; of answers ")
    kinds = {of_labels: "classification"} | dict.fromkeys(of_answers.split(", "), "generation")
    assert {"accuracy", "rougeL", "chrf", "number:0.01", "regex:PATTERN", "json-schema:FILE"} <= kinds.keys()
    for name, kind in kinds.items():
        require_primary(name, kind)
    assert Price.parse(re.search(r"\d+\.\d+/\d+\.\d+", HELP["--price"])[0]).written == 0.6


HELPS = """
import sys
from typer.testing import CliRunner
from eval.cli import app
for command in ("compare", "plan", "show"):
    assert "Usage" in CliRunner().invoke(app, [command, "--help"]).stdout
print(*{"torch", "transformers", "datasets", "peft", "pandas", "evaluate"} & {*sys.modules})
"""


def test_help_of_a_command_waits_for_no_large_library():
    said = subprocess.run([sys.executable, "-c", HELPS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == []


# ---- what is said of prompts -------------------------------------------------------------------------------


def test_an_instruction_that_a_side_is_not_asked_by_is_said(tiny_llama, tiny_adapter, tmp_path):
    rows = [(f"The film number {number} was slow.", ("negative", "positive")[number % 2]) for number in range(12)]
    data = table(tmp_path / "rows.csv", rows, head=("text", "label"))
    found = run(
        "compare", "--base", tiny_llama, "--tuned", tiny_adapter, "--data", data, "--instruction", "Good or bad?"
    )
    assert found.exit_code in (0, 1), found.exception
    assert "The instruction that was given has no part in what tuned is asked" in found.stdout
    assert "Good or bad?" not in found.stdout


def test_rows_without_an_instruction_are_said_to_be(tiny_llama, sums):
    asked = ("compare", "--base", tiny_llama, "--tuned", tiny_llama, "--data", sums, "--max-new-tokens", "4")
    assert "No instruction stands before the rows" in run(*asked).stdout
    assert "No instruction stands before" not in run(*asked, "--instruction", "Add up.").stdout


def test_a_sample_has_a_row():
    with pytest.raises(UserError, match="no sample of so many rows"):
        Request(base="a", tuned=["b"], data=None, rows=0).check()


def test_servers_among_the_sides_are_known():
    request = Request(base="http://a/v1", tuned=["b", "https://c/v1#m"], data=None, judge="http://d/v1")
    assert request.servers == ["http://a/v1", "https://c/v1#m", "http://d/v1"]

"""The command line as a person uses it: one line an error.

A process that trains or evaluates imports libraries for seconds. So commands that come one after another share one,
in which each is called as `python -m finetuning` calls it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 900
IN_TURN = """
import contextlib, io, json, sys
from finetuning.cli import main

done = []
for arguments in json.load(sys.stdin):
    sys.argv, out, err, code = ["finetuning", *arguments], io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    done.append((arguments, code or 0, out.getvalue(), err.getvalue()))
json.dump(done, sys.stdout)
"""
"""Lists of arguments on stdin, which is at its end then, so that a question is answered by nobody."""


def start(folder, code, cwd, **more):
    """`python` with `code`, its runs in `folder`."""
    settings = {"BEFORE_AFTER_RUNS": str(folder / "runs"), "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *code],
        cwd=cwd,
        env=os.environ | settings | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        **more,
    )


def in_turn(folder, *commands, cwd=ROOT):
    """What became of each of `commands`, in one process."""
    done = start(folder, ["-c", IN_TURN], cwd, input=json.dumps(commands))
    assert done.returncode == 0, done.stderr
    return [subprocess.CompletedProcess(*each) for each in json.loads(done.stdout)]


@pytest.fixture
def run_cli(tmp_path):
    """`run_cli(*arguments)`: a command in a process of its own."""
    return lambda *arguments, cwd=ROOT: start(tmp_path, ["-m", "finetuning", *arguments], cwd)


def test_help_answers_at_once():
    """By what it does not import: seconds say as much of the machine as of us."""
    code = (
        "import sys; sys.argv = ['finetuning', '--help']\nfrom finetuning.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print([name for name in ('torch', 'transformers', 'datasets', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "estimate" in done.stdout and done.stdout.splitlines()[-1] == "[]"


MISTAKES = [
    (["train", "sentiment"], "There is no such recipe"),
    (["train", "sentiment-smollm2-lora", "--set", "strategy.rank=0"], "strategy.rank"),
    (["evaluate", "../../etc"], "There is no such run"),
    (["chat", "last"], "No run has finished yet"),
    (["estimate", "sentiment-smollm2-lora", "--data", "corpus:tweets"], "tweets"),
    (["sweep", "option-sentiment"], "Did you mean options-sentiment"),
    (["sweep", "options-sentiment", "--only", "magic"], "There is no such option in this lab"),
]
OUT_OF_BOUNDS = [
    ["evaluate", "last", "--few-shot", "-1"],
    ["evaluate", "last", "--few-shot", "33"],
    ["evaluate", "last", "--rows", "-5"],
    ["evaluate", "last", "--rows", "0"],
    ["export-task", "last", "folder", "--rows", "-5"],
    ["chat", "last", "--tokens", "0"],
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Each of the commands that are refused, as words → what became of it."""
    commands = [arguments for arguments, _ in MISTAKES] + OUT_OF_BOUNDS
    done = in_turn(tmp_path_factory.mktemp("refused"), *commands)
    return {" ".join(arguments): each for arguments, each in zip(commands, done, strict=True)}


@pytest.mark.parametrize(("arguments", "says"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(refused, arguments, says):
    done = refused[" ".join(arguments)]
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_mistake_is_the_same_in_a_process_of_its_own(run_cli, refused):
    done, before = run_cli(*MISTAKES[0][0]), refused[" ".join(MISTAKES[0][0])]
    assert (done.returncode, done.stdout, done.stderr) == (before.returncode, before.stdout, before.stderr)


@pytest.mark.parametrize("arguments", OUT_OF_BOUNDS)
def test_a_number_out_of_bounds_is_refused_before_anything_is_opened(refused, arguments):
    """There is no run: whoever looks for one first says that."""
    done = refused[" ".join(arguments)]
    assert done.returncode == 2
    assert f"Invalid value for '{arguments[-2]}'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_estimate_names_parameters_memory_and_time_and_what_is_odd_about_the_rows(tmp_path):
    rows = [f"This was the {n}. of its kind.,{n % 2}" for n in range(40)]
    (tmp_path / "mine.csv").write_text("text,label\n" + "\n".join([*rows, rows[0].replace(",0", ",1")]) + "\n")
    bundled, own = in_turn(
        tmp_path,
        ["estimate", "dialogue-smollm2-qlora"],
        ["estimate", "sentiment-minilm-lora", "--data", "mine.csv"],
        cwd=tmp_path,
    )
    assert bundled.returncode == 0, bundled.stderr
    assert "of memory" in bundled.stdout and "2,442,240 of" in bundled.stdout
    assert own.returncode == 0, own.stderr
    assert "repeated with another label" in own.stdout and "6 test rows" in own.stdout


def test_train_prints_the_table_then_the_run_can_be_listed_evaluated_and_asked(run_cli, tmp_path):
    """On a file of one's own, named from the folder that one is in, whose labels need to be told."""
    rows = (f"The {thing} was the {n}. of its kind.,LABEL_{n % 2}" for n in range(15) for thing in ("film", "soup"))
    (tmp_path / "mine.csv").write_text("text,label\n" + "\n".join([*rows] * 2) + "\n")
    small = ["--set", "training.max_steps=2", "--set", "evaluation.forgetting=false"]
    labels = ["--set", "data.labels.LABEL_0=negative", "--set", "data.labels.LABEL_1=positive"]
    trained = run_cli("train", "sentiment-minilm-lora", "--data", "mine.csv", *labels, *small, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "accuracy" in trained.stdout
    assert "No verdict is possible on 4 test rows" in trained.stdout and "26 rows are repeated" in trained.stdout
    listed, own, again, kept, asked = in_turn(
        tmp_path,
        ["runs"],
        ["evaluate", "last"],
        ["evaluate", "last", "--data", "mine.csv"],
        ["evaluate", "last", "--data", "mine.csv", "--keep-trained-rows", "--rows", "10",
         "--set", "data.labels.LABEL_1=skip"],
        ["chat", "last", "-m", "A warm and funny film."],
        cwd=tmp_path,
    )  # fmt: skip
    assert "finished" in listed.stdout
    assert own.returncode == 0 and "none trained on; 4 judged." in own.stdout
    # What a reader has to know of the rows, and what else would score, as report.md has it.
    assert "26 rows are repeated" in own.stdout and "rows went from wrong to right" in own.stdout
    for rival in ("majority class", "TF-IDF + logistic regression", "frozen base + logistic regression"):
        assert rival in own.stdout
    # 23 of 30 texts are trained on; the labels are read as in the run.
    assert again.returncode == 0, again.stderr
    assert "60 rows given, 30 repeated and left out, 23 trained on and left out; 7 judged." in again.stdout
    assert kept.returncode == 0, kept.stderr
    assert "Every test row is negative" in kept.stdout
    assert "Every usable row of mine.csv is negative." in kept.stdout
    assert asked.returncode == 0
    assert "positive" in asked.stdout and "After · tuned" in asked.stdout


def test_a_file_is_inspected_and_trained_after_a_yes(tmp_path, tiny_llama):
    words = {"warm": "good", "bright": "good", "kind": "good", "cold": "bad", "dull": "bad", "rude": "bad"}
    rows = [
        f"The {thing} was {word}.,{words[word]}" for thing in ("film", "soup", "room", "train") for word in words
    ]
    (tmp_path / "mine.csv").write_text("remark,verdict\n" + "\n".join(rows) + "\n")
    small = ["--set", f"model.base={tiny_llama}", "--set", "training.max_steps=2", "--set", "evaluation.few_shot=0"]
    small += ["--set", "evaluation.forgetting=false", "--set", "model.precision=float32"]
    said, asked = in_turn(tmp_path, ["inspect", "mine.csv"], ["train", "mine.csv", *small], cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("mine.csv: 24 rows. It is a table of 2 columns.\n")
    for part in ("Labels: negative 12, positive 12.", "Recipe: sentiment-smollm2-lora", "train mine.csv\n"):
        assert part in said.stdout
    assert asked.returncode == 1 and "Train this?" in asked.stdout and not (tmp_path / "runs").exists()
    (trained,) = in_turn(tmp_path, ["train", "mine.csv", "--yes", *small], cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "mine.csv: 24 rows." in trained.stdout and "accuracy" in trained.stdout
    assert "Talk to it: python -m finetuning chat" in trained.stdout


def test_what_cannot_be_trained_is_said_with_exit_code_2(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "text,label\n" + "".join(f"remark {n},{'ab'[n % 2]}\n" for n in range(20)) + ",a\n"
    )
    (tmp_path / "book.md").write_text("\n\n".join(f"It rained on day {n}. " * 80 for n in range(20)))
    damaged, refused, skipping, inspected, supervised, both = in_turn(
        tmp_path,
        ["inspect", "mine.csv"],
        ["train", "mine.csv", "--yes"],
        ["inspect", "mine.csv", "--set", "data.skip_empty=true"],
        ["inspect", "book.md"],
        ["train", "book.md", "--yes", "--set", "way=sft"],
        ["train", "mine.csv", "--data", "other.csv"],
        cwd=tmp_path,
    )
    assert damaged.returncode == 2 and "mine.csv: 21 rows." in damaged.stdout
    assert "row 21, column text: The text is empty" in damaged.stderr
    assert refused.returncode == 2
    assert skipping.returncode == 0
    assert inspected.returncode == 0 and "Recipe: style-smollm2-lora" in inspected.stdout
    assert supervised.returncode == 2 and "way: text learns it" in supervised.stderr
    assert both.returncode == 2 and "--data names another" in both.stderr

"""The command line as a person uses it: one process a command, one line an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run_cli(tmp_path):
    def run(*arguments, timeout=900, cwd=ROOT):
        settings = {"BEFORE_AFTER_RUNS": str(tmp_path / "runs"), "COLUMNS": "120", "NO_COLOR": "1"}
        return subprocess.run(
            [sys.executable, "-m", "finetuning", *arguments],
            cwd=cwd,
            env=os.environ | settings | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def test_help_answers_at_once():
    """By what it does not import: seconds say as much of the machine as of us."""
    code = (
        "import sys; sys.argv = ['finetuning', '--help']\nfrom finetuning.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print([name for name in ('torch', 'transformers', 'datasets', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "estimate" in done.stdout and done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "sentiment"], "There is no such recipe"),
        (["train", "sentiment-smollm2-lora", "--set", "strategy.rank=0"], "strategy.rank"),
        (["evaluate", "../../etc"], "There is no such run"),
        (["chat", "last"], "No run has finished yet"),
        (["estimate", "sentiment-smollm2-lora", "--data", "corpus:tweets"], "tweets"),
        (["sweep", "option-sentiment"], "Did you mean options-sentiment"),
        (["sweep", "options-sentiment", "--only", "magic"], "There is no such option in this lab"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run_cli, arguments, says):
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "last", "--few-shot", "-1"],
        ["evaluate", "last", "--few-shot", "33"],
        ["evaluate", "last", "--rows", "-5"],
        ["evaluate", "last", "--rows", "0"],
        ["export-task", "last", "folder", "--rows", "-5"],
        ["chat", "last", "--tokens", "0"],
    ],
)
def test_a_number_out_of_bounds_is_refused_before_anything_is_opened(run_cli, arguments):
    """There is no run: whoever looks for one first says that."""
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert f"Invalid value for '{arguments[-2]}'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_estimate_names_parameters_memory_and_time(run_cli):
    done = run_cli("estimate", "dialogue-smollm2-qlora")
    assert done.returncode == 0
    assert "of memory" in done.stdout and "2,442,240 of" in done.stdout


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
    assert "finished" in run_cli("runs").stdout
    own = run_cli("evaluate", "last")
    assert own.returncode == 0 and "none trained on; 4 judged." in own.stdout
    # What a reader has to know of the rows, and what else would score, as report.md has it.
    assert "26 rows are repeated" in own.stdout and "rows went from wrong to right" in own.stdout
    for rival in ("majority class", "TF-IDF + logistic regression", "frozen base + logistic regression"):
        assert rival in own.stdout
    # 23 of 30 texts are trained on; the labels are read as in the run.
    again = run_cli("evaluate", "last", "--data", "mine.csv", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "60 rows given, 30 repeated and left out, 23 trained on and left out; 7 judged." in again.stdout
    kept = run_cli(
        "evaluate", "last", "--data", "mine.csv", "--keep-trained-rows", "--rows", "10",
        "--set", "data.labels.LABEL_1=skip", cwd=tmp_path,
    )  # fmt: skip
    assert kept.returncode == 0, kept.stderr
    assert "Every test row is negative" in kept.stdout
    assert "Every usable row of mine.csv is negative." in kept.stdout
    asked = run_cli("chat", "last", "-m", "A warm and funny film.")
    assert asked.returncode == 0
    assert "positive" in asked.stdout and "After · tuned" in asked.stdout


def test_estimate_says_what_is_odd_about_the_rows(run_cli, tmp_path):
    rows = [f"This was the {n}. of its kind.,{n % 2}" for n in range(40)]
    (tmp_path / "mine.csv").write_text("text,label\n" + "\n".join([*rows, rows[0].replace(",0", ",1")]) + "\n")
    done = run_cli("estimate", "sentiment-minilm-lora", "--data", "mine.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "repeated with another label" in done.stdout and "6 test rows" in done.stdout


def test_a_file_is_inspected_and_trained_after_a_yes(run_cli, tmp_path, tiny_llama):
    words = {"warm": "good", "bright": "good", "kind": "good", "cold": "bad", "dull": "bad", "rude": "bad"}
    rows = [
        f"The {thing} was {word}.,{words[word]}" for thing in ("film", "soup", "room", "train") for word in words
    ]
    (tmp_path / "mine.csv").write_text("remark,verdict\n" + "\n".join(rows) + "\n")
    said = run_cli("inspect", "mine.csv", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("mine.csv: 24 rows. It is a table of 2 columns.\n")
    for part in ("Labels: negative 12, positive 12.", "Recipe: sentiment-smollm2-lora", "train mine.csv\n"):
        assert part in said.stdout
    small = ["--set", f"model.base={tiny_llama}", "--set", "training.max_steps=2", "--set", "evaluation.few_shot=0"]
    small += ["--set", "evaluation.forgetting=false", "--set", "model.precision=float32"]
    asked = run_cli("train", "mine.csv", *small, cwd=tmp_path)  # nobody answers
    assert asked.returncode == 1 and "Train this?" in asked.stdout and not (tmp_path / "runs").exists()
    trained = run_cli("train", "mine.csv", "--yes", *small, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "mine.csv: 24 rows." in trained.stdout and "accuracy" in trained.stdout
    assert "Talk to it: python -m finetuning chat" in trained.stdout


def test_what_cannot_be_trained_is_said_with_exit_code_2(run_cli, tmp_path):
    (tmp_path / "mine.csv").write_text(
        "text,label\n" + "".join(f"remark {n},{'ab'[n % 2]}\n" for n in range(20)) + ",a\n"
    )
    done = run_cli("inspect", "mine.csv", cwd=tmp_path)
    assert done.returncode == 2 and "mine.csv: 21 rows." in done.stdout
    assert "row 21, column text: The text is empty" in done.stderr
    assert run_cli("train", "mine.csv", "--yes", cwd=tmp_path).returncode == 2
    assert run_cli("inspect", "mine.csv", "--set", "data.skip_empty=true", cwd=tmp_path).returncode == 0
    (tmp_path / "book.md").write_text("\n\n".join(f"It rained on day {n}. " * 80 for n in range(20)))
    assert run_cli("inspect", "book.md", cwd=tmp_path).returncode == 0
    later = run_cli("train", "book.md", "--yes", cwd=tmp_path)
    assert later.returncode == 2 and "Nothing learns from raw text yet" in later.stderr
    both = run_cli("train", "mine.csv", "--data", "other.csv", cwd=tmp_path)
    assert both.returncode == 2 and "--data names another" in both.stderr

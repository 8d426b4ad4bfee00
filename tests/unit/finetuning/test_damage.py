"""Whatever the files of a run hold, reading gives a value or a `RunError`, and the other runs are listed."""

import json
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from data.trained_rows import KEYS_FILE, TrainedRows
from finetuning import cli
from finetuning.commands import following
from finetuning.recipe import load_recipe
from finetuning.runs import launch
from finetuning.runs.beginning import BEGAN_FILE, SUBMITTED_FILE, Beginning, check_submitted
from finetuning.runs.folder import Status, create_run, list_runs
from plumbing.errors import RunError

RECIPE = load_recipe("sentiment-smollm2-lora")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
STATUSES = st.fixed_dictionaries({}, optional=dict.fromkeys(Status.model_fields, JSON))
LINES = st.dictionaries(st.sampled_from(["step", "loss", "learning_rate", "tokens"]), JSON)
DEEP = b"[" * 100_000
anything = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


FILES = [
    "status.json",
    "recipe.yaml",
    "metrics.jsonl",
    "owner",
    "worker.log",
    BEGAN_FILE,
    SUBMITTED_FILE,
    KEYS_FILE,
]


@pytest.fixture
def run(tmp_path):
    run = create_run(RECIPE, tmp_path)
    run.tuned.mkdir()  # there is something to go on from, so that what it began with is read
    return run


def value_or_error(read):
    try:
        return read()
    except RunError:
        return None


def read_everything(run):
    """As the page and the command line do."""
    value_or_error(run.status)
    value_or_error(run.recipe)
    value_or_error(run.process_alive)
    for line in run.metrics()[0]:
        assert isinstance(line["step"], int) and float(line["loss"]) == line["loss"]
    assert isinstance(run.owner, str) and isinstance(run.log_tail(), str)
    run.checkpoint()
    value_or_error(lambda: Beginning.load(run))
    value_or_error(lambda: check_submitted(run, RECIPE))
    keys = TrainedRows.load(run.folder)
    assert keys is None or "a text" not in keys
    assert run in list_runs(run.folder.parent)


@anything
@given(data=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(data=DEEP)
@example(data=b"a: &a [1]\nb: [*a, *a]\n")
@example(data=b"\xff\xfe\x00")
@example(data=b"1" * 5000)
@pytest.mark.parametrize("name", [*FILES, "cancel"])
def test_a_file_of_any_bytes(name, data, run):
    (run.folder / name).write_bytes(data)
    read_everything(run)
    run.cut_metrics(3)
    if name == "cancel":
        assert run.cancel_age_s() >= 0


@anything
@given(values=STATUSES)
def test_a_status_of_any_values(values, run):
    (run.folder / "status.json").write_text(json.dumps({"created": 1.0} | values))
    read_everything(run)


@anything
@given(lines=st.lists(LINES, max_size=4))
@example(lines=[{"step": 10**400, "loss": 1.0}])
@example(lines=[{"step": True, "loss": 1.0}])
def test_metric_lines_of_any_values(lines, run):
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.append_metrics({"step": 1, "loss": 2.0})
    read_everything(run)
    assert run.metrics()[0][-1] == {"step": 1, "loss": 2.0}


def test_a_bad_line_is_left_out_and_the_others_stay(run):
    (run.folder / "metrics.jsonl").write_bytes(
        b'{"step": 1, "loss": 2.0}\n{"step": 2, "lo\n\xff\n{"step": 3, "loss": 1.0}\n{"st'
    )
    assert [line["step"] for line in run.metrics()[0]] == [1, 3]
    run.cut_metrics(3)
    run.append_metrics({"step": 4, "loss": 0.5})
    assert [line["step"] for line in run.metrics()[0]] == [1, 3, 4]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["missing", "folder", "pipe", "huge", "loop"])
def test_a_file_that_is_no_file(how, name, run):
    path = run.folder / name
    path.unlink(missing_ok=True)
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "loop":
        path.symlink_to(path)
    elif how == "huge":
        with path.open("wb") as handle:
            handle.truncate(2**34)  # 16 GiB, none of it on the disk
    read_everything(run)


def test_checkpoints_with_strange_names_do_not_count(run):
    for name in ("checkpoint-x", "checkpoint-", "checkpoint-10", "checkpoint-9", "checkpoint-٣"):
        (run.checkpoints / name).mkdir(parents=True)
        (run.checkpoints / name / "DONE").touch()
    assert run.checkpoint().name == "checkpoint-10"


def test_damaged_runs_are_shown_as_such_and_the_rest_works(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(launch, "_start", lambda run: bool(started.append(run.id)) or True)
    for name in ("status.json", "recipe.yaml"):
        for content in (b"", b"{", b"\xff", b"[]"):
            (create_run(RECIPE, tmp_path).folder / name).write_bytes(content)
    no_report = create_run(RECIPE, tmp_path)
    no_report.evaluation.mkdir()
    (no_report.evaluation / "report.json").write_text('{"metrics": []}')
    good = create_run(RECIPE, tmp_path)
    launch.reconcile(tmp_path)
    assert started
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    monkeypatch.setattr(following.console, "_width", 200)
    listed = CliRunner().invoke(cli.app, ["runs"])
    assert listed.exit_code == 0, listed.output
    assert listed.output.count("│ damaged ") == 5 and good.id in listed.output


def test_deleting_asks(run, monkeypatch):
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(run.folder.parent))
    assert CliRunner().invoke(cli.app, ["delete", run.id], input="n\n").exit_code == 0
    assert run.folder.is_dir()
    assert CliRunner().invoke(cli.app, ["delete", run.id], input="y\n").exit_code == 0
    assert not run.folder.exists()
    other = create_run(RECIPE, run.folder.parent)
    assert CliRunner().invoke(cli.app, ["delete", other.id, "--yes"]).exit_code == 0
    assert list_runs(run.folder.parent) == []

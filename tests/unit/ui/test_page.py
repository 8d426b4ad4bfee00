from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from benchmarks.first_load import made_of
from finetuning.limits import Limits, as_submitted
from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run, create_run, open_run
from models import libraries
from plumbing.errors import RunError
from ui.api.publish import FOR_PROGRAMS
from ui.drawing import text
from ui.page import build_page
from ui.server import choices, downloads, models_in_use
from ui.server.visitors import LOCAL, Visitor
from ui.tabs import clock, run_view, runs
from ui.tabs.report_view import ReportView
from ui.tabs.task_form import place_of

LISTENERS, COMPONENTS = 100, 400
"""What three forms of Train made of 324 and 545, and some room."""
GROUPS = {"chat", "act", "estimate", "start"}
ROOT = Path(__file__).resolve().parent.parent.parent.parent


def test_help_answers_at_once() -> None:
    """By what it does not import: seconds say as much of the machine as of us."""
    code = (
        "import sys; sys.argv = ['app.py', '--help']; import app\n"
        "try:\n    app.main()\nfinally:\n"
        "    print([name for name in ('gradio', 'torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    said = printed(code)
    assert "--port" in said and said.splitlines()[-1] == "[]"


def printed(code: str) -> str:
    """What `code` prints in a Python of its own."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_page_is_built_without_a_model_library_and_with_the_handlers_that_toast_in_the_queue() -> None:
    """No toast is lost with a handler that does not wait in the queue."""
    code = (
        "import sys; from ui.page import build_page; page = build_page(); "
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules]); "
        "print([(f.name, f.queue) for f in page.fns.values() if hasattr(f.fn, '__wrapped__')])"
    )
    loaded, said = printed(code).splitlines()
    assert loaded == "[]"
    assert "('start_run', True)" in said and "('filter', True)" in said and "False" not in said


def test_a_page_that_follows_no_run_asks_for_nothing(laid_out: Callable[..., gr.Blocks]) -> None:
    """That of Runs strikes too, once its tab is open."""
    blocks = laid_out(build_page, whole=True).blocks.values()
    assert not [block for block in blocks if isinstance(block, gr.Timer)], "which also runs where nobody looks"
    clocks = [block.value for block in blocks if "ba-clock" in (block.elem_classes or [])]
    assert sorted(clocks) == ["", "", "", "", clock.set_to(True)]


def test_the_page_is_made_of_no_more_than_it_needs(laid_out: Callable[..., gr.Blocks]) -> None:
    """Gradio sends every listener and component to every visitor, whatever they open."""
    page = laid_out(build_page, whole=True)
    made = made_of(page)
    assert made["listeners"] <= LISTENERS and made["components"] <= COMPONENTS
    assert made["concurrency groups"] <= len(GROUPS) + 1, "the last is of whoever closes the page"
    queued = [each for each in page.fns.values() if each.queue is not False and each.targets[0][1] != "unload"]
    assert {each.concurrency_id for each in queued} == GROUPS
    limits = {kind: {each.concurrency_limit for each in queued if each.concurrency_id == kind} for kind in GROUPS}
    assert all(len(found) == 1 for found in limits.values()), f"the least would count: {limits}"
    sent = {each["id"]: each for each in page.get_config_file()["components"]}
    told = {name for each in page.get_config_file()["page"][""]["components"] for name in sent[each]}
    assert not told & {*FOR_PROGRAMS}


def test_nothing_waits_for_a_change_of_state_which_gradio_may_lose(laid_out: Callable[..., gr.Blocks]) -> None:
    page = laid_out(build_page, whole=True)
    targets = [(f.name, page.blocks.get(block), event) for f in page.fns.values() for block, event in f.targets]
    assert any(event == "change" for _, _, event in targets)
    assert not [name for name, block, event in targets if event == "change" and isinstance(block, gr.State)]


def test_gradio_is_imported_whole_and_writes_no_type_stubs() -> None:
    code = (
        "import ast, inspect; before, stubs = inspect.getfile, []; "
        "from ui.server.gradio_import import import_gradio; "
        "ast.get_source_segment = lambda *arguments, **options: stubs.append(arguments); "
        "import_gradio(); import gradio; "
        "print(stubs, inspect.getfile is before, inspect.getfile(gradio.Timer)[-8:])"
    )
    assert printed(code).split() == ["[]", "True", "timer.py"]


def test_no_more_threads_answer_than_the_environment_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code = (
        "import torch; from ui.server.models_in_use import share_cores; share_cores(); "
        "print(torch.get_num_threads())"
    )
    assert printed(code).strip() == "1"


def test_an_opening_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = threading.Event()
    seen: list[str] = []
    monkeypatch.setattr(libraries, "are_ready", imported.is_set)
    monkeypatch.setattr(libraries, "ready", imported.wait)
    monkeypatch.setattr("models.pair.open_pair", lambda *_, **__: seen.append("opened") or seen)
    opening = models_in_use.ModelsInUse().open(choices.all_choices(LOCAL)[0], threading.Event())
    first = next(opening)
    assert isinstance(first, models_in_use.Opening) and first.what == text.IMPORTING and not seen
    imported.set()
    later = [state.what for state in opening if isinstance(state, models_in_use.Opening)]
    assert seen == ["opened"] and set(later) <= {text.IMPORTING, "Loading SmolLM2-135M …"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    return tmp_path


def test_a_queued_run_says_how_many_are_before_it(folder: Path) -> None:
    first = create_run(load_recipe("sentiment-smollm2-lora"))
    second = create_run(load_recipe("sentiment-smollm2-lora"))
    first, second = sorted((first, second), key=lambda run: run.id[-20:])
    assert "Queued: starts in a moment" in run_view.state_line(first, LOCAL)
    assert "Queued: 1 before this one" in run_view.state_line(second, LOCAL)
    assert run_view.newest(LOCAL, lambda recipe: place_of(recipe) == "sentiment", active=True) is not None
    assert run_view.newest(LOCAL, lambda recipe: place_of(recipe) == "dialogue", active=True) is None


def test_the_same_recipe_is_not_started_twice_while_it_is_worked_on(folder: Path) -> None:
    recipe = load_recipe("sentiment-smollm2-lora")
    for visitor in (LOCAL, Visitor("browser-1", Limits())):
        assert visitor.started(recipe) is None, "somebody else's run is none"
        run = create_run(as_submitted(recipe, Limits()) if visitor.owner else recipe, owner=visitor.owner)
        assert visitor.started(recipe) == run
        assert visitor.started(load_recipe("sentiment-smollm2-lora", ["training.seed=7"])) is None
        run.update(state="cancelled")
        assert visitor.started(recipe) is None, "what has ended may be started again"


def test_a_base_that_is_named_from_here_is_not_trained_twice_and_what_is_cancelled_may_be_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-base").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("finetuning.runs.launch.reconcile", lambda folder=None: None)  # nothing is started here
    recipe = load_recipe("sentiment-smollm2-lora", ["model.base=a-base"])
    run = LOCAL.submit(recipe, None)  # type: ignore[arg-type]  # the rows are for limits
    assert LOCAL.started(recipe) == run
    run.update(state="running")
    run.request_cancel()
    assert LOCAL.started(recipe) is None


def test_a_failed_run_shows_its_error_as_text(folder: Path) -> None:
    run = create_run(load_recipe("sentiment-smollm2-lora"))
    run.update(state="running")
    run.update(state="failed", error="<b>no</b> in /srv/app/data.csv")
    drawn = run_view.state_line(run, LOCAL)
    assert "&lt;b&gt;no&lt;/b&gt; in /srv/app/data.csv" in drawn and "<b>no" not in drawn
    assert "in …/data.csv" in run_view.state_line(run, Visitor("browser-1", Limits()))


def test_a_damaged_run_does_not_hide_the_others(folder: Path) -> None:
    whole = create_run(load_recipe("sentiment-smollm2-lora"))
    damaged = create_run(load_recipe("dialogue-smollm2-qlora"))
    (damaged.folder / "status.json").write_text("{", encoding="utf-8")
    drawn = runs.run_table(LOCAL.runs())
    assert whole.id in drawn and "ba-state-damaged" in drawn
    assert "cannot be read" in run_view.state_line(damaged, LOCAL)
    assert damaged.state() == "damaged"


VIEW = ReportView(*[None] * 7, downloads=[None] * len(downloads.FILES))
TAB = runs.Runs(**{each.name: None for each in dataclasses.fields(runs.Runs)} | {"view": VIEW})
"""What it gives its components to show needs none of them."""
GARBAGE = [
    b"",
    b"\x00\xff\xfe",
    b"[]",
    b"3",
    b'{"a": 1}',
    b"null",
    b"\xf0\x9f" * 5000,
    b"{" * 5000,
    b"- a\n- b: [\n",
]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_whatever_is_in_a_runs_files_is_drawn_as_damaged(folder: Path, content: bytes) -> None:
    whole = create_run(load_recipe("sentiment-smollm2-lora"))
    run = create_run(load_recipe("sentiment-smollm2-lora"))
    run.evaluation.mkdir()
    run.tuned.mkdir()
    names = ["status.json", "recipe.yaml", "metrics.jsonl", "worker.log", "eval/report.json", "eval/rows.jsonl"]
    for name in [*names, "adapter/base_model.json", "adapter/prompt.json"]:
        (run.folder / name).write_bytes(content)
    assert "ba-state-damaged" in runs.run_table(LOCAL.runs())
    assert choices.of_run(run) is None and choices.all_choices(LOCAL)
    drawn = TAB._open(run, LOCAL)
    assert any("cannot be read" in str(each) for each in drawn)
    assert whole.id in {each.id for each in LOCAL.runs()}


@pytest.mark.parametrize("name", ["status.json", "recipe.yaml", "metrics.jsonl", "worker.log", "eval", "adapter"])
def test_a_folder_in_place_of_a_file_or_nothing_at_all_is_drawn(folder: Path, name: str) -> None:
    run = create_run(load_recipe("sentiment-smollm2-lora"))
    place = run.folder / name
    place.unlink(missing_ok=True)
    place.mkdir() if "." in name else place.write_text("a file")
    assert TAB._open(run, LOCAL)
    assert run.id in runs.run_table(LOCAL.runs())


def asked_by(visitor: Visitor) -> gr.Request:
    return gr.Request(request=SimpleNamespace(scope={"state": {"visitor": visitor}}), session_hash="page1")  # type: ignore[arg-type]


@pytest.fixture
def tab(laid_out: Callable[..., runs.Runs]) -> runs.Runs:
    return laid_out(functools.partial(runs.build_runs, public=False))


def ticks(tab: runs.Runs, *ticked: Run, before: str = "", page: int = 0) -> dict[Any, Any]:
    """What the page shows once these boxes are the ones that are ticked on it."""
    event = SimpleNamespace(_data={f"run{place}": run.id for place, run in enumerate(ticked)})
    drawn = tab.tick(before, page, event, asked_by(LOCAL))  # type: ignore[arg-type]
    return dict(zip(tab.shown, drawn, strict=True))


def test_ticked_runs_are_drawn_in_one_plot_beside_what_differs(folder: Path, tab: runs.Runs) -> None:
    one, other = (create_run(load_recipe("sentiment-smollm2-lora", [f"training.epochs={n}"])) for n in (1, 2))
    for run, loss in ((one, 0.7), (other, 0.5)):
        for step in (1, 2, 3):
            run.append_metrics({"step": step, "loss": 2 * loss / step})
        run.append_metrics({"step": 3, "loss": None, "eval_loss": loss})
    other.rename("<b>longer</b>")
    first = ticks(tab, one)
    assert text.TICK_ONE_MORE in first[tab.compared] and not first[tab.link].visible
    both = ticks(tab, one, other, before=one.id)
    drawn = both[tab.compared]
    assert both[tab.ticked] == f"{one.id} {other.id}" and both[tab.link].visible
    assert drawn.count("<svg") == 1 and drawn.count("<polyline") == 4
    assert "A: training 0.467 at step 3, validation 0.700" in drawn and "nats a token" in drawn
    assert "training.epochs" in drawn and "training.learning_rate" not in drawn
    assert "&lt;b&gt;longer" in drawn and "<b>longer" not in drawn
    assert both[tab.table] == gr.skip() and not both[tab.detail].visible, "the table is as it was clicked"
    seen = ["", 0, "", "", both[tab.ticked], both[tab.drawn_beside]]
    shown = dict(zip(tab.shown, tab.look(*seen, asked_by(LOCAL)), strict=True))
    assert str(shown[tab.table]).count('checked=""') == 2 and shown[tab.compared] == gr.skip()
    assert tab.look(shown[tab.listed], *seen[1:], asked_by(LOCAL)) == gr.skip(), "nothing is new"
    assert ticks(tab, before=f"{one.id} {other.id}")[tab.ticked] == "", "both were unticked"
    elsewhere = ticks(tab, one, before=other.id, page=1)
    assert elsewhere[tab.ticked] == other.id, "one that is not on this page of the table stays, and no other comes"
    many = ticks(tab, *(create_run(load_recipe("sentiment-smollm2-lora")) for _ in range(7)))
    assert len(many[tab.ticked].split()) == 6 and str(many[tab.table]).count('checked=""') == 6
    opened = tab.open(both[tab.ticked], SimpleNamespace(_data={"run": one.id}), asked_by(LOCAL))  # type: ignore[arg-type]
    shown = dict(zip([*tab.followed, *tab.comparing], opened, strict=True))
    assert shown[tab.detail].visible and not shown[tab.beside].visible and shown[tab.ticked] == both[tab.ticked]
    later = tab.look("", 0, one.id, shown[tab.drawn], shown[tab.ticked], shown[tab.drawn_beside], asked_by(LOCAL))
    assert dict(zip(tab.shown, later, strict=True))[tab.beside] == gr.skip(), "it stays closed"
    none = dict(zip(tab.shown, tab.untick(0, asked_by(LOCAL)), strict=True))
    assert none[tab.ticked] == "" and not none[tab.beside].visible


def test_a_run_is_renamed_deleted_and_taken_back(folder: Path, tab: runs.Runs) -> None:
    run, other = (create_run(load_recipe("sentiment-smollm2-lora")) for _ in range(2))
    named = dict(zip(tab.shown, tab.rename("mine", run.id, "", 0, asked_by(LOCAL)), strict=True))
    assert ">mine<" in named[tab.table] and ">mine<" in named[tab.title] and named[tab.name] == "mine"
    with_undo = [*tab.deleted.outputs, *tab.shown]
    gone = dict(zip(with_undo, tab.throw_away(run.id, f"{run.id} {other.id}", 0, asked_by(LOCAL)), strict=True))
    assert "mine is in the trash" in gone[tab.deleted.said] and gone[tab.deleted.row].visible
    assert run.id not in gone[tab.table] and not gone[tab.detail].visible and gone[tab.ticked] == other.id
    back = dict(zip(with_undo, tab.take_back(gone[tab.deleted.run_id], "", 0, asked_by(LOCAL)), strict=True))
    assert ">mine<" in back[tab.table] and back[tab.run_id] == run.id and not back[tab.deleted.row].visible
    stranger = Visitor("browser-1", Limits(), holder="browser-1")
    for act in (tab.throw_away, tab.take_back):
        with pytest.warns(UserWarning, match="no such run|not in the trash"):
            act(run.id, "", 0, asked_by(stranger))


def test_a_run_id_never_leads_out_of_the_folder(folder: Path) -> None:
    for wrong in ("../x", "", "/etc/passwd"):
        with pytest.raises(RunError):
            open_run(wrong)

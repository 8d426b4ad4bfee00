"""Take it home: one panel that is empty until it is opened, and whose every no is said in it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio import oauth

from finetuning.export.made import made_of
from finetuning.jobs.carrying_out import run_job
from finetuning.jobs.export import jobs_for
from finetuning.limits import Limits
from finetuning.recipe import load_recipe
from finetuning.runs import launch
from finetuning.runs.folder import Run, create_run
from plumbing.errors import RunError
from ui.drawing import take as drawing
from ui.page import build_page
from ui.server import pushing
from ui.server.calls import RefusedError, checked_call
from ui.server.choices import find
from ui.server.pushing import Pushes, token_of
from ui.server.visitors import LOCAL, Files, Visitor
from ui.tabs.take import answer

TOKEN = "hf_" + "a1B2" * 8


@pytest.fixture
def ana(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Visitor:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(launch, "_start", lambda run: True)  # no worker: a test carries it out
    return Visitor("browser-ana", Limits(), Files(), holder="browser-ana")


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """`make_run(tuned, owner)` → a run that has tuned it."""

    def build(tuned: Path, owner: str = "browser-ana") -> Run:
        run = create_run(load_recipe("sentiment-smollm2-lora"), owner=owner)
        shutil.copytree(tuned, run.tuned_as(whole=False))
        run.update(state="cancelled")
        return run

    return build


def event(do: str, **more: str) -> Any:
    return SimpleNamespace(_data={"do": do, **more})


def test_a_page_holds_one_small_panel_a_place_and_nothing_in_it(laid_out: Callable[..., gr.Blocks]) -> None:
    page = laid_out(build_page, whole=True)
    panels = {each.elem_id: each for each in page.blocks.values() if str(each.elem_id).endswith("-take")}
    assert set(panels) == {f"{name}-take" for name in ("compare", "train", "runs")}
    assert panels["runs-take"].value == "" and len(panels["compare-take"].value) < 250  # type: ignore[attr-defined]
    asked = [
        f for f in page.fns.values() if any(block in {p._id for p in panels.values()} for block, _ in f.targets)
    ]
    assert len(asked) == 3, "one listener each"
    alone = [number for number, each in page.fns.items() if each.fn is None]
    assert alone, "another model closes the panel, which the page does by itself"
    for number in alone:
        values = {
            "session_hash": "session000001",
            "fn_index": number,
            "data": [None] * len(page.fns[number].inputs),
        }
        with pytest.raises(RefusedError, match="no such handler"):
            checked_call(page, values, LOCAL)


def test_what_can_be_had_is_offered_and_what_cannot_says_why(
    ana: Visitor, make_run: Callable[..., Run], tiny_adapter: Path, tiny_classifier_adapter: Path
) -> None:
    shown = answer(f"run:{make_run(tiny_adapter).id}", event("open"), ana)
    for form in ("adapter", "merged", "gguf", "ollama"):
        assert f'value="{form}"' in shown
    assert "disabled" not in shown and 'value="hub"' not in shown, "this page signs nobody in"
    assert "data-seen" not in shown, "nothing goes on, so nothing is asked"
    shown = answer(f"run:{make_run(tiny_classifier_adapter).id}", event("open"), ana)
    assert shown.count("disabled") == 2 and shown.count("this is a classifier model") == 2
    assert str(tiny_classifier_adapter.parent) not in shown
    for key in ("run:../x", "bundled:none", ""):
        assert "no such tuned model" in answer(key, event("open"), ana)
    assert drawing.ONE_MODEL in answer("two:a|b", event("open"), ana)


def test_an_export_is_followed_cancelled_and_downloaded_by_whose_it_is(
    ana: Visitor, make_run: Callable[..., Run], tiny_adapter: Path
) -> None:
    run = make_run(tiny_adapter)
    key = f"run:{run.id}"
    assert "no such packing" in answer(key, event("start", form="gguf", packing="q3"), ana)
    assert "K-quants" in answer(key, event("start", form="gguf", packing="q4_k_m"), ana)
    shown = answer(key, event("start", form="gguf", packing="q8_0"), ana)
    assert "Queued" in shown and 'data-do="cancel"' in shown and "<fieldset" not in shown
    seen = drawing.seen_in(shown)
    assert answer(key, event("poll", seen=seen), ana) == gr.skip()
    [job] = jobs_for(run.tuned)
    shown = answer(key, event("cancel", export=job.id), ana)
    assert "This was cancelled" in shown and 'data-do="again"' in shown
    answer(key, event("again", export=job.id), ana)
    [job] = jobs_for(run.tuned)
    run_job(job, lambda: False)
    shown = answer(key, event("poll", seen=seen), ana)
    [(made, file)] = made_of(run.tuned)
    assert f"Download {made.file}" in shown and "q8_0" in shown and "own weights in float32." in shown
    assert "<fieldset" in shown and str(file) not in shown, "a stranger reads no path"
    assert str(file) in answer(key, event("open"), LOCAL)
    address = shown.partition('data-file="')[2].partition('"')[0]
    assert ana.files is not None and address.endswith(f"/{made.file}") and str(file.parent) not in address
    assert ana.files.linked("browser-ana", address) == str(file)
    assert ana.files.linked("browser-bea", address) is None
    assert "Make it again" not in shown and "no such export" in answer(
        key, event("cancel", export=job.id + "x"), ana
    )


def test_of_what_ships_each_sees_all_that_is_made_and_stops_only_their_own(
    ana: Visitor, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_adapter, tmp_path / "bundled" / "tiny")
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    bea = Visitor("browser-bea", Limits(), Files(), holder="browser-bea")
    assert 'data-do="cancel"' in answer("bundled:tiny", event("start", form="adapter"), ana)
    shown = answer("bundled:tiny", event("open"), bea)
    assert "Queued" in shown and 'data-do="cancel"' not in shown
    [job] = jobs_for(tmp_path / "bundled" / "tiny")
    assert "Another visitor has asked" in answer("bundled:tiny", event("cancel", export=job.id), bea)
    run_job(job, lambda: False)
    addresses = [
        answer("bundled:tiny", event("open"), each).partition('data-file="')[2][:90] for each in (ana, bea)
    ]
    assert addresses[0] != addresses[1] and all(each.startswith("linked/") for each in addresses)


def test_text_of_others_is_shown_and_never_obeyed() -> None:
    bad = "<img src=x onerror=alert(1)>"
    shown = drawing.panel(
        bad,
        forms=[drawing.Offered("gguf", bad)],
        pushed=drawing.Pushed(bad, error=bad),
        not_pushed=bad,
        problem=bad,
        chosen=bad,
    )
    assert "<img" not in shown and "&lt;img" in shown


def signed_in(scope: str = "openid profile contribute-repos") -> oauth.OAuthToken:
    return oauth.OAuthToken(token=TOKEN, scope=scope, expires_at=0)


def test_a_push_is_by_the_visitors_own_token_and_never_by_the_pages(
    ana: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    assert token_of(LOCAL, None) == "hf_" + "s" * 34, "a page of one's own"
    assert not pushing.are_offered(ana)
    with pytest.raises(RunError, match="pushes nothing"):
        token_of(ana, signed_in())
    monkeypatch.setattr(pushing, "sign_in_is_there", lambda: True)
    for login, says in ((None, "Sign in"), (signed_in("openid profile"), "the right to make a repository")):
        with pytest.raises(RunError, match=says):
            token_of(ana, login)
        assert says in pushing.why_not(ana, login)
    assert token_of(ana, signed_in()) == TOKEN and pushing.why_not(ana, signed_in()) == ""
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(RunError, match="no token on this machine"):
        token_of(LOCAL, None)


@pytest.mark.parametrize("variables", [{}, {"SPACE_ID": "ana/x"}, {"SYSTEM": "spaces", "SPACE_ID": "ana/x"}])
def test_nobody_signs_in_where_gradio_would_sign_all_in_as_the_pages_owner(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("SYSTEM", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not pushing.sign_in_is_there()


def test_one_push_at_a_time_each_and_what_came_of_it_is_said(
    ana: Visitor, make_run: Callable[..., Run], tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes, may_end, given = Pushes(), threading.Event(), []

    def push(tuned: Any, repository: str, token: str, work: Any, *, private: bool) -> list[str]:
        work.tell("Uploading")
        given.append((repository, token, private))
        assert may_end.wait(600)
        if repository.endswith("bad"):
            raise RunError("No", got="/srv/app/x")
        return ["Pushed: there"]

    monkeypatch.setattr(pushing, "push", push)
    choice = find(f"run:{make_run(tiny_adapter).id}", ana)
    pushes.start(choice, ana, " ana/tuned ", TOKEN, private=True)
    with pytest.raises(RunError, match="A push of yours is going on"):
        pushes.start(choice, ana, "ana/tuned", TOKEN, private=True)
    may_end.set()
    for repository in ("ana/tuned", "ana/bad"):
        if repository.endswith("bad"):
            pushes.start(choice, ana, repository, TOKEN, private=False)
        thread = pushes._found[ana.owner, choice.key].thread
        assert thread is not None
        thread.join(600)
        said = pushes.of(choice, ana)
        assert said is not None and not said.phase
        assert said.notes == ["Pushed: there"] or said.error == "No (got '…/x')."
    assert given[0] == ("ana/tuned", TOKEN, True)
    assert pushes.of(choice, LOCAL) is None and TOKEN not in repr(pushes._found)

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from data.sources import Opened, open_source
from data.tasks import SENTIMENT
from data.tasks.own import USUAL
from finetuning import limits
from finetuning.limits import Limits, check_recipe, check_rows, keep_upload, make_room, read_limits
from finetuning.recipe import load_recipe, recipe_names, with_overrides
from finetuning.runs import launch
from finetuning.runs.folder import Run, create_run, list_runs
from finetuning.runs.locks import locked
from plumbing.errors import RecipeError, RunError

RECIPE = load_recipe("sentiment-smollm2-lora")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    monkeypatch.setattr(launch, "reconcile", lambda folder=None: None)  # nothing is started here
    return tmp_path


@pytest.fixture(scope="module")
def reviews() -> Opened:
    return open_source("corpus:reviews", SENTIMENT)


def test_limits_are_read_from_the_environment_and_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.VARIABLE, "rows=50, run_minutes=2.5")
    found = read_limits("rows=70,hub=true,base_models=a/b+c/d")
    assert (found.rows, found.run_minutes, found.hub, found.base_models) == (70, 2.5, True, ("a/b", "c/d"))
    for wrong, says in (
        ("row=3", "Did you mean rows"),
        ("rows=none", "rows is wrong"),
        ("rows=0", "rows"),
        ("x", "x"),
    ):
        with pytest.raises(RecipeError, match=says):
            read_limits(wrong)


def test_the_known_base_models_are_recipes_own_and_small() -> None:
    bases = {load_recipe(name).model.base for name in recipe_names()}
    assert set(Limits().base_models) < bases
    assert not any("7b" in base for base in Limits().base_models)


def test_every_recipe_with_a_known_base_is_within_the_limits() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        if recipe.model.base in Limits().base_models:
            check_recipe(recipe, Limits())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("strategy.rank", 33),
        ("model.adapter", "/etc"),
        ("training.report_to", "wandb"),
        ("training.eval_rows", 201),
        ("training.batch_size", 33),
        ("training.gradient_accumulation", 3),
        ("training.max_tokens", 1025),
        ("data.test_rows", 201),
        ("evaluation.batch_size", 65),
        ("evaluation.max_new_tokens", 129),
        ("evaluation.few_shot", 9),
        ("model.base", "NousResearch/Llama-2-7b-hf"),
        ("model.base", "/etc"),
        ("data.source", "hub:a/b"),
        ("data.source", "/etc/passwd.csv"),
        ("data.test", "hub:a/b"),
        ("evaluation.source", "hub:a/b"),
    ],
)
def test_a_recipe_beyond_a_limit_is_refused(setting: str, value: object) -> None:
    with pytest.raises(RecipeError, match="public page"):
        check_recipe(with_overrides(RECIPE, {setting: value}), Limits())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"training.batch_size": 8, "way.num_generations": 6}, "way.num_generations is 48, at most 32"),
        ({"way.max_new_tokens": 129}, "way.max_new_tokens is 129, at most 128"),
        ({"way.rewards": [{"name": "run", "run": "a"}]}, "lets no run read another one"),
    ],
)
def test_policy_optimisation_beyond_a_limit_is_refused(settings: dict[str, object], said: str) -> None:
    recipe = load_recipe("dialogue-smollm2-grpo")
    check_recipe(recipe, Limits())
    with pytest.raises(RecipeError, match=said):
        check_recipe(with_overrides(recipe, settings), Limits())


@pytest.mark.parametrize("way", ["dpo", "reward"])
def test_a_pair_counts_as_its_two_answers(way: str) -> None:
    recipe = load_recipe(f"dialogue-smollm2-{way}")
    check_recipe(with_overrides(recipe, {"training.batch_size": 16}), Limits())
    with pytest.raises(RecipeError, match="times the answers of a row is 34, at most 32"):
        check_recipe(with_overrides(recipe, {"training.batch_size": 17}), Limits())


def test_every_text_of_a_row_is_bounded_the_worse_answer_and_all_of_a_chat() -> None:
    turns = [{"role": role, "content": "a" * 30} for role in ("user", "assistant", "user")]
    chat = {"messages": turns, "answer": "b", "rejected": "c", "row": 7}

    def check(**changed: object) -> None:
        check_rows({"train": [chat | changed]}, USUAL["chat"], Limits(row_characters=120))  # type: ignore[dict-item]

    check()
    for column, value in (("messages", turns * 2), ("answer", "b" * 121), ("rejected", "c" * 121)):
        with pytest.raises(RecipeError, match=r"Row 7 has \d+ characters, and this public page takes 120"):
            check(**{column: value})


def test_a_whole_model_is_trained_where_it_is_small() -> None:
    minilm = load_recipe("sentiment-minilm-lora")
    for kind in ("full", "last"):
        check_recipe(with_overrides(minilm, {"strategy.kind": kind}), Limits())
        with pytest.raises(
            RecipeError, match="takes 538 MB of the disk where this public page allows 500"
        ) as caught:
            check_recipe(with_overrides(RECIPE, {"strategy.kind": kind}), Limits())
        assert "strategy.kind=lora" in caught.value.fix
    check_recipe(with_overrides(RECIPE, {"strategy.kind": "last"}), Limits(whole_mb=600))
    with pytest.raises(RecipeError, match=r"strategy\.blocks is 5, at most 4"):
        check_recipe(with_overrides(minilm, {"strategy.kind": "last", "strategy.blocks": 5}), Limits())


def test_rows_their_length_and_their_steps_are_bounded(reviews: Opened) -> None:
    def check(recipe: object = None, **changed: int) -> None:
        check_rows(reviews.splits, SENTIMENT, Limits(**changed), recipe)  # type: ignore[arg-type]

    check(RECIPE)
    with pytest.raises(RecipeError, match="1,622 rows, and this public page takes 1,000"):
        check(rows=1000)
    with pytest.raises(RecipeError, match=r"Row \d+ has \d+ characters"):
        check(row_characters=50)
    with pytest.raises(RecipeError, match="96 training steps"):
        check(RECIPE, steps=95)


def test_a_visitor_has_one_run_and_the_queue_an_end(folder: Path, reviews: Opened) -> None:
    first = limits.submit(RECIPE, reviews, Limits(run_minutes=3), owner="a")
    assert first.owner == "a"
    assert (first.recipe().training.max_minutes, first.recipe().data.test_rows) == (3, 200)
    with pytest.raises(RunError, match="You have a run"):
        limits.submit(RECIPE, reviews, Limits(), owner="a")
    limits.submit(RECIPE, reviews, Limits(), owner="b")
    with pytest.raises(RunError, match="The queue is full: 2 runs"):
        limits.submit(RECIPE, reviews, Limits(runs_waiting=2), owner="c")
    first.update(state="cancelled", ended=time.time())
    limits.submit(RECIPE, reviews, Limits(runs_waiting=2), owner="a")
    with pytest.raises(RunError, match="You have a run"):
        limits.resume(first, Limits())
    with pytest.raises(RecipeError, match=r"strategy\.rank"):
        limits.submit(with_overrides(RECIPE, {"strategy.rank": 64}), reviews, Limits(), owner="d")
    assert len(list_runs()) == 3


def ended(owner: str, size: int) -> Run:
    run = create_run(RECIPE, owner=owner)
    run.update(state="cancelled", ended=time.time())
    (run.folder / "large").write_bytes(b"x" * size)
    return run


def test_another_process_of_the_page_admits_no_run_at_the_same_time(folder: Path, reviews: Opened) -> None:
    (folder / limits.ADMISSION).mkdir()
    admitted = threading.Thread(target=lambda: limits.submit(RECIPE, reviews, Limits(), owner="a"))
    with locked(folder / limits.ADMISSION):  # as the other one holds it
        admitted.start()
        while admitted.is_alive() and not limits._submitting.locked():
            admitted.join(0.01)
        for _ in range(10):
            admitted.join(0.1)
        assert not list_runs(folder)
    admitted.join()
    assert [run.owner for run in list_runs(folder)] == ["a"]


def test_the_oldest_ended_runs_of_strangers_make_room(folder: Path) -> None:
    local = ended("", 3_000_000)
    active = create_run(RECIPE, owner="a")
    (active.folder / "large").write_bytes(b"x" * 700_000)
    runs = [ended(owner, 700_000) for owner in ("a", "b", "a")]
    thrown_away = ended("b", 700_000)
    launch.trash(thrown_away)
    make_room(Limits(runs_mb=2))
    left = {run.id for run in list_runs()}
    assert left == {local.id, active.id, runs[2].id}
    assert not list((folder / launch.TRASH).iterdir())
    make_room(Limits(runs_mb=1))
    assert {run.id for run in list_runs()} == {local.id, active.id}


def test_an_upload_goes_with_the_last_run_that_names_it(folder: Path, tmp_path: Path) -> None:
    upload = tmp_path / "my data.csv"
    upload.write_text("text,label\n")
    kept = {owner: keep_upload(upload, owner) for owner in ("a", "b")}
    run = create_run(with_overrides(RECIPE, {"data.source": f"file:{kept['a']}"}), owner="a")
    make_room(Limits())
    assert all(path.exists() for path in kept.values())  # their runs may not have been made yet
    for path in kept.values():
        os.utime(path, (0, 0))
    make_room(Limits())
    assert kept["a"].exists() and not kept["b"].exists()
    run.update(state="cancelled", ended=time.time())
    (run.folder / "large").write_bytes(b"x" * 2_000_000)
    make_room(Limits(runs_mb=1))
    assert not run.folder.exists() and not kept["a"].exists()


def test_kept_uploads_count_among_what_has_to_fit(folder: Path, tmp_path: Path) -> None:
    upload = tmp_path / "large.csv"
    upload.write_bytes(b"x" * 1_500_000)
    run = create_run(with_overrides(RECIPE, {"data.source": f"file:{keep_upload(upload, 'a')}"}), owner="a")
    run.update(state="cancelled", ended=time.time())
    for kept in (folder / limits.UPLOADS).glob("*/*"):
        os.utime(kept, (0, 0))
    later = ended("b", 1_000)
    make_room(Limits(runs_mb=2))
    assert len(list_runs()) == 2
    make_room(Limits(runs_mb=1))
    assert list_runs() == [later] and not list((folder / limits.UPLOADS).glob("*/*"))


def test_half_a_copy_of_an_upload_is_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: Path, target: Path) -> None:
        target.write_bytes(b"te")
        raise OSError(28, "No space left on device")

    upload = tmp_path / "reviews.csv"
    upload.write_text("text,label\n")
    with monkeypatch.context() as patched, pytest.raises(RunError, match="no space left"):
        patched.setattr(limits.shutil, "copyfile", broken)
        keep_upload(upload, "a")
    assert not list((folder / limits.UPLOADS).glob("*/*"))
    assert keep_upload(upload, "a").read_text() == "text,label\n"

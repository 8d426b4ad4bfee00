"""Exports as jobs in the queue: refused before they begin, whole or not there, for one visitor at a time."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from finetuning.export.forms import Options
from finetuning.export.made import EXPORTS, MADE_FILE, find_made, made_of, place_of
from finetuning.export.tuned import Tuned
from finetuning.jobs import export as exporting
from finetuning.jobs.carrying_out import run_job
from finetuning.jobs.export import EXPORT, MAKING, Export, ask, asked_for, jobs_for, size_bytes
from finetuning.limits import Limits, make_room
from finetuning.recipe import load_recipe
from finetuning.runs import jobs, launch
from finetuning.runs.folder import create_run, list_runs, process_started
from plumbing.errors import ModelError, RecipeError, RunError

RECIPE = load_recipe("sentiment-smollm2-lora")
EXACT = Options(packing="f32", stored="float32")


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(folder))
    return folder


@pytest.fixture
def waiting(monkeypatch):
    """No worker is started: what is asked for waits until a test carries it out."""
    monkeypatch.setattr(launch, "_start", lambda run: True)


@pytest.fixture
def make_run():
    """`make_run(tuned, owner="")` → a finished run that has tuned it."""

    def build(tuned, owner=""):
        run = create_run(RECIPE, owner=owner)
        shutil.copytree(tuned, run.tuned_as(whole=False))
        run.update(state="running", pid=os.getpid(), pid_started=process_started(os.getpid()))
        run.update(state="finished")
        return run

    return build


def do(job, should_stop=lambda: False):
    run_job(job, should_stop)
    return job.status()


def test_what_cannot_be_had_is_refused_before_anything_is_queued(
    tiny_adapter, tiny_classifier_adapter, tiny_reward_adapter, tiny_whole
):
    for folder, form, options, says in (
        (tiny_classifier_adapter, "gguf", Options(), "A GGUF file is of a language model"),
        (tiny_reward_adapter, "ollama", Options(), "this is a reward model"),
        (tiny_whole, "adapter", Options(), "A whole model was trained here"),
        (tiny_whole, "gguf", Options(adapter_alone=True), "A whole model was trained here"),
        (tiny_adapter, "gguf", Options(packing="q4_k_m"), "K-quants"),
        (tiny_adapter, "gguf", Options(packing="../x"), "no such packing"),
        (tiny_adapter, "merged", Options(onto="best"), "no such choice"),
        (tiny_adapter, "hub", Options(), "no such form"),
        (tiny_adapter, "../adapter", Options(), "no such form"),
    ):
        with pytest.raises((ModelError, RecipeError), match=says):
            asked_for(Tuned.of(folder), form, options)
    with pytest.raises(ModelError, match="no answers that could be compared"):
        asked_for(Tuned.of(tiny_reward_adapter), "merged", check=True)
    assert jobs.list_jobs() == []


def test_each_form_is_one_file_in_the_runs_folder_with_what_there_is_to_say(
    tiny_adapter, make_run, waiting, tmp_path, tiny_llama
):
    run = make_run(tiny_adapter)
    for form, inside in (
        ("adapter", f"{run.id}/adapter_model.safetensors"),
        ("merged", f"{run.id}-merged/model.safetensors"),
        ("ollama", f"{run.id}-ollama/Modelfile"),
        ("gguf", None),
    ):
        job = ask(asked_for(Tuned.of(run.tuned), form, EXACT))
        assert ask(asked_for(Tuned.of(run.tuned), form, EXACT)) == job, "asked twice, it is made once"
        assert do(job).state == "finished" and not (job.folder / MAKING).exists()
        asked = jobs.asked_of(job, Export)
        made, file = find_made(run.tuned, asked.what)
        assert file.parent == run.folder / EXPORTS / asked.what.name
        assert sorted(path.name for path in file.parent.iterdir()) == sorted([file.name, MADE_FILE])
        assert file.stat().st_size == made.bytes and made.notes and not made.check
        if inside is not None:
            with zipfile.ZipFile(file) as archive:
                assert inside in archive.namelist() and archive.testzip() is None
                stored = {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
                assert stored == (form != "adapter"), "weights do not get smaller"
        assert ask(asked_for(Tuned.of(run.tuned), form, EXACT)) is None, "it is there"
    assert [made.what.form for made, _ in made_of(run.tuned)] == ["gguf", "ollama", "merged", "adapter"]
    assert {made.what.name for made, _ in made_of(run.tuned)} == {
        "adapter", "merged-float32", "ollama-f32", "gguf-f32",
    }  # fmt: skip


def test_what_is_written_is_asked_rows_where_that_is_asked_for(tiny_adapter, make_run, waiting, monkeypatch):
    run = make_run(tiny_adapter)
    monkeypatch.setattr(exporting, "ROWS", 2)
    asked = asked_for(Tuned.of(run.tuned), "gguf", EXACT, check=True)
    assert asked.check_rows == 2
    assert asked_for(Tuned.of(run.tuned), "adapter", check=True).check_rows == 0, "it is what was trained"
    job = ask(asked)
    assert do(job).state == "finished"
    [(made, _)] = made_of(run.tuned)
    assert made.check.startswith("Asked 2 test rows, it answers 2 exactly") and "No evidence" in made.check
    assert ask(asked) is None and ask(asked.model_copy(update={"check_rows": 0})) is None

    def cannot(*_, **__):
        raise ModelError("There is nothing to ask")

    monkeypatch.setattr(exporting, "check_exported", cannot)
    merged = ask(asked_for(Tuned.of(run.tuned), "merged", check=True))
    assert do(merged).state == "finished", "what was written is whole all the same"
    assert made_of(run.tuned)[0][0].check == "It was not checked: There is nothing to ask."


def test_an_export_that_is_stopped_or_ended_by_force_leaves_nothing_and_is_made_when_asked_again(
    tiny_adapter, make_run, waiting
):
    run = make_run(tiny_adapter)
    asked = asked_for(Tuned.of(run.tuned), "merged")
    job, looks = ask(asked), []

    def stop():
        looks.append(job.status().phase)
        return "Merging" in looks

    assert do(job, stop).state == "cancelled"
    assert not (job.folder / MAKING).exists() and made_of(run.tuned) == []
    again = ask(asked)
    assert again != job and jobs_for(run.tuned) == [again], "the job that is over makes room for the new one"

    (again.folder / MAKING).mkdir()  # as a process that was killed leaves it
    (again.folder / MAKING / "half.zip").write_bytes(b"PK")
    status = again.status().model_copy(update={"state": "running", "pid": 2**22 - 1, "pid_started": 1.0})
    (again.folder / "status.json").write_text(status.model_dump_json())
    launch.reconcile()
    assert again.status().state == "interrupted"
    exporting.sweep()
    assert not (again.folder / MAKING).exists()
    last = ask(asked)
    assert do(last).state == "finished" and len(made_of(run.tuned)) == 1


def test_what_was_made_stays_while_it_is_made_anew_and_goes_with_its_run(tiny_adapter, make_run, waiting):
    run = make_run(tiny_adapter)
    asked = asked_for(Tuned.of(run.tuned), "adapter")
    do(ask(asked))
    [(_, file)] = made_of(run.tuned)
    anew = jobs.submit(EXPORT, asked)
    assert do(anew, lambda: True).state == "cancelled" and file.is_file()
    job = jobs.submit(EXPORT, asked)
    launch.trash(run)
    with pytest.raises(RunError, match="deleted meanwhile"):
        run_job(job, lambda: False)
    assert not run.folder.exists() and list_runs() == [], "no run's folder comes back"
    assert (run.folder.parent / launch.TRASH / run.id / EXPORTS / "adapter" / file.name).is_file()


def test_nothing_that_is_damaged_or_lies_elsewhere_is_offered(tiny_adapter, make_run, waiting, tmp_path):
    run = make_run(tiny_adapter)
    asked = asked_for(Tuned.of(run.tuned), "adapter")
    do(ask(asked))
    [(made, file)] = made_of(run.tuned)
    secret = tmp_path / "secret.zip"
    secret.write_bytes(b"x")
    for name in ("../../owner", "/etc/passwd", MADE_FILE, str(secret)):
        (file.parent / MADE_FILE).write_text(made.model_copy(update={"file": name}).model_dump_json())
        assert made_of(run.tuned) == []
    (file.parent / MADE_FILE).write_text(made.model_dump_json())
    file.unlink()
    assert made_of(run.tuned) == []
    file.symlink_to(secret)
    assert made_of(run.tuned) == [] and find_made(run.tuned, made.what) is None
    (file.parent / MADE_FILE).write_text("{")
    assert made_of(run.tuned) == []


def test_what_ships_is_exported_once_for_everybody_and_anew_where_its_weights_are_others(
    tiny_adapter, waiting, tmp_path, monkeypatch, runs
):
    shipped = tmp_path / "bundled" / "tiny"
    shutil.copytree(tiny_adapter, shipped)
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(shipped.parent))
    first = ask(asked_for(Tuned.of(shipped), "adapter"), Limits(), owner="ana")
    assert ask(asked_for(Tuned.of(shipped), "adapter"), Limits(), owner="bea") == first
    assert do(first).state == "finished"
    [(_, file)] = made_of(shipped)
    assert file.name == "tiny.zip" and file.parents[2] == runs / EXPORTS
    assert ask(asked_for(Tuned.of(shipped), "adapter"), Limits(), owner="bea") is None
    before = place_of(shipped)
    (shipped / "adapter_model.safetensors").write_bytes(b"others")
    os.utime(shipped / "adapter_model.safetensors", (1, 1))
    assert place_of(shipped) != before and made_of(shipped) == []
    with pytest.raises(ModelError, match="Only a run and what ships"):
        place_of(tiny_adapter)


def test_a_stranger_has_limits_each_in_a_sentence(tiny_adapter, make_run, waiting, monkeypatch):
    run, other = (make_run(tiny_adapter, owner=name) for name in ("ana", "bea"))
    tuned = Tuned.of(run.tuned)
    asked = asked_for(tuned, "merged", Options(stored="float32"))
    size = size_bytes(tuned, asked.what)
    monkeypatch.setattr(exporting, "size_bytes", lambda *_: 2_000_000)
    with pytest.raises(RecipeError, match=r"a file of about 2 MB, and this public page makes them up to 1"):
        ask(asked, Limits(export_mb=1), owner="ana")
    job = ask(asked, Limits(export_minutes=3), owner="ana")
    assert jobs.about(job).max_minutes == 3 and job.owner == "ana"
    with pytest.raises(RunError, match="one such job at a time"):
        ask(asked_for(tuned, "adapter"), Limits(), owner="ana")
    assert do(job).state == "finished"
    [(made, _)] = made_of(run.tuned)
    assert size == pytest.approx(made.bytes, rel=0.9), "the tokenizer is much of so small a model"

    with pytest.raises(RunError, match="no room on this public page"):
        ask(asked_for(tuned, "adapter"), Limits(runs_mb=1), owner="ana")
    assert run.folder.exists() and not other.folder.exists(), "others' go; the one that is exported stays"
    assert make_room(Limits()) == 0


def test_an_export_that_takes_too_long_is_ended(tiny_adapter, make_run, waiting):
    run = make_run(tiny_adapter)
    asked = asked_for(Tuned.of(run.tuned), "merged").model_copy(update={"max_minutes": 1e-6})
    with pytest.raises(RunError, match="takes longer"):
        run_job(ask(asked), lambda: False)
    assert made_of(run.tuned) == []


def test_no_file_of_an_export_says_where_its_base_lay(tiny_adapter, tiny_llama, make_run, waiting, tmp_path):
    run = make_run(tiny_adapter)
    card = "---\nbase_model: {0}\nbase_model_relation: adapter\nlibrary_name: peft\n---\n\n# x\n\nFrom `{0}`.\n"
    (run.tuned / "README.md").write_text(
        f"{card.format(tiny_llama)}\n## The recipe\n\n```yaml\nbase: {tiny_llama}\n```\n"
    )
    for form in ("adapter", "merged", "gguf", "ollama"):
        do(ask(asked_for(Tuned.of(run.tuned), form)))
    for made, file in made_of(run.tuned):
        whole = file.read_bytes() if file.suffix == ".gguf" else _all_in(file)
        for told in (str(tiny_llama), str(tiny_llama.parent), str(tmp_path)):
            assert told.encode() not in whole, made.what.form
        if made.what.form == "adapter":
            assert tiny_llama.name.encode() in whole and b"That folder was on the machine" in whole
            assert b"\nbase_model" not in whole, "the Hub would take it for one of its own"


def _all_in(file: Path) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())

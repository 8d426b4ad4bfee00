"""Jobs in the queue of runs: who goes first, what stops, what is kept; and evaluations that are carried out."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from eval.report.folder import load
from eval.verdict.folder import load as load_verdict
from finetuning import limits as limiting
from finetuning.jobs import strangers
from finetuning.jobs.asked import EVALUATION, VERDICT, AnyModels, Evaluation
from finetuning.jobs.carrying_out import run_job
from finetuning.jobs.prompts import read_prompts
from finetuning.limits import ADMISSION, Limits, make_room
from finetuning.recipe import load_recipe
from finetuning.runs import jobs, launch
from finetuning.runs.folder import Run, active_states, create_run, list_runs, make_folder, process_started
from finetuning.runs.journal import TimeLeft
from finetuning.runs.locks import locked
from plumbing.errors import RecipeError, RunError

RECIPE = load_recipe("sentiment-smollm2-lora")


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(folder))
    return folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects what would be started; starting a process is the integration tests' work."""
    found: list[str] = []

    def note(run: Run) -> bool:
        run.update(state="running", pid=os.getpid(), pid_started=process_started(os.getpid()))
        found.append(run.id)
        return True

    monkeypatch.setattr(launch, "_start", note)
    return found


def evaluation(adapter: Path, **changes: Any) -> Evaluation:
    settings: dict[str, Any] = {"title": "tiny", "model": "bundled:tiny", "adapter": str(adapter)}
    return Evaluation(**settings | {"source": "corpus:reviews", "rows": 6} | changes)


def queued(kind: str, asked: jobs.Asked) -> Run:
    """A job that no worker takes."""
    return make_folder(f"{kind}.", jobs.JOB_FILE, asked.model_dump_json())


def test_a_job_goes_before_the_runs_that_wait_and_is_no_run(started: list[str], tmp_path: Path) -> None:
    going_on, waiting = launch.submit(RECIPE), launch.submit(RECIPE)
    first, second = (jobs.submit(EVALUATION, evaluation(tmp_path)) for _ in range(2))
    assert [launch.place_in_queue(each) for each in (first, second, waiting)] == [0, 1, 2]
    assert list_runs() == [waiting, going_on] and active_states().count("queued") == 3
    going_on.update(state="cancelled")
    launch.reconcile()
    assert started == [going_on.id, first.id]
    assert jobs.list_jobs({EVALUATION}) == [second, first] and jobs.list_jobs({VERDICT}) == []
    assert jobs.about(first).title == "tiny" and jobs.kind_of(first) == EVALUATION


def test_a_job_is_opened_by_its_id_and_by_its_owner_alone(started: list[str], tmp_path: Path, runs: Path) -> None:
    job = jobs.submit(EVALUATION, evaluation(tmp_path), owner="ana")
    assert jobs.open_job(job.id, owner="ana") == job
    (tmp_path / "outside" / job.id).mkdir(parents=True)
    for wrong, owner in (
        (job.id, "bea"),
        (f"../outside/{job.id}", None),
        (create_run(RECIPE).id, None),
        ("", None),
    ):
        with pytest.raises(RunError, match="no such job"):
            jobs.open_job(wrong, owner=owner)
    (job.folder / jobs.JOB_FILE).write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        jobs.about(job)


def test_what_is_in_the_trash_comes_back_as_it_was_to_whose_it_is(started: list[str], runs: Path) -> None:
    kept, run = create_run(RECIPE, owner="ana"), create_run(RECIPE, owner="ana")
    (run.folder / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    launch.trash(run)
    assert list_runs() == [kept]
    for wrong, owner in ((run.id, "bea"), (f"../.trash/{run.id}", "ana"), (kept.id, "ana")):
        with pytest.raises(RunError, match="not in the trash"):
            launch.restore(wrong, owner=owner)
    assert launch.restore(run.id, owner="ana") == run
    assert run.metrics()[0] and not (run.folder / "trashed").exists() and run.state() == "queued"


def test_a_job_that_is_asked_to_stop_has_a_second(started: list[str], tmp_path: Path) -> None:
    job, run = jobs.submit(EVALUATION, evaluation(tmp_path)), create_run(RECIPE)
    for each in (job, run):
        each.request_cancel()
        stamp = (each.folder / "cancel").read_text().split()
        (each.folder / "cancel").write_text(f"{stamp[0]} {time.monotonic() - 1.5}")
    assert launch.cancel_is_overdue(job, job.status()) and not launch.cancel_is_overdue(run, run.status())


def test_a_job_whose_process_is_gone_says_so_without_a_checkpoint(started: list[str], tmp_path: Path) -> None:
    job = jobs.submit(EVALUATION, evaluation(tmp_path))
    (job.folder / "status.json").write_text(
        job.status().model_copy(update={"pid": 2**22 - 1, "pid_started": 1.0}).model_dump_json()
    )
    launch.reconcile()
    status = job.status()
    assert status.state == "interrupted" and status.error and "Ask for it again" in status.error


def test_a_stranger_has_one_job_and_the_queue_an_end(started: list[str], tmp_path: Path, runs: Path) -> None:
    limits = Limits(evaluations_waiting=1)
    asked = evaluation(tmp_path)
    first = strangers.submit_within(EVALUATION, asked, limits, owner="ana")
    with pytest.raises(RunError, match="one such job at a time"):
        strangers.submit_within(EVALUATION, asked, limits, owner="ana")
    strangers.submit_within(EVALUATION, asked, limits, owner="bea")
    with pytest.raises(RunError, match="queue is full"):
        strangers.submit_within(EVALUATION, asked, limits, owner="cem")
    first.update(state="cancelled")
    strangers.submit_within(EVALUATION, asked, limits, owner="ana")
    (first.folder / "worker.log").write_bytes(bytes(2_000_000))
    make_room(Limits(runs_mb=1))
    assert not first.folder.exists(), "what is over counts, and goes first"


def test_another_process_of_the_page_admits_no_job_at_the_same_time(
    started: list[str], tmp_path: Path, runs: Path
) -> None:
    (runs / ADMISSION).mkdir(parents=True)
    asked = evaluation(tmp_path)
    admitted = threading.Thread(target=lambda: strangers.submit_within(EVALUATION, asked, Limits(), owner="ana"))
    with locked(runs / ADMISSION):  # as the other one holds it
        admitted.start()
        while admitted.is_alive() and not limiting._submitting.locked():
            admitted.join(0.01)
        for _ in range(10):
            admitted.join(0.1)
        assert not jobs.list_jobs()
    admitted.join()
    assert [job.owner for job in jobs.list_jobs()] == ["ana"]


def test_an_evaluation_leaves_its_report_and_says_how_far_it_is(tiny_adapter: Path) -> None:
    job = queued(EVALUATION, evaluation(tiny_adapter))
    phases = set()

    def look() -> bool:
        phases.add(job.status().phase)
        return False

    run_job(job, look)
    report, rows = load(job.evaluation)
    assert report.n == 6 and len(list(rows)) == 6 and job.status().state == "finished"
    assert "Reading the rows" in phases


def test_a_stopped_evaluation_is_cancelled_and_one_beyond_the_limits_is_refused(tiny_adapter: Path) -> None:
    def made(**changes: Any) -> Run:
        return queued(EVALUATION, evaluation(tiny_adapter, **changes))

    stopped = made()
    run_job(stopped, lambda: stopped.status().phase == "Reading the rows")
    assert stopped.status().state == "cancelled" and not stopped.evaluation.exists()
    with pytest.raises(RunError, match="longer than the 1e-06 minutes"):
        run_job(made(max_minutes=1e-6), lambda: False)
    with pytest.raises(RecipeError, match="this public page takes 3"):
        run_job(made(limits=Limits(rows=3)), lambda: False)
    with pytest.raises(RunError, match="kind of job"):
        run_job(queued("painting", evaluation(tiny_adapter)), lambda: False)


def test_any_models_are_compared_and_how_they_are_asked_is_known_before(
    tiny_adapter: Path, tiny_llama: Path
) -> None:
    asked = AnyModels(
        title="two",
        base=str(tiny_llama),
        tuned=(str(tiny_adapter),),
        data="corpus:reviews",
        task="sentiment",
        rows=6,
    )
    job = queued(VERDICT, asked)
    run_job(job, lambda: False)
    verdict, rows = load_verdict(job.evaluation)
    assert verdict.n == 6 and len(rows) == 6
    assert [prompt.key for prompt in read_prompts(job)] == ["base", "tuned"]


def test_the_time_left_is_that_of_the_part_that_is_done() -> None:
    left = TimeLeft()
    assert left.seconds("Base", 0, 400, 100.0) is None
    assert left.seconds("Base", 8, 400, 102.0) is None, "too soon to say"
    assert left.seconds("Base", 100, 400, 110.0) == 30.0
    assert left.seconds("Base", 10, 4000, 200.0) == pytest.approx(39900)
    assert left.seconds("Base", 400, 400, 140.0) is None
    assert left.seconds("Tuned", 50, 400, 141.0) is None, "another part may be slower"
    assert left.seconds("Tuned", 100, 400, 151.0) == 60.0
    assert left.seconds("Loading", 0, 0, 200.0) is None

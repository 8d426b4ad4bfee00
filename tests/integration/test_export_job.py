"""An export by a real worker: killed, asked for again, stopped."""

import os

import psutil

from finetuning.export.made import EXPORTS, made_of
from finetuning.export.tuned import Tuned
from finetuning.jobs.export import MAKING, ask, asked_for, sweep
from finetuning.runs import launch
from finetuning.runs.folder import create_run, process_started


def test_an_export_that_is_killed_is_whole_when_it_is_asked_for_again_and_one_that_is_stopped_is_not_there(
    tmp_path, monkeypatch, tiny_recipe, tiny_llama, make_adapter, wait_for
):
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    run = create_run(tiny_recipe())
    make_adapter(run.tuned_as(whole=False), tiny_llama)
    run.update(state="running", pid=os.getpid(), pid_started=process_started(os.getpid()))
    run.update(state="finished")
    asked = asked_for(Tuned.of(run.tuned), "merged")

    killed = ask(asked)
    wait_for(lambda: killed.status().state == "running" and killed.process_alive())
    psutil.Process(killed.status().pid).kill()
    wait_for(lambda: not killed.process_alive())
    launch.reconcile()
    assert killed.status().state == "interrupted" and "Ask for it again" in killed.status().error
    assert not (run.folder / EXPORTS).exists()

    again = ask(asked)
    for _ in launch.wait(again):
        pass
    assert again.status().state == "finished", again.log_tail()
    [(made, file)] = made_of(run.tuned)
    assert file.stat().st_size == made.bytes and not killed.folder.exists()

    stopped = ask(asked_for(Tuned.of(run.tuned), "gguf"))
    wait_for(lambda: stopped.status().state == "running")
    launch.cancel(stopped)
    wait_for(lambda: launch.reconcile() or stopped.status().state == "cancelled")
    wait_for(lambda: not stopped.process_alive())
    sweep()
    assert not (stopped.folder / MAKING).exists() and len(made_of(run.tuned)) == 1
    launch.reconcile()  # and so collects the process

"""A folder's lock has one holder at a time, and ends with it."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from finetuning.runs import locks
from plumbing.errors import RunError

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from finetuning.runs.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_keeps_others_out_until_its_holder_is_gone_however_it_ends(tmp_path, monkeypatch):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        monkeypatch.setattr(locks, "_TIMEOUT_S", 0.05)
        with pytest.raises(RunError, match="does not let go"), locks.locked(tmp_path):
            pass
        holder.kill()
    monkeypatch.undo()
    with locks.locked(tmp_path):
        pass


def test_threads_of_one_process_keep_each_other_out(tmp_path):
    inside, most, counting = 0, 0, threading.Lock()

    def work():
        nonlocal inside, most
        for _ in range(20):
            with locks.locked(tmp_path):
                with counting:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.001)  # long enough for another thread's turn
                with counting:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1

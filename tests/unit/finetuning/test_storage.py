"""A page does not start on storage that could not hold its runs."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetuning.runs import storage
from finetuning.runs.storage import check_storage
from plumbing.errors import RunError

ROOT = Path(__file__).resolve().parents[3]


def test_a_disk_holds_runs_and_nothing_stays_on_it(tmp_path):
    check_storage(tmp_path / "data" / "runs")
    assert list((tmp_path / "data" / "runs").iterdir()) == []


def refusing(error):
    def call(*_, **__):
        raise OSError(error, os.strerror(error))

    return call


def lost(self, target):
    """A rename that copies nothing and takes the file away."""
    self.unlink()
    return target


def shortened(self, mode="r", **more):
    return opened(self, mode.replace("a", "w"), **more)


opened = Path.open


@pytest.mark.parametrize(
    ("where", "name", "does", "said"),
    [
        (storage, "lock_descriptor", lambda *_, **__: True, "locks do not hold"),
        (storage, "lock_descriptor", refusing(errno.ENOTSUP), "locks do not hold.*not supported"),
        (storage, "lock_descriptor", lambda *_, **__: False, "locks do not hold"),
        (Path, "replace", refusing(errno.EXDEV), "renamed as a whole.*cross-device"),
        (Path, "replace", lost, "renamed as a whole"),
        (Path, "rename", refusing(errno.ENOTSUP), "renamed as a whole.*not supported"),
        (Path, "open", shortened, "added to a file"),
    ],
)
def test_storage_that_does_not_do_what_runs_rely_on_is_refused_by_what_does_not_hold(
    where, name, does, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(where, name, does)
    with pytest.raises(RunError, match=f"(?is){said}.*BEFORE_AFTER_RUNS"):
        check_storage(tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_full_or_cannot_be_written_to_is_another_matter(tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    check_storage(tmp_path / "a file" / "runs")
    monkeypatch.setattr(Path, "replace", refusing(errno.ENOSPC))
    check_storage(tmp_path)


def test_the_page_ends_with_one_line_where_locks_do_not_hold(tmp_path):
    code = (
        "import sys; sys.argv = ['app.py', '--port', '0']\n"
        "from finetuning.runs import storage; storage.lock_descriptor = lambda *_, **__: True\n"
        "import app; sys.exit(app.main())"
    )
    environment = os.environ | {"BEFORE_AFTER_RUNS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert (
        line.startswith("app.py: The runs folder is on storage whose locks do not hold") and str(tmp_path) in line
    )

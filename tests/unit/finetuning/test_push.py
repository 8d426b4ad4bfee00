"""A push to the Hub, against a real server on this machine that speaks as the Hub does."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants
from typer.testing import CliRunner

from finetuning.cli import app
from finetuning.export import hub as pushing
from finetuning.export.forms import Options, export
from finetuning.export.hub import push
from finetuning.export.tuned import Tuned
from finetuning.export.work import Stopped, Work
from plumbing import network
from plumbing.errors import RecipeError, RunError
from tests.integration.local_hub import Hub, Repository, served

# huggingface_hub 2.4 uploads large files by a parameter of httpx2 that has another name now.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
ANA, BEA = "hf_" + "a1B2" * 8, "hf_" + "b3C4" * 8


@pytest.fixture
def hub(monkeypatch):
    with served(Hub()) as serving:
        serving.accounts = {ANA: {"ana", "club"}, BEA: {"bea"}}
        monkeypatch.setattr(constants, "ENDPOINT", serving.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        network.hub_reachable.cache_clear()
        yield serving
    network.hub_reachable.cache_clear()


@pytest.fixture
def tuned(tiny_adapter, tmp_path):
    """An adapter with what must not leave beside it."""
    folder = tmp_path / "tuned"
    shutil.copytree(tiny_adapter, folder)
    for name in ("trained-rows.json", "optimizer.pt"):
        (folder / name).write_text("private")
    return Tuned.of(folder)


def test_an_adapter_is_pushed_with_its_card_in_one_commit_and_again_over_itself(hub, tuned):
    notes = push(tuned, "ana/tuned", ANA, Work(), private=True)
    assert notes[0] == f"Pushed: {hub.endpoint}/ana/tuned"
    held = hub.models["ana/tuned"]
    assert held.private and held.commits == 2, "the one that makes it, and one"
    assert set(held.files) == {
        ".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors", "base_model.json",
        "chat_template.jinja", "prompt.json", "task.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert held.files["adapter_model.safetensors"] == (tuned.folder / "adapter_model.safetensors").read_bytes()
    card = held.files["README.md"].decode()
    assert 'folder = "ana/tuned"' in card and str(tuned.origin.name) not in card
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["library_name"] == "peft" and "base_model" not in front
    assert json.loads(held.files["base_model.json"])["name"] == tuned.base_name
    assert hub.tokens == {f"Bearer {ANA}"}

    held.files["notes.md"] = b"mine"
    push(tuned, "ana/tuned", ANA, Work(), merged=True)
    assert held.commits == 3 and held.files["notes.md"] == b"mine" and held.private
    assert "model.safetensors" in held.files and "adapter_model.safetensors" not in held.files
    assert b"base_model_relation: merge" not in held.files["README.md"], "its base was a folder"


def test_what_is_not_ours_is_let_be(hub, tuned):
    theirs = ({"README.md": b"# my model\n"}, {"model.safetensors": b"x", "config.json": b"{}"})
    for number, files in enumerate(theirs):
        held = hub.models[f"ana/other{number}"] = Repository()
        held.files |= files
        before = dict(held.files)
        with pytest.raises(RunError, match=rf"not pushed from here: {sorted(files)[0]}"):
            push(tuned, f"ana/other{number}", ANA, Work())
        assert held.files == before and held.commits == 1


def test_whatever_is_in_the_way_is_a_sentence_without_the_token(hub, tuned, monkeypatch):
    for repository in ("tuned", "ana/tuned/x", "ana/..", "../ana", "ana/a--b", "", "ana/tuned.git", "a b/c"):
        with pytest.raises(RecipeError, match="OWNER/NAME"):
            push(tuned, repository, ANA, Work())
    for token, repository, says in (
        ("", "ana/tuned", "by your own token, and there is none"),
        ("hf_" + "x" * 34, "ana/tuned", "does not know this token"),
        (BEA, "ana/tuned", "may not write there: You don't have the rights"),
    ):
        with pytest.raises(RunError, match=says) as refused:
            push(tuned, repository, token, Work())
        assert not token or token not in str(refused.value)
    assert not hub.models
    push(tuned, "ana/tuned", ANA, Work())
    with pytest.raises(RunError, match="may not write there"):  # a public one of ana's, which bea can read
        push(tuned, "ana/tuned", BEA, Work())
    assert hub.models["ana/tuned"].commits == 2
    with pytest.raises(Stopped):
        push(tuned, "ana/another", ANA, Work(should_stop=lambda: True))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    network.hub_reachable.cache_clear()
    with pytest.raises(RunError, match="cannot be reached from here"):
        push(tuned, "ana/tuned", ANA, Work())


def test_a_repository_that_changes_meanwhile_is_not_written_over(hub, tuned, monkeypatch):
    write = pushing._write

    def meanwhile(*arguments, **options):
        if "ana/tuned" in hub.models:
            hub.models["ana/tuned"].commits += 1
        return write(*arguments, **options)

    push(tuned, "ana/tuned", ANA, Work())
    monkeypatch.setattr(pushing, "_write", meanwhile)
    with pytest.raises(RunError, match="changed meanwhile, and nothing was written"):
        push(tuned, "ana/tuned", ANA, Work(), merged=True)
    assert "model.safetensors" not in hub.models["ana/tuned"].files


def test_the_command_pushes_by_the_token_that_is_stored_and_nothing_else_falls_back_on_it(hub, tuned, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", ANA)
    done = CliRunner().invoke(app, ["export", str(tuned.folder), "hub", "club/tuned", "--private"])
    assert done.exit_code == 0, done.output
    said = done.output.replace("\n", "")
    assert f"Pushed: {hub.endpoint}/club/tuned" in said and "Written:" not in said and ANA not in said
    assert hub.models["club/tuned"].private
    with pytest.raises(RunError, match="by your own token, and there is none"):
        export(tuned.folder, "hub", Path("ana/tuned"), options=Options())
    with pytest.raises(RecipeError, match="Name it: OWNER/NAME"):
        export(tuned.folder, "hub", options=Options(token=ANA))
    assert ANA not in repr(Options(token=ANA))

"""What an engine is started with: its command, llama.cpp's files, and the loop that starts it again."""

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.sides.engine.shelf import name_of
from finetuning.cli import app
from finetuning.export.engine import Prepared
from finetuning.export.work import Work
from plumbing.errors import ModelError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bundled(tmp_path, tiny_adapter, tiny_dialogue_adapter, tiny_whole, monkeypatch):
    """Two adapters on the tiny Llama, and a whole model, which no engine is given."""
    folder = tmp_path / "bundled"
    for name, made in (("sentiment", tiny_adapter), ("dialogue", tiny_dialogue_adapter), ("whole", tiny_whole)):
        shutil.copytree(made, folder / name)
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(folder))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "the runs"))
    return folder


def test_every_engine_is_told_the_model_its_name_and_the_largest_rank(bundled, tiny_llama):
    found = Prepared.of()
    assert found.base.path == tiny_llama and len(found.adapters) == 2
    for command in (found.for_vllm(), found.for_sglang()):
        words = shlex.split(command)
        assert words[words.index("--served-model-name") + 1] == str(tiny_llama) and "--enable-lora" in words
        assert words[words.index("--max-lora-rank") + 1] == "8"
    with pytest.raises(ModelError, match=r"No adapter was tuned from this base model.*owner/other"):
        Prepared.of("owner/other")


def test_llama_cpp_gets_its_files_where_the_app_looks_for_them(bundled, tiny_llama, make_adapter, tmp_path):
    make_adapter(bundled / "dora", tiny_llama, use_dora=True)
    found = Prepared.of()
    command, notes = found.for_llama_cpp("f32", Work())
    words = shlex.split(command)
    shelf = tmp_path / "the runs" / ".engine"
    model = Path(words[words.index("-m") + 1])
    given = [Path(words[at + 1]) for at, word in enumerate(words) if word == "--lora"]
    assert model == shelf / f"{tiny_llama.name}-f32.gguf" and model.is_file()
    names = {name_of(bundled / each) for each in ("sentiment", "dialogue")}
    assert {file.stem for file in given} == names == found.shelf.names()
    assert any("dora is left out: Only a plain LoRA" in note for note in notes)
    made = model.stat().st_mtime_ns
    assert found.for_llama_cpp("f32", Work())[0] == command and model.stat().st_mtime_ns == made


def test_the_command_says_how_each_is_started(bundled):
    done = CliRunner().invoke(app, ["engine", "--gguf", "f32"])
    assert done.exit_code == 0, done.output
    for begins in ("VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve", "python -m sglang", "llama-server -m"):
        assert begins in done.output
    assert "2 adapters on it" in done.output


SERVER = """#!/bin/sh
echo "$@" >> "$STARTED"
exec sleep 600
"""


def test_llama_cpp_is_started_again_with_the_adapters_that_there_are(tmp_path):
    program, started, shelf = tmp_path / "llama-server", tmp_path / "started", tmp_path / "the shelf"
    program.write_text(SERVER)
    program.chmod(0o755)
    started.touch()
    shelf.mkdir()
    first, second = (shelf / f"before-after-{number}.gguf" for number in (1, 2))
    first.touch()

    def lines(count):
        until = time.monotonic() + 120
        while len(found := started.read_text().splitlines()) < count:
            assert time.monotonic() < until, found
            time.sleep(0.05)
        return found

    command = [ROOT / "docs" / "examples" / "llama_server.sh", shelf / "base-q8_0.gguf", "-np", "16"]
    environment = os.environ | {"LLAMA_SERVER": str(program), "LOOK_S": "0.1", "STARTED": str(started)}
    with subprocess.Popen(command, env=environment) as loop:
        try:
            always = f"-m {shelf}/base-q8_0.gguf -np 16 --lora-init-without-apply"
            assert lines(1) == [f"{always} --lora {first}"]
            second.touch()
            assert lines(2)[1:] == [f"{always} --lora {first} --lora {second}"]
            first.unlink()
            assert lines(3)[2:] == [f"{always} --lora {second}"]
        finally:
            loop.terminate()

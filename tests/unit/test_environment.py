"""Tests see none of a developer's settings, and a GPU only where they are asked to (tests/conftest.py)."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SET = {
    "BEFORE_AFTER_LIMITS": "rows=1",
    "BEFORE_AFTER_RUNS": "/nowhere",
    "GRADIO_ROOT_PATH": "/elsewhere",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "all_proxy": "socks://127.0.0.1:9",
}


def test_none_is_set():
    assert not SET.keys() & os.environ.keys()


def test_no_gpu_is_seen():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_none_is_set_where_all_were():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{test_none_is_set.__name__}",
        f"{__file__}::{test_no_gpu_is_seen.__name__}",
    ]
    env = os.environ | SET | {"CUDA_VISIBLE_DEVICES": "0"}
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("expression", "seen"), [("", False), ("not cuda", False), ("cuda", True), ("cuda and not slow", True)]
)
def test_a_gpu_is_seen_where_the_marker_is_asked_for(expression, seen, request, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    conftest = request.config.pluginmanager.get_plugin(str(Path(__file__).parents[1] / "conftest.py"))
    conftest.pytest_configure(SimpleNamespace(option=SimpleNamespace(markexpr=expression)))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ("0" if seen else "")

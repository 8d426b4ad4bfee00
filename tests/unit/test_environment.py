"""Tests see none of a developer's settings (tests/conftest.py)."""

import os
import subprocess
import sys
from pathlib import Path

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


def test_none_is_set_where_all_were():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{test_none_is_set.__name__}",
    ]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=os.environ | SET, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout

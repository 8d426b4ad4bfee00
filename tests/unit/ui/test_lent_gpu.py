"""Elsewhere than on ZeroGPU nothing is lent, and models stay on what this machine has."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from models.loading import device
from plumbing import zero_gpu
from ui.server import lent_gpu

ROOT = Path(__file__).resolve().parents[3]


def test_without_the_package_an_answer_is_written_by_whoever_writes_it_anyway():
    assert lent_gpu.answers_there is lent_gpu._answers
    both = object()
    assert lent_gpu.lent(both, None, None) is both


@pytest.mark.parametrize(
    ("said", "imported", "forked", "pretended"),
    [
        ("", True, False, False),
        ("true", False, False, False),
        ("true", True, False, True),
        ("true", True, True, False),
    ],
)
def test_torch_pretends_only_in_the_pages_own_process(said, imported, forked, pretended, monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", said)
    if imported:
        monkeypatch.setitem(sys.modules, "spaces.zero.torch", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "spaces.zero.wrappers", SimpleNamespace(forked=forked))
    assert zero_gpu.is_pretended() is pretended
    assert zero_gpu.is_here() is (imported and said == "true")
    device.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    try:
        assert device().type == ("cpu" if pretended else "cuda")
    finally:
        device.cache_clear()


def test_a_forked_process_asks_anew_where_models_are_loaded():
    code = (
        "import os, sys, types, torch\n"
        "from models.loading import device\n"
        "sys.modules['spaces.zero.torch'] = types.ModuleType('torch')\n"
        "wrappers = sys.modules['spaces.zero.wrappers'] = types.SimpleNamespace(forked=False)\n"
        "torch.cuda.is_available, torch.cuda.current_device = (lambda: True), (lambda: 0)\n"
        "print(device(), flush=True)\n"
        "if os.fork() == 0:\n"
        "    wrappers.forked = True\n"
        "    print(device(), flush=True)\n"
        "else:\n"
        "    os.wait()\n"
    )
    environment = os.environ | {"SPACES_ZERO_GPU": "true"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["cpu", "cuda:0"], done.stderr

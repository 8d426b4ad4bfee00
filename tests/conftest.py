"""What a developer has set for their own use of the app and its libraries decides nothing in a test.

Nor does a GPU: only a run that asks for the tests marked `cuda` sees one.
"""

import gc
import os
import re

import pytest

OURS = ("BEFORE_AFTER_", "GRADIO_", "HF_", "HUGGING", "SPACE_", "TRANSFORMERS_")
KEPT = ("BEFORE_AFTER_CACHE", "HF_HOME", "HF_HUB_CACHE")
"""Where models have been fetched to already."""


def pytest_configure(config):
    """Before any module is imported: for this process, its workers, and every app and command that it starts."""
    for name in list(os.environ):
        if (name.startswith(OURS) and name not in KEPT) or name.lower().endswith("_proxy"):
            del os.environ[name]
    if not re.search(r"(?<!not )\bcuda\b", config.option.markexpr):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # torch, asked later, finds no GPU


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Modules are imported without looking for garbage: there is hardly any among all that libraries bring."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()

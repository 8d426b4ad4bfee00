"""Whole tuned models on the page: they are listed and opened as adapters are, and never fill the memory."""

import threading
from pathlib import Path
from typing import Any

import pytest

from models.pair import Pair
from ui.server import choices
from ui.server.choices import Choice
from ui.server.models_in_use import KEPT_WEIGHTS, ModelsInUse
from ui.server.visitors import LOCAL


def opened(models: ModelsInUse, choice: Choice) -> Pair:
    *_, pair = models.open(choice, threading.Event())
    assert isinstance(pair, Pair)
    return pair


def held(models: ModelsInUse) -> list[str]:
    return list(models._open)


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    return tmp_path / "bundled"


def test_whole_models_are_listed_opened_and_closed_before_they_are_too_many(
    bundled: Path, tiny_llama: Path, make_whole: Any, make_adapter: Any
) -> None:
    for name in ("a-whole", "b-whole"):
        make_whole(bundled / name, tiny_llama)
    for name in ("c-adapter", "d-adapter"):
        make_adapter(bundled / name, tiny_llama)
    found = {choice.folder.name: choice for choice in choices.all_choices(LOCAL)}
    assert {name: choice.whole for name, choice in found.items()} == {
        "a-whole": True, "b-whole": True, "c-adapter": False, "d-adapter": False
    }  # fmt: skip
    assert KEPT_WEIGHTS == 3
    models = ModelsInUse()
    assert opened(models, found["a-whole"]).is_whole
    opened(models, found["c-adapter"])
    assert held(models) == ["bundled:a-whole", "bundled:c-adapter"]  # three models
    opened(models, found["b-whole"])  # two more: the one used the longest ago goes
    assert held(models) == ["bundled:c-adapter", "bundled:b-whole"]
    opened(models, found["a-whole"])
    assert held(models) == ["bundled:a-whole"]
    for name in ("c-adapter", "d-adapter"):
        opened(models, found[name])
    assert held(models) == ["bundled:c-adapter", "bundled:d-adapter"]

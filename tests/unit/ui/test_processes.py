"""Several processes of the page on one folder of runs: none takes what another does for a fault."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finetuning.runs.storage import check_storage
from ui.server import health


def test_a_folder_is_tried_by_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers of their own they even have the same number, as threads have here."""
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    with ThreadPoolExecutor(8) as processes:
        states = list(processes.map(lambda _: health.look()[0], range(200)))
        assert states == [200] * 200
        assert list(processes.map(lambda _: check_storage(tmp_path), range(50))) == [None] * 50
    assert list(tmp_path.iterdir()) == []

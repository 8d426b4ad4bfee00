"""Options of the regression gate; see `eval/test_regression.py`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("regression gate")
    group.addoption("--run", metavar="RUN_DIR", help="gate this run instead of the adapters that ship")
    group.addoption("--against", metavar="RUN_DIR", help="and compare it with this other run, on the same rows")
    group.addoption("--update-baselines", action="store_true", help="measure the baselines again and write them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Either the adapters that ship are gated, or one run."""
    unwanted = "test_bundled" if config.getoption("--run", default=None) else "test_run"
    left_out = [item for item in items if item.name.startswith(unwanted) and item.path.parent.name == "eval"]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

"""Options of the regression gate; see `eval/test_regression.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

OF_SIDES: dict[str, dict[str, Any]] = {
    "--data": {"metavar": "SOURCE", "help": "the rows of --base and --tuned"},
    "--task": {"metavar": "TASK", "help": "their task, where it cannot be told"},
    "--set": {"metavar": "SETTING", "action": "append", "default": [], "help": "how they are read; repeatable"},
    "--rows": {"metavar": "COUNT", "type": int, "help": "only a sample of so many"},
    "--metric": {"metavar": "METRIC", "help": "what the verdict is about"},
    "--instruction": {"metavar": "TEXT", "help": "what a model is told to do with every row"},
    "--trained-on": {"metavar": "FILE", "action": "append", "default": [], "help": "rows that were learned from"},
    "--option": {"metavar": "SIDE.NAME=VALUE", "action": "append", "default": [], "help": "of a side; repeatable"},
    "--non-inferior": {"metavar": "MARGIN", "type": float, "help": "the largest loss that is let through"},
    "--require": {"metavar": "DEMAND", "action": "append", "default": [], "help": "better, or slices; repeatable"},
}
"""What else may be said of --base and --tuned: options of `python -m eval compare`, and as there."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("regression gate")
    group.addoption("--run", metavar="RUN_DIR", help="gate this run instead of the adapters that ship")
    group.addoption("--against", metavar="RUN_DIR", help="and compare it with this other run, on the same rows")
    group.addoption("--base", metavar="SIDE", help="gate --tuned against this, as python -m eval compare does")
    group.addoption("--tuned", metavar="SIDE", action="append", help="what may not be worse than it; repeatable")
    for option, how in OF_SIDES.items():
        group.addoption(option, **how)
    group.addoption("--update-baselines", action="store_true", help="measure the baselines again and write them")


def pytest_configure(config: pytest.Config) -> None:
    """Half of a comparison is none, and what ships is not gated in its place."""
    given = {option for option in ("--base", "--tuned", *OF_SIDES) if config.getoption(option, default=None)}
    missing = [option for option in ("--base", "--tuned") if option not in given]
    if given and missing:
        raise pytest.UsageError(f"A comparison has a base and a tuned side: add {' and '.join(missing)}")
    if config.getoption("--against", default=None) and not config.getoption("--run", default=None):
        raise pytest.UsageError("A run is compared with --against another: add --run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The adapters that ship are gated, or one run, or any sides."""
    tests = {"--run": "test_run", "--tuned": "test_sides"}
    wanted = [name for option, name in tests.items() if config.getoption(option, default=None)] or ["test_bundled"]
    unwanted = tuple({*tests.values(), "test_bundled"} - {*wanted})
    here = Path(__file__).parent
    left_out = [item for item in items if item.name.startswith(unwanted) and item.path.parent == here]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

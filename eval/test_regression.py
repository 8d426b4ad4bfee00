"""The regression gate under pytest: what ships, or a run, is not worse than it was.

    pytest eval/                                    the adapters that ship, on the frozen test splits
    pytest eval/ --update-baselines                 measure their baselines again, and print the difference
    pytest eval/ --run RUN_DIR                      a run: against its base and against its own report
    pytest eval/ --run RUN_DIR --against OTHER_DIR  and against another run, on the rows of the first

A table is printed either way.
"""

from pathlib import Path

import pytest

from data.errors import RunError
from data.sources import open_source
from eval.gate import (
    Baseline,
    baseline_file,
    check,
    check_run,
    frozen_rows,
    measured,
    read_baseline,
    write_baseline,
)
from eval.harness import compare
from models.adapter_files import CONFIG_FILE
from models.pair import open_pair

BUNDLED = Path(__file__).parents[1] / "models" / "bundled"
ADAPTERS = sorted(path.parent for path in BUNDLED.glob(f"*/{CONFIG_FILE}"))
CORPORA = {"sentiment": "corpus:reviews", "dialogue": "corpus:dialogues"}


def test_bundled_adapters_are_there() -> None:
    assert ADAPTERS, f"{BUNDLED} holds no adapter: make them with `make adapters`"


@pytest.mark.parametrize("folder", ADAPTERS, ids=lambda path: path.name)
def test_bundled_adapter_is_not_worse(
    folder: Path, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = open_pair(folder)
    spec = CORPORA[pair.task.name]
    result = compare(pair, open_source(spec, pair.task).splits["test"], data_spec=spec)
    now = measured(folder.name, result)
    path = baseline_file(folder.name, now.origin)
    outcome = check(now, read_baseline(path))
    with capsys.disabled():
        print(f"\n{outcome}\n{result.report.seconds:.0f} s")
    if pytestconfig.getoption("--update-baselines", default=False):
        write_baseline(now, path)
        return
    assert outcome.passed, "; ".join(outcome.failures)


def test_run_is_not_worse(pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(pytestconfig.getoption("--run"))
    report, rows, test = frozen_rows(folder / "eval")

    def scored(run: Path) -> Baseline:
        if not (run / "adapter").is_dir():
            raise RunError("This run has no adapter", got=str(run), fix="Give the folder of a finished run.")
        pair = open_pair(run / "adapter")
        limit = report.max_new_tokens or 64
        return measured(run.name, compare(pair, test, data_spec=report.data.spec, max_new_tokens=limit))

    other = pytestconfig.getoption("--against")
    outcome = check_run(
        scored(folder), Baseline.of(folder.name, report, rows), scored(Path(other)) if other else None
    )
    with capsys.disabled():
        print(f"\n{outcome}")
    assert outcome.passed, "; ".join(outcome.failures)

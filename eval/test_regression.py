"""The regression gate under pytest: what ships, or a run, is not worse than it was.

    pytest eval/                                    the adapters that ship, on the frozen test splits
    pytest eval/ --update-baselines                 measure their baselines again, and print the difference
    pytest eval/ --run RUN_DIR                      a run: against its base and against its own report
    pytest eval/ --run RUN_DIR --against OTHER_DIR  and against another run, on the rows of the first
    pytest eval/ --base X --tuned Y --data FILE     any two models or more, as `python -m eval compare` does

A table is printed either way.
"""

from functools import partial
from pathlib import Path
from statistics import fmean

import pytest

from data.sources import open_source
from data.trained_rows import TrainedRows
from eval.asked.comparing import compared
from eval.asked.request import Request
from eval.commands.printing import print_prompt, print_verdict
from eval.compare import compare
from eval.exactness import check as check_fast_path
from eval.exactness import open_plain
from eval.gate import (
    Baseline,
    baseline_file,
    check,
    check_run,
    frozen_rows,
    known_to,
    measured,
    read_baseline,
    write_baseline,
)
from eval.remeasured import remeasured
from eval.verdict.demands import demands_named, failures
from models.adapter_files import CONFIG_FILE
from models.pair import Pair, open_pair
from models.scoring import ROUNDING
from models.tuned import tuned_in
from plumbing.errors import UserError
from plumbing.terminal import console

BUNDLED = Path(__file__).parents[1] / "models" / "bundled"
ADAPTERS = sorted(path.parent for path in BUNDLED.glob(f"*/{CONFIG_FILE}"))
FAST_PATH_ROWS = {True: 4, False: 2}
"""Of labels, and of texts: those are up to 12 tokens, each of them computed four times over."""


def test_bundled_adapters_are_there() -> None:
    assert ADAPTERS, f"{BUNDLED} holds no adapter: make them with `make adapters`"


@pytest.fixture(scope="module", params=ADAPTERS, ids=lambda path: path.name)
def shipped(request: pytest.FixtureRequest) -> tuple[Path, Pair]:
    """An adapter that ships, and its pair."""
    return request.param, open_pair(request.param)


def test_bundled_adapter_is_not_worse(
    shipped: tuple[Path, Pair], pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, pair = shipped
    path = baseline_file(folder.name, pair.base.origin)
    then, update = read_baseline(path), pytestconfig.getoption("--update-baselines", default=False)
    test = open_source(pair.task.corpus, pair.task).splits["test"]
    now, base_on = remeasured(folder.name, pair, test, None if update else then)
    outcome = check(now, then, base_on=base_on)
    with capsys.disabled():
        print(f"\n{outcome}")
    if update:
        write_baseline(now, path)
        return
    assert outcome.passed, "; ".join(outcome.failures)


def test_bundled_adapter_loses_nothing_to_the_fast_path(shipped: tuple[Path, Pair]) -> None:
    """A few rows by the libraries' own modules, too; `python -m benchmarks.fast_path` takes as many as you like."""
    folder, pair = shipped
    plain, rows = open_plain(pair, folder), FAST_PATH_ROWS[pair.task.is_classification]
    test = open_source(pair.task.corpus, pair.task).splits["test"].select(range(rows))
    found = list(check_fast_path(pair, plain, test[pair.task.input_column][:], max_new_tokens=12))
    assert len(found) == 2 * rows
    ours, theirs = (fmean(getattr(one, way) for one in found) for way in ("fast_error", "own_error"))
    if plain.exact is plain.own:  # in float32 nothing is rounded but the order of sums
        assert max(one.fast_error for one in found) < 1e-3
        assert [one.fast for one in found if one.margin > 1e-3] == [one.own for one in found if one.margin > 1e-3]
    assert ours <= theirs + ROUNDING


def test_run_is_not_worse(pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(pytestconfig.getoption("--run"))
    pair = open_pair(tuned_in(folder))
    report, rows, test = frozen_rows(folder / "eval", pair.task)

    def scored(run: Path, pair: Pair) -> Baseline:
        limit = report.max_new_tokens or 64
        return measured(run.name, compare(pair, test, data_spec=report.data.spec, max_new_tokens=limit))

    now = scored(folder, pair)
    against, trained_on = None, None
    if other := pytestconfig.getoption("--against"):
        against = scored(Path(other), open_pair(tuned_in(Path(other))))
        if trained := TrainedRows.load(Path(other)):
            trained_on = [known_to(trained, row) for row in rows]
    outcome = check_run(now, Baseline.of(folder.name, report, rows), against, trained_on)
    with capsys.disabled():
        print(f"\n{outcome}")
    assert outcome.passed, "; ".join(outcome.failures)


def test_sides_are_not_worse(pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    option = pytestconfig.getoption
    request = Request(
        base=option("--base"),
        tuned=option("--tuned"),
        data=option("--data"),
        task=option("--task"),
        settings=option("--set"),
        rows=option("--rows"),
        metric=option("--metric"),
        instruction=option("--instruction"),
        trained_on=option("--trained-on"),
        options=option("--option"),
        margin=option("--non-inferior"),
        yes=True,
    )
    with capsys.disabled():
        print()
        try:
            demanded = demands_named(option("--require"))
            verdict, _rows = compared(request, on_prompt=partial(print_prompt, console))
        except UserError as error:  # nothing is known to be worse
            pytest.exit(f"It could not run: {error}", returncode=2)
        print_verdict(console, verdict)
    found = failures(verdict, demanded)
    assert not found, "; ".join(failure.sentence for failure in found)

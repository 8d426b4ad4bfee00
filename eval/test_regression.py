"""The regression gate: every adapter that ships still beats its base on the frozen test split of its corpus.

    pytest eval/

Fails where an adapter or a change of code made the tuned side worse than this, and where no adapter ships.
"""

from pathlib import Path

import pytest

from data.sources import open_source
from eval.harness import compare
from eval.markdown import headline, table
from models.adapters import CONFIG_FILE
from models.pair import open_pair

BUNDLED = Path(__file__).parents[1] / "models" / "bundled"
ADAPTERS = sorted(path.parent for path in BUNDLED.glob(f"*/{CONFIG_FILE}"))

CORPORA = {"sentiment": "corpus:reviews", "dialogue": "corpus:dialogues"}
MOST_ROWS = {"dialogue": 40}  # generating takes seconds a row; scoring labels takes milliseconds
MIN_ACCURACY_GAIN = 0.10
MIN_ROUGE_RATIO = 1.3


def test_adapters_are_bundled() -> None:
    assert ADAPTERS, f"{BUNDLED} holds no adapter: train one with the command in the README and put it there"


@pytest.mark.parametrize("folder", ADAPTERS, ids=lambda path: path.name)
def test_tuned_beats_base(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = open_pair(folder)
    spec = CORPORA[pair.task.name]
    test = open_source(spec, pair.task).splits["test"]
    test = test.select(range(min(len(test), MOST_ROWS.get(pair.task.name, len(test)))))
    report = compare(pair, test, data_spec=spec).report
    with capsys.disabled():
        print(f"\n{folder.name}: {headline(report)}\n{table(report)}\n{report.seconds:.0f} s")
    metric = report.primary
    if metric.name == "accuracy":
        assert metric.difference >= MIN_ACCURACY_GAIN
    else:
        assert metric.tuned >= MIN_ROUGE_RATIO * metric.base

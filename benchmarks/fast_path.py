"""python -m benchmarks.fast_path: the adapters that ship, by our fast path and by `transformers` and peft alone.

Row by row, in the precision that this machine computes in, and beside both in float32: what is lost to rounding and
what to the fast path. `pytest eval/` does the same on a few rows.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from statistics import fmean

from benchmarks.results import ROOT, table, tell
from data.sources import open_source
from eval.exactness import Checked, check, open_plain
from eval.scores import row_scores
from models.pair import open_pair

CORPORA = {"sentiment-smollm2-lora": "corpus:reviews", "dialogue-smollm2-qlora": "corpus:dialogues"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20, help="of each test split (default: 20)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them (default: 0)")
    parser.add_argument("--only", choices=CORPORA, help="this adapter")
    options = parser.parse_args()
    for name in [options.only] if options.only else CORPORA:
        print(measure(name, options.first, options.rows), end="\n\n")


def measure(name: str, first: int, rows: int) -> str:
    """Markdown: one adapter's two sides on `rows` rows from `first` on."""
    adapter = ROOT / "models" / "bundled" / name
    pair = open_pair(adapter)
    plain = open_plain(pair, adapter)
    test = open_source(CORPORA[name], pair.task).splits["test"]
    test = test.select(range(first, min(first + rows, len(test))))
    references = [pair.task.references(row) for row in test]
    found = []
    for checked in check(pair, plain, test[pair.task.input_column][:]):
        found.append(checked)
        tell(f"  {name}, row {first + checked.row}, {'tuned' if checked.tuned else 'base'}")

    def scored(of: Sequence[Checked], way: str) -> str:
        answers = [getattr(one, way) for one in of]
        return f"{fmean(row_scores(answers, [references[one.row] for one in of], pair.task)):.3f}"

    def line(side: str, of: Sequence[Checked]) -> list[str]:
        apart = sorted(one.margin for one in of if one.fast != one.exact)
        return [
            side,
            *(scored(of, way) for way in ("fast", "own", "exact")),
            *(
                f"{math.sqrt(fmean(getattr(one, way) ** 2 for one in of)):.2g}"
                for way in ("fast_error", "own_error")
            ),
            f"{len(apart)}" + (f" (margins {', '.join(f'{margin:.3f}' for margin in apart)})" if apart else ""),
        ]

    computed = str(pair.model.dtype).removeprefix("torch.")
    head = (
        f"{name}, {len(test)} rows, {pair.precision} computed in {computed}",
        "ours",
        "libraries",
        "in float32",
        "our error",
        "theirs",
        "ours otherwise than in float32",
    )
    sides = (("base", False), ("tuned", True))
    return table(head, [line(side, [one for one in found if one.tuned == tuned]) for side, tuned in sides])


if __name__ == "__main__":
    main()

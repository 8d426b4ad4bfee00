"""python -m benchmarks.agree_with_lm_eval: our label scores against lm-evaluation-harness, row by row and in time.

Both read the reviews' test split, lm-eval as the task that `eval.lm_eval_task` writes, with the adapter that ships
as `peft`. In float32 every prediction has to agree. In bfloat16 lm-eval also rounds logits and log-probabilities:
rows with a margin of that size may not. Both are then timed in turns, models loaded and tasks read beforehand.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.sources import open_source
from eval.lm_eval_task import export_task
from models.loading import device
from models.pair import Pair, open_pair
from models.scoring import ROUNDING, score_labels

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

ADAPTER = Path(__file__).resolve().parent.parent / "models" / "bundled" / "sentiment-smollm2-lora"
BATCH_SIZE = 32
PRECISIONS = ("float32", "bfloat16")


class LmEval:
    """lm-eval with both sides loaded, and the exported task."""

    def __init__(self, pair: Pair, texts: list[str], labels: list[str], precision: str, folder: Path) -> None:
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        self.task = export_task(
            pair.prompter,
            texts,
            [[label] for label in labels],
            folder,
            base=pair.base,
            adapter=ADAPTER,
            precision=precision,
        )
        self.tasks = TaskManager(include_path=str(folder), include_defaults=False)
        options: dict[str, Any] = {
            "pretrained": str(pair.base.path),
            "dtype": precision,
            "add_bos_token": False,
            "device": device().type,
            "batch_size": BATCH_SIZE,
        }
        self.base, self.tuned = HFLM(**options), HFLM(**options, peft=str(ADAPTER))

    def run(self, side: HFLM) -> tuple[list[list[float]], float]:
        """Each label's log-likelihood for each row, and the seconds that it took."""
        from lm_eval.evaluator import evaluate

        task = self.tasks.load([self.task])
        started = time.perf_counter()
        samples = evaluate(lm=side, task_dict=task, bootstrap_iters=0)["samples"][self.task]
        seconds = time.perf_counter() - started
        samples.sort(key=lambda sample: sample["doc_id"])
        return [[score for score, _ in sample["filtered_resps"]] for sample in samples], seconds


def agree(side: str, theirs: list[list[float]], ours: list[list[float]]) -> bool:
    """Print how one side's label scores compare, and return whether every prediction is the same.

    A score is the log-probability of `positive` over that of `negative`, which no constant for both changes.
    """
    # lm-eval takes the first label where both are equally probable, and so do we.
    pairs = [(t[1] - t[0], o[1] - o[0]) for t, o in zip(theirs, ours, strict=True)]
    apart = [abs(o) for t, o in pairs if (t > 0) != (o > 0)]
    print(f"  {side:6} {len(pairs) - len(apart)} of {len(pairs)} predictions agree", end="")
    print(f", largest difference of a score {max(abs(t - o) for t, o in pairs):.2g}", end="")
    print(f", {sum(abs(o) <= ROUNDING for _, o in pairs)} margins within {ROUNDING}")
    if apart:
        print(f"         margins of those that do not: {', '.join(f'{margin:.3f}' for margin in sorted(apart))}")
    return not apart


def main() -> None:
    """Check, measure, print; exit code 1 where float32 predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--precision", choices=PRECISIONS, help="only this one; by default one after the other")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)

    same = True
    for precision in [arguments.precision] if arguments.precision else PRECISIONS:
        pair = open_pair(ADAPTER)
        stay_offline()
        if precision == "float32":
            pair.model.float()  # the weights are stored in bfloat16: none is rounded
        test = open_source("corpus:reviews", pair.task).splits["test"]
        test = test.select(range(min(arguments.rows, len(test))))
        texts, labels = test["text"][:], test["label"][:]
        with tempfile.TemporaryDirectory() as scratch:
            lm_eval = LmEval(pair, texts, labels, precision, Path(scratch) / "task")
            print(
                f"{len(texts)} reviews, {pair.base.describe()}, {precision}, "
                f"lm-eval {version('lm-eval')}, batch {BATCH_SIZE}:"
            )
            ours = score_labels(pair, texts, batch_size=BATCH_SIZE)
            equal = [
                agree("base", lm_eval.run(lm_eval.base)[0], [scores.base for scores in ours]),
                agree("tuned", lm_eval.run(lm_eval.tuned)[0], [scores.tuned for scores in ours]),
            ]
            if precision == "float32":
                same = all(equal)
            else:
                time_both(pair, texts, lm_eval, arguments.runs)
    if not same:
        sys.exit(1)


def stay_offline() -> None:
    """From here on whatever asks the Hub fails: lm-eval is given folders, and needs nothing else."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True


def time_both(pair: Pair, texts: list[str], lm_eval: LmEval, runs: int) -> None:
    """Answers for both sides: two runs of lm-eval against one comparison of ours. Everything is warm by now."""

    theirs_s, ours_s = [], []
    for _ in range(runs):
        theirs_s.append(sum(lm_eval.run(side)[1] for side in (lm_eval.base, lm_eval.tuned)))
        started = time.perf_counter()
        score_labels(pair, texts, batch_size=BATCH_SIZE)
        ours_s.append(time.perf_counter() - started)
    one, other = statistics.median(theirs_s), statistics.median(ours_s)
    print(f"  both sides of every review, medians of {runs}:")
    print(f"    lm-eval, base and tuned   {one:.2f} s   {len(texts) / one:.1f} reviews/s")
    print(f"    ours, one comparison      {other:.2f} s   {len(texts) / other:.1f} reviews/s")
    print(f"    ratio                     {one / other:.1f}")


if __name__ == "__main__":
    main()

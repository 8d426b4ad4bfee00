"""python -m benchmarks.agree_with_lm_eval: our label scores against lm-evaluation-harness, row by row and in time.

Both read the reviews' test split, lm-eval as the task that `eval.lm_eval_task` writes, with the adapter that ships
as `peft`. In float32 every prediction has to agree. In bfloat16 lm-eval also rounds logits and log-probabilities:
rows with a margin of that size may not. Both are then timed in turns, in bfloat16 where the machine has it, models
loaded beforehand.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import DisagreementError, in_turns, median, table, tell
from data.samples import sample
from data.sources import open_source
from eval.lm_eval_task import export_task
from models.loading import Precision, best_precision, device
from models.pair import Pair, open_pair
from models.scoring import ROUNDING, SCORING_BATCH_SIZE, score_labels

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

ADAPTER = Path(__file__).resolve().parent.parent / "models" / "bundled" / "sentiment-smollm2-lora"
BATCH_SIZE = 32


class LmEval:
    """lm-eval with both sides loaded, and the exported task."""

    def __init__(self, pair: Pair, texts: list[str], labels: list[str], precision: Precision, folder: Path) -> None:
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        assert pair.prompter is not None
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


@dataclass(frozen=True)
class Agreement:
    """How one side's label scores compare, row by row.

    A score is the log-probability of `positive` over that of `negative`, which no constant for both changes.
    """

    side: str
    precision: str
    rows: int
    largest_difference: float
    """Between two scores of a row."""
    close: int
    """Rows whose margin is within `ROUNDING`."""
    apart: list[float]
    """Margins of the rows that are predicted otherwise."""


@dataclass(frozen=True)
class Evaluation:
    """What was found."""

    base: str
    rows: int
    agreements: list[Agreement]
    lm_eval_s: list[float]
    """Seconds for both sides of every row: base and then tuned."""
    ours_s: list[float]
    """Seconds for the same in one comparison."""


def main() -> None:
    """Measure and print; exit code 1 where float32 predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    try:
        print(markdown(measure(rows=arguments.rows, runs=arguments.runs)))
    except DisagreementError as error:
        raise SystemExit(str(error)) from None


def measure(*, rows: int = 200, runs: int = 3) -> Evaluation:
    """Check both sides in float32 and in the machine's best precision, then time them in that.

    Raises:
        DisagreementError: a prediction differs in float32.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    agreements: list[Agreement] = []
    best = best_precision()
    precisions: dict[Precision, None] = dict.fromkeys(("float32", best))
    for precision in precisions:
        tell(f"the predictions in {precision}")
        pair = open_pair(ADAPTER)
        stay_offline()
        if precision == "float32":
            pair.model.float()  # the weights are stored in bfloat16: none is rounded
        test = sample(open_source("corpus:reviews", pair.task).splits["test"], rows, pair.task)
        texts, labels = test["text"][:], test["label"][:]
        with tempfile.TemporaryDirectory() as scratch:
            lm_eval = LmEval(pair, texts, labels, precision, Path(scratch) / "task")
            ours = score_labels(pair, texts)
            agreements += [
                agree("base", precision, lm_eval.run(lm_eval.base)[0], [scores.base for scores in ours]),
                agree("tuned", precision, lm_eval.run(lm_eval.tuned)[0], [scores.tuned for scores in ours]),
            ]
            if precision == "float32" and any(side.apart for side in agreements):
                raise DisagreementError("; ".join(map(sentence, agreements)))
            if precision == best:
                lm_eval_s, ours_s = time_both(pair, texts, lm_eval, runs)
    return Evaluation(pair.base.describe(), len(texts), agreements, lm_eval_s, ours_s)


def agree(side: str, precision: str, theirs: list[list[float]], ours: list[list[float]]) -> Agreement:
    """Compare one side's label scores, [rows, labels] each."""
    # lm-eval takes the first label where both are equally probable, and so do we.
    pairs = [(t[1] - t[0], o[1] - o[0]) for t, o in zip(theirs, ours, strict=True)]
    return Agreement(
        side=side,
        precision=precision,
        rows=len(pairs),
        largest_difference=max(abs(t - o) for t, o in pairs),
        close=sum(abs(o) <= ROUNDING for _, o in pairs),
        apart=sorted(abs(o) for t, o in pairs if (t > 0) != (o > 0)),
    )


def sentence(found: Agreement) -> str:
    """An agreement in words."""
    said = (
        f"{found.precision}, {found.side}: {found.rows - len(found.apart)} of {found.rows} predictions agree, "
        f"largest difference of a score {found.largest_difference:.2g}, {found.close} margins within {ROUNDING}"
    )
    if found.apart:
        said += f"; margins of those that do not agree: {', '.join(f'{margin:.3f}' for margin in found.apart)}"
    return said


def stay_offline() -> None:
    """From here on whatever asks the Hub fails: lm-eval is given folders, and needs nothing else."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True


def time_both(pair: Pair, texts: list[str], lm_eval: LmEval, runs: int) -> tuple[list[float], list[float]]:
    """Seconds for both sides of every text: two runs of lm-eval; one comparison of ours. Everything is warm."""

    def theirs() -> float:
        return sum(lm_eval.run(side)[1] for side in (lm_eval.base, lm_eval.tuned))

    def ours() -> float:
        started = time.perf_counter()
        score_labels(pair, texts)
        return time.perf_counter() - started

    found = in_turns({"lm-eval": theirs, "ours": ours}, runs)
    return found["lm-eval"], found["ours"]


def markdown(found: Evaluation) -> str:
    """The check, and a row a harness."""
    theirs, ours = median(found.lm_eval_s), median(found.ours_s)
    rows = [
        (name, f"{seconds:.2f}", f"{found.rows / seconds:.1f}", f"{theirs / seconds:.1f}")
        for name, seconds in (("lm-eval, base and then tuned", theirs), ("ours, one comparison", ours))
    ]
    parts = [
        f"Both sides of {found.rows} reviews, {found.base}, {found.agreements[-1].precision}, "
        f"lm-eval {version('lm-eval')} in batches of {BATCH_SIZE}, ours of {SCORING_BATCH_SIZE} as in every "
        f"evaluation, medians of {len(found.ours_s)} runs in turns.",
        table(("", "seconds", "reviews/s", "times as fast"), rows),
        "\n".join(f"- {sentence(each)}" for each in found.agreements),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()

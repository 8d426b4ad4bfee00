"""python -m benchmarks.verdicts: how often a verdict errs where the truth is known.

Three models on the same rows, all pairs with Holm's correction: how often any pair that is equal is called better
or worse, where all three are equal, and where one differs from two that are equal. And how often the one-sided
interval of `--non-inferior` holds the true difference; where it does not, a loss of the very margin is called less:
of labels over every outcome, weighted by its probability; of scores by simulation. Judged by what judges a verdict:
`eval.verdict.pairs.judge_pairs` and `eval.verdict.margins`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import machine
from benchmarks.results import table, tell
from eval.metrics import metric_named
from eval.paired_shares import lower_limit
from eval.verdict.margins import mean_limit, worst_means
from eval.verdict.pairs import judge_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACCURACY, ROUGE = metric_named("accuracy"), metric_named("rougeL")
SIZES = (50, 100, 200, 400)
ROWS_OF_THREE = (50, 100, 400)
DISCORDANCE = (0.05, 0.1, 0.2, 0.35)
DIFFERENCES = (0.0, -0.02, -0.05, -0.1)
DRAWS = 1_000
"""Of a simulated bound, instead of 10,000: the seeds of the rows change anyway."""

Draw = Callable[[np.random.Generator, int], "list[NDArray[np.float64]]"]


@dataclass(frozen=True)
class Errors:
    """How often some comparisons of three models called a pair different that is not."""

    rows: int
    truth: str
    of: str
    any_pair: float
    any_pair_uncorrected: float
    count: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2_000, help="simulated comparisons of each kind")
    parser.add_argument("--only", choices=("labels", "scores"), help="the one or the other; by default both")
    options = parser.parse_args()
    print(machine.idle())
    for of in [options.only] if options.only else KINDS:
        # What is quickly done is said before what takes minutes.
        print(f"\n{of_margins(of, options.count)}\n\n{of_three(three_models(of, options.count))}", flush=True)


# ---- three models --------------------------------------------------------------------------------------------


def right(rng: np.random.Generator, n: int, *shares: float) -> list[NDArray[np.float64]]:
    """Whether each model has each row right: a row that is hard is hard for all, as beta(2, 2) says."""
    hard = rng.beta(2, 2, n)
    return [(rng.random(n) < np.clip(hard + share - 0.5, 0, 1)).astype(float) for share in shares]


def overlap(rng: np.random.Generator, n: int, *shifts: float) -> list[NDArray[np.float64]]:
    """Scores like ROUGE: bounded and skewed, some of them 0, and correlated as a row is hard for all."""
    hard = rng.beta(4, 2, n)
    return [np.clip(hard * (rng.random(n) < 0.8) * rng.beta(2, 5, n) + shift, 0, 1) for shift in shifts]


KINDS: dict[str, tuple[Draw, Draw]] = {
    "labels": (lambda rng, n: right(rng, n, 0.6, 0.6, 0.6), lambda rng, n: right(rng, n, 0.6, 0.6, 0.75)),
    "scores": (lambda rng, n: overlap(rng, n, 0, 0, 0), lambda rng, n: overlap(rng, n, 0, 0, 0.08)),
}
"""What is compared → three equal models; two equal ones and a better one."""


def three_models(of: str, count: int) -> list[Errors]:
    """How often a pair that is equal is called different: any of three pairs, or the one that is equal."""
    metric, found = ACCURACY if of == "labels" else ROUGE, []
    for rows in ROWS_OF_THREE:
        for truth, draw in zip(("all are equal", "one is better"), KINDS[of], strict=True):
            tell(f"  three models, {of}, {rows} rows, {truth}")
            rng, wrong, alone = np.random.default_rng(rows), 0, 0
            for _ in range(count):
                pairs, _ = judge_pairs(dict(zip("abc", map(list, draw(rng, rows)), strict=True)), metric)
                equal = pairs if truth == "all are equal" else pairs[:1]
                wrong += any(pair.outcome != "no evidence" for pair in equal)
                alone += any(pair.p_value <= 0.05 for pair in equal)
            found.append(Errors(rows, truth, of, wrong / count, alone / count, count))
    return found


# ---- non-inferiority -----------------------------------------------------------------------------------------


def label_coverage() -> dict[tuple[int, float, float], float]:
    """(rows, share of discordant rows, true difference) → how likely the interval holds the difference; exact."""
    from scipy import stats

    found = {}
    for n in SIZES:
        tell(f"  non-inferiority of labels, {n} rows")
        for share in DISCORDANCE:
            for truth in (one for one in DIFFERENCES if -one <= share):
                gains, losses = np.indices((n + 1, n + 1)).reshape(2, -1)
                possible = gains + losses <= n
                gains, losses = gains[possible], losses[possible]
                chance = stats.binom.pmf(gains + losses, n, share)
                chance = chance * stats.binom.pmf(gains, gains + losses, (1 + truth / share) / 2)
                kept = chance > 1e-6
                likely = zip(gains[kept].tolist(), losses[kept].tolist(), chance[kept].tolist(), strict=True)
                missed = sum(each for won, lost, each in likely if lower_limit(won, lost, n) > truth + 1e-9)
                found[n, share, truth] = 1 - missed
    return found


def lost_rows(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], float]:
    """2 % of the rows lose everything, and no other moves."""
    return -(rng.random(n) < 0.02).astype(float), -0.02


def broken_rows(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], float]:
    """A tenth lose half on average, half of the others move a little."""
    broken = rng.random(n) < 0.1
    little = np.where(rng.random(n) < 0.5, 0.0, rng.uniform(-0.2, 0.2, n))
    return np.where(broken, -rng.beta(2, 2, n), little), -0.05


def moved_rows(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], float]:
    """Every row moves, as ROUGE does between two models."""
    return np.clip(rng.normal(-0.02, 0.15, n), -1, 1), -0.02


def like_rows(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], float]:
    """Every row moves and the mean does not."""
    return np.clip(rng.normal(0, 0.15, n), -1, 1), 0.0


OF_SCORES = {one.__name__.replace("_", " "): one for one in (lost_rows, broken_rows, moved_rows, like_rows)}


def score_coverage(count: int) -> dict[tuple[int, str, float], tuple[float, float]]:
    """(rows, what moves, true difference) → how often the interval holds it, and its mean lower end."""
    found = {}
    for n in SIZES:
        for name, draw in OF_SCORES.items():
            tell(f"  non-inferiority of scores, {n} rows, {name}")
            rng, missed, ends = np.random.default_rng(n), 0, []
            for _ in range(count):
                differences, truth = draw(rng, n)
                limit = mean_limit(worst_means(differences, 1.0, draws=DRAWS), 0.05)
                missed += limit > truth + 1e-9
                ends.append(limit)
            found[n, name, truth] = 1 - missed / count, float(np.mean(ends))
    return found


# ---- in words ------------------------------------------------------------------------------------------------


def of_three(found: list[Errors]) -> str:
    """A sentence and a table."""
    count = found[0].count
    rows = [
        (f"{one.of}, {one.rows} rows, {one.truth}", f"{one.any_pair:.3f}", f"{one.any_pair_uncorrected:.3f}")
        for one in found
    ]
    return (
        f"Share of {count:,} comparisons of three models in which a pair that is equal was called better or worse "
        f"(at most 0.05; two standard errors are {2 * math.sqrt(0.05 * 0.95 / count):.3f}):\n\n"
        f"{table(('', 'corrected by Holm', 'without correction'), rows)}"
    )


def of_margins(of: str, count: int) -> str:
    """The same of the interval of a margin."""
    if of == "labels":
        exact = label_coverage()
        by_size = [
            (
                f"{n} rows, difference {truth:g}",
                *(f"{exact[n, share, truth]:.3f}" if (n, share, truth) in exact else "" for share in DISCORDANCE),
            )
            for n in SIZES
            for truth in DIFFERENCES
        ]
        return (
            "How likely the one-sided 95 % interval of `--non-inferior` holds the true difference of labels, exact "
            f"(lowest {min(exact.values()):.3f}):\n\n"
            f"{table(('', *(f'{share:.0%} of the rows differ' for share in DISCORDANCE)), by_size)}"
        )
    drawn = score_coverage(count)
    rows = [
        (f"{name}, {n} rows, difference {truth:g}", f"{share:.3f}", f"{end:.3f}")
        for (n, name, truth), (share, end) in drawn.items()
    ]
    return (
        f"The same of scores, {count:,} test sets each (lowest {min(each for each, _ in drawn.values()):.3f}):\n\n"
        f"{table(('', 'holds it', 'mean lower end'), rows)}"
    )


if __name__ == "__main__":
    main()

"""python -m benchmarks.queueing: how long a run waits for one of K GPUs, by a short simulation.

    python -m benchmarks.queueing --per-hour 4                     runs as long as the recipes that ship took
    python -m benchmarks.queueing --per-hour 4 --runs FOLDER       as long as the finished runs of a folder
    python -m benchmarks.queueing --per-hour 4 --minutes 20        all of them 20 minutes
    python -m benchmarks.queueing --per-hour 4 --minutes 20 --exponential

Whoever asks for a run comes independently of the others (Poisson), a GPU works on one run at a time, and the first
to come is the first to be served, as in the queue of this project. Where times are exponential the mean is known,
by Erlang's C formula (A. K. Erlang 1917; derived in L. Kleinrock, Queueing Systems, volume 1, 1975, section 3.5),
and stands beside the simulation.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import ROOT, fill, table

JOBS = 300_000
WARM_UP = 0.1
"""Share of the jobs that are not counted: the first find an empty queue."""
GPUS = (1, 2, 3, 4, 6, 8)
Draw = Callable[[random.Random], float]
"""How long the next run takes, in minutes."""


@dataclass(frozen=True)
class Waiting:
    """What became of those who came, times in minutes."""

    mean: float
    ninety_fifth: float
    share: float
    """Who had to wait at all."""
    busy: float
    """Of all GPUs' time."""


def simulate(per_hour: float, draw: Draw, gpus: int, *, jobs: int = JOBS, seed: int = 0) -> Waiting:
    """Serve `jobs` runs, first come, first served.

    Args:
        per_hour: runs that are asked for in an hour, on average.
        draw: how long each takes.
        gpus: that work, each on one run.
        jobs: how many.
        seed: of all that is drawn.
    """
    chance = random.Random(seed)
    free_at = [0.0] * gpus
    now, worked, waits = 0.0, 0.0, list[float]()
    for _ in range(jobs):
        now += chance.expovariate(per_hour / 60)
        begins = max(now, heapq.heappop(free_at))
        takes = draw(chance)
        worked += takes
        heapq.heappush(free_at, begins + takes)
        waits.append(begins - now)
    counted = waits[int(WARM_UP * jobs) :]
    return Waiting(
        mean=statistics.fmean(counted),
        ninety_fifth=statistics.quantiles(counted, n=20)[-1],
        share=sum(wait > 0 for wait in counted) / len(counted),
        busy=worked / (gpus * max(free_at)),
    )


def erlang_c(load: float, gpus: int) -> float:
    """The share of those who have to wait, where times between them and times of service are exponential.

    Args:
        load: those who come in the time that one takes, on average; has to be less than `gpus`.
        gpus: how many are served at a time.
    """
    blocked = 1.0  # Erlang's B, by its recursion over the number of servers
    for number in range(1, gpus + 1):
        blocked = load * blocked / (number + load * blocked)
    return gpus * blocked / (gpus - load * (1 - blocked))


def erlang_wait(per_hour: float, minutes: float, gpus: int) -> float:
    """The mean wait in minutes under the same assumptions; infinite where more come than can be served."""
    load = per_hour * minutes / 60
    return math.inf if load >= gpus else erlang_c(load, gpus) * minutes / (gpus - load)


def minutes_of_recipes() -> list[float]:
    """How long each recipe took, of those that docs/recipes.md has measured."""
    return [
        float(each) for each in re.findall(r"\| (\d+) min", (ROOT / "docs/recipes.md").read_text(encoding="utf-8"))
    ]


def minutes_of_runs(folder: Path) -> list[float]:
    """How long the finished runs of a folder took, evaluation included."""
    from finetuning.runs.folder import list_runs

    statuses = [run.status() for run in list_runs(folder) if run.state() == "finished"]
    return [(each.ended - each.started) / 60 for each in statuses if each.started and each.ended]


def markdown(per_hour: float, minutes: Sequence[float], *, exponential: bool, gpus: Sequence[int] = GPUS) -> str:
    """A table: a row for each number of GPUs that can keep up."""
    mean = statistics.fmean(minutes)

    def draw(chance: random.Random) -> float:
        return chance.expovariate(1 / mean) if exponential else chance.choice(minutes)

    rows = []
    for number in gpus:
        if per_hour * mean / 60 >= number:
            rows.append((str(number), "grows without end", "", "100 %", "100 %", ""))
            continue
        found = simulate(per_hour, draw, number)
        by_formula = f"{erlang_wait(per_hour, mean, number):.1f} min"
        rows.append(
            (
                str(number),
                f"{found.mean:.1f} min",
                f"{found.ninety_fifth:.0f} min",
                f"{found.share:.0%}".replace("%", " %"),
                f"{found.busy:.0%}".replace("%", " %"),
                by_formula,
            )
        )
    head = (
        "GPUs",
        "mean wait",
        "95th percentile",
        "have to wait",
        "GPUs are busy",
        "by Erlang's C, exponential times",
    )
    return table(head, rows)


def main() -> None:
    """Print the table, or write it into a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-hour", type=float, default=4.0, help="runs that are asked for (default: 4)")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="take the times of its finished runs")
    parser.add_argument("--minutes", type=float, help="or of all: this")
    parser.add_argument("--exponential", action="store_true", help="exponential times of that mean")
    parser.add_argument("--gpus", type=int, nargs="+", default=list(GPUS))
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it where FILE has a place for it")
    options = parser.parse_args()
    if options.minutes:
        minutes, what = [options.minutes], f"{options.minutes:g} minutes each"
    elif options.runs:
        minutes, what = minutes_of_runs(options.runs), "as long as finished runs took"
    else:
        minutes, what = minutes_of_recipes(), "as long as the recipes that ship took on two CPU cores"
    if not minutes or options.per_hour <= 0:
        parser.error("there are no times, or nobody comes")
    said = (
        f"{options.per_hour:g} runs an hour, {what}: {len(minutes)} different times, "
        f"{statistics.fmean(minutes):.1f} minutes on average, of which each run has one by chance."
        if len(minutes) > 1
        else f"{options.per_hour:g} runs an hour, {what}."
    )
    body = f"{said}\n\n{markdown(options.per_hour, minutes, exponential=options.exponential, gpus=options.gpus)}"
    if options.write:
        fill(options.write, "queueing", body)
    else:
        print(body)


if __name__ == "__main__":
    main()

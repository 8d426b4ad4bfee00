"""python -m benchmarks.endpoint: rows a second from an endpoint, eight questions in flight against one at a time.

    python -m benchmarks.endpoint --gguf model.gguf                  starts llama.cpp's server with as many slots
    python -m benchmarks.endpoint --address http://HOST:PORT/v1#MODEL

The same rows both ways, in turns, after a few that nobody times; nothing is kept. Says how many answers are the
same both ways: a server that computes several rows at once adds up in another order, so a few may differ.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import results
from benchmarks.llama_server import llama_server
from data.sources import open_source
from data.tasks import TASKS
from eval.sides.endpoint import Settings, open_endpoint
from eval.sides.endpoint.client import Limits
from eval.sides.side import Asked

TASK = TASKS["dialogue"]
WARM_UP = 4


@dataclass(frozen=True)
class Measured:
    """Both ways."""

    rows: int
    in_flight: int
    alone: list[float]
    """Rows a second of each run, one at a time."""
    together: list[float]
    same: int
    """Answers that are the same both ways."""

    @property
    def times(self) -> float:
        """As fast."""
        return results.median(self.together) / results.median(self.alone)


def measure(address: str, *, rows: int, runs: int, in_flight: int, max_new_tokens: int = 32) -> Measured:
    """Both ways in turns, as many runs of each."""
    texts = _texts(rows)
    _timed(address, texts[:WARM_UP], in_flight, max_new_tokens)
    ways = {
        name: partial(_timed, address, texts, at_once, max_new_tokens)
        for name, at_once in (("one at a time", 1), (f"{in_flight} in flight", in_flight))
    }
    alone, together = results.in_turns(ways, runs).values()
    same = sum(one == other for one, other in zip(alone[-1][1], together[-1][1], strict=True))
    one, several = ([len(texts) / seconds for seconds, _ in way] for way in (alone, together))
    return Measured(len(texts), in_flight, one, several, same)


def markdown(found: Measured) -> str:
    """A table of medians."""
    body = [
        ("one at a time", f"{results.median(found.alone):.2f}"),
        (f"{found.in_flight} in flight", f"{results.median(found.together):.2f}"),
        ("times as fast", f"{found.times:.2f}"),
        (f"answers the same, of {found.rows}", f"{found.same}"),
    ]
    return results.table(("an endpoint", "rows a second"), body)


def _texts(rows: int) -> list[str]:
    """Dialogues of the bundled corpus, each once."""
    return [TASK.text_of(row) for row in list(open_source(TASK.corpus, TASK).splits["train"])[:rows]]


def _timed(address: str, texts: Sequence[str], in_flight: int, max_new_tokens: int) -> tuple[float, list[str]]:
    settings = Settings(limits=Limits(in_flight=in_flight), keep=False)
    side = open_endpoint(Asked(address), TASK, settings=settings)
    started = time.perf_counter()
    answers = side.write(texts, max_new_tokens=max_new_tokens)
    return time.perf_counter() - started, [answer.text for answer in answers]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--gguf", type=Path, metavar="FILE", help="a model for llama.cpp's server")
    which.add_argument("--address", help="a server that runs already")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3, help="of each way, in turns (default: 3)")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2, help="of llama.cpp's server (default: 2)")
    options = parser.parse_args()
    server = (
        llama_server(options.gguf, slots=options.in_flight, threads=options.threads)
        if options.gguf
        else nullcontext(options.address)
    )
    with server as address:
        print(markdown(measure(address, rows=options.rows, runs=options.runs, in_flight=options.in_flight)))


if __name__ == "__main__":
    main()

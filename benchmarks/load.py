"""python -m benchmarks.load: many visitors at once on the public app: page loads, polls, chat, three training runs.

    python -m benchmarks.load                                              50 visitors, this machine answers
    python -m benchmarks.load --trains 0 --engine http://HOST:PORT/v1      an engine answers
    python -m benchmarks.load --trains 0 --llama-server --processes 2      llama.cpp's server, started here

Starts the app for strangers on free ports, one process or several on one temporary folder of runs, and drives it
over HTTP as the page would: each visitor has a cookie, an open page, and one question at a time, and is served by
one process, as behind a balancer whose sessions stick. Prints what was asked and what came of it; with `--write
docs/scale.md` it is a line of the table there. Exits with 1 if anything but a friendly refusal went wrong, or if
memory grew after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil

from benchmarks.app_process import started_app
from benchmarks.machine import processor
from benchmarks.results import commit, fill, filled, table

MESSAGES = (
    "The hinges squeaked after a week, and the second one arrived bent.",
    "Warm bread, quick service, and a waiter who remembered us.",
    "I wanted to like this film, but nobody in it wanted anything.",
    "The tent kept us dry through three nights of storm.",
)
REFUSALS = ("queue is full", "Queue is full", "You have a run")
ANSWER_S = 300.0
"""An accepted question that is not answered after so long is an error."""
_TOKENS = re.compile(r"\b[1-9]\d* tokens?\b")
"""How many have been written, as a panel says it."""
WARM_UP = 1 / 3
"""Share of the time after which memory should not grow."""
GROWTH = 1.1
"""Memory at the end over memory after the warm-up: the most that is flat."""


class Tally:
    """What was asked, how long it took, and what went wrong."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def error(self, kind: str, what: object) -> None:
        self.errors[f"{kind}: {what!r}"[:200]] += 1

    def quantile(self, kind: str, percent: int) -> float:
        """Seconds that so many percent took at most; NaN where there are too few."""
        taken = self.seconds[kind]
        return statistics.quantiles(taken, n=100)[percent - 1] if len(taken) > 1 else math.nan

    @property
    def share_answered(self) -> float:
        """Of the questions, those that were answered to their end."""
        asked = self.asked["question"]
        return len(self.seconds["question: whole"]) / asked if asked else math.nan

    def print(self) -> None:
        """Counts and percentiles."""
        for kind in sorted(self.asked):
            print(f"  {kind:<18} {self.asked[kind]:>6} asked  {self.refused[kind]:>5} refused in a friendly way")
        for kind, taken in sorted(self.seconds.items()):
            if len(taken) > 1:
                marks = statistics.quantiles(taken, n=20)
                print(f"  {kind:<18} {len(taken):>6} times  50th {marks[9]:7.3f} s   95th {marks[18]:7.3f} s")
        print(f"  questions answered {100 * self.share_answered:6.0f} %")
        print(f"  errors             {sum(self.errors.values()):>6}")
        for what, count in self.errors.most_common(10):
            print(f"    {count} × {what}")


class Visitor:
    """One browser."""

    def __init__(self, url: str, number: int, tally: Tally) -> None:
        self.tally, self.number = tally, number
        self.http = httpx.AsyncClient(base_url=url, timeout=ANSWER_S)
        self.random = random.Random(number)
        self.config: dict[str, Any] = {}
        self.session = ""
        self.heartbeat: asyncio.Task[None] | None = None

    async def open_page(self) -> None:
        """Load the page, and what it asks for by itself."""
        started = time.perf_counter()
        self.tally.asked["page load"] += 1
        page = await self.http.get("/")
        if page.status_code != 200:
            self.tally.error("page load", page.status_code)
            return
        self.tally.seconds["page load"].append(time.perf_counter() - started)
        if not self.config:
            self.config = (await self.http.get("/config")).json()
        self.session = f"load{self.number:03d}x{self.random.getrandbits(40):010x}"
        if self.heartbeat:
            self.heartbeat.cancel()
        self.heartbeat = asyncio.create_task(self._stay())
        await self.poll()
        await self.ask("greeting", "greet", "badge")

    async def poll(self) -> None:
        """What the page's timers ask."""
        for name, touches in (("refresh", "runs-table"), ("look", "train-state"), ("poll", "runs-state")):
            started = time.perf_counter()
            self.tally.asked["poll"] += 1
            answer = await self.http.post("/gradio_api/run/predict", json=self.body(name, touches))
            if answer.status_code == 200:
                self.tally.seconds["poll"].append(time.perf_counter() - started)
            else:
                self.tally.error("poll", answer.text)

    async def ask(self, kind: str, name: str, touches: str, **changed: Any) -> None:
        """A handler that waits in the queue, until its last message."""
        started = time.perf_counter()
        self.tally.asked[kind] += 1
        joined = await self.http.post("/gradio_api/queue/join", json=self.body(name, touches, **changed))
        if joined.status_code == 503 and any(refusal in joined.text for refusal in REFUSALS):
            self.tally.refused[kind] += 1
            return
        if joined.status_code != 200:
            self.tally.error(kind, joined.text)
            return
        first, refused = True, False
        asked = {"session_hash": self.session}
        async with self.http.stream("GET", "/gradio_api/queue/data", params=asked) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data: "):
                    continue
                # Panels grow from before the first token on.
                if first and "ba-growing" in line and _TOKENS.search(line):
                    self.tally.seconds[f"{kind}: first"].append(time.perf_counter() - started)
                    first = False
                message = json.loads(line.removeprefix("data: "))
                if message["msg"] == "log" and any(refusal in message["log"] for refusal in REFUSALS):
                    self.tally.refused[kind] += 1
                    refused = True
                elif message["msg"] == "log" and message["level"] != "info":
                    self.tally.error(kind, message["log"])
                if message["msg"] == "process_completed":
                    if not message["success"]:
                        self.tally.error(kind, message["output"])
                    if not refused:
                        self.tally.seconds[f"{kind}: whole"].append(time.perf_counter() - started)
                    return
        self.tally.error(kind, "the stream ended without an answer")

    async def live(self, ends: float, *, trains: bool) -> None:
        """Read, ask, look around, until the time is over; whoever trains starts with that."""
        try:
            await asyncio.sleep(self.random.uniform(0, 10))
            await self.open_page()
            if trains:
                small = {"train-train-rows": 64, "train-test-rows": 16, "train-epochs": 1}
                await self.ask("training run", "start_run", "train-file", **small)
            while time.monotonic() < ends:
                what = self.random.random()
                if what < 0.15:
                    await self.open_page()
                elif what < 0.45:
                    await self.ask("question", "write", "box", box=self.random.choice(MESSAGES))
                for _ in range(self.random.randint(1, 4)):
                    await self.poll()
                    await asyncio.sleep(3)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self.tally.error("connection", error)
        finally:
            if self.heartbeat:
                self.heartbeat.cancel()
            await self.http.aclose()

    async def _stay(self) -> None:
        """The page's own connection, which tells the app that it is open."""
        async with self.http.stream("GET", f"/gradio_api/heartbeat/{self.session}", timeout=None) as stream:
            async for _ in stream.aiter_lines():
                pass

    def body(self, name: str, touches: str, **changed: Any) -> dict[str, Any]:
        """The call of the handler `name` that has the component `touches` among its inputs or outputs."""
        props = {each["id"]: each["props"] for each in self.config["components"]}
        number = next(key for key, each in props.items() if each.get("elem_id") == touches)
        for each in self.config["dependencies"]:
            if re.fullmatch(rf"{name}(_\d+)?", each["api_name"]) and number in (*each["inputs"], *each["outputs"]):
                inputs = [props[key] for key in each["inputs"]]
                data = [changed.get(prop.get("elem_id") or "", prop.get("value")) for prop in inputs]
                return {"fn_index": each["id"], "data": data, "session_hash": self.session}
        raise KeyError(name)


async def drive(
    urls: Sequence[str], apps: Sequence[psutil.Process], visitors: int, minutes: float, trains: int
) -> tuple[Tally, list[float]]:
    """All visitors for so long; the apps' memory in MB before, after the warm-up and at the end."""
    tally, memory_mb = Tally(), [rss_mb(apps)]
    ends = time.monotonic() + 60 * minutes
    people = [Visitor(urls[number % len(urls)], number, tally) for number in range(visitors)]
    everybody = asyncio.gather(*(person.live(ends, trains=person.number < trains) for person in people))
    await asyncio.sleep(60 * minutes * WARM_UP)
    memory_mb.append(rss_mb(apps))
    await everybody
    memory_mb.append(rss_mb(apps))
    return tally, memory_mb


def rss_mb(processes: Sequence[psutil.Process]) -> float:
    """Resident memory of the apps themselves, without the worker that trains."""
    return sum(float(process.memory_info().rss) for process in processes) / 1e6


@contextlib.contextmanager
def llama_engine(runs: Path, *, slots: int, threads: int, packing: Literal["f16", "q8_0"]) -> Iterator[str]:
    """The address of llama.cpp's server with the base of what ships, and its adapters as `runs` wants them."""
    from benchmarks.llama_server import llama_server
    from eval.sides.engine.shelf import SHELF
    from finetuning.export.engine import Prepared
    from finetuning.export.work import Work

    os.environ["BEFORE_AFTER_RUNS"] = str(runs)
    Prepared.of().for_llama_cpp(packing, Work())
    files = sorted((runs / SHELF).glob("*.gguf"))
    adapters = [file for file in files if file.name.startswith("before-after-")]
    [model] = set(files) - set(adapters)
    with llama_server(model, lora=adapters, slots=slots, threads=threads) as url:
        yield url


def row(processes: int, engine: str, tally: Tally, visitors: int, minutes: float) -> tuple[str, ...]:
    """A line of the table of `docs/scale.md`."""
    return (
        engine or "this machine",
        str(processes),
        str(visitors),
        f"{minutes:g}",
        f"{tally.quantile('poll', 95):.2f} s",
        str(sum(tally.errors.values())),
        f"{100 * tally.share_answered:.0f} %",
        f"{tally.quantile('question: first', 50):.1f} s",
        f"{tally.quantile('question: first', 95):.1f} s",
    )


HEAD = (
    "answers", "app processes", "visitors", "minutes", "polls, 95 %", "errors", "questions answered",
    "first token, 50 %", "first token, 95 %",
)  # fmt: skip
_KEY = 3
"""Columns that say what was measured: another measurement of the same takes the place of the one before."""


def write(document: Path, measured: tuple[str, ...]) -> None:
    """Add a line to the table, which stands beside the machine that it was measured on."""
    known = [
        line.strip("| ").split(" | ") for line in filled(document, "load").splitlines() if line.startswith("| ")
    ]
    rows = {tuple(each[:_KEY]): tuple(each) for each in known if len(each) == len(HEAD) and each[0] != HEAD[0]}
    rows[measured[:_KEY]] = measured
    found = f"{processor()}, {len(os.sched_getaffinity(0))} cores, commit {commit()}"
    stamp = f"Measured last on {datetime.now(UTC):%d %B %Y}: {found}."
    fill(document, "load", f"{stamp}\n\n{table(HEAD, rows.values())}")


def main() -> None:
    """Start the app, drive it, print, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--trains", type=int, default=3, help="visitors who start a run (default: 3)")
    parser.add_argument("--processes", type=int, default=1, help="of the app, on one folder of runs (default: 1)")
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument("--engine", metavar="URL", help="that answers")
    engine.add_argument("--llama-server", action="store_true", help="start one that does")
    parser.add_argument("--slots", type=int, default=16, help="of that (default: 16)")
    parser.add_argument("--threads", type=int, default=2, help="of that (default: 2)")
    parser.add_argument("--packing", choices=("f16", "q8_0"), default="q8_0", help="of that (default: q8_0)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="add a line to the table in FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        runs, logs = Path(folder) / "runs", [Path(folder) / f"app-{n}.log" for n in range(arguments.processes)]
        address = arguments.engine
        if arguments.llama_server:
            own = llama_engine(runs, slots=arguments.slots, threads=arguments.threads, packing=arguments.packing)
            address = running.enter_context(own)
        options = ["--public", *(["--engine", address] if address else [])]
        uploads = [{"GRADIO_TEMP_DIR": str(log.with_suffix(""))} for log in logs]
        apps = [
            running.enter_context(started_app(runs, log, *options, **own))
            for log, own in zip(logs, uploads, strict=True)
        ]
        for app in apps:
            app.wait_until_served()
        tally, memory_mb = asyncio.run(
            drive(
                [app.url for app in apps],
                [psutil.Process(app.process.pid) for app in apps],
                arguments.visitors,
                arguments.minutes,
                arguments.trains,
            )
        )
        states = wait_for_runs(runs)
        tracebacks = sum(log.read_text(errors="replace").count("Traceback") for log in logs)
    print(f"{arguments.visitors} visitors for {arguments.minutes:g} minutes, {arguments.processes} app processes:")
    tally.print()
    print(f"  training runs      {dict(states)}")
    print(f"  tracebacks in log  {tracebacks}")
    before, warm, end = memory_mb
    print(f"  memory             {before:.0f} MB before, {warm:.0f} MB after warm-up, {end:.0f} MB at the end")
    failed = bool(tally.errors or tracebacks or end > warm * GROWTH or set(states) - {"finished"})
    if arguments.write:
        title = f"llama.cpp, {arguments.packing}" if arguments.llama_server else arguments.engine or ""
        write(arguments.write, row(arguments.processes, title, tally, arguments.visitors, arguments.minutes))
    print("FAILED" if failed else "passed")
    sys.exit(failed)


def wait_for_runs(folder: Path) -> Counter[str]:
    """How the runs ended; those that are still going on get some minutes more."""
    from finetuning.runs.folder import ACTIVE, list_runs

    ends = time.monotonic() + 240
    while True:
        states = Counter[str](run.status().state for run in list_runs(folder))
        if not set(states) & ACTIVE or time.monotonic() > ends:
            return states
        time.sleep(1)


if __name__ == "__main__":
    main()

"""python -m benchmarks.load: many visitors at once on the public app: page loads, polls, chat, three training runs.

Starts the app for strangers on a free port, with its runs in a temporary folder, and drives it over HTTP as the
page would: each visitor has a cookie, an open page, and one question at a time. Prints what was asked and what came
of it. Exits with 1 if anything but a friendly refusal went wrong, or if memory grew after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.app_process import started_app

MESSAGES = (
    "The hinges squeaked after a week, and the second one arrived bent.",
    "Warm bread, quick service, and a waiter who remembered us.",
    "I wanted to like this film, but nobody in it wanted anything.",
    "The tent kept us dry through three nights of storm.",
)
REFUSALS = ("queue is full", "Queue is full", "You have a run")
ANSWER_S = 300.0
"""An accepted question that is not answered after so long is an error."""
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

    def print(self) -> None:
        """Counts and percentiles."""
        for kind in sorted(self.asked):
            print(f"  {kind:<18} {self.asked[kind]:>6} asked  {self.refused[kind]:>5} refused in a friendly way")
        for kind, taken in sorted(self.seconds.items()):
            if len(taken) > 1:
                marks = statistics.quantiles(taken, n=20)
                print(f"  {kind:<18} {len(taken):>6} times  50th {marks[9]:7.3f} s   95th {marks[18]:7.3f} s")
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
        first = True
        asked = {"session_hash": self.session}
        async with self.http.stream("GET", "/gradio_api/queue/data", params=asked) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data: "):
                    continue
                if first and "ba-growing" in line:
                    self.tally.seconds[f"{kind}: first"].append(time.perf_counter() - started)
                    first = False
                message = json.loads(line.removeprefix("data: "))
                if message["msg"] == "log" and any(refusal in message["log"] for refusal in REFUSALS):
                    self.tally.refused[kind] += 1
                elif message["msg"] == "log" and message["level"] != "info":
                    self.tally.error(kind, message["log"])
                if message["msg"] == "process_completed":
                    if not message["success"]:
                        self.tally.error(kind, message["output"])
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


async def drive(url: str, app: psutil.Process, visitors: int, minutes: float) -> tuple[Tally, list[float]]:
    """All visitors for so long; the app's memory in MB before, after the warm-up and at the end."""
    tally, memory_mb = Tally(), [rss_mb(app)]
    ends = time.monotonic() + 60 * minutes
    people = [Visitor(url, number, tally) for number in range(visitors)]
    everybody = asyncio.gather(*(person.live(ends, trains=person.number < 3) for person in people))
    await asyncio.sleep(60 * minutes * WARM_UP)
    memory_mb.append(rss_mb(app))
    await everybody
    memory_mb.append(rss_mb(app))
    return tally, memory_mb


def rss_mb(process: psutil.Process) -> float:
    """Resident memory of the app itself, without the worker that trains."""
    return float(process.memory_info().rss) / 1e6


def main() -> None:
    """Start the app, drive it, print, end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs, log = Path(folder) / "runs", Path(folder) / "app.log"
        with started_app(runs, log, "--public") as app:
            app.wait_until_served()
            tally, memory_mb = asyncio.run(
                drive(app.url, psutil.Process(app.process.pid), arguments.visitors, arguments.minutes)
            )
            states = wait_for_runs(runs)
        tracebacks = log.read_text(errors="replace").count("Traceback")
    print(f"{arguments.visitors} visitors for {arguments.minutes:g} minutes:")
    tally.print()
    print(f"  training runs      {dict(states)}")
    print(f"  tracebacks in log  {tracebacks}")
    before, warm, end = memory_mb
    print(f"  memory             {before:.0f} MB before, {warm:.0f} MB after warm-up, {end:.0f} MB at the end")
    failed = bool(tally.errors or tracebacks or end > warm * GROWTH or set(states) - {"finished"})
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

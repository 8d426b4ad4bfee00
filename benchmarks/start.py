"""python -m benchmarks.start: from `python app.py` to the page, and from the page to the first streamed token.

Starts the app as a person does, on a free port with its runs in a temporary folder, and opens the page in a real
browser as soon as it answers; the page asks the first example by itself. The base model has to be in the cache, and
is fetched before anything is timed. Prints medians beside the most that is allowed; exits with 1 if one is more.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.app_process import ROOT, started_app
from benchmarks.load import Tally, Visitor

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ALLOWED = {
    "python app.py until the page is served, s": 4.0,
    "python -m finetuning --help, s": 1.0,
    "page opened until the first streamed token, s": 12.0,
}
MOMENTS = {
    "page opened until it is drawn, s": "#before .ba-panel",
    "page opened until an answer is begun, s": "#before .ba-growing",
    "page opened until the first streamed token, s": "#before .ba-growing .ba-text:not(:empty)",
}
"""What is waited for in the page, in its order."""
OpenPage = Callable[[str], dict[str, float]]
WAIT_S = 120.0
"""For whatever is waited for in the page."""


def measure(times: int = 3) -> dict[str, float]:
    """Name and unit → the median of `times` starts, and of as many calls of `--help`."""
    fetch_model()
    each = [{"python -m finetuning --help, s": time_help()} | time_start() for _ in range(times)]
    return {name: statistics.median(one[name] for one in each) for name in each[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    found = measure(parser.parse_args().times)
    for name, value in found.items():
        allowed = f"   at most {ALLOWED[name]:g}" if name in ALLOWED else ""
        print(f"{name:<56} {value:8.2f}{allowed}", flush=True)
    sys.exit(any(found[name] > most for name, most in ALLOWED.items()))


def time_help() -> float:
    """Seconds that the command line's `--help` takes."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "finetuning", "--help"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def time_start() -> dict[str, float]:
    """Seconds of one start: until the page is served, and from opening it until a token."""
    with tempfile.TemporaryDirectory() as folder, _browser() as open_page:
        started = time.perf_counter()
        with started_app(Path(folder) / "runs", Path(folder) / "app.log") as app:
            app.wait_until_served()
            served = time.perf_counter()
            found = open_page(app.url)
    return {"python app.py until the page is served, s": served - started} | found


@contextmanager
def _browser() -> Iterator[OpenPage]:
    """What opens the page and waits for a token: a real browser, started already; calls alone without one."""
    path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        yield _open_without_browser
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])

        def open_page(url: str) -> dict[str, float]:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            started = time.perf_counter()
            page.goto(url, wait_until="commit")
            found = {}
            for what, selector in MOMENTS.items():
                page.wait_for_selector(selector, timeout=1000 * WAIT_S)
                found[what] = time.perf_counter() - started
            return found

        yield open_page
        browser.close()


def _open_without_browser(url: str) -> dict[str, float]:
    """The calls that the page makes when it is loaded, without drawing it."""
    return {"page opened until the first streamed token, s": asyncio.run(_ask(url))}


async def _ask(url: str) -> float:
    visitor = Visitor(url, 0, Tally())
    started = time.perf_counter()
    async with visitor.http as http:
        await http.get("/")
        visitor.config = (await http.get("/config")).json()
        visitor.session = "start0"
        await http.post("/gradio_api/queue/join", json=visitor.body("greet", "badge"))
        async with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": visitor.session}) as stream:
            async for line in stream.aiter_lines():
                if re.search(r"[1-9]\d* tokens? ·", line):
                    return time.perf_counter() - started
    raise SystemExit("no token came")


def fetch_model() -> None:
    """Bring the base model into the cache, in a process of its own."""
    code = "from models.sources import resolve; resolve('HuggingFaceTB/SmolLM2-135M-Instruct')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

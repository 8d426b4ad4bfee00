"""python -m benchmarks.first_load: what the page is made of and weighs, and how soon a first visit sees something.

Counts what is sent, then starts the app as a person does, on a free port with its runs in a temporary folder, and
opens it in Chromium: a first visit, a second one by the same browser, and a first one by a phone, whose processor
is four times as slow and whose line carries 1.6 Mbit/s. The base model has to be in the cache, and is fetched
before anything is timed. `--counts` leaves out all that needs a browser.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.app_process import started_app
from benchmarks.start import CHROMIUM_NAMES, fetch_model

if TYPE_CHECKING:
    import gradio as gr
    from playwright.sync_api import Browser, BrowserContext, CDPSession, Page

WAIT_S = 900.0
"""For whatever is waited for, which is over when it has happened: a busy machine takes long."""
PHONE_PROCESSOR = 4
"""Times as slow."""
PHONE_BITS_PER_S, PHONE_DELAY_MS = 1.6e6, 150
MOMENTS = {
    "panels drawn, s": ("#before .ba-panel", "#after .ba-panel"),
    "both sides answered, s": ("#before .ba-score", "#after .ba-score"),
    "live answer begun, s": ("#before .ba-growing",),
}
"""What is waited for, in its order; the second is the first screen that is of use."""
_OBSERVE = """
window.seen = {first: 0, largest: 0, shift: 0};
const observe = (type, note) => new PerformanceObserver(list => list.getEntries().forEach(note))
  .observe({type, buffered: true});
observe('paint', entry => { if (entry.name === 'first-contentful-paint') seen.first = entry.startTime; });
observe('largest-contentful-paint', entry => { seen.largest = entry.startTime; });
observe('layout-shift', entry => { if (!entry.hadRecentInput) seen.shift += entry.value; });
"""


def made_of(page: gr.Blocks) -> dict[str, float]:
    """What of a page a browser gets: listeners, components, and the groups in which queued listeners wait."""
    sent: Any = page.get_config_file()["page"][""]
    listeners = [page.fns[each] for each in sent["dependencies"]]
    queued = [each for each in listeners if each.queue is not False]
    return {
        "listeners": len(listeners),
        "queued listeners": len(queued),
        "concurrency groups": len({each.concurrency_id for each in queued}),
        "components": len(sent["components"]),
    }


def measure(*, browser: bool = True) -> dict[str, float]:
    """Name and unit → number."""
    from ui.server.gradio_import import import_gradio

    import_gradio()
    from ui.page import build_page

    found = made_of(build_page())
    if browser:
        fetch_model()
    with (
        tempfile.TemporaryDirectory() as folder,
        started_app(Path(folder) / "runs", Path(folder) / "app.log") as app,
    ):
        app.wait_until_served()
        found |= _weighed(app.url)
        if browser:
            found |= _visits(app.url)
    return found


def main() -> None:
    """Print what `measure` finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", action="store_true", help="no browser")
    for name, value in measure(browser=not parser.parse_args().counts).items():
        print(f"{name:<48} {value:12,.3f}".rstrip("0").rstrip("."), flush=True)


def _weighed(url: str) -> dict[str, float]:
    """Bytes of the page itself, as it is and as a browser asks for it."""
    return {"HTML, bytes": _bytes_of(url, "identity"), "HTML as sent, bytes": _bytes_of(url, "gzip, br")}


def _bytes_of(url: str, encoding: str) -> int:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(url, headers={"Accept-Encoding": encoding})
    with direct.open(asked, timeout=WAIT_S) as answer:
        return len(answer.read())


def _visits(url: str) -> dict[str, float]:
    """The visits, each with its name before what was measured."""
    found: dict[str, float] = {}
    with _chromium() as browser:
        with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
            for name in ("first visit", "second visit"):
                found |= {f"{name}: {what}": value for what, value in _visit(context, url).items()}
        phone = browser.new_context(
            viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True
        )
        with phone:
            found |= {f"phone: {what}": value for what, value in _visit(phone, url, phone=True).items()}
    return found


@contextmanager
def _chromium() -> Iterator[Browser]:
    """The machine's own.

    Raises:
        SystemExit: there is none.
    """
    path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    if path is None:
        sys.exit(f"none of {', '.join(CHROMIUM_NAMES)} is on the PATH: --counts needs none")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def _visit(context: BrowserContext, url: str, *, phone: bool = False) -> dict[str, float]:
    """One opening of the page until it has been answered live."""
    page = context.new_page()
    page.set_default_timeout(1000 * WAIT_S)
    page.add_init_script(_OBSERVE)
    session = context.new_cdp_session(page)
    sent = _Sent(session, url)
    if phone:
        _slow_down(session)
    started = time.perf_counter()
    page.goto(url, wait_until="commit")
    found = {}
    for what, selectors in MOMENTS.items():
        for selector in selectors:
            page.wait_for_selector(selector, state="attached")
        found[what] = time.perf_counter() - started
    page.wait_for_selector(".ba-growing", state="detached")
    found |= _observed(page) | {"requests for the page": sent.requests, "bytes for the page": sent.bytes}
    page.close()
    return found


class _Sent:
    """What the page asked the network for and was sent, without the calls of its handlers."""

    def __init__(self, session: CDPSession, url: str) -> None:
        self._asked: set[str] = set()
        self._bytes: dict[str, int] = {}
        self._not_the_page = (f"{url.rstrip('/')}/gradio_api/", "data:", "blob:")
        session.on("Network.requestWillBeSent", self._note)
        session.on("Network.requestServedFromCache", lambda event: self._asked.discard(event["requestId"]))
        session.on("Network.responseReceived", self._note_answer)
        session.on("Network.loadingFinished", self._note_end)
        session.send("Network.enable")

    @property
    def requests(self) -> int:
        return len(self._asked)

    @property
    def bytes(self) -> int:
        return sum(count for request, count in self._bytes.items() if request in self._asked)

    def _note(self, event: dict[str, Any]) -> None:
        if not event["request"]["url"].startswith(self._not_the_page):
            self._asked.add(event["requestId"])

    def _note_answer(self, event: dict[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            self._asked.discard(event["requestId"])

    def _note_end(self, event: dict[str, Any]) -> None:
        self._bytes[event["requestId"]] = int(event["encodedDataLength"])


def _slow_down(session: CDPSession) -> None:
    """Make the page's machine a phone."""
    session.send("Emulation.setCPUThrottlingRate", {"rate": PHONE_PROCESSOR})
    line = {
        "offline": False, "latency": PHONE_DELAY_MS, "downloadThroughput": PHONE_BITS_PER_S / 8,
        "uploadThroughput": PHONE_BITS_PER_S / 16,
    }  # fmt: skip
    session.send("Network.emulateNetworkConditions", line)


def _observed(page: Page) -> dict[str, float]:
    seen = page.evaluate("window.seen")
    return {
        "first paint, s": seen["first"] / 1000,
        "largest paint, s": seen["largest"] / 1000,
        "layout shift": seen["shift"],
    }


if __name__ == "__main__":
    main()

"""The public app as a real process, and visitors that speak HTTP to it without a page."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.browser.app_process import running_app
from ui.server.door import COOKIE
from ui.server.visitors import owner_of

_numbers = itertools.count()


class Stranger:
    """One visitor: a cookie, an open page, and calls of the page's handlers by name."""

    def __init__(self, url: str, *, cookie: bool = True, timeout_s: float = 600) -> None:
        self.http = httpx.Client(base_url=url, timeout=timeout_s)
        self.http.get("/")  # gives the cookie
        self.cookie = self.http.cookies.get(COOKIE) or ""
        if not cookie:
            self.http.cookies.clear()
        self.open_page()
        self.config: dict[str, Any] = self.http.get("/config").json()

    def open_page(self) -> None:
        """Open the page anew: nothing is drawn in it yet."""
        self.session = f"session{next(_numbers):06d}"

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @property
    def owner(self) -> str:
        """The owner of this visitor's runs."""
        return owner_of("browser", self.cookie)

    def component(self, elem_id: str) -> dict[str, Any]:
        """The component with this id in the page."""
        return next(each for each in self.config["components"] if each["props"].get("elem_id") == elem_id)

    def handler(self, name: str, touches: str) -> dict[str, Any]:
        """The first handler whose function is called `name` and that reads or draws the component `touches`."""
        number = self.component(touches)["id"]
        for each in self.config["dependencies"]:
            if re.fullmatch(rf"{name}(_\d+)?", each["api_name"]) and number in (*each["inputs"], *each["outputs"]):
                return each  # type: ignore[no-any-return]  # it came as JSON
        raise LookupError(name)

    def values(self, handler: dict[str, Any], **changed: Any) -> list[Any]:
        """What the page would send to `handler`, but for the components (by id) in `changed`."""
        by_id = {each["id"]: each["props"] for each in self.config["components"]}
        changed = {name.replace("_", "-"): value for name, value in changed.items()}
        props = [by_id[number] for number in handler["inputs"]]
        return [changed.get(each.get("elem_id") or "", each.get("value")) for each in props]

    def body(self, handler: dict[str, Any], data: list[Any] | None = None, **more: Any) -> dict[str, Any]:
        values = self.values(handler) if data is None else data
        return {"fn_index": handler["id"], "data": values, "session_hash": self.session, "event_data": None} | more

    def call(self, handler: dict[str, Any], data: list[Any] | None = None, **more: Any) -> httpx.Response:
        """A handler that does not wait in the queue."""
        return self.http.post("/gradio_api/run/predict", json=self.body(handler, data, **more))

    def queued(self, handler: dict[str, Any], data: list[Any] | None = None, **more: Any) -> list[dict[str, Any]]:
        """A handler that waits in the queue: all messages until it is done."""
        joined = self.http.post("/gradio_api/queue/join", json=self.body(handler, data, **more))
        assert joined.status_code == 200, joined.text
        messages = []
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    messages.append(json.loads(line.removeprefix("data: ")))
                    if messages[-1]["msg"] in ("process_completed", "unexpected_error", "close_stream"):
                        break
        return messages

    def upload(self, name: str, content: bytes) -> httpx.Response:
        return self.http.post("/gradio_api/upload", files={"files": (name, content)})

    def file(self, path: str) -> dict[str, Any]:
        """How the page names an uploaded file."""
        return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}


@contextmanager
def public_app(folder: Path, *options: str, **environment: str) -> Iterator[tuple[str, Path]]:
    """The app for strangers, with its runs in `folder`; its address and its log."""
    log = folder / "app.log"
    with running_app(folder / "runs", log, "--public", *options, **environment) as url:
        yield url, log

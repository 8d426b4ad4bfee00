"""What a page shows while a comparison that it asked for goes on, and the Stop that ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from plumbing.errors import DataError
from ui.drawing import text
from ui.drawing.markup import counted, progress, tag
from ui.server.visitors import Visitor
from ui.server.work import TimeLeft, Work
from ui.tabs import data_form


class Waiting:
    """Open pages' sessions and the comparison that is going on in each."""

    def __init__(self) -> None:
        self.going: dict[str, Work] = {}

    def follow(
        self,
        work: Work,
        visitor: Visitor,
        request: gr.Request,
        *,
        begun: list[Any],
        shown: Callable[[Any], list[Any]],
        done: Callable[[], list[Any]],
    ) -> Iterator[list[Any]]:
        """What is put on the page until `work` ends.

        Args:
            work: not begun yet.
            visitor: who waits.
            request: of the page.
            begun: the outputs at first.
            shown: the outputs with this in the place of the progress.
            done: the outputs once it is done.

        Raises:
            Exception: what the work raises, but for problems of rows, which are shown.
        """
        page = request.session_hash or ""
        self.going[page] = work
        left = TimeLeft()
        try:  # ends also where whoever asked has gone
            yield begun
            for what, count, total in work.in_turn():
                said = counted(what, count, total) + left.said(what, count, total, time.monotonic())
                yield shown(progress(said, count, total))
            yield shown(tag("div", text.STOPPED_HERE, class_="ba-note")) if work.was_stopped else done()
        except DataError as error:
            yield shown(data_form.problems(error, visitor))
        except Exception:  # whatever it is, nothing is being done any more
            yield shown("")
            raise
        finally:
            self.going.pop(page, None)

    def stop(self, request: gr.Request) -> None:
        """End what this page has going."""
        if work := self.going.get(request.session_hash or ""):
            work.stop()

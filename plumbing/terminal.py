"""What every command line of ours does alike: one console, one bar, and an error of a person's as one line.

Nothing heavy is imported before it is needed, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from plumbing.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

console = Console()


def run(app: Callable[[], None]) -> None:
    """Run a command line; a `UserError` becomes one line and exit code 2."""
    from plumbing.proxies import settle_proxies

    _quiet_libraries()
    for sentence in settle_proxies():
        Console(stderr=True).print(f"[yellow]{escape(sentence)}[/]", highlight=False, soft_wrap=True)
    try:
        app()
    except UserError as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _quiet_libraries() -> None:
    """What they log and warn about is ours to mend, not a reader's of the table."""
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def show(bar: Progress, task: TaskID, what: str, done: int, total: int) -> None:
    """Draw how far something is."""
    bar.update(task, description=what, completed=done, total=total or None)


def progress() -> Progress:
    """A bar, which stays where it is written into a file."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=not console.is_terminal,
    )


class LateBar:
    """A bar that appears when something is first told of how far it is: until then people may be asked."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> LateBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Draw how far `what` is."""
        if self._bar is None or self._task is None:
            self._bar = progress()
            self._task = self._bar.add_task(what, total=None)
            self._bar.start()
        show(self._bar, self._task, what, done, total)

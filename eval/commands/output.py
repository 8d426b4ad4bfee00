"""Where a verdict is written, and what it comes to for a gate: the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import typer

from plumbing.errors import RunError, UserError
from plumbing.terminal import console

if TYPE_CHECKING:
    from eval.verdict.demands import Demand
    from eval.verdict.schema import Verdict, VerdictRow

WORSE = 1


@dataclass(frozen=True)
class Output:
    """What a person asked to be written, and what a verdict has to say."""

    json: Path | None = None
    markdown: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    out: Path | None = None
    require: Sequence[str] = ()

    def check(self) -> None:
        """Refuse before anything is measured what could only fail after it.

        Raises:
            UserError: there is no such demand, or no folder to write a file into.
        """
        from eval.verdict.demands import DEMANDS

        for demand in self.require:
            if demand not in DEMANDS:
                raise UserError("There is no such demand", got=demand, fix=f"There are {' and '.join(DEMANDS)}.")
        for path in (self.json, self.markdown, self.html, self.junit):
            if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
                what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
                raise RunError(f"The file {what}", got=str(path), fix="Make the folder, or name a file in another.")
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise RunError("This is a file, and no folder", got=str(self.out), fix="Name a folder after --out.")

    def write(self, verdict: Verdict, rows: Sequence[VerdictRow]) -> None:
        """Write all that was asked for.

        Raises:
            RunError: something cannot be written.
        """
        from eval.verdict.document import to_html
        from eval.verdict.folder import save, to_json
        from eval.verdict.junit import to_junit
        from eval.verdict.markdown import to_markdown
        from plumbing.writing import write_atomically

        wanted: list[tuple[Path | None, Callable[[], str]]] = [
            (self.json, lambda: to_json(verdict)),
            (self.markdown, lambda: to_markdown(verdict, rows)),
            (self.html, lambda: to_html(verdict, rows)),
            (self.junit, lambda: to_junit(verdict, self._demanded())),
        ]
        for path, text in wanted:
            if path is None:
                continue
            try:
                write_atomically(path, text())
            except OSError as error:
                raise RunError(f"The file cannot be written: {error.strerror or error}", got=str(path)) from None
            console.print(f"Written: {path}", highlight=False, markup=False, soft_wrap=True)
        if self.out is not None:
            save(verdict, rows, self.out)
            console.print(f"Written into {self.out}", highlight=False, markup=False, soft_wrap=True)

    def end(self, verdict: Verdict) -> None:
        """End the command: with 1 where the gate stays shut, after saying why.

        Raises:
            typer.Exit: always, where it stays shut.
        """
        from eval.verdict.demands import failures

        found = failures(verdict, self._demanded())
        for failure in found:
            console.print(f"FAILED: {failure.sentence}", style="red", highlight=False, markup=False, soft_wrap=True)
        if found:
            raise typer.Exit(WORSE)

    def _demanded(self) -> list[Demand]:
        from eval.verdict.demands import Demand

        known: tuple[Demand, ...] = get_args(Demand)
        return [demand for demand in known if demand in self.require]

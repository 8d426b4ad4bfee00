"""Where a verdict is written, and what it comes to for a gate: the exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plumbing.errors import RunError
from plumbing.terminal import console

if TYPE_CHECKING:
    from eval.verdict.demands import Demand
    from eval.verdict.schema import Verdict, VerdictRow

WORSE = 1


class ShutError(SystemExit):
    """The end of a command whose gate stays shut: the one way to exit code 1."""


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
        self._demanded()
        for path in (self.json, self.markdown, self.html, self.junit):
            if path is not None and (what := _not_to_be_written(path)):
                raise RunError(f"The file {what}", got=str(path), fix="Make the folder, or name a file in another.")
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise RunError("This is a file, and no folder", got=str(self.out), fix="Name a folder after --out.")

    def give(self, verdict: Verdict, rows: Sequence[VerdictRow]) -> None:
        """Write all that was asked for, and print the verdict, whatever became of that or of who reads it.

        Raises:
            RunError: something cannot be written.
        """
        from eval.commands.printing import print_verdict

        written: list[str] = []
        try:
            for sentence in self._write(verdict, rows):
                written.append(sentence)
        finally:
            print_verdict(console, verdict)
            for sentence in written:
                console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def _write(self, verdict: Verdict, rows: Sequence[VerdictRow]) -> Iterator[str]:
        """Write one after the other, and say of each where it is."""
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
        if self.out is not None:  # first, since it holds all
            save(verdict, rows, self.out)
            yield f"Written into {self.out}"
        for path, text in wanted:
            if path is None:
                continue
            try:
                write_atomically(path, text())
            except OSError as error:
                raise RunError(f"The file cannot be written: {error.strerror or error}", got=str(path)) from None
            yield f"Written: {path}"

    def end(self, verdict: Verdict) -> None:
        """End the command: with 1 where the gate stays shut, after saying why.

        Raises:
            ShutError: always, where it stays shut.
        """
        from eval.verdict.demands import failures

        found = failures(verdict, self._demanded())
        for failure in found:
            console.print(f"FAILED: {failure.sentence}", style="red", highlight=False, markup=False, soft_wrap=True)
        if found:
            raise ShutError(WORSE)

    def _demanded(self) -> list[Demand]:
        from eval.verdict.demands import demands_named

        return demands_named(self.require)


def _not_to_be_written(path: Path) -> str:
    """Why no file can be put there; empty where one can."""
    if path.is_dir():
        return "is a folder"
    if path.exists() and not path.is_file():
        return "is no ordinary one"
    return "" if path.absolute().parent.is_dir() else "lies in a folder that does not exist"

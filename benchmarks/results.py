"""`RESULTS.md`: one section a benchmark, each written again without touching the others.

Knows Markdown and git, not what is measured. A section stands only beside a description of the machine that it was
measured on: where that has changed, the sections of the other machine are removed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
FILE = Path(__file__).with_name("RESULTS.md")
MACHINE = "Machine"
ORDER = (MACHINE, "Training", "Policy", "Chat", "Evaluation", "Start", "Page", "Scale", "Exported")

_INTRODUCTION = (
    "# Results\n\nWritten by `make bench`, every number in it; `python -m benchmarks --only chat` writes one "
    "section again.\nWhere two ways are compared, both were first shown to compute the same, and ran in turns.\n"
)
T = TypeVar("T")


class DisagreementError(Exception):
    """The two sides of a comparison do not compute the same thing, so none of its times means anything."""


def write_section(title: str, body: str, machine: str, *, idle: str = "", file: Path = FILE) -> None:
    """Write section `title` of `file` again, and the machine that it was measured on.

    Args:
        title: one of `ORDER`.
        body: Markdown below the heading.
        machine: Markdown that describes machine and versions.
        idle: a sentence about what else the machine was doing.
        file: the document; made where there is none.
    """
    found = _read(file)
    if found.get(MACHINE) != machine.strip():
        found = {}
    stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}. {idle}".strip()
    found |= {MACHINE: machine.strip(), title: f"{stamp}\n\n{body.strip()}"}
    sections = [f"## {name}\n\n{found[name]}\n" for name in ORDER if name in found]
    file.write_text("\n".join([_INTRODUCTION, *sections]), encoding="utf-8")


def _read(file: Path) -> dict[str, str]:
    """Heading → what stands below it."""
    if not file.is_file():
        return {}
    _, *sections = file.read_text(encoding="utf-8").split("\n## ")
    parts = (section.partition("\n") for section in sections)
    return {title.strip(): text.strip() for title, _, text in parts}


def fill(document: Path, name: str, body: str) -> None:
    """Write `body` where `document` has a place of that name: between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: it has none.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not begin or not end:
        raise ValueError(f"{document} has no place called {name}")
    document.write_text(f"{before}{begin}\n\n{body.strip()}\n\n{end}{after}", encoding="utf-8")


def filled(document: Path, name: str) -> str:
    """What stands there."""
    text = document.read_text(encoding="utf-8")
    return text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0].strip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    line = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([f"| {' | '.join(head)} |", line, *(f"| {' | '.join(row)} |" for row in rows)])


def in_turns(ways: Mapping[str, Callable[[], T]], runs: int) -> dict[str, list[T]]:
    """What each of `ways` returns, `runs` times each: all of them once, then all of them again."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for number in range(runs):
        for name, way in ways.items():
            tell(f"  run {number + 1} of {runs}: {name}")
            found[name].append(way())
    return found


def median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def tell(text: str) -> None:
    """Progress, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def commit(checkout: Path = ROOT) -> str:
    """The commit that is measured, and whether files of it were changed."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/RESULTS*.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")

"""A verdict in the terminal: the headline, and its parts as sentences and tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from eval.asked.comparing import WHERE_FROM
from eval.sides.side import About, Prompted
from eval.verdict import words
from eval.verdict.parts import parts
from eval.verdict.schema import Verdict
from eval.verdict.tables import Grid
from plumbing.printable import printable

_CHARS = 1_500
"""Of a prompt, in the terminal."""


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print `verdict`, but for what only who asks for it needs; names are shown as they are, never obeyed."""
    console.print(f"[bold]{escape(printable(words.headline(verdict)))}[/]", highlight=False, soft_wrap=True)
    for part in parts(verdict):
        if part.besides:
            continue
        console.print()
        console.print(f"[bold]{escape(printable(part.title))}[/]", highlight=False)
        for sentence in filter(None, part.said):
            console.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)
        for grid in part.grids:
            if grid.rows:
                console.print(drawn(grid))


def drawn(grid: Grid) -> Table:
    """A table; what does not fit into the terminal goes on in the next line of its cell."""
    table = Table(*(Column(_cell(name), overflow="fold") for name in grid.head))
    for row in grid.rows:
        table.add_row(*map(_cell, row))
    return table


def print_prompt(console: Console, key: str, about: About, prompted: Prompted) -> None:
    """How the first row is asked of a side: its name, where the prompt comes from, and the prompt."""
    name, where_from = printable(f"{key}: {about.name}"), WHERE_FROM[prompted.where_from]
    console.print(f"[bold]{escape(name)}[/] is asked {escape(where_from)}:", highlight=False)
    example = prompted.example
    shown = example if len(example) <= _CHARS else f"{example[:_CHARS]}…"
    for line in shown.splitlines() or [""]:
        console.print(f"  | {printable(line)}", highlight=False, markup=False, soft_wrap=True)


def _cell(text: str) -> str:
    return escape(printable(text))

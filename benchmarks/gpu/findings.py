"""What was found: tables of rows by part, written to a JSON file after each row, and printed as they come.

Knows nothing of what is measured. `python -m benchmarks.gpu.findings FILE` prints a file of them as Markdown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.results import table
from plumbing.writing import write_atomically

Row = dict[str, Any]
"""Column → a number or a text; the first column names the row."""


class Findings:
    """A file that one process at a time adds to."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, part: str, title: str, **row: Any) -> None:
        """Add a row to the table `title` of `part`, and print it."""
        found = read(self.file)
        found.setdefault(part, {}).setdefault(title, []).append(row)
        write_atomically(self.file, json.dumps(found, indent=1) + "\n")
        print(f"{part} · {title}: {json.dumps(row)}", flush=True)

    def merge(self, more: dict[str, dict[str, list[Row]]]) -> None:
        """Take in what another file of findings holds."""
        found = read(self.file)
        for part, tables in more.items():
            for title, rows in tables.items():
                found.setdefault(part, {}).setdefault(title, []).extend(rows)
        write_atomically(self.file, json.dumps(found, indent=1) + "\n")


def read(file: Path) -> dict[str, dict[str, list[Row]]]:
    """Part → title → rows; nothing where there is no file yet."""
    if not file.is_file():
        return {}
    found: dict[str, dict[str, list[Row]]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def markdown(found: dict[str, dict[str, list[Row]]]) -> str:
    """A heading a part, and its tables; a column for whatever any row of a table has."""
    lines = []
    for part, tables in found.items():
        lines.append(f"## {part.capitalize()}")
        for title, rows in tables.items():
            columns = list(dict.fromkeys(name for row in rows for name in row))
            body = [[_shown(row.get(name, "")) for name in columns] for row in rows]
            head = ["" if name == "what" else name.replace("_", " ") for name in columns]
            lines += [f"**{title}**", table(head, body)]
    return "\n\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return " ".join(str(value).replace("|", "/").split())


if __name__ == "__main__":
    print(markdown(read(Path(sys.argv[1]))))

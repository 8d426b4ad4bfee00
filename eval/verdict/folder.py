"""A verdict in a folder: writing it whole, reading it back.

    verdict.json   `Verdict`
    rows.jsonl     a `VerdictRow` a line, in the order of the test set
    verdict.md     both, for a person
    verdict.html   the same, with plots

Knows files; imports neither a model nor a metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from eval.verdict.document import to_html
from eval.verdict.markdown import to_markdown
from eval.verdict.schema import Verdict, VerdictRow
from plumbing.errors import RunError
from plumbing.reading import open_regular, read_text
from plumbing.writing import write_atomically

VERDICT_FILE = "verdict.json"
ROWS_FILE = "rows.jsonl"
MARKDOWN_FILE = "verdict.md"
HTML_FILE = "verdict.html"
_MAX_BYTES = 2**26
"""Of a verdict, which holds no row."""
_MAX_ROW_BYTES = 2**24
"""Of a line."""
_MAX_ROWS = 200_000
"""The most that is read of any source."""


def save(verdict: Verdict, rows: Sequence[VerdictRow], folder: Path) -> None:
    """Write the four files into `folder`, each in one rename.

    `verdict.json` is written last, and an older one is removed first: where it is, all are whole and belong
    together.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VERDICT_FILE).unlink(missing_ok=True)
        write_atomically(folder / ROWS_FILE, "".join(row.model_dump_json() + "\n" for row in rows))
        write_atomically(folder / MARKDOWN_FILE, to_markdown(verdict, rows))
        write_atomically(folder / HTML_FILE, to_html(verdict, rows))
        write_atomically(folder / VERDICT_FILE, to_json(verdict))
    except OSError as error:
        raise RunError(f"The verdict cannot be written: {error.strerror or error}", got=str(folder)) from None


def to_json(verdict: Verdict) -> str:
    """The verdict as `verdict.json` holds it."""
    return verdict.model_dump_json(indent=2) + "\n"


def load(path: Path) -> tuple[Verdict, list[VerdictRow]]:
    """The verdict in a folder, with its rows; or in a file alone, without.

    Raises:
        RunError: there is none, or a file of it is damaged.
    """
    file = path / VERDICT_FILE if path.is_dir() else path
    try:
        verdict = Verdict.model_validate_json(read_text(file, limit=_MAX_BYTES))
    except FileNotFoundError:
        fix = "Make one: python -m eval compare --base … --tuned … --data … --out FOLDER."
        raise RunError("There is no verdict", got=str(path), fix=fix) from None
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise _damaged(file, error) from None
    beside = file.with_name(ROWS_FILE)
    if not path.is_dir() or not beside.is_file():
        return verdict, []
    try:
        rows = list(_read_rows(beside))
    except OSError as error:
        raise _damaged(beside, error) from None
    if len(rows) != verdict.n:
        raise _damaged(beside, ValueError(f"it holds {len(rows):,} rows, and the verdict is about {verdict.n:,}"))
    return verdict, rows


def _read_rows(path: Path) -> Iterator[VerdictRow]:
    with open_regular(path) as lines:
        for number in range(1, _MAX_ROWS + 2):
            line = lines.readline(_MAX_ROW_BYTES + 1)
            if not line:
                return
            if len(line) > _MAX_ROW_BYTES or number > _MAX_ROWS:
                raise _damaged(path, OSError("longer than anything that is written here"), line=number)
            try:
                yield VerdictRow.model_validate_json(line)
            except ValidationError as error:
                raise _damaged(path, error, line=number) from None


def _damaged(path: Path, error: Exception, *, line: int | None = None) -> RunError:
    what = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"{f'{place}: ' if place else ''}{first['msg']}"
    where = f"{path.name}, line {line}" if line else path.name
    return RunError(f"The verdict cannot be read: {where}: {what}", got=str(path), fix="Compare again.")

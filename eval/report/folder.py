"""A comparison in a folder: writing it whole, reading it back.

    report.json   `Report`
    rows.jsonl    a `RowResult` a line, in the order of the test set
    report.md     both, for a person

Knows files; imports neither a model nor a metric, so that a page can read a report at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from eval.report.markdown import to_markdown
from eval.report.schema import Report, RowResult
from plumbing.errors import RunError
from plumbing.writing import write_atomically

REPORT_FILE = "report.json"
ROWS_FILE = "rows.jsonl"
MARKDOWN_FILE = "report.md"


def save(report: Report, rows: Sequence[RowResult], folder: Path) -> None:
    """Write the three files into `folder`, each in one rename.

    `report.json` is written last, and an older one is removed first: where it is, all three are whole and
    belong together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).unlink(missing_ok=True)
    write_atomically(folder / ROWS_FILE, "".join(row.model_dump_json() + "\n" for row in rows))
    write_atomically(folder / MARKDOWN_FILE, to_markdown(report, rows))
    write_atomically(folder / REPORT_FILE, report.model_dump_json(indent=2) + "\n")


def load(folder: Path) -> tuple[Report, Iterator[RowResult]]:
    """The report in `folder`, and its rows, which are read as they are taken.

    Raises:
        RunError: there is no report, or a file of it is damaged (for a row: when it is reached).
    """
    path = folder / REPORT_FILE
    try:
        report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError("There is no report", got=str(folder), fix="Evaluate first.") from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    if not (folder / ROWS_FILE).is_file():
        raise RunError(f"The report has no {ROWS_FILE}", got=str(folder), fix="Evaluate again.")
    return report, _read_rows(folder / ROWS_FILE)


def _read_rows(path: Path) -> Iterator[RowResult]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield RowResult.model_validate_json(line)
            except ValidationError as error:
                raise _damaged(path, error, line=number) from None


def _damaged(path: Path, error: ValidationError | UnicodeDecodeError, *, line: int | None = None) -> RunError:
    what = "not UTF-8"
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"{f'{place}: ' if place else ''}{first['msg']}"
    where = f"{path.name}, line {line}" if line else path.name
    return RunError(
        f"The report cannot be read: {where}: {what}",
        got=str(path),
        fix="Evaluate again.",
    )

"""An Excel workbook (.xlsx) → tables: one sheet, or one for each split. Values as they were last computed.

A workbook is an archive of XML. How much there is of it is counted before openpyxl reads any: an element of seven
bytes becomes an object of two hundred. Macros are refused, and so is XML that defines entities.
"""

from __future__ import annotations

import datetime
import io
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from xml.parsers import expat

from data.limits import MAX_BRACKETS, MAX_COLUMNS, MAX_FILE_BYTES
from data.problems import Problem, is_nothing
from data.readers.archives import opened_archive, unpacked
from data.readers.headers import SNIFFED_ROWS, named_columns
from data.readers.table import FEWER, Table, check_columns, check_size
from data.splits import SPLIT_OF
from plumbing.errors import DataError
from plumbing.printable import one_line

MAX_PARTS = 5_000
MAX_ABOUT = 400_000
"""Elements of what is no sheet and no text: styles, names, links. Each takes openpyxl some ten microseconds."""
LAST_ROW = 1_048_576
MAX_DEPTH = 100
MAX_PIECE_BYTES = 1_000_000
"""Of what stands between two tags, and of a tag: a cell of Excel holds 32,767 letters."""
MACROS = "vbaProject"
AS_CSV = "Save its sheet as CSV in UTF-8 (in Excel: 'CSV UTF-8') and use that file."
COMPUTE_FIX = "Open the file in a spreadsheet program and save it again, or put the value there."

Grid = list[tuple[int, list[Any]]]


def read_workbook(content: bytes, name: str, header_names: Collection[str]) -> dict[str, Table]:
    """Returns split → table: of the sheets called train, validation and test, else of the one called data, else of
    the first that holds anything. See `data.readers.files.read_splits`.

    A formula that has no stored value, and an error such as #REF!, is a problem with its cell. Raises DataError for
    what is damaged, has macros, or is too large.
    """
    import openpyxl

    with opened_archive(content, name, most=MAX_PARTS) as archive:
        pending = _check_parts(archive, name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what openpyxl does not read of a sheet holds no rows
                workbook = openpyxl.load_workbook(
                    io.BytesIO(content), read_only=True, data_only=True, keep_links=False
                )
                chosen, note = _sheets(workbook, pending, name)
                return {
                    split: _table(sheet, _pending(sheet, pending), name, header_names, note)
                    for split, sheet in chosen.items()
                }
        except (DataError, zipfile.BadZipFile):
            raise
        except Exception as error:  # of a damaged workbook a dozen kinds, from three libraries
            said = one_line(" ".join(str(error).split()) or type(error).__name__, longest=200)
            raise DataError(f"The workbook cannot be read: {said}", got=name, fix=AS_CSV) from None


def _check_parts(archive: zipfile.ZipFile, name: str) -> dict[str, set[str]]:
    """Sheet's path → its cells whose formula has no stored value, once all parts are found to be readable."""
    elements = about = 0
    pending = {}
    for member in archive.infolist():
        path = member.filename.lstrip("/")
        if MACROS.casefold() in path.casefold():
            raise DataError("The workbook has macros", got=name, fix=f"Save it as .xlsx, without them. {AS_CSV}")
        if not path.endswith((".xml", ".rels", ".vml")):
            continue
        xml = unpacked(archive, member, name)
        count = xml.count(b"<")
        elements += count
        about += 0 if path.startswith("xl/worksheets/") or "sharedstrings" in path.casefold() else count
        if elements > MAX_BRACKETS or about > MAX_ABOUT:
            raise DataError("The workbook holds too many values, or formats, to be read", got=name, fix=FEWER)
        try:
            pending[path] = _Scan().without_value(xml)
        except (expat.ExpatError, ValueError) as error:
            raise DataError(f"The workbook cannot be read: {error}", got=name, fix=AS_CSV) from None
    return pending


class _Scan:
    """One part of a workbook, read once without keeping it.

    openpyxl reads it some kilobytes at a time, and what is one piece of 20 MB would be looked at from its beginning
    each time; and elements that are very deep in each other take its memory and ours.
    """

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._depth = self._place = 0
        self._cell = ""
        self._formula = self._value = False
        self._found: set[str] = set()

    def without_value(self, xml: bytes) -> set[str]:
        """The cells that have a formula and no value. Raises ValueError for what no spreadsheet writes."""
        self._parser.Parse(xml, True)
        return self._found

    def _moved(self) -> None:
        place = self._parser.CurrentByteIndex
        if place - self._place > MAX_PIECE_BYTES:
            raise ValueError(f"it holds a piece of more than {MAX_PIECE_BYTES // 1_000_000} MB")
        self._place = place

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._moved()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        if tag == "c":
            self._cell, self._formula, self._value = attributes.get("r", ""), False, False
        elif tag == "f":
            self._formula = True
        elif tag == "v":
            self._parser.CharacterDataHandler = self._text

    def _end(self, tag: str) -> None:
        self._moved()
        self._depth -= 1
        if tag == "v":
            self._parser.CharacterDataHandler = None
        elif tag == "c" and self._formula and not self._value:
            self._found.add(self._cell)

    def _text(self, text: str) -> None:
        self._value = self._value or bool(text)

    def _refuse(self, *_: object) -> None:
        raise ValueError("its XML defines entities, which no spreadsheet does")


def _pending(sheet: Any, pending: Mapping[str, Collection[str]]) -> Collection[str]:
    return pending.get(sheet._worksheet_path.lstrip("/"), ())


def _sheets(workbook: Any, pending: Mapping[str, Collection[str]], name: str) -> tuple[dict[str, Any], str]:
    """The sheets to read, by split, and a note where there are others."""
    sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"] or workbook.worksheets
    by_name = {sheet.title.strip().casefold(): sheet for sheet in sheets}
    splits = {SPLIT_OF[title]: sheet for title, sheet in by_name.items() if title in SPLIT_OF}
    if "train" in splits:
        return splits, ""
    chosen = by_name.get("data") or next(
        (sheet for sheet in sheets if next(_rows(sheet, _pending(sheet, pending)), None)), None
    )
    if chosen is None:
        raise DataError("The workbook has no rows", got=name, fix="Choose a file with rows in it.")
    note = f"Of {len(sheets)} sheets of {one_line(name)} the one called {one_line(chosen.title)} is read."
    return {"train": chosen}, note if len(sheets) > 1 else ""


def _rows(sheet: Any, pending: Collection[str]) -> Iterator[tuple[int, list[Any]]]:
    """(its number in the sheet, its cells up to the last that holds something) of the rows that are not blank."""
    sheet.reset_dimensions()  # what a sheet says of its size need not be so
    for number, row in enumerate(sheet.iter_rows(), start=1):
        if number > LAST_ROW:
            raise DataError(f"The sheet has more than {LAST_ROW:,} rows", fix=FEWER)
        width = len(row)
        while width and row[width - 1].value is None and getattr(row[width - 1], "coordinate", "") not in pending:
            width -= 1  # a cell may have a format and nothing in it
        if width > MAX_COLUMNS:
            raise DataError(f"The sheet has more than {MAX_COLUMNS:,} columns", got=width, fix=FEWER)
        if width:
            yield number, list(row[:width])


def _table(sheet: Any, pending: Collection[str], name: str, header_names: Collection[str], note: str) -> Table:
    rows: Grid = []
    wrong: dict[int, list[tuple[int, str]]] = {}
    cells = chars = 0
    for number, row in _rows(sheet, pending):
        values: list[Any] = []
        for place, cell in enumerate(row):
            value, said = _value(cell, pending)
            values.append(value)
            chars += len(value) if isinstance(value, str) else 0
            if said:
                wrong.setdefault(number, []).append((place, said))
        if all(is_nothing(value) for value in values) and number not in wrong:
            continue
        rows.append((number, values))
        cells += len(values)
        check_size(rows=len(rows) - 1, cells=cells)
        if chars > MAX_FILE_BYTES:
            raise DataError(f"The sheet holds more than {MAX_FILE_BYTES // 1_000_000} MB of text", fix=FEWER)
    if not rows:
        raise DataError("The sheet has no rows", got=name, fix="Choose a file with rows in it.")
    return _named(rows, wrong, name, header_names, note)


def _value(cell: Any, pending: Collection[str]) -> tuple[Any, str]:
    """What a cell holds, and what is wrong with it."""
    value = cell.value
    if value is None:
        missing = getattr(cell, "coordinate", "") in pending
        return None, f"The formula in {cell.coordinate} has no stored value" if missing else ""
    if cell.data_type == "e":
        return None, f"{cell.coordinate} holds the error {str(value)[:20]}"
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat(), ""
    if isinstance(value, (str, bool, int, float)):
        return value, ""
    return str(value), ""


def _named(
    rows: Grid, wrong: dict[int, list[tuple[int, str]]], name: str, header_names: Collection[str], note: str
) -> Table:
    """The table of these rows: which of them names the columns, and what is wrong with single cells."""
    width = max(len(values) for _, values in rows)
    for _, values in rows:
        values += [None] * (width - len(values))
    used = [place for place in range(width) if any(not is_nothing(values[place]) for _, values in rows)]
    first = [[_text(values[place]) for place in used] for _, values in rows[:SNIFFED_ROWS]]
    columns, taken, notes = named_columns(first, len(used), header_names, one_line(name))
    check_columns(columns)
    check_size(rows=len(rows) - taken, cells=(len(rows) - taken) * len(columns))
    for place in used:
        _of_one_kind(rows[taken:], place)
    named = dict(zip(used, columns, strict=True))
    found = []
    problems = []
    for number, (in_sheet, values) in enumerate(rows[taken:], start=1):
        if said := wrong.get(in_sheet):
            problems += [Problem(what, COMPUTE_FIX, number, named.get(place)) for place, what in said]
        else:
            found.append((number, {columns[at]: values[place] for at, place in enumerate(used)}))
    notes = [*([note] if note else []), *notes]
    return Table(tuple(columns), tuple(found), tuple(problems), tuple(notes))


def _of_one_kind(rows: Sequence[tuple[int, list[Any]]], place: int) -> None:
    """Write numbers as texts in a column that has texts: a title may be 1984."""
    if any(isinstance(values[place], str) for _, values in rows):
        for _, values in rows:
            if values[place] is not None:
                values[place] = _text(values[place])


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

"""Excel workbooks are read as they were last computed, and nothing in them is run or trusted."""

import datetime
import gzip
import io
import zipfile

import openpyxl
import pytest

from data.problems import ProblemsError
from data.readers.files import read_splits, read_table
from data.sources import open_source
from data.tasks import SENTIMENT
from data.tasks.own import OwnTask
from plumbing.errors import DataError

OWN = OwnTask(kind="classification").definition()
ROWS = [[f"remark, number {n}", ("good", "bad")[n % 2]] for n in range(20)]


@pytest.fixture
def write(tmp_path):
    def write_sheets(name="a.xlsx", **sheets):
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for title, rows in sheets.items():
            sheet = workbook.create_sheet(title)
            for row in rows:
                sheet.append(row)
        workbook.save(tmp_path / name)
        return tmp_path / name

    return write_sheets


def changed(path, **parts):
    """The workbook with the bytes of some of its parts replaced, by a function of what they are."""
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            change = parts.get(name.rpartition("/")[2].partition(".")[0])
            new.writestr(name, change(old.read(name)) if change else old.read(name))
    path.write_bytes(packed.getvalue())
    return path


def test_the_first_sheet_is_a_table(write):
    path = write(Replies=[["text", "label"], *ROWS], Notes=[["by", "us"]])
    table = read_table(path)
    assert table.columns == ("text", "label")
    assert [list(row.values()) for _, row in table.rows] == ROWS
    assert [number for number, _ in table.rows] == list(range(1, 21))
    assert "Of 2 sheets of a.xlsx the one called Replies is read." in table.notes
    assert len(open_source(f"file:{path}", SENTIMENT).splits["train"]) > 8


def test_a_workbook_may_be_packed(write, tmp_path):
    packed = tmp_path / "b.xlsx.gz"
    packed.write_bytes(gzip.compress(write(a=[["text", "label"], *ROWS]).read_bytes()))
    assert len(read_table(packed).rows) == 20


def test_sheets_called_by_splits_are_these_and_one_called_data_is_the_one(write):
    tables = read_splits(
        write(Train=[["text", "label"], *ROWS], about=[["x"]], test=[["text", "label"], *ROWS[:4]])
    )
    assert {split: len(table.rows) for split, table in tables.items()} == {"train": 20, "test": 4}
    assert len(read_table(write("b.xlsx", about=[["x", "y"]], Data=[["text", "label"], *ROWS])).rows) == 20


def test_values_keep_their_kind_and_a_column_of_texts_is_one(write):
    when = datetime.datetime(2024, 5, 1, 9, 30)
    path = write(
        a=[["title", "stars", "when", "ok", None], ["1984", 5, when, True, None], [2001, 4.5, when, False, None]]
    )
    table = read_table(path)
    assert table.columns == ("title", "stars", "when", "ok")
    assert [list(row.values()) for _, row in table.rows] == [
        ["1984", 5, "2024-05-01 09:30:00", True],
        ["2001", 4.5, "2024-05-01 09:30:00", False],
    ]


def test_blank_rows_and_columns_are_left_out_and_a_sheet_may_have_no_header(write):
    path = write(a=[[None], [None, "fine soup, warm", 1], [], [None, "cold soup, late", 0], [None, None, None]])
    table = read_table(path)
    assert table.columns == ("column_1", "column_2")
    assert [list(row.values()) for _, row in table.rows] == [["fine soup, warm", 1], ["cold soup, late", 0]]


def test_formulas_give_their_stored_values_and_without_one_a_problem_with_the_cell(write):
    rows = [["text", "label"], *[[f"remark {n}", "=1-1" if n == 4 else n % 2] for n in range(20)]]
    path = write(a=rows)  # openpyxl stores no value for a formula
    with pytest.raises(ProblemsError) as caught:
        open_source(f"file:{path}", OWN)
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (5, "label")
    assert problem.what == "The formula in B6 has no stored value" and "save it again" in problem.fix
    changed(path, sheet1=lambda xml: xml.replace(b"<f>1-1</f><v></v>", b"<f>1-1</f><v>0</v>").replace(
        b"<f>1-1</f><v />", b"<f>1-1</f><v>0</v>"))  # fmt: skip
    assert read_table(path).rows[4][1] == {"text": "remark 4", "label": 0}
    changed(path, sheet1=lambda xml: xml.replace(b'<c r="B6">', b'<c r="B6" t="e">').replace(
        b"<f>1-1</f><v>0</v>", b"<f>1/0</f><v>#DIV/0!</v>"))  # fmt: skip
    assert [problem.what for problem in read_table(path).problems] == ["B6 holds the error #DIV/0!"]


def test_macros_are_refused_also_under_another_name(write, tmp_path):
    path = write(a=[["text", "label"], *ROWS])
    with zipfile.ZipFile(path, "a") as workbook:
        workbook.writestr("xl/vbaProject.bin", b"\0")
    with pytest.raises(DataError, match="The workbook has macros") as caught:
        read_table(path)
    assert "CSV UTF-8" in caught.value.fix
    for name in ("a.xlsm", "a.xls"):
        with pytest.raises(DataError, match="spreadsheet of another kind"):
            read_table(tmp_path / name)
    (tmp_path / "b.xlsx").write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 600)
    with pytest.raises(DataError, match="an old workbook, or has a password"):
        read_table(tmp_path / "b.xlsx")


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("sheet1", lambda xml: xml[: len(xml) // 2], "cannot be read"),
        ("workbook", lambda xml: b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + xml, "its XML defines entities"),
        ("sheet1", lambda xml: xml + b"<a/>" * 5_000_000, "too many values"),
        ("styles", lambda xml: xml.replace(b"</cellXfs>", b"<xf/>" * 500_000 + b"</cellXfs>"), "too many values"),
        ("sheet1", lambda xml: xml.replace(b'<row r="1">', b'<row r="99999999999">'), "more than 1,048,576 rows"),
        ("sheet1", lambda xml: xml.replace(b'<c r="B1"', b'<c r="XFD1"'), "more than 1,000 columns"),
    ],
)  # fmt: skip
def test_a_workbook_that_lies_or_is_damaged_is_refused(write, part, change, said):
    path = changed(write(a=[["text", "label"], *ROWS]), **{part: change})
    with pytest.raises(DataError, match=said) as caught:
        read_table(path)
    assert caught.value.fix


def test_a_size_that_a_sheet_claims_is_not_believed(write):
    path = changed(
        write(a=[["text", "label"], *ROWS]),
        sheet1=lambda xml: xml.replace(b'<dimension ref="A1:B21"', b'<dimension ref="A1:XFD1048576"'),
    )
    assert len(read_table(path).rows) == 20

"""Files as people have them: with and without a header, a BOM, quotes; whole and broken."""

import codecs
import json

import pandas as pd
import pytest

from data.problems import ProblemsError
from data.readers.files import read_table
from plumbing.errors import DataError

ROWS = [
    {"text": "Warm bread, kind staff", "label": "positive"},
    {"text": 'They call it "soup"; I call it rain', "label": "negative"},
    {"text": "Crème brûlée: à refaire", "label": "positive"},
]


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def values(table):
    return [row for _, row in table.rows]


def numbers(table):
    return [number for number, _ in table.rows]


JSON_LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF8], ids=["plain", "BOM"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", JSON_LINES),
        ("a.ndjson", JSON_LINES.replace("\n", "\r\n")),
        ("a.json", json.dumps(ROWS, indent=1)),
        ("a.json", json.dumps({"version": 2, "data": ROWS})),
        ("a.json", json.dumps({"reviews": ROWS, "by": "us"})),
        ("lines.json", JSON_LINES),
        ("a.csv", pd.DataFrame(ROWS).to_csv(index=False)),
        ("semicolons.csv", pd.DataFrame(ROWS).to_csv(index=False, sep=";")),
        ("a.tsv", pd.DataFrame(ROWS).to_csv(index=False, sep="\t")),
        ("windows.txt", pd.DataFrame(ROWS).to_csv(index=False, sep="|", lineterminator="\r\n")),
    ],
)
def test_every_text_format_gives_the_same_rows(write, name, content, bom):
    table = read_table(write(name, bom + content.encode()))
    assert table.columns == ("text", "label")
    assert values(table) == ROWS
    assert numbers(table) == [1, 2, 3]
    assert table.problems == ()


def test_parquet_gives_the_same_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame(ROWS).to_parquet(path)
    assert values(read_table(path)) == ROWS


def test_without_a_header_columns_are_numbered_and_the_first_row_is_kept(write):
    table = read_table(write("a.tsv", "a warm , funny film\t1\ntwo hours of rain\t0\n"))
    assert table.columns == ("column_1", "column_2")
    assert values(table)[0] == {"column_1": "a warm , funny film", "column_2": "1"}
    assert "no header" in table.notes[0]


@pytest.mark.parametrize(
    "first", ["wow\t1", "a lovely evening\tpositive", "Ann: are you there, are you?\tAnn asks."]
)
def test_a_first_row_of_data_is_not_taken_for_a_header(write, first):
    assert len(read_table(write("a.tsv", f"{first}\nno\t0\n")).rows) == 2


@pytest.mark.parametrize("header", ["sentence\tlabel", "what they said\tverdict", "alpha\tbeta"])
def test_a_row_of_names_is_taken_for_a_header(write, header):
    table = read_table(write("a.tsv", f"{header}\na lovely evening by the sea\t1\nno\t0\n"))
    assert table.columns == tuple(header.split("\t"))
    assert numbers(table) == [1, 2]


def test_chosen_names_make_any_first_row_a_header(write):
    table = read_table(write("a.csv", "1,2\nlovely,1\nawful,0\n"), header_names=["2", "1"])
    assert table.columns == ("1", "2")


def test_quotes_inside_tab_separated_text_are_text(write):
    lines = ['" a gem . "', "'tis fine", '"tis not', 'he says " no " twice', 'ends with a "']
    content = "".join(f"{line}\t{number % 2}\n" for number, line in enumerate(lines))
    table = read_table(write("a.tsv", content))
    assert [row["column_1"] for row in values(table)] == lines


def test_quoted_fields_may_hold_delimiters_and_line_ends(write):
    table = read_table(write("a.csv", 'dialogue,summary\n"Ann: Hi, Bo\nBo: ""Hi""","Ann, Bo: greetings"\n'))
    assert values(table) == [{"dialogue": 'Ann: Hi, Bo\nBo: "Hi"', "summary": "Ann, Bo: greetings"}]


def test_rows_of_the_wrong_width_are_problems_with_their_number(write):
    table = read_table(write("a.csv", "text,label\nfine,1\nfine, too,1\n\nawful,0\nlost\n"))
    assert numbers(table) == [1, 3]
    assert [(problem.row, problem.what[:20]) for problem in table.problems] == [
        (2, "The row has 3 fields"),
        (4, "The row has 1 field,"),
    ]
    assert "quotes" in table.problems[0].fix


def test_empty_and_repeated_header_names_stay_apart(write):
    assert read_table(write("a.csv", ",text,text\n0,fine,yes\n")).columns == ("column_1", "text", "text_3")


def test_broken_json_lines_are_problems_with_their_line(write):
    table = read_table(write("a.jsonl", '{"text": "a"}\n\n{"text": "b"\n["c"]\n{"text": "d"}\n'))
    assert numbers(table) == [1, 5]
    assert [problem.row for problem in table.problems] == [3, 4]
    assert "not JSON" in table.problems[0].what
    assert "it is a list" in table.problems[1].what


def test_a_line_separator_inside_a_json_string_is_not_the_end_of_the_line(write):
    assert values(read_table(write("a.jsonl", '{"text": "a\u2028b"}\n'))) == [{"text": "a\u2028b"}]


def test_text_that_is_not_utf8_is_refused_with_every_line(write):
    path = write("a.csv", "text,label\nfine,1\nCrème,1\nplain,0\nbrûlée,0\n".encode("latin-1"))
    with pytest.raises(ProblemsError) as caught:
        read_table(path)
    assert [problem.what for problem in caught.value.problems] == [
        "Not UTF-8: byte 0xe8 at position 3 of line 3",
        "Not UTF-8: byte 0xfb at position 3 of line 5",
    ]
    assert "Save the file as UTF-8" in str(caught.value)


def test_utf16_is_named(write):
    with pytest.raises(ProblemsError, match="UTF-16"):
        read_table(write("a.txt", "text\tlabel\nfine\t1\n".encode("utf-16")))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", "", "is empty"),
        ("a.jsonl", "\ufeff\n \n", "is empty"),
        ("a.csv", "text,label\n", "no rows"),
        ("a.json", "[]", "no rows"),
        ("a.json", '{"name": "x"}', "does not hold a list"),
        ("a.json", '[{"text": "a"},', "is not JSON"),
        ("a.csv", "one column only\nand no delimiter\n", "No delimiter"),
        ("a.parquet", "not parquet", "Parquet file cannot be read"),
        ("a.docx", "PK", "is a document"),
        ("a.exe", "MZ", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_remedy(write, name, content, complaint):
    with pytest.raises(DataError, match=complaint) as caught:
        read_table(write(name, content))
    assert caught.value.fix


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "gone.csv")
    with pytest.raises(DataError, match="folder"):
        read_table(tmp_path)


# ---- what a file says of itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("0,1\nlovely,1\nawful,0\n", ("0", "1")),
        ("1,2\nlovely,1\nawful,0\n", ("1", "2")),
        (",0,1\n0,lovely,1\n1,awful,0\n", ("column_1", "0", "1")),
        (",0,1,2\n0,lovely,1,x\n1,awful,0,y\n", ("column_1", "0", "1", "2")),
    ],
)
def test_a_first_row_that_counts_the_columns_is_a_header(write, content, columns):
    table = read_table(write("a.csv", content))
    assert table.columns == columns
    assert numbers(table) == [1, 2]
    assert "only counts the columns" in table.notes[-1]


@pytest.mark.parametrize("content", ["0,1\n1,0\n3,1\n", "0,2\nlovely,1\nawful,0\n", "0,1\n"])
def test_a_first_row_of_numbers_that_count_nothing_is_data(write, content):
    table = read_table(write("a.csv", content))
    assert table.columns == ("column_1", "column_2")
    assert numbers(table) == list(range(1, content.count("\n") + 1))


def test_the_line_that_excel_begins_with_names_the_delimiter(write):
    table = read_table(write("a.csv", "\ufeffsep=;\r\ntext;label\r\nfine, warm;1\r\ncold;0\r\n"))
    assert table.columns == ("text", "label")
    assert values(table)[0] == {"text": "fine, warm", "label": "1"}


def test_a_comma_in_a_number_between_semicolons_is_a_decimal_point(write):
    table = read_table(write("a.csv", "text;rating\nfine, warm;4,5\n1,5;2\n"))
    assert [row["rating"] for row in values(table)] == ["4.5", "2"]
    assert values(table)[1]["text"] == "1,5"  # among texts it stays what it is
    assert any("decimal points" in note for note in table.notes)
    assert values(read_table(write("b.csv", 'text,rating\nfine,"4,5"\nbad,2\n')))[0]["rating"] == "4,5"

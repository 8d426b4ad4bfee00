"""Raw text is read as documents, cut into passages at its gaps, and divided by documents."""

import gzip
import json

import pytest

from data.forms import form_of
from data.passages import PASSAGE_CHARS, passages_of
from data.problems import ProblemsError
from data.readers.files import read_table
from data.readers.folders import read_folder
from data.sources import open_source
from data.tasks import SENTIMENT
from data.tasks.own import OwnTask
from plumbing.errors import DataError

READ = OwnTask(kind="text").definition()
PROSE = "\n\n".join(
    f"Chapter {n}, in which it rains, and nobody goes out.\nThe second line of chapter {n}." + " It rains on." * 60
    for n in range(30)
)


def test_a_document_is_cut_at_blank_lines_and_nothing_is_lost():
    found = list(passages_of(PROSE))
    assert all(len(passage) <= PASSAGE_CHARS for passage in found)
    assert "\n\n".join(found) == PROSE
    assert len(found) == 15  # of two paragraphs each


@pytest.mark.parametrize("gap", ["\n", ". ", " ", ""])
def test_a_paragraph_that_is_too_long_is_cut_at_the_best_gap_it_has(gap):
    text = gap.join(["x" * 90] * 200)
    found = list(passages_of(text))
    assert all(0 < len(passage) <= PASSAGE_CHARS for passage in found)
    assert sum(passage.count("x") for passage in found) == 90 * 200
    if gap == "\n":
        assert all(set(map(len, passage.split("\n"))) == {90} for passage in found)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.txt.gz"])
def test_a_text_is_read_as_one_document(tmp_path, name):
    content = ("\ufeff" + PROSE.replace("\n", "\r\n")).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert form_of(read_table(tmp_path / name)).name == "raw text"
    found = open_source(f"file:{tmp_path}/{name}", READ)
    rows = sorted((row for split in found.splits.values() for row in split), key=lambda row: row["row"])
    assert "\n\n".join(row["text"] for row in rows) == PROSE
    assert {row["document"] for row in rows} == {1}
    assert [row["row"] for row in rows] == list(range(1, 16))
    assert f"15 passages of 1 document of {name}, cut at blank lines, long paragraphs at sentences." in found.notes


def test_documents_are_not_divided_between_splits(tmp_path):
    rows = [{"id": n, "text": "\n\n".join(f"Part {p} of story {n}. " * 60 for p in range(4))} for n in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = open_source(f"file:{tmp_path}/a.jsonl", READ)
    documents = [set(split["document"]) for split in found.splits.values()]
    assert [len(each) for each in documents] == [30, 4, 6]
    assert len(set().union(*documents)) == 40
    assert sum(len(split) for split in found.splits.values()) > 40


def test_a_text_of_one_line_is_cut_at_sentences(tmp_path):
    said = [f"Sentence {n} of a text that has no end of line." for n in range(500)]
    (tmp_path / "a.txt").write_text(" ".join(said))
    found = open_source(f"file:{tmp_path}/a.txt", READ)
    rows = sorted((row for split in found.splits.values() for row in split), key=lambda row: row["row"])
    assert len(rows) > 8 and " ".join(row["text"] for row in rows) == " ".join(said)
    assert [row["ends"] for row in rows] == [False] * (len(rows) - 1) + [True]


@pytest.mark.parametrize("text", ["One line.\n\nAnother.\n", "One line."])
def test_a_text_of_little_is_refused(text, tmp_path):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ProblemsError, match="There is too little text: 1 passage, and at least 8 are needed"):
        open_source(f"file:{tmp_path}/a.txt", READ)


def test_a_txt_is_a_table_where_its_lines_are_cut_alike(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"remark {n}\t{n % 2}\n" for n in range(20)))
    assert read_table(tmp_path / "a.txt").columns == ("column_1", "column_2")
    (tmp_path / "a.txt").write_text("text|label\n" + "".join(f"remark {n}, so|{n % 2}\n" for n in range(20)))
    assert len(open_source(f"file:{tmp_path}/a.txt", SENTIMENT).splits["train"]) > 8
    (tmp_path / "a.txt").write_text(PROSE)
    assert read_table(tmp_path / "a.txt").columns == ("text",)
    with pytest.raises(DataError, match=r"No delimiter|needs two columns|not clear"):
        open_source(f"file:{tmp_path}/a.txt", SENTIMENT)


def test_a_folder_of_texts_is_a_document_each(tmp_path):
    (tmp_path / "more").mkdir()
    for n in range(10):
        place = tmp_path / "more" if n % 2 else tmp_path
        (place / f"story {n}.{'md' if n % 3 else 'txt'}").write_text(f"Story {n}.\n\n{PROSE}")
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    table = read_folder(tmp_path)["train"]
    assert len(table.rows) == 10 and table.columns == ("text",)
    assert "10 texts are read, each as a document." in table.notes
    found = open_source(f"file:{tmp_path}", READ)
    assert sum(len(set(split["document"])) for split in found.splits.values()) == 10


def test_one_column_is_enough_for_raw_text(tmp_path):
    (tmp_path / "a.csv").write_text("text\n" + "".join(f"A paragraph about {n}\n" for n in range(20)))
    assert sum(len(split) for split in open_source(f"file:{tmp_path}/a.csv", READ).splits.values()) == 20

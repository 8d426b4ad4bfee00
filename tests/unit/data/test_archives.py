"""A ZIP archive is read like the folder that was packed, in memory, within limits, and without tricks of paths."""

import json
import struct
import zipfile

import pytest

from data.readers.archives import files_in
from data.readers.files import read_splits, read_table
from data.sources import open_source
from data.tasks import SENTIMENT
from data.tasks.own import OwnTask
from plumbing.errors import DataError

LINES = "".join(json.dumps({"text": f"remark {n}", "label": n % 2}) + "\n" for n in range(20))
STORY = "It rained, and nobody went out.\n\nThe next day it rained, too.\n"


@pytest.fixture
def pack(tmp_path):
    def packed(**settings):
        files = settings.pop("files")
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return tmp_path / "a.zip"

    return packed


def test_an_archive_of_one_table_is_that_table(pack):
    path = pack(files={"export/rows.jsonl": LINES, "export/README.md": "About it", "__MACOSX/._rows.jsonl": "x"})
    assert len(read_table(path).rows) == 20
    assert len(open_source(f"file:{path}", SENTIMENT).splits["train"]) > 8


def test_an_archive_of_files_called_by_their_splits_has_these(pack):
    tables = read_splits(pack(files={"d/train.jsonl": LINES, "d/test.csv": "text,label\nfine,1\nbad,0\n"}))
    assert {split: len(table.rows) for split, table in tables.items()} == {"train": 20, "test": 2}


def test_an_archive_of_texts_is_a_document_each(pack):
    path = pack(files={f"book/{n}.{'md' if n % 2 else 'txt'}": f"Story {n}. {STORY}" for n in range(12)})
    table = read_table(path)
    assert table.columns == ("text",) and len(table.rows) == 12
    found = open_source(f"file:{path}", OwnTask(kind="text").definition())
    assert sum(len(set(split["document"])) for split in found.splits.values()) == 12


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"../../evil.csv": "text,label\n"}, "a path that leads out of it"),
        ({"/etc/evil.csv": "text,label\n"}, "a path that leads out of it"),
        ({"a/../../evil.csv": "text,label\n"}, "a path that leads out of it"),
        ({"..\\evil.csv": "text,label\n"}, "a path that leads out of it"),
        ({"a.exe": "MZ"}, "no file that can be read"),
        ({}, "no file that can be read"),
        ({"a.csv": "text,label\nfine,1\n", "b.csv": "text,label\nfine,1\n"}, "neither one file"),
        ({"inner.zip": "PK"}, "no file that can be read"),
        ({"a.csv": ""}, "is empty"),
        ({f"{n}.csv": "x" for n in range(1_001)}, "more than 1,000 files"),
        ({"a.csv": "0" * 100_000_001}, "would take more than 100 MB"),
    ],
)
def test_an_archive_with_what_it_should_not_hold_is_refused(pack, files, said):
    with pytest.raises(DataError, match=said) as caught:
        read_table(pack(files=files))
    assert caught.value.fix


def test_links_passwords_and_lies_about_sizes_are_refused(pack, tmp_path):
    link = zipfile.ZipInfo("a.csv")
    link.external_attr = 0o120777 << 16
    with pytest.raises(DataError, match="holds a link"):
        read_table(pack(files={link: "/etc/passwd"}))
    content = bytearray(pack(files={"a.csv": "text,label\n" * 100}).read_bytes())
    central = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, central + 8, 1)
    with pytest.raises(DataError, match="with a password"):
        files_in(bytes(content), "a.zip")
    struct.pack_into("<H", content, central + 8, 0)
    struct.pack_into("<I", content, central + 24, 10)  # it unpacks to 1,100
    with pytest.raises(DataError, match=r"holds more than it says|cannot be unpacked"):
        files_in(bytes(content), "a.zip")
    (tmp_path / "b.zip").write_bytes(bytes(content[:-30]))
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_table(tmp_path / "b.zip")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packings_are_refused(tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", packing) as archive:
        archive.writestr("a.csv", "text,label\nfine,1\n")
    with pytest.raises(DataError, match="packed in an unusual way"):
        read_table(tmp_path / "a.zip")

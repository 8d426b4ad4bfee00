"""Packed files, folders of files, and what `save_to_disk` writes; and what is only named."""

import gzip
import json

import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from data.readers.files import read_table
from data.readers.folders import read_folder
from data.sources import absolute_spec, open_source
from data.tasks import SENTIMENT
from plumbing.errors import DataError

FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=["positive", "negative"])})


def rows(count, name="remark"):
    return [{"text": f"{name} {n}", "label": n % 2} for n in range(count)]


def dataset(count, name="remark"):
    return Dataset.from_list(rows(count, name), features=FEATURES)


def sizes(folder):
    return {split: len(table.rows) for split, table in read_folder(folder).items()}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json"])
def test_a_packed_file_is_read_as_what_is_in_it(tmp_path, suffix):
    frame = pd.DataFrame(rows(20))
    plain = tmp_path / f"a{suffix}"
    if suffix in (".csv", ".tsv"):
        frame.to_csv(plain, index=False, sep="\t" if suffix == ".tsv" else ",")
    else:
        frame.to_json(plain, orient="records", lines=suffix == ".jsonl")
    packed = tmp_path / f"a{suffix}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_table(packed).rows == read_table(plain).rows
    assert absolute_spec(str(packed)) == f"file:{packed}"
    assert len(open_source(str(packed), SENTIMENT).splits["train"]) > 8


@pytest.mark.parametrize(
    "content", [b"", b"text,label\n", gzip.compress(b"text,label\nfine,1\n" * 99, mtime=0)[:40]]
)
def test_a_file_that_is_not_packed_as_it_says_is_refused(tmp_path, content):
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(DataError):
        read_table(tmp_path / "a.csv.gz")


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("reviews.xlsm", "spreadsheet", "CSV UTF-8"),
        ("reviews.ods", "spreadsheet", "CSV"),
        ("reviews.7z", "archive", "Unpack"),
        ("reviews.pkl", "pickle", "to_parquet"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_what_is_not_read_is_called_by_its_name(tmp_path, name, what, remedy, exists):
    if exists:
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=what) as caught:
        open_source(str(tmp_path / name), SENTIMENT)
    assert remedy in caught.value.fix


def test_a_saved_data_set_is_read_with_its_class_names(tmp_path):
    dataset(20).save_to_disk(tmp_path / "saved")
    opened = open_source(str(tmp_path / "saved"), SENTIMENT)
    labels = {row["text"]: row["label"] for split in opened.splits.values() for row in split}
    assert labels == {f"remark {n}": ("positive", "negative")[n % 2] for n in range(20)}
    assert absolute_spec(str(tmp_path / "saved")) == f"file:{tmp_path}/saved"


def test_saved_splits_are_its_splits(tmp_path):
    DatasetDict(train=dataset(20), test=dataset(6, "other")).save_to_disk(
        tmp_path / "saved", num_shards={"train": 2, "test": 1}
    )
    assert sizes(tmp_path / "saved") == {"train": 20, "test": 6}
    numbers = [number for number, _ in read_folder(tmp_path / "saved")["train"].rows]
    assert numbers == list(range(1, 21))
    opened = open_source(str(tmp_path / "saved"), SENTIMENT)
    assert opened.splits["test"]["text"] == [f"other {n}" for n in range(6)]


def test_files_called_by_their_splits_are_these_splits(tmp_path):
    pd.DataFrame(rows(20)).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame(rows(6, "other")).to_csv(tmp_path / "my-test.csv", index=False)
    (tmp_path / "README.md").write_text("about it")
    assert sizes(tmp_path) == {"train": 20, "test": 6}
    opened = open_source(f"file:{tmp_path}", SENTIMENT)
    assert opened.splits["test"]["text"] == [f"other {n}" for n in range(6)]


def test_shards_in_a_folder_called_data_are_joined(tmp_path):
    (tmp_path / "data").mkdir()
    for shard in range(2):
        dataset(10, f"shard {shard},").to_parquet(tmp_path / "data" / f"train-0000{shard}-of-00002.parquet")
    assert sizes(tmp_path) == {"train": 20}


def test_a_description_beside_the_one_file_of_a_folder_is_no_file_of_examples(tmp_path):
    pd.DataFrame(rows(20)).to_parquet(tmp_path / "data.readers.parquet")
    described = {"features": {"label": {"names": ["positive", "negative"], "_type": "ClassLabel"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
    assert {row["label"] for _, row in read_folder(tmp_path)["train"].rows} == {"positive", "negative"}


def test_a_folder_that_is_not_clear_is_refused_with_its_files(tmp_path):
    with pytest.raises(DataError, match="neither one file") as caught:
        read_folder(tmp_path)
    for name in ("a.csv", "b.csv"):
        pd.DataFrame(rows(20)).to_csv(tmp_path / name, index=False)
    with pytest.raises(DataError, match="neither one file") as caught:
        read_folder(tmp_path)
    assert caught.value.got == ["a.csv", "b.csv"]


# ---- hostile folders ---------------------------------------------------------------------------------------


def saved_with(folder, table, **options):
    folder.mkdir()
    (folder / "state.json").write_text("{}")
    settings = pa.ipc.IpcWriteOptions(**options)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema, options=settings) as writer,
    ):
        writer.write_table(table)
    return folder


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_packed_batch_is_refused_before_it_is_unpacked(tmp_path, compression):
    table = pa.table({"text": ["0" * 1_000_000] * 5})
    with pytest.raises(DataError, match="is packed"):
        read_folder(saved_with(tmp_path / "plain", table, compression=compression))
    encoded = pa.table({"text": table["text"].dictionary_encode()})
    with pytest.raises(DataError, match="is packed"):
        read_folder(saved_with(tmp_path / "encoded", encoded, compression=compression))


def test_lists_whose_places_go_back_are_refused(tmp_path):
    words = pa.array(["word"] * 1_000)
    offsets = pa.array([0, 1_000] * 500 + [0], pa.int32())
    lists = pa.ListArray.from_buffers(pa.list_(pa.string()), 1_000, [None, offsets.buffers()[1]], children=[words])
    with pytest.raises(DataError, match="cannot be read"):
        read_folder(saved_with(tmp_path / "a", pa.table({"dialogue": lists})))


def test_a_text_that_a_dictionary_repeats_is_counted_each_time(tmp_path):
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), pa.array(["0" * 1_000_000]))
    with pytest.raises(DataError, match="Unpacked, the file would take more"):
        read_folder(saved_with(tmp_path / "a", pa.table({"text": words})))


def test_a_column_of_nothing_takes_no_room_and_is_still_too_long(tmp_path):
    with pytest.raises(DataError, match="more than 200,000 rows"):
        read_folder(saved_with(tmp_path / "a", pa.table({"text": pa.nulls(10_000_000)})))


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\0" * 100])
def test_a_damaged_arrow_file_is_refused(tmp_path, content):
    saved_with(tmp_path / "a", pa.table({"text": ["a"]}))
    (tmp_path / "a" / "data-00000-of-00001.arrow").write_bytes(content)
    with pytest.raises(DataError):
        read_folder(tmp_path / "a")


def test_an_arrow_file_with_any_byte_turned_is_read_or_refused(tmp_path):
    folder = saved_with(tmp_path / "a", pa.table({"text": ["fine", "bad"], "label": [1, 0]}))
    path = folder / "data-00000-of-00001.arrow"
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_folder(folder)
        except DataError as error:
            assert str(error)


def test_the_limits_of_a_file_hold_for_a_folder_as_a_whole(tmp_path, monkeypatch):
    for split in ("train", "test"):
        pd.DataFrame(rows(100)).to_csv(tmp_path / f"{split}.csv", index=False)
    monkeypatch.setattr("data.readers.table.MAX_ROWS", 150)
    with pytest.raises(DataError, match="more than 150 rows"):
        read_folder(tmp_path)
    monkeypatch.setattr("data.readers.folders.MAX_FILE_BYTES", 2_000)
    with pytest.raises(DataError, match="The folder holds more than"):
        read_folder(tmp_path)


def test_a_link_out_of_a_folder_and_a_pipe_in_it_are_no_data(tmp_path):
    import os

    os.mkfifo(tmp_path / "train.csv")
    with pytest.raises(DataError, match="neither one file"):
        read_folder(tmp_path)

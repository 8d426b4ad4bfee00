"""A growing metrics file is read on, not again; one that was cut or replaced is read anew."""

import json
import os

import pytest

from finetuning.recipe import load_recipe
from finetuning.runs import metrics as metrics_reader
from finetuning.runs.folder import create_run
from finetuning.runs.metrics import MetricsReader


@pytest.fixture
def run(tmp_path):
    return create_run(load_recipe("sentiment-smollm2-lora"), tmp_path)


@pytest.fixture
def file(run):
    return run.folder / "metrics.jsonl"


def line(step, loss=1.0):
    return json.dumps({"step": step, "loss": loss}) + "\n"


def look(reader):
    """(whether it started anew, the steps that came)."""
    parts = list(reader.new_lines())
    return any(anew for anew, _ in parts), [each["step"] for _, lines in parts for each in lines]


def test_each_line_comes_once_and_each_byte_is_read_once(run, file):
    file.write_text("".join(map(line, range(20_000))))
    reader = MetricsReader(file)
    assert look(reader) == (False, list(range(20_000)))
    whole = reader.bytes_read
    assert whole == file.stat().st_size
    assert look(reader) == (False, []) and reader.bytes_read == whole
    run.append_metrics({"step": 20_000, "loss": 0.5})
    assert look(reader) == (False, [20_000])
    assert reader.bytes_read - whole < 1000


def test_it_reads_in_parts(file, monkeypatch):
    monkeypatch.setattr(metrics_reader, "CHUNK_BYTES", 100)
    file.write_text("".join(map(line, range(50))))
    parts = list(MetricsReader(file).new_lines())
    assert len(parts) > 5 and max(len(lines) for _, lines in parts) < 8
    assert [each["step"] for _, lines in parts for each in lines] == list(range(50))


def test_a_line_that_is_being_written_waits(file):
    file.write_text(line(1) + '{"step": 2, "lo')
    reader = MetricsReader(file)
    assert look(reader) == (False, [1])
    with file.open("a") as handle:
        handle.write('ss": 1.0}\n{')
    assert look(reader) == (False, [2])


def test_lines_that_a_resumed_run_takes_back_no_longer_count(run, file):
    for step in range(1, 9):
        run.append_metrics({"step": step, "loss": 1.0})
    reader = MetricsReader(file)
    look(reader)
    run.cut_metrics(5)
    assert look(reader) == (True, [1, 2, 3, 4, 5])
    run.append_metrics({"step": 6, "loss": 1.0})
    assert look(reader) == (False, [6])


def test_a_file_that_shrank_or_holds_something_else_is_read_anew(file):
    file.write_text("".join(map(line, range(100))))
    reader = MetricsReader(file)
    look(reader)
    file.write_text(line(7))
    assert look(reader) == (True, [7])
    number = file.stat().st_ino
    with file.open("r+") as handle:  # the same number and larger, as where a file's number was free again
        handle.write(line(8) + line(9))
    assert file.stat().st_ino == number
    assert look(reader) == (True, [8, 9])
    other = file.with_name("other")
    other.write_text(line(8) + line(9) + line(10))
    other.replace(file)
    assert look(reader) == (True, [8, 9, 10])


def test_a_file_that_is_gone_or_no_file_holds_nothing(file):
    reader = MetricsReader(file)
    assert look(reader) == (False, [])
    file.write_text(line(1))
    assert look(reader) == (False, [1])
    file.unlink()
    assert look(reader) == (True, [])
    os.mkfifo(file)
    assert look(reader) == (False, [])
    file.unlink()
    file.write_text(line(1))
    assert look(reader) == (False, [1])


def test_what_has_no_end_of_line_is_passed_over(file, monkeypatch):
    monkeypatch.setattr(metrics_reader, "CHUNK_BYTES", 100)
    file.write_text(line(1) + "x" * 1000)
    reader = MetricsReader(file)
    assert look(reader) == (False, [1])
    with file.open("a") as handle:
        handle.write("\n" + line(2))
    assert look(reader) == (False, [2])


def test_a_file_without_an_end_is_read_bit_by_bit(file, monkeypatch):
    monkeypatch.setattr(metrics_reader, "_MOST_BYTES", 2**21)
    with file.open("wb") as handle:
        handle.truncate(2**34)  # 16 GiB, none of it on the disk
    reader = MetricsReader(file)
    assert look(reader) == (False, []) and reader.bytes_read == 2**21
    assert look(reader) == (False, []) and reader.bytes_read < 2**22 + 1000

"""A report survives the disk, is written whole or not at all, and a damaged file is named."""

import json

import pytest

from eval.report import folder as module
from eval.report.folder import load, save
from eval.report.markdown import to_markdown
from plumbing.errors import RunError


@pytest.fixture
def rows(label_row):
    return [
        label_row("Same on both.", "positive", 0.75, 0.8),
        label_row('Größe passt,\r\nsehr\u2028schön \x00 \U0001f600 {"a": 1}', "positive", 0.1, 1 / 3),
    ]


@pytest.fixture
def report(make_report, rows):
    return make_report("sentiment", rows, train=[("good", "positive"), ("bad", "negative")])


def test_round_trip(report, rows, tmp_path):
    folder = tmp_path / "deep" / "eval"
    save(report, rows, folder)
    loaded, read = load(folder)
    assert (loaded, list(read)) == (report, rows)
    assert sorted(path.name for path in folder.iterdir()) == ["report.json", "report.md", "rows.jsonl"]
    assert (folder / "report.md").read_text(encoding="utf-8").splitlines() == to_markdown(report, rows).splitlines()
    assert len((folder / "rows.jsonl").read_bytes().splitlines()) == len(rows)


def test_texts_go_and_come_back_the_same(make_report, text_row, tmp_path):
    rows = [text_row("Ana: Hi.\nLeo: Hm.", ["They meet.", "Both say hi."], "", "Ana says\n\nhi.")]
    report = make_report("dialogue", rows)
    save(report, rows, tmp_path)
    loaded, read = load(tmp_path)
    assert (loaded, list(read)) == (report, rows)


def test_the_report_is_written_last_and_never_beside_rows_of_another(report, rows, tmp_path, monkeypatch):
    save(report, rows, tmp_path)
    written = []
    really = module.write_atomically

    def stop_at_the_markdown(path, text):
        written.append(path.name)
        if path.name == "report.md":
            raise OSError("disk full")
        really(path, text)

    monkeypatch.setattr(module, "write_atomically", stop_at_the_markdown)
    with pytest.raises(OSError, match="disk full"):
        save(report, rows[:1], tmp_path)
    assert written == ["rows.jsonl", "report.md"]
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1
    with pytest.raises(RunError, match="There is no report"):
        load(tmp_path)


def test_the_report_comes_after_both_others(report, rows, tmp_path, monkeypatch):
    written = []
    really = module.write_atomically
    monkeypatch.setattr(
        module, "write_atomically", lambda path, text: (written.append(path.name), really(path, text))
    )
    save(report, rows, tmp_path)
    assert written == ["rows.jsonl", "report.md", "report.json"]


def test_no_report_is_said_so(tmp_path):
    with pytest.raises(RunError, match=r"There is no report .*Evaluate first"):
        load(tmp_path)


def test_a_damaged_row_is_named_when_it_is_reached(report, rows, tmp_path):
    save(report, rows, tmp_path)
    with (tmp_path / "rows.jsonl").open("a", encoding="utf-8") as lines:
        lines.write('{"input": "cut o')
    found, read = load(tmp_path)
    assert found == report
    assert [next(read), next(read)] == rows
    with pytest.raises(RunError, match=r"rows\.jsonl, line 3"):
        next(read)


def test_a_field_that_is_missing_in_a_row_is_named(report, rows, tmp_path):
    save(report, rows, tmp_path)
    first, second = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").strip().split("\n")
    values = json.loads(second)
    del values["tuned"]["answer"]
    (tmp_path / "rows.jsonl").write_text(f"{first}\n{json.dumps(values)}\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"rows\.jsonl, line 2: tuned\.answer:"):
        list(load(tmp_path)[1])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda values: json.dumps(values | {"n": "many"}), r"report\.json: n:"),
        (lambda values: json.dumps(values | {"significance": 0.01}), r"report\.json: significance:"),
        (lambda values: json.dumps(values)[:200], r"report\.json: Invalid JSON"),
        (lambda values: "", r"report\.json: Invalid JSON"),
    ],
    ids=["a wrong type", "an unknown key", "cut off", "empty"],
)
def test_a_damaged_report_is_named(report, rows, tmp_path, damage, says):
    save(report, rows, tmp_path)
    path = tmp_path / "report.json"
    path.write_text(damage(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(RunError, match=says):
        load(tmp_path)


def test_a_report_without_its_rows_or_in_another_encoding_is_named(report, rows, tmp_path):
    save(report, rows, tmp_path)
    (tmp_path / "rows.jsonl").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"no rows\.jsonl"):
        load(tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "rows.jsonl")
    (tmp_path / "report.json").write_bytes(b'{"task": "\xff"}')
    with pytest.raises(RunError, match=r"report\.json: not UTF-8"):
        load(tmp_path)

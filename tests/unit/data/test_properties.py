"""Whatever a file or a table holds, it is read, refused or explained: never a traceback."""

import contextlib
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.columns import guess
from data.labelwords import label_key, read_most_values, read_values
from data.limits import MAX_CELL_CHARS
from data.readers.files import SUFFIXES, read_table
from data.splits import same_text, split_rows
from data.tasks import TASKS
from data.tasks.own import OwnTask
from data.validate import check
from plumbing.errors import DataError
from plumbing.printable import brief, one_line, printable

bounded = settings(
    max_examples=100, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip

NAMES = st.sampled_from(["text", "label", "summary", "dialogue", "id", "", "0"]) | st.text(max_size=8)
WORDS = st.sampled_from(
    ["positive", "negative", "0", "1", "-1", "5 stars", "neutral", "1e999", "٣", " ", "a long text"]
)
CELLS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | WORDS
    | st.text(max_size=20)
    | st.lists(WORDS, max_size=3)
)
ROWS = st.lists(st.dictionaries(NAMES, CELLS, max_size=4), max_size=30)
OWN = [OwnTask(kind="classification").definition(), OwnTask(kind="generation", inputs=["a", "text"]).definition()]
TASK = st.sampled_from([*TASKS.values(), *OWN])
STRUCTURED = st.text(alphabet='abc01,;|\t"\n\r{}[]:\\ud8\u2028\ufeff', max_size=300)


@bounded
@given(
    content=st.binary(max_size=400) | STRUCTURED.map(lambda text: text.encode()), suffix=st.sampled_from(SUFFIXES)
)
def test_any_bytes_are_a_table_or_a_data_error(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except DataError as error:
        assert str(error)
        return
    assert table.rows or table.problems
    assert len(set(table.columns)) == len(table.columns)
    for _, row in table.rows:
        assert row.keys() <= set(table.columns)


@bounded
@given(
    lines=st.lists(st.lists(STRUCTURED, min_size=1, max_size=4), min_size=1, max_size=12),
    suffix=st.sampled_from([".csv", ".tsv"]),
)
def test_what_a_csv_writer_wrote_is_a_table_or_a_data_error(tmp_path, lines, suffix):
    import csv

    path = tmp_path / f"a{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",").writerows(lines)
    with contextlib.suppress(DataError):
        assert len(read_table(path).columns) >= 1


@bounded
@given(rows=ROWS, task=TASK)
def test_any_table_is_mapped_to_two_of_its_columns_or_refused(rows, task):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    try:
        mapping = guess(columns, rows, task)
    except DataError as error:
        assert error.fix
        return
    assert mapping.input != mapping.target
    assert {*mapping.inputs, *filter(None, [mapping.target])} <= set(columns)
    assert set((mapping.labels or {}).values()) <= {*mapping.label_names, None}
    checked = check(enumerate(rows, start=1), task, mapping)
    clean, problems = checked.rows, checked.problems
    assert len(clean) <= len(rows)
    assert clean or problems
    for row in clean:
        text = row[task.input_column]
        assert isinstance(text, str) and text and len(text) <= MAX_CELL_CHARS
        assert all(isinstance(target, str) and target for target in task.references(row))
        if task.is_classification:
            assert row[task.target_column] in mapping.label_names
    for problem in problems:
        assert printable(str(problem)) == str(problem)
    splits = split_rows(clean, task)
    assert sum(len(part) for part in splits.values()) == len(clean)
    keys = [{same_text(row[task.input_column]) for row in part} for part in splits.values()]
    assert sum(len(part) for part in keys) == len(set().union(*keys))  # no text is in two splits


@bounded
@given(values=st.sets(WORDS | st.text(max_size=6) | st.integers(-3, 12).map(str), max_size=25))
def test_values_are_read_as_labels_or_not_at_all(values):
    observed = {label_key(value) for value in values} - {""}
    for read in (read_values, read_most_values):
        scheme = read(observed, ("negative", "positive"))
        if scheme is not None:
            assert set(scheme.labels.values()) <= {"negative", "positive", None}
            assert scheme.explained()
    whole = read_values(observed, ("negative", "positive"))
    assert whole is None or observed <= whole.labels.keys()


@bounded
@given(value=st.floats() | st.integers() | st.text(max_size=12))
def test_the_key_of_a_label_is_its_own_key(value):
    key = label_key(value)
    assert label_key(key) == key or math.isinf(float(key)) or "e" in key


@bounded
@given(text=st.text())
def test_what_is_printable_stays_so_and_can_be_written(text):
    shown = printable(text)
    assert printable(shown) == shown
    shown.encode()
    assert "\n" not in one_line(text) and len(one_line(text)) <= 80
    assert len(brief(text)) < 2_000

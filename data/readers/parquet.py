"""Parquet → a table. What the file says of its own size is checked before a value is unpacked.

A column of texts stays in the dictionary that the file keeps it in: 100,000 repetitions of one long text take
a few bytes in a file, and would take gigabytes as 100,000 texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any

from data.limits import MAX_CELLS, MAX_COLUMNS, MAX_FILE_BYTES
from data.readers.cells import TEXTS_KEYS
from data.readers.class_names import ClassNames, names_in_schema, with_class_names
from data.readers.conversations import PART_KEYS, WEIGHT_KEYS, Turn, keys_of_turn
from data.readers.table import FEWER, Table, check_columns, check_size
from plumbing.errors import DataError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

MAX_FOOTER_BYTES = 10_000_000


def read_parquet(content: bytes, name: str, described: ClassNames) -> Table:
    """Returns the table in `content`. Dates are read as text; for nested values see `data.readers.cells`.
    Class ids are written as their names where the file has them, or where `described`, from beside it, does.

    Raises DataError if the file is damaged, or too large once unpacked.
    """
    import pyarrow
    import pyarrow.parquet

    if not content.startswith(b"PAR1") or not content.endswith(b"PAR1") or len(content) < 12:
        raise _unreadable(name, "it does not begin and end as a Parquet file, or was cut off")
    if int.from_bytes(content[-8:-4], "little") > MAX_FOOTER_BYTES:
        raise _unreadable(name, f"its description of itself is longer than {MAX_FOOTER_BYTES:,} bytes")
    try:
        source = pyarrow.BufferReader(content)
        metadata = pyarrow.parquet.read_metadata(source)
        _check_metadata(metadata)
        texts = [
            column.path
            for column in (metadata.schema.column(index) for index in range(metadata.num_columns))
            if column.physical_type == "BYTE_ARRAY"
        ]
        # Not in threads: what is refused midway should not go on being unpacked.
        file = pyarrow.parquet.ParquetFile(source, read_dictionary=texts, pre_buffer=False)
        columns = check_columns(file.schema_arrow.names)
        read = file.read(use_threads=False)
        chars = 0
        values = []
        for column in read.columns:
            found = [cell for chunk in column.chunks for cell in cells(chunk)]
            chars += sum(length(cell) for cell in found)
            if chars > MAX_FILE_BYTES:
                raise too_large(chars)
            values.append(found)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _unreadable(name, str(error).strip().split("\n", 1)[0][:300]) from None
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))
    table = Table(columns, tuple(enumerate(rows, start=1)))
    return with_class_names(table, {**described, **names_in_schema(file.schema_arrow.metadata)})


def _check_metadata(metadata: pyarrow.parquet.FileMetaData) -> None:
    if metadata.num_columns > MAX_COLUMNS:
        raise DataError(f"The file has more than {MAX_COLUMNS:,} columns", got=metadata.num_columns, fix=FEWER)
    check_size(rows=metadata.num_rows, cells=metadata.num_rows * metadata.num_columns)
    check_size(rows=metadata.num_row_groups, cells=metadata.num_row_groups * metadata.num_columns)
    values = unpacked = 0
    for chunk in _chunks(metadata):
        values += chunk.num_values
        unpacked += chunk.total_uncompressed_size
    fixed = sum(max(0, metadata.schema.column(index).length) for index in range(metadata.num_columns))
    unpacked = max(unpacked, fixed * metadata.num_rows)
    if values > MAX_CELLS:
        check_size(cells=values)
    if unpacked > MAX_FILE_BYTES:
        raise too_large(unpacked)


def _chunks(metadata: pyarrow.parquet.FileMetaData) -> Iterator[pyarrow.parquet.ColumnChunkMetaData]:
    for group in range(metadata.num_row_groups):
        described = metadata.row_group(group)
        yield from (described.column(index) for index in range(metadata.num_columns))


def cells(array: pyarrow.Array) -> list[Any]:
    """Returns the values of one array. Texts of a dictionary are the same objects wherever they are repeated."""
    import pyarrow
    from pyarrow import types

    kind = array.type
    if types.is_dictionary(kind):
        array.validate(full=True)
        words = cells(array.dictionary)
        return [None if index is None else words[index] for index in array.indices.to_pylist()]
    if types.is_list(kind) or types.is_large_list(kind):
        return _lists(array)
    if types.is_struct(kind):
        return _objects(array)
    if types.is_string(kind) or types.is_large_string(kind):
        array.validate(full=True)  # a file can call any bytes text
        return list(array.to_pylist())
    if types.is_binary(kind) or types.is_large_binary(kind):
        try:
            return list(array.cast(pyarrow.string()).to_pylist())  # how some tools write text
        except pyarrow.ArrowInvalid:
            return [b"" if valid else None for valid in _valid(array)]
    if types.is_temporal(kind):
        return list(array.cast(pyarrow.string()).to_pylist())
    if types.is_nested(kind) or not (types.is_primitive(kind) or types.is_decimal(kind) or types.is_null(kind)):
        return [{} if valid else None for valid in _valid(array)]
    return list(array.to_pylist())


def _lists(array: pyarrow.Array) -> list[Any]:
    """Lists of texts, of turns, or of pairs of what was said and answered; lists with nothing for any others."""
    from pyarrow import types

    inner = array.type.value_type
    if types.is_struct(inner):
        return _conversations(array)
    if types.is_list(inner) and _is_text(inner.value_type):
        return [_history(pairs) for pairs in _cut(array, _cut(array.values, cells(array.values.values)))]
    if not _is_text(inner):
        return [[None] if valid else None for valid in _valid(array)]
    return _cut(array, cells(array.values))


def _is_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    plain = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(plain) or types.is_large_string(plain))


def _cut(array: pyarrow.Array, values: list[Any]) -> list[Any]:
    """The values of an array of lists, list by list."""
    places = pairwise(array.offsets.to_pylist())
    return [values[start:end] if valid else None for (start, end), valid in zip(places, _valid(array), strict=True)]


def _history(pairs: list[Any] | None) -> Any:
    if pairs is None or not pairs:
        return pairs
    if not all(isinstance(pair, list) and len(pair) == 2 and _texts_only(pair) for pair in pairs):
        return [None]
    return tuple(
        Turn(speaker, text) for pair in pairs for speaker, text in zip(("user", "assistant"), pair, strict=True)
    )


def _texts_only(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _conversations(array: pyarrow.Array) -> list[Any]:
    """Lists of turns as tuples of `Turn`; a list with nothing for lists of anything else."""
    turns = _turns(array.values)
    if turns is None:
        return [[None] if valid else None for valid in _valid(array)]
    found: list[Any] = []
    for said in _cut(array, turns):
        found.append(said and (tuple(said) if None not in said else [None]))
    return [None if said == [] else said for said in found]


def _objects(array: pyarrow.Array) -> list[Any]:
    """Single turns as tuples of one, objects of answers as lists of texts; empty objects for any others."""
    names = [field.name for field in array.type]
    texts = next((name for name in TEXTS_KEYS if name in names), None)
    if texts is not None and len(set(names)) == len(names):
        found = cells(array.field(texts))
        if all(value is None or (isinstance(value, list) and _texts_only(value)) for value in found):
            return [value and list(dict.fromkeys(value)) for value in found]
    turns = _turns(array) if {"role", "from"} & set(names) else None
    if turns is None:
        return [{} if valid else None for valid in _valid(array)]
    return [
        None if not valid else {} if turn is None else (turn,)
        for turn, valid in zip(turns, _valid(array), strict=True)
    ]


def _turns(array: pyarrow.Array) -> list[Turn | None] | None:
    """Objects as turns, None for one that is none; None where they have no speaker and text."""
    names = [field.name for field in array.type]
    keys = keys_of_turn(names)
    if keys is None or len(set(names)) < len(names):
        return None
    speakers, texts = cells(array.field(keys[0])), _said(array.field(keys[1]))
    weight = next((name for name in WEIGHT_KEYS if name in names), None)
    weights = cells(array.field(weight)) if weight else repeat(1, len(speakers))
    return [
        Turn(speaker, said, 0 if weight == 0 else 1) if isinstance(speaker, str) and isinstance(said, str) else None
        for speaker, said, weight in zip(speakers, texts, weights, strict=True)
    ]


def _said(array: pyarrow.Array) -> list[Any]:
    """The texts of messages, also of such as are written in parts; None for parts that are not all texts."""
    from pyarrow import types

    kind = array.type
    if not (types.is_list(kind) or types.is_large_list(kind)) or not types.is_struct(kind.value_type):
        return cells(array)
    parts = array.values
    text = next((name for name in PART_KEYS if kind.value_type.get_field_index(name) >= 0), None)
    if text is None:
        return [None] * len(array)
    said = _cut(array, cells(parts.field(text)))
    return ["\n".join(texts) if texts and _texts_only(texts) else None for texts in said]


def _valid(array: pyarrow.Array) -> list[bool]:
    return list(array.is_valid().to_pylist())


def length(cell: Any) -> int:
    """Returns how many characters a cell holds."""
    if isinstance(cell, str):
        return len(cell)
    return sum(length(item) for item in cell) if isinstance(cell, (list, tuple)) else 0


def too_large(unpacked: int) -> DataError:
    """Returns the error for a file that is larger than it may be once it is unpacked."""
    what = f"Unpacked, the file would take more than {MAX_FILE_BYTES // 1_000_000} MB"
    return DataError(what, got=f"{unpacked // 1_000_000:,} MB", fix=FEWER)


def _unreadable(name: str, why: str) -> DataError:
    return DataError("The Parquet file cannot be read", got=name, fix=f"The reader says: {why}")

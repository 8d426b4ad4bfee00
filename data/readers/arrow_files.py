"""Arrow's stream format, as `datasets` saves a folder of it → a table.

A batch that is packed is not unpacked: `datasets` writes none, and one of a few kilobytes could fill the memory.
Whether one is packed stands in its description, which is read here before any batch is.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from data.limits import MAX_FILE_BYTES
from data.readers.class_names import ClassNames, names_in_schema, with_class_names
from data.readers.parquet import cells, length, too_large
from data.readers.table import Table, check_columns, check_size
from plumbing.errors import DataError

if TYPE_CHECKING:
    import pyarrow

_DICTIONARY, _BATCH = 2, 3
"""Kinds of a message, https://github.com/apache/arrow/blob/main/format/Message.fbs"""


def read_arrow(content: bytes, name: str, described: ClassNames) -> Table:
    """Returns the table in `content`; class ids are written as their names where it or `described` has them.

    Raises DataError if the file is damaged, packed, or too large.
    """
    import pyarrow

    try:
        source = pyarrow.BufferReader(content)
        _check_messages(pyarrow.ipc.MessageReader.open_stream(source), name)
        reader = pyarrow.ipc.open_stream(pyarrow.BufferReader(content))
        columns = check_columns(reader.schema.names)
        values: list[list[object]] = [[] for _ in columns]
        rows = chars = 0
        for batch in reader:
            rows += batch.num_rows
            check_size(rows=rows, cells=rows * len(columns))
            for place, column in enumerate(batch.columns):
                _check_array(column)
                found = cells(column)
                chars += sum(length(cell) for cell in found)
                if chars > MAX_FILE_BYTES:
                    raise too_large(chars)
                values[place] += found
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, struct.error, IndexError) as error:
        said = str(error).strip().split("\n", 1)[0][:300] or "it is damaged"
        raise DataError("The Arrow file cannot be read", got=name, fix=f"The reader says: {said}") from None
    made = (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))
    table = Table(columns, tuple(enumerate(made, start=1)))
    return with_class_names(table, {**described, **names_in_schema(reader.schema.metadata)})


def _check_array(array: pyarrow.Array) -> None:
    """Raises ArrowInvalid for places that lead out of the array or back in it; DataError for too many values."""
    from pyarrow import types

    array.validate(full=True)
    inner = array
    while types.is_list(inner.type) or types.is_large_list(inner.type):
        inner = inner.values
        check_size(cells=len(inner))
    if types.is_dictionary(inner.type):
        check_size(cells=len(inner.dictionary))


def _check_messages(messages: pyarrow.ipc.MessageReader, name: str) -> None:
    for message in messages:
        if _is_packed(memoryview(message.metadata)):
            raise DataError("The Arrow file is packed", got=name, fix="Save it with ds.to_parquet('data.parquet').")


def _is_packed(message: memoryview) -> bool:
    """Whether the message is a batch whose description has a compression."""
    root = _follow(message, 0)
    kind = _field(message, root, 1)
    header = _field(message, root, 2)
    if kind is None or header is None or message[kind] not in (_DICTIONARY, _BATCH):
        return False
    batch: int | None = _follow(message, header)
    if message[kind] == _DICTIONARY:
        inner = _field(message, _follow(message, header), 1)
        batch = _follow(message, inner) if inner is not None else None
    return batch is not None and _field(message, batch, 3) is not None


def _follow(buffer: memoryview, place: int) -> int:
    """Where the offset at `place` leads, https://flatbuffers.dev/internals"""
    return place + int(struct.unpack_from("<I", buffer, place)[0])


def _field(buffer: memoryview, table: int, number: int) -> int | None:
    """Where the field with this number of a table is; None where it is left out."""
    fields = table - int(struct.unpack_from("<i", buffer, table)[0])
    if fields < 0 or 4 + 2 * number >= int(struct.unpack_from("<H", buffer, fields)[0]):
        return None
    offset = int(struct.unpack_from("<H", buffer, fields + 4 + 2 * number)[0])
    return table + offset if offset else None

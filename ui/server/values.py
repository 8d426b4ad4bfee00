"""What a value of a call may be, whoever sends it: texts, files of one's own, and plain JSON of a declared type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ui.server.visitors import Visitor, own_upload

TEXT_CHARACTERS = 200_000
UPLOAD = "upload"
"""The format of a schema that a file fits which the caller has uploaded."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no file name and no tokenizer takes: a page cannot send half of a character, and nobody types a zero."""
_FILE_KEYS = {"path", "url", "orig_name", "size", "mime_type", "is_stream", "meta"}
_LARGEST = 1e9
_MOST_ITEMS = 200
_DEEPEST = 4
_TYPES: dict[str, type | tuple[type, ...]] = {
    "null": type(None), "boolean": bool, "integer": int, "number": (int, float), "string": str, "object": dict,
    "array": list,
}  # fmt: skip


def is_text(value: object) -> bool:
    """Whether it is a text that is not too long and holds nothing but characters."""
    return isinstance(value, str) and len(value) <= TEXT_CHARACTERS and not _NO_TEXT.search(value)


def is_number(value: object) -> bool:
    """Whether it is a number of a size that some setting may have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def is_own_file(value: object, visitor: Visitor) -> bool:
    """Whether it names a file that this visitor has uploaded, as the page names one."""
    if not isinstance(value, dict) or not set(value) <= _FILE_KEYS or value.get("is_stream"):
        return False
    path = value.get("path")
    return isinstance(path, str) and own_upload(visitor, path)


def fits(value: object, schema: Mapping[str, Any], visitor: Visitor) -> bool:
    """Whether a value is of the type that an endpoint declares, and nothing in it is a file of somebody else's."""
    if schema.get("format") == UPLOAD:
        return is_own_file(value, visitor)
    if choices := schema.get("oneOf"):
        return any(fits(value, choice, visitor) for choice in choices)
    kind = _TYPES[schema["type"]]
    is_of_kind = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not is_of_kind or not is_plain(value):
        return False
    inner = schema.get("additionalProperties")
    return not inner or not isinstance(value, dict) or all(fits(each, inner, visitor) for each in value.values())


def is_plain(value: object, depth: int = 0) -> bool:
    """Whether it is JSON of a reasonable size without a file in it: Gradio would fetch what a file names."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, int | float):
        return is_number(value)
    if depth >= _DEEPEST or not isinstance(value, dict | list) or len(value) > _MOST_ITEMS:
        return False
    if isinstance(value, dict):
        return "path" not in value and all(is_text(key) and is_plain(value[key], depth + 1) for key in value)
    return all(is_plain(each, depth + 1) for each in value)

"""A safetensors file, judged by its header before a byte is allocated for what it holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 4_000_000
DTYPE_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def read_header(path: Path, *, most_dimensions: int = 2) -> dict[str, tuple[int, ...]]:
    """Name → shape, from a safetensors header that describes the whole file and nothing twice.

    Raises:
        OSError: it is no plain file, or cannot be read.
        ValueError: with what is wrong with it.
    """
    if path.is_symlink() or not path.is_file():
        raise OSError(f"{path.name} is not a plain file")
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or length > min(MAX_HEADER_BYTES, size - 8):
            raise ValueError(f"its header would be {length:,} bytes long, the file is {size:,}")
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_once)
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    header.pop("__metadata__", None)
    places: list[tuple[int, int]] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in header.items():
        shape, place = _tensor(name, tensor, most_dimensions)
        shapes[name] = shape
        places.append(place)
    end = 0
    for start, stop in sorted(places):
        if start != end:
            raise ValueError(f"its tensors overlap or leave gaps at byte {start:,}")
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"its tensors take {end:,} bytes, and the file has {size - 8 - length:,} for them")
    return shapes


def require_shapes(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a `ValueError` unless `found` are the tensors `expected`."""
    for wrong, names in (
        ("lacks", expected.keys() - found.keys()),
        ("has beside its own", found.keys() - expected.keys()),
    ):
        if names:
            raise ValueError(f"it {wrong} {min(names)[:200]}, {len(names)} in all")
    for name, shape in found.items():
        if shape != expected[name]:
            raise ValueError(f"{name} has the shape {shape}, not {expected[name]}")


def _tensor(name: str, described: Any, most_dimensions: int) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Shape and (first byte, byte behind the last) of one tensor."""
    if not isinstance(described, dict) or described.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name[:200]} is not described as a tensor")
    dtype, shape, place = described["dtype"], described["shape"], described["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise ValueError(f"{name[:200]} has the type {str(dtype)[:40]}, not one of {', '.join(DTYPE_BYTES)}")
    if not _are_counts(shape) or len(shape) > most_dimensions or not _are_counts(place) or len(place) != 2:
        raise ValueError(f"the shape or the place of {name[:200]} are not counts")
    if place[1] - place[0] != math.prod(shape) * DTYPE_BYTES[dtype]:
        raise ValueError(f"{name[:200]} has another size than its shape")
    return tuple(shape), (place[0], place[1])


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 40 for item in value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header names something twice")
    return found

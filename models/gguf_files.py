"""A GGUF file: whether it may be read, and what its weights are packed in. Looks at its metadata, loads no weights.

transformers reads it (`models.loading.load`), unpacked; so a side that is one computes in the precision of all
others, with weights that are what packing left of them.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from models.resolved import ResolvedModel
from plumbing.errors import ModelError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.ASCII)
_MOST_TENSORS, _MOST_FIELDS = 100_000, 10_000


def resolve_gguf(path: Path, *, name: str = "", origin: str = "folder", revision: str = "") -> ResolvedModel:
    """The file as a base model that is here.

    Args:
        path: the file; of the Hub's cache it may be a link.
        name: what a person calls it; by default the file's own name.
        origin: `hub` or `folder`.
        revision: the Hub's commit.

    Raises:
        ModelError: it is no GGUF file, or one of several that belong together.
    """
    check_gguf(path)
    return ResolvedModel(
        name=name or path.name,
        path=path.parent,
        origin="hub" if origin == "hub" else "folder",
        revision=revision,
        gguf=path.name,
    )


def check_gguf(path: Path) -> None:
    """Refuse what does not begin as a GGUF file with a language model begins.

    Raises:
        ModelError: says what is wrong.
    """
    try:
        if not path.is_file():
            raise OSError("it is no file")
        with path.open("rb") as file:
            start = file.read(24)
    except OSError as error:
        raise ModelError(f"The GGUF file cannot be read: {error}", got=str(path)) from None
    version, tensors, fields = (int.from_bytes(start[a:b], "little") for a, b in ((4, 8), (8, 16), (16, 24)))
    if start[:4] != _MAGIC or len(start) < 24 or version not in _VERSIONS:
        raise ModelError(
            "This is not a GGUF file", got=str(path), fix=f"Version {' or '.join(map(str, _VERSIONS))} is read."
        )
    if tensors > _MOST_TENSORS or fields > _MOST_FIELDS:
        raise ModelError("The GGUF file is damaged", got=f"{tensors:,} tensors, {fields:,} fields of metadata")
    if (part := _PART.search(path.name)) and int(part[1]) != 1:
        raise ModelError(
            "The GGUF file is one part of several",
            got=path.name,
            fix="Join them with llama.cpp's `llama-gguf-split --merge`, and give the joined file.",
        )


def packed_in(path: Path) -> str:
    """What most of its weights are packed in, as GGUF calls it: F16, Q4_K, …

    Raises:
        ModelError: its metadata is damaged.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        sizes: Counter[str] = Counter()
        for tensor in reader.tensors:
            sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    except (ValueError, IndexError, KeyError, OSError, OverflowError, MemoryError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"The GGUF file is damaged: {said}", got=path.name, fix="Fetch it again.") from None
    if not sizes:
        raise ModelError("The GGUF file holds no weights", got=path.name)
    return sizes.most_common(1)[0][0]

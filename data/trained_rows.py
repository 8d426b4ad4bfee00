"""Which rows a run was trained on, so that no evaluation takes them for new: keys of their texts, not the texts.

The keys tell whoever has them, and a text, whether that text was trained on. So they are salted, lie in the run
folder, and go nowhere else: not into the adapter, an export or a download.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.splits import normalised
from data.tasks import Task
from data.tasks.task import BESIDES, Input
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    from datasets import Dataset

KEYS_FILE = "trained-rows.json"
_MAX_BYTES = 2**25
"""The keys of 200,000 rows, the most that is read of any source, take an eighth."""
_KEY_BYTES = 8  # of 200,000 texts asked of 200,000 keys, one is taken for another once in 500 million such tests
_SALT_BYTES = 16
_ROWS_AT_ONCE = 1000


class TrainedRows:
    """The texts that a run was trained on, as far as one can ask whether a given one is among them."""

    def __init__(self, salt: bytes, keys: Iterable[str], earlier: Sequence[TrainedRows] = ()) -> None:
        """Args:
        salt: of its keys.
        keys: of the texts.
        earlier: those of the runs whose adapter went on, each under a salt of its own.
        """
        self._salt = salt
        self._keys = frozenset(keys)
        self._earlier = tuple(earlier)

    @classmethod
    def of(cls, texts: Iterable[str], *, after: TrainedRows | None = None) -> TrainedRows:
        """Those texts, under a new salt, and what was learned before: `after`, and whatever that goes on from."""
        salt = secrets.token_bytes(_SALT_BYTES)
        earlier = (cls(after._salt, after._keys), *after._earlier) if after else ()
        return cls(salt, (_key(text, salt) for text in texts), earlier)

    @classmethod
    def load(cls, folder: Path) -> TrainedRows | None:
        """What `save` wrote into a run's `folder`; None where there is nothing, or nothing that can be read."""
        try:
            path = folder / KEYS_FILE
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                return None
            saved = json.loads(path.read_text(encoding="utf-8"))
            first, *earlier = (cls._read(one) for one in (saved, *saved.get("earlier", [])))
            return cls(first._salt, first._keys, earlier)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    @classmethod
    def _read(cls, saved: dict[str, Any]) -> TrainedRows:
        salt = bytes.fromhex(saved["salt"])
        if len(salt) != _SALT_BYTES:
            raise ValueError("no such salt")
        return cls(salt, map(str, saved["keys"]))

    def save(self, folder: Path) -> None:
        """Write them into a run's `folder`, for its owner's eyes only."""
        path = folder / KEYS_FILE
        values: dict[str, Any] = self._written()
        if self._earlier:
            values["earlier"] = [one._written() for one in self._earlier]
        write_atomically(path, json.dumps(values))
        path.chmod(0o600)

    def _written(self) -> dict[str, Any]:
        # In the order of the keys, which is not that of the rows.
        return {"salt": self._salt.hex(), "keys": sorted(self._keys)}

    def __contains__(self, text: str) -> bool:
        if _key(text, self._salt) in self._keys:
            return True
        # What was written by an earlier version has keys of words without their marks.
        if not text.isascii() and _key(text, self._salt, marks=False) in self._keys:
            return True
        return any(text in one for one in self._earlier)

    def __len__(self) -> int:
        return len(self._keys)


def _key(text: str, salt: bytes, *, marks: bool = True) -> str:
    """A key that two texts share under one salt if `data.splits.same_text` takes them for the same."""
    return hashlib.blake2b(normalised(text, marks=marks).encode(), digest_size=_KEY_BYTES, key=salt).hexdigest()


def hash_rows(rows: Dataset, task: Task) -> str:
    """SHA-256 over the rows' inputs and targets, in order, and what else they have of `data.tasks.task.BESIDES`.

    Little more than some rows is ever in memory.
    """
    return hash_pairs(_pairs(rows, task))


def hash_pairs(pairs: Iterable[tuple[Input, Sequence[str]]]) -> str:
    """SHA-256 over inputs and their targets, in order."""
    digest = hashlib.sha256()
    for given, references in pairs:
        written = given if isinstance(given, str) else [dict(message) for message in given]
        digest.update(json.dumps([written, list(references)], ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _pairs(rows: Dataset, task: Task) -> Iterator[tuple[Input, list[str]]]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]  # column → values
        targets = some[task.target_column] if task.target_column else [""] * len(some[task.input_column])
        more = [map(str, some[column]) for column in BESIDES if column in some]
        for given, target, *besides in zip(some[task.input_column], targets, *more, strict=True):
            yield given, [*task.references({task.target_column: target}), *besides]

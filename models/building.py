"""Models are built by one thread of a process at a time.

While transformers builds a model, it replaces what draws weights, what ties an output layer to the embeddings, and
torch's default type, for the whole process, and then puts back what it found. Two threads in there at once put back
each other's replacement: from then on no model of that process is tied, so that its output layer is random.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()


def _after_fork() -> None:
    """In a forked process nobody is left who would let go of the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold it around whatever constructs a model or an adapter; also a decorator."""
    with _lock:
        yield

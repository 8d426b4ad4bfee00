"""Models are built by one thread of a process at a time.

While transformers builds a model, it replaces what draws weights, what ties an output layer to the embeddings, and
torch's default type, for the whole process, and then puts back what it found. Two threads in there at once put back
each other's replacement: from then on no model of that process is tied, so that its output layer is random.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold it around whatever constructs a model or an adapter; also a decorator."""
    with _lock:
        yield

"""ZeroGPU: a Space that has no GPU of its own, and is lent one for seconds, for a function in a forked process.

The package `spaces` does that. In the page's own process it lets torch say that there is a GPU, so that a model can
be put on it beforehand; nothing can be computed there.
"""

from __future__ import annotations

import os
import sys


def is_here() -> bool:
    """Whether this is the page's process, or one forked from it, in a Space of this kind."""
    return (
        os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and "spaces.zero.torch" in sys.modules
    )


def is_pretended() -> bool:
    """Whether torch says that there is a GPU where this process can use none: everywhere but in a forked one."""
    wrappers = sys.modules.get("spaces.zero.wrappers")
    return is_here() and not getattr(wrappers, "forked", False)

"""The general corpus: passages and instructions that no task is about, to see what a tuned model lost elsewhere.

Knows its two files, and not how anything is measured on them. They are not sources: nothing trains on them, they
have no splits, and `data.sources` does not open them.
"""

from __future__ import annotations

import json
from pathlib import Path

PASSAGES = Path(__file__).parent / "corpora" / "general.jsonl"
INSTRUCTIONS = Path(__file__).parent / "corpora" / "instructions.jsonl"


def passages() -> list[str]:
    """Returns the passages of general prose, in the order of the file."""
    return _texts(PASSAGES)


def instructions() -> list[str]:
    """Returns the general instructions, each as a person would type it, in the order of the file."""
    return _texts(INSTRUCTIONS)


def _texts(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [str(json.loads(line)["text"]) for line in lines]

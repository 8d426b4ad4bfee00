"""Votes as Compare keeps them."""

from __future__ import annotations

from typing import Any

from eval.vote_lines import Answer, Message, Models, Vote

MODELS = Models(
    task="dialogue",
    base="a/base",
    base_sha256="b" * 64,
    tuned="bundled:dialogue-smollm2-qlora",
    tuned_sha256="a" * 64,
    contract_sha256="c" * 64,
)
SETS = {
    "tuned": ("base", "right"),
    "base": ("base", "left"),
    "tie": ("tuned", "tie"),
    "both bad": ("tuned", "both bad"),
}


def vote(number: int = 0, preferred: str = "tuned", *, models: dict[str, str] | None = None, **more: Any) -> Vote:
    """A vote on question `number`."""
    left, given = SETS[preferred]
    values = {
        "ballot": f"{number:032x}",
        "time": 1.8e9 + number,
        "prompt": [Message(role="user", content=f"Ana: Is {number} open?\nLeo: Yes, till {number}.")],
        "base": Answer(text=f"They talk about {number}."),
        "tuned": Answer(text=f"{number} is open."),
        "models": MODELS.model_copy(update=models or {}),
        "left": left,
        "vote": given,
    }
    return Vote.model_validate(values | more)

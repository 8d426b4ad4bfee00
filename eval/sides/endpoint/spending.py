"""What answers cost: a person's own price by the tokens that a server counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from plumbing.errors import UserError


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens."""

    read: float
    """Of prompts."""
    written: float
    """Of answers."""

    @classmethod
    def parse(cls, text: str) -> Price:
        """`IN/OUT`, such as `0.15/0.60`.

        Raises:
            UserError: it is not two amounts.
        """
        try:
            read, written = (float(part.strip().removeprefix("$")) for part in text.split("/"))
            if not all(math.isfinite(each) and each >= 0 for each in (read, written)):
                raise ValueError
        except ValueError:
            raise UserError(
                "A price is two amounts in dollars for a million tokens, of the prompt and of the answer",
                got=text,
                fix="Write it as 0.15/0.60.",
            ) from None
        return cls(read, written)

    def of(self, read: int, written: int) -> float:
        """Dollars for so many tokens."""
        return (read * self.read + written * self.written) / 1e6

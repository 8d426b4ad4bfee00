"""The errors a person can cause, and only those.

Every room raises these (this is the leftmost room, so every room can). The page shows one as a toast, the
command line in one line with exit code 2. Anything else that escapes is a bug of ours and keeps its traceback.

    UserError
    ├── DataError      a source cannot be read, or its rows cannot be used
    ├── ModelError     a base model or an adapter cannot be found, loaded or trusted
    ├── RecipeError    a recipe or a setting is wrong
    └── RunError       a run does not exist, or is not in a state for what was asked
"""

from __future__ import annotations

from plumbing.printable import brief, printable


class UserError(Exception):
    """What is wrong, what was found, and what to do about it."""

    def __init__(self, problem: str, *, got: object = None, fix: str = "") -> None:
        self.problem = problem
        self.got = got
        self.fix = fix
        super().__init__(problem, got, fix)

    def __str__(self) -> str:
        got = f" (got {brief(self.got)})" if self.got is not None else ""
        fix = f" {self.fix}" if self.fix else ""
        return printable(f"{self.problem}{got}.{fix}")


class DataError(UserError):
    """A source cannot be read, or its rows cannot be used."""


class ModelError(UserError):
    """A base model or an adapter cannot be found, loaded or trusted."""


class RecipeError(UserError):
    """A recipe or a setting is wrong."""


class RunError(UserError):
    """A run does not exist, or is not in a state for what was asked."""

"""What is asked of an engine and what comes back, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from plumbing.errors import UserError

if TYPE_CHECKING:
    from eval.sides.endpoint.client import Client


class EngineError(UserError):
    """Why an engine does not answer for a model; this machine can."""


class GoneError(EngineError):
    """The engine cannot be reached, or went while it was asked. It may come back."""


@dataclass(frozen=True)
class Serving:
    """What an engine serves, as it said when it was last looked at."""

    model: str
    """By which its model is asked."""
    called: tuple[str, ...]
    """Names that say which model that is: its own, its folder, its file."""
    adapters: Mapping[str, Any] = field(default_factory=dict)
    """Name of each adapter on it → what the engine has for it: the folder that it read, or a number."""
    context: int | None = None
    """Tokens of a prompt with its answer, at most."""
    vocabulary: int | None = None
    """How many tokens its model knows."""
    precision: str = ""
    """What its weights are packed in, where it says so."""
    at_once: int = 16
    """Questions that are sent to it at once."""


@dataclass(frozen=True)
class Question:
    """One prompt for one model on an engine."""

    prompt: list[int]
    ends: frozenset[int]
    """Tokens that end an answer."""
    max_new_tokens: int
    decode: Callable[[list[int]], str]
    """Tokens → the text that they are."""
    adapter: str = ""
    """Its name on the engine; empty for the engine's model itself."""


@dataclass(frozen=True)
class Written:
    """An answer so far."""

    text: str = ""
    tokens: int = 0
    """The end of the answer not counted."""
    seconds: float = 0.0
    """From the question to the newest token."""
    first_token_seconds: float = 0.0
    finished: bool = False
    """Whether the model ended its answer itself, rather than being stopped or cut off."""


@dataclass(frozen=True)
class Piece:
    """What one part of a stream has of an answer."""

    tokens: list[int]
    ended: bool = False
    """Whether the engine says that the model has ended its answer itself."""
    last: bool = False
    """Whether the engine says that the answer is whole, however it ended."""
    text: str | None = None
    """The tokens as text, of an engine that does not give all of them; None where they are all there."""
    counted: int | None = None
    """How many tokens the whole answer has, its end not counted, where the engine says so."""


class Kind(Protocol):
    """How one engine is asked."""

    title: str
    loads: bool
    """Whether it takes an adapter while it runs, and not at its start alone."""

    async def look(self, client: Client, entries: list[dict[str, Any]]) -> Serving:
        """What it serves; `entries` are those of its `/models`."""

    def question(self, client: Client, serving: Serving, asked: Question) -> tuple[str, dict[str, Any]]:
        """Where to send a question, and what: greedy, and as a stream."""

    def piece(self, event: Mapping[str, Any]) -> Piece:
        """What is in a part of a stream.

        Raises:
            EngineError: it gives no tokens.
        """

    def next_token(
        self, client: Client, serving: Serving, asked: Question, tokens: list[int], likeliest: int
    ) -> tuple[str, dict[str, Any]]:
        """Where and how to ask for the probabilities of `tokens` as the next one; `likeliest` is for an engine that
        takes no list: it gives those of so many that are the most probable."""

    def log_probabilities(self, found: Mapping[str, Any]) -> dict[int, float]:
        """Token → its log-probability, of an answer to that. Errors as of a dictionary that lacks a key."""

    def adapter_at(self, place: Path) -> Path:
        """What the engine reads of an adapter on the shelf, by the folder of its files."""

    async def put_on(self, client: Client, name: str, place: Path) -> None:
        """Let it read the adapter at `place`, and call it so.

        Raises:
            EngineError: it does not take it, with what it said.
        """

    async def take_off(self, client: Client, name: str) -> None:
        """Let it forget an adapter; one that it does not have does no harm."""

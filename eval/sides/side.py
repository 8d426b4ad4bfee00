"""What is asked of a side: whatever answers rows, a model on this machine or a server somewhere.

Nobody but a side's own file asks what it is. A side says what it can do, and whoever compares falls back to what
all of them can; what a side cannot do it says in a sentence, and never as a number.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from data.tasks import Task
from data.tasks.task import Input


def side_keys(count: int) -> list[str]:
    """What `count` sides are called in a verdict, and in what is asked for: base, tuned, tuned-2, …"""
    return ["base", "tuned", *(f"tuned-{number}" for number in range(2, count))]


Ability = Literal["writes", "chooses", "likelihood"]
"""Writes an answer; says how probable each label is; says how probable an answer is that somebody else gave."""

OnRows = Callable[[int, int], None]
"""Called with the number of rows done and of all."""


@dataclass(frozen=True)
class Answered:
    """What a side answered to one row."""

    text: str
    """What it wrote; of labels the one it gave, empty where what it wrote names none."""
    written: str | None = None
    """What it wrote, where a label was read out of that; None where the label was chosen by its probability."""
    probabilities: Mapping[str, float] | None = None
    """Of each label, where they are known."""
    log_likelihood: float | None = None
    """Of the reference answer the mean log-probability of a token, in nats, where it was asked for."""
    tokens: int | None = None
    """Tokens that were written."""
    prompt_tokens: int | None = None
    cut_off: bool = False
    """Whether the answer ends at the limit and not where the side ended it."""

    @classmethod
    def chosen(cls, labels: Sequence[str], log_probabilities: Sequence[float], prompt_tokens: int) -> Answered:
        """The most probable of `labels`, by log-probabilities in their order."""
        highest = max(log_probabilities)
        shares = [math.exp(value - highest) for value in log_probabilities]
        probabilities = {label: share / sum(shares) for label, share in zip(labels, shares, strict=True)}
        best = max(labels, key=probabilities.__getitem__)
        return cls(text=best, probabilities=probabilities, prompt_tokens=prompt_tokens)


@dataclass(frozen=True)
class About:
    """What a side is, as a report says it."""

    kind: Literal["model", "adapter", "run", "gguf", "classifier", "endpoint"]
    name: str
    """What a person calls it: a Hub name, a folder's last part, an address and a model. Holds no key."""
    weights_sha256: str = ""
    """Of what answers; of an adapter over its own weights. Empty where it is not known, as of a server's."""
    scaled_by: str = ""
    """Of an adapter, its settings that scale those weights: the same file with another alpha is another model."""
    tokenizer_sha256: str = ""
    """Of how it cuts a text into tokens: nats a token of two sides are compared only where they cut alike. Empty
    where it is not known; then only an adapter and its base, or two adapters on one, are taken to cut alike."""
    base: str = ""
    """Of an adapter, what it stands on."""
    revision: str = ""
    precision: str = ""
    parameters: int | None = None
    proof: str = ""
    """A sentence: how it is known that it is not the base; empty where only the answers can tell."""
    notes: tuple[str, ...] = ()
    """What a reader has to know besides, in sentences."""


@dataclass(frozen=True)
class Prompted:
    """How a side is asked."""

    sha256: str
    """Over everything that shapes its prompts."""
    where_from: Literal["contract", "borrowed", "template", "file", "server", "bare text"]
    """The contract it was tuned with; of a base, that of what is compared with it; the model's own chat template
    with the task's instruction; `--prompt FILE`; messages that a server renders; nothing around the text."""
    example: str
    """The first row's prompt, as the side is given it; of a server its messages, as JSON."""


@dataclass
class Spent:
    """What a side has used so far."""

    seconds: float = 0.0
    prompt_tokens: int = 0
    tokens: int = 0
    requests: int = 0
    retries: int = 0
    from_cache: int = 0
    dollars: float | None = None
    """None where no price was given."""


class Side(Protocol):
    """Answers rows of one task. Opened by `eval.sides.named.open_side`; close it when all is asked."""

    about: About
    abilities: frozenset[Ability]
    task: Task
    spent: Spent

    def prompted(self, given: Input) -> Prompted:
        """How it would be asked `given`; asks nothing."""

    def write(
        self, inputs: Sequence[Input], *, max_new_tokens: int, on_rows: OnRows | None = None
    ) -> list[Answered]:
        """Its answers in words, greedily, in the order of `inputs`.

        Raises:
            UserError: it cannot answer, with what it said; what it answered before is kept for the next time.
        """

    def choose(self, inputs: Sequence[Input], *, on_rows: OnRows | None = None) -> list[Answered]:
        """The task's most probable label for each, with the probabilities of all; `chooses` only."""

    def likelihoods(
        self, inputs: Sequence[Input], targets: Sequence[str], *, on_rows: OnRows | None = None
    ) -> list[float]:
        """Of each target, as the answer to its input, the mean log-probability of a token, in nats, with the end of
        the answer: 0 at most. Of raw texts, which nobody answers, that of the text. `likelihood` only."""

    def close(self) -> None:
        """Give back its memory, connections and processes. Closing twice does no harm."""


@runtime_checkable
class OnThisMachine(Protocol):
    """What a side has besides whose answers a causal language model of transformers gives, in this process."""

    def language_model(self) -> AbstractContextManager[tuple[Any, Any]]:
        """Within it, the model as this side computes (a `PreTrainedModel`, or a `PeftModel`), and its tokenizer.

        The weights are those that are loaded already. Nothing else may be asked of the side meanwhile.
        """


@runtime_checkable
class Streams(Protocol):
    """What a side has besides whose answer can be watched as it is written."""

    def stream(self, given: Input, *, max_new_tokens: int, stop: threading.Event) -> Iterator[Answered]:
        """Its answer so far, after every token; `cut_off` until it has ended by itself.

        Set `stop`, or close the iterator, and it ends within a token. Errors as of `Side.write`.
        """

    def prompt_tokens(self, given: Input) -> int:
        """How many tokens it reads of `given`, with all that stands around it."""


@dataclass(frozen=True)
class Asked:
    """A side as a person names it, before anything is opened."""

    text: str
    """As it was written: a path, a Hub name, `http://…/v1#model`."""
    trained_on: str | None = None
    """A file of rows that it was trained on; None where nobody says."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What else is to be known to open it: of one on this machine those in `eval.sides.named.OPTIONS`."""

"""What a person asked to be compared, as it was written; and the sides that this comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plumbing.errors import RecipeError, UserError

if TYPE_CHECKING:
    from eval.sides.side import Asked

MAX_NEW_TOKENS = 64
JUDGE = "judge"
"""The judge's key, beside those of the sides."""


@dataclass(frozen=True)
class Request:
    """What a person asked to be compared."""

    base: str
    tuned: Sequence[str]
    data: str | None
    task: str | None = None
    settings: Sequence[str] = ()
    """How the rows are read, see `data.how_read`."""
    metric: str | None = None
    more_metrics: Sequence[str] = ()
    instruction: str | None = None
    prompt: Path | None = None
    options: Sequence[str] = ()
    """Of sides: `tuned.precision=float32`; without a side, of all."""
    price: str | None = None
    """Of a server: dollars for a million tokens, `READ/WRITTEN`."""
    trained_on: Sequence[str] = ()
    """Files of rows: `FILE` for every tuned side, or `tuned-2=FILE` for one."""
    keep_trained: bool = False
    slices: Sequence[str] = ()
    rows: int | None = None
    max_new_tokens: int = MAX_NEW_TOKENS
    margin: float | None = None
    judge: str | None = None
    rubric: Path | None = None
    votes: Path | None = None
    standard: str | None = None
    """Tasks of lm-evaluation-harness, by commas."""
    standard_folder: Path | None = None
    one_by_one: bool = False
    """Hold no more than one model in memory."""
    engine: str | None = None
    """The address of one that answers for models of this machine, where it serves them."""
    yes: bool = False

    @property
    def keys(self) -> list[str]:
        """Of the sides, the base first, as a verdict has them."""
        from eval.sides.side import side_keys

        return side_keys(1 + len(self.tuned))

    @property
    def servers(self) -> list[str]:
        """Sides, and a judge, that are servers."""
        return [text for text in (self.base, *self.tuned, self.judge or "") if is_server(text)]

    def check(self) -> None:
        """Refuse what is wrong without a look at any model.

        Raises:
            UserError: a margin that is none, or a side that does not exist.
        """
        if not self.tuned:
            raise UserError("There is nothing to compare the base with", fix="Name a tuned side: --tuned FOLDER.")
        if self.rows is not None and self.rows < 1:
            raise UserError("There is no sample of so many rows", got=self.rows, fix="Write --rows 100.")
        if self.margin is not None and not 0 < self.margin < float("inf"):
            raise UserError("A margin is a number above 0", got=self.margin, fix="Write --non-inferior 0.02.")
        self.asked()

    def asked(self) -> list[Asked]:
        """The sides, the base first, each with what was said of it.

        Raises:
            RecipeError: something is said of a side that is not there.
        """
        return list(self._asked().values())[: len(self.keys)]

    def asked_judge(self) -> Asked | None:
        """The judge; None where none was named. Errors as of `asked`."""
        return self._asked().get(JUDGE)

    def _asked(self) -> dict[str, Asked]:
        from eval.sides.side import Asked

        texts = dict(zip(self.keys, [self.base, *self.tuned], strict=True))
        if self.judge is not None:
            texts[JUDGE] = self.judge
        options = {key: dict[str, str]() for key in texts}
        for written in self.options:
            name, equals, value = written.partition("=")
            key, dot, option = name.partition(".")
            if not equals or (dot and key not in options):
                raise RecipeError(
                    "An option of a side is written SIDE.NAME=VALUE",
                    got=written[:200],
                    fix=f"The sides are {', '.join(texts)}; NAME=VALUE is for all of them.",
                )
            for each in [key] if dot else texts:
                options[each][option if dot else name] = value
        if self.prompt is not None:
            for key in self.keys:  # of the rows; a judge has a prompt of its own
                options[key].setdefault("prompt", str(self.prompt))
        if self.price is not None:
            for key, text in texts.items():
                if is_server(text):
                    options[key].setdefault("price", self.price)
        known = self._trained_on()
        return {key: Asked(text, known.get(key), options[key]) for key, text in texts.items()}

    def _trained_on(self) -> dict[str, str]:
        """Side's key → the file of its rows."""
        found: dict[str, str] = {}
        for written in self.trained_on:
            key, equals, file = written.partition("=")
            if equals and key in self.keys:
                found[key] = file
            else:
                found |= {each: written for each in self.keys[1:] if each not in found}
        return found


def is_server(text: str) -> bool:
    """Whether a side is named by the address of a server, and not by a path or a name of the Hub's."""
    return text.strip().casefold().startswith(("http://", "https://"))

"""Options of a lab in which nothing is trained: one file each.

untrained.py   what such an option is
base.py        the base as it is
examples.py    the base with examples in its prompt
context.py     the base with a text before every question
floor.py       what needs no language model: TF-IDF, the majority class
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from finetuning.lab.untrained.base import Base as Base
from finetuning.lab.untrained.context import WithText as WithText
from finetuning.lab.untrained.examples import Examples as Examples
from finetuning.lab.untrained.floor import OfFloor as OfFloor
from finetuning.lab.untrained.untrained import Answered as Answered
from finetuning.lab.untrained.untrained import Asked as Asked
from finetuning.lab.untrained.untrained import Untrained as Untrained


def _named(value: Any) -> Any:
    """One without settings may be written as its name."""
    return {"kind": value} if isinstance(value, str) else value


AnyUntrained = Annotated[Base | Examples | WithText | OfFloor, Field(discriminator="kind"), BeforeValidator(_named)]
UNTRAINED: dict[str, type[Untrained]] = {
    "base": Base,
    "examples": Examples,
    "context": WithText,
    "floor": OfFloor,
}
"""Every one by its kind."""

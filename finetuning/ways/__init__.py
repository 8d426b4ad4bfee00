"""In which way a model learns: what it is shown, and what it is asked to get right. One file a way.

way.py        what a way is
sft.py        a language model learns to write the answers
text.py       a language model learns to expect what comes next in raw text
classify.py   an encoder with a head learns the labels
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from finetuning.ways.classify import Classify as Classify
from finetuning.ways.sft import Sft as Sft
from finetuning.ways.text import Text as Text
from finetuning.ways.way import Way as Way


def _named(value: Any) -> Any:
    """A way without settings may be written as its name."""
    return {"kind": value} if isinstance(value, str) else value


AnyWay = Annotated[Sft | Classify | Text, Field(discriminator="kind"), BeforeValidator(_named)]
WAYS: dict[str, type[Way]] = {"sft": Sft, "classify": Classify, "text": Text}
"""Every way by its name."""

"""In which way a model learns: what it is shown, and what it is asked to get right. One file a way.

way.py        what a way is
sft.py        a language model learns to write the answers
text.py       a language model learns to expect what comes next in raw text
classify.py   an encoder with a head learns the labels
online.py     a language model writes answers and learns from what they are worth: GRPO, RLOO
dpo.py        a language model learns which of two answers is the better one
kto.py        a language model learns from answers with a thumb up or down
reward.py     a language model with a head of one number learns which of two answers is the better
answering.py  what these three have in common; preferring.py: what dpo and kto have
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from finetuning.ways.classify import Classify as Classify
from finetuning.ways.dpo import Dpo as Dpo
from finetuning.ways.kto import Kto as Kto
from finetuning.ways.online import Online as Online
from finetuning.ways.reward import Reward as Reward
from finetuning.ways.sft import Sft as Sft
from finetuning.ways.text import Text as Text
from finetuning.ways.way import Way as Way


def _named(value: Any) -> Any:
    """A way without settings may be written as its name."""
    return {"kind": value} if isinstance(value, str) else value


AnyWay = Annotated[
    Sft | Text | Classify | Dpo | Kto | Reward | Online, Field(discriminator="kind"), BeforeValidator(_named)
]
WAYS: dict[str, type[Way]] = {
    "sft": Sft,
    "text": Text,
    "classify": Classify,
    "dpo": Dpo,
    "kto": Kto,
    "reward": Reward,
    "online": Online,
}
"""Every way by its name."""

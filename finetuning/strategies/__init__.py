"""Which parameters learn: one file a strategy, with its own settings.

strategy.py   what a strategy is            counts.py   how many parameters learn, of how many
anew.py       weights started anew, at random
lora.py       an adapter: LoRA, QLoRA, DoRA, rsLoRA
full.py       every weight
last.py       the last layers: transfer learning
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from finetuning.strategies.full import Full as Full
from finetuning.strategies.last import Last as Last
from finetuning.strategies.lora import Lora as Lora
from finetuning.strategies.strategy import Strategy as Strategy

AnyStrategy = Annotated[Lora | Full | Last, Field(discriminator="kind")]
STRATEGIES: dict[str, type[Strategy]] = {"lora": Lora, "full": Full, "last": Last}
"""Every strategy by its kind."""

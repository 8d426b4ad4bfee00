"""What ways have in common by which a language model learns which of its answers are better: `dpo`, `kto`.

Each answer's log-probability is compared with what the model found it when training began: its reference. Beta
says how dear it is to go away from there. The reference is measured once, before the first step, so no second model
is in memory. Where a run goes on with an adapter (`model.adapter`), the model with that adapter is the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from finetuning.strategies.strategy import ModelKind
from finetuning.ways.answering import Answering

if TYPE_CHECKING:
    from data.tasks import Task


class Preferring(Answering):
    """A prompt, and answers of which some are better than others."""

    beta: Annotated[float, Field(gt=0, le=100)] = 0.1
    """How dear it is to go away from the reference, in rewards a nat: the larger, the closer the model stays."""

    model_kind: ClassVar[ModelKind] = "causal"
    writes: ClassVar[bool] = True
    pipeline: ClassVar[str] = "text-generation"

    @property
    def passes_before(self) -> int:
        return 1

    def refused(self, task: Task) -> str | None:
        if task.kind == "text":
            return "raw text answers nothing, so no answer is better than another; way: text learns it"
        if task.is_classification:
            return "labels are right or wrong, and not better or worse; way: sft can learn them"
        return None

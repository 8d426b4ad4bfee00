"""The README.md that goes with an adapter: what it is, how it was made, what it scores."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval.markdown import to_markdown
from eval.schema import Report, RowResult
from finetuning.recipe import Recipe


def model_card(recipe: Recipe, report: Report, rows: Sequence[RowResult]) -> str:
    """A model card in Markdown with the Hub's front matter."""
    pipeline = "text-classification" if recipe.trainer == "classifier" else "text-generation"
    lora = recipe.lora
    strategy = {"lora": "LoRA", "qlora": "QLoRA"}[recipe.strategy]
    return f"""---
base_model: {recipe.model.base}
library_name: peft
pipeline_tag: {pipeline}
tags: [lora, before-after]
---

# {recipe.name}

{recipe.task_definition.learns} Trained with {strategy} on `{recipe.data.source}` for {recipe.training.epochs:g}
epochs; the adapter has rank {lora.rank} and acts on {", ".join(lora.target_modules)}.

{_one_level_down(to_markdown(report, rows))}
## The recipe

```yaml
{recipe.to_yaml()}```
"""


def _one_level_down(markdown: str) -> str:
    """The same text with every heading one level deeper."""
    return re.sub(r"^#", "##", markdown, flags=re.MULTILINE)

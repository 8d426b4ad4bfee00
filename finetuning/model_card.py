"""The README.md that goes with an adapter: what it is, how it was made, what it scores."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report import Report, RowResult, to_markdown
from finetuning.recipe import Recipe


def model_card(recipe: Recipe, report: Report, rows: Sequence[RowResult]) -> str:
    """A model card in Markdown with the Hub's front matter."""
    pipeline = "text-classification" if recipe.trainer == "classifier" else "text-generation"
    lora = recipe.lora
    return f"""---
base_model: {recipe.model.base}
library_name: peft
pipeline_tag: {pipeline}
tags: [lora, before-after]
---

# {recipe.name}

{recipe.task_definition.learns} A LoRA adapter (rank {lora.rank}, alpha {lora.alpha:g}, on
{", ".join(lora.target_modules)}) of `{recipe.model.base}`, trained on `{recipe.data.source}` with
{recipe.strategy.upper()} for {recipe.training.epochs:g} epochs at a learning rate of
{recipe.training.learning_rate:g}.

{to_markdown(report, rows)}
## The recipe

```yaml
{recipe.to_yaml()}```
"""

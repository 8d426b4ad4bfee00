"""The README.md that goes with an adapter or a whole model: what it is, how it was made, what it scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.sources import shown_spec
from eval.metrics import shown_name
from eval.report.markdown import to_markdown
from eval.report.schema import Report, RowResult
from finetuning.recipe import Recipe, with_overrides

CARD_FILE = "README.md"
RECIPE_HEADING = "## The recipe\n"


def model_card(recipe: Recipe, report: Report, rows: Sequence[RowResult]) -> str:
    """A model card in Markdown with the Hub's front matter."""
    shown = _shown(recipe)
    return f"""{front_matter(recipe)}
# {recipe.name}

{recipe.way.does(recipe.task_definition)} Trained with {recipe.strategy_title} on `{shown.data.source}` for
{recipe.training.epochs:g} epochs; {recipe.strategy.about(recipe.model.precision, recipe.kind)}.{_how(recipe)}

{_one_level_down(to_markdown(report, rows))}
{RECIPE_HEADING}
```yaml
{shown.to_yaml()}```
"""


def _how(recipe: Recipe) -> str:
    said = recipe.way.about()
    return f"\n{said}" if said else ""


def front_matter(recipe: Recipe) -> str:
    """What the Hub reads of a card: whose base it has, and which library loads it."""
    whole = recipe.strategy.whole
    pipeline = recipe.way.pipeline
    return f"""---
base_model: {recipe.model.base}
base_model_relation: {"finetune" if whole else "adapter"}
library_name: {"transformers" if whole else "peft"}
pipeline_tag: {pipeline}
tags: [{"before-after" if whole else "lora, before-after"}]
---
"""


def _shown(recipe: Recipe) -> Recipe:
    """The recipe as others may read it: of a file's path only its name, which tells nothing of this machine."""
    data = recipe.data
    evaluation = recipe.evaluation
    names = {"data.source": shown_spec(data.source), "data.test": shown_spec(data.test) if data.test else None}
    names["evaluation.source"] = shown_spec(evaluation.source) if evaluation.source else None
    adapter, context = (Path(each).name if each else None for each in (recipe.model.adapter, evaluation.context))
    names |= {"model.adapter": adapter, "evaluation.context": context}
    named: dict[str, Any] = {"evaluation.metrics": list(map(shown_name, evaluation.metrics))}
    if not isinstance(recipe.task, str) and recipe.task.metric:
        named["task.metric"] = shown_name(recipe.task.metric)
    return with_overrides(recipe, names | named)


def _one_level_down(markdown: str) -> str:
    """The same text with every heading one level deeper."""
    return re.sub(r"^#", "##", markdown, flags=re.MULTILINE)

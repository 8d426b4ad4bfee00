"""The recipe of a run that learns from votes: it goes on with the adapter that was voted on."""

from __future__ import annotations

from typing import Any

from data.tasks.own import OwnTask
from finetuning.proposal import enough_epochs
from finetuning.recipe import Recipe, with_overrides
from finetuning.votes.lessons import Lessons

SUFFIX, LEARNED = "-votes", " · learned from votes"
"""What the name and the title of such a recipe end with."""
LEARNING_RATE = 0.1
"""Of the rate by which a model learned to write answers: that of a preference is usually so much lower."""
MAX_TOKENS = 1024
"""Room for every message that the page answers."""


def votes_recipe(voted: Recipe, adapter: str, lessons: Lessons, source: str) -> Recipe:
    """The recipe by which what `voted` has tuned learns from votes.

    Args:
        voted: the recipe of what was voted on, whose base, strategy and task stay.
        adapter: that adapter, as in `model.adapter`.
        lessons: the rows.
        source: where these are, as in `data.source`.

    Raises:
        RecipeError: it cannot be learned so: of labels none is better than another, raw text answers nothing, and
            of a whole model nothing is continued.
    """
    training, name = voted.training, voted.name.removesuffix(SUFFIX)
    changes: dict[str, Any] = {
        "name": f"{name[: 64 - len(SUFFIX)].rstrip('-')}{SUFFIX}",
        "title": f"{voted.title.partition(LEARNED)[0]}{LEARNED} ({lessons.lesson.name})",
        "way": lessons.lesson.way,
        "data": {"source": source},
        "model.adapter": adapter,
        "training.batch_size": min(training.batch_size, lessons.lesson.batch_size),
        "training.gradient_accumulation": 1,
        "training.max_tokens": max(training.max_tokens, MAX_TOKENS),
        "training.max_steps": None,
        "evaluation.few_shot": 0,
    }
    if not voted.way.besides:
        changes["training.learning_rate"] = training.learning_rate * LEARNING_RATE
    if isinstance(voted.task, OwnTask):  # whose columns were those of another file
        changes["task"] = voted.task.model_copy(update={"inputs": None, "target": None}).model_dump()
    recipe = with_overrides(voted, changes)
    return with_overrides(recipe, {"training.epochs": enough_epochs(recipe, len(lessons.rows))})

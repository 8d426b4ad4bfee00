"""The recipe of a run that learns from votes: it goes on with the adapter that was voted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.tasks.own import OwnTask
from eval.vote_lines import FILE, Vote
from finetuning.continuing import earlier_adapter
from finetuning.proposal import chosen_way, enough_epochs
from finetuning.recipe import Recipe, load_recipe, recipe_names, with_overrides, with_settings
from finetuning.runs.folder import open_run
from finetuning.votes.keeping import read_votes, votes_folder, votes_on
from finetuning.votes.lessons import LESSONS, PAIRS, Lessons
from finetuning.ways import WAYS
from models.tuned import bundled_folder, weights_sha256
from plumbing.errors import DataError, RecipeError

VOTES = "votes:"
"""What `train` is given in place of a recipe begins with: votes:RUN, or votes:NAME of an adapter that ships."""
LEARNED = "learned"
"""Folder in that of the votes, with the files that runs learn from."""
RUN = "run"
"""What `Models.tuned` begins with where it is a run's, and is no adapter that ships."""
SUFFIX, TITLE = "-votes", " · learned from votes"
"""What the name and the title of such a recipe end with."""
MAX_TOKENS = 1024
"""Room for every message that the page answers, and the answer."""


def is_votes(name: str) -> bool:
    """Returns whether what stands where a recipe's name may stand are votes: `votes:…`, or a file of them."""
    return name.startswith(VOTES) or (_path(name).name == FILE and bool(read_votes(_path(name).parent).votes))


def from_votes(name: str, settings: Sequence[str] = ()) -> tuple[Recipe, list[str]]:
    """The recipe by which a model learns from everybody's votes on it, and what there is to say of it.

    Args:
        name: `votes:RUN`, `votes:NAME` of an adapter that ships, or a file of votes on one model.
        settings: changes to the recipe as for `train`; of `way=kto` the votes are made into thumbs.

    Raises:
        DataError: there are no votes, or too few.
        RecipeError: it cannot be learned so, or a setting is wrong.
        RunError: the run is not there any more.
    """
    is_named = name.startswith(VOTES)
    votes = votes_on(name.removeprefix(VOTES)) if is_named else read_votes(_path(name).parent).votes
    voted, adapter, now = _as_it_is_now(votes, name)
    way = chosen_way(settings)
    lessons = next((each for each in LESSONS if each.way == way), PAIRS).of(now)
    lessons.require_enough()
    source = lessons.write_into(votes_folder() / LEARNED).absolute()
    recipe = with_settings(votes_recipe(voted, adapter, lessons, f"file:{source}"), settings)
    said = [lessons.sentence()]
    if left := len(votes) - len(now):
        said.append(f"{left:,} more are on what it was before it was trained again.")
    said.append(f"Recipe: {recipe.title}, {recipe.training.epochs:g} epochs, from the adapter {adapter} on.")
    return recipe, said


def _path(name: str) -> Path:
    return Path(name.removeprefix("file:")).expanduser()


def _as_it_is_now(votes: Sequence[Vote], name: str) -> tuple[Recipe, str, list[Vote]]:
    """What `voted_on` gives for the one model that the votes are on, and those on its weights as they are."""
    known = {vote.models.tuned: vote.name for vote in votes}
    if len(known) > 1:
        named = ", ".join(f"{VOTES}{each}" for each in known.values())
        raise DataError("These are votes on several models", got=name, fix=f"Name one of them: {named}.")
    [tuned] = known
    voted, adapter = voted_on(tuned)
    earlier = earlier_adapter(with_overrides(voted, {"model.adapter": adapter}))
    assert earlier is not None
    sha256 = weights_sha256(earlier.folder)
    now = [vote for vote in votes if vote.models.tuned_sha256 == sha256]
    if not now:
        raise DataError("All votes on this model are on what it was before it was trained again", got=tuned)
    return voted, adapter, now


def voted_on(tuned: str) -> tuple[Recipe, str]:
    """The recipe that what was voted on was tuned by, and what it is called as an adapter to go on with.

    Args:
        tuned: as in `Models.tuned`.

    Raises:
        RecipeError: it is not known how it was tuned.
        RunError: there is no such run.
    """
    kind, _, name = tuned.partition(":")
    if kind == RUN:
        return open_run(name).recipe(), name
    if name not in recipe_names():
        raise RecipeError(
            "It is not known how this adapter was tuned, so it cannot go on", got=name, fix="Choose a run."
        )
    return load_recipe(name), str((bundled_folder() / name).absolute())


def votes_recipe(voted: Recipe, adapter: str, lessons: Lessons, source: str) -> Recipe:
    """The recipe by which what `voted` has tuned learns from votes.

    Base, strategy, task and what takes memory stay; how fast it learns follows the recipe that ships for the way.

    Args:
        voted: the recipe of what was voted on.
        adapter: that adapter, as in `model.adapter`.
        lessons: the rows.
        source: where these are, as in `data.source`.

    Raises:
        RecipeError: it cannot be learned so: of labels none is better than another, raw text answers nothing, and
            of a whole model nothing is continued.
    """
    training, name = voted.training, voted.name.removesuffix(SUFFIX)
    usual = load_recipe(WAYS[lessons.lesson.way].recipe).training
    changes: dict[str, Any] = {
        "name": f"{name[: 64 - len(SUFFIX)].rstrip('-')}{SUFFIX}",
        "title": f"{voted.title.partition(TITLE)[0]}{TITLE} ({lessons.lesson.name})",
        "way": lessons.lesson.way,
        "data": {"source": source},
        "model.adapter": adapter,
        "training.batch_size": max(2, min(training.batch_size, usual.batch_size)),
        "training.gradient_accumulation": 1,
        "training.learning_rate": min(training.learning_rate, usual.learning_rate),
        "training.warmup_share": usual.warmup_share,
        "training.max_tokens": max(training.max_tokens, MAX_TOKENS),
        "training.max_steps": None,
        "evaluation.skip": False,
        "evaluation.source": None,
        "evaluation.few_shot": 0,
    }
    if isinstance(voted.task, OwnTask):  # whose columns were those of another file
        changes["task"] = voted.task.model_copy(update={"inputs": None, "target": None}).model_dump()
    recipe = with_overrides(voted, changes)
    return with_overrides(recipe, {"training.epochs": max(1.0, enough_epochs(recipe, len(lessons.rows)))})

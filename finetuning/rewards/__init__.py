"""What an answer is worth to a model that learns from its own: one file a reward, with its own settings.

reward.py   what a reward is
rouge.py    the words it shares with a reference, less what it is too long
exact.py    whether it is a reference
length.py   whether it keeps to a number of words
format.py   whether it keeps to rules of form
run.py      what a reward model says, which an earlier run has trained

A recipe names rewards and gives them numbers. It can bring none of its own: no code is ever run that comes out of a
recipe or an upload. To add one, write a file here with a `REWARD`; the folder is walked.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError

from finetuning.rewards.reward import Answered as Answered
from finetuning.rewards.reward import Reward as Reward
from plumbing.registry import defined_in

REWARDS: dict[str, type[Reward]] = {
    each.model_fields["name"].default: each for each in defined_in(__name__, __path__, "REWARD")
}
"""Every reward by its name."""


def _of_its_kind(value: Any) -> Any:
    """Settings, or a name alone, as the reward of that name; raises a ValueError that says what is wrong."""
    if isinstance(value, Reward):
        return value
    settings = {"name": value} if isinstance(value, str) else value
    name = settings.get("name") if isinstance(settings, dict) else settings
    if not isinstance(name, str) or name not in REWARDS:
        raise ValueError(f"there is no reward {str(name)[:100]!r}; there are {', '.join(REWARDS)}")
    try:
        return REWARDS[name].model_validate(settings)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise ValueError(f"of the reward {name}, {'; '.join(wrong)}") from None


AnyReward = Annotated[SerializeAsAny[Reward], BeforeValidator(_of_its_kind)]
"""A reward in a recipe: `{name: length, words: 30, weight: 0.2}`, or its name where it has no settings."""

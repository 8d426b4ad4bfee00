"""What several processes of one run do together; alone it is nothing, and torch is not loaded for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from finetuning.processes import rank, world_size
from finetuning.recipe import Recipe
from finetuning.trainers.arguments import require_shares


def meet(recipe: Recipe) -> None:
    """Meet the other processes that carry out the same run, if there are any."""
    require_shares(recipe, world_size())
    if world_size() > 1:
        from finetuning.trainers.together import join

        join()


def part() -> None:
    """Let them go: what is left to do, the first does alone."""
    if world_size() > 1:
        from finetuning.trainers.together import leave

        leave()


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """What is within, the first process does before the others: what it fetches or writes, they find."""
    if world_size() == 1:
        yield
        return
    from finetuning.trainers.together import wait

    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()

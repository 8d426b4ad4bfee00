"""What a person writes → the side that it opens.

    runs/2026-11-28-a          a run of ours: what it tuned
    path/to/adapter, who/it    an adapter, by its adapter_config.json; anybody's
    path/to/model, who/it      a language model, or a classifier by the architecture that its config.json names
    model.gguf, who/it:q4.gguf a GGUF file
    http://…/v1#model          a server that speaks OpenAI's protocol (`endpoint/`)

`looking.py` decides which it is. `open_sides` opens several at once, so that those that stand on one base share one
copy of its weights.

Options of a side on this machine (`Asked.options`): `base`, another place for an adapter's base model; `precision`,
auto, float32, bfloat16 or nf4; `prompt`, a file with a Jinja template; `labels`, of a classifier that does not say
what its classes are: the task's labels in the order of its classes, with commas between or as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.tasks import Task
from eval.sides.looking import look
from eval.sides.side import Asked, Side
from models.resolved import Progress
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    from eval.sides.endpoint import Settings
    from eval.sides.engine import Engine

OPTIONS = ("base", "precision", "prompt", "labels")


def open_side(
    asked: Asked, task: Task, *, progress: Progress | None = None, servers: Settings | None = None
) -> Side:
    """The side that `asked` names, ready to answer rows of `task`, as of `open_sides`. Close it.

    Raises:
        UserError: there is no such thing, it cannot be used safely, or it cannot do this task.
    """
    return open_sides([asked], task, progress=progress, servers=servers)[0]


def open_sides(
    asked: Sequence[Asked],
    task: Task,
    *,
    only: int | None = None,
    progress: Progress | None = None,
    servers: Settings | None = None,
    engine: Engine | None = None,
) -> list[Side]:
    """The same of several, the base first; those on this machine that stand on one base share its weights.

    Of a base and an adapter on it, whichever is asked first answers for both where they are asked alike and one
    batch takes both (`models.pair.Pair.mixes`).

    Args:
        asked: what a person named, in the order of the answer.
        task: what all of them are asked.
        only: the number of the one that is opened, and asked and computed as among the others; by default all are.
        progress: told about what has to be fetched.
        servers: how a server is asked where its options do not say, and which may be: by a public page.
        engine: answers for language models of this machine and adapters on them, where it serves them.

    Raises:
        UserError: one cannot be opened; those that were are closed.
    """
    from eval.sides.opening import open_local

    looked = [look(each.text) for each in asked]
    here = [number for number, each in enumerate(looked) if each.kind != "endpoint"]
    for number in here:
        if unknown := sorted(set(asked[number].options) - {*OPTIONS}):
            raise RecipeError(
                f"{asked[number].text} has options that a side on this machine has not",
                got=unknown,
                fix=f"There are {', '.join(OPTIONS)}.",
            )
    opened: dict[int, Side] = {}
    try:
        for number, each in enumerate(looked):
            if each.kind == "endpoint" and only in (None, number):
                from eval.sides.endpoint import open_endpoint

                opened[number] = open_endpoint(asked[number], task, settings=servers)
        if here and (only is None or only in here):
            named = [(asked[number], looked[number]) for number in here]
            place = None if only is None else here.index(only)
            local = open_local(named, task, with_base=0 in here, only=place, progress=progress, engine=engine)
            opened |= dict(zip(here if only is None else [only], local, strict=True))
    except BaseException:
        for side in opened.values():
            side.close()
        raise
    return [opened[number] for number in sorted(opened)]

"""What answers without tuning: constants, word counts, repetitions, a frozen base, a base shown more in its prompt.

floor.py   what a floor is: a file with a `FLOOR`, or several `FLOORS`, is one more, which tasks name
few_shot.py context.py   the base with examples, or with a text, in its prompt
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from eval.floors.floor import Floor as Floor


def _found() -> dict[str, Floor]:
    """Every floor that a file here defines."""
    found: dict[str, Floor] = {}
    for one in iter_modules(__path__):
        module = import_module(f"{__name__}.{one.name}")
        single = getattr(module, "FLOOR", None)
        for floor in (single,) if single is not None else getattr(module, "FLOORS", ()):
            found[floor.name] = floor
    return found


FLOORS: dict[str, Floor] = _found()
"""Every floor by its name."""

"""What answers without tuning: constants, word counts, repetitions, a frozen base, a base shown more in its prompt.

floor.py   what a floor is: a file with a `FLOOR`, or several `FLOORS`, is one more, which tasks name
few_shot.py context.py   the base with examples, or with a text, in its prompt
"""

from __future__ import annotations

from eval.floors.floor import Floor as Floor
from plumbing.registry import defined_in

FLOORS: dict[str, Floor] = {floor.name: floor for floor in defined_in(__name__, __path__, "FLOOR")}
"""Every floor by its name."""

"""The test row of a run's own report that shows best what tuning did: asked first where it is opened in Compare."""

from __future__ import annotations

from eval.report.folder import load
from plumbing.errors import UserError
from ui.drawing.answers import Turn
from ui.drawing.flips import flips
from ui.server.choices import Choice
from ui.tabs.examples import LONGEST, example_of_row


def flipped(choice: Choice) -> Turn | None:
    """The row that gained most, of those that are answered in seconds; None where none gained, or none is known."""
    try:
        report, rows = load(choice.evaluation)
        found = flips(report, rows)
    except (UserError, OSError):
        return None
    short = (flip.row for flip in found if flip.kind == "gained" and len(flip.row.input) <= LONGEST)
    best = next(short, None)
    return None if best is None else example_of_row(best).turn()

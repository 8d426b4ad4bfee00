"""What `data.hygiene` finds in rows, as a report holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.hygiene import inspect
from data.tasks import Task
from eval.report.sections import Findings


def findings_of(splits: Mapping[str, Any], task: Task) -> Findings:
    """What is odd about the three splits: data sets, or lists of values by column."""
    found = inspect(splits, task)
    across = {pair.row_b for pair in found.near_duplicates if (pair.split_a, pair.split_b) == ("train", "test")}
    return Findings(
        repeated=len(found.duplicates),
        nearly_repeated=len({(pair.split_b, pair.row_b) for pair in found.near_duplicates}),
        contradictory=len(found.contradictions),
        leaked=len(found.leaked),
        nearly_leaked=len(across - set(found.leaked)),
        sentences=found.sentences(),
    )

"""What an adapter scores now, for the gate: tuned on every row, and its base on a sample where nothing has changed.

Where there is a baseline, nothing is decided by the base's answers (`eval.gate`). They tell a change of the adapter
from one of all that is computed here. So where all that they depend on is as it was, the base is asked every tenth
row again; where each scores as it did, the other scores are the baseline's, and else every row is asked. The tuned
side is always asked every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.tasks.task import Input, as_text
from eval.compare import compare
from eval.gate import Baseline, measured
from eval.metrics import primary_of
from eval.provenance import about, hash_rows
from models.generation import answer_side_batch
from models.pair import Pair
from models.scoring import score_side_labels

if TYPE_CHECKING:
    import datasets

EVERY = 10
MAX_NEW_TOKENS = 64
_BASE_DEPENDS_ON = (
    "task",
    "metric",
    "base_weights_sha256",
    "prompt_sha256",
    "test_sha256",
    "precision",
    "computed_in",
    "versions",
)


def remeasured(name: str, pair: Pair, test: datasets.Dataset, then: Baseline | None) -> tuple[Baseline, str]:
    """The scores of base and tuned now, and a sentence where some of the base's are the baseline's; else "".

    Args:
        name: the adapter's.
        pair: base and tuned.
        test: rows with the task's columns.
        then: the baseline, where there is one.
    """
    task = pair.task
    rows = [dict(row) for row in test.select_columns(list(task.columns))]
    inputs, references = [task.input_of(row) for row in rows], [task.references(row) for row in rows]
    now = _unscored(name, pair, hash_rows(list(map(as_text, inputs)), references))
    alone = task.kind in ("classification", "generation") and primary_of(task).row is not None
    if alone and then and len(then.base) == len(rows) and _is_as_it_was(now, then):
        sample = slice(None, None, EVERY)
        again = _scores(pair, inputs[sample], references[sample], tuned=False)
        if again == then.base[sample]:
            tuned = _scores(pair, inputs, references, tuned=True)
            said = (
                f"The base was asked {len(again)} of the {len(rows)} rows again and scores them as on "
                f"{then.created[:10]}; its other scores are from then."
            )
            return now.model_copy(update={"base": then.base, "tuned": tuned}), said
    return measured(name, compare(pair, test, max_new_tokens=MAX_NEW_TOKENS)), ""


def _unscored(name: str, pair: Pair, test_sha256: str) -> Baseline:
    """What the scores are of, without any."""
    found = about(pair)
    base = found["base"]
    return Baseline(
        name=name,
        task=pair.task.name,
        metric=primary_of(pair.task).name,
        base_model=base.name,
        origin=base.origin,
        base_weights_sha256=base.weights_sha256,
        test_sha256=test_sha256,
        base=[],
        tuned=[],
        **{key: found[key] for key in ("adapter_sha256", "prompt_sha256", "precision", "computed_in", "versions")},
        created=found["created"],
    )


def _is_as_it_was(now: Baseline, then: Baseline) -> bool:
    return all(getattr(now, key) == getattr(then, key) for key in _BASE_DEPENDS_ON)


def _scores(
    pair: Pair, inputs: Sequence[Input], references: Sequence[Sequence[str]], *, tuned: bool
) -> list[float]:
    """One side's score of each row by the task's own metric, answered as `compare` lets it answer."""
    if labels := pair.task.labels:
        found = score_side_labels(pair, inputs, tuned=tuned)
        answers = [max(zip(labels, row, strict=True), key=lambda one: one[1])[0] for row in found]
    else:
        written = answer_side_batch(pair, inputs, tuned=tuned, max_new_tokens=MAX_NEW_TOKENS)
        answers = [answer.text for answer in written]
    score = primary_of(pair.task).row
    assert score is not None
    return [score(answer, texts) for answer, texts in zip(answers, references, strict=True)]

"""What an adapter that ships scores now, for the gate: tuned on every row, and the base on some, with a baseline.

With a baseline nothing is decided by the base (`eval.gate.check`). Its answers tell a change of the adapter from
one of all that is computed here, for which every tenth row is enough; they are the longest part of a comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.tasks.task import Input, as_text
from eval.compare import compare
from eval.gate import ALL, Baseline, measured
from eval.metrics import primary_of
from eval.provenance import about, hash_rows
from models.generation import answer_side_batch
from models.pair import Pair
from models.scoring import score_side_labels

if TYPE_CHECKING:
    import datasets

SOME = slice(None, None, 10)
MAX_NEW_TOKENS = 64


def remeasured(name: str, pair: Pair, test: datasets.Dataset, then: Baseline | None) -> tuple[Baseline, slice]:
    """The scores now, and which rows the base was asked: every one where there is no baseline.

    Args:
        name: the adapter's.
        pair: base and tuned.
        test: rows with the task's columns.
        then: the baseline, where there is one.
    """
    task = pair.task
    metric = primary_of(task)
    if then is None or task.kind not in ("classification", "generation") or metric.row is None:
        return measured(name, compare(pair, test, max_new_tokens=MAX_NEW_TOKENS)), ALL
    rows = [dict(row) for row in test.select_columns(list(task.columns))]
    inputs, references = [task.input_of(row) for row in rows], [task.references(row) for row in rows]
    found = about(pair)
    base = found["base"]
    now = Baseline(
        name=name,
        task=task.name,
        metric=metric.name,
        base_model=base.name,
        origin=base.origin,
        base_weights_sha256=base.weights_sha256,
        test_sha256=hash_rows(list(map(as_text, inputs)), references),
        base=_scores(pair, inputs[SOME], references[SOME], tuned=False),
        tuned=_scores(pair, inputs, references, tuned=True),
        **{key: found[key] for key in ("adapter_sha256", "prompt_sha256", "precision", "computed_in", "versions")},
        created=found["created"],
    )
    return now, SOME


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

"""The adapter that a run went on with, beside what became of it: what a supervised start scored on the same rows.

A report compares base with tuned. Where a run went on with an adapter, part of that difference was there before its
first step, so the adapter as it was answers the same rows, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.compare import Result
from eval.metrics import primary_of
from eval.report.sections import FloorResult
from eval.scores import judge, measure, row_scores
from finetuning.continuing import CONTINUES_FILE
from models.pair import open_pair
from models.resolved import Progress
from models.tuned import weights_sha256
from plumbing.errors import UserError
from plumbing.reading import read_text

NAME = "the adapter it went on with"
_MAX_BYTES = 2**16


def with_beginning(
    result: Result, adapter: Path, *, max_new_tokens: int, on_progress: Progress | None = None
) -> Result:
    """`result` with the scores of what a run of this machine went on with, where that writes and is there still.

    Args:
        result: of the comparison of `adapter` with its base.
        adapter: as a run's folder holds it.
        max_new_tokens: where an answer is cut off.
        on_progress: told that this is being done.
    """
    folder = _began_with(adapter)
    if folder is None or result.report.about is None or result.report.about.kind not in ("generation", "chat"):
        return result
    if on_progress:
        on_progress("The adapter that it went on with", 0, len(result.rows))
    try:
        floor = _scored(folder, result, max_new_tokens)
    except UserError:
        return result  # its base or its prompt is another one by now
    report = result.report.model_copy(update={"floors": [*result.report.floors, floor]})
    return Result(report, result.rows)


def _scored(folder: Path, result: Result, max_new_tokens: int) -> FloorResult:
    import torch

    from models.sampling import sample
    from models.stepping import end_tokens

    pair = open_pair(folder)
    assert pair.prompter is not None
    prompts = [pair.prompter.encode_prompt(row.asked) for row in result.rows]
    ends = end_tokens(pair.model, pair.tokenizer)
    limits: dict[str, Any] = {"ends": ends, "max_new_tokens": max_new_tokens, "temperature": 0.0}
    written = sample(pair.model, prompts, 1, generator=torch.Generator(), **limits)
    kept = [[token for token in one if token not in ends] for (one,) in written]
    answers = [str(pair.tokenizer.decode(one, skip_special_tokens=True)).rstrip("\ufffd") for one in kept]
    references, metric = [row.references for row in result.rows], primary_of(pair.task)
    tuned = [row.tuned.scores[metric.name] for row in result.rows]
    return FloorResult(
        name=NAME,
        sentence="The same base with the adapter that this run began with, before its first step.",
        scores=measure(answers, references, pair.task),
        judgement=judge(row_scores(answers, references, pair.task), tuned, metric),
    )


def _began_with(adapter: Path) -> Path | None:
    """The folder of the adapter that the run of `adapter` went on with, if it is as it was."""
    try:
        noted = json.loads(read_text(adapter.parent / CONTINUES_FILE, limit=_MAX_BYTES))
        folder = Path(noted["folder"])
        return folder if folder.is_dir() and weights_sha256(folder) == noted["sha256"] else None
    except (OSError, ValueError, TypeError, KeyError, UserError):
        return None

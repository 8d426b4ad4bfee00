"""All that the assistant says in a chat, not only its last answer: how probable both sides find it.

A row's value is `eval.metrics.perplexity`'s, so that a chat is judged by it beside the words of its last answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.metrics.perplexity import METRIC, a_token, perplexity
from eval.report.schema import RowResult, SideResult
from eval.report.sections import TurnLikelihood
from models.pair import Pair
from models.scoring import turn_log_likelihoods


def add_turns(
    pair: Pair, rows: Sequence[RowResult], on_progress: Callable[[int, int], None] | None = None
) -> tuple[list[RowResult], TurnLikelihood | None]:
    """The rows with that score on both sides, and the perplexities of all of them together.

    Args:
        pair: of kind `causal`, whose task is a chat.
        rows: a comparison's rows.
        on_progress: called with rows done and rows in all.

    Returns:
        The rows, and None beside them where nothing of any is learned.
    """
    task = pair.task
    chats = [{task.input_column: row.asked, task.target_column: row.references[0]} for row in rows]
    found = turn_log_likelihoods(pair, chats, on_batch=on_progress)

    def with_score(side: SideResult, summed: float, tokens: int) -> SideResult:
        return side.model_copy(update={"scores": side.scores | {METRIC.name: a_token(summed, tokens)}})

    scored = [
        row.model_copy(
            update={
                "base": with_score(row.base, each.base, each.tokens),
                "tuned": with_score(row.tuned, each.tuned, each.tokens),
            }
        )
        for row, each in zip(rows, found, strict=True)
    ]
    tokens = [each.tokens for each in found]
    if not sum(tokens):
        return scored, None
    together = TurnLikelihood(
        tokens=sum(tokens),
        base_perplexity=perplexity([each.base for each in found], tokens),
        tuned_perplexity=perplexity([each.tuned for each in found], tokens),
    )
    return scored, together

"""How many tokens a base model reads at a time, and rows that are longer: refused and listed, never cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.problems import Problem, ProblemsError
from models.prompting import Prompter

if TYPE_CHECKING:
    from datasets import Dataset

_SHIFTED = {"roberta", "xlm-roberta", "camembert", "mpnet"}
"""Kinds of model whose positions begin after that of the padding token."""


def max_positions(config: Any) -> int | None:
    """The most tokens that a model of this configuration reads at a time; None where it sets no bound."""
    config = config.get_text_config()
    found = getattr(config, "max_position_embeddings", None)
    if not isinstance(found, int) or found < 1:
        return None
    return found - 1 - (config.pad_token_id or 0) if config.model_type in _SHIFTED else found


def positions_at(folder: Path) -> int | None:
    """The same of the model in `folder`."""
    from transformers import AutoConfig

    return max_positions(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def require_room(
    rows: Dataset,
    *,
    prompter: Prompter | None,
    tokenizer: Any,
    column: str,
    limit: int | None,
    labels: Sequence[str] = (),
    new_tokens: int = 0,
    what: str = "The test set",
) -> None:
    """Refuse test rows that do not fit into the model with their answers.

    Args:
        rows: with the input in `column`, texts or chats.
        prompter: of a language model; None for a classifier, which reads the bare text.
        tokenizer: the model's.
        column: the input's.
        limit: tokens that the model reads.
        labels: the answers that are scored.
        new_tokens: of an answer that is generated.
        what: the rows are, for the error.

    Raises:
        ProblemsError: with every row that is too long.
    """
    if limit is None:
        return
    given = list(rows[column])
    if prompter is None:
        lengths = [len(ids) for ids in tokenizer(list(map(str, given)))["input_ids"]] if given else []
    else:
        answer = max(map(len, prompter.encode_labels(labels)), default=new_tokens)
        lengths = [len(prompter.encode_prompt(prompter.asked(each))) + answer for each in given]
    numbers = rows["row"] if "row" in rows.column_names else range(1, len(rows) + 1)
    refuse_longer(lengths, limit, numbers=numbers, column=column, answered=prompter is not None, what=what)


def refuse_longer(
    lengths: Sequence[int],
    limit: int | None,
    *,
    numbers: Iterable[int] | None = None,
    column: str = "",
    answered: bool = True,
    model: str = "the base model",
    what: str = "The test set",
) -> None:
    """Refuse rows of more tokens than a model reads.

    Args:
        lengths: tokens of each row.
        limit: tokens that the model reads; None for any number.
        numbers: of the rows; by default from 1.
        column: their input's.
        answered: whether `lengths` are with the answers.
        model: which, for the error.
        what: the rows are, for the error.

    Raises:
        ProblemsError: with every row that is too long.
    """
    if limit is None:
        return
    problems = [
        Problem(
            what=f"{length} tokens{' with its answer' if answered else ''}, and {model} reads at most {limit}",
            fix="Shorten the text, or leave the row out.",
            row=number,
            column=column,
        )
        for number, length in zip(numbers or range(1, len(lengths) + 1), lengths, strict=True)
        if length > limit
    ]
    if problems:
        raise ProblemsError(problems, source=what)


def require_room_for_pairs(rows: Dataset, prompter: Prompter, *, limit: int | None) -> None:
    """Refuse test rows of which an answer, with the prompt, does not fit into the model.

    Raises:
        ProblemsError: with every row that is too long.
    """
    if limit is None:
        return
    from models.reward import rows_of_pairs

    lengths = [max(map(len, both)) for both in zip(*rows_of_pairs(prompter, rows), strict=True)]
    numbers = rows["row"] if "row" in rows.column_names else range(1, len(rows) + 1)
    problems = [
        Problem(
            what=f"{length} tokens with the longer answer, and the base model reads at most {limit}",
            fix="Shorten the text, or leave the row out.",
            row=number,
            column=prompter.task.input_column,
        )
        for number, length in zip(numbers, lengths, strict=True)
        if length > limit
    ]
    if problems:
        raise ProblemsError(problems, source="The test set")

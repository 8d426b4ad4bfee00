"""Next token on raw texts: TRL's `SFTTrainer` on rows that several texts share, of which none sees another.

TRL keeps texts of a row apart where flash attention does, and lays a whole batch out as one row for it. Here a
batch stays a batch, and what tells its texts apart are positions that begin anew with each (`position_ids`, of
which transformers makes the mask). Layers by hand take each text for a row of its own. A model that heeds no such
positions, as one with a state that runs on, gets each text as a row, padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig

from finetuning.recipe import Recipe
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.causal import CausalTrainer
from finetuning.trainers.shares import Share
from finetuning.trainers.tuning import without_adapter_wrapper

_PROBED = 6
"""Tokens of each of two texts by which it is seen whether a model keeps them apart."""
_APART = 0.05
"""How much of what a text before it changes may be left where they are kept apart: rounding."""
_IGNORED = -100


class TextTrainer(CausalTrainer):
    """`CausalTrainer` whose rows hold several texts."""

    columns: ClassVar[tuple[str, ...]] = ("input_ids", "labels", "seq_lengths")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        tokenizer: Any = self.processing_class
        packed = keeps_apart(without_adapter_wrapper(self.model))
        self.data_collator = TextCollator(int(tokenizer.pad_token_id), packed=packed)

    def tokens_otherwise(self, inputs: dict[str, Any], share: Share | None) -> int | None:
        """TRL counts the tokens of rows without a mask as if there were one row."""
        if "attention_mask" in inputs:
            return super().tokens_otherwise(inputs, share)
        return tokens_in(inputs["labels"])


class TextCollator:
    """Rows of `preparation.encode_texts` → a batch."""

    def __init__(self, pad_token_id: int, *, packed: bool) -> None:
        """
        Args:
            pad_token_id: what a row is filled with, on the right.
            packed: whether texts stay together in their rows, [B, T], with `position_ids`; else each is a row, with
                an `attention_mask`.
        """
        self.pad_token_id = pad_token_id
        self.packed = packed

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        pieces = [_cut(row) for row in rows]
        if not self.packed:
            alone = [piece for row in pieces for piece in row]
            batch = self._padded([ids for ids, _ in alone], [labels for _, labels in alone])
            lengths = torch.tensor([len(ids) for ids, _ in alone])
            return batch | {"attention_mask": (torch.arange(batch["labels"].shape[1]) < lengths[:, None]).long()}
        joined = [([t for ids, _ in row for t in ids], [t for _, labels in row for t in labels]) for row in pieces]
        batch = self._padded([ids for ids, _ in joined], [labels for _, labels in joined])
        positions = torch.zeros_like(batch["labels"])  # padding is of no text
        for number, row in enumerate(pieces):
            own = torch.cat([torch.arange(len(ids)) for ids, _ in row])
            positions[number, : len(own)] = own
        return batch | {"position_ids": positions}

    def _padded(self, ids: list[list[int]], labels: list[list[int]]) -> dict[str, torch.Tensor]:
        width = max(map(len, ids))

        def filled(rows: list[list[int]], value: int) -> torch.Tensor:
            return torch.tensor([row + [value] * (width - len(row)) for row in rows])

        return {"input_ids": filled(ids, self.pad_token_id), "labels": filled(labels, _IGNORED)}


def _cut(row: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """The texts of a row, each with its labels."""
    pieces, at = [], 0
    for length in row["seq_lengths"]:
        part = slice(at, at + length)
        pieces.append((list(row["input_ids"][part]), list(row["labels"][part])))
        at += length
    return pieces


def tokens_in(labels: torch.Tensor) -> int:
    """How many tokens of a batch with such labels, [B, T], are no padding: up to the last that is learned."""
    learned = labels != _IGNORED
    places = torch.arange(1, labels.shape[1] + 1, device=labels.device)
    return int((learned * places).amax(dim=1).sum())


def keeps_apart(model: Any) -> bool:
    """Whether `model` reads texts of one row each by itself where their positions begin anew.

    Two texts of random tokens go through it, and the second one alone: positions have to undo what the first one
    changes of it.
    """
    generator = torch.Generator().manual_seed(0)
    most = int(model.get_input_embeddings().weight.shape[0])
    tokens = torch.randint(most, (1, 2 * _PROBED), generator=generator).to(model.device)
    positions = torch.arange(_PROBED).repeat(2)[None].to(model.device)
    trained = model.training
    model.eval()
    try:
        with torch.no_grad():
            alone = model(input_ids=tokens[:, _PROBED:], use_cache=False).logits
            behind = model(input_ids=tokens, use_cache=False).logits[:, _PROBED:]
            apart = model(input_ids=tokens, position_ids=positions, use_cache=False).logits[:, _PROBED:]
    except TypeError:  # it takes no positions
        return False
    finally:
        model.train(trained)
    left, changed = (apart - alone).abs().max(), (behind - alone).abs().max()
    return bool(left <= _APART * changed)


def text_trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
    validation: Dataset | None = None,
) -> TextTrainer:
    """A trainer for rows from `preparation.encode_texts`, ready for `.train()`."""
    arguments = SFTConfig(
        **shared_arguments(recipe, output, len(train)),
        max_length=None,  # rows are as long as they may be already
        completion_only_loss=True,  # all but each text's first token
        packing=False,
    )
    return TextTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        callbacks=callbacks,
    )

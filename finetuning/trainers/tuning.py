"""What both trainers do beyond their libraries: batches of like length, fast layers, the precision of what learns,
checkpoints of no more than that, and the validation loss.

The model may be a peft one, in which an adapter learns, or a whole one, of which all or some weights do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from finetuning.processes import world_size
from finetuning.trainers.lengths import LikeLengthBatches
from finetuning.trainers.random_state import load_random_state, save_random_state
from finetuning.trainers.shares import SHARE, Share
from finetuning.trainers.together import listed, stacked, summed
from finetuning.trainers.trained_weights import load_trained, save_trained
from models.fast.attention import use_matrix_products
from models.fast.fused_lora import fuse_lora

WEIGHTS_FILE = "model.safetensors"
"""Of a checkpoint of a whole model, by the name that transformers looks for."""


class Tuning(LikeLengthBatches):
    """Mixed into a `transformers.Trainer`."""

    columns: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "labels")
    """Of encoded rows, what a batch is made of."""
    mean_of_rows: ClassVar[bool] = True
    """Whether its loss is a mean over the rows of a batch; else it is one over all that a step learns."""

    _metrics: Any
    accelerator: Any
    args: Any
    callback_handler: Any
    control: Any
    data_collator: Any
    eval_dataset: Any
    model: Any
    state: Any

    def __init__(self, *, model: torch.nn.Module, **options: Any) -> None:
        with _keeping_trained(model):
            super().__init__(model=model, **options)  # type: ignore[call-arg]
        if self.args.world_size != world_size():  # each would learn from all rows, and be right about none of it
            raise RuntimeError(f"{self.args.world_size} processes train together, not {world_size()}")
        self.share: Share | None = None
        """Of the batch that is being learned from, where several processes share it."""
        self.seen: list[Any] = []
        """Of each batch since the last measurement, what `also_measured` wants to know."""
        self._alone = False
        if self.args.world_size > 1:
            self.accelerator.gather = self._gathered
        self.in_shards = bool(getattr(self.model, "is_distributed_loading_by_transformers", False))
        """Whether the base is whole only within its modules: who reads a weight elsewhere finds a part of it."""
        if self.in_shards:
            return
        fuse_lora(self.model)
        if self.accelerator.device.type == "cpu":
            use_matrix_products(without_adapter_wrapper(self.model))

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The mean loss over `eval_dataset`, as `eval_loss`: of a supervised token, or of a row that has one label.

        Without gradients, dropout, or a random number: a run goes on as if it had not been.
        """
        model, trained = self.model, self.model.training
        model.eval()
        try:
            total = weight = 0.0
            with torch.no_grad(), self.compute_loss_context_manager(), self._by_itself():  # type: ignore[attr-defined]
                for rows in self._validation_batches():
                    loss, count = self.summed_loss(self._prepare_inputs(self.data_collator(rows)))  # type: ignore[attr-defined]
                    total, weight = total + loss, weight + count
                    self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
            if self.args.world_size > 1 and not self.in_shards:
                total, weight = self._put_together(total, weight)
            metrics = {"eval_loss": total / max(1.0, weight)}
            metrics |= {f"eval_{name}": value for name, value in self.also_measured().items()}
            self.log(dict(metrics))  # type: ignore[attr-defined]
        finally:
            model.train(trained)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[float, float]:
        """The loss of a batch, summed over whatever it is a mean of, and how many of these there are."""
        raise NotImplementedError

    def also_measured(self) -> dict[str, float]:
        """What else was found while that loss was measured, by the names in `Way.curves`."""
        return {}

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The library's, of this process's share of the batch: the mean over all processes is the batch's."""
        self.share = share = inputs.pop(SHARE, None)
        before = getattr(self, "_total_train_tokens", None)
        try:
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        finally:
            self.share = None
        if before is not None and (tokens := self.tokens_otherwise(inputs, share)) is not None:
            counted = tokens if share is None else int(summed(torch.tensor(tokens * share.counts)))
            self._total_train_tokens = before + counted
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        if share is None:
            return loss
        return loss * (share.weight if self.mean_of_rows else float(share.counts))

    def tokens_otherwise(self, inputs: dict[str, Any], share: Share | None) -> int | None:
        """How many tokens of a batch are learned from, where TRL counts them otherwise; None where it does not.

        Where processes have different numbers of rows, one may have a row that is another's.
        """
        return None if share is None or share.even else int(inputs["attention_mask"].sum())

    def prepare(self, tell: Callable[[str, int, int], None]) -> None:
        """Find out what has to be known before the first step of an attempt, on the model as it is then.

        `tell` is told what is being done, how much of it is done, and of how much; it may raise.
        """

    def in_batches(self, rows: Any) -> list[list[int]]:
        """Places of rows that go through without gradients, the longest first: what fits then, fits throughout."""
        size = 2 * self.args.train_batch_size  # no activations are kept
        lengths = self.row_lengths(rows)
        order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def own(self, batches: Sequence[Any]) -> Sequence[Any]:
        """Those of `batches`, of which several processes go through different ones, that this one does.

        Where the base is in shards they all go through all: each forward of one needs those of the others.
        """
        if self.in_shards:
            return batches
        return batches[self.args.process_index :: self.args.world_size]

    def _validation_batches(self) -> Iterator[list[dict[str, Any]]]:
        rows = self.eval_dataset
        wanted = [name for name in self.columns if name in rows.column_names]
        for places in self.own(self.in_batches(rows)):
            yield [{name: rows[place][name] for name in wanted} for place in places]

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: TRL writes one with each checkpoint, and a run has one of its own."""

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        """The library's, which are counted over all processes, without rows that are another process's."""
        if self.args.world_size == 1:
            return super()._get_num_items_in_batch(batch_samples, device)  # type: ignore[misc]
        counted = [
            batch
            if batch.get(SHARE) is None or batch[SHARE].counts or "labels" not in batch
            else {**batch, "labels": torch.full_like(batch["labels"], -100)}
            for batch in batch_samples
        ]
        return super()._get_num_items_in_batch(counted, device)  # type: ignore[misc]

    def _gathered(self, values: Any) -> Any:
        """Instead of accelerate's `gather`: what all processes have, which may be different numbers of rows."""
        if self._alone:
            return values
        if self.share is None or self.share.even:
            return type(self.accelerator).gather(self.accelerator, values)
        return stacked(values)

    @contextmanager
    def _by_itself(self) -> Iterator[None]:
        """Within it, the library finds the numbers that it logs in this process's batches alone."""
        self._alone = True
        try:
            yield
        finally:
            self._alone = False

    def _put_together(self, total: float, weight: float) -> tuple[float, float]:
        """The loss that all processes have measured, and its weight; with what else they have found on the way."""
        self.seen = listed(self.seen)
        if (found := getattr(self, "_metrics", {}).get("eval")) is not None:
            parts = listed([dict(found)])
            found.clear()
            for name, values in [(name, values) for part in parts for name, values in part.items()]:
                found[name] = [*found.get(name, []), *values]
        total, weight = summed(torch.tensor([total, weight], dtype=torch.float64)).tolist()
        return total, weight

    def _save_rng_state(self, output_dir: str) -> None:
        """Of several processes that of the first, as one process writes it; see `together` for the others'."""
        if self.args.world_size == 1:
            super()._save_rng_state(output_dir)  # type: ignore[misc]
        elif self.args.should_save:
            save_random_state(Path(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self.args.world_size == 1:
            super()._load_rng_state(checkpoint)  # type: ignore[misc]
        elif self.args.should_save and checkpoint is not None:
            load_random_state(Path(checkpoint))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Of a whole model a checkpoint holds what learns; the rest is as its base has it."""
        if isinstance(self.model, PeftModel):
            super()._save(output_dir, state_dict)  # type: ignore[misc]
            return
        if not self.args.should_save:
            return
        save_trained(self.model, Path(output_dir or self.args.output_dir) / WEIGHTS_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if isinstance(self.model, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
            return
        load_trained(self.model, Path(resume_from_checkpoint) / WEIGHTS_FILE)


def without_adapter_wrapper(model: Any) -> PreTrainedModel:
    """The model itself, whose layers an adapter is in, if it has one."""
    whole: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return whole  # type: ignore[no-any-return]


@contextmanager
def _keeping_trained(model: torch.nn.Module) -> Iterator[None]:
    """Give back to what is trained its float32 numbers: TRL makes an adapter over 4 bits bfloat16."""
    trained = {name: value.data for name, value in model.named_parameters() if value.requires_grad}
    yield
    for name, value in model.named_parameters():
        if name in trained:
            value.data = trained[name].to(value.device)

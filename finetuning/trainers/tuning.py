"""What both trainers do beyond their libraries: batches of like length, fast layers, the precision of what learns,
checkpoints of no more than that, and the validation loss.

The model may be a peft one, in which an adapter learns, or a whole one, of which all or some weights do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from finetuning.trainers.lengths import LikeLengthBatches
from finetuning.trainers.trained_weights import load_trained, save_trained
from models.fast.attention import use_matrix_products
from models.fast.fused_lora import fuse_lora

WEIGHTS_FILE = "model.safetensors"
"""Of a checkpoint of a whole model, by the name that transformers looks for."""


class Tuning(LikeLengthBatches):
    """Mixed into a `transformers.Trainer`."""

    columns: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "labels")
    """Of encoded rows, what a batch is made of."""

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
            with torch.no_grad(), self.compute_loss_context_manager():  # type: ignore[attr-defined]
                for rows in self._validation_batches():
                    loss, count = self.summed_loss(self._prepare_inputs(self.data_collator(rows)))  # type: ignore[attr-defined]
                    total, weight = total + loss, weight + count
                    self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
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

    def _validation_batches(self) -> Iterator[list[dict[str, Any]]]:
        rows = self.eval_dataset
        wanted = [name for name in self.columns if name in rows.column_names]
        for places in self.in_batches(rows):
            yield [{name: rows[place][name] for name in wanted} for place in places]

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: TRL writes one with each checkpoint, and a run has one of its own."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Of a whole model a checkpoint holds what learns; the rest is as its base has it."""
        if isinstance(self.model, PeftModel):
            super()._save(output_dir, state_dict)  # type: ignore[misc]
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

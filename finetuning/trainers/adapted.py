"""What both trainers do beyond their libraries' own: batches of like length, fast layers, resuming in precision."""

from __future__ import annotations

from typing import Any

from finetuning.trainers.lengths import LikeLengthBatches
from models.attention import use_matrix_products
from models.fused_lora import fuse_lora


class AdapterTraining(LikeLengthBatches):
    """Mixed into a `transformers.Trainer` whose model is a peft one."""

    accelerator: Any
    model: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        fuse_lora(self.model)
        if self.accelerator.device.type == "cpu":
            use_matrix_products(self.model.get_base_model())

    def _load_from_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """As the trainer does, but in the precision that the adapter had: peft casts what it loads to float32."""
        trained = {name: value.dtype for name, value in self.model.named_parameters() if value.requires_grad}
        super()._load_from_checkpoint(*arguments, **options)  # type: ignore[misc]
        for name, value in self.model.named_parameters():
            if name in trained:
                value.data = value.data.to(trained[name])

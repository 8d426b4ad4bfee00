"""An adapter's folder: what it was trained on, whether it may be loaded, and its way onto the base.

A folder is checked before a byte of it is loaded: safetensors only, LoRA only, a bounded rank, target modules
that the base has. Nothing here trusts the file that came with the weights.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from models.adapter_files import check_config, check_weights, read_config, read_json
from models.building import one_at_a_time
from models.loading import Kind, LoadedModel, Precision
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from peft import PeftModel

ORIGIN_FILE = "base_model.json"
MAX_NAME_CHARS = 1_000
"""Of a base model's name, which may be a folder."""
TUNED = "tuned"
"""The adapter's name inside the model."""
BASE = "__base__"
"""peft's name for "no adapter" in `adapter_names`."""


@dataclass(frozen=True)
class BaseOrigin:
    """The base weights that an adapter, or a whole model, was trained from; saved with it as `base_model.json`."""

    name: str
    origin: str
    revision: str
    weights_sha256: str
    precision: Precision
    kind: Kind

    @classmethod
    def of(cls, loaded: LoadedModel) -> BaseOrigin:
        source = loaded.source
        return cls(
            name=source.name,
            origin=source.origin,
            revision=source.revision,
            weights_sha256=source.weights_sha256,
            precision=loaded.precision,
            kind=loaded.kind,
        )

    def save(self, folder: Path) -> None:
        (folder / ORIGIN_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> BaseOrigin:
        """Raises a `ModelError` when the file is missing or damaged."""
        try:
            saved = read_json(folder / ORIGIN_FILE)
            if not isinstance(saved, dict) or not all(isinstance(value, str) for value in saved.values()):
                raise ValueError("it is not an object of texts")
            origin = cls(**saved)
            if not 0 < len(origin.name) <= MAX_NAME_CHARS or not origin.name.isprintable():
                raise ValueError(f"name {origin.name!r}")
            if origin.kind not in get_args(Kind) or origin.precision not in get_args(Precision):
                raise ValueError(f"kind {origin.kind!r}, precision {origin.precision!r}")
            return origin
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(
                f"What was tuned does not say which base model it belongs to: {ORIGIN_FILE} cannot be read",
                got=str(error),
                fix="Use an adapter or a model that this project trained.",
            ) from None


def check(folder: Path, loaded: LoadedModel) -> None:
    """Refuse an adapter that is not a LoRA of this base model, before anything is allocated for it.

    Raises:
        ModelError: with what is wrong with which file.
    """
    config = read_config(folder)
    check_config(config, loaded.model, kind=loaded.kind, base=loaded.source.name)
    check_weights(folder, config, loaded.model)


def attach(loaded: LoadedModel, folder: Path) -> PeftModel:
    """Put the checked adapter onto the loaded base. Float32 adapters are not forced on a bfloat16 base.

    Raises:
        ModelError: `check` refuses the adapter, or its weights are damaged or not what its config promises.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    from models.fast.fused_lora import fuse_lora

    check(folder, loaded)
    try:
        with one_at_a_time(), warnings.catch_warnings():
            # peft only warns where the file lacks weights, and leaves those as they were before training.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            model = PeftModel.from_pretrained(
                loaded.model,
                str(folder),
                adapter_name=TUNED,
                autocast_adapter_dtype=False,  # so that a batch of both equals the two calls apart
                local_files_only=True,
                torch_device=loaded.model.device.type,  # by itself it asks torch, which on ZeroGPU pretends
            )
    except (RuntimeError, UserWarning, SafetensorError) as error:
        raise ModelError(
            "The adapter's weights do not fit the base model, or are damaged",
            got=" ".join(str(error).split())[:200],
            fix="Use the folder as it was saved after training.",
        ) from error
    require_numbers(model)
    fuse_lora(model)
    model.eval()
    return model


def require_numbers(model: PeftModel) -> None:
    """Refuse an adapter on its base of which a weight is no finite number.

    Raises:
        ModelError: names the first.
    """
    for name, parameter in model.named_parameters():
        if TUNED in name and not parameter.isfinite().all():
            raise ModelError(
                "The adapter holds weights that are not numbers", got=name, fix="Train it again: its loss diverged."
            )

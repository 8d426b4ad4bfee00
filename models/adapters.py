"""An adapter's folder: what it was trained on, whether it may be loaded, and a proof that it acts.

A folder is checked before a byte of it is loaded: safetensors only, LoRA only, a bounded rank, target modules
that the base has. Nothing here trusts the file that came with the weights.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from data.errors import ModelError
from models.loading import Kind, LoadedModel, Precision
from models.sources import ResolvedModel

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
ORIGIN_FILE = "base_model.json"
TUNED = "tuned"
"""The adapter's name inside the model."""
BASE = "__base__"
"""peft's name for "no adapter" in `adapter_names`."""
MAX_RANK = 64
REFUSED_SETTINGS = (
    "rank_pattern",
    "auto_mapping",
    "layer_replication",
    "megatron_config",
    "target_parameters",
)
"""Settings of peft that get around the checks here: ranks of their own, copied layers, modules to import."""


@dataclass(frozen=True)
class BaseOrigin:
    """The base weights that an adapter was trained on; saved beside it as `base_model.json`."""

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
            origin = cls(**json.loads((folder / ORIGIN_FILE).read_text(encoding="utf-8")))
            if origin.kind not in get_args(Kind) or origin.precision not in get_args(Precision):
                raise ValueError(f"kind {origin.kind!r}, precision {origin.precision!r}")
            return origin
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(
                f"The adapter does not say which base model it belongs to: {ORIGIN_FILE} cannot be read",
                got=str(error),
                fix="Use an adapter that this project trained.",
            ) from None


@dataclass(frozen=True)
class AdapterProof:
    """Measured on one prompt: with the adapter off the base's own logits come out, with it on others do."""

    largest_change: float
    """Largest absolute difference between base and tuned logits."""
    same_weights: bool
    """Whether the base weights here are byte for byte those of training."""
    trained_on: str
    used_with: str

    def describe(self) -> str:
        """A sentence for the badge."""
        moved = f"logits move by up to {self.largest_change:.2f}"
        acts = f"adapter acts: {moved}, and with it off they are the base's"
        if self.same_weights:
            return acts
        return f"{acts}; trained on the {self.trained_on} weights, used with the {self.used_with} weights"


def check(folder: Path, loaded: LoadedModel) -> None:
    """Refuse an adapter that is not a LoRA of this base model, before anything is allocated for it.

    Raises:
        ModelError: with what is wrong with which file.
    """
    import torch

    config = read_config(folder)
    if config.get("peft_type") != "LORA":
        raise ModelError("Only LoRA adapters are loaded", got=config.get("peft_type"), fix="Train with LoRA.")
    rank = config.get("r")
    if not isinstance(rank, int) or not 1 <= rank <= MAX_RANK:
        raise ModelError(f"The adapter's rank must be 1 to {MAX_RANK}", got=rank)
    if refused := [name for name in REFUSED_SETTINGS if config.get(name)]:
        raise ModelError("The adapter's config holds settings that are not accepted", got=refused)
    targets = config.get("target_modules")
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in loaded.model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    if not isinstance(targets, list) or not all(target in list(linear) for target in targets):
        raise ModelError(
            "The adapter changes modules that the base model does not have",
            got=targets,
            fix=f"{loaded.source.name} has: {', '.join(sorted(linear))}.",
        )
    base = config.get("base_model_name_or_path")
    if base != loaded.source.name:
        raise ModelError("The adapter belongs to another base model", got=base, fix=f"Load {base} instead.")


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's config as plain values; checks that the weights are safetensors, and none are pickled."""
    if not (folder / WEIGHTS_FILE).is_file():
        raise ModelError(
            f"The adapter has no {WEIGHTS_FILE}",
            got=str(folder),
            fix="Only adapters saved as safetensors are loaded, never pickles (.bin, .pt).",
        )
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{CONFIG_FILE} of the adapter cannot be read", got=str(error)) from None
    if not isinstance(config, dict):
        raise ModelError(f"{CONFIG_FILE} of the adapter is not an object", got=type(config).__name__)
    return config


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the adapter's weights file."""
    with (folder / WEIGHTS_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def attach(loaded: LoadedModel, folder: Path) -> PeftModel:
    """Put the checked adapter onto the loaded base. Float32 adapters are not forced on a bfloat16 base.

    Raises:
        ModelError: `check` refuses the adapter, or its weights are damaged or not what its config promises.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    from models.fused_lora import fuse_lora

    check(folder, loaded)
    try:
        with warnings.catch_warnings():
            # peft only warns where the file lacks weights, and leaves those as they were before training.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            model = PeftModel.from_pretrained(
                loaded.model,
                str(folder),
                adapter_name=TUNED,
                autocast_adapter_dtype=False,  # so that a batch of both equals the two calls apart
                local_files_only=True,
            )
    except (RuntimeError, UserWarning, SafetensorError) as error:
        raise ModelError(
            "The adapter's weights do not fit the base model, or are damaged",
            got=" ".join(str(error).split())[:200],
            fix="Use the folder as it was saved after training.",
        ) from error
    fuse_lora(model)
    model.eval()
    return model


def prove(
    logits_before: torch.Tensor,
    model: PeftModel,
    inputs: dict[str, torch.Tensor],
    origin: BaseOrigin,
    used: ResolvedModel,
) -> AdapterProof:
    """Compare logits: base alone (`logits_before`, [1, ..., V or labels]), adapter off, adapter on.

    Raises:
        ModelError: with the adapter off the logits are not the base's, or with it on nothing changes.
    """
    import torch

    with torch.no_grad():
        with model.disable_adapter():
            off = model(**inputs).logits
        on = model(**inputs).logits
    if not torch.equal(off, logits_before):
        apart = (off - logits_before).abs().max().item()
        raise ModelError("With the adapter off, the logits are not those of the base model", got=apart)
    change = (on.float() - off.float()).abs().max().item()
    if change == 0.0:
        raise ModelError(
            "The adapter changes nothing: with it on, the logits are exactly those of the base model",
            got="largest difference 0.0",
            fix="It was not trained, or its weights did not fit the model. Train it again.",
        )
    return AdapterProof(
        largest_change=change,
        same_weights=origin.weights_sha256 == used.weights_sha256,
        trained_on=origin.origin,
        used_with=used.origin,
    )

"""A model's weights a tensor at a time, by their names in its files: never more than one is in memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from models.building import one_at_a_time
from models.kinds import Kind
from models.resolved import ResolvedModel
from models.weight_files import read_header
from models.whole import places_in_files, weight_files
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_MOST_DIMENSIONS = 4


class Weights(Protocol):
    """Tensors by name, as a file has them: of those that are tied, one."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name → shape, in the order of the files."""

    def get(self, name: str) -> torch.Tensor:
        """One of them, on the CPU."""


class FolderWeights:
    """Those in the safetensors files of a model's folder."""

    def __init__(self, folder: Path) -> None:
        """Reads headers only.

        Raises:
            ModelError: there are none, or they are damaged.
        """
        self._files: dict[str, Path] = {}
        self.shapes: Mapping[str, tuple[int, ...]] = {}
        try:
            for file in weight_files(folder):
                # The Hub's cache holds links, which are its own.
                found = read_header(file.resolve(), most_dimensions=_MOST_DIMENSIONS)
                self.shapes = {**self.shapes, **found}
                self._files |= dict.fromkeys(found, file)
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"The model's weights cannot be read: {error}", got=str(folder)) from None

    def get(self, name: str) -> torch.Tensor:
        from safetensors import safe_open

        with safe_open(self._files[name], framework="pt") as file:
            return file.get_tensor(name)  # type: ignore[no-any-return]


def described(source: ResolvedModel, kind: Kind, labels: Sequence[str] = ()) -> PreTrainedModel:
    """The model of these files without weights, on the `meta` device, as `models.loading.load` would build it.

    Raises:
        ModelError: it is not of this kind.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    try:
        config = copy.deepcopy(
            AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
        )
        auto: Any = AutoModelForCausalLM
        if kind != "causal":
            auto = AutoModelForSequenceClassification
            config.num_labels = 1 if kind == "reward" else len(labels)
            if kind == "classifier":
                config.id2label = dict(enumerate(labels))
                config.label2id = {label: index for index, label in enumerate(labels)}
        with one_at_a_time(), torch.device("meta"):
            model: PreTrainedModel = auto.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The base model cannot be built as a {kind} model: {str(error).splitlines()[0]}", got=source.name
        ) from None
    return model


def names_in_files(model: PreTrainedModel) -> list[str]:
    """The names that a file of `model` has, of tied tensors the first one's.

    Raises:
        ModelError: what is in the files is not what is in the model, as where it joins the weights of experts.
    """
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    return [name for name in places_in_files(model) if name not in tied]

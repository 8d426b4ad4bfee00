"""The base model and the tuned one as one object: an adapter on one copy of the weights, or two whole models.

`open_pair` is the only way to what was tuned: it checks it, checks its prompt, and proves that it acts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.tasks import Task
from models import loading
from models.adapters import BaseOrigin, attach
from models.loading import Kind, LoadedModel, Precision
from models.prompting import PromptContract, Prompter, classifier_contract, task_of
from models.proof import Proof, prove_adapter, prove_whole
from models.resolved import Progress, ResolvedModel
from models.sources import resolve
from models.tuned import weights_sha256
from models.whole import is_whole, load_beside
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from models.fast.llama import LlamaLayers

_PROBE_TEXT = "Ana: Is the shop still open?\nLeo: Until six, and the soup is better than it looks."

_UNPACKED_AT_MOST = 5 * 10**8
"""Parameters of a model whose 4-bit weights are held unpacked as well: a gigabyte of them."""


@dataclass
class Pair:
    """Base and tuned, ready to answer."""

    model: Any
    """The tuned one: a `PeftModel`, the base's weights with an adapter to be switched off, or a whole model."""
    tokenizer: PreTrainedTokenizerBase
    task: Task
    kind: Kind
    precision: Precision
    contract: PromptContract
    prompter: Prompter | None
    """None for a classifier, which sees the bare text."""
    base: ResolvedModel
    proof: Proof
    adapter_sha256: str
    """Of what was tuned: the adapter's weights file, or the whole model's."""
    beside: PreTrainedModel | None = None
    """The base, where a whole model was tuned."""
    second_side_cost: float | None = None
    """As `generation.second_side_cost` found it, once it was asked for."""
    _layers: dict[bool, LlamaLayers] = field(default_factory=dict, init=False, repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether the sides are two models, and not one with an adapter on and off."""
        return self.beside is not None

    @property
    def mixes(self) -> bool:
        """Whether rows of both sides may stand in one batch of the model's own modules, as peft's do but DoRA's."""
        configs = getattr(self.model, "peft_config", {}).values()
        return not self.is_whole and not any(config.use_dora for config in configs)

    def bare(self, tuned: bool) -> PreTrainedModel:
        """The model of a side, without peft's outermost wrapper."""
        own = self.model if self.is_whole else self.model.get_base_model()
        return own if tuned or self.beside is None else self.beside

    def layers_of(self, tuned: bool) -> LlamaLayers | None:
        """A side's layers by hand, which are faster, where they compute what its model does as it is now.

        An adapter's serve both sides: who asks them says which tokens go without it.
        """
        if self.kind != "causal":
            return None
        from models.fast.llama import LlamaLayers
        from models.fast.supports import supports

        model = self.bare(tuned)
        if not supports(model):
            return None
        own = tuned or not self.is_whole
        if own not in self._layers:
            self._layers[own] = LlamaLayers(model)
            if self.precision != "nf4" or model.num_parameters() < _UNPACKED_AT_MOST:
                self._layers[own].prepare_decoding()
        return self._layers[own] if self._layers[own].is_current else None

    @contextlib.contextmanager
    def side(self, tuned: bool) -> Iterator[Any]:
        """Within it, the model that it gives answers as the tuned one, or as the base."""
        if self.beside is not None:
            yield self.bare(tuned)
            return
        with contextlib.nullcontext() if tuned else self.model.disable_adapter():
            yield self.model

    def batch(self, rows: list[list[int]]) -> dict[str, torch.Tensor]:
        """Token rows as `input_ids` and `attention_mask`, [B, T] each, padded on the left to end together."""
        import torch

        width = max(len(row) for row in rows)
        pad = self.tokenizer.pad_token_id
        ids = [[pad] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        device = self.model.device
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }


def open_pair(folder: Path, *, base: str | None = None, progress: Progress | None = None) -> Pair:
    """Load the base model that what is in `folder` was tuned from, and that beside or onto it, and prove it.

    Args:
        folder: of an adapter or a whole model, as a run or `models/bundled/` holds it.
        base: another place for the same base model, such as a folder.
        progress: told about a base model that has to be fetched first.

    Raises:
        ModelError: it is not safe, not whole, not for this base or prompt, or changes nothing.
    """
    import torch

    origin = BaseOrigin.load(folder)
    contract = PromptContract.load(folder)
    task = task_of(folder, contract)
    precision = _precision(folder, origin)
    source = resolve(base or origin.name, progress=progress)
    loaded = loading.load(source, kind=origin.kind, precision=precision, task=task)
    prompter = _prompter(loaded, contract, task)
    if prompter is not None:
        ids = prompter.encode_prompt(_PROBE_TEXT)
        inputs = {"input_ids": torch.tensor([ids], device=loaded.model.device)}
    else:
        inputs = dict(loaded.tokenizer(_PROBE_TEXT, return_tensors="pt").to(loaded.model.device))
    with torch.no_grad():
        before = loaded.model(**inputs).logits
    model: Any
    if is_whole(folder):
        model, changed = load_beside(loaded, folder)
        proof = prove_whole(before, model, inputs, origin, source, changed)
    else:
        model = attach(loaded, folder)
        proof = prove_adapter(before, model, inputs, origin, source)
    return Pair(
        model=model,
        tokenizer=loaded.tokenizer,
        task=task,
        kind=loaded.kind,
        precision=loaded.precision,
        contract=contract,
        prompter=prompter,
        base=source,
        proof=proof,
        adapter_sha256=weights_sha256(folder),
        beside=loaded.model if is_whole(folder) else None,
    )


def base_alone(source: ResolvedModel, *, task: Task, precision: Precision = "auto") -> Pair:
    """A language model that nothing was tuned of, on both sides: for whoever asks the base alone.

    Raises:
        ModelError: the files are not a language model.
    """
    loaded = loading.load(source, precision=precision)
    prompter = Prompter(loaded.tokenizer, task)
    return Pair(
        model=loaded.model,
        tokenizer=loaded.tokenizer,
        task=task,
        kind=loaded.kind,
        precision=loaded.precision,
        contract=prompter.contract,
        prompter=prompter,
        base=source,
        proof=Proof(largest_change=0.0, same_weights=True, trained_on="", used_with=source.origin),
        adapter_sha256="",
        beside=loaded.model,
    )


def _precision(folder: Path, origin: BaseOrigin) -> Precision:
    """What both sides compute in here."""
    if is_whole(folder) and origin.precision == "nf4":
        raise ModelError(
            "A whole tuned model has no base in 4 bit",
            got=origin.precision,
            fix="Train whole models with model.precision=auto, float32 or bfloat16.",
        )
    return loading.best_precision() if origin.precision == "bfloat16" else origin.precision


def _prompter(loaded: LoadedModel, contract: PromptContract, task: Task) -> Prompter | None:
    """The prompter of training, or a `ModelError`; None for a classifier."""
    if loaded.kind == "causal":
        return Prompter.from_contract(loaded.tokenizer, contract, task)
    classifier_contract(loaded.tokenizer, task).require_same(contract)
    return None

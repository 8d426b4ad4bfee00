"""The base model and the tuned one as one object: one copy of the weights, with and without the adapter.

`open_pair` is the only way to an adapter: it checks it, checks its prompt, and proves that it acts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.tasks import Task
from models import loading
from models.adapters import AdapterProof, BaseOrigin, attach, prove, weights_sha256
from models.loading import Kind, Precision
from models.prompting import PromptContract, Prompter, classifier_contract, task_of
from models.resolved import Progress, ResolvedModel
from models.sources import resolve

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from models.fast.llama import LlamaLayers

_PROBE_TEXT = "Ana: Is the shop still open?\nLeo: Until six, and the soup is better than it looks."

_UNPACKED_AT_MOST = 5 * 10**8
"""Parameters of a model whose 4-bit weights are held unpacked as well: a gigabyte of them."""


@dataclass
class Pair:
    """Base and tuned, ready to answer. `model` holds the base weights once, and the adapter."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    kind: Kind
    precision: Precision
    contract: PromptContract
    prompter: Prompter | None
    """None for a classifier, which sees the bare text."""
    base: ResolvedModel
    proof: AdapterProof
    adapter_sha256: str
    """Of the adapter's weights file."""
    second_side_cost: float | None = None
    """As `generation.second_side_cost` found it, once it was asked for."""
    _layers: LlamaLayers | None = field(default=None, init=False, repr=False)

    @property
    def layers(self) -> LlamaLayers | None:
        """The model's layers by hand, which are faster, where they compute what it does as it is now."""
        if self.kind != "causal":
            return None
        from models.fast.llama import LlamaLayers
        from models.fast.supports import supports

        model: Any = self.model.get_base_model()
        if not supports(model):
            return None
        if self._layers is None:
            self._layers = LlamaLayers(model)
            if self.precision != "nf4" or model.num_parameters() < _UNPACKED_AT_MOST:
                self._layers.prepare_decoding()
        return self._layers if self._layers.is_current else None

    @contextlib.contextmanager
    def side(self, tuned: bool) -> Iterator[PeftModel]:
        """Within it, the model answers as the tuned one, or as the base."""
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


def open_pair(adapter: Path, *, base: str | None = None, progress: Progress | None = None) -> Pair:
    """Load the base model that `adapter` was trained on, attach the adapter and prove it.

    Args:
        adapter: the adapter's folder, as a run or `models/bundled/` holds it.
        base: another place for the same base model, such as a folder.
        progress: told about a base model that has to be fetched first.

    Raises:
        ModelError: the adapter is not safe, not whole, not for this base or prompt, or changes nothing.
    """
    import torch

    origin = BaseOrigin.load(adapter)
    contract = PromptContract.load(adapter)
    task = task_of(adapter, contract)
    source = resolve(base or origin.name, progress=progress)
    precision = loading.best_precision() if origin.precision == "bfloat16" else origin.precision
    loaded = loading.load(source, kind=origin.kind, precision=precision, task=task)
    if loaded.kind == "causal":
        prompter = Prompter.from_contract(loaded.tokenizer, contract, task)
        ids = prompter.encode_prompt(_PROBE_TEXT)
        inputs = {"input_ids": torch.tensor([ids], device=loaded.model.device)}
    else:
        prompter = None
        classifier_contract(loaded.tokenizer, task).require_same(contract)
        inputs = dict(loaded.tokenizer(_PROBE_TEXT, return_tensors="pt").to(loaded.model.device))
    with torch.no_grad():
        before = loaded.model(**inputs).logits
    model = attach(loaded, adapter)
    return Pair(
        model=model,
        tokenizer=loaded.tokenizer,
        task=task,
        kind=loaded.kind,
        precision=loaded.precision,
        contract=contract,
        prompter=prompter,
        base=source,
        proof=prove(before, model, inputs, origin, source),
        adapter_sha256=weights_sha256(adapter),
    )

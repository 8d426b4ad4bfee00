"""The base model and the tuned one as one object: an adapter on one copy of the weights, or two whole models.

`open_pair` is the only way to what was tuned: it checks it, checks its prompt, and proves that it acts.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.tasks import Task
from models import loading
from models.adapters import BaseOrigin, attach
from models.loading import Kind, LoadedModel, Precision
from models.prompting import Input, PromptContract, Prompter, classifier_contract, prompter_of, task_of
from models.proof import Inputs, Proof, prove_adapter, prove_whole
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

UNPACKED_AT_MOST = 5 * 10**8
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
    """None for a classifier, which sees the bare text. A reward model reads prompts, and answers behind them."""
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
    def models_held(self) -> int:
        """How many models it holds in memory."""
        return 1 + self.is_whole

    @property
    def mixes(self) -> bool:
        """Whether rows of both sides may stand in one batch of the model's own modules, as those of a LoRA on
        linear layers do: not with DoRA, IA3, or modules that are trained whole."""
        return not self.is_whole and _mixes(self.model)

    def asked_by(self, prompter: Prompter) -> Pair:
        """The same models, in the same memory, asked by another prompter, in whose task's words they answer."""
        other = copy.copy(self)
        other.prompter, other.contract = prompter, prompter.contract
        other.task, other.tokenizer = prompter.task, prompter.tokenizer
        return other

    def bare(self, tuned: bool) -> PreTrainedModel:
        """The model of a side, without peft's outermost wrapper."""
        own = self.model if self.is_whole else self.model.get_base_model()
        return own if tuned or self.beside is None else self.beside

    def layers_of(self, tuned: bool) -> LlamaLayers | None:
        """A side's layers by hand, which are faster, where they compute what its model does as it is now.

        An adapter's serve both sides: who asks them says which tokens go without it.
        """
        if self.kind == "classifier":
            return None
        from models.fast.llama import LlamaLayers
        from models.fast.supports import supports

        model = self.bare(tuned)
        if not supports(model):
            return None
        own = tuned or not self.is_whole
        if own not in self._layers:
            self._layers[own] = LlamaLayers(model)
            if self.precision != "nf4" or model.num_parameters() < UNPACKED_AT_MOST:
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
    origin = BaseOrigin.load(folder)
    contract = PromptContract.load(folder)
    task = task_of(folder, contract)
    source = resolve(base or origin.name, progress=progress)
    loaded = loading.load(source, kind=origin.kind, precision=precision_of(folder, origin), task=task)
    prompter = _prompter(loaded, contract, task)
    inputs, before = _probed(loaded, prompter)
    if not is_whole(folder):
        model = attach(loaded, folder)
        proof = prove_adapter(before, model, inputs, origin, source)
        return on_base(loaded, model, folder, task=task, prompter=prompter, contract=contract, proof=proof)
    whole, changed = load_beside(loaded, folder)
    return Pair(
        model=whole,
        tokenizer=loaded.tokenizer,
        task=task,
        kind=loaded.kind,
        precision=loaded.precision,
        contract=contract,
        prompter=prompter,
        base=source,
        proof=prove_whole(before, whole, inputs, origin, source, changed),
        adapter_sha256=weights_sha256(folder),
        beside=loaded.model,
    )


def on_base(
    loaded: LoadedModel,
    model: Any,
    folder: Path,
    *,
    task: Task,
    prompter: Prompter | None,
    contract: PromptContract,
    proof: Proof,
) -> Pair:
    """A loaded base with the adapter in `folder` on it, as a pair.

    Args:
        loaded: the base.
        model: what `attach`, or `any_adapter.attach_any`, made of the two.
        folder: the adapter's.
        task: what they are asked.
        prompter: None for a classifier.
        contract: of their prompts.
        proof: as `prove_on` gave it.
    """
    return Pair(
        model=model,
        tokenizer=loaded.tokenizer,
        task=task,
        kind=loaded.kind,
        precision=loaded.precision,
        contract=contract,
        prompter=prompter,
        base=loaded.source,
        proof=proof,
        adapter_sha256=weights_sha256(folder),
    )


def prove_on(
    loaded: LoadedModel,
    attach: Callable[[], Any],
    origin: BaseOrigin | None,
    *,
    task: Task,
    prompter: Prompter | None,
) -> tuple[Any, Proof]:
    """What `attach` makes of the loaded base, and the proof that the adapter acts on it.

    Args:
        loaded: a base without an adapter.
        attach: puts one onto it.
        origin: the base that it says it was trained on; None where it says none.
        task: what they are asked.
        prompter: None for a classifier.

    Raises:
        ModelError: what `attach` raises; or the adapter changes nothing, or the base as well.
    """
    inputs, before = _probed(loaded, prompter, task)
    model = attach()
    return model, prove_adapter(before, model, inputs, origin, loaded.source)


def _probed(
    loaded: LoadedModel, prompter: Prompter | None, task: Task | None = None
) -> tuple[Inputs, torch.Tensor]:
    """A prompt as a model takes it, and the base's logits."""
    import torch

    if prompter is not None:
        is_chat = task is not None and task.kind == "chat"
        given: Input = [{"role": "user", "content": _PROBE_TEXT}] if is_chat else _PROBE_TEXT
        ids = prompter.encode_prompt(given)
        inputs = {"input_ids": torch.tensor([ids], device=loaded.model.device)}
    else:
        inputs = dict(loaded.tokenizer(_PROBE_TEXT, return_tensors="pt").to(loaded.model.device))
    with torch.no_grad():
        return inputs, loaded.model(**inputs).logits


def base_alone(source: ResolvedModel, *, task: Task, precision: Precision = "auto") -> Pair:
    """A language model that nothing was tuned of, on both sides: for whoever asks the base alone.

    Raises:
        ModelError: the files are not a language model.
    """
    loaded = loading.load(source, precision=precision)
    return alone(loaded, task, prompter_of(loaded.tokenizer, task))


def alone(loaded: LoadedModel, task: Task, prompter: Prompter | None) -> Pair:
    """The same of a model that is loaded, which may be a classifier: that has no prompter."""
    return Pair(
        model=loaded.model,
        tokenizer=loaded.tokenizer,
        task=task,
        kind=loaded.kind,
        precision=loaded.precision,
        contract=prompter.contract if prompter else classifier_contract(loaded.tokenizer, task),
        prompter=prompter,
        base=loaded.source,
        proof=Proof(largest_change=0.0, same_weights=True, trained_on="", used_with=loaded.source.origin),
        adapter_sha256="",
        beside=loaded.model,
    )


def _mixes(model: Any) -> bool:
    """Whether peft lets rows with and without the adapter of `model` stand in one batch."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    configs = getattr(model, "peft_config", {}).values()
    if any(config.peft_type != "LORA" or config.use_dora or config.modules_to_save for config in configs):
        return False
    adapted = (type(module).__name__ for module in model.modules() if isinstance(module, BaseTunerLayer))
    return all(name.startswith("Linear") for name in adapted)


def precision_of(folder: Path, origin: BaseOrigin) -> Precision:
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
    if loaded.kind != "classifier":
        return Prompter.from_contract(loaded.tokenizer, contract, task)
    classifier_contract(loaded.tokenizer, task).require_same(contract)
    return None

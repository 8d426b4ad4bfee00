"""How fast this machine computes layers like a base model's, measured on a model of two of them.

The two go through the code that training and evaluation use, on random weights and tokens. What was measured is
kept in the user's cache folder under the name of the machine, and a hash of its processor, of torch's version and
of the layer's shape. Beside other work threads wait for each other, and the clock tells of that work: there one
thread's own time counts, as if all were free, and is not kept.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetuning.recipe import Recipe
from models.building import one_at_a_time
from models.resolved import cache_folder
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    import torch

FILE = "layer-speeds.json"
_LAYERS = 2
_TOKENS = 768
_FEW_TOKENS = 128
_LARGE_LAYER = 2 * 10**7
"""Parameters from which a layer is measured on `_FEW_TOKENS` on a processor: more would take many seconds."""
_TRIES = 3
_DECODED_ROWS = 32
_DECODED_ON_A_CARD = 256
"""A step takes about as long there, and as many rows are answered together (`models.generation`)."""
_SUPERVISED = 64
_BUSY = 0.15
"""Share of the processor that others use, from which the clock is not believed."""
_GAIN_OF_THREADS = 0.65
"""How much of one thread's work each of several does, where that cannot be measured: with it SmolLM2's steps on two
slow cores come out 14 % too short on reviews and 27 % too long on dialogues."""


@dataclass(frozen=True)
class Speeds:
    """Seconds that one layer takes for each token, and for each pair of a token and one that it may see."""

    train_batch: float
    train_token: float
    train_pair: float
    """Forward and backward; of a batch whatever is in it: the layer's weights are read once for all."""
    pass_batch: float
    pass_token: float
    pass_pair: float
    """Forward alone."""
    decode_row: float
    """For a token of one row, where a batch of rows is decoded."""
    head_train: float
    """The whole projection onto the vocabulary, for a position that is trained on."""
    head_batch: float
    """The same of a batch whatever is in it: where the vocabulary's weight learns, it has a gradient as large."""
    head_decode: float
    """The projection for a decoded position."""
    update: float
    """A step of the optimizer, for each parameter that learns."""


def speeds(recipe: Recipe, config: Any) -> Speeds:
    """Of a layer of the base model that learns as the recipe says, on this machine.

    Args:
        recipe: names way, strategy and precision; 4-bit weights are taken for as fast as what they unpack to, and
            an adapter is measured at rank 8.
        config: the base model's.
    """
    from models.loading import best_precision

    precision = recipe.load_precision
    if precision in {"auto", "nf4"}:
        precision = best_precision()
    # Nothing is measured again for another rank: whoever tries some on the page would wait each time.
    recipe = recipe.model_copy(update={"strategy": recipe.strategy.measured(_LAYERS)})
    key = _key([recipe.kind, recipe.strategy.model_dump(), precision, config.to_dict()])
    if key not in _known:
        _known[key] = _kept_or_measured(key, _Shape(recipe, config, precision))
    return _known[key]


_known: dict[str, Speeds] = {}


@dataclass(frozen=True)
class _Shape:
    recipe: Recipe
    config: Any
    precision: str


def _kept_or_measured(key: str, shape: _Shape) -> Speeds:
    place = cache_folder() / FILE
    kept = _read(place)
    if key in kept:
        return Speeds(**kept[key])
    alone = _others() < _BUSY
    measured = _measure(shape, _Watch() if alone else _ThreadWatch())
    if alone and _others() < _BUSY:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, json.dumps(kept | {key: asdict(measured)}, indent=1))
    return measured


def _read(place: Path) -> dict[str, dict[str, float]]:
    """What was measured before, whatever somebody did to the file."""
    names = {field.name for field in fields(Speeds)}
    try:
        known = json.loads(place.read_text(encoding="utf-8"))
        return {
            key: value
            for key, value in known.items()
            if value.keys() == names and all(0 <= float(seconds) < 1e4 for seconds in value.values())
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _key(about: list[Any]) -> str:
    """The machine's name, and a hash of all that the speed depends on."""
    import torch

    from models.loading import device

    where = torch.cuda.get_device_name() if device().type == "cuda" else processor()
    told = json.dumps([where, torch.get_num_threads(), torch.__version__, *about], sort_keys=True, default=str)
    return f"{platform.node()} {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def processor() -> str:
    """What the system calls this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _others() -> float:
    """The share of the processor that is in use while this thread waits, from 0 to 1."""
    import psutil

    from models.loading import device

    return psutil.cpu_percent(interval=0.2) / 100 if device().type == "cpu" else 0.0


class _Watch:
    """Seconds by the clock."""

    def now(self) -> float:
        return time.perf_counter()

    def usual(self, work: Callable[[], Any]) -> float:
        """The median of some tries, after one that warms up."""
        work()
        taken = []
        for _ in range(_TRIES):
            started = self.now()
            work()
            taken.append(self.now() - started)
        return statistics.median(taken)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _ThreadWatch(_Watch):
    """What this thread computes by itself, whoever else waits, shared among the threads there are."""

    def __enter__(self) -> _Watch:
        import torch

        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_num_threads(self._threads)

    def now(self) -> float:
        return time.thread_time() / (1 if self._threads == 1 else self._threads * _GAIN_OF_THREADS)


def _measure(shape: _Shape, watch: _Watch) -> Speeds:
    import torch

    from models.loading import device, keep_freed_memory

    keep_freed_memory()
    with torch.random.fork_rng(), watch:
        torch.manual_seed(0)
        model = _model(shape)
        layer = sum(value.numel() for value in _bare(model).parameters()) / _LAYERS
        tokens = _FEW_TOKENS if layer > _LARGE_LAYER and device().type == "cpu" else _TOKENS
        batches = [
            _batch(tokens // 4, 64, shape.config),
            _batch(tokens, 64, shape.config),
            _batch(tokens, tokens if tokens == _FEW_TOKENS else tokens // 2, shape.config),
        ]
        step = _step(model, shape.recipe)
        train = _fit(watch, lambda batch: step(batch, True), *batches)
        forward = _fit(watch, lambda batch: step(batch, False), *batches)
        update = _update(watch, model)
        if not shape.recipe.way.writes:
            return Speeds(*train, *forward, 0.0, 0.0, 0.0, 0.0, update)
        learns = _bare(model).get_output_embeddings().weight.requires_grad
        head = _head(watch, shape, learns)
        return Speeds(*train, *forward, _decode(watch, model), *head, update)


@one_at_a_time()
def _model(shape: _Shape) -> Any:
    """Two layers of the base that learn as the recipe says, as a trainer would have them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from models.fast.attention import use_matrix_products
    from models.fast.fused_lora import fuse_lora
    from models.loading import device

    config = copy.deepcopy(shape.config)
    config.num_hidden_layers, config.vocab_size, config.pad_token_id = _LAYERS, 256, 0
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:_LAYERS]
    kind: Any = AutoModelForCausalLM if shape.recipe.kind == "causal" else AutoModelForSequenceClassification
    base = kind.from_config(config).to(device(), getattr(torch, shape.precision))
    model = shape.recipe.apply_strategy(base)
    fuse_lora(model)
    if device().type == "cpu":
        use_matrix_products(base)
    return model.train()


def _bare(model: Any) -> Any:
    """The model without peft's wrapper, if it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _batch(tokens: int, length: int, config: Any) -> torch.Tensor:
    """Rows of `length` random tokens, [B, T], `tokens` in all."""
    import torch

    length = min(length, int(getattr(config, "max_position_embeddings", length)) - 2)
    return torch.randint(5, 250, (max(1, tokens // length), length))


def _step(model: Any, recipe: Recipe) -> Callable[[Any, bool], None]:
    """Takes a batch through the layers, and back where it is trained on."""
    import torch

    from models.fast.llama import LlamaLayers
    from models.fast.packing import PackedRows
    from models.fast.supports import supports
    from models.loading import best_precision, device

    base = _bare(model)
    by_hand = LlamaLayers(base) if recipe.way.by_hand and supports(base) else None
    halves = recipe.strategy.whole and device().type == "cuda" and best_precision() == "bfloat16"

    def hidden(batch: torch.Tensor) -> Any:
        if by_hand is None:
            batch = batch.to(base.device)
            return base.base_model(input_ids=batch, attention_mask=torch.ones_like(batch))[0]
        packed = PackedRows(batch.tolist(), heads=by_hand.heads)
        return by_hand(packed, torch.arange(len(packed.tokens)))

    def step(batch: torch.Tensor, trained: bool) -> None:
        with torch.set_grad_enabled(trained), torch.autocast(device().type, torch.bfloat16, enabled=halves):
            result = hidden(batch).float().sum()
        if trained:
            result.backward()
            model.zero_grad(set_to_none=True)
        result.item()

    return step


def _fit(
    watch: _Watch, step: Callable[[Any], None], few: torch.Tensor, short: torch.Tensor, long: torch.Tensor
) -> tuple[float, float, float]:
    """A layer's seconds a batch, a token and a pair, from few rows, and many that are short or that are long."""
    taken = [watch.usual(functools.partial(step, batch)) / _LAYERS for batch in (few, short, long)]
    tokens = [batch.numel() for batch in (few, short, long)]
    pairs = [batch.numel() * batch.shape[1] for batch in (few, short, long)]
    # Three equations: taken = a_batch + tokens * a_token + pairs * a_pair. The last two have about the same tokens.
    longer = pairs[2] - pairs[1]
    a_pair = max(0.0, (taken[2] - taken[1] * tokens[2] / tokens[1]) / longer) if longer > 0 else 0.0
    plain = [seconds - count * a_pair for seconds, count in zip(taken, pairs, strict=True)]
    a_token = (plain[1] - plain[0]) / max(1, tokens[1] - tokens[0])
    if not 0 < a_token * tokens[1] < plain[1]:  # others were at work between the two
        return 0.0, max(0.0, plain[1]) / tokens[1], a_pair
    return plain[1] - tokens[1] * a_token, a_token, a_pair


def _head(watch: _Watch, shape: _Shape, learns: bool) -> tuple[float, float, float]:
    """Seconds of the projection onto the vocabulary: of a trained position, of a batch, and of a decoded position.

    Where its weight `learns`, the embedding is the same weight or one of that size, and has its gradient, too.
    """
    import torch

    from models.head import label_log_probs
    from models.loading import device

    size, dtype = int(shape.config.hidden_size), getattr(torch, shape.precision)
    head = torch.nn.Linear(size, int(shape.config.vocab_size), bias=False, device="meta")
    head = head.to_empty(device=device()).to(dtype).requires_grad_(learns)
    head.weight.data.uniform_(-0.02, 0.02)

    def trained(count: int) -> None:
        labels = torch.arange(count, device=device())
        rows = torch.nn.functional.embedding(labels, head.weight) if learns else taken[:count].clone()
        label_log_probs(rows if learns else rows.requires_grad_(), head, labels)[0].sum().backward()
        head.weight.grad = None

    taken = torch.randn(2 * _SUPERVISED, size, device=device()).to(dtype)
    some = watch.usual(lambda: trained(_SUPERVISED))
    a_position, a_batch = some / _SUPERVISED, 0.0
    if learns:
        more = watch.usual(lambda: trained(2 * _SUPERVISED))
        a_position = min(max(0.0, more - some) / _SUPERVISED, a_position)
        a_batch = some - _SUPERVISED * a_position
    with torch.no_grad():
        count = _decoded_rows()
        hidden = taken[:1].expand(count, -1).contiguous()
        decoded = watch.usual(lambda: head(hidden).argmax(-1).sum().item())
    return a_position, a_batch, decoded / count


def _update(watch: _Watch, model: Any) -> float:
    """Seconds a parameter of what follows a backward pass: gradients are clipped, and AdamW takes a step."""
    import torch

    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    for value in trained:
        value.grad = torch.zeros_like(value)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    taken = watch.usual(step)
    model.zero_grad(set_to_none=True)
    return taken / max(1, sum(int(value.numel()) for value in trained))


def _decode(watch: _Watch, model: Any) -> float:
    """A layer's seconds for the next token of one row of a batch."""
    import torch

    from models.fast.decoding import greedy
    from models.fast.llama import LlamaLayers
    from models.fast.supports import supports

    base = _bare(model.eval())
    count = _decoded_rows()
    rows = torch.randint(5, 250, (count, 64))
    if not supports(base):  # a token alone, without what came before it
        with torch.no_grad():
            token = rows[:, :1].to(base.device)
            step = watch.usual(lambda: base.base_model(input_ids=token)[0].sum().item())
        return step / _LAYERS / count
    layers = LlamaLayers(base)
    layers.prepare_decoding()
    ends: list[float] = []
    last: float | None = None
    for _ in greedy(layers, [], rows.tolist(), max_new_tokens=6, ends=set()):
        now = watch.now()
        ends += [now - last] if last is not None else []
        last = now
    return statistics.median(ends) / _LAYERS / count


def _decoded_rows() -> int:
    from models.loading import device

    return _DECODED_ROWS if device().type == "cpu" else _DECODED_ON_A_CARD

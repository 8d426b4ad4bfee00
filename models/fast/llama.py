"""The layers of a Llama-like model on packed rows, forward and backward by hand, for training and scoring on a CPU.

A CPU spends half of a training step outside of the large matrix products when autograd drives `transformers`' and
peft's modules. Here each layer is one step of autograd: it computes real tokens only (`packing`), adds low-rank
updates and residuals in place (`projections`), and keeps no more than its backward needs. Layers before the first
that is trained keep nothing, and no gradient goes back through them. Weights stay where they are, in the model's
own modules. In float32 losses and gradients equal the modules' (tests), for the models that `models.fast.supports`
lists.

Shapes: N tokens, H hidden size, F of the feed-forward, Q query heads, K key-value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding, silu
from transformers import PreTrainedModel

from models.fast.norms import Norm
from models.fast.packing import Packed, PackedRows
from models.fast.projections import Projections, product
from models.prefix import StoppedError

Turn = tuple[Tensor, Tensor]
"""Cosine and sine of the rotary embedding of N tokens, [N, 1, D] each."""


class Attends(Protocol):
    """How the tokens of one layer attend; `Packed` does, so does a key-value cache."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Any]:
        """What every token takes in, [N, Q * D], and what a backward needs."""


PIECE = 256
"""Tokens of a prefix that are computed at once: enough for large products, and few enough to stop between."""


class LlamaLayers:
    """A model from its embedding to the last layer's output, before the final norm.

    With the adapter that was active when these were made, if that is not switched off now.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """
        Args:
            model: one that `models.fast.supports` lists.
        """
        config = model.config
        whole: Any = model
        self._model = whole.base_model
        self._head: Any = model.get_output_embeddings()
        self.heads = (config.num_attention_heads, config.num_key_value_heads)
        """Q and K."""
        self._layers = [_Layer(layer) for layer in self._model.layers]
        self.dtype: torch.dtype = self._model.embed_tokens.weight.dtype
        self.depth = len(self._layers)
        adapted = [module for layer in self._layers for part in layer.parts for module in part.adapted]
        self._adapted = adapted[0] if adapted else None
        self._adapter = self._active()

    @property
    def is_current(self) -> bool:
        """Whether what is active in the model is still what these were made of."""
        return self._active() == self._adapter

    def __call__(self, rows: Packed, keep: Tensor) -> Tensor:
        """The last layer's output at the places `keep`, [len(keep), H], adapted; autograd goes through it, back to
        the first weights that are trained.

        Args:
            rows: the tokens, their shared prefixes among them.
            keep: places of `rows.tokens` that are wanted, each once, in rising order.
        """
        x, turn = self._embed(rows.tokens), self.turn(rows.positions)
        frozen = self._frozen(x)
        x = self._infer(x, turn, [rows] * frozen, keep)
        for layer in self._layers[frozen:]:
            places = keep if layer is self._layers[-1] else None
            x = _Step.apply(x, layer, rows, turn, places, *layer.parameters)  # type: ignore[no-untyped-call]
        return x

    def infer(
        self,
        tokens: Tensor,
        turn: Turn,
        attend: Sequence[Attends],
        *,
        keep: Tensor | None = None,
        plain: int = 0,
    ) -> Tensor:
        """The same without autograd, at all places or at `keep`.

        Args:
            tokens: [N].
            turn: of their positions.
            attend: how the tokens attend in each layer.
            keep: places that are wanted, each once, in rising order.
            plain: how many tokens, from the first, go without the adapter; all of them where it is switched off.
        """
        with torch.no_grad():
            return self._infer(self._embed(tokens), turn, attend, keep, plain)

    def turn(self, positions: Tensor) -> Turn:
        """Cosine and sine of the rotary embedding at `positions`, [N, 1, D] each."""
        cos, sin = self._model.rotary_emb(self._model.embed_tokens.weight[:1], positions[None])
        return cos[0, :, None], sin[0, :, None]

    def logits(self, x: Tensor) -> Tensor:
        """Of the next token, [N, V], from the last layer's output."""
        return product(self.norm(x), self._head.weight, self._head.bias)

    def norm(self, x: Tensor) -> Tensor:
        """The final norm, [N, H]."""
        return self._model.norm(x)  # type: ignore[no-any-return]

    @property
    def are_packed(self) -> bool:
        """Whether weights are held in 4 bits, and have to be unpacked at each use."""
        return any(part.are_packed for layer in self._layers for part in layer.parts)

    def prepare_decoding(self) -> None:
        """Get ready for many products of few rows, with weights that change no more (`Projections`)."""
        for layer in self._layers:
            for part in layer.parts:
                part.prepare_decoding()

    def _active(self) -> tuple[str, float, int] | None:
        """The adapter, how strongly it acts, and which weights it has; peft sets these alike in all layers."""
        if self._adapted is None:
            return None
        (name,) = self._adapted.active_adapters
        return name, self._adapted.scaling[name], id(self._adapted.lora_A[name].weight)

    def _is_off(self) -> bool:
        """Whether peft has switched the adapter off, as for a reference or for the base's side."""
        return self._adapted is not None and self._adapted.disable_adapters

    def _frozen(self, x: Tensor) -> int:
        """How many layers, from the first, have nothing to learn, nor has what gave them `x`."""
        if not torch.is_grad_enabled() or self._is_off():  # beside an adapter nothing is trained
            return self.depth
        trained = (number for number, layer in enumerate(self._layers) if x.requires_grad or layer.is_trained)
        return next(trained, self.depth)

    def _infer(
        self, x: Tensor, turn: Turn, attend: Sequence[Attends], keep: Tensor | None = None, plain: int = 0
    ) -> Tensor:
        """`x` after as many layers as `attend` is long, of which nothing is kept."""
        plain = len(x) if self._is_off() else plain
        with torch.no_grad():
            for layer, rows in zip(self._layers, attend, strict=False):
                places = keep if layer is self._layers[-1] else None
                x = layer.forward(x, rows, turn, places, plain, trained=False)[0]
        return x

    def _embed(self, tokens: Tensor) -> Tensor:
        table = self._model.embed_tokens
        return embedding(tokens, table.weight, table.padding_idx)  # a token for padding learns nothing here


class LlamaPrefix:
    """What many rows begin with, computed once: every layer's keys and values."""

    def __init__(
        self,
        layers: LlamaLayers,
        tokens: Sequence[int],
        *,
        adapted: bool,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """Compute `tokens`, `PIECE` of them at a time.

        Raises:
            StoppedError: `should_stop` said so before a piece.
        """
        self.tokens = list(tokens)
        self._layers, self._adapted = layers, adapted
        self.seen: list[tuple[Tensor, Tensor] | tuple[()]] = [()] * layers.depth
        """Key and value of each layer, [P, K * D] each; nothing without tokens."""
        for start in range(0, len(self.tokens), PIECE):
            if should_stop and should_stop():
                raise StoppedError
            before, piece = self.tokens[:start], self.tokens[start : start + PIECE]
            row = PackedRows([piece], before, cached=True, heads=layers.heads)
            recorders = [_Recorder(row, *seen) for seen in self.seen]
            plain = 0 if adapted else len(piece)
            keep = torch.tensor([len(piece) - 1])  # nobody takes what comes out of the last layer
            layers.infer(row.tokens, layers.turn(row.positions), recorders, keep=keep, plain=plain)
            self.seen = [recorder.seen for recorder in recorders]

    def last(self, rows: Sequence[list[int]], wanted: int) -> Tensor:
        """After the final norm, at the last `wanted` positions of `rows`, which go on from the prefix,
        [B, wanted, H]."""
        packed = PackedRows(rows, self.tokens, cached=True, heads=self._layers.heads)
        attend = [_Behind(packed, *seen) for seen in self.seen]
        plain = 0 if self._adapted else len(packed.tokens)
        turn, keep = self._layers.turn(packed.positions), packed.last(wanted)
        x = self._layers.infer(packed.tokens, turn, attend, keep=keep, plain=plain)
        return self._layers.norm(x).view(len(rows), wanted, -1)


class _Behind:
    """Rows attend in one layer to a prefix's keys and values, and to their own."""

    def __init__(self, rows: PackedRows, *before: Tensor) -> None:
        """Args:
        rows: laid out behind the cached prefix.
        before: its key and value; nothing where the rows begin themselves.
        """
        self._rows, self._before = rows, before

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        return self._rows.attend(query, *self._behind(key, value), scaling)[0], None

    def _behind(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if not self._before:
            return key, value
        before_key, before_value = self._before
        return torch.cat([before_key, key]), torch.cat([before_value, value])


class _Recorder(_Behind):
    """The same, and the keys and values are kept."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        self.seen = self._behind(key, value)
        return self._rows.attend(query, *self.seen, scaling)[0], None


class _Layer:
    def __init__(self, layer: Any) -> None:
        attention, feed = layer.self_attn, layer.mlp
        self._scaling: float = attention.scaling
        self._size = attention.head_dim
        self._norms = Norm(layer.input_layernorm), Norm(layer.post_attention_layernorm)
        self._qkv = Projections(attention.q_proj, attention.k_proj, attention.v_proj)
        self._o = Projections(attention.o_proj)
        self._gate_up = Projections(feed.gate_proj, feed.up_proj)
        self._down = Projections(feed.down_proj)
        self.parts = (self._qkv, self._o, self._gate_up, self._down)

    @property
    def parameters(self) -> list[Tensor]:
        """Those of norms and projections, as `backward` gives their gradients."""
        return [weight for part in (*self._norms, *self.parts) for weight in part.parameters]

    @property
    def is_trained(self) -> bool:
        return any(weight.requires_grad for weight in self.parameters)

    def forward(
        self, x: Tensor, rows: Attends, turn: Turn, keep: Tensor | None, plain: int = 0, *, trained: bool = True
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """The layer's output, [N, H], at the places `keep` only where given; what `backward` takes, if trained."""
        normed, scale = self._norms[0].forward(x)
        (query, key, value), low_qkv = self._qkv.forward(normed, plain)
        query, key = self._turn(query, turn), self._turn(key, turn)
        taken, weights = rows.attend(query, key, value, self._scaling)
        behind = x
        if keep is not None:
            taken, behind = taken.index_select(0, keep), x.index_select(0, keep)
            plain = int((keep < plain).sum())
        (middle,), low_o = self._o.forward(taken, plain)
        middle += behind
        normed_middle, scale_middle = self._norms[1].forward(middle)
        (gate, up), low_gate_up = self._gate_up.forward(normed_middle, plain)
        opened = silu(gate, inplace=not trained)
        passed = opened * up if trained else opened.mul_(up)
        (result,), low_down = self._down.forward(passed, plain)
        result += middle
        if not trained:
            return result, ()
        attended = (query, key, value, weights, taken, low_o)
        fed = (middle, normed_middle, scale_middle, low_gate_up, gate, up, opened, passed, low_down)
        return result, (x, normed, scale, low_qkv, *attended, *fed)

    def backward(
        self,
        gradient: Tensor,
        kept: tuple[Any, ...],
        rows: Packed,
        turn: Turn,
        keep: Tensor | None,
        of_input: bool,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The gradients of the layer's input, where asked for, and of `parameters`."""
        x, normed, scale, low_qkv, query, key, value, weights, taken, low_o, *fed = kept
        middle, normed_middle, scale_middle, low_gate_up, gate, up, opened, passed, low_down = fed
        of_passed, trained_down = self._down.backward(passed, low_down, [gradient])
        of_up = of_passed * opened
        of_gate = torch.ops.aten.silu_backward(of_passed.mul_(up), gate)
        of_normed, trained_gate_up = self._gate_up.backward(normed_middle, low_gate_up, [of_gate, of_up])
        of_middle, trained_norm_middle = self._norms[1].backward(of_normed, middle, scale_middle)
        of_middle.add_(gradient)
        of_taken, trained_o = self._o.backward(taken, low_o, [of_middle])
        if keep is not None:
            of_taken = of_taken.new_zeros(len(x), of_taken.shape[1]).index_copy_(0, keep, of_taken)
            of_middle = torch.zeros_like(x).index_copy_(0, keep, of_middle)
        of_query, of_key, of_value = rows.attend_backward(of_taken, query, key, value, weights, self._scaling)
        of_heads = [self._turn(of_query, turn, back=True), self._turn(of_key, turn, back=True), of_value]
        of_input = of_input or bool(self._norms[0].parameters)
        of_normed, trained_qkv = self._qkv.backward(normed, low_qkv, of_heads, of_input=of_input)
        of_x, trained_norm = None, list[Tensor]()
        if of_normed is not None:
            of_x, trained_norm = self._norms[0].backward(of_normed, x, scale)
            of_x.add_(of_middle)
        of_parts = (trained_qkv, trained_o, trained_gate_up, trained_down)
        return of_x, [*trained_norm, *trained_norm_middle, *chain.from_iterable(of_parts)]

    def _turn(self, x: Tensor, turn: Turn, *, back: bool = False) -> Tensor:
        """Rotary position embedding of [N, heads * D], or its gradient, which turns the other way."""
        cos, sin = turn
        half = self._size // 2
        heads = x.view(len(x), -1, self._size)
        sign = -1 if back else 1
        turned = heads * cos
        turned[..., :half].addcmul_(heads[..., half:], sin[..., :half], value=-sign)
        turned[..., half:].addcmul_(heads[..., :half], sin[..., half:], value=sign)
        return turned.view(x.shape)


class _Step(torch.autograd.Function):
    """A layer as one step of autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: _Layer, rows: Packed, turn: Turn, keep: Any, *_: Tensor) -> Tensor:
        result, ctx.kept = layer.forward(x, rows, turn, keep)
        ctx.layer, ctx.rows, ctx.turn, ctx.keep = layer, rows, turn, keep
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, ctx.kept = ctx.kept, None  # a layer's activations go as soon as they are used
        of_x, trained = ctx.layer.backward(
            gradients[0].contiguous(), kept, ctx.rows, ctx.turn, ctx.keep, ctx.needs_input_grad[0]
        )
        return of_x, None, None, None, None, *trained

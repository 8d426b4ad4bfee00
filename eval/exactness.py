"""Does the fast path lose anything? The same rows by `transformers` and peft alone, one at a time, beside ours.

What a pair answers goes through shared prefixes, rows without padding, fused low-rank updates and layers by hand.
Here base and tuned are opened again by the libraries' own modules, and nothing of that is used: one row, its
whole prompt. They are opened twice: in the pair's precision, and computing in float32, which is the measure. Where
the pair rounds to bfloat16, either way errs against it; a fast path that loses something of its own errs more than
the libraries do.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.building import one_at_a_time
from models.generation import answer_batch, end_tokens
from models.loading import load
from models.pair import Pair
from models.scoring import score_labels


@dataclass(frozen=True)
class Sides:
    """Base and tuned by the libraries' own modules."""

    tuned: Any
    """A model with an adapter, or a whole one."""
    base: Any = None
    """The base beside a whole one; None where an adapter is switched off."""

    @contextlib.contextmanager
    def side(self, tuned: bool) -> Iterator[Any]:
        """Within it, the model that it gives answers as the tuned one, or as the base."""
        if self.base is not None:
            yield self.tuned if tuned else self.base
            return
        with contextlib.nullcontext() if tuned else self.tuned.disable_adapter():
            yield self.tuned


@dataclass(frozen=True)
class Plain:
    """The pair's base and tuned side by the libraries' own modules."""

    own: Sides
    """In the pair's precision."""
    exact: Sides
    """The same weights, computing in float32; `own` itself where that does."""


@dataclass(frozen=True)
class Checked:
    """One side's answer to one row, by the fast path, by the libraries and by the libraries in float32."""

    row: int
    tuned: bool
    fast: str
    own: str
    exact: str
    fast_error: float
    """Of labels: how far the log-odds of the first two are from those in float32. Of a text: how far, in float32,
    the worst of its tokens is below the best one in the same place. In nats."""
    own_error: float
    margin: float
    """In float32, by how much the best label, or the closest of the exact text's tokens, is above the second."""


def open_plain(pair: Pair, folder: Path) -> Plain:
    """Open them; takes the memory of as many more models where the pair does not compute in float32.

    Args:
        pair: what `open_pair` gave for `folder`: its files are known to be safe.
        folder: of the adapter or the whole model.
    """
    import torch

    own = _opened(pair, folder)
    if own.tuned.dtype == torch.float32:
        return Plain(own, own)
    exact = _opened(pair, folder)
    for model in filter(None, (exact.base, exact.tuned)):
        for module in model.float().modules():
            if (packed := getattr(getattr(module, "weight", None), "quant_state", None)) is not None:
                module.compute_dtype = packed.dtype = torch.float32
    return Plain(own, exact)


@one_at_a_time()
def _opened(pair: Pair, folder: Path) -> Sides:
    from peft import PeftModel

    loaded = load(pair.base, kind=pair.kind, precision=pair.precision, task=pair.task)
    if not pair.is_whole:
        return Sides(PeftModel.from_pretrained(loaded.model, str(folder), local_files_only=True).eval())
    options = {"dtype": loaded.model.dtype, "local_files_only": True, "trust_remote_code": False}
    kind: Any = type(loaded.model)
    tuned = kind.from_pretrained(folder, use_safetensors=True, **options)
    return Sides(tuned.eval().to(loaded.model.device), loaded.model)


def check(pair: Pair, plain: Plain, texts: Sequence[str], *, max_new_tokens: int = 64) -> Iterator[Checked]:
    """Both sides' answers to each of `texts`, first the base's; the pair answers in batches of its own.

    Args:
        pair: of kind `causal`.
        plain: what `open_plain` gave for it.
        texts: inputs of its task.
        max_new_tokens: where a generated answer is cut off.
    """
    if pair.task.is_classification:
        return _check_labels(pair, plain, texts)
    return _check_texts(pair, plain, texts, max_new_tokens)


def _check_labels(pair: Pair, plain: Plain, texts: Sequence[str]) -> Iterator[Checked]:
    assert pair.prompter is not None
    names = pair.task.labels
    labels = pair.prompter.encode_labels(names)
    for row, (text, fast) in enumerate(zip(texts, score_labels(pair, texts), strict=True)):
        prompt = pair.prompter.encode_prompt(text)
        for tuned in (False, True):
            ours = fast.tuned if tuned else fast.base
            own = [math.fsum(_look(plain.own, prompt, label, tuned).chosen) for label in labels]
            exact = own
            if plain.exact is not plain.own:
                exact = [math.fsum(_look(plain.exact, prompt, label, tuned).chosen) for label in labels]
            best, second = sorted(exact, reverse=True)[:2]
            yield Checked(
                row=row,
                tuned=tuned,
                fast=names[ours.index(max(ours))],
                own=names[own.index(max(own))],
                exact=names[exact.index(max(exact))],
                fast_error=abs(ours[0] - ours[1] - exact[0] + exact[1]),
                own_error=abs(own[0] - own[1] - exact[0] + exact[1]),
                margin=best - second,
            )


def _check_texts(pair: Pair, plain: Plain, texts: Sequence[str], max_new_tokens: int) -> Iterator[Checked]:
    assert pair.prompter is not None
    ends = sorted(end_tokens(plain.own.tuned, pair.tokenizer))

    def text_of(tokens: list[int]) -> str:
        return str(pair.tokenizer.decode(tokens, skip_special_tokens=True)).rstrip("\ufffd")

    for row, both in enumerate(answer_batch(pair, texts, max_new_tokens=max_new_tokens)):
        prompt = pair.prompter.encode_prompt(texts[row])
        for tuned, ours in ((False, both.base), (True, both.tuned)):
            own = _generated(plain.own, prompt, ends, max_new_tokens, tuned)
            exact = own
            if plain.exact is not plain.own:
                exact = _generated(plain.exact, prompt, ends, max_new_tokens, tuned)
            said = [*ours.token_ids, *ends[:1] * ours.finished]
            # They mostly say the same, which is looked at once.
            looks = {one: _look(plain.exact, prompt, one, tuned) for one in {tuple(said), tuple(own), tuple(exact)}}
            yield Checked(
                row=row,
                tuned=tuned,
                fast=ours.text,
                own=text_of(own),
                exact=text_of(exact),
                fast_error=looks[tuple(said)].worst,
                own_error=looks[tuple(own)].worst,
                margin=looks[tuple(exact)].closest,
            )


@dataclass(frozen=True)
class _Look:
    """Log-probabilities at every token of a continuation: of the token itself, of the best and of the second."""

    chosen: list[float]
    best: list[float]
    second: list[float]

    @property
    def worst(self) -> float:
        return max((best - chosen for best, chosen in zip(self.best, self.chosen, strict=True)), default=0.0)

    @property
    def closest(self) -> float:
        return min((best - second for best, second in zip(self.best, self.second, strict=True)), default=math.inf)


def _look(sides: Sides, prompt: list[int], said: Sequence[int], tuned: bool) -> _Look:
    import torch

    ids = torch.tensor([[*prompt, *said]], device=sides.tuned.device)
    with torch.inference_mode(), sides.side(tuned) as model:
        logits = model(input_ids=ids, logits_to_keep=len(said) + 1, use_cache=False).logits[0, :-1]
    log_probs = logits.double().log_softmax(-1)
    best, second = log_probs.topk(2, dim=-1).values.unbind(-1)
    chosen = log_probs.gather(1, ids[0, len(prompt) :, None])[:, 0]
    return _Look(chosen.tolist(), best.tolist(), second.tolist())


def _generated(sides: Sides, prompt: list[int], ends: list[int], max_new_tokens: int, tuned: bool) -> list[int]:
    """The libraries' own greedy answer, the token that ends it included."""
    import torch

    ids = torch.tensor([prompt], device=sides.tuned.device)
    with torch.inference_mode(), sides.side(tuned) as model:
        tokens: Any = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
    return [int(token) for token in tokens[0, len(prompt) :]]

"""Part `chat`: a turn of both sides in one batch, over one side alone and over one after the other."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.chat import Turn, generate, open_endless, prompt, together, two_calls
from benchmarks.gpu import shapes
from benchmarks.gpu.findings import Findings
from benchmarks.results import in_turns, median
from models.adapters import BASE, TUNED
from models.pair import Pair

PART = "chat"
TOKENS = 12
RUNS = 2


def measure(findings: Findings, *, tiny: bool = False) -> None:
    """Ask an adapter over SmolLM2's shape, in 4 bit and not."""
    from finetuning.recipe import load_recipe

    shape = shapes.TINY if tiny else "SmolLM2-135M"
    with shapes.base_of(shape) as base, TemporaryDirectory() as folder:
        for name in ("sentiment-smollm2-lora", "dialogue-smollm2-qlora"):
            recipe = load_recipe(name, [f"model.base={base}"])
            adapter = shapes.make_adapter(Path(folder) / name, recipe)
            ask(findings, PART, adapter, tokens=8 if tiny else TOKENS)


def ask(findings: Findings, part: str, adapter: Path, *, tokens: int, runs: int = RUNS) -> None:
    """Time every way with `adapter`; no token ends an answer."""
    pair = open_endless(adapter)
    ways = {
        "base alone": partial(one_side, pair, False, tokens),
        "tuned alone": partial(one_side, pair, True, tokens),
        "ours, both in one batch": partial(together, pair, tokens),
        "`generate` with `adapter_names`, both in one batch": partial(generate, pair, [BASE, TUNED], tokens),
        "`generate`, one side after the other": partial(two_calls, pair, tokens),
    }
    for way in ways.values():
        way()
    turns = in_turns(ways, runs)
    alone = median(turn.seconds for turn in turns["tuned alone"])
    for name, each in turns.items():
        seconds, first = median(turn.seconds for turn in each), median(turn.first_token_s for turn in each)
        streamed = {"first_token_ms": 1000 * first} if math.isfinite(first) else {}
        findings.add(
            part,
            f"A chat turn of {tokens} tokens a side after a prompt of {len(prompt(pair))}, {pair.precision}",
            what=name,
            s=seconds,
            tokens_per_s_a_side=tokens / seconds,
            time_over_tuned_alone=seconds / alone,
            **streamed,
        )


def one_side(pair: Pair, tuned: bool, tokens: int) -> Turn:
    """What a user would write to ask one side: the adapter is on for the whole call, or off."""
    import torch

    started, ids = time.perf_counter(), prompt(pair)
    with torch.inference_mode(), pair.side(tuned) as model:
        pad = pair.tokenizer.pad_token_id
        rows = model.generate(**pair.batch([ids]), max_new_tokens=tokens, do_sample=False, pad_token_id=pad)
    answer = rows[0, len(ids) :].tolist()
    return Turn([answer], [len(answer)], time.perf_counter() - started, float("nan"))

"""python -m benchmarks.chat: a chat turn of both sides in one batch against the two sides one after the other.

First checks that both ways give the same tokens in float32, then times them in turns in the precision that the
chat uses here, and prints medians and the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from models.adapters import BASE, TUNED
from models.pair import Pair, open_pair

BUNDLED = Path(__file__).resolve().parent.parent / "models" / "bundled"
TEXT = (
    "Nadia: Did you book the room for Thursday?\nOmar: It was taken, so I asked for the small one.\n"
    "Nadia: We are nine people.\nOmar: Then I will ask Priya to swap with us.\nNadia: Please do it today."
)


def generate(pair: Pair, names: list[str], tokens: int) -> list[list[int]]:
    """Exactly `tokens` greedy tokens for each side in `names`, in one call."""
    import torch

    assert pair.prompter is not None
    prompt = pair.prompter.encode_prompt(TEXT)
    with torch.inference_mode():
        rows = pair.model.generate(
            **pair.batch([prompt] * len(names)),
            adapter_names=names,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=pair.tokenizer.pad_token_id,
        )
    answers: list[list[int]] = rows[:, len(prompt) :].tolist()
    return answers


def together(pair: Pair, tokens: int) -> list[list[int]]:
    """Both sides in one batch."""
    return generate(pair, [BASE, TUNED], tokens)


def apart(pair: Pair, tokens: int) -> list[list[int]]:
    """One side after the other."""
    return [generate(pair, [name], tokens)[0] for name in (BASE, TUNED)]


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", type=Path, default=BUNDLED / "sentiment-smollm2-lora")
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    pair = open_pair(arguments.adapter)
    tokens = arguments.tokens

    pair.model.float()
    assert together(pair, tokens) == apart(pair, tokens), "one batch and two calls disagree in float32"
    pair = open_pair(arguments.adapter)
    together(pair, 4), apart(pair, 4)  # warm up
    seconds: dict[str, list[float]] = {"together": [], "apart": []}
    for _ in range(arguments.runs):
        for name, way in (("together", together), ("apart", apart)):
            started = time.perf_counter()
            way(pair, tokens)
            seconds[name].append(time.perf_counter() - started)
    one, two = (statistics.median(seconds[name]) for name in ("together", "apart"))
    print(f"{tokens} tokens a side, {pair.base.describe()}, {pair.precision}, medians of {arguments.runs}:")
    print(f"  both in one batch     {one:.2f} s   {tokens / one:.1f} tokens/s a side")
    print(f"  one after the other   {two:.2f} s")
    print(f"  ratio                 {one / two:.2f}")


if __name__ == "__main__":
    main()

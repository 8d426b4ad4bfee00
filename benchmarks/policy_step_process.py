"""python -m benchmarks.policy_step_process SIDE: the parts of a step of policy optimisation, timed, as JSON.

SIDE is `ours`, or `trl` for what TRL's `GRPOTrainer` calls as it comes; `check` compares what both compute. Model,
adapter, prompts, completions and the loss are the same for both. What a step has beside these parts, the rewards
and the optimizer, takes no time to speak of.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

PROMPTS, ANSWERS, WRITTEN = 4, 6, 34
"""Dialogues, completions of each, and tokens of a completion."""
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
SAMPLING, REFERENCE, LEARNING = "sampling", "log-probabilities of the reference", "loss and backward"
PARTS = (SAMPLING, REFERENCE, LEARNING)


@dataclass(frozen=True)
class Measured:
    """What one process saw."""

    seconds: dict[str, list[float]]
    """Of each of `PARTS`, once a step; one step before them is not counted."""
    prompt_tokens: list[int]
    precision: str


@dataclass(frozen=True)
class Agreement:
    """How far apart both sides are on the same completions."""

    log_probs: float
    """The largest difference of two log-probabilities of the same token."""
    gradients: float
    """The largest difference of a weight's gradients, as a share of their norm."""


class Prepared:
    """A model with an adapter, prompts, and completions that it has written."""

    def __init__(self, base: str = BASE, precision: str = "auto") -> None:
        """
        Args:
            base: of a causal model.
            precision: in which it computes, as in a recipe.
        """
        from finetuning.preparation import open_data
        from finetuning.recipe import load_recipe
        from models import loading
        from models.prompting import Prompter
        from models.sampling import sample
        from models.sources import resolve

        recipe = load_recipe("dialogue-smollm2-qlora", ["strategy=lora", f"model.precision={precision}"])
        loaded = loading.load(resolve(base), precision=recipe.model.precision)
        self.tokenizer, self.precision = loaded.tokenizer, loaded.precision
        task = recipe.task_definition
        prompter = Prompter(self.tokenizer, task)
        rows = open_data(recipe).splits["train"].select(range(PROMPTS))
        self.prompts = [prompter.encode_prompt(task.input_of(row)) for row in rows]
        self.model: Any = recipe.apply_strategy(loaded.model)
        drawn = torch.Generator().manual_seed(1)
        for name, parameter in self.model.named_parameters():
            if "lora_B" in name:  # as if it had learned something: B begins at 0, where A gets no gradient
                parameter.data += 0.02 * torch.randn(parameter.shape, generator=drawn).to(parameter)
        self.rows = [prompt for prompt in self.prompts for _ in range(ANSWERS)]
        written = sample(self.model, self.prompts, ANSWERS, ends=set(), max_new_tokens=WRITTEN, generator=drawn)
        self.completions = [row for rows in written for row in rows]
        self.advantages = torch.randn(len(self.rows), generator=drawn).repeat_interleave(WRITTEN)

    def loss(self, log_probs: Tensor) -> Tensor:
        """GRPO's, of all tokens' log-probabilities, where they are those of the model that wrote them."""
        return -(torch.exp(log_probs - log_probs.detach()) * self.advantages).mean()


class Side(Protocol):
    """Who computes the parts of a step."""

    def sample(self) -> object:
        """Write `ANSWERS` completions of `WRITTEN` tokens to each prompt."""

    def log_probs(self) -> Tensor:
        """Of all tokens of the completions, one completion after the other."""


class Ours:
    """The parts by `models.sampling` and `models.fast.groups`."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared, self._generator = prepared, torch.Generator().manual_seed(1)

    def sample(self) -> object:
        from models.sampling import sample

        of, drawn = self._prepared, self._generator
        return sample(of.model, of.prompts, ANSWERS, ends=set(), max_new_tokens=WRITTEN, generator=drawn)

    def log_probs(self) -> Tensor:
        from models.fast.groups import completion_log_probs

        of = self._prepared
        found = completion_log_probs(of.model, of.rows, of.completions, entropy=True)
        assert found is not None
        return torch.cat(found.log_probs)


class Trl:
    """The parts as TRL's trainer calls them."""

    def __init__(self, prepared: Prepared, folder: str) -> None:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer
        from trl.trainer.utils import pad

        def no_reward(completions: list[Any], **_: Any) -> list[float | None]:
            return [0.0] * len(completions)

        self._prepared = prepared
        self._trainer: Any = GRPOTrainer(
            model=prepared.model,
            reward_funcs=no_reward,
            args=GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=len(prepared.rows),
                num_generations=ANSWERS,
                max_completion_length=WRITTEN,
                generation_kwargs={"min_new_tokens": WRITTEN},
                gradient_checkpointing=False,  # as ours; with it TRL computes every layer twice
                bf16=False,
                report_to="none",
            ),
            train_dataset=Dataset.from_list([{"prompt": str(number)} for number in range(PROMPTS)]),
            processing_class=prepared.tokenizer,
        )

        def padded(rows: list[Tensor], side: str) -> Tensor:
            return pad(rows, padding_value=0, padding_side=side)

        sides = ((prepared.rows, "left"), (prepared.completions, "right"))
        self._ids = torch.cat([padded([torch.tensor(row) for row in rows], side) for rows, side in sides], dim=1)
        ones = [([torch.ones(len(row), dtype=torch.long) for row in rows], side) for rows, side in sides]
        self._mask = torch.cat([padded(*each) for each in ones], dim=1)

    def sample(self) -> object:
        return self._trainer._generate_single_turn(self._prepared.rows, None, {}, ANSWERS)

    def log_probs(self) -> Tensor:
        found, _, _ = self._trainer._get_per_token_logps_and_entropies(
            self._prepared.model, self._ids, self._mask, WRITTEN, compute_entropy=True
        )
        return found.flatten()  # type: ignore[no-any-return]


def measure(side: Side, prepared: Prepared, steps: int) -> Measured:
    """Time `steps` steps of a side, after one that warms up."""
    model, seconds = prepared.model, dict[str, list[float]]()

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds.setdefault(part, []).append(time.perf_counter() - started)

    for _ in range(1 + steps):
        with timed(SAMPLING):
            side.sample()
        with timed(REFERENCE), torch.no_grad(), model.disable_adapter():
            side.log_probs()
        with timed(LEARNING):
            prepared.loss(side.log_probs()).backward()
        model.zero_grad()
    counted = {part: values[1:] for part, values in seconds.items()}
    return Measured(counted, [len(prompt) for prompt in prepared.prompts], prepared.precision)


def compare(prepared: Prepared, folder: str) -> Agreement:
    """What both sides make of the same completions."""
    model, found = prepared.model, list[tuple[Tensor, dict[str, Tensor]]]()
    for side in (Ours(prepared), Trl(prepared, folder)):
        log_probs = side.log_probs()
        model.zero_grad()
        prepared.loss(log_probs).backward()
        own = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
        found.append((log_probs.detach(), own))
    model.zero_grad()
    (ours, own), (theirs, expected) = found
    assert set(own) == set(expected)
    shares = [float((own[name] - value).norm() / value.norm()) for name, value in expected.items()]
    return Agreement(float((ours - theirs).abs().max()), max(shares))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["ours", "trl", "check"])
    parser.add_argument("--steps", type=int, default=3, help="timed ones; one before them is not")
    parser.add_argument("--base", default=BASE, help="a model, by its name or folder")
    options = parser.parse_args()
    # Rounded to bfloat16 two ways of computing the same differ by more than a fault would.
    prepared = Prepared(options.base, "float32" if options.side == "check" else "auto")
    with tempfile.TemporaryDirectory() as folder:
        if options.side == "check":
            print(json.dumps(dataclasses.asdict(compare(prepared, folder))))
            return
        side = Ours(prepared) if options.side == "ours" else Trl(prepared, folder)
        print(json.dumps(dataclasses.asdict(measure(side, prepared, options.steps))))


if __name__ == "__main__":
    main()

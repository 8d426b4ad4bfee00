"""Policy optimisation: a model writes answers, is told what each is worth, and writes the better ones more often.

In TRL there is no PPO any more; GRPO and RLOO stand for it. Both draw several answers to each prompt, and what one
is worth is measured against the others to the same prompt, where PPO has a second network say what was to be
expected. The KL term holds the model to what it was before its first step: the base, or the adapter that it goes on
with (`model.adapter`), which in InstructGPT's three steps is the supervised start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from finetuning.rewards import REWARDS, AnyReward, Reward
from finetuning.rewards.rouge import Rouge
from finetuning.strategies.strategy import ModelKind
from finetuning.ways.way import Sampling, Way
from plumbing import doors

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.online import Online as OnlineTrainer
    from models.prompting import PromptContract, Prompter


_FEWEST_STEPS = 8
_MOSTLY = 0.5
"""Of the groups of the last quarter of the steps."""


class Online(Way):
    """Prompts, answers of the model's own, and rewards."""

    kind: Literal["online"] = "online"
    algorithm: Literal["grpo", "rloo"] = "grpo"
    """grpo: an answer's advantage is its reward less its group's mean, over their spread, and the KL term is part
    of the loss. rloo: its reward less the mean of the others', and the KL term is taken off the reward."""
    rewards: Annotated[list[AnyReward], Field(min_length=1, max_length=8)] = Field(
        default_factory=lambda: list[Reward]([Rouge()])
    )
    """What an answer is worth: the sum of these, each times its weight. Each has a name and settings, see
    `finetuning/rewards`: rouge, exact, length, format; and run, a reward model's."""
    num_generations: Annotated[int, Field(ge=2, le=64)] = 6
    """Answers to each prompt, a group. A step has training.batch_size times as many, for each of
    training.gradient_accumulation passes."""
    num_iterations: Annotated[int, Field(ge=1, le=8)] = 1
    """Steps on the same answers. From the second on the policy is no longer the one that wrote them, and `epsilon`
    begins to matter."""
    temperature: Annotated[float, Field(gt=0, le=5)] = 1.0
    """At which answers are drawn. Where all answers of a group are alike, there is nothing to learn from them."""
    max_new_tokens: Annotated[int, Field(ge=1, le=2048)] = 64
    """Where an answer is cut off that is learned from, in tokens. Of those that are judged at the end,
    evaluation.max_new_tokens says so."""
    beta: Annotated[float, Field(ge=0, le=10)] = 0.04
    """The weight of the KL divergence from what the model was before its first step. 0 does without, and measures
    none."""
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """How far from 1 a probability's ratio to what it was when the answer was written still counts: of a token with
    grpo, of a whole answer with rloo."""

    model_kind: ClassVar[ModelKind] = "causal"
    writes: ClassVar[bool] = True
    pipeline: ClassVar[str] = "text-generation"
    title: ClassVar[str] = "policy optimisation"
    marked: ClassVar[str] = (
        "One prompt as the model sees it. What it learns from is not there yet: it writes several answers, and "
        "learns from what each is worth."
    )
    in_processes: ClassVar[bool] = False
    loss_tells: ClassVar[bool] = False
    loss_unit: ClassVar[str] = ""
    validated: ClassVar[str] = "validation loss, minus the mean reward,"
    curves: ClassVar[tuple[str, ...]] = (
        "reward",
        *(f"reward_{name}" for name in REWARDS),
        "metric",
        "kl_a_token",
        "answer_tokens",
        "flat_groups",
        "clip_ratio",
        "cut_off",
        "entropy",
    )
    """reward and reward_NAME are means over a step's answers, the latter before their weights; of validation rows
    reward and the task's metric are measured. kl_a_token is in nats; rloo's estimate may be below 0. flat_groups is
    the share of groups whose answers are all worth the same, clip_ratio that of tokens (rloo: of answers) whose
    ratio is beyond epsilon, cut_off that of answers without an end."""

    @field_validator("rewards")
    @classmethod
    def _each_once(cls, rewards: list[AnyReward]) -> list[AnyReward]:
        names = [one.name for one in rewards]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} stands there twice; give it once, with the weight of both")
        if all(one.weight == 0 for one in rewards):
            raise ValueError("every weight is 0, so all answers are worth the same")
        return rewards

    def amiss(self, steps: Sequence[Mapping[str, Any]], learning_rate: float) -> str:
        last = [line["flat_groups"] for line in steps[-max(1, len(steps) // 4) :] if "flat_groups" in line]
        if not last or len(steps) < _FEWEST_STEPS or (flat := fmean(last)) <= _MOSTLY:
            return ""
        return (
            f"Over the last {len(last)} steps {flat:.0%} of the prompts taught nothing: all {self.num_generations} "
            "answers to them were worth the same, as where a model has come to write one answer whatever is drawn. "
            f"A lower rate ({doors.named(doors.LEARNING_RATE)} was {learning_rate:g}), a higher way.temperature or "
            "way.beta keeps answers apart."
        )

    @property
    def sampling(self) -> Sampling:
        by_itself = self.algorithm == "rloo" or self.num_iterations > 1
        return Sampling(
            answers=self.num_generations,
            passes=self.num_iterations,
            reads=bool(self.beta) + by_itself + len(self.runs),
            has_reference=self.beta > 0,
            new_tokens=self.max_new_tokens,
        )

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(run for one in self.rewards for run in one.runs)

    def refused(self, task: Task) -> str | None:
        if task.kind == "text":
            return "raw text asks nothing that could be answered; way: text learns it"
        return next((why for one in self.rewards if (why := one.refused(task))), None)

    def require(self, task: Task, runs: Path) -> None:
        for one in self.rewards:
            one.require(task, runs)

    def about(self) -> str:
        worth = ", ".join(f"{one.name} ({one.weight:g})" for one in self.rewards)
        return (
            f"it learned from answers of its own by {self.algorithm.upper()}, {self.num_generations} to a prompt, "
            f"by what they were worth: {worth}"
        )

    def contract(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
        return self.prompter(tokenizer, task).contract

    def prompter(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> Prompter:
        from models.prompting import Prompter

        return Prompter(tokenizer, task)

    def encode(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        task: Task,
        *,
        limit: int | None = None,
    ) -> Dataset:
        from finetuning.preparation import encode_prompts

        most = recipe.training.max_tokens
        return encode_prompts(rows, self.prompter(tokenizer, task), most, room=self.max_new_tokens, limit=limit)

    def lengths(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> tuple[list[int], list[int], int]:
        """Of answers: those of the rows, which the model's own are taken to be like; none is written yet."""
        from models.prefix import shared_start

        encoded = self.prompter(tokenizer, task).encode_rows(rows)
        starts = [example.answer_start for example in encoded]
        shared = shared_start([one.input_ids[: one.answer_start] for one in encoded]) if encoded else []
        answers = [min(self.max_new_tokens, len(one.input_ids) - one.answer_start) for one in encoded]
        return starts, answers, len(shared)

    def preview(
        self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[str, bool]]:
        """The prompt: what is learned is not written yet."""
        ids = self.prompter(tokenizer, task).encode_prompt(task.input_of(row))
        return [(str(tokenizer.decode([token])), False) for token in ids]

    def task_metric(self, rows: Dataset, tokenizer: PreTrainedTokenizerBase, recipe: Recipe, task: Task) -> None:
        """Its trainer measures it, of the answers that it rewards."""

    def trainer(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset,
        output: str,
        callbacks: list[TrainerCallback],
        validation: Dataset | None = None,
    ) -> OnlineTrainer:
        from finetuning.trainers.online import Policy, Rewarding, online_trainer

        task, runs = recipe.task_definition, Path(output).parent.parent
        policy = Policy(
            algorithm=self.algorithm,
            rewards=[Rewarding(one.name, one.weight, one.scorer(task, tokenizer, runs)) for one in self.rewards],
            num_generations=self.num_generations,
            num_iterations=self.num_iterations,
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            beta=self.beta,
            epsilon=self.epsilon,
        )
        return online_trainer(recipe, policy, model, tokenizer, train, output, callbacks, validation)

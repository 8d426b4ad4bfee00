"""Policy optimisation: TRL's `GRPOTrainer` and `RLOOTrainer`, on prompts, answers and rewards of ours.

PPO is no longer in TRL. Both of these do its work without a critic: what an answer is worth is measured against the
other answers to the same prompt. GRPO: Shao et al. 2024, https://arxiv.org/abs/2402.03300. RLOO: Ahmadian et al.
2024, https://arxiv.org/abs/2402.14740.

The loss, the advantages and the KL term are TRL's. Ours are the tokens of a prompt, which no template touches
again; what ends an answer; how answers are drawn (`models.sampling`) and how probable they are
(`models.fast.groups`: by hand on a processor, where TRL computes a prompt as often as it has answers); what the
policy is held to (`held_reference`); rewards that have to be numbers; and what a run needs to go on as if it had
not stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import torch
from datasets import Dataset
from peft import PeftModel
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from data.tasks import Task
from eval.scores import row_scores
from finetuning.recipe import Recipe
from finetuning.rewards import Answered
from finetuning.rewards.reward import Scorer
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.groups import GroupSampler
from finetuning.trainers.held_reference import Reference
from finetuning.trainers.tuning import Tuning, without_adapter_wrapper
from models.fast.groups import completion_log_probs
from models.sampling import sample
from models.stepping import end_tokens
from plumbing.errors import RunError

SAMPLES_FILE = "samples.pt"
"""Of a checkpoint between two steps on the same answers: these answers."""
_AT_ONCE = 64
"""Validation rows that are answered between two looks whether to stop."""
_NAMES = {
    "completions/mean_length": "answer_tokens",
    "completions/clipped_ratio": "cut_off",
    "clip_ratio/region_mean": "clip_ratio",
    "kl": "kl_a_token",
}
"""What TRL measures → what it is called here."""


@dataclass(frozen=True)
class Rewarding:
    """A reward that is ready to be given."""

    name: str
    weight: float
    score: Scorer


@dataclass(frozen=True)
class Policy:
    """How a policy is optimised: the settings of `finetuning/ways/online.py`, where each is explained."""

    algorithm: Literal["grpo", "rloo"]
    rewards: Sequence[Rewarding]
    num_generations: int
    num_iterations: int
    temperature: float
    max_new_tokens: int
    beta: float
    epsilon: float


class Online(Tuning):
    """Mixed into TRL's trainers of sampled answers. Rows have `input_ids`, `asked` and `references`."""

    beta: float
    eos_token_ids: list[int]
    max_completion_length: Any
    num_generations: Any
    processing_class: Any
    ref_model: Any
    reward_weights: torch.Tensor
    temperature: float
    _buffered_inputs: Any
    _metrics: Any
    _step: int

    def __init__(
        self, *, rewards: Sequence[Rewarding], task: Task, beta: float, continued: bool, **options: Any
    ) -> None:
        """Args:
        rewards: of which an answer's is the weighted sum.
        task: of the rows.
        beta: the weight of the KL term.
        continued: whether the model began with an adapter that was trained before.
        options: TRL's.
        """
        self._rewards, self._task = rewards, task
        self._tokens_before: int | None = None
        super().__init__(reward_funcs=[self._function(one) for one in rewards], **options)
        if isinstance(self.model, PeftModel) and "ref" in self.model.peft_config:
            self.model.delete_adapter("ref")  # RLOO's, whatever its beta
        self.eos_token_ids = sorted(end_tokens(without_adapter_wrapper(self.model), self.processing_class))
        self.beta = self.args.beta = beta
        if beta:
            self.ref_model = Reference.of(self.model, Path(self.args.output_dir), continued=continued)

    def train(self, *given: Any, **more: Any) -> Any:
        """As `Trainer.train`.

        Raises:
            RunError: no answer was ever worth more than another one to the same prompt.
        """
        result = super().train(*given, **more)  # type: ignore[misc]
        flat = [line["flat_groups"] for line in self.state.log_history if "flat_groups" in line]
        if self.state.global_step >= self.state.max_steps and flat and min(flat) == 1:
            raise RunError(
                "All answers to each prompt were worth the same in every step, so there was nothing to learn",
                got=f"{len(flat)} steps",
                fix="Raise way.temperature or way.num_generations, or give a reward that tells the answers of this "
                "model apart: begin with an adapter that has some right (model.adapter).",
            )
        return result

    # ---- answers ----

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        return GroupSampler(
            [len(ids) for ids in rows["input_ids"]],
            self.args.generation_batch_size // self.num_generations,
            copies=self.num_generations,
            times=self.args.num_iterations * self.args.steps_per_generation,
            seed=self.args.seed,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if self._tokens_before is None:
            self._tokens_before = self.state.num_input_tokens_seen
        rows = [row | {"prompt": row["input_ids"]} for row in inputs]
        return super()._generate_and_score_completions(rows)  # type: ignore[misc, no-any-return]

    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """They are tokens already."""
        return prompts, None, {}

    def _drawn(self, prompts: list[list[int]]) -> list[list[int]]:
        """An answer to each of `prompts`, in which each stands as often as a group is large.

        What is drawn depends on the seed and on the step, so that a run which goes on draws as it would have.
        """
        generator = torch.Generator().manual_seed(self.args.seed * 2**31 + self._step)
        groups = sample(
            self.model,
            prompts[:: self.num_generations],
            self.num_generations,
            ends=set(self.eos_token_ids),
            max_new_tokens=self.max_completion_length,
            generator=generator,
            temperature=self.temperature,
        )
        return [answer for group in groups for answer in group]

    def _text(self, tokens: Sequence[int]) -> str:
        """An answer as a person reads it."""
        kept = [token for token in tokens if token not in self.eos_token_ids]
        return str(self.processing_class.decode(kept, skip_special_tokens=True)).rstrip("\ufffd").strip()

    # ---- how probable they are ----

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **more: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probabilities of each answer's tokens, and the entropies where they stand, [rows, T] each.

        Args:
            model: the one that learns, or its reference.
            input_ids: prompts padded on the left, and T tokens of answers padded on the right.
            attention_mask: 1 for a token.
            logits_to_keep: T.
            batch_size: rows at once, for the model's own modules.
            compute_entropy: whether entropies are wanted.
            compute_aux_loss: whether a router's loss is; only a model's own modules give one.
            more: images, of which there are none.
        """
        given = (input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss)
        if isinstance(model, Reference):
            with model.in_place():
                return self._get_per_token_logps_and_entropies(self.model, *given, **more)
        scored = None
        if not compute_aux_loss:
            start = input_ids.shape[1] - logits_to_keep
            prompts = _rows(input_ids[:, :start], attention_mask[:, :start])
            answers = _rows(input_ids[:, start:], attention_mask[:, start:])
            scored = completion_log_probs(
                self.model, prompts, answers, temperature=self.temperature, entropy=compute_entropy
            )
        if scored is None:
            return super()._get_per_token_logps_and_entropies(model, *given, **more)  # type: ignore[misc, no-any-return]
        entropies = None if scored.entropies is None else _side_by_side(scored.entropies, logits_to_keep)
        return _side_by_side(scored.log_probs, logits_to_keep), entropies, None

    # ---- what they are worth ----

    def _function(self, one: Rewarding) -> Any:
        """A reward as TRL calls it."""

        def reward(
            completion_ids: list[list[int]], asked: list[str], references: list[list[str]], **_: Any
        ) -> list[float]:
            texts = [self._text(tokens) for tokens in completion_ids]
            return _given(one, texts, asked, references)

        reward.__name__ = one.name
        return reward

    def _calculate_rewards(self, *given: Any) -> torch.Tensor:
        """Every reward of each answer, [rows, rewards]; notes how many groups have no spread.

        TRL counts those once RLOO has taken the KL term off, and takes rounding for a spread.
        """
        rewards: torch.Tensor = super()._calculate_rewards(*given)  # type: ignore[misc]
        groups = (rewards * self.reward_weights.to(rewards.device)).sum(dim=1).view(-1, self.num_generations)
        flat = (groups == groups[:, :1]).all(dim=1)
        self._metrics["train"]["flat_groups"].append(flat.float().mean().item())
        return rewards

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """What greedy answers to the validation rows are worth, and what the task's metric says of them.

        `eval_loss`, which the best step is chosen by, is minus the mean reward: there is no other loss that tells
        one step from another, for the policy's own is about 0 whatever it has learned. Answers are the most
        probable ones, as they are when the run is judged, so that no random number is drawn.
        """
        model, trained, rows = self.model, self.model.training, self.eval_dataset
        model.eval()
        try:
            texts: list[str] = []
            for at in range(0, len(rows), _AT_ONCE):
                texts += self._greedy(rows[at : at + _AT_ONCE]["input_ids"])
                self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
            references = rows["references"][:]
            rewards = {one.name: fmean(_given(one, texts, rows["asked"], references)) for one in self._rewards}
            reward = sum(one.weight * rewards[one.name] for one in self._rewards)
            metrics = {
                "eval_loss": -reward,
                "eval_reward": reward,
                "eval_metric": fmean(row_scores(texts, references, self._task)),
            }
            self.log(dict(metrics))
        finally:
            model.train(trained)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _greedy(self, prompts: list[list[int]]) -> list[str]:
        answers = sample(
            self.model,
            prompts,
            1,
            ends=set(self.eos_token_ids),
            max_new_tokens=self.max_completion_length,
            generator=torch.Generator(),
            temperature=0.0,
        )
        return [self._text(answer) for (answer,) in answers]

    # ---- what is written down ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With TRL's measurements, by our names."""
        measured = self._metrics["train" if self.model.training else "eval"]
        for name in list(measured):
            measured[_named(name)] = measured.pop(name)
        if self.model.training:  # those of this attempt, as other trainers have them
            seen = self.state.num_input_tokens_seen
            measured["num_tokens"] = [seen - (seen if self._tokens_before is None else self._tokens_before)]
        super().log(logs, start_time)  # type: ignore[misc]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        kept: dict[str, Any] = {"step": self._step}
        if self._step % (self.args.steps_per_generation * self.args.num_iterations):
            kept["inputs"] = self._buffered_inputs
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        torch.save(kept, folder / SAMPLES_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        kept = torch.load(Path(resume_from_checkpoint) / SAMPLES_FILE, weights_only=True)
        self._step, self._buffered_inputs = kept["step"], kept.get("inputs")


class GrpoTrainer(Online, GRPOTrainer):
    """`GRPOTrainer` as `Online` has it."""

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *_: Any, **__: Any
    ) -> tuple[list[list[int]], None]:
        return self._drawn(prompt_ids), None


class RlooTrainer(Online, RLOOTrainer):
    """`RLOOTrainer` as `Online` has it."""

    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> list[list[int]]:
        return self._drawn(prompt_ids)


_TRAINERS: dict[str, tuple[type[Online], Any]] = {
    "grpo": (GrpoTrainer, GRPOConfig),
    "rloo": (RlooTrainer, RLOOConfig),
}


def online_trainer(
    recipe: Recipe,
    policy: Policy,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
    validation: Dataset | None = None,
) -> Online:
    """A trainer for rows from `preparation.encode_prompts`, ready for `.train()`."""
    kind, arguments = _TRAINERS[policy.algorithm]
    settings = shared_arguments(recipe, output, len(train)) | {
        "per_device_train_batch_size": recipe.training.batch_size * policy.num_generations,
        "num_generations": policy.num_generations,
        "num_iterations": policy.num_iterations,
        "max_completion_length": policy.max_new_tokens,
        "temperature": policy.temperature,
        "epsilon": policy.epsilon,
        "beta": 0.0,  # TRL would make a reference of its own
        "reward_weights": [one.weight for one in policy.rewards],
    }
    return kind(
        rewards=policy.rewards,
        task=recipe.task_definition,
        beta=policy.beta,
        continued=recipe.model.adapter is not None,
        model=model,
        args=arguments(**settings),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def _given(
    one: Rewarding, texts: Sequence[str], asked: Sequence[str], references: Sequence[Sequence[str]]
) -> list[float]:
    """The reward of each answer.

    Raises:
        RunError: one is no number, or they are not one an answer.
    """
    rows = zip(asked, texts, references, strict=True)
    values = list(one.score([Answered(json.loads(given), text, own) for given, text, own in rows]))
    if len(values) != len(texts):
        raise RunError(f"The reward {one.name} gave {len(values)} numbers to {len(texts)} answers")
    for value, text in zip(values, texts, strict=True):
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise RunError(
                f"The reward {one.name} of an answer is not a number, so nothing can be learned from it",
                got=f"{value} for {text[:80]!r}",
                fix="Mend what gives that reward; the run can go on from its last checkpoint.",
            )
    return [float(value) for value in values]


def _rows(tokens: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """The tokens of each row without padding."""
    return [ids[kept.bool()].tolist() for ids, kept in zip(tokens, mask, strict=True)]


def _side_by_side(values: Sequence[torch.Tensor], width: int) -> torch.Tensor:
    """Rows of unlike length as one tensor of `width` columns, with zeros behind them."""
    together = pad_sequence(list(values), batch_first=True)
    return pad(together, (0, width - together.shape[1]))


def _named(measured: str) -> str:
    if measured.startswith("rewards/") and measured.endswith("/mean"):
        return f"reward_{measured.removeprefix('rewards/').removesuffix('/mean')}"
    return _NAMES.get(measured, measured)

"""What a way is: settings of its own, which model learns, from which rows and tokens, with which trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finetuning.loss_trend import rise
from finetuning.settings import Settings
from finetuning.strategies.strategy import ModelKind

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.tuning import Tuning
    from models.prompting import PromptContract, Prompter


@dataclass(frozen=True)
class Sampling:
    """What a model does that learns from answers of its own, beside learning from them."""

    answers: int
    """That it writes to each prompt."""
    passes: int
    """Optimizer steps on the same answers."""
    reads: int
    """Passes over each answer without gradients: of the reference, of itself before its step, of reward models."""
    has_reference: bool
    """Whether it is held to what it was before its first step."""
    new_tokens: int
    """Where an answer is cut off."""


class Way(Settings):
    """How a model learns. A subclass a file; nothing outside of that file asks which one it is."""

    kind: str
    """Its name in a recipe."""

    model_kind: ClassVar[ModelKind]
    """The kind of model that learns so, as it is loaded."""
    writes: ClassVar[bool]
    """Whether the model writes: it has a vocabulary to predict, and a prompt with an instruction and examples."""

    by_hand: ClassVar[bool] = True
    """Whether it goes through the layers that `models.fast` computes, where they compute the base's."""

    pipeline: ClassVar[str]
    """What the Hub calls the work of such a model."""

    shares_rows: ClassVar[bool] = False
    """Whether short rows share one, and long ones take several; see `packed`."""

    besides: ClassVar[tuple[str, ...]] = ()
    """The columns that a row has to have beside those of its task, see `data.sources.open_source`."""

    recipe: ClassVar[str] = ""
    """The recipe that ships for it: its model and settings are taken for rows that have what it needs `besides`."""
    title: ClassVar[str] = ""
    """What a run is called after that learns so; empty for the name of its strategy."""

    marked: ClassVar[str] = ""
    """What the tokens that `preview` marks are, in sentences; empty where the model learns to write them."""

    curves: ClassVar[tuple[str, ...]] = ()
    """What its trainer logs beside the loss and is drawn under it, by the names in the logs."""

    answers_a_row: ClassVar[int] = 1
    """Answers to a row's prompt that go through the model, prompt and all: two of a pair."""
    together: ClassVar[bool] = False
    """Whether rows with the same prompt go through the model together, so that it is computed once."""

    in_processes: ClassVar[bool] = True
    """Whether several processes can share its batches."""
    compares_rows: ClassVar[bool] = False
    """Whether its loss is of a batch as a whole, and no mean over its rows."""

    loss_tells: ClassVar[bool] = True
    """Whether its training loss falls where the model gets better."""
    loss_unit: ClassVar[str] = "nats a token"
    """What its loss is measured in; empty where that has no name."""
    validated: ClassVar[str] = "validation loss"
    """What the number is called by which the best step is chosen: the lower, the better."""

    @property
    def sampling(self) -> Sampling | None:
        """How it learns from answers of the model's own; None where it learns from those of its rows."""
        return None

    @property
    def more_passes(self) -> int:
        """Passes over a batch without gradients that a step takes beside its own."""
        return 0

    @property
    def passes_before(self) -> int:
        """Passes over all rows before the first step, to measure what the model finds them then."""
        return 0

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs that it reads."""
        return ()

    def require(self, task: Task, runs: Path) -> None:
        """Refuse what it names and is not there, before any row is read. Loads no weights.

        Args:
            task: the recipe's.
            runs: the folder of the runs.

        Raises:
            UserError: with what would do.
        """
        return

    def refused(self, task: Task) -> str | None:
        """Why a model cannot learn `task` so, and what can, in a sentence; None where it can."""
        raise NotImplementedError

    def does(self, task: Task) -> str:
        """What such a model does, in a sentence or two, for its card."""
        return task.learns

    def unfit(self, recipe: Recipe) -> str | None:
        """Why it does not go with other settings of `recipe`, and what would, in a sentence; None where it does."""
        return None

    def amiss(self, steps: Sequence[Mapping[str, Any]], learning_rate: float) -> str:
        """A sentence for the report where training clearly went wrong, by what was written down of each step.

        Args:
            steps: lines of the run's metrics, from the first.
            learning_rate: its peak, for the advice.
        """
        return rise([line["loss"] for line in steps], learning_rate)

    def about(self) -> str:
        """A sentence for a model's card: how it learned; empty where that is the usual way."""
        return ""

    def contract(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
        """Everything that decides how a row becomes tokens."""
        raise NotImplementedError

    def prompter(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> Prompter | None:
        """What renders and encodes the prompts; None where the model sees the bare text."""
        raise NotImplementedError

    def encode(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        task: Task,
        *,
        limit: int | None = None,
    ) -> Dataset:
        """Rows as `trainer` takes them.

        Args:
            rows: with the columns of `task`.
            tokenizer: the base's.
            recipe: says how long a row may be.
            task: with its labels, as its data has them.
            limit: how many tokens the base reads, if that is known.

        Raises:
            ProblemsError: rows are too long.
        """
        raise NotImplementedError

    def require_room(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        *,
        limit: int | None,
        new_tokens: int,
    ) -> None:
        """Refuse test rows that the base cannot read with their answers.

        Args:
            rows: with the columns of `task`.
            tokenizer: the base's.
            task: with its labels.
            limit: how many tokens the base reads, if that is known.
            new_tokens: of an answer that is generated.

        Raises:
            ProblemsError: with every row that is too long.
        """
        from models.context import require_room

        require_room(
            rows,
            prompter=self.prompter(tokenizer, task),
            tokenizer=tokenizer,
            column=task.input_column,
            limit=limit,
            labels=task.labels,
            new_tokens=new_tokens,
        )

    def lengths(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> tuple[list[int], list[int], int]:
        """Tokens of each row's prompt, of its answer, and how many all prompts begin with.

        A chat's are those of its last answer; raw text has no prompt, and all of it is answer.
        """
        raise NotImplementedError

    def learned(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[int] | None:
        """How many tokens of each row are learned; None where these are its answer."""
        return None

    def rows_of_tokens(self, rows: Sequence[Mapping[str, Any]], task: Task, longest: int) -> int:
        """About how many rows are trained on, for so many of a source; no tokenizer is asked."""
        return len(rows)

    def packed(self, lengths: Iterable[int], longest: int) -> list[list[int]]:
        """How rows of so many tokens share rows of at most `longest`: the lengths of those in each.

        They do not see each other, and nothing predicts the first token of any.
        """
        return [[length] for length in lengths]

    def preview(
        self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[str, bool]]:
        """A row as the model sees it: every token's text, and whether it is trained on."""
        raise NotImplementedError

    def task_metric(
        self, rows: Dataset, tokenizer: PreTrainedTokenizerBase, recipe: Recipe, task: Task
    ) -> Callable[[Any], float] | None:
        """What measures the metric of the verdict on some validation rows: of a model as it is at a step.

        None where its trainer measures it with the loss.
        """
        from data.samples import sample
        from eval.preferences import good_answers
        from finetuning.trainers.task_metric import ROWS, TaskMetric

        return TaskMetric(
            sample(good_answers(rows, task), ROWS, task),
            task,
            tokenizer,
            self.prompter(tokenizer, task),
            max_new_tokens=recipe.evaluation.max_new_tokens,
        )

    def trainer(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset,
        output: str,
        callbacks: list[TrainerCallback],
        validation: Dataset | None = None,
    ) -> Tuning:
        """A trainer of `model`, which a strategy has made ready, on rows that `encode` gave."""
        raise NotImplementedError

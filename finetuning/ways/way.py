"""What a way is: settings of its own, which model learns, from which rows and tokens, with which trainer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from finetuning.settings import Settings
from finetuning.strategies.strategy import ModelKind

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.tuning import Tuning
    from models.prompting import PromptContract, Prompter


class Way(Settings):
    """How a model learns. A subclass a file; nothing outside of that file asks which one it is."""

    kind: str
    """Its name in a recipe."""

    model_kind: ClassVar[ModelKind]
    """The kind of model that learns so, as it is loaded."""
    writes: ClassVar[bool]
    """Whether the model writes: it has a vocabulary to predict, and a prompt with an instruction and examples."""

    pipeline: ClassVar[str]
    """What the Hub calls the work of such a model."""

    shares_rows: ClassVar[bool] = False
    """Whether short rows share one, and long ones take several; see `packed`."""

    besides: ClassVar[tuple[str, ...]] = ()
    """The columns that a row has to have beside those of its task, see `data.sources.open_source`."""

    def refused(self, task: Task) -> str | None:
        """Why a model cannot learn `task` so, and what can, in a sentence; None where it can."""
        raise NotImplementedError

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

"""What an example of a task is: what a model reads, what it learns to answer, and what goes with that.

Every room speaks of a task through `Task`; nothing outside of `data/tasks/` asks which one it is. A row of one is
a plain mapping with `input_column` and `target_column` (others may come along as metadata):

    kind             input                                  target
    classification   a text                                 one of `labels`
    generation       a text                                 a text, or a list of texts: several references
    chat             messages, the last of them a user's    the assistant's answer to them
    text             a text                                 none: every token of it is learned
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field

Kind = Literal["classification", "generation", "chat", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MIN_LABELS, MAX_LABELS = 2, 200
MAX_LABEL_CHARS = 200
MAX_INSTRUCTION_CHARS = 4_000
MOST_LISTED = 30
"""Labels that an instruction of ours lists."""
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Names = tuple[_Name, ...]

REJECTED = "rejected"
"""Beside a pair's better answer, which is the target: the worse one, a text; of a chat its last answer."""
LIKED = "liked"
"""Beside an answer, which is the target: whether it is a good one."""
WHY = "why"
"""What is wrong with the worse answer of a pair, in a word or two, where a corpus says so."""
BESIDES = (REJECTED, LIKED)
"""What some ways of learning need beside a task's own columns."""

Message = Mapping[str, str]
"""`{"role": …, "content": …}`."""
Input = str | Sequence[Message]
"""What a model is asked: a text, or the messages of a chat."""


@dataclass(frozen=True)
class Task:
    """One kind of work that a model can be tuned for."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    kind: Kind
    title: _Name
    learns: Annotated[str, Field(max_length=500)]
    """In a sentence, for a person: what the model learns."""
    instruction: Annotated[str, Field(max_length=MAX_INSTRUCTION_CHARS)] = ""
    """What stands before every input, as the system's message; empty for none."""
    input_column: _Name = "input"
    target_column: Annotated[str, Field(max_length=200)] = "output"
    """Empty where nothing is answered."""
    inputs: _Names = ()
    """The columns of a source that make the input, a blank line between them; empty for `input_column` itself."""
    labels: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)], ...],
                      Field(max_length=MAX_LABELS)] = ()  # fmt: skip
    """Of a classification, in the order of their class ids; empty until they are read from the data."""
    polarity: bool = False
    """Whether labels are `negative` and `positive`: then stars, points and words of praise are read as these."""
    input_names: _Names = ()
    """What people call the input's column, the best name first."""
    target_names: _Names = ()
    """The same of the target's."""
    noun: tuple[_Name, _Name] = ("row", "rows")
    """What a row is called: one, several."""
    corpus: Annotated[str, Field(max_length=200)] = ""
    """The bundled corpus that goes with it, such as `corpus:reviews`; empty for none."""
    recipe: Annotated[str, Field(max_length=200)] = ""
    """The recipe that ships for it; empty for none."""
    metric: _Name = "accuracy"
    """The metric that the verdict is about, chosen before anything is measured."""
    floors: _Names = ()
    """What needs no tuning and is scored beside it, by the names in `eval.floors`."""
    few_shot: Annotated[int, Field(ge=0, le=32)] = 4
    """Examples in the prompt of a base that is shown some, where nobody says how many."""
    answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """The longest answer in a chat, where nobody says."""
    message_hint: Annotated[str, Field(max_length=500)] = ""
    """What to write to it, for who has never tried."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row."""
        return (self.input_column, self.target_column) if self.target_column else (self.input_column,)

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns of a source that make the input."""
        return self.inputs or (self.input_column,)

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The columns that a source has to have, by whatever names."""
        return (*self.input_columns, self.target_column) if self.target_column else self.input_columns

    @property
    def is_classification(self) -> bool:
        return self.kind == "classification"

    def references(self, row: Mapping[str, Any]) -> list[str]:
        """The reference answers of `row`: one, or several where the target column holds a list; none of a text."""
        if not self.target_column:
            return []
        target = row[self.target_column]
        return [target] if isinstance(target, str) else list(target)

    def input_of(self, row: Mapping[str, Any]) -> Input:
        """What the model is asked in `row`."""
        given = row[self.input_column]
        return str(given) if self.kind != "chat" else list(given)

    def text_of(self, row: Mapping[str, Any]) -> str:
        """The input of `row` as one text: what two rows are compared by, and what a person reads."""
        return as_text(row[self.input_column])

    def with_labels(self, labels: Sequence[str]) -> Task:
        """The same task with the labels that were found in its data; without an instruction, it asks for one."""
        return replace(self, labels=tuple(labels), instruction=self.instruction or _asking_for(labels))

    def as_dict(self) -> dict[str, Any]:
        """Its fields, as plain values."""
        return asdict(self)


def _asking_for(labels: Sequence[str]) -> str:
    """An instruction for who gave none. Very many labels are not listed: they would be most of every prompt."""
    if len(labels) > MOST_LISTED:
        return "Which label does this text have? Answer with the label alone."
    return f"Which of these is it: {', '.join(labels)}? Answer with one of them."


def as_text(given: Any) -> str:
    """An input as one text; of a chat every message stands on lines of its own, after its role."""
    if isinstance(given, str):
        return given
    return "\n".join(f"{message['role']}: {message['content']}" for message in given)

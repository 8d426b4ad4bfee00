"""A person's own task: a block in a recipe → a `Task`.

    task:
      kind: classification
      instruction: Which team has to take this message?

Whatever is left out follows from the kind. The labels of a classification are read from the data unless they are
given here, which fixes their order and refuses any other.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.labelwords import label_key
from data.tasks.task import MAX_INSTRUCTION_CHARS, MAX_LABELS, MIN_LABELS, Kind, Task

_Text = Annotated[str, Field(min_length=1, max_length=200)]


class OwnTask(BaseModel):
    """The settings of a task that is not among those that ship."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    """classification: text → label; generation: text → text; chat: messages; text: raw text, next token."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] = "own"
    title: _Text | None = None
    instruction: Annotated[str, Field(max_length=MAX_INSTRUCTION_CHARS)] = ""
    """What stands before every input. Left out, a classification asks for one of its labels."""
    inputs: Annotated[list[_Text], Field(min_length=1, max_length=8)] | None = None
    """What the model reads: the names of the columns, joined by a blank line where there are several."""
    target: _Text | None = None
    """What it learns to answer: the name of the column."""
    labels: Annotated[list[_Text], Field(min_length=MIN_LABELS, max_length=MAX_LABELS)] | None = None
    noun: _Text | None = None
    """What a row is called, in the plural: questions."""
    metric: _Text | None = None
    """The metric that the verdict is about."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> OwnTask:
        kind, inputs = self.kind, self.inputs or []
        if self.labels is not None and kind != "classification":
            raise ValueError(f"labels: a task of kind {kind} has none; classification does")
        if len({label_key(label) for label in self.labels or ()}) < len(self.labels or ()):
            raise ValueError("labels: two of them are the same, but for capitals or spaces")
        if len(inputs) > 1 and kind not in ("classification", "generation"):
            raise ValueError(f"inputs: a task of kind {kind} reads one column")
        if len({*inputs, self.target} - {None}) < len(inputs) + (self.target is not None):
            raise ValueError("inputs: a column is named twice, there or as the target")
        if self.target and not USUAL[kind].target_column:
            raise ValueError(f"target: a task of kind {kind} answers nothing; generation does")
        if self.instruction and not USUAL[kind].target_column:
            raise ValueError(f"instruction: a task of kind {kind} has none, its texts stand alone; generation does")
        return self

    def definition(self) -> Task:
        """The task that these settings mean."""
        usual = USUAL[self.kind]
        inputs = tuple(self.inputs or ())
        several = len(inputs) > 1
        return Task(
            name=self.name,
            kind=self.kind,
            title=self.title or usual.title,
            learns=usual.learns,
            instruction=self.instruction,
            input_column="input" if several else (inputs[0] if inputs else usual.input_column),
            target_column=(self.target or usual.target_column) if usual.target_column else "",
            inputs=inputs if several else (),
            labels=tuple(self.labels or ()),
            input_names=usual.input_names,
            target_names=usual.target_names,
            noun=(self.noun, self.noun) if self.noun else usual.noun,
            metric=self.metric or usual.metric,
            floors=usual.floors,
            few_shot=usual.few_shot,
            answer_tokens=usual.answer_tokens,
            message_hint=usual.message_hint,
        )


USUAL: dict[Kind, Task] = {
    "classification": Task(
        name="own",
        kind="classification",
        title="Your own labels",
        learns="Read a text and say which label it has.",
        input_column="text",
        target_column="label",
        input_names=(
            "text", "sentence", "message", "content", "body", "comment", "question", "query", "utterance", "title",
            "description", "document", "review", "tweet", "input", "prompt", "instruction",
        ),
        target_names=(
            "label", "labels", "class", "category", "intent", "topic", "target", "tag", "type", "sentiment",
            "emotion", "answer", "output", "completion", "coarse_label", "fine_label",
        ),
        noun=("text", "texts"),
        recipe="requests-smollm2-lora",
        metric="accuracy",
        floors=("majority class", "TF-IDF + logistic regression"),
        message_hint="Write a text, or pick one below",
    ),
    "generation": Task(
        name="own",
        kind="generation",
        title="Your own texts",
        learns="Read a text and write the answer to it.",
        input_column="input",
        target_column="output",
        input_names=(
            "input", "prompt", "question", "source", "text", "document", "dialogue", "article", "instruction",
            "query", "content", "passage", "context",
        ),
        target_names=(
            "output", "completion", "answer", "answers", "response", "target", "summary", "highlights",
            "translation", "reference", "references", "chosen", "label",
        ),
        noun=("text", "texts"),
        recipe="passages-smollm2-lora",
        metric="rougeL",
        floors=("the input itself", "most frequent answer"),
        few_shot=2,
        message_hint="Write what it should answer, or pick one below",
    ),
    "chat": Task(
        name="own",
        kind="chat",
        title="Your own chats",
        learns="Go on with a conversation as the assistant in your chats does.",
        input_column="messages",
        target_column="answer",
        input_names=("messages", "conversations", "conversation", "chat", "turns", "dialog", "dialogue"),
        noun=("chat", "chats"),
        recipe="chats-smollm2-lora",
        metric="rougeL",
        floors=("the input itself", "most frequent answer"),
        few_shot=0,
        message_hint="Say something, and go on",
    ),
    "text": Task(
        name="own",
        kind="text",
        title="Your own texts to read",
        learns="Read your texts, and expect what comes next in others like them.",
        input_column="text",
        target_column="",
        input_names=("text", "content", "document", "body", "article", "passage"),
        noun=("text", "texts"),
        recipe="style-smollm2-lora",
        metric="perplexity",
        floors=("LZMA",),
        few_shot=3,
        answer_tokens=100,
        message_hint="Write how a text begins, and both sides go on with it; or pick an opening below",
    ),
}  # fmt: skip
"""What is usual for each kind, and the recipe whose model and settings are taken for it."""

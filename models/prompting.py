"""The one prompt: a row or a message → the tokens a model sees. Used by training, evaluation and chat alike.

A task's instruction goes into the system message; where a template has none, before the user's first message
(`models.chat_template`). A task without one adds no system message, so that of the template stands there if it has
one of its own; a chat that brings one keeps it. Everything that shapes the prompt is in a `PromptContract`, whose
hash is saved with what was tuned and compared before its use. Knows tokenizers, never models.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.openings import opening_of
from data.tasks import TASKS, Task
from data.tasks.saved import load_task
from data.tasks.task import MAX_INSTRUCTION_CHARS
from data.tasks.task import Input as Input
from models.adapter_files import read_json
from models.chat_rows import encode_chats, learned_turns
from models.chat_template import ChatTemplate, Variables
from models.chat_template import Message as Message
from models.encoded import EncodedExample as EncodedExample
from models.text_rows import begin_of_text, documents
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTRACT_FILE = "prompt.json"


@dataclass(frozen=True)
class PromptContract:
    """Everything that decides how a row becomes tokens."""

    task: str
    instruction: str
    template: str
    """The chat template, as Jinja; of raw texts what stands around each; empty for a classifier, which sees the
    bare text."""
    special_tokens: dict[str, str]
    # What a template needs beyond its messages. Left out of the hash and the file where there is nothing to say, as
    # in those from before there was any of it.
    variables: Variables = field(default_factory=dict)
    """What the template is told: a date that stays, no thoughts before an answer."""
    instruction_in: str = "system"
    """The role whose message holds the instruction: `user` where the template has no system message."""
    opening: str = ""
    """What the template ends a prompt with and writes before no answer, as thoughts that begin: it is left out."""
    lead: str = ""
    """What the template writes between a prompt and an answer."""
    end: str = ""
    """What ends an answer; empty for the tokenizer's end of text."""

    def stated(self) -> dict[str, Any]:
        """Its fields but those that say nothing."""
        said = {each.name for each in fields(self) if getattr(self, each.name) != _SILENT.get(each.name)}
        return {name: value for name, value in asdict(self).items() if name in said}

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.stated(), sort_keys=True).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write `prompt.json`: the contract and its hash."""
        text = json.dumps(self.stated() | {"sha256": self.sha256}, indent=2, ensure_ascii=False)
        (folder / CONTRACT_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> PromptContract:
        """Read the contract that an adapter was trained with.

        Raises:
            ModelError: the file is missing, damaged, or its hash is not that of its content.
        """
        path = folder / CONTRACT_FILE
        try:
            saved = read_json(path)
            if not isinstance(saved, dict):
                raise ValueError("it is not an object")
            stated = str(saved.pop("sha256"))
            contract = cls(**saved)
            contract.require_text()
        except FileNotFoundError:
            raise ModelError(
                f"The adapter has no {CONTRACT_FILE}, so the prompt it was trained with is not known",
                got=str(folder),
                fix="Use an adapter that this project trained.",
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{CONTRACT_FILE} of the adapter cannot be read: {error}", got=str(path)) from None
        if contract.sha256 != stated:
            raise ModelError(
                f"{CONTRACT_FILE} of the adapter was changed after training",
                got=f"hash {contract.sha256[:12]}, stated {stated[:12]}",
                fix="Restore the file that was saved with the adapter.",
            )
        return contract

    def require_text(self) -> None:
        """Raise a ValueError unless every field is text, and the instruction one that a person would write."""
        tokens = self.special_tokens
        if not isinstance(tokens, dict):
            raise ValueError("special_tokens is not an object")
        if not isinstance(self.variables, dict) or not all(
            isinstance(value, (bool, str)) for value in self.variables.values()
        ):
            raise ValueError("variables is not an object of texts")
        parts = (self.instruction_in, self.opening, self.lead, self.end)
        texts = (self.task, self.instruction, self.template, *parts, *tokens.values())
        if not all(isinstance(value, str) for value in texts):
            raise ValueError("it holds something other than text")
        if len(self.instruction) > MAX_INSTRUCTION_CHARS:
            raise ValueError(f"the instruction is longer than {MAX_INSTRUCTION_CHARS:,} characters")
        self.instruction.encode()  # half a character cannot be written

    def require_same(self, trained: PromptContract) -> None:
        """Raise a `ModelError` that shows both hashes unless the prompt of now is the prompt of training."""
        if self.sha256 == trained.sha256:
            return
        fields = [key for key, value in asdict(self).items() if value != asdict(trained)[key]]
        raise ModelError(
            f"The adapter was trained with another prompt (different: {', '.join(fields)})",
            got=f"{trained.sha256[:12]} in training, {self.sha256[:12]} now",
            fix="Train again with the present prompt, or go back to the version that trained it.",
        )


def task_of(folder: Path, contract: PromptContract) -> Task:
    """The task that the model in `folder` was tuned for; one from before tasks were saved has one that ships.

    Raises:
        ModelError: the file is damaged, of another task than the prompt, or there is none and no such task ships.
    """
    task = load_task(folder) or TASKS.get(contract.task)
    if task is None or task.name != contract.task:
        raise ModelError(f"{CONTRACT_FILE} of the adapter names an unknown task", got=contract.task)
    return task


_SILENT: dict[str, Any] = {"variables": {}, "instruction_in": "system", "opening": "", "lead": "", "end": ""}


class PlainText:
    """Text from anybody in which no token of a tokenizer that stands for structure is left.

    `<|im_end|>` in a review would end the user's turn, and what follows could speak as the system or as the
    model. A space after its first character makes it the text that it is; other text stays as it is.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str = "") -> None:
        """Args:
        tokenizer: whose tokens.
        template: a chat template: what it writes stands for structure, too, as `<think>` does.
        """
        known = tokenizer.added_tokens_decoder.values()
        added = (token.content for token in known if token.special or token.content in template)
        tokens = sorted(
            {*added, *map(str, tokenizer.all_special_tokens)} - {""}, key=lambda token: (-len(token), token)
        )
        self._tokens = re.compile("|".join(map(re.escape, tokens))) if tokens else None

    def __call__(self, text: str) -> str:
        if self._tokens is None:
            return text
        return self._tokens.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


class Prompter:
    """Renders and encodes the prompts of one task for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: Task, *, instruction: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.task = task
        self.template = ChatTemplate.of(tokenizer)
        self.plain = PlainText(tokenizer, self.template.text)
        self.contract = PromptContract(
            task=task.name,
            instruction=task.instruction if instruction is None else instruction,
            template=self.template.text,
            special_tokens={key: str(value) for key, value in sorted(tokenizer.special_tokens_map.items())},
            variables=self.template.variables,
            instruction_in="system" if self.template.takes_system else "user",
            opening=self.template.opening,
            lead=self.template.lead,
            end="" if self.template.end == str(tokenizer.eos_token) else self.template.end,
        )
        # Thoughts that are over stand in the prompt; a space belongs to the word after it.
        lead = self.template.lead
        self.prompt_end, self.answer_start = (lead, "") if lead.strip() else ("", lead)

    @classmethod
    def from_contract(
        cls, tokenizer: PreTrainedTokenizerBase, contract: PromptContract, task: Task | None = None
    ) -> Prompter:
        """The prompter that an adapter was trained with; refuses a tokenizer that renders it otherwise.

        `task` is that of `task_of`, if it is not one that ships.
        """
        prompter = prompter_of(tokenizer, task or TASKS[contract.task], instruction=contract.instruction)
        prompter.contract.require_same(contract)
        return prompter

    def asked(self, given: Input) -> Input:
        """What of a row's input a model is asked: all of it."""
        return given

    def messages(self, given: Input, history: Sequence[Message] = ()) -> list[Message]:
        """The conversation so far with `given` as the newest message, or messages, under the task's instruction.

        A system message that `given` begins with stands in place of the instruction.
        """
        newest = [{"role": "user", "content": given}] if isinstance(given, str) else list(map(_turn, given))
        own = bool(newest) and newest[0]["role"] == "system"
        instruction = self.contract.instruction
        system = newest[:1] if own else [{"role": "system", "content": instruction}] if instruction else []
        conversation = [*system, *history, *newest[own:]]
        return [message | {"content": self.plain(message["content"])} for message in conversation]

    def prompt(self, given: Input, history: Sequence[Message] = ()) -> str:
        """The prompt as text, up to where the model answers."""
        return self.template.render(self.messages(given, history)) + self.prompt_end

    def completion(self, target: str) -> str:
        """What the model is trained to answer: the target and the token that ends a turn."""
        return self.answer_start + self.plain(target.strip()) + self.template.end

    def encode_prompt(self, given: Input, history: Sequence[Message] = ()) -> list[int]:
        return self._encode(self.prompt(given, history))

    def encode_target(self, target: str) -> list[int]:
        """The target's tokens as they follow a prompt, without the end of turn."""
        return self._encode(self.answer_start + self.plain(target.strip()))

    def encode_labels(self, labels: Sequence[str]) -> list[list[int]]:
        """The tokens by which each label is scored: those of `encode_target`, to the end of the turn if need be."""
        if self.need_an_end(labels):
            return [self._encode(self.completion(label)) for label in labels]
        return [self.encode_target(label) for label in labels]

    def need_an_end(self, labels: Sequence[str]) -> bool:
        """Whether one label goes on where another has ended: without its end, the shorter can never lose."""
        tokens = sorted(self.encode_target(label) for label in labels)
        return any(after[: len(one)] == one for one, after in pairwise(tokens))

    def encode_row(self, row: Mapping[str, Any]) -> EncodedExample:
        """A training row as tokens. Prompt and completion are encoded apart, as in evaluation and chat."""
        return self.encode_rows([row])[0]

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[EncodedExample]:
        """What `encode_row` gives for each, several times as fast: a tokenizer takes many texts at once."""
        task = self.task
        completions = [self.completion(task.references(row)[0]) for row in rows]
        if task.kind == "chat":
            given = [row[task.input_column] for row in rows]
            return encode_chats(self, list(map(self.messages, given)), list(map(learned_turns, given)), completions)
        pairs = self._encode_apart([task.input_of(row) for row in rows], completions)
        return [EncodedExample.of(prompt, completion) for prompt, completion in pairs]

    def encode_answers(self, given: Sequence[Input], *answers: Sequence[str]) -> list[tuple[list[int], ...]]:
        """Each prompt as tokens, and each answer to it with the end of its turn: of a chat the last one alone.

        `answers` are as many of each as there are prompts, such as the better ones of pairs and the worse ones.
        """
        return self._encode_apart(given, *([self.completion(text) for text in texts] for texts in answers))

    def _encode_apart(self, given: Sequence[Input], *completions: Sequence[str]) -> list[tuple[list[int], ...]]:
        parts = [[self.prompt(one) for one in given], *completions]
        if not parts[0]:
            return []
        ids = self.encode_texts([text for texts in parts for text in texts])
        count = len(parts[0])
        return list(zip(*(ids[at : at + count] for at in range(0, len(ids), count)), strict=True))

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text as it stands."""
        # The template writes its own special tokens, so the tokenizer must add none.
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
        return encoded["input_ids"]  # type: ignore[no-any-return]

    def _encode(self, text: str) -> list[int]:
        return self.encode_texts([text])[0]


class TextPrompter(Prompter):
    """Of raw texts: nobody says anything, and no template stands around it.

    What a model is asked is how a text begins, and what it answers is how that goes on.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: Task, *, instruction: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.task = task
        self.plain = PlainText(tokenizer)
        begin = tokenizer.bos_token if begin_of_text(tokenizer) else ""
        self.contract = PromptContract(
            task=task.name,
            instruction="",
            template=f"{begin}{{{{ text }}}}{tokenizer.eos_token or ''}",
            special_tokens={key: str(value) for key, value in sorted(tokenizer.special_tokens_map.items())},
        )

    def asked(self, given: Input) -> Input:
        """How the text begins."""
        return opening_of(str(given))[0]

    def prompt(self, given: Input, history: Sequence[Message] = ()) -> str:
        return self.plain(str(given))

    def encode_prompt(self, given: Input, history: Sequence[Message] = ()) -> list[int]:
        return [*begin_of_text(self.tokenizer), *self._encode(self.prompt(given))]

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[EncodedExample]:
        """Each text to its end, of which all is learned; `models.text_rows` lets several share a row."""
        return [EncodedExample.of_texts([ids]) for ids in documents(self, list(map(self.task.text_of, rows)))]


def prompter_of(tokenizer: PreTrainedTokenizerBase, task: Task, *, instruction: str | None = None) -> Prompter:
    """What renders and encodes the prompts of `task`, under another instruction than its own if one is given."""
    kind = TextPrompter if task.kind == "text" else Prompter
    return kind(tokenizer, task, instruction=instruction)


def _turn(message: Mapping[str, Any]) -> Message:
    """A message of a row as a template takes it; an answer as `Prompter.completion` would write it."""
    said = str(message["content"])
    return {"role": str(message["role"]), "content": said.strip() if message["role"] == "assistant" else said}


def classifier_contract(tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
    """The contract of a sequence classifier: the bare text, with the tokenizer's own special tokens."""
    return PromptContract(
        task=task.name,
        instruction="",
        template="",
        special_tokens={key: str(value) for key, value in sorted(tokenizer.special_tokens_map.items())},
    )

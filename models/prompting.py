"""The one prompt: a row or a message → the tokens a model sees. Used by training, evaluation and chat alike.

A task's instruction goes into the system message, so no default system message is ever added. Everything that
shapes the prompt is in a `PromptContract`, whose hash is saved with an adapter and compared before its use.
Knows tokenizers, never models.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError
from data.tasks import TASKS, Task
from models.adapter_files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTRACT_FILE = "prompt.json"
MAX_INSTRUCTION_CHARS = 4_000

INSTRUCTIONS: dict[str, str] = {
    "sentiment": "Is the sentiment of this review positive or negative? Answer with one word.",
    "dialogue": "Summarize the conversation in one or two short sentences.",
}

# For base models that were never given a chat template, such as Llama-2-7b-hf.
PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'Input:\\n' + message['content'] + '\\n\\nAnswer:\\n' }}"
    "{% else %}{{ message['content'] + eos_token + '\\n\\n' }}{% endif %}{% endfor %}"
)

Message = dict[str, str]


@dataclass(frozen=True)
class PromptContract:
    """Everything that decides how a row becomes tokens."""

    task: str
    instruction: str
    template: str
    """The chat template, as Jinja; empty for a classifier, which sees the bare text."""
    special_tokens: dict[str, str]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write `prompt.json`: the contract and its hash."""
        text = json.dumps(asdict(self) | {"sha256": self.sha256}, indent=2, ensure_ascii=False)
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
        if contract.task not in list(TASKS):
            raise ModelError(f"{CONTRACT_FILE} of the adapter names an unknown task", got=contract.task)
        return contract

    def require_text(self) -> None:
        """Raise a ValueError unless every field is text, and the instruction one that a person would write."""
        tokens = self.special_tokens
        if not isinstance(tokens, dict):
            raise ValueError("special_tokens is not an object")
        if not all(isinstance(value, str) for value in (self.instruction, self.template, *tokens.values())):
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


@dataclass(frozen=True)
class EncodedExample:
    """A training row as tokens: `input_ids[:completion_start]` is the prompt, the rest is trained on."""

    input_ids: list[int]
    completion_start: int

    @property
    def completion_mask(self) -> list[int]:
        return [int(position >= self.completion_start) for position in range(len(self.input_ids))]


class PlainText:
    """Text from anybody in which no token of a tokenizer that stands for structure is left.

    `<|im_end|>` in a review would end the user's turn, and what follows could speak as the system or as the
    model. A space after its first character makes it the text that it is; other text stays as it is.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
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
        self.plain = PlainText(tokenizer)
        self.contract = PromptContract(
            task=task.name,
            instruction=INSTRUCTIONS[task.name] if instruction is None else instruction,
            template=str(tokenizer.chat_template or PLAIN_TEMPLATE),
            special_tokens={key: str(value) for key, value in sorted(tokenizer.special_tokens_map.items())},
        )

    @classmethod
    def from_contract(cls, tokenizer: PreTrainedTokenizerBase, contract: PromptContract) -> Prompter:
        """The prompter that an adapter was trained with; refuses a tokenizer that renders it otherwise."""
        prompter = cls(tokenizer, TASKS[contract.task], instruction=contract.instruction)
        prompter.contract.require_same(contract)
        return prompter

    def messages(self, text: str, history: Sequence[Message] = ()) -> list[Message]:
        """The conversation so far with `text` as the newest message, under the task's instruction."""
        system = {"role": "system", "content": self.contract.instruction}
        conversation = [system, *history, {"role": "user", "content": text}]
        return [message | {"content": self.plain(message["content"])} for message in conversation]

    def prompt(self, text: str, history: Sequence[Message] = ()) -> str:
        """The prompt as text, up to where the model answers."""
        return self._render(self.messages(text, history), add_generation_prompt=True)

    def completion(self, target: str) -> str:
        """What the model is trained to answer: the target and the token that ends a turn."""
        return self.plain(target.strip()) + str(self.tokenizer.eos_token)

    def encode_prompt(self, text: str, history: Sequence[Message] = ()) -> list[int]:
        return self._encode(self.prompt(text, history))

    def encode_target(self, target: str) -> list[int]:
        """The target's tokens as they follow a prompt, without the end of turn."""
        return self._encode(self.plain(target.strip()))

    def encode_row(self, row: Mapping[str, Any]) -> EncodedExample:
        """A training row as tokens. Prompt and completion are encoded apart, as in evaluation and chat."""
        prompt = self.encode_prompt(str(row[self.task.input_column]))
        target = self.task.references(dict(row))[0]
        return EncodedExample(prompt + self._encode(self.completion(target)), len(prompt))

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[EncodedExample]:
        """What `encode_row` gives for each, several times as fast: a tokenizer takes many texts at once."""
        prompts = [self.prompt(str(row[self.task.input_column])) for row in rows]
        completions = [self.completion(self.task.references(dict(row))[0]) for row in rows]
        if not prompts:
            return []
        ids: list[list[int]] = self.tokenizer(
            [*prompts, *completions], add_special_tokens=False, return_attention_mask=False
        )["input_ids"]
        pairs = zip(ids[: len(prompts)], ids[len(prompts) :], strict=True)
        return [EncodedExample(prompt + completion, len(prompt)) for prompt, completion in pairs]

    def _encode(self, text: str) -> list[int]:
        # The template writes its own special tokens, so the tokenizer must add none.
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, messages: list[Message], *, add_generation_prompt: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=self.contract.template,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
            )
        )


def classifier_contract(tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
    """The contract of a sequence classifier: the bare text, with the tokenizer's own special tokens."""
    return PromptContract(
        task=task.name,
        instruction="",
        template="",
        special_tokens={key: str(value) for key, value in sorted(tokenizer.special_tokens_map.items())},
    )

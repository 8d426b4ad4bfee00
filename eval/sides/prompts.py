"""How a side on this machine is asked: by the contract it was tuned with, its chat template, or a person's own.

A contract (`prompt.json`) wins, where what was tuned has one and it is of this task; a person's own file, where one
is given, wins over all. Whatever it is, the prompter is one of `models.prompting`, so that scoring, generation and
likelihoods ask as training did. Starts a process for a person's file (`rendering.py`); knows tokenizers, no models.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.tasks import Task
from data.tasks.task import Input, as_text
from eval.sides import rendering
from eval.sides.reading import read_label
from eval.sides.side import Answered, Prompted
from models.chat_template import PLAIN_TEMPLATE
from models.prompting import CONTRACT_FILE, Message, PromptContract, Prompter, prompter_of, task_of
from models.text_rows import begin_of_text
from models.tokenizer_files import TokenizerBeside
from plumbing.errors import DataError, RecipeError
from plumbing.reading import read_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WhereFrom = Literal["contract", "borrowed", "template", "file", "server", "bare text"]

MAX_FILE_BYTES = 100_000
_TIMEOUT_S, _TIMEOUT_S_A_ROW = 60.0, 0.02
_PROBES = ("a question 4711", "another question 4712")


@dataclass(frozen=True)
class PromptFile:
    """A person's own prompt template, in Jinja.

    What it is given: `input`, the row's text (of a chat each message after its role); `messages`, the same as
    messages with the task's instruction as the system's; `labels`; `instruction`; `bos_token` and `eos_token`.
    As everywhere in Jinja, a last line break of the file is not part of it.
    """

    path: Path
    text: str

    @classmethod
    def load(cls, written: str, task: Task) -> PromptFile:
        """
        Args:
            written: the file, as a person named it.
            task: of the rows.

        Raises:
            DataError: there is no such file, it is too long, or it is not UTF-8.
            RecipeError: the task is of raw texts: a template would be given all of one, with what is to be written.
        """
        if task.kind == "text":
            raise RecipeError(
                "Raw texts are asked as they stand, so there is no place for a prompt template",
                got=written,
                fix="Leave the template out.",
            )
        path = Path(written).expanduser()
        try:
            return cls(path, read_text(path, limit=MAX_FILE_BYTES))
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(
                f"The prompt template cannot be read: {error}",
                got=str(path),
                fix=f"Give a text file in UTF-8 of at most {MAX_FILE_BYTES:,} bytes.",
            ) from None

    def render(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """The prompt of each row of variables.

        Raises:
            DataError: with the line of the template and the row that it is about.
        """
        if not rows:
            return []
        asked = json.dumps({"template": self.text, "rows": list(rows)})
        command = [sys.executable, "-E", "-P", rendering.__file__]
        limit = _TIMEOUT_S + _TIMEOUT_S_A_ROW * len(rows)
        try:
            done = subprocess.run(
                command, input=asked.encode(), capture_output=True, timeout=limit, env=_environment()
            )
            answer = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            raise self._wrong(f"it is not done after {limit:.0f} seconds", None, None) from None
        except ValueError:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            killed = "it was ended from outside, as a system does where memory runs out"
            why = killed if done.returncode < 0 or not said else f"nothing could render it: {said[-1][:300]}"
            raise self._wrong(why, None, None) from None
        if "error" in answer:
            raise self._wrong(answer["error"], answer["line"], answer["row"])
        texts: list[str] = answer["texts"]
        if empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
            raise self._wrong("it writes nothing", None, empty[0] - 1)
        return texts

    def _wrong(self, what: str, line: int | None, row: int | None) -> DataError:
        where = f"{self.path}" + (f", line {line}" if line else "")
        known = "input, messages, labels, instruction, bos_token, eos_token"
        return DataError(
            f"The prompt template cannot be used: {what}",
            got=where + (f", of row {row + 1}" if row is not None else ""),
            fix=f"Mend it there; what it is given is {known}.",
        )


class FilePrompter(Prompter):
    """Asks by a person's own template. An answer begins with a space where a prompt ends with a word or a mark."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: Task, file: PromptFile) -> None:
        """
        Raises:
            DataError: the template is wrong, or asks the same whatever a row says.
        """
        super().__init__(tokenizer, task)
        self.file = file
        self._known: dict[str, str] = {}
        one, other = file.render([self._variables(probe, ()) for probe in map(self._probe, _PROBES)])
        if one == other:
            raise DataError(
                "The prompt template asks the same of every row",
                got=str(file.path),
                fix="Let it write {{ input }}, or the contents of messages.",
            )
        structure = tuple(filter(None, {*map(str, tokenizer.all_special_tokens)}))
        bare = one.rstrip(" ")
        self.prompt_end = ""
        self.answer_start = "" if bare.endswith(("\n", *structure)) and bare == one else " "
        self.contract = replace(
            self.contract,
            template=file.text,
            variables={"labels": json.dumps(task.labels, ensure_ascii=False)},
            instruction_in="file",
            opening="",
            lead=self.answer_start,
        )

    def prepare(self, inputs: Sequence[Input]) -> None:
        """Render all of `inputs` at once, as what follows will ask for them."""
        new = {self._key(given, ()): given for given in inputs}
        new = {key: given for key, given in new.items() if key not in self._known}
        texts = self.file.render([self._variables(given, ()) for given in new.values()])
        self._known |= dict(zip(new, texts, strict=True))

    def prompt(self, given: Input, history: Sequence[Message] = ()) -> str:
        key = self._key(given, history)
        if key not in self._known:
            (self._known[key],) = self.file.render([self._variables(given, history)])
        # A space belongs to the word after it: the answer begins with it.
        return self._known[key].rstrip(" ") if self.answer_start == " " else self._known[key]

    def encode_prompt(self, given: Input, history: Sequence[Message] = ()) -> list[int]:
        return self._begun(super().encode_prompt(given, history))

    def _encode_apart(self, given: Sequence[Input], *completions: Sequence[str]) -> list[tuple[list[int], ...]]:
        self.prepare(given)
        return [(self._begun(prompt), *rest) for prompt, *rest in super()._encode_apart(given, *completions)]

    def _begun(self, ids: list[int]) -> list[int]:
        """With the token before it that the tokenizer itself begins a text with, unless the template wrote it."""
        begin = begin_of_text(self.tokenizer)
        return ids if not begin or ids[:1] == begin else [*begin, *ids]

    def _probe(self, text: str) -> Input:
        return [{"role": "user", "content": text}] if self.task.kind == "chat" else text

    def _key(self, given: Input, history: Sequence[Message]) -> str:
        return json.dumps([given if isinstance(given, str) else list(map(dict, given)), list(history)])

    def _variables(self, given: Input, history: Sequence[Message]) -> dict[str, Any]:
        return prompt_variables(
            self.plain(as_text(given)),
            self.messages(given, history),
            self.task,
            self.task.instruction,
            begin=str(self.tokenizer.bos_token or ""),
            end=str(self.tokenizer.eos_token or ""),
        )


def prompt_variables(
    text: str,
    messages: Sequence[Mapping[str, Any]],
    task: Task,
    instruction: str,
    *,
    begin: str = "",
    end: str = "",
) -> dict[str, Any]:
    """What a person's own template is given, see `PromptFile`; with what chat templates ask for besides."""
    return {
        "input": text,
        "messages": list(messages),
        "labels": list(task.labels),
        "instruction": instruction,
        "bos_token": begin,
        "eos_token": end,
        "add_generation_prompt": True,
        "tools": None,
        "documents": None,
    }


def _environment() -> dict[str, str]:
    """What a process needs to start at all; no key of the owner's."""
    needed = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in needed if name in os.environ}


@dataclass(frozen=True)
class Asking:
    """A prompter, where its prompts come from, and what has to be said of that."""

    prompter: Prompter
    where_from: WhereFrom
    notes: tuple[str, ...] = ()

    def prompted(self, given: Input) -> Prompted:
        """How `given` would be asked."""
        example = self.prompter.prompt(self.prompter.asked(given))
        return Prompted(self.prompter.contract.sha256, self.where_from, example)

    def answered(self, text: str, task: Task, *, tokens: int, prompt_tokens: int, cut_off: bool) -> Answered:
        """What was written as the answer to it; of labels the one that it names."""
        if self.where_from == "file":  # the space between such a prompt and its answer is not the answer's
            text = text.removeprefix(self.prompter.answer_start)
        return Answered(
            text=read_label(text, task.labels) if task.is_classification else text,
            written=text if task.is_classification else None,
            tokens=tokens,
            prompt_tokens=prompt_tokens,
            cut_off=cut_off,
        )


def asking(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    *,
    folder: Path | None = None,
    beside: TokenizerBeside | None = None,
    file: PromptFile | None = None,
) -> Asking:
    """How a language model is asked.

    Args:
        tokenizer: the model's.
        task: what it is asked.
        folder: of what was tuned, where a contract may lie.
        beside: the tokenizer that came with an adapter, of which what differs stands in place of the base's.
        file: a person's own template.

    Raises:
        UserError: the file, the contract or the chat template cannot be used.
    """
    if file is not None:
        return Asking(FilePrompter(tokenizer, task, file), "file")
    notes: list[str] = []
    if folder is not None and (folder / CONTRACT_FILE).exists():
        contract, own, why = contract_in(folder, task)
        if not why:
            return Asking(_by_contract(tokenizer, contract, own, task), "contract")
        notes.append(f"It was tuned for the task '{own.name}' and is asked another, by its own template: {why}.")
    if beside is not None:
        tokenizer, said = beside.onto(tokenizer)  # the base is asked by its own
        notes += said
    if task.kind != "text" and tokenizer.chat_template in (None, PLAIN_TEMPLATE):
        notes.append("It has no chat template: it is asked in plain words, and its answer follows 'Answer:'.")
    where_from: WhereFrom = "bare text" if task.kind == "text" else "template"
    return Asking(prompter_of(tokenizer, task), where_from, tuple(notes))


def contract_in(folder: Path, task: Task) -> tuple[PromptContract, Task, str]:
    """The contract in `folder`, the task that it is of, and why rows of `task` cannot be asked by it, if so.

    Raises:
        ModelError: it cannot be read.
    """
    contract = PromptContract.load(folder)
    own = task_of(folder, contract)
    return contract, own, _another_task(own, task)


def _by_contract(tokenizer: PreTrainedTokenizerBase, contract: PromptContract, own: Task, task: Task) -> Prompter:
    """The prompter that it was tuned with, of the rows that are asked now."""
    prompter = Prompter.from_contract(tokenizer, contract, own)
    prompter.task = task  # the same kind and labels; its columns may be called otherwise
    return prompter


def _another_task(own: Task, task: Task) -> str:
    """Why rows of `task` cannot be asked as those of its own task were, in words; empty where they can."""
    if own.kind != task.kind:
        return f"that is {own.kind}, this {task.kind}"
    if own.is_classification and set(own.labels) != set(task.labels):
        return f"its labels are {', '.join(own.labels)[:200]}"
    return ""

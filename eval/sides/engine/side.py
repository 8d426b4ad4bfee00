"""A language model on an engine as a side: its base by itself, or with an adapter on it.

It is asked by the prompter that would ask it on this machine, as token ids, and what it answers is read as there.
How probable an answer is that somebody else gave an engine is not asked, so that is no ability of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.tasks import Task
from data.tasks.task import Input
from eval.sides.engine.engine import Engine
from eval.sides.engine.forms import EngineError, Question, Written
from eval.sides.prompts import Asking, FilePrompter
from eval.sides.side import Ability, About, Answered, OnRows, Prompted, Spent
from models.context import refuse_longer

if TYPE_CHECKING:
    from models.prompting import Prompter
    from models.resolved import ResolvedModel


class EngineSide:
    """See `eval.sides.side.Side`, and `Streams`."""

    def __init__(
        self,
        engine: Engine,
        about: About,
        task: Task,
        asking: Asking,
        *,
        ends: frozenset[int],
        longest: int | None,
        adapter: str = "",
    ) -> None:
        """Args:
        engine: that answers.
        about: what it is.
        task: what it is asked.
        asking: how.
        ends: tokens that end an answer.
        longest: tokens of a prompt with its answer, at most; None for any number.
        adapter: its name on the engine; empty for the base itself.
        """
        self.about, self.task, self.spent = about, task, Spent()
        self.adapter, self.longest = adapter, longest
        self._engine, self._asking, self._ends = engine, asking, ends
        self.abilities: frozenset[Ability] = frozenset({"writes"})
        if task.is_classification:
            self.abilities |= {"chooses"}

    @property
    def prompter(self) -> Prompter:
        """What renders its prompts."""
        return self._asking.prompter

    def prompted(self, given: Input) -> Prompted:
        return self._asking.prompted(given)

    def question(self, given: Input, max_new_tokens: int) -> Question:
        """What the engine is asked, with `given` as it stands."""
        prompt = self.prompter.encode_prompt(given)
        return Question(prompt, self._ends, max_new_tokens, self._decode, self.adapter)

    def write(
        self, inputs: Sequence[Input], *, max_new_tokens: int, on_rows: OnRows | None = None
    ) -> list[Answered]:
        questions = self._questions(inputs, max_new_tokens, max_new_tokens)
        started = time.perf_counter()
        written = self._engine.answers(questions, on_rows)
        self.spent.seconds += time.perf_counter() - started
        self.spent.tokens += sum(each.tokens for each in written)
        return [self._answered(each, len(asked.prompt)) for each, asked in zip(written, questions, strict=True)]

    def choose(self, inputs: Sequence[Input], *, on_rows: OnRows | None = None) -> list[Answered]:
        labels = self.prompter.encode_labels(self.task.labels)
        questions = self._questions(inputs, 1, max(map(len, labels)))
        started = time.perf_counter()
        found = self._engine.choose(questions, labels, on_rows)
        self.spent.seconds += time.perf_counter() - started
        return [
            Answered.chosen(self.task.labels, each, len(asked.prompt))
            for each, asked in zip(found, questions, strict=True)
        ]

    def likelihoods(
        self, inputs: Sequence[Input], targets: Sequence[str], *, on_rows: OnRows | None = None
    ) -> list[float]:
        """Not here: see `abilities`."""
        raise NotImplementedError("an engine is not asked for likelihoods")

    def stream(self, given: Input, *, max_new_tokens: int, stop: threading.Event) -> Iterator[Answered]:
        [question] = self._questions([given], max_new_tokens, max_new_tokens)
        for [written] in self._engine.stream([question], stop):
            yield self._answered(written, len(question.prompt))

    def prompt_tokens(self, given: Input) -> int:
        return len(self.question(self.prompter.asked(given), 0).prompt)

    def close(self) -> None:
        """Nothing is held: the adapter stays on the engine for the next."""

    def _questions(self, inputs: Sequence[Input], limit: int, answer: int) -> list[Question]:
        """What the engine is asked; refuses rows that do not fit into the model, with `answer` tokens of one."""
        inputs = list(map(self.prompter.asked, inputs))
        if isinstance(self.prompter, FilePrompter):
            self.prompter.prepare(inputs)
        questions = [self.question(given, limit) for given in inputs]
        lengths = [len(each.prompt) + answer for each in questions]
        what = "What is asked, counted from the first row that is judged,"
        refuse_longer(lengths, self.longest, column=self.task.input_column, model=self.about.name, what=what)
        self.spent.prompt_tokens += sum(len(each.prompt) for each in questions)
        return questions

    def _answered(self, written: Written, prompt_tokens: int) -> Answered:
        return self._asking.answered(
            written.text,
            self.task,
            tokens=written.tokens,
            prompt_tokens=prompt_tokens,
            cut_off=not written.finished,
        )

    def _decode(self, tokens: list[int]) -> str:
        # A character of several tokens is not whole until its last token is there.
        return str(self.prompter.tokenizer.decode(tokens, skip_special_tokens=True)).rstrip("\ufffd")


def open_on(
    engine: Engine,
    asking: Asking,
    task: Task,
    source: ResolvedModel,
    about: About,
    *,
    adapter: Path | None = None,
    precision: str = "",
) -> EngineSide:
    """The model of `source`, or the adapter of a folder on it, as the engine serves it.

    Args:
        engine: that is to answer.
        asking: how it would be asked here.
        task: what it is asked.
        source: the base, whose tokenizer is the prompter's.
        about: what it is, but for where it is computed.
        adapter: a folder that peft wrote.
        precision: that the adapter was trained over.

    Raises:
        EngineError: the engine does not answer for it, with the reason.
    """
    from models.context import positions_at
    from models.stepping import end_tokens_at

    tokenizer = asking.prompter.tokenizer
    if source.gguf:
        raise EngineError("A GGUF file is opened here, and not asked of the engine")
    engine.require(source.name, vocabulary=len(tokenizer))
    name = engine.put_on(adapter) if adapter is not None else ""
    kind, serving = engine.look()
    limits = [each for each in (positions_at(source.path), serving.context) if each is not None]
    packed = f", in {serving.precision}" if serving.precision else ""
    notes = [f"{kind.title} computes it by its own weights{packed}."]
    if precision == "nf4":
        notes.append(
            "It was trained over 4-bit weights, which the engine's are not: its answers may differ for that."
        )
    about = replace(about, precision=serving.precision, weights_sha256=about.weights_sha256 if adapter else "")
    return EngineSide(
        engine,
        replace(about, notes=(*about.notes, *notes)),
        task,
        asking,
        ends=frozenset(end_tokens_at(source.path, tokenizer)),
        longest=min(limits, default=None),
        adapter=name,
    )

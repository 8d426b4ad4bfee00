"""Sides on this machine: models of transformers, and adapters on one copy of their base's weights.

Everything is computed by what computes a run's report: `models.pair`, `models.scoring`, `models.generation` and
`models.likelihoods`. A base is in memory once, however many adapters stand on it; they take turns on it, each
put on when it is asked. Of a base and an adapter that are asked alike, whichever is asked first answers for
both where rows of both may stand in one batch; the other's answers are kept until they are asked for, and half
of the time is its. Not for several threads at once.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data.tasks import Task
from data.tasks.task import Input, as_text
from eval.sides.prompts import Asking, FilePrompter
from eval.sides.side import Ability, About, Answered, OnRows, Prompted, Spent
from models.any_adapter import detach
from models.context import max_positions, refuse_longer
from models.encoded import EncodedExample
from models.generation import Answer, answer_batch, answer_side_batch, stream_side
from models.likelihoods import log_likelihoods_of
from models.loading import LoadedModel
from models.pair import Pair, alone, on_base
from models.prompting import classifier_contract
from models.proof import Proof
from models.scoring import score_side_labels


class Adapter:
    """An adapter, and how it is put onto its base: as one of ours or as anybody's."""

    def __init__(self, folder: Path, attach: Callable[[LoadedModel, Path], Any]) -> None:
        self.folder, self.attach = folder, attach
        self.proof: Proof | None = None
        """That it acts, once it was shown."""


class Copy:
    """The weights of one model in memory once, with one adapter on them at a time, or none."""

    def __init__(self, loaded: LoadedModel, task: Task) -> None:
        self.loaded = loaded
        self._task = task
        self._on: Adapter | None = None
        self._pair: Pair | None = None
        self._users = 0

    def base(self) -> Pair:
        """A pair whose base is this model, whatever is on it now."""
        if self._pair is None:
            self._pair = alone(self.loaded, self._task, None)
        return self._pair

    def with_on(self, adapter: Adapter, model: Any = None) -> Pair:
        """A pair of this model and `adapter` on it.

        Args:
            adapter: put onto it now, unless it is there.
            model: what came of that, where somebody else has just done it, on a model without one.
        """
        if self._on is not adapter or self._pair is None:
            if model is None:
                self.take_off()
                model = adapter.attach(self.loaded, adapter.folder)
            assert adapter.proof is not None
            contract = classifier_contract(self.loaded.tokenizer, self._task)
            options: Any = {"task": self._task, "prompter": None, "contract": contract, "proof": adapter.proof}
            self._pair = on_base(self.loaded, model, adapter.folder, **options)
            self._on = adapter
        return self._pair

    def take_off(self) -> None:
        """Leave the model without an adapter."""
        if self._on is not None and self._pair is not None:
            detach(self._pair.model)
        self._on = self._pair = None

    def taken(self) -> Copy:
        """This copy, for one more side."""
        self._users += 1
        return self

    def leave(self) -> None:
        """For one side less; with the last, the memory is given back."""
        self._users -= 1
        if self._users > 0:
            return
        self._on = self._pair = None
        del self.loaded
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class LocalSide:
    """A model on this machine, or an adapter on one; as `eval.sides.side.Side` asks for."""

    def __init__(
        self,
        about: About,
        task: Task,
        copy: Copy,
        *,
        adapter: Adapter | None = None,
        asking: Asking | None = None,
        columns: Sequence[int] | None = None,
    ) -> None:
        """
        Args:
            about: what it is.
            task: what it is asked.
            copy: of the weights.
            adapter: on them; None for the model itself.
            asking: how it is asked; None for a classifier, which reads the bare text.
            columns: of a classifier, the class of each of the task's labels.
        """
        self.about, self.task, self.spent = about, task, Spent()
        self.asking = asking
        self.partner: LocalSide | None = None
        """Who stands on the same weights and is asked alike, so that one batch may answer for both."""
        self._copy: Copy | None = copy.taken()
        self._adapter, self._columns = adapter, columns
        self._kept: dict[str, list[Answer]] = {}
        self.abilities: frozenset[Ability] = frozenset({"chooses"} if asking is None else {"writes", "likelihood"})
        if task.is_classification:
            self.abilities |= {"chooses"}

    @property
    def is_adapted(self) -> bool:
        """Whether it is an adapter on another model."""
        return self._adapter is not None

    def weights(self) -> dict[str, Any]:
        """Name → tensor of the model without any adapter."""
        self._copied.take_off()
        return dict(self._copied.loaded.model.state_dict())

    def may_share_with(self, other: LocalSide) -> bool:
        """Whether one batch could answer for this one, without an adapter, and `other`, which has one."""
        own, others = self.asking, other.asking
        return (
            self._copy is other._copy
            and not self.is_adapted
            and other.is_adapted
            and own is not None
            and others is not None
            and own.prompter.contract.sha256 == others.prompter.contract.sha256
        )

    def prompted(self, given: Input) -> Prompted:
        if self.asking is not None:
            return self.asking.prompted(given)
        contract = classifier_contract(self._copied.loaded.tokenizer, self.task)
        return Prompted(contract.sha256, "bare text", as_text(given))

    def write(
        self, inputs: Sequence[Input], *, max_new_tokens: int, on_rows: OnRows | None = None
    ) -> list[Answered]:
        self._require("writes")
        if not inputs:
            return []
        assert self.asking is not None
        inputs = [self.asking.prompter.asked(given) for given in inputs]
        lengths = self._room(inputs, max_new_tokens)
        key = _key(inputs, max_new_tokens)
        answers = self._kept.pop(key, None)
        if answers is None:
            answers = self._answers(inputs, key, max_new_tokens, on_rows)
        elif on_rows:
            on_rows(len(inputs), len(inputs))
        self.spent.prompt_tokens += sum(lengths)
        self.spent.tokens += sum(answer.tokens for answer in answers)
        return [self._answered(answer, length) for answer, length in zip(answers, lengths, strict=True)]

    def choose(self, inputs: Sequence[Input], *, on_rows: OnRows | None = None) -> list[Answered]:
        self._require("chooses")
        if not inputs:
            return []
        lengths = self._room(inputs, 0, labels=self.task.labels)
        started = time.perf_counter()
        pair, tuned = self._pair()
        texts = list(inputs) if self.asking else list(map(as_text, inputs))
        rows = score_side_labels(pair, texts, tuned=tuned, on_batch=on_rows)
        self.spent.seconds += time.perf_counter() - started
        self.spent.prompt_tokens += sum(lengths)
        return [
            Answered.chosen(
                self.task.labels,
                row if self._columns is None else [row[column] for column in self._columns],
                length,
            )
            for row, length in zip(rows, lengths, strict=True)
        ]

    def likelihoods(
        self, inputs: Sequence[Input], targets: Sequence[str], *, on_rows: OnRows | None = None
    ) -> list[float]:
        self._require("likelihood")
        if not inputs:
            return []
        started = time.perf_counter()
        pair, tuned = self._pair()
        examples = self._examples(inputs, targets)
        self._refuse_longer([len(each.input_ids) for each in examples])
        sums = log_likelihoods_of(pair, examples, tuned=tuned, on_batch=on_rows)
        self.spent.seconds += time.perf_counter() - started
        self.spent.prompt_tokens += sum(len(each.input_ids) for each in examples)
        return [value / max(1, each.learned) for value, each in zip(sums, examples, strict=True)]

    def close(self) -> None:
        if self._copy is not None:
            self._copy.leave()
            self._copy = None
            self._kept.clear()

    # ---- what is asked -------------------------------------------------------------------------------------

    @property
    def _copied(self) -> Copy:
        assert self._copy is not None, f"{self.about.name} is closed"
        return self._copy

    def _require(self, ability: Ability) -> None:
        assert ability in self.abilities, f"{self.about.name} {ability} not"

    def _pair(self) -> tuple[Pair, bool]:
        """The models in memory, asked as this side is, and which of their sides it is."""
        pair = self._copied.with_on(self._adapter) if self._adapter else self._copied.base()
        return pair.asked_by(self.asking.prompter) if self.asking else pair, self._adapter is not None

    def _answers(
        self, inputs: Sequence[Input], key: str, max_new_tokens: int, on_rows: OnRows | None
    ) -> list[Answer]:
        """Its own, by itself or in one batch with its partner's, which are left with it."""
        started = time.perf_counter()
        limits: Any = {"max_new_tokens": max_new_tokens, "on_batch": on_rows}
        partner = self.partner if self.partner and self.partner._copy is not None else None
        if partner is not None:
            pair, _ = (self if self._adapter else partner)._pair()
            if pair.mixes:
                both = answer_batch(pair, inputs, **limits)
                half = (time.perf_counter() - started) / 2
                self.spent.seconds += half
                partner.spent.seconds += half
                own, other = ([each.base for each in both], [each.tuned for each in both])[
                    :: -1 if self._adapter else 1
                ]
                partner._kept[key] = other
                return own
        pair, tuned = self._pair()
        answers = answer_side_batch(pair, inputs, tuned=tuned, **limits)
        self.spent.seconds += time.perf_counter() - started
        return answers

    def _answered(self, answer: Answer, prompt_tokens: int) -> Answered:
        assert self.asking is not None
        return self.asking.answered(
            answer.text,
            self.task,
            tokens=answer.tokens,
            prompt_tokens=prompt_tokens,
            cut_off=not answer.finished,
        )

    def _examples(self, inputs: Sequence[Input], targets: Sequence[str]) -> list[EncodedExample]:
        """Each input with its target as tokens, of which the target's are learned; of raw texts all."""
        assert self.asking is not None
        prompter = self.asking.prompter
        if self.task.kind == "text":
            return prompter.encode_rows([{self.task.input_column: given} for given in inputs])
        return [EncodedExample.of(*both) for both in prompter.encode_answers(inputs, targets)]

    def _room(self, inputs: Sequence[Input], new_tokens: int, labels: Sequence[str] = ()) -> list[int]:
        """Tokens of each prompt; refuses those that do not fit into the model with an answer."""
        if self.asking is None:
            tokenizer: Any = self._copied.loaded.tokenizer
            lengths = [len(ids) for ids in tokenizer(list(map(as_text, inputs)))["input_ids"]]
            self._refuse_longer(lengths, answered=False)
            return lengths
        prompter = self.asking.prompter
        if isinstance(prompter, FilePrompter):
            prompter.prepare(inputs)
        answer = max(map(len, prompter.encode_labels(labels)), default=new_tokens)
        lengths = [len(prompter.encode_prompt(given)) for given in inputs]
        self._refuse_longer([length + answer for length in lengths])
        return lengths

    def _refuse_longer(self, lengths: Sequence[int], *, answered: bool = True) -> None:
        limit = max_positions(self._copied.loaded.model.config)
        column = self.task.input_column
        what = "What is asked, counted from the first row that is judged,"
        refuse_longer(lengths, limit, column=column, answered=answered, model=self.about.name, what=what)


class LanguageModelSide(LocalSide):
    """One that is asked in words: it lends its model, and shows an answer as it is written.

    See `eval.sides.side.OnThisMachine` and `Streams`.
    """

    def stream(self, given: Input, *, max_new_tokens: int, stop: threading.Event) -> Iterator[Answered]:
        assert self.asking is not None
        prompter = self.asking.prompter
        given = prompter.asked(given)
        [length] = self._room([given], max_new_tokens)
        pair, tuned = self._pair()
        prompt = prompter.encode_prompt(given)
        for answer in stream_side(pair, prompt, tuned=tuned, max_new_tokens=max_new_tokens, stop=stop):
            yield self._answered(answer, length)

    def prompt_tokens(self, given: Input) -> int:
        assert self.asking is not None
        return len(self.asking.prompter.encode_prompt(self.asking.prompter.asked(given)))

    @contextlib.contextmanager
    def language_model(self) -> Iterator[tuple[Any, Any]]:
        pair, tuned = self._pair()
        with pair.side(tuned) as model:
            yield model, pair.tokenizer


def _key(inputs: Sequence[Input], max_new_tokens: int) -> str:
    """What answers are kept by: the very rows, and where they are cut off."""
    asked = [given if isinstance(given, str) else list(map(dict, given)) for given in inputs]
    return hashlib.sha256(json.dumps([asked, max_new_tokens]).encode()).hexdigest()

"""An engine that answers in Compare for what was tuned here, several visitors at once; this machine does the rest.

It answers for adapters on the model that it serves. A whole model, a classifier, an adapter that it does not take,
or an engine that is gone is an `EngineError`: then this machine answers as without one, and the page says why.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from data.tasks import Task
from eval.sides.engine import Engine, EngineError
from eval.sides.engine.shelf import SHELF, Shelf, name_of
from eval.vote_lines import Models
from finetuning.runs.folder import list_runs, runs_folder
from models.tuned import bundled_folder
from plumbing.errors import UserError
from ui.drawing import answers, text
from ui.drawing.answers import SideName, Turn
from ui.server.answering import MOST_TOKENS, take
from ui.server.choices import Choice
from ui.server.models_in_use import MODELS, POLL_S, Line, ModelsInUse, Opening
from ui.server.two_models import Two

if TYPE_CHECKING:
    from eval.sides.engine.forms import Question
    from eval.sides.engine.side import EngineSide
    from models.adapters import BaseOrigin

TENDED_S = 20.0
"""So often it is looked for runs that are new, or gone."""
_KEPT = 1000
_OPENED_AT_ONCE = 4
_EVERY_S = 0.1
"""Between two drawings of an answer that grows, where one is written; where more are, so much longer."""
_EVERY_S_MORE = 0.02
_SIDES: tuple[SideName, SideName] = ("base", "tuned")


class OnEngine:
    """What was tuned and its base, on the engine."""

    models_held = 0
    kind = "causal"

    def __init__(
        self, served: Served, base: EngineSide, tuned: EngineSide, origin: BaseOrigin, sha256: str
    ) -> None:
        self.served, self.sides = served, (base, tuned)
        self.title = served.engine.look()[0].title
        """What kind of engine it is."""
        self.task: Task = tuned.task
        self.labels = tuned.task.labels
        self.name, self._origin, self._sha256 = tuned.adapter, origin, sha256

    @property
    def about(self) -> str:
        """Where it is computed, in sentences."""
        return " ".join(self.sides[1].about.notes)

    @property
    def base(self) -> str:
        """The base model's name."""
        return self._origin.name

    def named(self, key: str) -> Models:
        """As a vote names it: of the base that was trained on, for the engine's own weights are not known."""
        return Models(
            base=self._origin.name,
            base_sha256=self._origin.weights_sha256,
            tuned=key,
            tuned_sha256=self._sha256,
            contract_sha256=self.sides[1].prompter.contract.sha256,
            task=self.task.name,
        )


class OfEngine:
    """The same as `answering.Both`: both sides at once, as fast as the engine writes them."""

    in_words = True

    def __init__(self, opened: OnEngine) -> None:
        self._opened, self._served = opened, opened.served
        self.task, self.labels = opened.task, opened.labels

    def named(self, key: str) -> Models:
        return self._opened.named(key)

    def check_length(self, turn: Turn, before: list[Turn]) -> None:
        room = min(MOST_TOKENS, *(side.longest or MOST_TOKENS for side in self._opened.sides))
        room -= self.task.answer_tokens
        length = max(len(each.prompt) for each in self._questions(turn, before))
        if length > room:
            raise UserError(
                f"The message is too long: it makes {length:,} tokens, and at most {room:,} are read here",
                fix="Shorten it.",
            )

    def answers(self, turn: Turn, before: list[Turn], stop: threading.Event) -> Iterator[None]:
        questions, engine = self._questions(turn, before), self._served.engine
        if turn.labels:
            labels = self._opened.sides[1].prompter.encode_labels(turn.labels)
            for name, found in zip(_SIDES, engine.choose(questions, labels), strict=True):
                turn.side(name).probabilities = answers.shares(found)
            turn.judge()
            yield
        every_s = _EVERY_S + _EVERY_S_MORE * self._served.line.at_work
        for written in engine.stream(questions, stop, every_s=every_s):
            for name, step in zip(_SIDES, written, strict=True):
                take(turn.side(name), step, stop)
            yield

    def weigh(self, turn: Turn) -> None:
        """Nothing to note: what the second side costs is the engine's to know."""

    def _questions(self, turn: Turn, before: list[Turn]) -> list[Question]:
        return [
            side.question(answers.given(turn, before, name), self.task.answer_tokens)
            for name, side in zip(_SIDES, self._opened.sides, strict=True)
        ]


class Served:
    """What the engine answers for, and who waits for it: as `ModelsInUse` is for this machine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.line = engine, Line()
        self._open: OrderedDict[str, OnEngine] = OrderedDict()
        self._openers = ThreadPoolExecutor(_OPENED_AT_ONCE, thread_name_prefix="open-on-engine")
        self._passed_over: set[Path] = set()

    def opened(self, wanted: Choice | Two) -> OnEngine | None:
        """It, if it is open already, and what was tuned is still the same."""
        found = self._open.get(wanted.key)
        if found is not None and isinstance(wanted, Choice):
            with contextlib.suppress(OSError):
                return found if found.name == name_of(wanted.folder) else None
        return None

    def open(self, wanted: Choice | Two, stop: threading.Event) -> Iterator[Opening | OnEngine]:
        """As of `ModelsInUse`.

        Raises:
            EngineError: the engine does not answer for it, with the reason.
        """
        assert isinstance(wanted, Choice)
        if (found := self.opened(wanted)) is not None:
            yield found
            return
        began = time.monotonic()
        opening = self._openers.submit(self._opened_now, wanted)
        while not opening.done() and not stop.is_set():
            yield Opening(text.TO_ENGINE, 0, 0, seconds=time.monotonic() - began)
            with contextlib.suppress(TimeoutError):
                opening.exception(POLL_S)
        if not stop.is_set():
            yield opening.result()

    def tend(self) -> None:
        """Take adapters off whose runs are gone; write those of new runs for who wants them at its start.

        Raises:
            EngineError: the engine cannot be looked at.
        """
        _, serving = self.engine.look()
        self.line.at_once = serving.at_once
        folders = [*bundled_folder().glob("*/"), *(run.tuned for run in list_runs())]
        names = set()
        for folder in folders:
            with contextlib.suppress(OSError):
                names.add(name_of(folder))
                if folder not in self._passed_over:
                    self._passed_over.add(folder)
                    with contextlib.suppress(UserError):
                        require_served(folder, self.engine)
                        self.engine.prepare(folder)
        self.engine.keep_only(names)

    def _opened_now(self, choice: Choice) -> OnEngine:
        from models import libraries

        libraries.ready()
        found = _on_engine(choice, self)
        self.line.at_once = self.engine.look()[1].at_once
        self._open[choice.key] = found
        self._open.move_to_end(choice.key)
        while len(self._open) > _KEPT:
            self._open.popitem(last=False)
        return found


def require_served(folder: Path, engine: Engine) -> BaseOrigin:
    """What was tuned in `folder` stands on, where it is one that the engine can answer for.

    Raises:
        EngineError: it is not, with the reason.
        ModelError: it does not say.
    """
    from models.adapters import BaseOrigin
    from models.whole import is_whole

    origin = BaseOrigin.load(folder)
    if is_whole(folder):
        raise EngineError("An engine puts adapters on its model, and this is a whole one")
    if origin.kind != "causal":
        raise EngineError("An engine writes, and this model does not")
    engine.require(origin.name, vocabulary=0)
    return origin


def _on_engine(choice: Choice, served: Served) -> OnEngine:
    """What was tuned and its base on the engine, asked by the prompt of training.

    Raises:
        EngineError: the engine does not answer for it.
        UserError: what was tuned cannot be used.
    """
    from eval.sides.engine.side import open_on
    from eval.sides.prompts import asking
    from eval.sides.side import About
    from models.loading import load_tokenizer
    from models.sources import resolve
    from models.tuned import weights_sha256

    engine = served.engine
    origin = require_served(choice.folder, engine)
    source = resolve(origin.name)
    asked_by = asking(load_tokenizer(source), choice.task, folder=choice.folder)
    about = About(kind="adapter", name=choice.label, base=origin.name)
    task, precision = choice.task, origin.precision
    base = open_on(engine, asked_by, task, source, about, precision=precision)
    tuned = open_on(engine, asked_by, task, source, about, adapter=choice.folder, precision=precision)
    return OnEngine(served, base, tuned, origin, weights_sha256(choice.folder))


# ---- the one that this app was told of ---------------------------------------------------------------------

_served: Served | None = None


def use(address: str | None) -> Served | None:
    """Let the engine at `address` answer from now on; None for this machine alone.

    Raises:
        UserError: it is no address.
    """
    global _served
    before, _served = _served, None
    if before is not None:
        before.engine.close()
    if address:
        from finetuning.export.engine import to_gguf

        _served = Served(Engine(address, Shelf(runs_folder() / SHELF, to_gguf)))
    return _served


def ways(wanted: Choice | Two) -> list[Served | ModelsInUse]:
    """Who answers: the engine, where there is one and it is what was tuned here, and else this machine."""
    return [MODELS] if _served is None or isinstance(wanted, Two) else [_served, MODELS]


def waiting() -> int:
    """How many wait for the engine."""
    return 0 if _served is None else len(_served.line)


def tend() -> None:
    """Tend the engine for as long as the app runs; says once what it is, and what is wrong with it."""
    import logging

    said = ""
    while _served is not None:
        try:
            _served.tend()
            kind, serving = _served.engine.look()
            now = f"{kind.title} at {_served.engine.address.base} answers in Compare: {serving.model}"
        except EngineError as error:
            now = f"{error} This machine answers in Compare meanwhile."
        except Exception:
            logging.getLogger(__name__).exception("The engine could not be tended")
            now = said
        if now != said:
            logging.getLogger(__name__).warning(now)
        said = now
        time.sleep(TENDED_S)

"""A base model's weights in NF4, measured once for all visitors and kept on the disk: whoever asks meanwhile waits.

Each layer is measured in the thread that computes all answers, one at a time between them, so that an answer waits
for some milliseconds and no second thread asks for the same cores.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from finetuning.recipe import load_recipe
from models import libraries
from ui.drawing import learn_text as said
from ui.drawing import text
from ui.server.answering import compute
from ui.server.models_in_use import MODELS, POLL_S, Opening, short_name

if TYPE_CHECKING:
    from models.four_bit import FourBit
    from models.resolved import ResolvedModel

USUAL = "dialogue-smollm2-qlora"
"""The recipe whose base is measured where no language model is open."""
SMALL_BYTES = 10**9
"""Of weights that are measured unasked: some seconds."""


class FourBitOnce:
    """What was measured, and what is being measured, by the base's name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, FourBit] = {}
        self._going_on: dict[str, _Work] = {}

    def found(self, base: str) -> FourBit | None:
        """What was measured of this base before, now or by an earlier app; None where nothing was."""
        if base not in self._found:
            libraries.ready()
            from models.four_bit import kept
            from models.sources import in_reach

            source = in_reach(base)
            if source is None or (known := kept(source)) is None:
                return None
            self._found[base] = known
        return self._found[base]

    def is_quick(self, base: str) -> bool:
        """Whether measuring it takes but seconds: it is here, and small."""
        libraries.ready()
        from models.sources import in_reach

        source = in_reach(base)
        if source is None:
            return False
        return sum(file.stat().st_size for file in source.path.glob("*.safetensors")) <= SMALL_BYTES

    def measure(self, base: str) -> Iterator[Opening | FourBit]:
        """Yields how far it is, and what was measured at the end.

        Raises:
            UserError: the base model cannot be had, or is none whose layers can be packed.
        """
        with self._lock:
            work = self._going_on.get(base)
            if work is None or not work.thread.is_alive():
                work = self._going_on[base] = _Work(base)
        while work.thread.is_alive():
            yield work.state
            work.thread.join(POLL_S)
        if work.error is not None:
            raise work.error
        assert work.result is not None
        self._found[base] = work.result
        yield work.result


class _Work:
    """One measurement in a thread of its own, which computes nothing itself."""

    def __init__(self, base: str) -> None:
        self.result: FourBit | None = None
        self.error: Exception | None = None
        self.state = Opening(said.MEASURING if libraries.are_ready() else text.IMPORTING, 0, 0)
        self._base = base
        self.thread = threading.Thread(target=self._work, name="four-bit", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self.result = self._measured()
        except Exception as error:
            self.error = error

    def _measured(self) -> FourBit:
        libraries.ready()
        from models.four_bit import Measurement, keep, kept
        from models.sources import resolve

        source: ResolvedModel = resolve(self._base, progress=self._progress)
        if known := kept(source):
            return known
        measurement = Measurement(source)
        for done, name in enumerate(measurement.names):
            self._progress(f"{said.MEASURING} of {short_name(self._base)}", done, len(measurement.names))
            compute(functools.partial(measurement.take, name))
        result = measurement.result()
        keep(source, result)
        return result

    def _progress(self, what: str, done: int, total: int) -> None:
        self.state = Opening(what, done, total)


def base_in_use() -> str | None:
    """The base of the language model that was used last, of those that are open; None where none is."""
    return MODELS.newest_language_model()


def usual_base() -> str:
    """The base that is measured where none is open."""
    return load_recipe(USUAL).model.base


FOUR_BIT = FourBitOnce()

"""What a run was submitted with and began from, and whether it may go on from there.

A checkpoint holds weights, the optimizer's state and a place in the order of the rows. Over other rows, other base
weights or other settings it would go on without a word, and what it ends with would be none of its recipe's. So
these are noted when the first attempt begins, and compared before any later one goes on.

    submitted.json   SHA-256 of each file that the rows come from, when the run was submitted
    began.json       what the first attempt began from

A run that was made before there were such files goes on unasked, unless it learned from a sample of the rows: that
is drawn in another way now.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from data.sources import absolute_spec
from eval.metrics import is_here, name_from_anywhere
from finetuning.recipe import Recipe, with_overrides
from finetuning.runs.folder import Run
from finetuning.upgrade import upgrade_settings
from plumbing.errors import RunError
from plumbing.reading import read_text
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    from datasets import Dataset

    from models.adapters import BaseOrigin

SUBMITTED_FILE = "submitted.json"
BEGAN_FILE = "began.json"
_MAX_BYTES = 2**20
_FREE = frozenset({"name", "title", "where", "data", "evaluation"})
_FREE |= {"training.max_minutes", "training.report_to", "training.shard"}
"""Settings that may change on the way: none of them changes what is trained. Of `data`, the rows are compared."""


class Beginning(BaseModel):
    """What the first attempt of a run began from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, Any]
    """Dotted name → value, of every setting that decides what is trained."""
    train_sha256: str
    """Of the training rows, see `trained_rows.hash_rows`."""
    weights_sha256: str
    """Of the base's weights."""
    precision: str
    """How the base's weights were held."""
    tokens_sha256: str | None = None
    """Of the training rows as the model reads them, see `hash_tokens`; None in a run from before this was noted."""
    base: str = ""
    """The base's name and revision, for a person."""

    @classmethod
    def of(cls, recipe: Recipe, train_sha256: str, tokens_sha256: str, origin: BaseOrigin) -> Beginning:
        return cls(
            settings=_settings(recipe),
            train_sha256=train_sha256,
            tokens_sha256=tokens_sha256,
            base=f"{origin.name} {origin.revision}".strip(),
            weights_sha256=origin.weights_sha256,
            precision=origin.precision,
        )

    @classmethod
    def load(cls, run: Run) -> Beginning | None:
        """What `save` wrote, where the run has something to go on from; else None.

        Raises:
            RunError: the file is damaged.
        """
        if not _has_begun(run):
            return None
        try:
            found = cls.model_validate_json(read_text(run.folder / BEGAN_FILE, limit=_MAX_BYTES))
            return found.model_copy(update={"settings": upgrade_settings(found.settings)})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, ValidationError):
            raise RunError(f"{BEGAN_FILE} of run {run.id} cannot be read", fix="Start a new run.") from None

    def save(self, run: Run) -> None:
        write_atomically(run.folder / BEGAN_FILE, self.model_dump_json(indent=2))

    def check_settings(self, run: Run, recipe: Recipe) -> None:
        """Refuse settings other than those that the run began with.

        Raises:
            RunError: with each of them.
        """
        now = _settings(recipe)
        changed = [
            f"{name} was {_shown(before)} at the checkpoint and is {_shown(now.get(name))}"
            for name, before in self.settings.items()
            if now.get(name) != before
        ]
        if changed:
            raise RunError(
                f"The run cannot go on: {'; '.join(changed)}",
                fix=f"Set it back in {run.folder / 'recipe.yaml'}, or start a new run.",
            )

    def check_rows(self, train_sha256: str) -> None:
        """Refuse training rows other than those that the run began with.

        Raises:
            RunError: they are others, or in another order.
        """
        if train_sha256 != self.train_sha256:
            raise RunError(
                "The data has changed since the run began: its checkpoint has learned from other rows",
                fix="Start a new run, or put the data back as it was.",
            )

    def check_base(self, now: Beginning) -> None:
        """Refuse a base other than the one that the run began with.

        Raises:
            RunError: its weights are others, they are held in another precision, or it reads the rows otherwise.
        """
        if now.weights_sha256 != self.weights_sha256:
            raise RunError(
                "The base model's weights have changed since the run began",
                got=now.base,
                fix="Start a new run, or put the base model back as it was.",
            )
        if now.precision != self.precision:
            raise RunError(
                f"The base was held in {self.precision} at the checkpoint",
                got=now.precision,
                fix="Go on where it began, or start a new run.",
            )
        if self.tokens_sha256 not in (None, now.tokens_sha256):
            raise RunError(
                "The base model's tokenizer or prompt has changed since the run began: its rows are other tokens",
                got=now.base,
                fix="Start a new run, or put the base model and this program back as they were.",
            )


def hash_tokens(encoded: Dataset) -> str:
    """SHA-256 over the tokens of encoded rows, in order, and where each row ends: of all that a row has."""
    digest = hashlib.sha256()
    for column in sorted(name for name in encoded.column_names if name.endswith("_ids")):
        for ids in encoded[column]:
            digest.update(array("q", [len(ids), *ids]).tobytes())
    return digest.hexdigest()


def note_submitted(run: Run, recipe: Recipe) -> None:
    """Write down which files the rows come from, and their hashes."""
    write_atomically(run.folder / SUBMITTED_FILE, json.dumps(file_hashes(recipe), indent=2))


def file_hashes(recipe: Recipe) -> dict[str, str | None]:
    """Each file that the rows come from, and its SHA-256; one that is not there has none."""
    return {spec: _hash_of(spec) for spec in _files(recipe)}


def check_submitted(run: Run, recipe: Recipe) -> None:
    """Refuse to begin with files that are not those that were submitted.

    A run may wait for hours behind others, and what its owner has checked is what they submitted.

    Raises:
        RunError: with the file that has changed.
    """
    try:
        submitted = json.loads(read_text(run.folder / SUBMITTED_FILE, limit=_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return
    for spec in _files(recipe):
        before = submitted.get(spec) if isinstance(submitted, dict) else None
        if before and _hash_of(spec) not in (None, before):
            raise RunError(
                "The file has changed since the run was submitted",
                got=spec.removeprefix("file:"),
                fix="Start a new run with it.",
            )


def check_unrecorded(run: Run, recipe: Recipe) -> None:
    """Refuse to go on from a checkpoint that nobody knows the rows of.

    Raises:
        RunError: it is of before there were records, and its rows were a sample.
    """
    if recipe.data.train_rows is not None and run.checkpoint() is not None:
        raise RunError(
            "This run was begun by an earlier version, which drew other rows for data.train_rows",
            got=recipe.data.train_rows,
            fix="Start a new run.",
        )


def with_whole_paths(recipe: Recipe) -> Recipe:
    """`recipe` as it reads from any folder: the worker's is another than that of whoever submits."""
    changes: dict[str, Any] = {"data.source": absolute_spec(recipe.data.source)}
    for key, spec in (("data.test", recipe.data.test), ("evaluation.source", recipe.evaluation.source)):
        if spec is not None:
            changes[key] = absolute_spec(spec)
    for key, name in (("model.base", recipe.model.base), ("model.adapter", recipe.model.adapter)):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a null byte, too long, `~somebody`
            folder = Path(name or "").expanduser()
            if name and folder.is_dir():
                changes[key] = str(folder.absolute())
    context = recipe.evaluation.context
    if context is not None and not context.startswith("corpus:"):
        changes["evaluation.context"] = str(Path(context).expanduser().absolute())
    changes["evaluation.metrics"] = list(map(name_from_anywhere, recipe.evaluation.metrics))
    if is_here(metric := recipe.task_definition.metric):
        changes["task.metric"] = name_from_anywhere(metric)
    return with_overrides(recipe, changes)


def _has_begun(run: Run) -> bool:
    """Whether there is something that a later attempt goes on from."""
    return run.checkpoint() is not None or run.tuned.is_dir()


def _settings(recipe: Recipe) -> dict[str, Any]:
    return {
        name: value for name, value in _leaves(recipe.model_dump()) if not {name, name.partition(".")[0]} & _FREE
    }


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _files(recipe: Recipe) -> list[str]:
    named = (recipe.data.source, recipe.data.test, recipe.evaluation.source)
    return [spec for spec in named if spec and spec.startswith("file:")]


def _hash_of(spec: str) -> str | None:
    """SHA-256 of the file; None where it cannot be read, which is told when its rows are."""
    path = Path(spec.removeprefix("file:"))
    try:
        if not path.is_file():
            return None
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return None

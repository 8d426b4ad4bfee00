"""What went wrong with a run, in a sentence. A full disk and short memory come in many guises."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from finetuning.recipe import Recipe
from finetuning.runs.folder import Run
from finetuning.runs.locks import FULL, free_mb
from plumbing import doors
from plumbing.errors import RunError, UserError

_DISK_IS_FULL = ("no space left on device", "disk quota exceeded", "file too large", "pytorchstreamwriter failed")
_MEMORY_IS_SHORT = ("out of memory", "allocate memory", "bad_alloc", "not enough memory", "unable to allocate")

_PEER_IS_LOST = ("connection closed by peer", "connection reset by peer", "gloo", "nccl", "broken pipe")

_CHECKPOINTING = "training.gradient_checkpointing"
_ACCUMULATION = "training.gradient_accumulation"


def explain(error: BaseException, run: Run) -> UserError | None:
    """The sentence that a person can act on; None for an error that is a bug."""
    if isinstance(error, UserError):
        return error
    chain = list(_chain(error))
    if any(_is(part, _DISK_IS_FULL, FULL) for part in chain):
        return _disk_is_full(run)
    if any(isinstance(part, MemoryError) or _is(part, _MEMORY_IS_SHORT, {errno.ENOMEM}) for part in chain):
        return _memory_is_short(run, error)
    return None


def is_lost_peer(error: BaseException) -> bool:
    """Whether it says that another process, which works on the same run, is not there any more."""
    return any(any(text in str(part).lower() for text in _PEER_IS_LOST) for part in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    part: BaseException | None = error
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        yield part
        part = part.__cause__ or part.__context__


def _is(error: BaseException, texts: tuple[str, ...], numbers: frozenset[int] | set[int]) -> bool:
    said = str(error).lower()
    return getattr(error, "errno", None) in numbers or any(text in said for text in texts)


def _disk_is_full(run: Run) -> RunError:
    if run.is_job:
        return RunError(f"There is no space left: {free_mb(run.folder):.1f} MB are free", fix="Make space.")
    kept = run.checkpoint()
    return RunError(
        f"There is no space left in {run.folder}: a checkpoint takes about {_checkpoint_mb(run):.1f} MB, and "
        f"{free_mb(run.folder):.1f} MB are free",
        fix=f"Make space and resume: it goes on from {kept.name if kept else 'the beginning'}.",
    )


def _checkpoint_mb(run: Run) -> float:
    """What a checkpoint takes, in MB: as the last one does, or an estimate."""
    if kept := run.checkpoint():
        return sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) / 1e6
    trainable = 0.0
    with contextlib.suppress(RunError, ValueError):
        trainable = float(run.status().facts.get("trainable", 0))
    return trainable * 12 / 1e6 + 5  # weights and two moments of 4 bytes each at most; the tokenizer


def _memory_is_short(run: Run, error: BaseException) -> RunError:
    what = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if run.is_job:
        return RunError(
            "There is not enough memory for this", got=what, fix="Ask again when this machine has more to spare."
        )
    recipe, evaluating = run.recipe(), run.status().state == "evaluating"
    advice = []
    if lower := _what_takes_memory(recipe, evaluating=evaluating):
        advice.append(f"lower {', '.join(lower)}")
    if not evaluating and not recipe.training.gradient_checkpointing and doors.can_set(_CHECKPOINTING):
        advice.append(f"set {_CHECKPOINTING} to true")
    if recipe.strategy.whole:
        advice.append("train an adapter, which takes a fraction of it (strategy.kind=lora)")
    elif recipe.model.precision != "nf4":
        advice.append("choose a recipe whose base is held in 4 bit")
    said = "; or ".join(advice) or "resume it when this machine has more memory to spare"
    return RunError(
        f"There is not enough memory for {'evaluating' if evaluating else 'training'} with these settings",
        got=what,
        fix=f"{said[0].upper()}{said[1:]}.",
    )


def _what_takes_memory(recipe: Recipe, *, evaluating: bool) -> list[str]:
    """The settings that can be lowered at this door, with what they are."""
    now: dict[str, object] = {
        doors.BATCH_SIZE: recipe.training.batch_size,
        doors.MAX_TOKENS: recipe.training.max_tokens,
    }
    if doors.can_set(_ACCUMULATION):
        now[doors.BATCH_SIZE] = f"{recipe.training.batch_size}; {_ACCUMULATION} makes up for it"
    if evaluating:
        batch_size = recipe.evaluation.batch_size or "chosen by the task"
        now = {"evaluation.batch_size": batch_size, "evaluation.few_shot": recipe.few_shot}
    return [f"{doors.named(key)} (now {value})" for key, value in now.items() if doors.can_set(key)]

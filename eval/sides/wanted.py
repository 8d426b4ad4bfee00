"""A side on this machine before anything of it is loaded: which weights it is, and what can be refused already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from data.tasks import Task
from eval.sides.looking import CONFIG_FILE, Looked, base_of, is_ours
from eval.sides.prompts import contract_in
from eval.sides.side import Asked
from models import loading
from models.adapter_files import read_json
from models.adapters import ORIGIN_FILE, BaseOrigin
from models.any_adapter_config import read_plan
from models.gguf_files import resolve_gguf
from models.kinds import Kind, require_answers
from models.loading import Precision
from models.pair import precision_of
from models.prompting import PromptContract, task_of
from models.resolved import Progress, ResolvedModel
from models.sources import resolve
from models.whole import is_whole
from plumbing.doors import side_option
from plumbing.errors import ModelError, RecipeError

_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""How the architectures end that write."""
LABELS, PROMPT = "labels", "prompt"


@dataclass
class Wanted:
    """A side, before anything of it is loaded."""

    asked: Asked
    look: Looked
    source: ResolvedModel
    """Of the model, or of an adapter's base."""
    kind: Kind
    precision: Precision
    """`auto` where it may be that of another side on the same weights."""
    adapter: Path | None = None
    ours: Path | None = None
    """The folder of what this project tuned, where its contract lies."""
    head: Task | None = None
    """Of a classifier whose classes are not in its files, the task whose labels they are, in their order."""
    notes: tuple[str, ...] = ()
    borrows: Wanted | None = None
    """Of a base, what is compared with it and lends it its contract."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What two sides share that stand on the same weights."""
        labels = self.head.labels if self.head else ()
        return self.source.path.resolve(), self.source.gguf, self.kind, self.precision, labels

    @property
    def own_head(self) -> bool:
        return self.kind == "classifier" and self.head is None


def look_into(asked: Asked, look: Looked, task: Task, first: Wanted | None, progress: Progress | None) -> Wanted:
    """Which weights a side is, where they lie, and how they are computed.

    Args:
        asked: as a person named it.
        look: what it is.
        task: what it will be asked.
        first: the base of a comparison, where that is a model by itself: for an adapter whose own is not here.
        progress: told about what has to be fetched.

    Raises:
        UserError: it cannot be found or used, as far as that can be known without loading it.
    """
    precision = _precision(asked)
    if look.kind == "gguf":
        assert look.path is not None
        origin = "hub" if look.revision else "folder"
        source = resolve_gguf(look.path, name=look.name, origin=origin, revision=look.revision)
        return Wanted(asked, look, source, "causal", precision)
    if look.path is None:
        source = resolve(look.model, progress=progress)
        if look.kind == "classifier":
            return Wanted(asked, look, source, "classifier", precision)
        return _model(asked, look, source, precision, task)
    if is_whole(look.path):
        return _whole(asked, look, look.path, precision)
    return _adapter(asked, look, look.path, task, precision, first, progress)


def _precision(asked: Asked) -> Precision:
    chosen: Any = asked.options.get("precision", "auto")
    if chosen not in get_args(Precision):
        raise RecipeError(
            f"{asked.text} cannot be loaded in this precision",
            got=chosen,
            fix=f"There are {', '.join(get_args(Precision))}.",
        )
    return chosen  # type: ignore[no-any-return]


def _model(asked: Asked, look: Looked, source: ResolvedModel, precision: Precision, task: Task) -> Wanted:
    """A model by itself: one that writes, or an encoder, of which a classifier without training is made."""
    config = read_json(source.path / CONFIG_FILE, links=True)
    named = [str(each) for each in config.get("architectures") or []]
    if any(each.endswith("ForSequenceClassification") for each in named):
        return Wanted(asked, replace(look, kind="classifier"), source, "classifier", precision)
    if not named or any(each.endswith(_WRITERS) for each in named):
        ours = source.path if source.origin == "folder" and is_ours(source.path) else None
        return Wanted(asked, look, source, "causal", precision, ours=ours)
    if not task.is_classification:
        raise ModelError(
            "This model writes nothing and has no head of labels, so it answers nothing",
            got=f"{look.name}: {', '.join(named)}",
            fix="Name a language model, such as HuggingFaceTB/SmolLM2-135M-Instruct.",
        )
    note = "Its head of labels has not been trained: what it answers is chance."
    return Wanted(asked, look, source, "classifier", precision, head=task, notes=(note,))


def _whole(asked: Asked, look: Looked, folder: Path, precision: Precision) -> Wanted:
    """A whole model that a run has tuned."""
    kind: Kind = "causal"
    if (folder / ORIGIN_FILE).exists():
        origin = BaseOrigin.load(folder)
        kind = origin.kind
        precision = precision_of(folder, origin) if precision == "auto" else precision
    require_answers(kind)
    source = replace(resolve(str(folder)), name=look.name)
    return Wanted(asked, look, source, kind, precision, ours=folder if is_ours(folder) else None)


def _adapter(
    asked: Asked,
    look: Looked,
    folder: Path,
    task: Task,
    precision: Precision,
    first: Wanted | None,
    progress: Progress | None,
) -> Wanted:
    named = base_of(look)
    notes: tuple[str, ...] = ()
    kind: Kind
    head: Task | None = None
    if is_ours(folder):
        origin = BaseOrigin.load(folder)
        kind = origin.kind
        precision = precision_of(folder, origin) if precision == "auto" else precision
        head = task_of(folder, PromptContract.load(folder)) if kind == "classifier" else None
    else:
        plan = read_plan(folder)
        kind, notes = ("classifier" if plan.task_type == "SEQ_CLS" else "causal"), plan.notes
        head = _head_of(asked, task) if kind == "classifier" else None
    require_answers(kind)
    source, note = _base(asked, named, first, progress)
    if is_ours(folder):
        source = replace(source, name=named)  # in another place, it may be, but the one that it says
    made = Wanted(asked, look, source, kind, precision, adapter=folder, head=head)
    made.ours = folder if is_ours(folder) else None
    made.notes = (*notes, *([note] if note else []))
    return made


def _base(asked: Asked, named: str, first: Wanted | None, progress: Progress | None) -> tuple[ResolvedModel, str]:
    """The base that an adapter stands on, and what has to be said of it."""
    if chosen := asked.options.get("base"):
        source = resolve(chosen, progress=progress)
        return source, "" if named in ("", chosen) else f"Its config names the base {named}; it is on {chosen}."
    try:
        if not named:
            raise ModelError(
                "The adapter does not say which base model it is for",
                got=asked.text,
                fix=f"Say so: {side_option('base', 'NAME')}.",
            )
        return resolve(named, progress=progress), ""
    except ModelError as missing:
        # Trained on another machine, from a folder there. A name on the Hub would be another model.
        is_name = named.count("/") == 1 and not named.startswith(("/", ".", "~"))
        if is_name or first is None or first.kind != "causal" or first.source.gguf:
            if not named:
                raise
            fix = f"{asked.text} is an adapter on it. Say where it is: {side_option('base', 'FOLDER')}."
            raise ModelError(missing.problem, got=named, fix=fix) from None
        said = f"Its config names the base {named}, which is not here" if named else "Its config names no base"
        return first.source, f"{said}: it is on {first.look.name}, where its shapes fit."


def _head_of(asked: Asked, task: Task) -> Task:
    """The task with its labels in the order of an adapter's classes, which no file of peft's names."""
    if LABELS not in asked.options:
        raise ModelError(
            "The adapter is of a classifier, and no file of it says what its classes are",
            got=asked.text,
            fix=f"Say so, in their order: {side_option(LABELS, ','.join(task.labels))}.",
        )
    return replace(task, labels=tuple(labels_option(asked.options[LABELS], task)))


def labels_option(text: str, task: Task) -> list[str]:
    """The task's labels in the order of a classifier's classes, as the option `labels` gives them.

    Raises:
        RecipeError: they are not the task's.
    """
    try:
        given = json.loads(text) if text.lstrip().startswith("[") else [each.strip() for each in text.split(",")]
    except ValueError:
        given = []
    if not isinstance(given, list) or sorted(map(str, given)) != sorted(task.labels):
        raise RecipeError(
            "The option labels has to name every label of the task once, in the order of the classifier's classes",
            got=text,
            fix=f"The task's labels are {', '.join(task.labels)}.",
        )
    return list(map(str, given))


def settle_precisions(wanted: Sequence[Wanted]) -> None:
    """Let sides compute alike where nothing else is said: those on the same weights, and then all.

    Where one has its precision from its training, or a person has said it, the others have it as well; 4 bit are
    of the same weights alone.
    """
    fixed: dict[tuple[Any, ...], Precision] = {}
    for each in wanted:
        if each.precision != "auto":
            fixed.setdefault((each.source.path.resolve(), each.source.gguf, each.kind), each.precision)
    said = {precision for precision in fixed.values() if precision != "nf4"}
    usual = said.pop() if len(said) == 1 else loading.best_precision()
    for each in wanted:
        if each.precision == "auto":
            each.precision = fixed.get((each.source.path.resolve(), each.source.gguf, each.kind), usual)


def lend_contract(wanted: Sequence[Wanted], task: Task) -> None:
    """Let the first, the base, be asked by the contract of what is compared with it, where there is just one.

    So was the report of a run made.

    Raises:
        ModelError: a contract cannot be read.
    """
    base, *others = wanted
    if base.kind != "causal" or base.ours or PROMPT in base.asked.options or task.kind == "text":
        return
    found: dict[str, Wanted] = {}
    for each in others:
        if each.ours and each.kind == "causal" and PROMPT not in each.asked.options:
            contract, _, why = contract_in(each.ours, task)
            if not why:
                found.setdefault(contract.sha256, each)
    if len(found) == 1:
        (base.borrows,) = found.values()

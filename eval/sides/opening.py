"""Sides on this machine, from their names to what answers: which weights are loaded, once, and what is on them.

First everything that can be known without loading is known of all of them, and refused; then each base is loaded
once; then adapters are checked, put on and proved to act. An adapter of ours is checked as the page checks it
(`models.adapters`); anybody else's by `models.any_adapter`, whose docstring says where the line is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from data.tasks import Task
from data.tasks.saved import load_task
from eval.sides.local import Adapter, Copy, LocalSide
from eval.sides.looking import CONFIG_FILE, Looked, base_of, is_ours
from eval.sides.prompts import PromptFile, asking
from eval.sides.side import About, Asked, Side
from models import loading
from models.adapter_files import read_json
from models.adapters import ORIGIN_FILE, BaseOrigin, attach
from models.any_adapter import attach_any, template_beside
from models.any_adapter_config import read_plan
from models.gguf_files import packed_in, resolve_gguf
from models.kinds import Kind, require_answers
from models.loading import Precision
from models.pair import precision_of, prove_on
from models.resolved import Progress, ResolvedModel
from models.sources import resolve
from models.tuned import weights_sha256
from models.whole import is_whole
from plumbing.errors import ModelError, RecipeError

_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""How the architectures end that write."""
LABELS = "labels"


@dataclass
class _Wanted:
    """A side, before anything of it is loaded."""

    asked: Asked
    look: Looked
    source: ResolvedModel
    """Of the model, or of an adapter's base."""
    kind: Kind
    precision: Precision
    """`auto` where it may be that of another side on the same weights."""
    adapter: Path | None = None
    tuned: Path | None = None
    """The folder of what was tuned, where a contract may lie."""
    head: Task | None = None
    """Of a classifier whose classes are not in its files, the task whose labels they are, in their order."""
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """What two sides share that stand on the same weights."""
        labels = self.head.labels if self.head else ()
        return self.source.path.resolve(), self.source.gguf, self.kind, self.precision, labels

    @property
    def own_head(self) -> bool:
        return self.kind == "classifier" and self.head is None


def open_local(
    named: Sequence[tuple[Asked, Looked]], task: Task, *, progress: Progress | None = None
) -> list[Side]:
    """Open sides on this machine; the first is the base, if it is a model by itself.

    Raises:
        UserError: one cannot be opened; nothing stays loaded.
    """
    wanted: list[_Wanted] = []
    for asked, look in named:
        first = wanted[0] if wanted and wanted[0].adapter is None else None
        wanted.append(_wanted(asked, look, task, first, progress))
    _settle_precisions(wanted)
    copies: dict[tuple[Any, ...], Copy] = {}
    opened: list[LocalSide] = []
    try:
        for each in wanted:
            opened.append(_open(each, task, copies))
        _ask_the_base_alike(wanted, opened, task)
        _let_answer_together(opened)
        for side in opened[1:]:
            _compare_weights(opened[0], side)
    except BaseException:
        for side in opened:
            side.close()
        raise
    return [*opened]


# ---- before anything is loaded -----------------------------------------------------------------------------


def _wanted(asked: Asked, look: Looked, task: Task, first: _Wanted | None, progress: Progress | None) -> _Wanted:
    precision = _precision(asked)
    if look.kind == "gguf":
        assert look.path is not None
        origin = "hub" if look.revision else "folder"
        source = resolve_gguf(look.path, name=look.name, origin=origin, revision=look.revision)
        return _Wanted(asked, look, source, "causal", precision)
    if look.path is None:
        source = resolve(look.model, progress=progress)
        if look.kind == "classifier":
            return _Wanted(asked, look, source, "classifier", precision)
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


def _model(asked: Asked, look: Looked, source: ResolvedModel, precision: Precision, task: Task) -> _Wanted:
    """A model by itself: one that writes, or an encoder, of which a classifier without training is made."""
    config = read_json(source.path / CONFIG_FILE, links=True)
    named = [str(each) for each in config.get("architectures") or []]
    if any(each.endswith("ForSequenceClassification") for each in named):
        return _Wanted(asked, replace(look, kind="classifier"), source, "classifier", precision)
    if not named or any(each.endswith(_WRITERS) for each in named):
        return _Wanted(asked, look, source, "causal", precision)
    if not task.is_classification:
        raise ModelError(
            "This model writes nothing and has no head of labels, so it answers nothing",
            got=f"{look.name}: {', '.join(named)}",
            fix="Name a language model, such as HuggingFaceTB/SmolLM2-135M-Instruct.",
        )
    note = "Its head of labels has not been trained: what it answers is chance."
    return _Wanted(asked, look, source, "classifier", precision, head=task, notes=(note,))


def _whole(asked: Asked, look: Looked, folder: Path, precision: Precision) -> _Wanted:
    """A whole model that a run has tuned."""
    kind: Kind = "causal"
    if (folder / ORIGIN_FILE).exists():
        origin = BaseOrigin.load(folder)
        kind = origin.kind
        precision = precision_of(folder, origin) if precision == "auto" else precision
    require_answers(kind)
    source = replace(resolve(str(folder)), name=look.name)
    return _Wanted(asked, look, source, kind, precision, tuned=folder)


def _adapter(
    asked: Asked,
    look: Looked,
    folder: Path,
    task: Task,
    precision: Precision,
    first: _Wanted | None,
    progress: Progress | None,
) -> _Wanted:
    named = base_of(look)
    notes: tuple[str, ...] = ()
    kind: Kind
    head: Task | None = None
    if is_ours(folder):
        origin = BaseOrigin.load(folder)
        kind = origin.kind
        precision = precision_of(folder, origin) if precision == "auto" else precision
        head = (load_task(folder) or task) if kind == "classifier" else None
    else:
        plan = read_plan(folder)
        kind, notes = ("classifier" if plan.task_type == "SEQ_CLS" else "causal"), plan.notes
        head = _head_of(asked, task) if kind == "classifier" else None
    require_answers(kind)
    source, note = _base(asked, named, first, progress)
    made = _Wanted(asked, look, source, kind, precision, adapter=folder, tuned=folder, head=head)
    made.notes = (*notes, *([note] if note else []))
    return made


def _base(asked: Asked, named: str, first: _Wanted | None, progress: Progress | None) -> tuple[ResolvedModel, str]:
    """The base that an adapter stands on, and what has to be said of it."""
    if chosen := asked.options.get("base"):
        source = resolve(chosen, progress=progress)
        return source, "" if named in ("", chosen) else f"Its config names the base {named}; it is on {chosen}."
    try:
        if not named:
            raise ModelError(
                "The adapter does not say which base model it is for", got=asked.text, fix="Say so: base=NAME."
            )
        return resolve(named, progress=progress), ""
    except ModelError:
        # Trained on another machine, from a folder there. A name on the Hub would be another model.
        is_name = named.count("/") == 1 and not named.startswith(("/", ".", "~"))
        if is_name or first is None or first.kind != "causal" or first.source.gguf:
            raise
        said = f"Its config names the base {named}, which is not here" if named else "Its config names no base"
        return first.source, f"{said}: it is on {first.look.name}, where its shapes fit."


def _head_of(asked: Asked, task: Task) -> Task:
    """The task with its labels in the order of an adapter's classes, which no file of peft's names."""
    if LABELS not in asked.options:
        raise ModelError(
            "The adapter is of a classifier, and no file of it says what its classes are",
            got=asked.text,
            fix=f"Say so, in their order: labels={','.join(task.labels)}.",
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


def _settle_precisions(wanted: Sequence[_Wanted]) -> None:
    """Let sides on the same weights compute alike where nothing else is said, and the rest as suits the machine."""
    fixed: dict[tuple[Any, ...], Precision] = {}
    for each in wanted:
        if each.precision != "auto":
            fixed.setdefault((each.source.path.resolve(), each.kind), each.precision)
    for each in wanted:
        if each.precision == "auto":
            each.precision = fixed.get((each.source.path.resolve(), each.kind)) or loading.best_precision()


# ---- loading -----------------------------------------------------------------------------------------------


def _open(wanted: _Wanted, task: Task, copies: dict[tuple[Any, ...], Copy]) -> LocalSide:
    if wanted.kind == "classifier" and not task.is_classification:
        raise ModelError(
            "A classifier can only be asked for labels",
            got=f"{wanted.look.name}, and the task is {task.kind}",
            fix="Name a language model.",
        )
    if wanted.key not in copies:
        options: Any = {"kind": wanted.kind, "precision": wanted.precision, "own_head": wanted.own_head}
        copies[wanted.key] = Copy(loading.load(wanted.source, task=wanted.head, **options), task)
    copy = copies[wanted.key]
    loaded, notes = copy.loaded, list(wanted.notes)
    asked_by, columns = None, None
    if wanted.kind == "causal":
        file = wanted.asked.options.get("prompt")
        asked_by = asking(
            loaded.tokenizer,
            task,
            folder=wanted.tuned,
            template=template_beside(wanted.adapter) if wanted.adapter and not is_ours(wanted.adapter) else None,
            file=PromptFile.load(Path(file).expanduser()) if file else None,
        )
        notes += asked_by.notes
    else:
        columns, said = _columns(loaded.model.config.id2label, task, wanted)
        notes += said
    adapter = None
    if wanted.adapter is not None:
        ours = is_ours(wanted.adapter)
        adapter = Adapter(wanted.adapter, attach if ours else attach_any)
        copy.take_off()
        model, adapter.proof = prove_on(
            loaded,
            lambda: adapter.attach(loaded, adapter.folder),
            BaseOrigin.load(wanted.adapter) if ours else None,
            task=task,
            prompter=asked_by.prompter if asked_by else None,
        )
        copy.with_on(adapter, model)
    about = _about(wanted, loaded, adapter, notes)
    return LocalSide(about, task, copy, adapter=adapter, asking=asked_by, columns=columns)


def _about(wanted: _Wanted, loaded: loading.LoadedModel, adapter: Adapter | None, notes: Sequence[str]) -> About:
    source, precision, said = wanted.source, str(loaded.precision), list(notes)
    if source.gguf:
        said.append(f"It is computed in {precision}, unpacked.")
        precision = packed_in(source.path / source.gguf)
    proof = ""
    if adapter is not None and adapter.proof is not None:
        described = adapter.proof.describe()
        proof = f"{described[:1].upper()}{described[1:]}."
    return About(
        kind=wanted.look.kind,
        name=wanted.look.name,
        weights_sha256=source.weights_sha256 if adapter is None else weights_sha256(adapter.folder),
        base=source.name if adapter is not None else "",
        revision=wanted.look.revision or (source.revision if adapter is None else ""),
        precision=precision,
        parameters=int(loaded.model.num_parameters()),
        proof=proof,
        notes=tuple(said),
    )


def _columns(classes: Mapping[int, str], task: Task, wanted: _Wanted) -> tuple[list[int], list[str]]:
    """The class of each of the task's labels, by its name or as the person says; what has to be said of the rest.

    Raises:
        ModelError: a label of the task is none of the classes.
    """
    names = [str(classes[number]) for number in sorted(classes)]
    if wanted.own_head and LABELS in wanted.asked.options:
        names = labels_option(wanted.asked.options[LABELS], task)
        if len(names) != len(classes):
            raise RecipeError(
                f"{wanted.look.name} has {len(classes)} classes",
                got=wanted.asked.options[LABELS],
                fix=f"They are called {', '.join(map(str, classes.values()))[:300]}.",
            )
    places: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        places.setdefault(name.strip().casefold(), []).append(number)
    found = [places.get(label.strip().casefold(), []) for label in task.labels]
    if any(len(each) != 1 for each in found):
        raise ModelError(
            "The classes of the classifier are not the labels of the task",
            got=f"{wanted.look.name}: {', '.join(names)[:300]}",
            fix=f"Say which is which, in the order of its classes: labels={','.join(task.labels)[:300]}.",
        )
    columns = [number for (number,) in found]
    rest = [name for number, name in enumerate(names) if number not in columns]
    note = f"Its classes {', '.join(rest)[:200]} are no labels of the task, and are left out of what it may answer."
    return columns, [note] if rest else []


# ---- what sides have to do with each other -----------------------------------------------------------------


def _ask_the_base_alike(wanted: Sequence[_Wanted], sides: Sequence[LocalSide], task: Task) -> None:
    """Ask a base by the contract of what is compared with it, where all of that has one and the same.

    So was the report of a run made. A base of other words, whose own template gives other prompts, keeps that.
    """
    base = sides[0]
    contracts = {side.asking.prompter.contract.sha256: number for number, side in _with_contract(sides)}
    if base.asking is None or base.asking.where_from != "template" or len(contracts) != 1:
        return
    (number,) = contracts.values()
    try:
        alike = asking(base.asking.prompter.tokenizer, task, folder=wanted[number].tuned)
    except ModelError:
        return
    note = f"It is asked by the contract that {sides[number].about.name} was tuned with."
    base.asking = alike
    base.about = replace(base.about, notes=(*base.about.notes, note))


def _with_contract(sides: Sequence[LocalSide]) -> list[tuple[int, Any]]:
    return [
        (number, side)
        for number, side in enumerate(sides)
        if number and side.asking is not None and side.asking.where_from == "contract"
    ]


def _let_answer_together(sides: Sequence[LocalSide]) -> None:
    """Make partners of the base and the first adapter on its weights that is asked alike."""
    base = sides[0]
    for side in sides[1:]:
        if base.may_share_with(side):
            base.partner, side.partner = side, base
            return


def _compare_weights(base: LocalSide, tuned: LocalSide) -> None:
    """Say of a whole model how it is known that it is not the base, or that it is."""
    if tuned.about.proof or tuned.is_adapted or base.is_adapted:
        return
    same, count = same_weights(base, tuned)
    if count == 0:
        proof, note = "It is not of the base's shapes: other layers, or other sizes.", ""
    elif same == count:
        proof, note = "", "Its weights are the base's, every one of them."
    else:
        proof, note = f"{count - same} of its {count} weights are not the base's.", ""
    tuned.about = replace(tuned.about, proof=proof, notes=(*tuned.about.notes, *([note] if note else [])))


def same_weights(one: LocalSide, other: LocalSide) -> tuple[int, int]:
    """How many tensors of two models are the same, and how many there are; (0, 0) where they have other shapes."""
    import torch

    own, others = one.weights(), other.weights()
    if {name: tensor.shape for name, tensor in own.items()} != {name: each.shape for name, each in others.items()}:
        return 0, 0
    same = sum(torch.equal(tensor, others[name].to(tensor)) for name, tensor in own.items())
    return same, len(own)

"""Sides on this machine, from their names to what answers: which weights are loaded, once, and what is on them.

First everything that can be known without loading is known of all of them, and refused; then each base is loaded
once; then adapters are checked, put on and proved to act. An adapter of ours is checked as the page checks it
(`models.adapters`); anybody else's by `models.any_adapter`, whose docstring says where the line is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.tasks import Task
from eval.sides.engine import Engine, EngineError
from eval.sides.engine.side import EngineSide, open_on
from eval.sides.local import Adapter, Copy, LanguageModelSide, LocalSide
from eval.sides.looking import Looked
from eval.sides.prompts import Asking, PromptFile, asking
from eval.sides.side import About, Asked, Side
from eval.sides.wanted import LABELS, PROMPT, Wanted, labels_option, lend_contract, look_into, settle_precisions
from models import loading
from models.adapters import BaseOrigin, attach
from models.any_adapter import attach_any
from models.any_adapter_config import read_plan
from models.gguf_files import packed_in, splits_unknown
from models.pair import prove_on
from models.resolved import Progress, ResolvedModel
from models.tokenizer_files import TokenizerBeside, cutting_sha256
from models.tuned import weights_sha256
from plumbing.doors import side_option
from plumbing.errors import ModelError, RecipeError


def open_local(
    named: Sequence[tuple[Asked, Looked]],
    task: Task,
    *,
    with_base: bool = True,
    only: int | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> list[Side]:
    """Open sides on this machine, or on the engine that answers for it.

    Args:
        named: what a person named, and what it is.
        task: what all of them are asked.
        with_base: whether the first is what the others are compared with, and not one of them.
        only: the place of the one that is opened; by default all are.
        progress: told about what has to be fetched.
        engine: answers for those that it serves; of the others it is said why it does not.

    Raises:
        UserError: one cannot be opened; nothing stays loaded.
    """
    wanted: list[Wanted] = []
    for asked, look in named:
        first = wanted[0] if with_base and wanted and wanted[0].adapter is None else None
        wanted.append(look_into(asked, look, task, first, progress))
    settle_precisions(wanted)
    if with_base and wanted:
        lend_contract(wanted, task)
    copies: dict[tuple[Any, ...], Copy] = {}
    opened: list[LocalSide | EngineSide] = []
    try:
        for each in wanted if only is None else [wanted[only]]:
            opened.append(_open(each, task, copies) if engine is None else _served(each, task, copies, engine))
        if with_base and only is None and opened and isinstance(opened[0], LocalSide):
            local = [each for each in opened if isinstance(each, LocalSide)]
            _let_answer_together(local)
            for other in local[1:]:
                _compare_weights(opened[0], other)
    except BaseException:
        for side in opened:
            side.close()
        raise
    return [*opened]


# ---- loading -----------------------------------------------------------------------------------------------


def _served(
    wanted: Wanted, task: Task, copies: dict[tuple[Any, ...], Copy], engine: Engine
) -> LocalSide | EngineSide:
    """The side on the engine; on this machine where the engine does not answer for it, which it then says."""
    try:
        if wanted.kind != "causal":
            raise EngineError("An engine writes, and this is a classifier")
        if wanted.ours and wanted.adapter is None:
            raise EngineError("A whole tuned model is not put on an engine, which has its base")
        if task.kind == "text":
            raise EngineError("How probable a text is, an engine is not asked")
        tokenizer = loading.load_tokenizer(wanted.source)
        asked_by, adapter = _asking(wanted, tokenizer, task), wanted.adapter
        about = About(
            kind=wanted.look.kind,
            name=wanted.look.name,
            weights_sha256=weights_sha256(adapter) if adapter else "",
            scaled_by=read_plan(adapter).scales if adapter else "",
            base=wanted.source.name if adapter else "",
            revision=wanted.look.revision or ("" if adapter else wanted.source.revision),
            tokenizer_sha256=cutting_sha256(tokenizer),
            notes=(*wanted.notes, *asked_by.notes, f"The engine at {engine.address.base} was asked."),
        )
        return open_on(
            engine, asked_by, task, wanted.source, about, adapter=adapter, precision=str(wanted.precision)
        )
    except EngineError as error:
        side = _open(wanted, task, copies)
        note = f"This machine computes it, and not the engine: {error}"
        side.about = replace(side.about, notes=(*side.about.notes, note))
        return side


def _open(wanted: Wanted, task: Task, copies: dict[tuple[Any, ...], Copy]) -> LocalSide:
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
        asked_by = _asking(wanted, loaded.tokenizer, task)
        notes += asked_by.notes
    else:
        columns, said = _columns(dict(loaded.model.config.id2label or {}), task, wanted)
        notes += said
    adapter = None
    if wanted.adapter is not None:
        adapter = Adapter(wanted.adapter, _attach_ours(wanted.source) if wanted.ours else attach_any)
        copy.take_off()
        model, adapter.proof = prove_on(
            loaded,
            lambda: adapter.attach(loaded, adapter.folder),
            BaseOrigin.load(wanted.adapter) if wanted.ours else None,
            task=task,
            prompter=asked_by.prompter if asked_by else None,
        )
        copy.with_on(adapter, model)
    about = _about(wanted, loaded, adapter, notes)
    kind = LocalSide if asked_by is None else LanguageModelSide
    return kind(about, task, copy, adapter=adapter, asking=asked_by, columns=columns)


def _attach_ours(source: ResolvedModel) -> Callable[[loading.LoadedModel, Path], Any]:
    """`models.adapters.attach`, by the name that the adapter has for its base: it may be loaded by another one."""
    return lambda loaded, folder: attach(replace(loaded, source=source), folder)


def _asking(wanted: Wanted, tokenizer: Any, task: Task) -> Asking:
    if file := wanted.asked.options.get(PROMPT):
        return asking(tokenizer, task, file=PromptFile.load(file, task))
    if wanted.adapter is not None and not wanted.ours:
        return asking(tokenizer, task, beside=TokenizerBeside.read(wanted.adapter))
    if (lender := wanted.borrows) is not None:
        # A base of other words, whose own template gives other prompts, keeps that.
        with contextlib.suppress(ModelError):
            note = f"It is asked by the prompt that {lender.look.name} was tuned with."
            return replace(asking(tokenizer, task, folder=lender.ours), where_from="borrowed", notes=(note,))
    return asking(tokenizer, task, folder=wanted.ours)


def _about(wanted: Wanted, loaded: loading.LoadedModel, adapter: Adapter | None, notes: Sequence[str]) -> About:
    source, precision, said = wanted.source, str(loaded.precision), list(notes)
    if source.gguf:
        said.append(f"It is computed in {precision}, unpacked.")
        file = source.path / source.gguf
        precision = packed_in(file)
        if rule := splits_unknown(file):
            said.append(
                f"It says that texts are split by the rule {rule!r}, which is not known here: some may be cut into "
                "other tokens than those it was trained on."
            )
    elif precision != "nf4" and (packed := _packed_by(loaded.model.config)):
        said.append(f"Its files hold weights that are packed by {packed}; it computes in {precision}.")
        precision = packed
    proof = ""
    if adapter is not None and adapter.proof is not None:
        described = adapter.proof.describe()
        proof = f"{described[:1].upper()}{described[1:]}."
    return About(
        kind=wanted.look.kind,
        name=wanted.look.name,
        weights_sha256=source.weights_sha256 if adapter is None else weights_sha256(adapter.folder),
        scaled_by="" if adapter is None else read_plan(adapter.folder).scales,
        base=source.name if adapter is not None else "",
        revision=wanted.look.revision or (source.revision if adapter is None else ""),
        precision=precision,
        tokenizer_sha256=cutting_sha256(loaded.tokenizer) if loaded.kind == "causal" else "",
        parameters=int(loaded.model.num_parameters()),
        proof=proof,
        notes=tuple(said),
    )


def _packed_by(config: Any) -> str:
    """What has packed the weights in a model's files: gptq, awq, fp8 …; empty where nothing has."""
    how = getattr(config, "quantization_config", None) or {}
    method = how.get("quant_method") if isinstance(how, dict) else how.quant_method
    return str(getattr(method, "value", method) or "")


def _columns(classes: Mapping[Any, str], task: Task, wanted: Wanted) -> tuple[list[int], list[str]]:
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
        written = side_option(LABELS, ",".join(task.labels)[:300])
        raise ModelError(
            "The classes of the classifier are not the labels of the task",
            got=f"{wanted.look.name}: {', '.join(names)[:300]}",
            fix=f"Say which is which, in the order of its classes: {written}.",
        )
    columns = [number for (number,) in found]
    rest = [name for number, name in enumerate(names) if number not in columns]
    note = f"Its classes {', '.join(rest)[:200]} are no labels of the task, and are left out of what it may answer."
    return columns, [note] if rest else []


# ---- what sides have to do with each other -----------------------------------------------------------------


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
        # By whatever files they came: shards of another size, or a GGUF file of the same numbers.
        tuned.about = replace(tuned.about, weights_sha256=base.about.weights_sha256)
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

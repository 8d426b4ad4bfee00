"""What was tuned, as a file to take elsewhere."""

from __future__ import annotations

from typing import Any

import gradio as gr

from finetuning.export.made import What
from finetuning.export.tuned import Tuned
from finetuning.jobs.export import Export, asked_for
from plumbing.errors import RunError
from ui.api.training import NEWEST, require_known
from ui.drawing.take import ALONE, Taken
from ui.server import taking
from ui.server.choices import Choice, all_choices, find
from ui.server.visitors import Visitor, visitor_of

FILES = "/gradio_api/file="
"""How the address of a file begins."""


def export(
    request: gr.Request,
    model: str = NEWEST,
    form: str = "adapter",
    packing: str = "",
    check: bool = False,
    again: bool = False,
    cancel: bool = False,
) -> dict[str, Any]:
    """Write what was tuned as a file to take elsewhere, or say how far that is; asked once more, it tells the same.

    Args:
        model: a tuned model by its name in list_models, or a run of yours by its id; last for your newest.
        form: adapter, merged, gguf or ollama.
        packing: of a GGUF file f16, q8_0, f32, or lora for the adapter by itself; empty for f16.
        check: ask it test rows once it is written, and compare with what was trained.
        again: start anew what was cancelled, or did not succeed.
        cancel: stop what is being written.

    Returns:
        state, what is being done, done of total, error; once it is finished the file's name, bytes and address.
    """
    visitor = visitor_of(request)
    choice = _choice(model, visitor)
    asked = asked_for(Tuned.of(choice.folder), form, taking.options(form, packing), check=check)
    found = taking.one_taken(choice, visitor, asked.what)
    if cancel:
        if found is not None and found.goes_on:
            taking.cancel(choice, visitor, found.job)
    elif found is None or _is_to_start(found, asked, again=again):
        require_known(visitor, request)
        taking.start(choice, visitor, form, packing=packing, check=check)
    return _told(choice, visitor, asked.what)


def _is_to_start(found: Taken, asked: Export, *, again: bool) -> bool:
    if found.file:
        return bool(asked.check_rows) and not found.check
    return again and not found.goes_on


def _choice(model: str, visitor: Visitor) -> Choice:
    """The model of that name, or what the run of that id has tuned."""
    if model == NEWEST:
        newest = next((each for each in all_choices(visitor) if each.key.startswith("run:")), None)
        if newest is None:
            raise RunError("You have no run yet that has tuned something", fix="Start one with start_run.")
        return newest
    if ":" in model:
        return find(model, visitor)
    visitor.run(model)  # says so where it is not theirs
    return find(f"run:{model}", visitor)


def _told(choice: Choice, visitor: Visitor, what: What) -> dict[str, Any]:
    """One file as it is now."""
    found = taking.one_taken(choice, visitor, what)
    told: dict[str, Any] = {"model": choice.key, "form": what.form}
    if what.form in ("gguf", "ollama"):
        told["packing"] = ALONE if what.adapter_alone else what.packing
    if found is None:
        return told | {"state": "none"}
    told |= {
        "state": found.state,
        "doing": found.phase,
        "done": found.done,
        "total": found.total,
        "error": found.error or None,
    }
    if found.file:
        address = f"{FILES}{found.address}"
        told["file"] = {"name": found.file, "bytes": found.bytes, "address": address}
        told |= {"notes": list(found.notes), "check": found.check or None}
    return told

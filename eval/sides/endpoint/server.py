"""What a server says of itself: which models it has, and what it does with a question that names none of them.

llama.cpp's server answers with the one model that it has loaded, whatever a question names; and with the LoRA
adapters on it, unless a question says `"lora": [{"id": 0, "scale": 0}]`: one without `lora`, or with an empty one,
gets them. Worse, what one question leaves in its cache of prompts the next one goes on from, though it was computed
with other scales: the answer is neither side's (https://github.com/ggml-org/llama.cpp/issues/26207). So there every
question says its scales, and has its whole prompt computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eval.sides.endpoint.address import Address
from eval.sides.endpoint.client import Client
from eval.sides.endpoint.refusals import RefusalError
from plumbing.doors import side_option
from plumbing.errors import UserError
from plumbing.printable import one_line

_MOST_LISTED = 20
_LLAMA_CPP = "llamacpp"
_OLLAMA = "library"
_CUTS_PROMPTS = (
    "Ollama leaves out the beginning of a prompt that is longer than its context, and does not say so: start it "
    "with an OLLAMA_CONTEXT_LENGTH that holds every prompt and its answer."
)
_LASTING = ("root", "parent", "owned_by", "max_model_len", "meta")
"""What an entry of `/models` says that is the same at the next look, unless the model is another."""


@dataclass(frozen=True)
class Served:
    """A model as its server describes it."""

    name: str
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What tells it from another that may be served by this name later, as far as the server says."""
    base: str = ""
    """Of an adapter that is served as a model of its own, what it stands on."""
    parameters: int | None = None
    precision: str = ""
    """What its weights are packed in, where the server says so."""
    sends: Mapping[str, Any] = field(default_factory=dict)
    """Fields that every question to it has to have."""
    notes: tuple[str, ...] = ()


async def look(client: Client, address: Address, *, lora: Any = None) -> Served:
    """Ask the server for its models.

    Args:
        client: to ask with.
        address: whose model is the one that a person named, if they did.
        lora: what a person lets every question say of llama.cpp's adapters; None where nothing.

    Raises:
        UserError: it does not answer, wants another key, does not have the model, or has several and none is named;
            `lora` does not say what it seems to.
    """
    entries = await _entries(client, address)
    if entries is None:
        if not address.model:
            raise UserError(
                "The server does not say which models it has, so name one",
                got=str(address),
                fix=f"Write {address.base}#MODEL.",
            )
        return Served(address.model)
    names = [str(entry["id"]) for entry in entries]
    name = address.model or (names[0] if len(names) == 1 else "")
    if not name:
        several = "several models" if names else "no model"
        raise UserError(
            f"The server has {several}; say which after a #",
            got=", ".join(names),
            fix=f"Write {address.base}#{one_line(names[0]) if names else 'MODEL'}.",
        )
    entry = next((each for each in entries if _is_called(each, name)), None)
    own = entry or (entries[0] if entries else {})
    is_llama_cpp = own.get("owned_by") == _LLAMA_CPP
    notes: list[str] = []
    sends: dict[str, Any] = {}
    if entry is None and is_llama_cpp:
        raise UserError(
            "The server has no model of that name, and would answer with the one that it has",
            got=name,
            fix=f"It has {_listed(names)}.",
        )
    if entry is None:
        notes.append(f"The server does not list this model; it lists {_listed(names)}.")
    if own.get("owned_by") == _OLLAMA:
        notes.append(_CUTS_PROMPTS)
    identity = _identity(entry or {})
    if is_llama_cpp and (adapters := await _adapters(client, address)):
        identity["adapters"] = adapters
        sends["cache_prompt"] = False
        if lora is None:
            sends["lora"] = [{"id": each.get("id"), "scale": each.get("scale")} for each in adapters]
            notes.append(_about_adapters(adapters))
        elif not lora:
            raise UserError(
                "With an empty lora the server applies its adapters all the same",
                got=str(address),
                fix=f"For its model without: {side_option('body', _without(adapters))}.",
            )
    meta, parent = (entry or {}).get("meta"), (entry or {}).get("parent")
    described: dict[str, Any] = meta if isinstance(meta, dict) else {}
    count, packed = described.get("n_params"), described.get("ftype")
    return Served(
        name,
        identity,
        base=one_line(parent) if isinstance(parent, str) else "",
        parameters=count if isinstance(count, int) and count > 0 else None,
        precision=one_line(packed) if isinstance(packed, str) else "",
        notes=tuple(notes),
        sends=sends,
    )


def _is_called(entry: Mapping[str, Any], name: str) -> bool:
    """Whether an entry of the server's list is of the model `name`; Ollama's have a tag that may be left out."""
    aliases = entry.get("aliases")
    return name in (entry["id"], *(aliases if isinstance(aliases, list) else ())) or entry["id"] == f"{name}:latest"


async def _entries(client: Client, address: Address) -> list[dict[str, Any]] | None:
    """Of `/models`; None where the server has no such list."""
    try:
        found = await client.get(f"{address.base}/models")
    except RefusalError as refusal:
        if refusal.status in (401, 403) or 300 <= refusal.status < 400 or not refusal.status:
            raise client.explained(refusal) from None
        return None
    listed = found.get("data") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        return None
    return [each for each in listed if isinstance(each, dict) and isinstance(each.get("id"), str)]


async def _adapters(client: Client, address: Address) -> list[dict[str, Any]]:
    """The adapters on llama.cpp's server, with their scales, which count unless a question says otherwise.

    Raises:
        UserError: whether there are any cannot be known.
    """
    try:
        found = await client.get(f"{address.root}/lora-adapters")
    except RefusalError:  # a version from before there was such a list
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _about_adapters(adapters: list[dict[str, Any]]) -> str:
    files = [str(each.get("path", "")).replace("\\", "/").rpartition("/")[2] for each in adapters]
    return (
        f"The server applies {_listed(files)} to every answer, by the scales that it was started with. For its "
        f"model without: {side_option('body', _without(adapters))}."
    )


def _without(adapters: list[dict[str, Any]]) -> str:
    """What every question has to say to get the model without them."""
    return json.dumps({"lora": [{"id": each.get("id"), "scale": 0} for each in adapters]})


def _identity(entry: Mapping[str, Any]) -> dict[str, Any]:
    lasting = {name: entry[name] for name in _LASTING if name in entry}
    if isinstance(lasting.get("meta"), dict):  # how long its slots are is no part of the model
        lasting["meta"] = {name: value for name, value in lasting["meta"].items() if name != "n_ctx"}
    # Of most `created` is the time of the question; Ollama's is when the model was last changed.
    return lasting | ({"created": entry.get("created")} if entry.get("owned_by") == _OLLAMA else {})


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(one_line, names[:_MOST_LISTED]))
    return shown + (f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else "")

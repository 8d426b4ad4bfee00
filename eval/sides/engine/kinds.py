"""Which engine an address is, by what its list of models says of who made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.sides.endpoint.address import variables
from eval.sides.endpoint.client import PassingError
from eval.sides.endpoint.refusals import in_a_line, message_of
from eval.sides.engine import llama_cpp, sglang, vllm
from eval.sides.engine.forms import EngineError, Kind

if TYPE_CHECKING:
    from eval.sides.endpoint.client import Client

KINDS: dict[str, Kind] = {
    vllm.OWNED_BY: vllm.Vllm(),
    sglang.OWNED_BY: sglang.Sglang(),
    llama_cpp.OWNED_BY: llama_cpp.LlamaCpp(),
}
"""What `owned_by` says → how it is asked."""


async def kind_at(client: Client) -> tuple[Kind, list[dict[str, Any]]]:
    """The engine, and of its list the model that is asked, its adapters, and no other.

    Raises:
        EngineError: it is none of those that are known, wants a key, or does not have the model.
        PassingError: it cannot be reached, or is not ready yet.
    """
    status, found = await client.ask("GET", f"{client.address.base}/models")
    if status >= 500:
        raise PassingError(f"{status}: {in_a_line(message_of(found) or str(found))}")
    listed = found.get("data") if isinstance(found, dict) else None
    entries = [each for each in listed if isinstance(each, dict) and each.get("id")] if listed else []
    kind = next((KINDS[each["owned_by"]] for each in entries if each.get("owned_by") in KINDS), None)
    if kind is None:
        said = in_a_line(message_of(found) or f"{status}, and a list of {len(entries)} models")
        titles = ", ".join(each.title for each in KINDS.values())
        raise EngineError(
            f"At the engine's address is none that is known here: {said}",
            fix=f"Those are {titles}. A key is read from the environment: {variables(client.address)[-1]}.",
        )
    if not (model := client.address.model):
        return kind, entries
    chosen = [each for each in entries if model in (each["id"], each.get("parent"))]
    if not chosen:
        raise EngineError("The engine has no model of that name", got=model)
    return kind, chosen

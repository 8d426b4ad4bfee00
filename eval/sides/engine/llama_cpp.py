"""llama.cpp's server: adapters are those of its start, and each question says their scales; by its own protocol.

A question that says no scales gets all adapters, and its cache of prompts mixes what was computed with others
(`eval.sides.endpoint.server` has the details): so each says all of them, and has its whole prompt computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from eval.sides.endpoint.client import PassingError
from eval.sides.endpoint.refusals import RefusalError, in_a_line, message_of
from eval.sides.engine.forms import EngineError, Piece, Question, Serving

if TYPE_CHECKING:
    from eval.sides.endpoint.client import Client

OWNED_BY = "llamacpp"


class LlamaCpp:
    """See `forms.Kind`."""

    title = "llama.cpp"
    loads = False

    async def look(self, client: Client, entries: list[dict[str, Any]]) -> Serving:
        (entry, *_) = entries
        props = await _have(client, "props") or {}
        adapters = await _have(client, "lora-adapters") or []
        meta = entry.get("meta") or {}
        context = (props.get("default_generation_settings") or {}).get("n_ctx")
        aliases = [str(each) for each in entry.get("aliases") or []]
        return Serving(
            model=str(entry["id"]),
            called=(str(entry["id"]), *aliases, str(props.get("model_path", ""))),
            adapters={
                _file(each.get("path")): each["id"] for each in adapters if isinstance(each, dict) and "id" in each
            },
            context=context if isinstance(context, int) and context > 0 else None,
            vocabulary=meta.get("n_vocab"),
            precision=str(meta.get("ftype") or ""),
            # A question takes two of its slots, one a side.
            at_once=max(1, int(props.get("total_slots") or 1) // 2),
        )

    def question(self, client: Client, serving: Serving, asked: Question) -> tuple[str, dict[str, Any]]:
        return f"{client.address.root}/completion", _fields(serving, asked) | {
            "n_predict": asked.max_new_tokens,
            "stream": True,
            # The likeliest token, whatever the model's file wants done to it before.
            "samplers": ["top_k"],
            "top_k": 1,
        }

    def piece(self, event: Mapping[str, Any]) -> Piece:
        """A token that is half a character is not sent, but its text with that of the next: so the text counts."""
        tokens = event.get("tokens")
        if not isinstance(tokens, list):
            raise EngineError(
                "The engine answers without tokens", fix="Update llama.cpp: its /completion gives them since 2024."
            )
        ended, last, predicted = (
            event.get("stop_type") == "eos",
            bool(event.get("stop")),
            event.get("tokens_predicted"),
        )
        counted = predicted - ended if last and isinstance(predicted, int) else None
        return Piece(tokens, ended, last, str(event.get("content", "")), counted)

    def next_token(
        self, client: Client, serving: Serving, asked: Question, tokens: list[int], likeliest: int
    ) -> tuple[str, dict[str, Any]]:
        return f"{client.address.root}/completion", _fields(serving, asked) | {"n_predict": 1, "n_probs": likeliest}

    def log_probabilities(self, found: Mapping[str, Any]) -> dict[int, float]:
        first = found["completion_probabilities"][0]
        return {int(each["id"]): float(each["logprob"]) for each in first["top_logprobs"]}

    def adapter_at(self, place: Path) -> Path:
        return place.with_suffix(".gguf")

    async def put_on(self, client: Client, name: str, place: Path) -> None:
        raise EngineError(
            "llama.cpp takes adapters at its start only, and was started without this one",
            fix=f"Start it again with --lora {place}.",
        )

    async def take_off(self, client: Client, name: str) -> None:
        """Nothing: it is gone with the next start, since its file is."""


async def _have(client: Client, name: str) -> Any:
    """What it has at one of its addresses; None of a version without it.

    Raises:
        PassingError: it is not ready yet.
        RefusalError: it wants another key.
    """
    status, found = await client.ask("GET", f"{client.address.root}/{name}")
    said = f"{status}: {in_a_line(message_of(found) or str(found))}"
    if status >= 500:
        raise PassingError(said)
    if status in (401, 403):
        raise RefusalError(status, said)
    return found if status < 400 else None


def _fields(serving: Serving, asked: Question) -> dict[str, Any]:
    scales = [{"id": number, "scale": float(name == asked.adapter)} for name, number in serving.adapters.items()]
    return {"prompt": asked.prompt, "temperature": 0, "cache_prompt": False, "lora": scales}


def _file(path: object) -> str:
    """The name of an adapter's file, without its ending; of any system's path."""
    return PurePosixPath(str(path).replace("\\", "/")).stem

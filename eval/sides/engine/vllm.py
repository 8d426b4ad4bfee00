"""vLLM, started with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1: an adapter is a model of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.sides.endpoint.refusals import in_a_line, message_of
from eval.sides.engine.forms import EngineError, Piece, Question, Serving

if TYPE_CHECKING:
    from eval.sides.endpoint.client import Client

OWNED_BY = "vllm"
_TOKEN = "token_id:"
_PATH = "It has to see that folder by the same path, and to be started with a --max-lora-rank that is large enough."
_SWITCH = "Start vLLM with --enable-lora and, in its environment, VLLM_ALLOW_RUNTIME_LORA_UPDATING=1."


class Vllm:
    """See `forms.Kind`."""

    title = "vLLM"
    loads = True

    async def look(self, client: Client, entries: list[dict[str, Any]]) -> Serving:
        return serving_of(entries)

    def question(self, client: Client, serving: Serving, asked: Question) -> tuple[str, dict[str, Any]]:
        return f"{client.address.base}/completions", self._fields(serving, asked) | {
            "max_tokens": asked.max_new_tokens,
            "stop_token_ids": sorted(asked.ends),
            "stream": True,
            "return_token_ids": True,
        }

    def piece(self, event: Mapping[str, Any]) -> Piece:
        return piece_of_choice(event, self.title)

    def next_token(
        self, client: Client, serving: Serving, asked: Question, tokens: list[int], likeliest: int
    ) -> tuple[str, dict[str, Any]]:
        return f"{client.address.base}/completions", self._fields(serving, asked) | {
            "max_tokens": 1,
            "logprobs": 1,
            "logprob_token_ids": tokens,
            "return_tokens_as_token_ids": True,
        }

    def log_probabilities(self, found: Mapping[str, Any]) -> dict[int, float]:
        likeliest = found["choices"][0]["logprobs"]["top_logprobs"][0]
        return {int(name.removeprefix(_TOKEN)): float(value) for name, value in likeliest.items()}

    def adapter_at(self, place: Path) -> Path:
        return place

    async def put_on(self, client: Client, name: str, place: Path) -> None:
        body = {"lora_name": name, "lora_path": str(place)}
        status, said = await client.ask("POST", f"{client.address.base}/load_lora_adapter", body)
        if status == 404 and str(place) not in refusal(said):
            raise EngineError("The engine takes no adapters while it runs", got=refusal(said), fix=_SWITCH)
        if status >= 400 and "already been loaded" not in refusal(said):  # by another process of this app
            raise EngineError("The engine does not take this adapter", got=refusal(said), fix=_PATH)

    async def take_off(self, client: Client, name: str) -> None:
        await client.ask("POST", f"{client.address.base}/unload_lora_adapter", {"lora_name": name})

    def _fields(self, serving: Serving, asked: Question) -> dict[str, Any]:
        return {"model": asked.adapter or serving.model, "prompt": asked.prompt, "temperature": 0}


def serving_of(entries: list[dict[str, Any]]) -> Serving:
    """Of a list of models in which an adapter names its parent, as vLLM's and SGLang's."""
    bases = [each for each in entries if not each.get("parent")] or entries
    adapters = {str(each["id"]): str(each.get("root") or "") for each in entries if each.get("parent")}
    longest = bases[0].get("max_model_len")
    return Serving(
        model=str(bases[0]["id"]),
        called=tuple(str(each.get(name) or "") for each in bases for name in ("id", "root")),
        adapters=adapters,
        context=longest if isinstance(longest, int) and longest > 0 else None,
    )


def piece_of_choice(event: Mapping[str, Any], title: str) -> Piece:
    """Of a part of a completion's stream that has `token_ids`."""
    choices = event.get("choices")
    if not choices:  # of what comes after the answer, as counts
        return Piece([])
    tokens, reason = choices[0].get("token_ids"), choices[0].get("finish_reason")
    if tokens is None and reason is None:
        raise EngineError("The engine answers without tokens", fix=f"Update {title}: return_token_ids gives them.")
    return Piece(list(tokens or []), ended=reason == "stop", last=reason is not None)


def refusal(said: Any) -> str:
    """What an engine says of an adapter that it does not take, in a line."""
    return in_a_line(said if isinstance(said, str) else message_of(said) or str(said.get("error_message") or said))

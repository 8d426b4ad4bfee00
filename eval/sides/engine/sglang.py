"""SGLang, started with --enable-lora, --max-lora-rank and --lora-target-modules: a question names its adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.sides.engine.forms import EngineError, Piece, Question, Serving
from eval.sides.engine.vllm import piece_of_choice, refusal, serving_of

if TYPE_CHECKING:
    from eval.sides.endpoint.client import Client

OWNED_BY = "sglang"
_SWITCH = "Start SGLang with --enable-lora --max-lora-rank 32 --lora-target-modules all."


class Sglang:
    """See `forms.Kind`."""

    title = "SGLang"
    loads = True

    async def look(self, client: Client, entries: list[dict[str, Any]]) -> Serving:
        return serving_of(entries)

    def question(self, client: Client, serving: Serving, asked: Question) -> tuple[str, dict[str, Any]]:
        return f"{client.address.base}/completions", {
            "model": serving.model,
            "prompt": asked.prompt,
            "lora_path": asked.adapter or None,
            "max_tokens": asked.max_new_tokens,
            "temperature": 0,
            "stop_token_ids": sorted(asked.ends),
            "stream": True,
            "return_token_ids": True,
        }

    def piece(self, event: Mapping[str, Any]) -> Piece:
        return piece_of_choice(event, self.title)

    def next_token(
        self, client: Client, serving: Serving, asked: Question, tokens: list[int], likeliest: int
    ) -> tuple[str, dict[str, Any]]:
        return f"{client.address.root}/generate", {
            "input_ids": asked.prompt,
            "lora_path": asked.adapter or None,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "return_logprob": True,
            "token_ids_logprob": tokens,
        }

    def log_probabilities(self, found: Mapping[str, Any]) -> dict[int, float]:
        first = found["meta_info"]["output_token_ids_logprobs"][0]
        return {int(token): float(value) for value, token, *_ in first}

    def adapter_at(self, place: Path) -> Path:
        return place

    async def put_on(self, client: Client, name: str, place: Path) -> None:
        body = {"lora_name": name, "lora_path": str(place)}
        status, said = await client.ask("POST", f"{client.address.root}/load_lora_adapter", body)
        if status >= 400 and "already" not in refusal(said):  # by another process of this app
            raise EngineError("The engine does not take this adapter", got=refusal(said), fix=_SWITCH)

    async def take_off(self, client: Client, name: str) -> None:
        await client.ask("POST", f"{client.address.root}/unload_lora_adapter", {"lora_name": name})

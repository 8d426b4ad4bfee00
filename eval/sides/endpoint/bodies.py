"""A row → what is sent to the server, and what a server does not take of it.

Messages are the task's instruction and the row, which the server renders by its model's own template; a person's
own template is rendered here, and sent without spaces at its end; a raw text's opening as it stands. What is asked
is greedy: temperature 0, with a seed for servers that draw all the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from data.openings import opening_of
from data.tasks import Task
from data.tasks.task import Input, Message, as_text
from eval.sides.endpoint.refusals import RefusalError
from eval.sides.prompts import PromptFile, prompt_variables
from eval.sides.side import Prompted

CHAT, COMPLETIONS = "chat/completions", "completions"
OURS = frozenset({"model", "messages", "prompt", "stream", "n", "max_tokens", "max_completion_tokens", "best_of"})
"""Fields of a question that nobody else sets."""
_LIMITS = ("max_tokens", "max_completion_tokens")
_REFUSED = re.compile(
    r"unsupported|not supported|does not support|unknown|unrecogni[sz]ed|unexpected|not permitted|"
    r"extra (fields|inputs)|strictly positive|greater than 0",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Body:
    """One question, before it is known what the server takes of it."""

    path: str
    fields: Mapping[str, Any]
    key: str
    """SHA-256 over everything that shapes its answer."""


@dataclass(frozen=True)
class Bodies:
    """How the rows of a task are asked."""

    task: Task
    instruction: str
    instruction_in: Literal["system", "user"] = "system"
    """Whose message holds it; `user` for models whose template has no system."""
    template: PromptFile | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the server's own that go with every question."""

    @property
    def where_from(self) -> Literal["file", "bare text", "server"]:
        if self.template is not None:
            return "file"
        return "bare text" if self.task.kind == "text" else "server"

    def messages(self, given: Input) -> list[Message]:
        """`given` as messages under the instruction, which stands aside where it brings a system message."""
        turns = [{"role": "user", "content": given}] if isinstance(given, str) else list(map(_turn, given))
        if not self.instruction or (turns and turns[0]["role"] == "system"):
            return list(turns)
        if self.instruction_in == "user" and turns:
            first, *rest = turns
            return [first | {"content": f"{self.instruction}\n\n{first['content']}"}, *rest]
        return [{"role": "system", "content": self.instruction}, *turns]

    def asked(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        """`messages` or `prompt` for each."""
        if self.template is not None:
            texts = self.template.render(list(map(self._variables, inputs)))
            # A space belongs to the word after it: the answer begins with it.
            return [{"prompt": text.rstrip(" ")} for text in texts]
        if self.task.kind == "text":
            return [{"prompt": opening_of(str(given))[0]} for given in inputs]
        return [{"messages": self.messages(given)} for given in inputs]

    def bodies(
        self,
        inputs: Sequence[Input],
        *,
        model: str,
        max_new_tokens: int,
        identity: Mapping[str, Any],
        sends: Mapping[str, Any],
    ) -> list[Body]:
        """A question for each, with greedy settings.

        Args:
            inputs: of the rows.
            model: that is asked.
            max_new_tokens: where an answer is to end.
            identity: what is known of the server and its model, which goes into every question's hash.
            sends: fields that the server wants besides; a person's own win.
        """
        path = CHAT if self.where_from == "server" else COMPLETIONS
        greedy = {"temperature": 0, "seed": 0, "stream": False}
        found = []
        for asked in self.asked(inputs):
            fields = {"model": model, **asked, "max_tokens": max_new_tokens, **greedy, **sends, **self.more}
            found.append(Body(path, fields, _sha256({"path": path, "fields": fields, "server": dict(identity)})))
        return found

    def prompted(self, given: Input) -> Prompted:
        """How `given` would be asked; the hash is over what is the same for every row, whatever model is asked."""
        [asked] = self.asked([given])
        shapes = {
            "where_from": self.where_from,
            "instruction": self.instruction,
            "instruction_in": self.instruction_in,
            "template": self.template.text if self.template is not None else "",
            "labels": list(self.task.labels),
            "more": dict(self.more),
        }
        messages = asked.get("messages")
        example = asked["prompt"] if messages is None else json.dumps(messages, indent=2, ensure_ascii=False)
        return Prompted(_sha256(shapes), self.where_from, example)

    def _variables(self, given: Input) -> dict[str, Any]:
        """What a template is given; a server's tokens for begin and end are not known."""
        return prompt_variables(as_text(given), self.messages(given), self.task, self.instruction)


class Dialect:
    """What a server turned out not to take of a question. Begins with nothing."""

    def __init__(self) -> None:
        self.limit = "max_tokens"
        """What it calls the limit."""
        self.without: set[str] = set()

    def spoken(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """`fields` as this server takes them."""
        renamed = {self.limit if name == "max_tokens" else name: value for name, value in fields.items()}
        return {name: value for name, value in renamed.items() if name not in self.without}

    def learn(self, refusal: RefusalError, fields: Mapping[str, Any]) -> bool:
        """Whether a refusal is about a field that the question can do without, or that has another name."""
        if refusal.status not in (400, 422):
            return False
        sent = self.spoken(fields)
        named = [name for name in (self.limit, "seed", "temperature") if name in sent and _is_about(refusal, name)]
        if not named:
            return False
        if named[0] != self.limit:
            self.without.add(named[0])
            return True
        other = _LIMITS[1 - _LIMITS.index(self.limit)]
        again = self.limit == "max_completion_tokens"  # it refuses the one as it did the other
        self.limit = other
        return not again


def _turn(message: Mapping[str, Any]) -> dict[str, str]:
    """A message of a row; an answer as training writes it, without space around it."""
    said = str(message["content"])
    return {"role": str(message["role"]), "content": said.strip() if message["role"] == "assistant" else said}


def _is_about(refusal: RefusalError, name: str) -> bool:
    """Whether the server refuses the field `name`, and not what it holds with others: a limit that is too large."""
    if refusal.parameter:
        return refusal.parameter == name
    return bool(re.search(rf"\b{name}\b", refusal.said) and _REFUSED.search(refusal.said))


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

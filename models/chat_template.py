"""How a base model's chat template wants to be spoken to, found out by rendering, not by the model's name.

A template may refuse a system message or leave it out, write today's date, let the model think before it answers
unless told not to, and end a turn with another token than the tokenizer's end of text. Knows tokenizers, no tasks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any

from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# For base models that were never given a chat template, such as Llama-2-7b-hf.
PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'Input:\\n' + message['content'] + '\\n\\nAnswer:\\n' }}"
    "{% else %}{{ message['content'] + eos_token + '\\n\\n' }}{% endif %}{% endfor %}"
)
TODAY = "2024-07-26"
"""What a template that asks for today's date is told, so that a prompt is the same tomorrow."""
_DATE = "date"
_DATE_TOLD = "date_string"
"""By this variable Llama's templates are told the date, where whoever renders them knows it."""
_THINKING = ("enable_thinking", "thinking")
"""By these variables templates are told not to begin an answer with thoughts."""
_NOW = re.compile(r"strftime_now\(\s*(?:\"([^\"]*)\"|'([^']*)')")
_ASKED, _SAID, _AGAIN = "a question 4711", "an answer 4712", "another question 4714"
_INSTRUCTED = "an instruction 4713"

Message = dict[str, str]
Variables = dict[str, bool | str]


@dataclass(frozen=True)
class ChatTemplate:
    """A tokenizer's template; what it is told beside the messages, and what it does with them."""

    tokenizer: PreTrainedTokenizerBase
    text: str

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
        """The tokenizer's, or the one of several that is for all that the others are not for.

        Raises:
            ModelError: there are several, and none is.
        """
        template = tokenizer.chat_template or PLAIN_TEMPLATE
        if isinstance(template, dict):
            if "default" not in template:
                raise ModelError(
                    "The base model has several chat templates, and none is called default",
                    got=", ".join(template),
                    fix="Choose another base model.",
                )
            template = template["default"]
        return cls(tokenizer, str(template))

    @cached_property
    def variables(self) -> Variables:
        """What changes its text beside the messages: a fixed date, and that the model is not to think first."""
        asked = [{"role": "user", "content": _ASKED}]
        found: Variables = {}
        if self._try(asked, {_DATE: TODAY}) != self._try(asked, {_DATE: "2001-02-03"}):
            found[_DATE] = TODAY
        plain = self._try(asked, found)
        return found | {name: False for name in _THINKING if self._try(asked, found | {name: False}) != plain}

    @cached_property
    def settled(self) -> str:
        """The template with all that it is told written into it, for whoever tells it nothing."""
        told: dict[str, str] = {name: "false" for name in self.variables if name != _DATE}
        text = self.text
        if day := str(self.variables.get(_DATE, "")):
            text = self._on(day)
            if _DATE_TOLD in text:  # of which llama.cpp's server says what it is today
                told[_DATE_TOLD] = repr(date.fromisoformat(day).strftime("%d %b %Y"))
        # The empty text keeps a line break that the template begins with.
        return (
            "".join(f"{{% set {name} = {value} %}}" for name, value in told.items())
            + ("{{ '' }}" if told else "")
            + text
        )

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message is written; if not, it goes before the first message of the user."""
        messages = [{"role": "system", "content": _INSTRUCTED}, {"role": "user", "content": _ASKED}]
        return _INSTRUCTED in (self._try(messages, self.variables) or "")

    @cached_property
    def lead(self) -> str:
        """What it writes between a prompt and an answer: an empty block of thoughts, a space, or nothing."""
        return self._around[1]

    @cached_property
    def opening(self) -> str:
        """What it ends a prompt with and does not write before an answer that was given: thoughts are to begin."""
        return self._around[0]

    @cached_property
    def _around(self) -> tuple[str, str]:
        """What stands at the end of a prompt only, and before an answer only."""
        prompt = self._asked or ""
        before, found, _ = self._answered.partition(_SAID)
        same = len(list(takewhile(lambda both: both[0] == both[1], zip(prompt, before, strict=False))))
        return (prompt[same:], before[same:]) if found and _ASKED in prompt[:same] else ("", "")

    @cached_property
    def end(self) -> str:
        """What it writes after an answer, up to the token that ends the turn."""
        _, _, after = self._answered.partition(_SAID)
        tokens = sorted((str(token) for token in self.tokenizer.get_added_vocab()), key=len, reverse=True)
        pattern = rf"\s*(?:{'|'.join(map(re.escape, tokens))})" if tokens else r"(?!)"
        if found := re.match(pattern, after):
            return found[0]
        if self.tokenizer.eos_token is None:
            raise ModelError(
                "The base model's tokenizer has no token that ends an answer", fix="Choose another base model."
            )
        return str(self.tokenizer.eos_token)

    @cached_property
    def end_token(self) -> int | None:
        """The token that ends a turn."""
        return self.tokenizer.get_vocab().get(self.end.strip())

    @cached_property
    def keeps_answers(self) -> bool:
        """Whether past answers stand in a prompt as they were generated, after the same text and with the same end.

        Most templates write a turn once and for all. One whose models think (Qwen3) takes the thoughts, were they
        empty, out of every answer but the last: there a past answer follows its role at once.
        """
        turns = [("user", _ASKED), ("assistant", _SAID), ("user", _AGAIN)]
        later = self._try([{"role": role, "content": said} for role, said in turns], self.variables) or ""
        prompt = (self._asked or "").removesuffix(self.opening)
        return later.startswith(f"{prompt}{self.lead}{_SAID}{self.end}")

    def around_answers(self, messages: Sequence[Message]) -> list[str]:
        """What `render` writes before, between and after the turns of the assistant, of which it changes none.

        Raises:
            ModelError: it does change one.
        """
        mark = _SAID
        while any(mark in message["content"] for message in messages):
            mark += "2"
        said = [message["content"] for message in messages if message["role"] == "assistant"]
        marks = iter([f"{mark}:{number}:" for number in range(len(said))])
        marked = [{**each, "content": next(marks)} if each["role"] == "assistant" else each for each in messages]
        pieces, rest = list[str](), self.render(marked)
        for number in range(len(said)):
            before, _, rest = rest.partition(f"{mark}:{number}:")
            pieces.append(before)
        pieces.append(rest)
        if "".join(chain(*zip(pieces, [*said, ""], strict=True))) != self.render(messages):
            raise ModelError(
                "The base model's chat template changes what the assistant has said, so it cannot be trained on",
                fix="Choose another base model, or leave earlier turns of the assistant out of training: weight 0.",
            )
        return pieces

    def render(self, messages: Sequence[Message], *, generation: bool = True) -> str:
        """The conversation as text; with `generation` up to where the model answers.

        Raises:
            ModelError: the template refuses it, or leaves out what the user says.
        """
        from jinja2 import TemplateError

        if not self._writes_what_is_asked:
            raise ModelError(
                "The base model's chat template leaves out what the user says: it is not for plain text",
                fix="Choose another base model.",
            )
        try:
            text = self._render(self.fitting(messages), self.variables, generation=generation)
            return text.removesuffix(self.opening) if generation else text
        except TemplateError as error:
            raise ModelError(
                f"The base model's chat template refuses this conversation: {error}",
                got=", ".join(message["role"] for message in messages),
                fix="Choose another base model, or clear the conversation.",
            ) from None

    def fitting(self, messages: Sequence[Message]) -> list[Message]:
        """`messages`, whose first may be the system's, as the template takes them."""
        if messages[0]["role"] != "system" or self.takes_system or not messages[0]["content"]:
            return list(messages) if self.takes_system else [each for each in messages if each["role"] != "system"]
        system, first, *rest = messages
        return [first | {"content": f"{system['content']}\n\n{first['content']}"}, *rest]

    @cached_property
    def _writes_what_is_asked(self) -> bool:
        """Whether it does; one that refuses says why where it is asked to."""
        return self._asked is None or _ASKED in self._asked

    @cached_property
    def _asked(self) -> str | None:
        return self._try([{"role": "user", "content": _ASKED}], self.variables)

    @cached_property
    def _answered(self) -> str:
        turns = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _SAID}]
        return self._try(turns, self.variables, generation=False) or ""

    def _try(self, messages: list[Message], variables: Mapping[str, Any], *, generation: bool = True) -> str | None:
        """The text, or None where the template refuses."""
        from jinja2 import TemplateError

        try:
            return self._render(messages, variables, generation=generation)
        except TemplateError:
            return None

    def _render(self, messages: list[Message], variables: Mapping[str, Any], *, generation: bool) -> str:
        values = dict(variables)
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=self._on(str(values.pop(_DATE))) if _DATE in values else self.text,
                add_generation_prompt=generation,
                tokenize=False,
                **values,
            )
        )

    def _on(self, day: str) -> str:
        """The template, in which it is always `day`. A function cannot be given to it, so it gets a macro."""
        formats = {double or single for double, single in _NOW.findall(self.text)}
        answers = {each: date.fromisoformat(day).strftime(each) for each in sorted(formats)}
        macro = f"{{% macro strftime_now(format) %}}{{{{ {answers!r}.get(format, {day!r}) }}}}{{% endmacro %}}"
        # The empty text keeps a line break that the template begins with: it would be the end of the macro's line.
        return f"{macro}{{{{ '' }}}}{self.text}" if "strftime_now" in self.text else self.text

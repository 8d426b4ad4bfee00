"""The prompt of training as a template of Go's `text/template`, as Ollama renders one.

Ollama gives a template `.System`, which its Modelfile's SYSTEM fills, and `.Messages`, each with a `.Role` and a
`.Content`. A chat template in Jinja is a program, and is not translated: it is asked for a conversation of marks,
and what it writes between them, always the same, becomes the template. One that writes turns in more than one way
has no such pieces, and is refused. The system's message stands before all others, or, as with Mistral's, before
what the user says last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from models.prompting import Message, Prompter
from plumbing.errors import ModelError

_SYSTEM, _ASKED, _SAID = (
    "a system 4713",
    ("a question 4711", "more 4714", "the last 4715"),
    ("an answer 4712", "so 4716"),
)


@dataclass(frozen=True)
class Pieces:
    """What stands around what is said, in a conversation with a message of the system's or with none."""

    start: str
    """Before the first message."""
    after_system: str
    """Behind the system's message, where the user speaks."""
    between: str
    """Behind what the user says, where an answer follows that was given."""
    after_answer: str
    """Behind an answer, where the user speaks again."""
    end: str
    """Behind what the user said last: here the model answers."""
    system_is_late: bool = False
    """Whether the system's message stands before the user's last, and not before all."""


def pieces_of(prompter: Prompter, *, instruction: bool) -> Pieces:
    """How the prompt of training is put together.

    Args:
        prompter: of training.
        instruction: whether it has a system message of its own place, of which it is asked.

    Raises:
        ModelError: it cannot be put together of pieces.
    """
    messages: list[Message] = [{"role": "system", "content": _SYSTEM}] if instruction else []
    for asked, said in zip(_ASKED, (*_SAID, ""), strict=True):
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    text = prompter.template.render(messages[:-1]) + prompter.prompt_end
    marks = [message["content"] for message in messages[:-1]]
    is_late = instruction and 0 <= text.find(_ASKED[0]) < text.find(_SYSTEM)
    if is_late:
        marks = [*marks[1:-1], _SYSTEM, marks[-1]]
    parts = list[str]()
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            raise _irregular("it leaves out or moves a turn")
        parts.append(before)
    parts.append(text)
    first = parts.pop(0)
    after_system = parts.pop(-2 if is_late else 0) if instruction else ""
    between, after, between_again, after_again, end = parts
    if (between, after) != (between_again, after_again):
        raise _irregular("it writes turns of the same role in more than one way")
    return Pieces(first, after_system, between, after, end, is_late)


def go_template(prompter: Prompter, *, begins: bool, bos: str = "") -> str:
    """The template.

    Args:
        prompter: of training.
        begins: whether the file's reader begins every text with `bos`, which is then left out.
        bos: that token.

    Raises:
        ModelError: the prompt cannot be put together of pieces.
    """
    plain = pieces_of(prompter, instruction=False)

    def start(pieces: Pieces) -> str:
        return _literal(pieces.start.removeprefix(bos) if begins else pieces.start)

    head, late = start(plain), ""
    if not prompter.template.takes_system:  # the instruction stands before the user's first message
        head += f"{{{{ if .System }}}}{{{{ .System }}}}{_literal(chr(10) * 2)}{{{{ end }}}}"
    else:
        asked = pieces_of(prompter, instruction=True)
        if (asked.between, asked.after_answer, asked.end) != (plain.between, plain.after_answer, plain.end):
            raise _irregular("it writes turns otherwise where there is a system message")
        told = f"{{{{ $.System }}}}{_literal(asked.after_system)}"
        if not asked.system_is_late:
            head = f"{{{{ if .System }}}}{start(asked)}{told}{{{{ else }}}}{head}{{{{ end }}}}"
        elif asked.start == plain.start:
            late = f"{{{{ if and $.System (eq (len (slice $.Messages $at)) 1) }}}}{told}{{{{ end }}}}"
        else:
            raise _irregular("it begins otherwise where there is a system message")
    return (
        f"{head}{{{{ range {'$at, $each := ' if late else ''}.Messages }}}}"
        f'{{{{ if eq .Role "user" }}}}{late}{{{{ .Content }}}}{{{{ else if eq .Role "assistant" }}}}'
        f"{_literal(plain.between)}{{{{ .Content }}}}{_literal(plain.after_answer)}"
        f"{{{{ end }}}}{{{{ end }}}}{_literal(plain.end)}"
    )


def _literal(text: str) -> str:
    """Text as it stands in a template; what Go or the Modelfile would read as its own is quoted."""
    if not text:
        return ""
    if "{{" in text or "}}" in text or '"""' in text or text != text.strip():
        return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"
    return text


def _irregular(why: str) -> ModelError:
    return ModelError(
        f"The chat template cannot be written as one of Ollama's: {why}",
        fix="Take it as `gguf`; llama.cpp's server renders the template that is in the file.",
    )

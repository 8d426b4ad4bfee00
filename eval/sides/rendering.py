"""Renders a person's own prompt template, in a process of its own: `prompts.py` starts it, and ends a slow one.

    python -E -P eval/sides/rendering.py < {"template": …, "rows": [{…}, …]} > {"texts": […]} or {"error": …}

In the sandbox a template reaches no attribute that begins with an underscore and changes nothing that it is
given; in here it has no key of the owner's, no way to hold up whoever asked, and no more than some characters
to write. Imports nothing of ours: it is run as a file.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MAX_CHARS = 1_000_000
"""Of a rendered prompt."""
_NAME = "<template>"


def main() -> None:
    """Read what is asked from standard input, and write the answer."""
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    asked = json.loads(sys.stdin.read())
    sys.stdout.buffer.write(json.dumps(rendered(asked["template"], asked["rows"])).encode())


def rendered(template: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`texts`, a row each; or `error`, with its `line` in the template and the `row` (from 0), if there are any."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.exceptions import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """In which nothing is repeated or raised to a power: three signs would make a huge text or number."""

        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" or not all(isinstance(each, (int, float)) for each in (left, right)):
                raise TemplateError(f"{operator} is not computed in a prompt, but between two numbers * and %")
            return super().call_binop(context, operator, left, right)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    # As transformers renders a chat template, so that one may be given; but what is not there is an error.
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    try:
        compiled = environment.from_string(template)
    except TemplateSyntaxError as error:
        return {"error": error.message or "it is no Jinja template", "line": error.lineno, "row": None}
    texts: list[str] = []
    for number, row in enumerate(rows):
        try:
            parts: list[str] = []
            length = 0
            for part in compiled.generate(row):
                parts.append(part)
                length += len(part)
                if length > MAX_CHARS:
                    raise TemplateError(f"it writes more than {MAX_CHARS:,} characters")
            texts.append("".join(parts))
        except Exception as error:  # whatever an expression of theirs comes to
            said = str(error) or type(error).__name__
            return {"error": said[:500], "line": _line_of(error), "row": number}
    return {"texts": texts}


def _line_of(error: BaseException) -> int | None:
    """The line of the template that an error comes from."""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in (_NAME, "<unknown>"):
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


if __name__ == "__main__":
    main()

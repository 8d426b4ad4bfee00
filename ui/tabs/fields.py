"""Fields of a form that Gradio has not: a whole number that may be left empty.

Gradio's own number field (6.31) writes 0 into an empty one as soon as it is drawn, so an accordion that is opened
would ask for 0 rows.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from plumbing.errors import RecipeError, UserError
from ui.server.visitors import Visitor

ALL = "all"


def whole_or_all(value: int | None, *, label: str, most: int | None = None, **looks: Any) -> gr.Textbox:
    """A field for how many; empty for all of them, or for `most` where there may not be more."""
    return whole_or(ALL if most is None else f"{ALL}, up to {most:,}", value, label=label, **looks)


def whole_or(empty: str, value: int | None, *, label: str, **looks: Any) -> gr.Textbox:
    """A field for a whole number, which says what it means where it is `empty`."""
    return gr.Textbox(written(value), label=label, placeholder=empty, max_lines=1, **looks)


def written(value: int | None) -> str:
    """What such a field shows for `value`."""
    return "" if value is None else str(value)


def read_whole_or_all(field: str | None, label: str) -> int | None:
    """What was written into such a field; None for all. Raises as `read_whole_or`."""
    return read_whole_or(ALL, field, label)


def read_row_count(field: str | None, label: str, visitor: Visitor) -> int | None:
    """How many test rows; None for all of them. A stranger who asks for all gets as many as there may be.

    Raises:
        UserError: it is no number from 1, or more than a stranger may have.
    """
    wanted = read_whole_or_all(field, label)
    most = visitor.limits.test_rows if visitor.limits else None
    if wanted and most and wanted > most:
        raise UserError(f"This public page evaluates on up to {most:,} rows", got=wanted, fix=f"Write {most}.")
    return wanted or most


def read_whole_or(empty: str, field: str | None, label: str) -> int | None:
    """What was written into such a field; None where it is empty, or says what that means.

    Raises:
        RecipeError: it is no number from 1; by the field's label.
    """
    said = (field or "").strip()
    if said.casefold() in ("", empty):
        return None
    digits = said.replace(",", "").replace("\N{NO-BREAK SPACE}", "")
    if not digits.isascii() or not digits.isdecimal() or not 1 <= int(digits[:10]) <= 10**9:
        raise RecipeError(f"“{label}” is a whole number from 1", got=said[:50], fix=f"Leave it empty for {empty}.")
    return int(digits[:10])

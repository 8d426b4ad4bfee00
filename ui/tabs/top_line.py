"""What the page's top line says of the model that is open, and what the badge says of its adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.drawing import text
from ui.drawing.markup import Markup, tag
from ui.server.models_in_use import short_name

if TYPE_CHECKING:
    from models.pair import Pair


def badge(pair: Pair) -> Markup:
    """What the adapter's proof says."""
    acts, _, rest = pair.proof.describe().partition(":")
    return tag("div", tag("b", f"✓ {acts}"), f":{rest}" if rest else None, class_="ba-badge")


def badge_waiting() -> Markup:
    """What the badge says of an adapter that has not been checked."""
    return tag("div", text.BADGE_WAITING, class_="ba-badge")


def status(pair: Pair) -> Markup:
    """Model, device, precision and origin, for the top line."""
    device = "CPU" if pair.model.device.type == "cpu" else pair.model.device.type.upper()
    said = f"{short_name(pair.base.name)} · {device} · {pair.precision} · {pair.base.origin}"
    return tag("div", tag("i", class_="ba-on"), said, class_="ba-status")


def not_open(base: str) -> Markup:
    """The top line where the chosen model is not open; others may be."""
    return tag("div", tag("i"), f"{short_name(base)} is not open", class_="ba-status")


def no_model() -> Markup:
    """The top line of a page on which none was asked for yet."""
    return tag("div", tag("i"), "no model open yet", class_="ba-status")

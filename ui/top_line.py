"""What the page's top line says of the model that is open, and what the badge says of its adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.markup import Markup, tag
from ui.models_in_use import short_name

if TYPE_CHECKING:
    from models.pair import Pair


def badge(pair: Pair) -> Markup:
    """What the adapter's proof says."""
    acts, _, rest = pair.proof.describe().partition(":")
    return tag("div", tag("b", f"✓ {acts}"), f":{rest}" if rest else None, class_="ba-badge")


def status(pair: Pair) -> Markup:
    """Model, device, precision and origin, for the top line."""
    device = "CPU" if pair.model.device.type == "cpu" else pair.model.device.type.upper()
    said = f"{short_name(pair.base.name)} · {device} · {pair.precision} · {pair.base.origin}"
    return tag("div", tag("i", class_="ba-on"), said, class_="ba-status")


def no_model() -> Markup:
    """The top line where no model is open."""
    return tag("div", tag("i"), "no model open yet", class_="ba-status")

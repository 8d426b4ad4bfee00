"""What the page's top line says of the model that is open, and what the badge says of its adapter."""

from __future__ import annotations

from eval.asked.comparing import WHERE_FROM
from ui.drawing import text
from ui.drawing.markup import Markup, tag
from ui.server.engine import OnEngine
from ui.server.models_in_use import Opened, short_name
from ui.server.two_models import Sides


def badge(opened: Opened | OnEngine) -> Markup:
    """That what was tuned acts, and how; of any two models how each is asked; on an engine what computes."""
    if isinstance(opened, OnEngine):
        return tag("div", opened.about, class_="ba-badge")
    if isinstance(opened, Sides):
        return tag("div", *(f"{sentence} " for sentence in _how_asked(opened)), class_="ba-badge")
    acts, _, rest = opened.proof.describe().partition(":")
    how = [rest.strip(), f"{opened.precision}, weights: {opened.base.origin}"]
    sign = tag("span", text.HOW_CHECKED, class_="ba-sign")
    checked = tag("details", tag("summary", tag("b", f"✓ {acts}"), " ", sign), *(tag("div", each) for each in how))
    return tag("div", checked, class_="ba-badge")


def badge_waiting() -> Markup:
    """What the badge says of an adapter that has not been checked."""
    return tag("div", text.BADGE_WAITING, class_="ba-badge")


def status(opened: Opened | OnEngine) -> Markup:
    """Which model is open, and where, for the top line."""
    if isinstance(opened, OnEngine):
        said = f"{short_name(opened.base)} · {opened.title}"
    elif isinstance(opened, Sides):
        said = " · ".join(short_name(side.about.name) for side in (opened.left, opened.right))
    else:
        device = "CPU" if opened.model.device.type == "cpu" else opened.model.device.type.upper()
        said = f"{short_name(opened.base.name)} · {device}"
    return tag("div", tag("i", class_="ba-on"), said, class_="ba-status")


def _how_asked(sides: Sides) -> list[str]:
    """By which prompt each of two models is asked, and that nobody votes on them."""
    probe = [{"role": "user", "content": "?"}] if sides.task.kind == "chat" else "?"
    how = [WHERE_FROM[side.prompted(probe).where_from] for side in (sides.left, sides.right)]
    said = [f"Each is asked {how[0]}."] if how[0] == how[1] else [f"Asked {how[0]}, and {how[1]}."]
    return [*said, text.OTHER_NO_VOTES]


def not_open(base: str) -> Markup:
    """The top line where the chosen model is not open; others may be."""
    return tag("div", tag("i"), f"{short_name(base)} is not open", class_="ba-status")


def instead(said: str) -> Markup:
    """Under the badge, why this machine answers and not the engine that there is."""
    return tag("div", f"{text.HERE_INSTEAD} {said}", class_="ba-note")


def no_model() -> Markup:
    """The top line of a page on which none was asked for yet."""
    return tag("div", tag("i"), "no model open yet", class_="ba-status")

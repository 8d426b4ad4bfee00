"""Which models a visitor may name as sides, and what a name stands for.

On a page of one's own that is anything that the command line takes. On a public one it is what was tuned there,
what that stands on, and what the operator has named in `$BEFORE_AFTER_ALLOW_MODEL`: names on the Hub and addresses
of servers, by commas. Nothing else is looked at, whatever a call says, and a server only at a public address.
"""

from __future__ import annotations

import os
import re

from eval.asked.request import is_server
from eval.sides.endpoint import Settings
from eval.sides.endpoint.address import Address
from eval.sides.side import Asked
from finetuning.jobs.asked import Servers
from finetuning.limits import Limits
from plumbing.errors import ModelError, RunError
from plumbing.printable import one_line
from ui.server.choices import Choice, all_choices, bundled_choices, find
from ui.server.visitors import Visitor

ALLOW_MODEL = "BEFORE_AFTER_ALLOW_MODEL"
TUNED_HERE = ("bundled:", "run:")
"""How the keys of what was tuned here begin."""
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+(:[\w-][\w./-]*\.gguf)?", re.ASCII)
_ANSWER_S = 60.0
"""That a stranger's question to a server may take: others wait meanwhile."""
_TRIES = 3


def allowed_models() -> list[str]:
    """What the operator lets visitors of a public page name.

    Raises:
        RunError: something of it is neither a name on the Hub nor an address.
    """
    found = [part.strip() for part in os.environ.get(ALLOW_MODEL, "").split(",") if part.strip()]
    for each in found:
        if is_server(each):
            Address.parse(each)
        elif not _HUB_NAME.fullmatch(each) or ".." in each:
            raise RunError(
                f"${ALLOW_MODEL} names what is neither on the Hub nor a server",
                got=each,
                fix="Write owner/name or http://HOST/v1#MODEL, with commas between.",
            )
    return found


def offered(visitor: Visitor) -> list[tuple[str, str]]:
    """(label, value) of what this visitor can choose from."""
    return _options(all_choices(visitor), visitor.limits)


def offered_to_all(limits: Limits | None) -> list[tuple[str, str]]:
    """The same for a page that does not know its visitor yet; for strangers where there are limits."""
    return _options(bundled_choices(), limits)


def side_named(value: str | None, visitor: Visitor) -> Asked:
    """The side that a value of such a list stands for, or that somebody wrote.

    Raises:
        UserError: there is none, or this visitor may not name it.
    """
    value = (value or "").strip()
    if not value:
        raise ModelError("A model is missing", fix="Choose one from the list.")
    if value.startswith(TUNED_HERE):
        choice = find(value, visitor)
        return Asked(str(choice.folder if value.startswith("bundled:") else choice.folder.parent))
    if visitor.limits is not None:
        _require_offered(value, visitor)
    return Asked(value)


def label_of(value: str, visitor: Visitor) -> str:
    """What a side is called on the page."""
    if value.startswith(TUNED_HERE):
        return find(value, visitor).label
    return one_line(value, longest=80)


def servers_asked(visitor: Visitor) -> Servers | None:
    """How servers are asked for this visitor, and which; None as ever."""
    if visitor.limits is None:
        return None
    return Servers(given=tuple(filter(is_server, allowed_models())), answer_s=_ANSWER_S, tries=_TRIES)


def servers_for(visitor: Visitor) -> Settings | None:
    """The same, as whoever opens sides takes it."""
    asked = servers_asked(visitor)
    return None if asked is None else asked.settings()


def _require_offered(value: str, visitor: Visitor) -> None:
    """Refuse what is not offered to a stranger, but for a server: whoever opens it does, see `servers_for`.

    Raises:
        ModelError: they may not name that. What there is on this machine or elsewhere is not said.
    """
    if not is_server(value) and value not in {*allowed_models(), *_bases(all_choices(visitor), visitor.limits)}:
        raise ModelError(
            "This public page compares what was tuned here, and models that its operator has named",
            got=value[:100],
            fix="Choose one from the list.",
        )


def _options(choices: list[Choice], limits: Limits | None) -> list[tuple[str, str]]:
    tuned = [(choice.label, choice.key) for choice in choices if choice.kind != "reward"]
    bases = [(f"{one_line(base.rpartition('/')[2])} · as it is", base) for base in _bases(choices, limits)]
    others = [(one_line(each), each) for each in allowed_models()] if limits else []
    return list({value: (label, value) for label, value in [*tuned, *bases, *others]}.values())


def _bases(choices: list[Choice], limits: Limits | None) -> list[str]:
    """What the choices stand on, each once; for strangers no folder of this machine."""
    bases = dict.fromkeys(choice.base for choice in choices)
    return [base for base in bases if limits is None or base in limits.base_models]

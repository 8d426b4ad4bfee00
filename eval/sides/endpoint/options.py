"""What a person says about one endpoint, `NAME=VALUE` each (`Asked.options`).

prompt          a file with a Jinja template, whose text is sent to /completions
instruction_in  system, or user for models whose template has no system message
body            a JSON object that goes with every question, in the server's own words
price           dollars for a million tokens, IN/OUT
in_flight       questions at once
timeout         seconds that an answer may take
cache           off: no answer is kept, and none taken that is
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.tasks import Task
from eval.sides.endpoint.bodies import OURS
from eval.sides.endpoint.client import Limits
from eval.sides.endpoint.spending import Price
from eval.sides.prompts import PromptFile
from plumbing.doors import side_option
from plumbing.errors import UserError

_MOST_IN_FLIGHT = 256
_LONGEST_S = 86_400.0
_SUCH_AS = '{"repeat_penalty": 1}'
_SWITCH = {"on": True, "off": False}
_NAMES = ("prompt", "instruction_in", "body", "price", "in_flight", "timeout", "cache")


@dataclass(frozen=True)
class Settings:
    """How an endpoint is asked, but for what."""

    limits: Limits = field(default_factory=Limits)
    price: Price | None = None
    keep: bool = True
    """Whether answers are kept, and taken from where they are."""
    keep_in: Path | None = None
    """The folder of answers; None for the one in the cache."""
    given: tuple[str, ...] | None = None
    """For a page that strangers use, the addresses that its operator gave, each with or without a model: nothing
    else is asked, and of these what is public only, by the IP addresses that were found to be, without a proxy.
    None on a person's own machine, where any may be asked."""


def settings_with(options: Mapping[str, str], settings: Settings) -> Settings:
    """`settings`, but for what `options` say otherwise.

    Raises:
        UserError: there is no such option, or its value is not one.
    """
    if unknown := sorted(set(options) - set(_NAMES)):
        raise UserError(
            "An endpoint has no such option",
            got=", ".join(unknown),
            fix=f"It has {', '.join(_NAMES)}.",
        )
    if "price" in options:
        settings = replace(settings, price=Price.parse(options["price"]))
    if "cache" in options:
        settings = replace(settings, keep=_SWITCH[_one_of(options, "cache", tuple(_SWITCH))])
    limits = settings.limits
    if "in_flight" in options:
        limits = replace(limits, in_flight=int(_number(options, "in_flight", _MOST_IN_FLIGHT, whole=True)))
    if "timeout" in options:
        limits = replace(limits, answer_s=_number(options, "timeout", _LONGEST_S))
    return replace(settings, limits=limits)


def shaping(options: Mapping[str, str], task: Task) -> dict[str, Any]:
    """What `options` say about the questions themselves: arguments of `Bodies`.

    Raises:
        UserError: a value is not one, or the template cannot be read, or the task takes none.
    """
    found: dict[str, Any] = {}
    if "instruction_in" in options:
        found["instruction_in"] = _one_of(options, "instruction_in", ("system", "user"))
    if "body" in options:
        found["more"] = _fields(options["body"])
    if "prompt" in options:
        found["template"] = PromptFile.load(options["prompt"], task)
    return found


def _fields(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise UserError(
            "What goes with every question is a JSON object",
            got=text,
            fix=f"Write {side_option('body', _SUCH_AS)}, say, in the server's own words.",
        ) from None
    if taken := sorted(OURS & set(fields)):
        raise UserError(f"{', '.join(taken)} is set for every question already", got=text, fix="Leave it out.")
    return fields


def _one_of(options: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    if options[name] not in values:
        raise UserError(
            f"{name} is {' or '.join(values)}", got=options[name], fix=f"Write {side_option(name, values[-1])}."
        )
    return options[name]


def _number(options: Mapping[str, str], name: str, most: float, *, whole: bool = False) -> float:
    try:
        value = float(options[name])
        if not 0 < value <= most or (whole and value != int(value)):
            raise ValueError
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UserError(
            f"{name} is {kind} from 1 to {most:g}", got=options[name], fix=f"Write {side_option(name, '8')}, say."
        ) from None
    return value

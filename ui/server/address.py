"""What an address of the page names: a tab, and what is open in it; names of ours, and no text of a person's.

    /?tab=compare&model=bundled:NAME&example=3     a tuned model, and one of its examples
    /?tab=evaluate&model=run:ID                    the report that a model came with
    /?tab=evaluate&report=evaluation.ID            one that was asked for here
    /?tab=runs&run=ID                              a run
    /?tab=runs&runs=ID,ID                          several, side by side
    /?tab=learn                                    a tab

Anybody may send any. Whether what it names is there, and this visitor's, is asked where it is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from finetuning.runs.folder import is_id
from finetuning.side_by_side import MOST
from plumbing.errors import UserError
from plumbing.printable import one_line

TABS = ("compare", "train", "evaluate", "runs", "lab", "learn")
KEYS = ("tab", "model", "example", "run", "runs", "report")
"""The parameters that are ours; any other is let be."""
_MODEL = re.compile(r"(bundled|run):[a-z0-9][a-z0-9-]{0,99}")
_EXAMPLES = 20
_SHOWN = 60
"""Characters of something wrong that are repeated."""


class WrongAddress(UserError):
    """An address names what there cannot be."""


@dataclass(frozen=True)
class Address:
    """What an address names; empty where it names nothing."""

    tab: str = ""
    model: str = ""
    example: int = 0
    """From 1; 0 for none."""
    run: str = ""
    runs: tuple[str, ...] = ()
    report: str = ""

    @property
    def is_empty(self) -> bool:
        return self == Address()

    @property
    def opens(self) -> str:
        """The tab that it opens: that of what it names, whatever else it says."""
        if self.run or self.runs:
            return "runs"
        if self.report:
            return "evaluate"
        return self.tab or ("compare" if self.model or self.example else "")


def address_of(request: gr.Request) -> Address:
    """What the address of the page names that sent this request.

    Raises:
        WrongAddress: something in it cannot be.
    """
    return read_address(dict(getattr(request.request, "query_params", None) or {}))


def read_address(said: Mapping[str, str]) -> Address:
    """The same, of parameters by their names."""
    known = {name: said.get(name, "") for name in KEYS}
    if known["tab"] and known["tab"] not in TABS:
        raise _wrong("There is no such tab", known["tab"], f"There are {', '.join(TABS)}.")
    if known["model"] and not _MODEL.fullmatch(known["model"]):
        raise _wrong("This is no tuned model's name", known["model"], "Copy the whole link.")
    runs = tuple(dict.fromkeys(filter(None, known["runs"].split(","))))
    for name in (known["run"], known["report"], *runs):
        if name and not is_id(name):
            raise _wrong("This is not the name of a run or a report", name, "Copy the whole link.")
    if len(runs) > MOST:
        raise _wrong(f"Up to {MOST} runs are compared at a time", str(len(runs)), "Tick them in Runs.")
    example = known["example"]
    if example and not (example.isascii() and example.isdecimal() and 1 <= int(example[:3]) <= _EXAMPLES):
        raise _wrong("This is not the number of an example", example, "Pick one below the message.")
    return Address(known["tab"], known["model"], int(example or 0), known["run"], runs, known["report"])


def _wrong(problem: str, got: str, fix: str) -> WrongAddress:
    return WrongAddress(problem, got=one_line(got, longest=_SHOWN), fix=fix)

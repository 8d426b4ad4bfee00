"""How "Take it home" is drawn: the forms that a tuned model can be had in, what is being made, what was made.

One panel of HTML, empty until it is opened. A button in it says what it does by `data-do`; the choices are named by
`data-as`; a download by `data-file`, whose address the page puts together. While something goes on, `data-seen`
tells what is drawn already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from finetuning.export.forms import FORMS, WRITTEN
from finetuning.export.made import What
from finetuning.runs.states import ACTIVE
from ui.drawing.markup import Child, Markup, counted, progress, tag

TITLE = "Take it home"
LOOKING = "Looking in which forms it can be taken …"
ONE_MODEL = "Two models are compared here. Choose a tuned one in the list above to take it home."
ALONE = "lora"
"""What stands for the adapter by itself among the ways to pack a GGUF file."""
PACKINGS = {
    "f16": "f16: half precision",
    "q8_0": "Q8_0: 8 bit, about half of that",
    "f32": "f32: single precision",
    ALONE: "the adapter alone (LoRA), which goes onto the base's own file",
}
CHECK = "Ask it test rows once it is written, and compare with what was trained: takes minutes"
PRIVATE = "Private: seen by you alone"
CARD_QUOTES = "The card that goes with it quotes some test rows."


@dataclass(frozen=True)
class Offered:
    """A form that a model can be taken in, or why it cannot."""

    form: str
    why_not: str = ""


@dataclass(frozen=True)
class Taken:
    """One export as it is now: what was made, or a job that is to make it."""

    what: What
    state: str = "finished"
    job: str = ""
    """The id of the job, where it is not made."""
    phase: str = ""
    """Of one that goes on, in a few words."""
    done: int = 0
    total: int = 0
    file: str = ""
    """What was made, by its name."""
    address: str = ""
    """What the page asks for to get it."""
    bytes: int = 0
    place: str = ""
    """Where the file lies, for whom that is of use."""
    notes: Sequence[str] = ()
    check: str = ""
    error: str = ""
    may_cancel: bool = True

    @property
    def goes_on(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class Pushed:
    """A push to the Hub as it is now."""

    repository: str
    phase: str = ""
    """What is being done; empty once it has ended."""
    notes: Sequence[str] = ()
    error: str = ""


def closed() -> Markup:
    """The panel before anybody looks at it."""
    waiting = tag("div", LOOKING, class_="ba-note", role="status")
    return tag("details", tag("summary", TITLE), waiting, class_="ba-fold ba-take", data_empty="")


def panel(
    about: str,
    *,
    key: str = "",
    forms: Sequence[Offered] = (),
    taken: Sequence[Taken] = (),
    pushed: Pushed | None = None,
    not_pushed: str = "",
    problem: str = "",
    chosen: str = "adapter",
) -> Markup:
    """The panel that was opened.

    Args:
        about: which model it is about.
        key: of that model, as the page names it.
        forms: what is offered; nothing while something is made.
        taken: what is made or being made, the newest first.
        pushed: the last push.
        not_pushed: why nothing can be pushed now, where `hub` is among the forms.
        problem: why what was asked for last is not done.
        chosen: the form that is marked.
    """
    going_on = any(each.goes_on for each in taken) or bool(pushed and pushed.phase)
    parts: list[Child] = [tag("div", about, class_="ba-note")]
    if problem:
        said = tag("div", problem, class_="ba-strong", role="alert")
        parts.append(tag("div", said, class_="ba-problems"))
    shown = [*([_push(pushed)] if pushed else []), *map(_taken, taken)]
    # Read out as it changes, and there before it does.
    parts.append(tag("div", *shown, class_="ba-stack", aria_live="polite"))
    if forms and not going_on:
        parts.append(_choice(forms, not_pushed, chosen))
    inside = tag("div", *parts, class_="ba-stack")
    seen = hashlib.sha256(inside.encode()).hexdigest()[:16] if going_on else None
    told = {"data_key": key or None, "data_seen": seen}
    return tag("details", tag("summary", TITLE), inside, class_="ba-fold ba-take", open="", **told)


def seen_in(drawn: Markup) -> str:
    """What tells one drawing of something that goes on from another."""
    return drawn.partition('data-seen="')[2].partition('"')[0]


def title_of(what: What) -> str:
    """`GGUF file · q8_0`."""
    form = WRITTEN[what.form]
    if what.adapter_alone:
        return f"{form.title} · the adapter alone"
    return f"{form.title} · {what.packing}" if "packing" in form.heeds else form.title


def _taken(taken: Taken) -> Markup:
    title = tag("b", title_of(taken.what))
    if taken.goes_on:
        stop = _button("Cancel", "cancel", taken.job) if taken.may_cancel else None
        bar = progress(counted(taken.phase, taken.done, taken.total), taken.done, taken.total)
        return tag("div", title, bar, stop)
    if not taken.file:
        said = taken.error or f"This was {taken.state}."
        return tag("div", title, tag("div", said, class_="ba-note"), _button("Make it again", "again", taken.job))
    link = tag("a", f"Download {taken.file}", data_file=taken.address, download=taken.file, class_="ba-download")
    lines = [*taken.notes, taken.check, f"It lies in {taken.place}" if taken.place else ""]
    notes = [tag("div", line, class_="ba-note") for line in lines if line]
    size = tag("span", f" {_size(taken.bytes)}", class_="ba-small")
    return tag("div", tag("div", title, " ", link, size), *notes)


def _push(pushed: Pushed) -> Markup:
    title = tag("b", f"Push to {pushed.repository}")
    if pushed.phase:
        return tag("div", title, progress(pushed.phase, 0, 0))
    if pushed.error:
        said = tag("div", pushed.error, class_="ba-strong")
        return tag("div", title, tag("div", said, class_="ba-problems"))
    return tag("div", title, *(tag("div", note, class_="ba-note") for note in pushed.notes))


def _choice(forms: Sequence[Offered], not_pushed: str, chosen: str) -> Markup:
    can = [each.form for each in forms if not each.why_not]
    chosen = chosen if chosen in can else next(iter(can), "")
    packed = [form for form in can if form in WRITTEN and "packing" in WRITTEN[form].heeds]
    rows = [_form(each, checked=each.form == chosen) for each in forms]
    options = [tag("option", title, value=value) for value, title in PACKINGS.items()]
    parts: list[Child] = [tag("fieldset", tag("legend", "As"), *rows)]
    if packed:
        parts.append(tag("label", "Packed as ", tag("select", *options, data_as="packing"), class_="ba-if-packed"))
    if any(form in WRITTEN and WRITTEN[form].asked_as for form in can):
        parts.append(_tick(CHECK, "check", "ba-if-asked"))
    if "hub" in can and not_pushed:
        parts.append(tag("div", not_pushed, class_="ba-note ba-if-hub"))
    elif "hub" in can:
        name = tag("input", type="text", data_as="repository", placeholder="OWNER/NAME", autocomplete="off")
        parts.append(tag("label", "Repository ", name, class_="ba-if-hub"))
        parts.append(_tick(PRIVATE, "private", "ba-if-hub"))
        parts.append(tag("div", CARD_QUOTES, class_="ba-note ba-if-hub"))
        parts.append(_button("Push it", "push", class_="ba-if-hub"))
    parts.append(_button("Make it", "start", class_="ba-if-written"))
    # A form, so that what is marked in it is marked in no other panel of the page.
    return tag("form", *parts, class_="ba-stack")


def _form(offered: Offered, *, checked: bool) -> Markup:
    form = FORMS[offered.form]
    mark = tag(
        "input",
        type="radio",
        name_="take",
        value=form.name,
        checked="" if checked else None,
        disabled="" if offered.why_not else None,
    )
    said = tag("span", offered.why_not or form.does, class_="ba-small")
    return tag("label", mark, tag("span", tag("b", form.title), " ", said))


def _tick(said: str, name: str, class_: str) -> Markup:
    return tag("label", tag("input", type="checkbox", data_as=name), tag("span", said), class_=class_)


def _button(said: str, does: str, export: str | None = None, *, class_: str = "") -> Markup:
    return tag(
        "button", said, type="button", data_do=does, data_export=export, class_=f"ba-button {class_}".strip()
    )


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 100_000_000 else f"{count / 1e6:,.0f} MB"

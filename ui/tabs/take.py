"""Take it home: one panel, wherever a tuned model is shown. It is empty until it is opened, and asks for nothing.

What its buttons do comes as one event, and while something goes on the page asks how far it is by the same one. So
a panel is one component and one listener, and all that can be refused is said in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from finetuning.export.forms import FORMS
from plumbing.errors import UserError
from ui.drawing import take as drawing
from ui.drawing.markup import Markup, clicked
from ui.server import pushing, taking
from ui.server.choices import Choice, find
from ui.server.pushing import PUSHES
from ui.server.visitors import Visitor, visitor_of
from ui.tabs.events import QUICK

POLL_MS = 1500
_JS = """
const say = (what, more) => trigger('click', {do: what, ...more});
const link = () => element.querySelectorAll('[data-file]').forEach(a => {
  a.href = (window.gradio_config.root || '') + '/gradio_api/file=' + a.dataset.file;
});
element.addEventListener('toggle', ({target}) => {
  if (target.open && target.hasAttribute('data-empty')) say('open');
}, true);
element.addEventListener('click', ({target}) => {
  const button = target.closest('[data-do]');
  if (!button) return;
  const form = element.querySelector('input[type=radio]:checked');
  const more = {export: button.dataset.export || '', form: form ? form.value : ''};
  element.querySelectorAll('[data-as]').forEach(e => {
    more[e.dataset.as] = e.type === 'checkbox' ? (e.checked ? 'yes' : '') : e.value;
  });
  say(button.dataset.do, more);
});
element.addEventListener('submit', event => event.preventDefault());
setInterval(() => {
  const going = element.querySelector('[data-seen]');
  if (going && going.offsetParent && !document.hidden) say('poll', {seen: going.dataset.seen});
}, POLL_MS);
watch('value', link);
link();
""".replace("POLL_MS", str(POLL_MS))


def build_take(name: str, *, shown: bool = False) -> gr.HTML:
    """The panel, to be connected once it is known what says which model it is about.

    Args:
        name: its id begins so.
        shown: whether there is a model from the beginning; else it appears with `closed`.
    """
    value = drawing.closed() if shown else ""
    return gr.HTML(value, elem_id=f"{name}-take", elem_classes="ba-plain", js_on_load=_JS)


def closed(choice: Choice | None) -> Markup:
    """The panel of a model that has just come onto the page; nothing where there is none."""
    return drawing.closed() if choice is not None else Markup("")


def connect_take(panel: gr.HTML, chosen: gr.components.Component, key_of: Callable[[str], str] = str) -> None:
    """Let the panel do what is clicked in it.

    Args:
        panel: see `build_take`.
        chosen: says which model it is about.
        key_of: its value → the model's key, as in `ui.server.choices`.
    """

    def act(value: str | None, event: gr.EventData, request: gr.Request, login: gr.OAuthToken | None = None) -> Any:
        return answer(key_of(value) if value else "", event, visitor_of(request), login)

    panel.click(act, chosen, panel, **QUICK)


def close_with(panel: gr.HTML, chosen: gr.components.Component) -> None:
    """Close the panel when another model is chosen; the page does that by itself.

    A list that is filled anew says that it has changed, too, whatever is chosen in it.
    """
    is_about_it = """String(html).includes(`data-key="${key}"`)"""
    js = f"(key, html) => {is_about_it} ? html : {json.dumps(drawing.closed())}"
    chosen.change(None, [chosen, panel], panel, js=js, **QUICK)  # type: ignore[attr-defined]


def of_run(run_id: str) -> str:
    """The key of what a run has tuned."""
    return f"run:{run_id}"


def answer(key: str, event: gr.EventData, visitor: Visitor, login: gr.OAuthToken | None = None) -> Any:
    """What is shown after a click or a look: the panel, or that nothing has changed."""
    if key and not key.startswith(("run:", "bundled:")):
        return drawing.panel(drawing.ONE_MODEL)
    try:
        choice = find(key, visitor)
    except UserError as error:
        return drawing.panel("", problem=visitor.shown(str(error)))
    problem = ""
    try:
        _do(choice, event, visitor, login)
    except UserError as error:
        problem = visitor.shown(str(error))
    drawn = _drawn(choice, visitor, login, problem=problem, chosen=clicked(event, "form") or "adapter")
    seen = clicked(event, "seen")
    return gr.skip() if seen and seen == drawing.seen_in(drawn) else drawn


def _do(choice: Choice, event: gr.EventData, visitor: Visitor, login: gr.OAuthToken | None) -> None:
    """Carry out what was clicked; opening the panel and looking again do nothing."""
    what, job_id = clicked(event, "do"), clicked(event, "export")
    if what == "start":
        packing, check = clicked(event, "packing"), clicked(event, "check") == "yes"
        taking.start(choice, visitor, clicked(event, "form"), packing=packing, check=check)
    elif what == "again":
        taking.again(choice, visitor, job_id)
    elif what == "cancel":
        taking.cancel(choice, visitor, job_id)
    elif what == "push":
        token = pushing.token_of(visitor, login)
        private = clicked(event, "private") == "yes"
        PUSHES.start(choice, visitor, clicked(event, "repository"), token, private=private)


def _drawn(choice: Choice, visitor: Visitor, login: gr.OAuthToken | None, *, problem: str, chosen: str) -> Markup:
    taken, pushed = taking.taken(choice, visitor), PUSHES.of(choice, visitor)
    going_on = any(each.goes_on for each in taken) or bool(pushed and pushed.phase)
    pushes = pushing.are_offered(visitor)
    return drawing.panel(
        f"{choice.label}, tuned from {visitor.shown(choice.base)}",
        key=choice.key,
        forms=() if going_on else taking.offered(choice, visitor, pushes=pushes),
        taken=taken,
        pushed=pushed,
        not_pushed=pushing.why_not(visitor, login) if pushes and not going_on else "",
        problem=problem,
        chosen=chosen if chosen in FORMS else "adapter",
    )

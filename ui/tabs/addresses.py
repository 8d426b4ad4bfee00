"""Addresses: what one names is open when the page is, and the address bar follows what is looked at.

The bar is the page's own business: one listener without a handler, which asks the server for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.runs.folder import Run
from plumbing.errors import ModelError, RunError, UserError
from ui.drawing import text
from ui.drawing.markup import Markup, tag
from ui.server.address import KEYS, Address, WrongAddress, address_of
from ui.server.choices import find, options, place_of
from ui.server.visitors import Visitor, visitor_of
from ui.tabs.compare import Compare, choose
from ui.tabs.evaluate import Evaluate
from ui.tabs.events import QUICK, Updates
from ui.tabs.runs import Runs

# What is looked at, as parameters; a key of two models holds what a person wrote, and is left out.
_PARAMETERS = """
const ofPage = (model, evaluated, run, ticked, report) => {
  const chosen = document.querySelector('#tabs [role=tab][aria-selected=true]');
  const tab = chosen ? chosen.textContent.trim().toLowerCase() : 'compare';
  const named = new URLSearchParams(location.search);
  KEYS.forEach(key => named.delete(key));
  named.set('tab', tab);
  const isOurs = key => key && !key.startsWith('two:');
  if (tab === 'compare' && isOurs(model)) {
    named.set('model', model);
    const example = document.querySelector('#message [data-example]');
    if (example) named.set('example', example.dataset.example);
  }
  if (tab === 'evaluate' && report) named.set('report', report);
  else if (tab === 'evaluate' && isOurs(evaluated)) named.set('model', evaluated);
  const several = (ticked || '').split(' ').filter(Boolean);
  const beside = document.querySelector('#runs-beside');
  if (tab === 'runs' && several.length > 1 && beside && beside.offsetParent) named.set('runs', several.join(','));
  else if (tab === 'runs' && run) named.set('run', run);
  const address = '?' + named.toString().replaceAll('%3A', ':').replaceAll('%2C', ',');
  history.replaceState(history.state, '', address);
  // In a Space the page is in a frame of the Hub's, whose address bar is the one that people see.
  if (parent !== window) parent.postMessage({queryString: address.slice(1)}, 'https://huggingface.co');
  return location.href;
};
""".replace("KEYS", json.dumps(KEYS))
# Once the tab has changed in the page, too; and only where a person has done something there.
_FOLLOW = f"""(...named) => {{ {_PARAMETERS}
  setTimeout(() => navigator.userActivation?.hasBeenActive !== false && ofPage(...named), 50);
}}"""
_COPY = f"""async (...named) => {{ {_PARAMETERS}
  const button = document.activeElement, link = ofPage(...named);
  try {{ await navigator.clipboard.writeText(link); }}
  catch {{  // over plain HTTP, or in a frame that may not
    const box = Object.assign(document.createElement('textarea'), {{value: link}});
    document.body.append(box);
    box.select();
    document.execCommand('copy');
    box.remove();
    button && button.focus();
  }}
  document.querySelectorAll('[data-copied]').forEach(each => delete each.dataset.copied);
  if (button) {{
    button.dataset.copied = '';
    setTimeout(() => delete button.dataset.copied, 4000);
  }}
  const said = document.querySelector('#address-said');
  if (said) said.textContent = COPIED;
}}""".replace("COPIED", json.dumps(text.LINK_COPIED))


@dataclass
class Addressed:
    """What an address can open."""

    tabs: gr.Tabs
    said: gr.HTML
    """What is wrong with the address that the page was opened by."""
    compare: Compare
    evaluate: Evaluate
    runs: Runs

    def arrive(self, request: gr.Request) -> Any:
        """Open what the address of the page names; where it cannot be, say so, and open the page as usual."""
        visitor = visitor_of(request)
        try:
            address = address_of(request)
            if address.is_empty:
                return gr.skip()
            return self._open(address, visitor, request)
        except UserError as error:
            return {self.said: _problem(error, visitor)}

    def _open(self, address: Address, visitor: Visitor, request: gr.Request) -> Updates:
        opened: Updates = {self.tabs: gr.Tabs(selected=address.opens)} if address.opens else {}
        if address.run:
            drawn = self.runs.show(visitor.run(address.run), "", 0, visitor)
            return opened | dict(zip(self.runs.shown, drawn, strict=True))
        if address.runs:
            return opened | self._beside([visitor.run(run) for run in address.runs], visitor)
        if address.report:
            drawn = self.evaluate.judged.shown(visitor.job(address.report), visitor)
            return opened | dict(zip(self.evaluate.judged.followed, drawn, strict=True))
        if address.model and address.opens == "evaluate":
            return opened | self._evaluated(address.model, visitor, request)
        if address.model and address.opens == "compare":
            choice = find(address.model, visitor)
            chosen = [*choose(choice, visitor), *self.compare.about(place_of(choice.task), choice)]
            into = [self.compare.task, self.compare.model, *self.compare.hinted]
            return opened | dict(zip(into, chosen, strict=True))
        return opened

    def _beside(self, runs: Sequence[Run], visitor: Visitor) -> Updates:
        drawn = self.runs.show_beside(" ".join(run.id for run in runs), 0, visitor)
        return dict(zip(self.runs.shown, drawn, strict=True))

    def _evaluated(self, key: str, visitor: Visitor, request: gr.Request) -> Updates:
        """A model chosen in Evaluate, with the report that it came with."""
        tab, choice = self.evaluate, find(key, visitor)
        place = place_of(choice.task)
        groups = {group: gr.Column(visible=name == place) for name, group in tab.groups.items()}
        drawn = dict(zip(tab.drawn, tab.show_own(key, None, "", request), strict=True))
        found = options(visitor, place)
        chosen = {tab.task: gr.Radio(value=place), tab.model: gr.Dropdown(choices=found, value=choice.key)}
        return groups | drawn | chosen

    @property
    def opened(self) -> list[Any]:
        """The outputs of `arrive`."""
        of_compare = [self.compare.task, self.compare.model, *self.compare.hinted]
        of_evaluate = [self.evaluate.task, self.evaluate.model, *self.evaluate.groups.values()]
        of_evaluate += self.evaluate.judged.followed
        return [self.tabs, self.said, *of_compare, *of_evaluate, *self.runs.shown]


def connect_addresses(page: gr.Blocks, at: Addressed, links: Sequence[gr.Button]) -> None:
    """Open what the page's address names, let the address follow, and copy it where that is asked for."""
    page.load(at.arrive, None, at.opened, **QUICK)
    compare, judged = at.compare, at.evaluate.judged
    named: list[Any] = [compare.model, at.evaluate.model, at.runs.run_id, at.runs.ticked, judged.job_id]
    changes = [at.tabs.change, *(each.change for each in named)]
    gr.on(changes, None, named, None, js=_FOLLOW, **QUICK)
    gr.on([link.click for link in links], None, named, None, js=_COPY, **QUICK)


def build_said() -> gr.HTML:
    """Where it is said what is wrong with an address, and that a link was copied."""
    said = tag("div", "", id="address-said", role="status")
    gr.HTML(said, elem_classes="ba-plain ba-quietly")
    return gr.HTML(elem_id="address", elem_classes="ba-plain")


def _problem(error: UserError, visitor: Visitor) -> Markup:
    if isinstance(error, WrongAddress):
        said = f"{text.WRONG_ADDRESS} {error}"
    elif isinstance(error, RunError | ModelError):  # that something is somebody else's reads the same
        said = text.NOT_YOURS if visitor.is_stranger else text.NOT_THERE
    else:
        said = visitor.shown(str(error))
    return tag("div", tag("div", said, class_="ba-strong"), class_="ba-problems", role="alert")

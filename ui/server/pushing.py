"""Pushes to the Hub that the page does itself, a thread each: the visitor's token is in no queue and in no file.

On a page of one's own it is the token that is stored on the machine; in a Space that of the visitor who has signed
in there, and never the Space's. Any other page pushes for nobody.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec

import gradio as gr
from gradio import oauth
from gradio.utils import get_space

from finetuning.export.hub import push, require_repository
from finetuning.export.tuned import Tuned
from finetuning.export.work import Work
from plumbing.errors import RunError, UserError
from ui.drawing.take import Pushed
from ui.server.choices import Choice
from ui.server.visitors import Visitor

SIGN_IN = "Sign in with Hugging Face first: the button is at the top of the page. What was made here stays."
NO_TOKEN = "There is no token on this machine. Log in on its command line: hf auth login; or set HF_TOKEN."
NO_SCOPE = "Signing in did not give this page the right to make a repository. Sign out, and in again."
SCOPES = frozenset({"contribute-repos", "write-repos", "manage-repos"})
"""Any of them lets a repository be made and written."""
_AT_ONCE = 2
_REMEMBERED = 200


def sign_in_is_there() -> bool:
    """Whether visitors can sign in: in a Space with `hf_oauth`. Elsewhere Gradio would sign all in as its owner."""
    settings = (oauth.OAUTH_CLIENT_ID, oauth.OAUTH_CLIENT_SECRET, oauth.OAUTH_SCOPES, oauth.OPENID_PROVIDER_URL)
    return get_space() is not None and all(settings) and all(map(find_spec, ("authlib", "itsdangerous")))


def are_offered(visitor: Visitor) -> bool:
    """Whether this page pushes for such a visitor at all."""
    return not visitor.is_stranger or sign_in_is_there()


def token_of(visitor: Visitor, login: gr.OAuthToken | None) -> str:
    """The token that this visitor may push by.

    Raises:
        RunError: there is none, and why.
    """
    if visitor.is_stranger:
        if not sign_in_is_there():
            raise RunError("This page pushes nothing to the Hub")
        if login is None or not login.token:
            raise RunError(SIGN_IN.rstrip("."))
        if not SCOPES & {*login.scope.split()}:
            raise RunError(NO_SCOPE.rstrip("."))
        return login.token
    from huggingface_hub import get_token

    if token := get_token():
        return token
    raise RunError(NO_TOKEN.rstrip("."))


def why_not(visitor: Visitor, login: gr.OAuthToken | None) -> str:
    """Why this visitor cannot push now; empty where they can."""
    try:
        token_of(visitor, login)
    except RunError as error:
        return str(error)
    return ""


@dataclass
class _Going:
    said: Pushed
    thread: threading.Thread | None = None


class Pushes:
    """The last push of each visitor's model; in memory, for it is over in a moment, or was not made."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], _Going] = {}
        self._lock = threading.Lock()

    def of(self, choice: Choice, visitor: Visitor) -> Pushed | None:
        """How far the last one is, or what came of it."""
        found = self._found.get((visitor.owner, choice.key))
        return found.said if found else None

    def start(self, choice: Choice, visitor: Visitor, repository: str, token: str, *, private: bool) -> None:
        """Push an adapter, or a whole model, to OWNER/NAME.

        Raises:
            UserError: that is no name of a repository, or others are pushing.
        """
        repository = require_repository(repository.strip())
        tuned = Tuned.of(choice.folder)
        with self._lock:
            going_on = [key for key, each in self._found.items() if each.said.phase]
            if any(owner == visitor.owner for owner, _ in going_on):
                raise RunError("A push of yours is going on", fix="Wait for it.")
            if len(going_on) >= _AT_ONCE:
                raise RunError("Others are pushing now", fix="Try again in a minute.")
            going = _Going(Pushed(repository, phase="Starting"))
            self._found.pop((visitor.owner, choice.key), None)
            self._found[visitor.owner, choice.key] = going
            over = [key for key, each in self._found.items() if not each.said.phase]
            for key in over[: max(0, len(self._found) - _REMEMBERED)]:
                del self._found[key]
        given = (going, tuned, visitor, token, private)
        going.thread = threading.Thread(target=self._push, args=given, name="push", daemon=True)
        going.thread.start()

    def _push(self, going: _Going, tuned: Tuned, visitor: Visitor, token: str, private: bool) -> None:
        minutes = visitor.limits.export_minutes if visitor.limits else None
        ends = None if minutes is None else time.monotonic() + 60 * minutes

        def tell(what: str, done: int, total: int) -> None:
            going.said = replace(going.said, phase=what)

        work = Work(tell, lambda: ends is not None and time.monotonic() > ends)
        try:
            notes = push(tuned, going.said.repository, token, work, private=private)
        except UserError as error:
            going.said = Pushed(going.said.repository, error=visitor.shown(str(error)))
        except Exception:
            logging.getLogger(__name__).exception("A push failed")
            going.said = Pushed(going.said.repository, error="Something went wrong while this was pushed.")
        else:
            going.said = Pushed(going.said.repository, notes=notes)


PUSHES = Pushes()

"""The page on the network: what the command line says about it, and Gradio's own settings."""

from __future__ import annotations

import argparse
import asyncio
import hmac
import ipaddress
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from models import libraries
from plumbing.errors import RunError
from plumbing.proxies import settle_proxies
from plumbing.redaction import RedactedStream
from ui.server.gradio_import import import_gradio
from ui.server.listening import ALLOW_HOST, HOST, PORT, check_uploads_folder, read_port, reserved_port

if TYPE_CHECKING:
    import gradio as gr

    from finetuning.limits import Limits

LOGIN = "BEFORE_AFTER_LOGIN"
ENGINE = "BEFORE_AFTER_ENGINE"
MCP = "GRADIO_MCP_SERVER"
"""Gradio's own switch, for where there is no command line."""
_WRONG_PASSWORD_S = 1.0
"""A wrong password is answered after so long."""
_QUEUE_POLL_S = 2.0
_THREADS, _THREADS_WITH_ENGINE = 40, 200
"""Handlers at work at once: Gradio's own number, and where several visitors are answered at once."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program where it makes no sense.

    Raises:
        RunError: there is no such port.
    """
    in_a_space = "SPACE_ID" in os.environ
    parser = argparse.ArgumentParser(description="Before/After: fine-tune a language model and see what changed.")
    parser.add_argument(
        "--host", default=os.environ.get(HOST) or ("0.0.0.0" if in_a_space else "127.0.0.1"),
        help=f"default: ${HOST}, here %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--port", default=os.environ.get(PORT) or "7860", help=f"0: any; default: ${PORT}, here %(default)s"
    )
    parser.add_argument(
        "--public", action="store_true", default=in_a_space,
        help="strangers may use the page: each sees their own runs, within limits (default in a Space)",
    )  # fmt: skip
    parser.add_argument("--limits", metavar="NAME=VALUE,…", help="other limits: see finetuning/limits.py")
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[],
        help=f"a name the page is asked for by; also in ${ALLOW_HOST}, by commas",
    )  # fmt: skip
    parser.add_argument(
        "--login", nargs="?", const="", metavar="FILE",
        help=f"ask for a name and a password: user:password, one a line in FILE, or by commas in ${LOGIN}",
    )  # fmt: skip
    parser.add_argument(
        "--mcp", action="store_true", default=os.environ.get(MCP, "").casefold() == "true",
        help=f"serve the API to assistants, too, by the Model Context Protocol; also {MCP}=true",
    )  # fmt: skip
    parser.add_argument(
        "--engine", metavar="URL", default=os.environ.get(ENGINE) or None,
        help=f"a vLLM, SGLang or llama.cpp server, http://HOST/v1, that answers in Compare; also ${ENGINE}",
    )  # fmt: skip
    found = parser.parse_args(arguments)
    found.port, found.host = read_port(found.port), found.host.strip("[]")
    if found.limits and not found.public:
        parser.error("--limits are for --public")
    if found.mcp and found.login is not None:
        parser.error("--mcp asks nobody for a password: leave it out, or --login")
    if not (found.public or found.login is not None or _is_loopback(found.host)):
        parser.error(f"--host {found.host} lets other machines in: say --public, --login, or both")
    return found


def serve(arguments: argparse.Namespace) -> None:
    """Build the page and serve it until interrupted.

    Raises:
        RecipeError: a limit is wrong.
        RunError: `--login` without anybody to let in, nowhere to listen or to keep uploads or runs, or `--mcp`
            without its package.
    """
    from finetuning.limits import read_limits
    from finetuning.runs.folder import runs_folder
    from finetuning.runs.storage import check_storage

    if arguments.mcp and find_spec("mcp") is None:
        raise RunError("An MCP server takes the package mcp", fix='Install it: pip install "mcp>=1.21,<2".')
    check_storage(runs_folder())
    limits = read_limits(arguments.limits) if arguments.public else None
    _use_engine(arguments.engine)
    login = None if arguments.login is None else check_login(read_login(arguments.login))
    os.environ.pop(LOGIN, None)  # a worker has no use for it
    sys.stderr = RedactedStream(sys.stderr)

    for sentence in settle_proxies(arguments.host):
        print(f"app.py: {sentence}", file=sys.stderr)
    with reserved_port(arguments.host, arguments.port) as port:
        # Gradio tries the port where this one says, which knows the older addresses only.
        os.environ |= {PORT: str(port), HOST: "127.0.0.1" if ":" in arguments.host else arguments.host}
        page = _launched(arguments, port, limits, login)
    libraries.import_in_background()  # the page is there, and somebody who looks at it will need them
    _copy_votes_if_asked()
    page.block_thread()


def _launched(
    arguments: argparse.Namespace,
    port: int,
    limits: Limits | None,
    login: Callable[[str, str], Awaitable[bool]] | None,
) -> gr.Blocks:
    """The page, built and answering at `port`."""
    import_gradio()
    check_uploads_folder()
    with libraries.without_collections():
        from starlette.middleware import Middleware

        from finetuning.limits import Limits
        from finetuning.runs.folder import runs_folder
        from ui.drawing.theme import CSS, theme
        from ui.page import build_page
        from ui.server.door import UPLOAD_MB, Door
        from ui.server.packing import Packing
        from ui.server.preview import ICON, name_the_page
        from ui.server.pushing import sign_in_is_there

        name_the_page()
        page = build_page(limits)
    # No call around the queue, and an end to it: an answer to everybody who waits.
    page.queue(default_concurrency_limit=4, max_size=100, api_open=False)
    door = Middleware(
        Door,
        blocks=page,
        hosts=[*arguments.allow_host, *names_in(os.environ)],
        any_address=not _is_loopback(arguments.host),
        limits=limits,
        in_a_space="SPACE_ID" in os.environ,
        mcp=arguments.mcp,
        sign_in=sign_in_is_there(),
    )
    threading.Thread(target=_keep_the_queue_moving, name="queue", daemon=True).start()
    page.launch(
        server_name=f"[{arguments.host}]" if ":" in arguments.host else arguments.host,
        server_port=port,
        auth=login,  # type: ignore[arg-type]  # it may be a coroutine function, as gradio.routes awaits one
        theme=theme(),
        css=CSS,
        favicon_path=ICON,
        footer_links=[],
        share=False,
        allowed_paths=[str(runs_folder().resolve())],  # for what is exported; the door lets nothing else through
        run_history=False,
        enable_monitoring=False,
        mcp_server=arguments.mcp,
        ssr_mode=False,
        num_workers=0,
        strict_cors=True,
        max_file_size=f"{limits.upload_mb if limits else UPLOAD_MB}mb",
        state_session_capacity=limits.pages if limits else Limits.model_fields["pages"].default,
        app_kwargs={
            "middleware": [door, Middleware(Packing)],
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
        prevent_thread_lock=True,
        # One a visitor who waits or is answered, for a moment each: without some left, what polls waits with them.
        max_threads=_THREADS_WITH_ENGINE if arguments.engine else _THREADS,
    )
    return page


def names_in(environment: Mapping[str, str]) -> list[str]:
    """The names that the page is asked for by: a Space with a domain of its own has two.

    A name may be written as an address, with a scheme and a slash.
    """
    written = f"{environment.get('SPACE_HOST', '')},{environment.get(ALLOW_HOST, '')}".split(",")
    return [name for part in written if (name := re.sub(r"^\w+://", "", part.strip()).rstrip("/"))]


def read_login(file: str) -> dict[str, str]:
    """Name → password, from a file or, for "", from the environment. What is wrong is said without a password.

    Raises:
        RunError: nobody is named, or a part is not `user:password`.
    """
    where = file or f"${LOGIN}"
    try:
        written = (
            Path(file).read_text(encoding="utf-8").splitlines() if file else os.environ.get(LOGIN, "").split(",")
        )
    except (OSError, UnicodeDecodeError):
        raise RunError("The logins cannot be read", got=where) from None
    known = {}
    for part in filter(None, map(str.strip, written)):
        name, colon, password = part.partition(":")
        if not colon or not name or not password:
            raise RunError(f"A login in {where} is not user:password")
        known[name] = password
    if not known:
        raise RunError("Nobody could log in", got=where, fix="Write user:password there.")
    return known


def check_login(known: dict[str, str]) -> Callable[[str, str], Awaitable[bool]]:
    """Whether a name and a password belong together, found in the same time whatever is wrong."""

    async def check(name: str, password: str) -> bool:
        right = False
        for known_name, known_password in known.items():
            same_name = hmac.compare_digest(name.encode(), known_name.encode())
            right |= same_name & hmac.compare_digest(password.encode(), known_password.encode())
        if not right:
            await asyncio.sleep(_WRONG_PASSWORD_S)
        return right

    return check


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _use_engine(address: str | None) -> None:
    """Let an engine answer in Compare, if there is one.

    Raises:
        UserError: it is no address.
    """
    from ui.server import engine

    if engine.use(address) is not None:
        threading.Thread(target=engine.tend, name="tend-engine", daemon=True).start()


def _copy_votes_if_asked() -> None:
    """Copy votes while the page is served, and once more when it ends, if the environment names a dataset."""
    from finetuning.votes.publishing import DATASET, TOKEN, dataset_of

    if dataset_of() is not None:
        # A container is stopped by this signal, which would end the program before the last copy: as Ctrl+C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        threading.Thread(target=_copy_votes, name="votes", daemon=True).start()
    elif os.environ.get(DATASET, "").strip():
        print(f"app.py: votes are not copied to the dataset in ${DATASET}: ${TOKEN} is not set", file=sys.stderr)


def _copy_votes() -> None:
    """Begin to copy votes to a dataset on the Hub; tried again until that can be reached. The page is the same."""
    from finetuning.votes.keeping import votes_folder
    from finetuning.votes.publishing import EVERY_MINUTES, dataset_of, start

    said = ""
    while True:
        try:
            start(votes_folder())
        except RunError as error:
            if str(error) != said:
                print(f"app.py: {error}", file=sys.stderr)
            said = str(error)
            time.sleep(60 * EVERY_MINUTES)
        else:
            print(f"app.py: votes are copied to the dataset {dataset_of()}", file=sys.stderr)
            return


def _keep_the_queue_moving() -> None:
    """Start the next run when one ends, whether or not anybody looks."""
    from finetuning.runs.launch import reconcile

    while True:
        try:
            reconcile()
        except Exception:
            logging.getLogger(__name__).exception("The queue of runs could not be looked through")
        time.sleep(_QUEUE_POLL_S)

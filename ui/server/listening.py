"""Where the page listens: a port and a folder for uploads, both looked at before anything is built.

Gradio finds out at the end of a start, and says the same of everything: that there is no empty port.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plumbing.errors import RunError

PORT = "GRADIO_SERVER_PORT"
HOST = "GRADIO_SERVER_NAME"
UPLOADS = "GRADIO_TEMP_DIR"
ALLOW_HOST = "BEFORE_AFTER_ALLOW_HOST"
"""More of `--allow-host`, separated by commas, for where there is no command line."""
_LAST_PORT = 65_535


def read_port(text: str) -> int:
    """The port that `text` names; 0 is any that is free.

    Raises:
        RunError: there is none of that number.
    """
    if not text.isascii() or not text.isdecimal() or int(text) > _LAST_PORT:
        raise RunError("That is no port", got=text, fix=f"Ports go from 1 to {_LAST_PORT}; 0 is any that is free.")
    return int(text)


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """A port of `host` that nobody else gets before the page listens there, within the context.

    Raises:
        RunError: somebody else listens there, it may not be used, or the address is not this machine's.
    """
    try:
        reserved = _bind(host, port)
    except OSError as error:
        raise _refused(host, port, error) from None
    with reserved:
        found: int = reserved.getsockname()[1]
        if sys.platform != "linux":  # elsewhere the page could not listen beside a socket that is only bound
            reserved.close()
        try:
            yield found
        except OSError as error:
            if "Cannot find empty port" not in str(error):
                raise
            raise _not_started(host, found) from None


def _not_started(host: str, port: int) -> RunError:
    try:
        _bind(host, port).close()
    except OSError as error:
        return _refused(host, port, error)
    return RunError("The page did not begin to listen within five seconds", fix="Try again: this machine is busy.")


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    reserved = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # there it lets in who listens, and keeps out nobody who listens already
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(address)
    except OSError:
        reserved.close()
        raise
    return reserved


def _refused(host: str, port: int, error: OSError) -> RunError:
    if error.errno == errno.EADDRINUSE:
        return RunError(
            f"Port {port} is in use by another program",
            fix=f"Choose another: add --port {_free(host, port)}.",
        )
    if error.errno == errno.EACCES:
        return RunError(
            f"Port {port} is the system's own, and may not be used",
            fix="Choose another: add --port 7860.",
        )
    return RunError(
        f"This machine cannot be asked by this name or address: {error.strerror or error}",
        got=host,
        fix="Take --host 127.0.0.1 for this machine alone, or --host 0.0.0.0 for every address that it has.",
    )


def _free(host: str, port: int) -> int:
    """The next port that is free, or any."""
    for candidate in (*range(port + 1, min(port + 100, _LAST_PORT)), 0):
        try:
            with _bind(host, candidate) as found:
                return int(found.getsockname()[1])
        except OSError:
            continue
    return 0


def check_uploads_folder() -> None:
    """Raise a `RunError` unless uploads can be kept where Gradio keeps them."""
    from gradio.utils import get_upload_folder

    folder = Path(get_upload_folder())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise RunError(
            f"Uploads cannot be kept here: {error.strerror or error}",
            got=str(folder),
            fix=f"Set {UPLOADS} to a folder that you may write to.",
        ) from None

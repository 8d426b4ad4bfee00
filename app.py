"""The page as a program: `python app.py` on a laptop, and the same file in a Space."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path

SETTINGS = Path(__file__).resolve().with_name("space.env")
"""What a kind of Space sets (`spaces/`)."""


def main() -> int:
    """Read the command line, build the page and serve it until interrupted."""
    # Threads that wait spin for a moment only, here and in the workers that the page starts. With a busy neighbour
    # on the same cores (a chat beside the training) long spinning slows a step down twice as much as this does.
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    take_settings()
    prepare_zero_gpu()

    from plumbing import doors
    from plumbing.errors import UserError
    from ui.serving import parse, serve

    doors.enter("page")
    try:
        serve(parse(sys.argv[1:]))
    except UserError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    return 0


def take_settings() -> None:
    """Read NAME=VALUE lines where there are any; what the environment has, stays."""
    with contextlib.suppress(FileNotFoundError):
        for line in SETTINGS.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.partition("=")
            if equals and not name.startswith("#"):
                os.environ.setdefault(name.strip(), value.strip())


def prepare_zero_gpu() -> None:
    """Import the package `spaces` where there is one: it has to come before torch.

    Without the package, the import finds our own folder of that name, which has no `GPU` and does nothing.
    """
    with contextlib.suppress(ImportError):
        import spaces

        if hasattr(spaces, "GPU"):
            logging.getLogger(__name__).info("ZeroGPU: the package spaces is there")


if __name__ == "__main__":
    sys.exit(main())

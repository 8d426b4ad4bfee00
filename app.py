"""The page as a program: `python app.py` on a laptop, and the same file in a Space."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os


def main() -> None:
    """Read the command line, build the page and serve it until interrupted."""
    in_a_space = "SPACE_ID" in os.environ
    parser = argparse.ArgumentParser(description="Before/After: fine-tune a language model and see what changed.")
    parser.add_argument("--host", default="0.0.0.0" if in_a_space else "127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    arguments = parser.parse_args()
    # Threads that wait spin for a moment only: a training run beside the chat would wait for them (see launch.py).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    prepare_zero_gpu()

    from finetuning.launch import reconcile
    from ui.page import build_page
    from ui.theme import CSS, theme

    reconcile()
    build_page().queue(default_concurrency_limit=4).launch(
        server_name=arguments.host,
        server_port=arguments.port,
        theme=theme(),
        css=CSS,
        footer_links=[],
        share=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        max_file_size="100mb",
    )


def prepare_zero_gpu() -> None:
    """Import the package `spaces` where there is one: it has to come before torch.

    Without the package, the import finds our own folder of that name, which has no `GPU` and does nothing.
    """
    with contextlib.suppress(ImportError):
        import spaces

        if hasattr(spaces, "GPU"):
            logging.getLogger(__name__).info("ZeroGPU: the package spaces is there")


if __name__ == "__main__":
    main()

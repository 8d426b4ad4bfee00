"""The command line of the harness: any two models, or more, on the same rows.

python -m eval compare --base X --tuned Y --data FILE · plan --difference 0.03 · show FOLDER

Exit codes: 0 better, or no evidence; 1 worse, or not what was required; 2 it could not run, with one line on stderr
where a person can mend it. Nothing heavy is imported before a command needs it, so `--help` answers at once.
"""

from __future__ import annotations

import sys

import typer

from eval.commands.compare import compare
from eval.commands.output import WORSE, ShutError
from eval.commands.plan import plan
from eval.commands.show import show
from plumbing.terminal import run

COULD_NOT_RUN = 2

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a key may be among them
    help="Is a tuned model better than its base, and what did it break? For models that were tuned anywhere.",
)
for command in (compare, plan, show):
    app.command()(command)


def main() -> None:
    """Run the command line; whatever goes wrong ends with 2, since 1 says that a model is worse."""
    try:
        run(app)
    except ShutError:
        raise
    except SystemExit as end:  # of a question that was not answered, or of a reader that has gone: both are a 1
        sys.exit(COULD_NOT_RUN if end.code == WORSE else end.code)
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(COULD_NOT_RUN)

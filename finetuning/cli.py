"""The command line: the same calls as the page's tabs.

python -m finetuning inspect FILE · train RECIPE · train FILE · evaluate RUN · export RUN FORM · engine · chat RUN ·
votes · runs · runs RUN RUN · rename RUN NAME · cancel RUN · resume RUN · delete RUN · estimate RECIPE · recipes ·
sweep LAB

An error that a person can mend is one line on stderr and exit code 2. Nothing heavy is imported before a command
needs it, so `--help` answers at once.
"""

from __future__ import annotations

import typer

from finetuning.commands.cancel import cancel
from finetuning.commands.chat import chat
from finetuning.commands.delete import delete
from finetuning.commands.engine import engine
from finetuning.commands.estimate import estimate
from finetuning.commands.evaluate import evaluate
from finetuning.commands.export import export
from finetuning.commands.export_task import export_task
from finetuning.commands.inspect import inspect
from finetuning.commands.recipes import recipes
from finetuning.commands.rename import rename
from finetuning.commands.resume import resume
from finetuning.commands.runs import runs
from finetuning.commands.sweep import sweep
from finetuning.commands.train import train
from finetuning.commands.votes import votes
from plumbing.terminal import run

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a token may be among them
    help="Fine-tune a model and see what changed.",
)
for command in (
    inspect,
    train,
    resume,
    cancel,
    delete,
    evaluate,
    export,
    export_task,
    engine,
    chat,
    votes,
    runs,
    rename,
    recipes,
    estimate,
    sweep,
):
    app.command()(command)


def main() -> None:
    """Run the command line; a `UserError` becomes one line and exit code 2."""
    run(app)

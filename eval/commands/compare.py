"""python -m eval compare"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eval.commands.options import Html, Json, Junit, Markdown, Metric, Out, Require, Set
from eval.commands.output import Output
from plumbing.errors import UserError
from plumbing.terminal import LateBar, console

if TYPE_CHECKING:
    from eval.asked.request import Request

STOPPED = "Stopped. What servers have answered is kept: the same command goes on from there."
SIDE = "a model, an adapter or a run (a folder, or a name on the Hub), a .gguf file, or http://HOST/v1#MODEL"


def compare(
    base: Annotated[str, typer.Option(help=f"What the others are compared with: {SIDE}.")],
    tuned: Annotated[list[str], typer.Option(help="What is to be better than it, likewise. Repeatable.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="The test rows: corpus:NAME, file:PATH or hub:OWNER/NAME, or a path; left out, those of a run."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A task that ships, a kind (classification, generation, chat, text), or a file of one."),
    ] = None,
    set_: Set = [],  # noqa: B006
    metric: Metric = None,
    more_metric: Annotated[
        list[str], typer.Option(help="Also score by this one that is not measured anyway. Repeatable.")
    ] = [],  # noqa: B006
    instruction: Annotated[
        str | None, typer.Option(help="What a model is told to do with every row, instead of what is proposed.")
    ] = None,
    prompt: Annotated[Path | None, typer.Option(help="A Jinja file that writes the whole prompt.")] = None,
    option: Annotated[
        list[str],
        typer.Option(help="Of a side: base.precision=float32, tuned.base=FOLDER, tuned-2.body=…. Repeatable."),
    ] = [],  # noqa: B006
    trained_on: Annotated[
        list[str],
        typer.Option(help="Rows that the tuned sides learned from: FILE, or tuned-2=FILE for one. Repeatable."),
    ] = [],  # noqa: B006
    keep_trained_rows: Annotated[
        bool, typer.Option("--keep-trained-rows", help="Judge rows that a side was trained on, too.")
    ] = False,
    slice_: Annotated[
        list[str], typer.Option("--slice", help="Also judge by this column's values. Repeatable.")
    ] = [],  # noqa: B006
    rows: Annotated[
        int | None, typer.Option(min=1, help="Only this many rows: a sample, labels in their share.")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Where an answer in words is cut off.")] = None,
    non_inferior: Annotated[
        float | None, typer.Option(help="Exit with 1 unless shown to be no worse by more than this: 0.02.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="Let this side say which answers are better.")] = None,
    rubric: Annotated[Path | None, typer.Option(help="What the judge has to look for; a text file.")] = None,
    votes: Annotated[Path | None, typer.Option(help="A votes.jsonl: how far people agree with the judge.")] = None,
    lm_eval: Annotated[
        str | None,
        typer.Option(help="Also these tasks of lm-evaluation-harness, by commas; it has to be installed."),
    ] = None,
    lm_eval_path: Annotated[Path | None, typer.Option(help="A folder of task files beside its own.")] = None,
    price: Annotated[
        str | None, typer.Option(help="A server's dollars for a million tokens, read and written: 0.15/0.60.")
    ] = None,
    one_by_one: Annotated[
        bool, typer.Option("--one-by-one", help="Hold one model in memory at a time; most are loaded twice.")
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            envvar="BEFORE_AFTER_ENGINE",
            help="A vLLM, SGLang or llama.cpp server, http://HOST/v1, that answers for models of this machine "
            "and adapters on them where it serves them.",
        ),
    ] = None,
    require: Require = [],  # noqa: B006
    json: Json = None,
    markdown: Markdown = None,
    html: Html = None,
    junit: Junit = None,
    out: Out = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it costs money.")] = False,
) -> None:
    """Compare models on the same rows: is a tuned one better than the base, and what did it break?

    The prompts are shown before anything is asked.
    """
    output = Output(json, markdown, html, junit, out, require)
    output.check()
    from eval.asked.besides import NotAllMeasuredError
    from eval.asked.comparing import compared
    from eval.asked.request import MAX_NEW_TOKENS, Request
    from eval.commands.printing import print_prompt

    request = Request(
        base=base,
        tuned=tuned,
        data=data,
        task=task,
        settings=set_,
        metric=metric,
        more_metrics=more_metric,
        instruction=instruction,
        prompt=prompt,
        options=option,
        price=price,
        trained_on=trained_on,
        keep_trained=keep_trained_rows,
        slices=slice_,
        rows=rows,
        max_new_tokens=max_new_tokens or MAX_NEW_TOKENS,
        margin=non_inferior,
        judge=judge,
        rubric=rubric,
        votes=votes,
        standard=lm_eval,
        standard_folder=lm_eval_path,
        one_by_one=one_by_one,
        engine=engine,
        yes=yes,
    )
    lacking: NotAllMeasuredError | None = None
    try:
        with LateBar() as bar:
            verdict, answers = compared(
                request, on_progress=bar, on_prompt=partial(print_prompt, console), agree=partial(_agree, request)
            )
    except NotAllMeasuredError as error:  # what there is of an hour's work is not thrown away
        lacking, verdict, answers = error, error.verdict, error.rows
    except KeyboardInterrupt:
        if request.servers:
            console.print(STOPPED, soft_wrap=True)
        raise
    output.give(verdict, answers)
    if lacking is not None:
        raise lacking
    output.end(verdict)


def _agree(request: Request) -> None:
    """A yes, where a price was given for a server and somebody is there to give it.

    Raises:
        UserError: it was no.
    """
    judge = request.asked_judge()
    every = [*request.asked(), *([judge] if judge else [])]
    priced = [each.text for each in every if "price" in each.options]
    if not priced or request.yes or not (sys.stdin.isatty() and console.is_terminal):
        return
    if not typer.confirm(f"Asking {', '.join(priced)} costs money. Go on?"):
        raise UserError("Nothing was asked", fix="Add --yes, or leave out --price.")

"""python -m finetuning export"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from finetuning.commands.following import console, progress, show
from finetuning.commands.options import RunName, adapter_of


def export(
    run: RunName,
    form: Annotated[str, typer.Argument(help="adapter, merged, gguf, ollama or hub.")],
    out: Annotated[
        Path | None,
        typer.Argument(help="What to write, by default named after RUN; of hub the repository, OWNER/NAME."),
    ] = None,
    packing: Annotated[str, typer.Option("--type", help="Of a GGUF file: f16, q8_0 or f32.")] = "f16",
    onto: Annotated[
        str,
        typer.Option(help="Of a 4-bit run, what to merge into: trained, as 4 bit left the base, or original."),
    ] = "trained",
    stored: Annotated[
        str, typer.Option("--dtype", help="Of a merged folder: bfloat16, float16 or float32.")
    ] = "bfloat16",
    lora: Annotated[bool, typer.Option("--lora", help="Of a GGUF file: the adapter by itself.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Of hub: seen by its owner alone.")] = False,
    merged: Annotated[
        bool, typer.Option("--merged", help="Of hub: merged into the base, in place of the adapter.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Ask it test rows, and say how many answers are as those of the adapter."),
    ] = False,
    rows: Annotated[int | None, typer.Option(min=1, help="With --check: how many rows; 8 by default.")] = None,
) -> None:
    """Take what was tuned elsewhere: an adapter's zip, a merged model, a GGUF file, for Ollama, or to the Hub.

    A push to the Hub is made by your own token: hf auth login, or HF_TOKEN.
    """
    adapter = adapter_of(run)
    from finetuning.export.checking import ROWS, check_exported, require_checkable
    from finetuning.export.forms import FORMS, Options, export
    from finetuning.export.tuned import Tuned
    from finetuning.export.work import Work

    local = form not in FORMS or FORMS[form].local
    asked_as = FORMS[form].asked_as if form in FORMS and not lora else ""
    check = check or rows is not None
    if check and asked_as:
        require_checkable(Tuned.of(adapter), as_gguf=asked_as == "gguf")
    options = Options(packing=packing, onto=onto, stored=stored, adapter_alone=lora, private=private, merged=merged)
    if not local:
        options = replace(options, token=_own_token())
    with progress() as bar:
        task = bar.add_task("Opening it", total=None)
        work = Work(lambda what, done, total: show(bar, task, what, done, total))
        written = export(adapter, form, out, options=options, work=work)
    if local:
        console.print(f"Written: {written.path}", highlight=False, markup=False)
    for note in written.notes:
        console.print(note, highlight=False, markup=False)
    if not check:
        return
    if not asked_as:
        said = "An adapter by itself is what was trained; there is nothing else to ask."
        console.print(said if local else "What was pushed is not asked.", highlight=False)
        return
    with progress() as bar:
        task = bar.add_task("Opening both", total=None)
        work = Work(lambda what, done, total: show(bar, task, what, done, total))
        found = check_exported(Tuned.of(adapter), written.path, work, rows=rows or ROWS)
    console.print(found.sentence, highlight=False, markup=False)


def _own_token() -> str:
    """The token that whoever calls the command has stored or set; empty for none."""
    from huggingface_hub import get_token

    return get_token() or ""

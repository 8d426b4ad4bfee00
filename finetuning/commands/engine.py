"""python -m finetuning engine"""

from __future__ import annotations

from typing import Annotated

import typer

from finetuning.commands.following import console, progress, show


def engine(
    base: Annotated[
        str | None, typer.Argument(help="The base model; by default the one that most was tuned from.")
    ] = None,
    gguf: Annotated[
        str | None,
        typer.Option(help="Write what llama.cpp's server needs, in this packing: f16, q8_0 or f32."),
    ] = None,
) -> None:
    """Say how vLLM, SGLang or llama.cpp is started, so that it answers in Compare for what was tuned here."""
    from finetuning.export.engine import Prepared
    from finetuning.export.gguf.writing import packing_of
    from finetuning.export.work import Work

    found = Prepared.of(base)
    commands = {"vLLM": found.for_vllm(), "SGLang": found.for_sglang()}
    if gguf is not None:
        with progress() as bar:
            task = bar.add_task("Writing", total=None)
            work = Work(lambda what, done, total: show(bar, task, what, done, total))
            commands["llama.cpp"], notes = found.for_llama_cpp(packing_of(gguf), work)
        for note in notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
    count = len(found.adapters)
    console.print(f"{found.base.name}: {count} adapter{'s' * (count != 1)} on it.", highlight=False, markup=False)
    for title, command in commands.items():
        console.print(f"\n{title}:\n{command}", highlight=False, markup=False, soft_wrap=True)
    if gguf is None:
        console.print("\nllama.cpp: with --gguf q8_0 its files are written.", highlight=False)
    console.print("\nThen: python app.py --engine http://HOST:PORT/v1", highlight=False)

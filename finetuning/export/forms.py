"""The forms in which what was tuned can be taken home: one entry a form, for the command line, a page, or a job.

A push to the Hub belongs here as one more: it writes one of these into a folder, and uploads that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from finetuning.export.tuned import Tuned
from finetuning.export.work import Work
from plumbing.errors import RecipeError


@dataclass(frozen=True)
class Options:
    """What can be chosen of an export."""

    packing: str = "f16"
    """Of a GGUF file: f16, q8_0 or f32."""
    onto: str = "trained"
    """Into which weights of the base an adapter is merged: trained, or original; see `merging`."""
    stored: str = "bfloat16"
    """What a merged folder's weights are rounded to."""
    adapter_alone: bool = False
    """Of a GGUF file: the LoRA by itself, beside the base's own file."""


@dataclass(frozen=True)
class Form:
    """One way to take something home."""

    name: str
    title: str
    does: str
    """In a sentence, for who chooses."""
    usual: Callable[[Tuned, Options], str]
    """What the file or folder is called where nobody says."""
    write: Callable[[Tuned, Path, Work, Options], list[str]]
    """Writes it whole or not at all, and says what there is to say."""
    suffix: str = ""
    """What the name of its file ends in; empty of a folder."""
    asked_as: Literal["", "folder", "gguf"] = "gguf"
    """What of it can be asked rows, as it is; nothing of an adapter, which is what was trained."""


@dataclass(frozen=True)
class Written:
    """What an export has left."""

    path: Path
    notes: list[str]


def _adapter(tuned: Tuned, target: Path, work: Work, _: Options) -> list[str]:
    from finetuning.export.adapter import write_adapter

    return write_adapter(tuned, target, work)


def _merged(tuned: Tuned, target: Path, work: Work, options: Options) -> list[str]:
    from finetuning.export.merged import write_merged

    return write_merged(tuned, target, work, onto=_onto(options), stored=_stored(options))  # type: ignore[arg-type]


def _gguf(tuned: Tuned, target: Path, work: Work, options: Options) -> list[str]:
    from finetuning.export.gguf.lora import write_lora_gguf
    from finetuning.export.gguf.writing import packing_of, write_gguf
    from finetuning.export.language import base_config, language_of

    if options.adapter_alone:
        return write_lora_gguf(tuned, base_config(tuned, work), target, work)
    model, notes = language_of(tuned, work, onto=_onto(options))  # type: ignore[arg-type]
    return notes + write_gguf(model, target, work, packing=packing_of(options.packing, model))


def _ollama(tuned: Tuned, target: Path, work: Work, options: Options) -> list[str]:
    from finetuning.export.gguf.writing import packing_of
    from finetuning.export.ollama import write_ollama

    return write_ollama(tuned, target, work, onto=_onto(options), packing=packing_of(options.packing))  # type: ignore[arg-type]


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form(
            "adapter",
            "Adapter (.zip)",
            "What was trained, with tokenizer, prompt and card: a few megabytes, beside its base.",
            lambda tuned, _: f"{tuned.name}.zip",
            _adapter,
            suffix=".zip",
            asked_as="",
        ),
        Form(
            "merged",
            "Merged model (safetensors)",
            "One folder that transformers opens, with the adapter in the base's weights.",
            lambda tuned, _: f"{tuned.name}-merged",
            _merged,
            asked_as="folder",
        ),
        Form(
            "gguf",
            "GGUF file",
            "One file for llama.cpp and what is built on it.",
            lambda tuned, options: (
                f"{tuned.name}-lora.gguf"
                if options.adapter_alone
                else f"{tuned.name}-{options.packing.lower()}.gguf"
            ),
            _gguf,
            suffix=".gguf",
        ),
        Form(
            "ollama",
            "Ollama",
            "A GGUF file and a Modelfile that asks by the prompt of training.",
            lambda tuned, _: f"{tuned.name}-ollama",
            _ollama,
        ),
    )
}


def export(
    folder: Path, form: str, target: Path | None = None, *, options: Options | None = None, work: Work | None = None
) -> Written:
    """Write what was tuned in `folder` in one of the `FORMS`.

    Args:
        folder: of an adapter or a whole model.
        form: its name.
        target: where to; by default a name of its own in the current folder.
        options: what else was chosen.
        work: told how far it is, and asked whether to stop.

    Raises:
        UserError: it cannot be taken in this form, with the reason; nothing partial is left.
    """
    if form not in FORMS:
        raise RecipeError("There is no such form", got=form, fix=f"There are {', '.join(FORMS)}.")
    options = options or Options()
    tuned = Tuned.of(folder)
    place = target or Path(FORMS[form].usual(tuned, options))
    if place.suffix.lower() != FORMS[form].suffix and FORMS[form].suffix:
        raise RecipeError(f"The file's name ends in {FORMS[form].suffix}", got=place.name, fix="Name it so.")
    return Written(place, FORMS[form].write(tuned, place, work or Work(), options))


def _onto(options: Options) -> str:
    return _one_of(options.onto, ("trained", "original"), "There is no such choice of weights to merge into")


def _stored(options: Options) -> str:
    return _one_of(options.stored, ("bfloat16", "float16", "float32"), "Weights are not stored so")


def _one_of(written: str, known: tuple[str, ...], problem: str) -> str:
    if written not in known:
        raise RecipeError(problem, got=written, fix=f"There are {', '.join(known)}.")
    return written

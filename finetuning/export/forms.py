"""The forms in which what was tuned can be taken home: one entry a form, for the command line, a page, or a job.

All but one are written to a file or a folder; `hub` is a push, which goes to a repository in place of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from finetuning.export.tuned import Tuned
from finetuning.export.work import Work
from models import libraries
from models.sources import in_reach
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
    merged: bool = False
    """Of a push: the adapter merged into its base."""
    private: bool = False
    """Of a push: seen by its owner alone."""
    token: str = field(default="", repr=False)
    """Of a push: of who pushes. Nothing falls back on another one, for on a page that would be the page's own."""


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
    require: Callable[[Tuned, Options], None]
    """Raises what is known to be in the way before anything is fetched or written."""
    heeds: frozenset[str] = frozenset()
    """The options that change what is written, by their names."""
    suffix: str = ""
    """What the name of its file ends in; empty of a folder."""
    asked_as: Literal["", "folder", "gguf"] = "gguf"
    """What of it can be asked rows, as it is; nothing of an adapter, which is what was trained."""
    local: bool = True
    """Whether it is written to a file or a folder."""

    def only_heeded(self, options: Options) -> Options:
        """`options` with what this form does not heed as it usually is."""
        return Options(**{name: getattr(options, name) for name in self.heeds})


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


def _hub(tuned: Tuned, target: Path, work: Work, options: Options) -> list[str]:
    from finetuning.export.hub import push

    return push(tuned, target.as_posix(), options.token, work, private=options.private, merged=options.merged)


def _no_name(_: Tuned, __: Options) -> str:
    raise RecipeError("A push goes to a repository on the Hub", fix="Name it: OWNER/NAME.")


def _require_adapter(tuned: Tuned, _: Options) -> None:
    tuned.require_adapter()


def _require_merged(_: Tuned, options: Options) -> None:
    _onto(options)
    _stored(options)


def _require_gguf(tuned: Tuned, options: Options) -> None:
    from finetuning.export.gguf.writing import packing_of

    tuned.require_writer("A GGUF file")
    _onto(options)
    packing_of(options.packing)
    if options.adapter_alone:
        _require_adapter(tuned, options)
    if (source := in_reach(tuned.origin.name)) is not None:
        libraries.ready()
        from transformers import AutoConfig

        from finetuning.export.gguf.architectures import architecture_of

        architecture_of(AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False))


def _require_ollama(tuned: Tuned, options: Options) -> None:
    from finetuning.export.ollama import require_prompt

    require_prompt(tuned)
    _require_gguf(tuned, options)


def _nothing(_: Tuned, __: Options) -> None:
    """Whatever was tuned can be taken so."""


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form(
            "adapter",
            "Adapter (.zip)",
            "What was trained, with tokenizer, prompt and card: a few megabytes, beside its base.",
            lambda tuned, _: f"{tuned.name}.zip",
            _adapter,
            _require_adapter,
            suffix=".zip",
            asked_as="",
        ),
        Form(
            "merged",
            "Merged model (safetensors)",
            "One folder that transformers opens, with the adapter in the base's weights.",
            lambda tuned, _: f"{tuned.name}-merged",
            _merged,
            _require_merged,
            heeds=frozenset({"onto", "stored"}),
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
            _require_gguf,
            heeds=frozenset({"onto", "packing", "adapter_alone"}),
            suffix=".gguf",
        ),
        Form(
            "ollama",
            "Ollama",
            "A GGUF file and a Modelfile that asks by the prompt of training.",
            lambda tuned, _: f"{tuned.name}-ollama",
            _ollama,
            _require_ollama,
            heeds=frozenset({"onto", "packing"}),
        ),
        Form(
            "hub",
            "Push to the Hub",
            "The adapter, or the whole model, with its card, in a repository of yours.",
            _no_name,
            _hub,
            _nothing,
            heeds=frozenset({"merged", "private", "token"}),
            asked_as="",
            local=False,
        ),
    )
}
WRITTEN: Mapping[str, Form] = {name: form for name, form in FORMS.items() if form.local}
"""Those that are written to a file or a folder."""


def export(
    folder: Path, form: str, target: Path | None = None, *, options: Options | None = None, work: Work | None = None
) -> Written:
    """Write what was tuned in `folder` in one of the `FORMS`.

    Args:
        folder: of an adapter or a whole model.
        form: its name.
        target: where to; by default a name of its own in the current folder. Of a push the repository.
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

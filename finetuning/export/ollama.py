"""A folder for Ollama: a GGUF file, and a Modelfile that asks by the prompt of training and ends as answers do."""

from __future__ import annotations

from pathlib import Path

from finetuning.export.gguf.writing import Packing, write_gguf
from finetuning.export.go_template import go_template
from finetuning.export.language import language_of
from finetuning.export.merging import Onto
from finetuning.export.tuned import Tuned
from finetuning.export.usage import prompter
from finetuning.export.work import Work, whole_folder
from models.prompting import Prompter
from plumbing.errors import ModelError

MODELFILE = "Modelfile"
MODEL_FILE = "model.gguf"


def write_ollama(
    tuned: Tuned, target: Path, work: Work, *, onto: Onto = "trained", packing: Packing = "f16"
) -> list[str]:
    """Write the folder at `target`.

    Returns:
        What there is to say of it, in sentences.

    Raises:
        ModelError: it is no language model, or its prompt cannot be said in a Modelfile.
        Stopped: see `Work`.
    """
    require_prompt(tuned)
    model, notes = language_of(tuned, work, onto=onto)
    text = modelfile(prompter(tuned, model.tokenizer), begins=model.begins)
    with whole_folder(target, is_earlier=is_earlier) as making:
        notes += write_gguf(model, making / MODEL_FILE, work, packing=packing)
        (making / MODELFILE).write_text(text, encoding="utf-8")
    return [*notes, f"In {target.name}: ollama create NAME -f {MODELFILE}"]


def require_prompt(tuned: Tuned) -> None:
    """Raise a `ModelError` where what was tuned is asked without a prompt."""
    if tuned.task.kind == "text":
        raise ModelError(
            "It has learned how texts go on, and is asked without a prompt; Ollama asks by one",
            got=tuned.name,
            fix="Take it as `gguf`.",
        )


def is_earlier(folder: Path) -> bool:
    return (folder / MODELFILE).is_file() and (folder / MODEL_FILE).is_file()


def modelfile(made: Prompter, *, begins: bool, model: str = f"./{MODEL_FILE}") -> str:
    """The Modelfile's text.

    Args:
        made: the prompter of training.
        begins: see `gguf.writing.Language`.
        model: the file, as it is named from the Modelfile.

    Raises:
        ModelError: the prompt cannot be said in one.
    """
    bos = str(made.tokenizer.bos_token or "")
    lines = [f"FROM {model}", f"TEMPLATE {_quoted(go_template(made, begins=begins, bos=bos))}"]
    if instruction := made.contract.instruction:
        lines.append(f"SYSTEM {_quoted(instruction)}")
    end = made.template.end.strip()
    lines += [f'PARAMETER stop "{end}"', "PARAMETER temperature 0"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if '"""' in text or text != text.strip():
        raise ModelError(
            'A Modelfile has no way to write a text with """ in it, or that begins or ends with space',
            got=text[:200],
        )
    return f'"""{text}"""'

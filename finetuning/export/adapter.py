"""An adapter as a zip: what plain peft needs, the tokenizer and the prompt that it was trained with, and its card.

What goes in is listed here by name, so nothing else that lies in a run's folder gets out: no keys of the rows that
were trained on, no checkpoint, no log.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from data.tasks.saved import save_task
from finetuning.export.tuned import Tuned
from finetuning.export.usage import how_to_use, write_card
from finetuning.export.work import Work, whole_file
from models.adapter_files import CONFIG_FILE, WEIGHTS_FILE, read_config
from models.adapters import ORIGIN_FILE
from models.loading import load_tokenizer
from models.prompting import CONTRACT_FILE
from models.sources import resolve

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "vocab.txt",
)


def write_adapter(tuned: Tuned, target: Path, work: Work) -> list[str]:
    """Write the zip at `target`; in it one folder of the adapter's name.

    Returns:
        What there is to say of it, in sentences.

    Raises:
        ModelError: a whole model was tuned, or its base's tokenizer cannot be found.
        Stopped: see `Work`.
    """
    with whole_file(target) as making, tempfile.TemporaryDirectory(dir=making.parent) as scratch:
        names = write_folder(tuned, Path(scratch), work)
        with zipfile.ZipFile(making, "w", zipfile.ZIP_DEFLATED) as archive:
            for done, name in enumerate(names):
                work.tell("Packing", done, len(names))
                archive.write(Path(scratch) / name, f"{tuned.name}/{name}")
    return [f"It stands on {tuned.base_name}, which has to be fetched beside it."]


def write_folder(tuned: Tuned, folder: Path, work: Work) -> list[str]:
    """Write into `folder` what goes into the zip, and return the names; errors as of `write_adapter`."""
    tuned.require_adapter()
    work.tell("Finding the base model's tokenizer")
    tokenizer = load_tokenizer(resolve(tuned.origin.name, progress=work.on_progress))
    tokenizer.save_pretrained(folder)
    for name in (WEIGHTS_FILE, CONTRACT_FILE):
        shutil.copyfile(tuned.folder / name, folder / name)
    settings = {**read_config(tuned.folder), "base_model_name_or_path": tuned.base_name}
    (folder / CONFIG_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    tuned.shown_origin.save(folder)
    save_task(tuned.task, folder)
    write_card(tuned, folder, how_to_use(tuned, tokenizer))
    kept = {CONFIG_FILE, WEIGHTS_FILE, ORIGIN_FILE, CONTRACT_FILE, *TOKENIZER_FILES, "task.json", "README.md"}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    return sorted(path.name for path in folder.iterdir())

"""An adapter as a zip: what plain peft needs, the tokenizer and the prompt that it was trained with, and its card.

What goes in is listed here by name, so nothing else that lies in a run's folder gets out: no keys of the rows that
were trained on, no checkpoint, no log.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from data.tasks.saved import save_task
from finetuning.export.tuned import Tuned
from finetuning.export.usage import how_to_use, write_card
from finetuning.export.work import Work, whole_file
from models.adapter_files import CONFIG_FILE, WEIGHTS_FILE
from models.adapters import ORIGIN_FILE
from models.loading import load_tokenizer
from models.prompting import CONTRACT_FILE
from models.sources import resolve

FILES = (CONFIG_FILE, WEIGHTS_FILE, ORIGIN_FILE, CONTRACT_FILE)
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
    tuned.require_adapter()
    work.tell("Finding the base model's tokenizer")
    tokenizer = load_tokenizer(resolve(tuned.origin.name, progress=work.on_progress))
    with whole_file(target) as making, tempfile.TemporaryDirectory(dir=making.parent) as scratch:
        folder = Path(scratch)
        tokenizer.save_pretrained(folder)
        for name in FILES:
            shutil.copyfile(tuned.folder / name, folder / name)
        save_task(tuned.task, folder)
        write_card(tuned, folder, how_to_use(tuned, tokenizer))
        kept = {*FILES, *TOKENIZER_FILES, "task.json", "README.md"}
        names = sorted(path.name for path in folder.iterdir() if path.name in kept)
        with zipfile.ZipFile(making, "w", zipfile.ZIP_DEFLATED) as archive:
            for done, name in enumerate(names):
                work.tell("Packing", done, len(names))
                archive.write(folder / name, f"{tuned.name}/{name}")
    return [f"It stands on {tuned.origin.name}, which has to be fetched beside it."]

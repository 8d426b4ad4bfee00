"""A whole model as a folder of safetensors, tokenizer, prompt and card, which transformers opens, as we do."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.tasks.saved import save_task
from finetuning.export.merging import MergedWeights, Onto, other_weights, what_it_is
from finetuning.export.tuned import Tuned
from finetuning.export.usage import how_to_use, write_card
from finetuning.export.weights import Weights, described
from finetuning.export.work import Work, whole_folder
from models.adapters import ORIGIN_FILE
from models.loading import Precision, load_tokenizer
from models.prompting import CONTRACT_FILE
from models.sources import resolve
from models.whole import CONFIG_FILE, INDEX_FILE, WEIGHTS_FILE, check_whole, weight_files
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Stored = Literal["float32", "bfloat16", "float16"]
SHARD_BYTES = 4 * 10**9
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_WHOLE = (CONFIG_FILE, ORIGIN_FILE, CONTRACT_FILE)


def write_merged(
    tuned: Tuned, target: Path, work: Work, *, onto: Onto = "trained", stored: Stored = "bfloat16"
) -> list[str]:
    """Write the folder at `target`.

    Args:
        tuned: an adapter, which is merged into its base, or a whole model, which is written as it is.
        target: a new or an empty folder, or an earlier export.
        work: told how far it is.
        onto: into which weights of the base.
        stored: what the weights are rounded to.

    Returns:
        What there is to say of it, in sentences.

    Raises:
        UserError: the base is not here, or something is damaged; or `work` says to stop.
    """
    if tuned.is_whole:
        return _write_whole(tuned, target, work)
    work.tell("Finding the base model")
    source = resolve(tuned.origin.name, progress=work.on_progress)
    weights = MergedWeights(tuned, source, onto=onto)
    tokenizer = load_tokenizer(source)
    about = [what_it_is(tuned, onto), *other_weights(tuned, source)]
    with whole_folder(target, is_earlier=is_earlier) as making:
        write_weights(weights, making, work, stored=stored)
        _write_config(weights.model, tokenizer, tuned, making, stored)
        tokenizer.save_pretrained(making)
        shutil.copyfile(tuned.folder / CONTRACT_FILE, making / CONTRACT_FILE)
        precision: Precision = "float32" if stored == "float32" else "bfloat16"
        dataclasses.replace(tuned.shown_origin, precision=precision).save(making)
        _finish(tuned, tokenizer, making, " ".join(about))
    return [*about, f"Its weights are in {stored}."]


def is_earlier(folder: Path) -> bool:
    """Whether `folder` holds a whole model of ours."""
    return (folder / ORIGIN_FILE).is_file() and (folder / CONFIG_FILE).is_file()


def write_weights(weights: Weights, folder: Path, work: Work, *, stored: Stored) -> None:
    """The tensors as one file, or as several with an index; no more than one file's are in memory.

    Raises:
        ModelError: one is no number, or too large.
        Stopped: see `Work`.
    """
    import torch
    from safetensors.torch import save_file

    shards = _shards(weights, _BYTES[stored])
    names = [WEIGHTS_FILE]
    if len(shards) > 1:
        names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    done, total = 0, len(weights.shapes)
    for file, shard in zip(names, shards, strict=True):
        held = {}
        for name in shard:
            work.tell("Merging", done, total)
            held[name] = weights.get(name).to(getattr(torch, stored)).contiguous()
            if not held[name].isfinite().all():
                raise ModelError(f"A weight is no number in {stored}", got=name, fix="Take float32 or bfloat16.")
            done += 1
        save_file(held, folder / file, metadata={"format": "pt"})
    if len(shards) > 1:
        size = sum(math.prod(shape) for shape in weights.shapes.values()) * _BYTES[stored]
        places = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        index = {"metadata": {"total_size": size}, "weight_map": places}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(weights: Weights, each: int) -> list[list[str]]:
    """The names in files of at most `SHARD_BYTES`, but for one that is larger by itself."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, shape in weights.shapes.items():
        more = math.prod(shape) * each
        if shards[-1] and size + more > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += more
    return shards


def _write_config(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tuned: Tuned, folder: Path, stored: Stored
) -> None:
    config: Any = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = stored
    if tuned.origin.kind != "causal":
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
    config.save_pretrained(folder)
    _write_ends(tokenizer, tuned, folder)


def _write_ends(tokenizer: PreTrainedTokenizerBase, tuned: Tuned, folder: Path) -> None:
    """What ends an answer, as transformers' `generate` reads it: the base's own settings may name another token."""
    if tuned.origin.kind != "causal":
        return
    from transformers import GenerationConfig

    GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=end_tokens(tuned, tokenizer),
        pad_token_id=tokenizer.pad_token_id,
    ).save_pretrained(folder)


def end_tokens(tuned: Tuned, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end an answer: the one that training used, and the tokenizer's own end of text."""
    words = tokenizer.get_vocab()
    ends = [words.get(tuned.contract.end.strip()), tokenizer.eos_token_id]
    return list(dict.fromkeys(int(each) for each in ends if each is not None))


def _write_whole(tuned: Tuned, target: Path, work: Work) -> list[str]:
    """A copy of a whole model's folder, of the files that belong to it, with the base's tokenizer."""
    files, source = weight_files(tuned.folder), resolve(tuned.origin.name, progress=work.on_progress)
    check_whole(tuned.folder, described(source, tuned.origin.kind, tuned.task.labels))
    tokenizer = load_tokenizer(source)
    names = [file.name for file in files] + [
        name for name in (*_WHOLE, INDEX_FILE) if (tuned.folder / name).is_file()
    ]
    with whole_folder(target, is_earlier=is_earlier) as making:
        for done, name in enumerate(names):
            work.tell("Copying", done, len(names))
            shutil.copyfile(tuned.folder / name, making / name)
        _write_ends(tokenizer, tuned, making)
        tuned.shown_origin.save(making)
        tokenizer.save_pretrained(making)
        _finish(tuned, tokenizer, making, what_it_is(tuned, "trained"))
    return [what_it_is(tuned, "trained")]


def _finish(tuned: Tuned, tokenizer: PreTrainedTokenizerBase, folder: Path, about: str) -> None:
    save_task(tuned.task, folder)
    write_card(tuned, folder, how_to_use(tuned, tokenizer, merged=True), about, merged=True)

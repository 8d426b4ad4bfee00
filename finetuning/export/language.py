"""What was tuned as a language model for a GGUF file: merged a tensor at a time, or whole as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuning.export.gguf.writing import Language
from finetuning.export.merged import end_tokens
from finetuning.export.merging import MergedWeights, Onto, what_it_is
from finetuning.export.tuned import Tuned
from finetuning.export.usage import around, prompter
from finetuning.export.weights import FolderWeights, Weights, described
from finetuning.export.work import Work
from models.loading import load_tokenizer
from models.sources import resolve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def language_of(tuned: Tuned, work: Work, *, onto: Onto = "trained") -> tuple[Language, list[str]]:
    """The model, and what it is in a sentence.

    Raises:
        ModelError: it is no language model, or its base is not here.
    """
    tuned.require_writer("A GGUF file")
    work.tell("Finding the base model")
    source = resolve(tuned.origin.name, progress=work.on_progress)
    tokenizer = load_tokenizer(source)
    weights: Weights
    if tuned.is_whole:
        model, weights = described(source, "causal"), FolderWeights(tuned.folder)
    else:
        weights = MergedWeights(tuned, source, onto=onto)
        model = weights.model
    ends = end_tokens(tuned, tokenizer)
    begins = begins_with_a_token(tuned, tokenizer)
    language = Language(model.config, tokenizer, weights, tuned.name, begins=begins, end=ends[0] if ends else None)
    return language, [what_it_is(tuned, onto)]


def begins_with_a_token(tuned: Tuned, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a file's reader is to begin every text with the tokenizer's own token for that.

    It is where the tokenizer does so by itself, and the prompt of training begins with it, too.
    """
    bos = tokenizer.bos_token_id
    ids = tokenizer("a text")["input_ids"]
    if bos is None or not ids or ids[0] != bos:
        return False
    if tuned.task.kind == "text":
        return True
    return around(prompter(tuned, tokenizer))[0].startswith(str(tokenizer.bos_token))

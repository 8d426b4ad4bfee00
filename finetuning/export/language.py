"""What was tuned as a language model for a GGUF file: merged a tensor at a time, or whole as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data.tasks.task import Input
from finetuning.export.gguf.vocabulary import PROBES
from finetuning.export.gguf.writing import Language
from finetuning.export.merged import end_tokens
from finetuning.export.merging import MergedWeights, Onto, other_weights, what_it_is
from finetuning.export.tuned import Tuned
from finetuning.export.usage import around, prompter
from finetuning.export.weights import FolderWeights, Weights, described
from finetuning.export.work import Work
from models.loading import load_tokenizer
from models.prompting import Message, Prompter
from models.sources import resolve
from models.whole import check_whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def language_of(tuned: Tuned, work: Work, *, onto: Onto = "trained") -> tuple[Language, list[str]]:
    """The model, and what there is to say of it, in sentences.

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
        check_whole(tuned.folder, model)
    else:
        weights = MergedWeights(tuned, source, onto=onto)
        model = weights.model
    ends, made = end_tokens(tuned, tokenizer), prompter(tuned, tokenizer)
    notes = [what_it_is(tuned, onto), *other_weights(tuned, source)]
    template = None
    if tuned.task.kind != "text":
        template = made.template.settled
        if not asks_as_training(made, template):
            notes.append(
                "Its chat template ends a prompt with more than training did, such as thoughts that are to begin: "
                "whoever renders it, as llama.cpp's server does, asks otherwise. Take `ollama`, or render none."
            )
    language = Language(
        model.config,
        tokenizer,
        weights,
        tuned.name,
        begins=begins_with_a_token(tuned, tokenizer),
        end=ends[0] if ends else None,
        template=template,
        asked=prompts(made),
    )
    return language, notes


def asks_as_training(made: Prompter, template: str) -> bool:
    """Whether a template that is told nothing but the conversation writes the prompt of training."""
    asked: Input = [{"role": "user", "content": PROBES[0]}] if made.task.kind == "chat" else PROBES[0]
    told: Any = made.tokenizer
    written = told.apply_chat_template(
        made.template.fitting(made.messages(asked)),
        chat_template=template,
        add_generation_prompt=True,
        tokenize=False,
    )
    return bool(written == made.prompt(asked))


def base_config(tuned: Tuned, work: Work) -> Any:
    """The configuration of the base that an adapter fits.

    Raises:
        ModelError: it fits none, or a whole model was tuned, or no language model.
    """
    tuned.require_writer("A GGUF file")
    tuned.require_adapter()
    work.tell("Finding the base model")
    return MergedWeights(tuned, resolve(tuned.origin.name, progress=work.on_progress)).model.config


def prompts(made: Prompter) -> list[str]:
    """Prompts of training around the `PROBES`, alone and where a conversation goes on."""
    if made.task.kind == "text":
        return [made.prompt(text.lstrip()) for text in PROBES]
    said: list[Message] = [
        {"role": "user", "content": PROBES[0]},
        {"role": "assistant", "content": PROBES[1]},
    ]
    asked: list[Input] = [
        [{"role": "user", "content": text}] if made.task.kind == "chat" else text for text in PROBES
    ]
    return [made.prompt(each, history) for history in ([], said) for each in asked]


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

"""Models of a known shape with random weights: what a machine without a network can train and time.

A model's speed and memory depend on its shape, not on what its weights say. The tokenizer is made from the bundled
corpora: as good a one as they allow, since no tokenizer that a model ships is here either.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = {
    "SmolLM2-135M": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "Llama-2-7B": "NousResearch/Llama-2-7b-hf",
}
TINY = "a tiny Llama"
TOKENS = 8192
"""Of the vocabulary that are pieces of text; a shape's vocabulary may be larger."""
NEVER_SAID = "<reponame>"
"""A token that `benchmarks.chat` lets end an answer, since no answer holds it."""


@contextmanager
def base_of(shape: str) -> Iterator[Path]:
    """A folder that `models.sources.resolve` accepts: a base model of `shape`, which is a key of `NAMES` or `TINY`.

    In memory where that has room: Llama-2-7B's weights are 13.5 GB, and are there for minutes.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 40e9
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        yield make_base(Path(folder), shape)


def make_base(folder: Path, shape: str) -> Path:
    """Fill `folder` with the model, made on the device, in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM

    from models.loading import device

    config = copy.deepcopy(config_of(shape))
    tokenizer = make_tokenizer(min(TOKENS, config.vocab_size))
    tokenizer.save_pretrained(folder)
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    torch.manual_seed(0)
    with device():
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    return folder


def config_of(shape: str) -> Any:
    """The configuration of `shape`."""
    from transformers import LlamaConfig

    from finetuning.estimates.estimate import base_config

    if shape != TINY:
        return base_config(NAMES[shape])
    return LlamaConfig(
        vocab_size=1024,
        hidden_size=256,  # the least that bitsandbytes multiplies in 4 bit without a warning is 64
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )


def make_tokenizer(size: int) -> Any:
    """A byte-level BPE of `size` tokens, from the bundled corpora's texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from data.sources import open_source
    from data.tasks import TASKS

    texts = []
    for corpus, task in (("reviews", "sentiment"), ("dialogues", "dialogue")):
        rows = open_source(f"corpus:{corpus}", TASKS[task]).splits["train"]
        texts += rows[TASKS[task].input_column]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", NEVER_SAID]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def make_adapter(folder: Path, recipe: Any) -> Path:
    """An adapter of `recipe` over its base, with random weights, as `open_pair` takes it."""
    import torch

    from models.adapters import BaseOrigin
    from models.loading import load
    from models.prompting import Prompter
    from models.sources import resolve

    loaded = load(resolve(recipe.model.base), precision=recipe.model.precision)
    model = recipe.apply_strategy(loaded.model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(str(folder))
    BaseOrigin.of(loaded).save(folder)
    Prompter(loaded.tokenizer, recipe.task_definition).contract.save(folder)
    return folder

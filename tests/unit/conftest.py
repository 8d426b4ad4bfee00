"""Tiny random models as fixtures: a chat Llama and a BERT classifier, each with an adapter that really acts.

Everything is built on the spot, in float32, and takes milliseconds. `tiny_llama` and `tiny_bert` are folders
that `models.sources.resolve` accepts; `tiny_adapter`, `tiny_dialogue_adapter` and `tiny_classifier_adapter`
are folders for `open_pair`. The `make_…` fixtures are functions that build another one elsewhere. Do not
change what a session fixture gives: copy the folder, or open your own pair.
"""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SENTENCES = [
    "Is the sentiment of this review positive or negative? Answer with one word.",
    "Summarize the conversation in one or two short sentences.",
    "positive negative positive negative positive negative",
    "The film was slow but the ending made me cry, and I would see it again.",
    "Ana: Is the shop still open?\nLeo: Until six, and the soup is better than it looks.",
    "The phone died after two days, and nobody answered my letters.",
    "Leo offers to look at the broken laptop of Ana on Friday.",
]
WORDS = (
    "negative",
    "positive",
    "Ġthe",
    "Ġis",
    "Ġand",
    "Ġreview",
    "Ġfilm",
    "Leo",
    "Ana",
    "Ġsoup",
    "ing",
    "er",
)
"""Whole tokens; `Ġ` is the space before a word. Labels follow the prompt without one."""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


_MANY_MODULES = 300
_set_aside = 0
"""Modules whose objects are no longer looked through for garbage."""


def _set_libraries_aside():
    """Take what libraries have made since out of every collection to come.

    A training ends with several, and each looked through all that torch, transformers, peft and trl hold: a third
    of the time of a tiny run.
    """
    global _set_aside
    if len(sys.modules) > _set_aside + _MANY_MODULES:
        _set_aside = len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """One torch thread in the unit tests: on models this small, a second one only waits for the first."""
    torch = sys.modules.get("torch")
    if torch is None:
        return (yield)
    _set_libraries_aside()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return (yield)
    finally:
        torch.set_num_threads(threads)


def _build_llama(folder: Path, *, words: Sequence[str] = WORDS, width: int = 32, seed: int = 0) -> Path:
    """A two-layer Llama and a byte-level tokenizer in which `words`, and nothing else, are whole tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    # Written out rather than trained: a trainer breaks ties differently from run to run.
    merges = list(dict.fromkeys((word[:end], word[end]) for word in words for end in range(1, len(word))))
    pieces = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        bos_token="<|im_start|>",
        pad_token="<|endoftext|>",
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)

    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=1.7 / width**0.5,  # far from flat: the greedy token is clear in any batch
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _build_bert(folder: Path, *, seed: int = 0) -> Path:
    """A two-layer BERT encoder with a word-piece tokenizer of whole words and letters."""
    import re

    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = sorted({word for text in SENTENCES for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    letters = [f"{mark}{letter}" for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    pieces = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters])
    tokenizer = BertTokenizerFast(vocab={piece: index for index, piece in enumerate(pieces)})
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    return folder


def _build_adapter(
    folder: Path,
    base: Path,
    *,
    task: str = "sentiment",
    kind: str = "causal",
    precision: str = "float32",
    rank: int = 4,
    seed: int = 1,
    acts: bool = True,
    **settings: object,
) -> Path:
    """An adapter on `base` with random weights; `acts=False` leaves its `lora_B` zero, as before training.

    More settings are peft's: `use_dora=True`.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    from data.tasks import TASKS
    from models.adapters import BaseOrigin
    from models.loading import load
    from models.prompting import Prompter, classifier_contract
    from models.sources import resolve

    loaded = load(resolve(str(base)), kind=kind, precision=precision, task=TASKS[task])
    reads_prompts = kind != "classifier"
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=["q_proj", "v_proj"] if reads_prompts else ["query", "value"],
        task_type="CAUSAL_LM" if kind == "causal" else "SEQ_CLS",
        **settings,
    )
    with torch.random.fork_rng(devices=[]):  # the same adapter whatever ran before
        torch.manual_seed(seed + 1)
        model = get_peft_model(loaded.model, config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if acts and ("lora_B" in name or "modules_to_save" in name):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(0.5 * noise)
    model.save_pretrained(folder, save_embedding_layers=False)
    BaseOrigin.of(loaded).save(folder)
    if reads_prompts:
        Prompter(loaded.tokenizer, TASKS[task]).contract.save(folder)
    else:
        classifier_contract(loaded.tokenizer, TASKS[task]).save(folder)
    return folder


def _build_whole(
    folder: Path,
    base: Path,
    *,
    task: str = "sentiment",
    kind: str = "causal",
    precision: str = "float32",
    seed: int = 3,
    only: str = "",
    noise: float = 0.5,
    shard: str = "5GB",
) -> Path:
    """A whole model that was tuned from `base`: its weights with noise on those whose names hold `only`."""
    import torch

    from data.tasks import TASKS
    from data.tasks.saved import save_task
    from models.adapters import BaseOrigin
    from models.loading import load
    from models.prompting import Prompter, classifier_contract
    from models.sources import resolve

    loaded = load(resolve(str(base)), kind=kind, precision=precision, task=TASKS[task])
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in loaded.model.named_parameters():
        if only in name:
            drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
            parameter.data += noise * parameter.data.abs().mean() * drawn
    loaded.model.save_pretrained(folder, max_shard_size=shard)
    loaded.tokenizer.save_pretrained(folder)
    BaseOrigin.of(loaded).save(folder)
    save_task(TASKS[task], folder)
    if kind != "classifier":
        Prompter(loaded.tokenizer, TASKS[task]).contract.save(folder)
    else:
        classifier_contract(loaded.tokenizer, TASKS[task]).save(folder)
    return folder


@pytest.fixture(scope="session")
def rounding():
    """How much farther apart than on a CPU two ways to the same float32 numbers may be.

    A GPU has a kernel for each shape of a batch, and each adds up in an order of its own.
    """
    from models.loading import device

    return 1 if device().type == "cpu" else 10


@pytest.fixture(scope="session")
def make_llama():
    """`make_llama(folder, words=WORDS, width=32, seed=0)` → folder; `words=()` makes every byte a token."""
    return _build_llama


@pytest.fixture(scope="session")
def make_bert():
    """`make_bert(folder, seed=0)` → folder."""
    return _build_bert


@pytest.fixture(scope="session")
def make_adapter():
    """`make_adapter(folder, base, task=…, kind=…, precision=…, rank=4, seed=1, acts=True)` → folder."""
    return _build_adapter


@pytest.fixture(scope="session")
def make_whole():
    """`make_whole(folder, base, task=…, kind=…, precision=…, seed=3, only="", noise=0.5, shard=…)` → folder."""
    return _build_whole


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """Folder of a random chat Llama; each label of the sentiment task is one of its tokens."""
    return _build_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """Folder of a random BERT encoder."""
    return _build_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_adapter(tiny_llama, tmp_path_factory):
    """Folder of a sentiment adapter on `tiny_llama`."""
    return _build_adapter(tmp_path_factory.mktemp("tiny-adapter"), tiny_llama)


@pytest.fixture(scope="session")
def tiny_dialogue_adapter(tiny_llama, tmp_path_factory):
    """Folder of a dialogue adapter on `tiny_llama`."""
    return _build_adapter(tmp_path_factory.mktemp("tiny-dialogue-adapter"), tiny_llama, task="dialogue")


@pytest.fixture(scope="session")
def tiny_classifier_adapter(tiny_bert, tmp_path_factory):
    """Folder of a sentiment adapter with a classification head on `tiny_bert`."""
    return _build_adapter(tmp_path_factory.mktemp("tiny-classifier-adapter"), tiny_bert, kind="classifier")


@pytest.fixture(scope="session")
def tiny_reward_adapter(tiny_llama, tmp_path_factory):
    """Folder of a dialogue adapter with a head of one number on `tiny_llama`."""
    folder = tmp_path_factory.mktemp("tiny-reward-adapter")
    return _build_adapter(folder, tiny_llama, task="dialogue", kind="reward")


@pytest.fixture(scope="session")
def tiny_whole(tiny_llama, tmp_path_factory):
    """Folder of a whole sentiment model that was tuned from `tiny_llama`."""
    return _build_whole(tmp_path_factory.mktemp("tiny-whole"), tiny_llama)


@pytest.fixture(scope="session")
def tiny_whole_pair(tiny_whole):
    """Base and whole tuned model of the sentiment task, causal, float32."""
    from models.pair import open_pair

    return open_pair(tiny_whole)


@pytest.fixture(scope="session")
def tiny_pair(tiny_adapter):
    """Base and tuned of the sentiment task, causal, float32."""
    from models.pair import open_pair

    return open_pair(tiny_adapter)


@pytest.fixture(scope="session")
def tiny_dialogue_pair(tiny_dialogue_adapter):
    """Base and tuned of the dialogue task, causal, float32."""
    from models.pair import open_pair

    return open_pair(tiny_dialogue_adapter)


@pytest.fixture(scope="session")
def tiny_reward_pair(tiny_reward_adapter):
    """Base and tuned reward model of the dialogue task, float32."""
    from models.pair import open_pair

    return open_pair(tiny_reward_adapter)


@pytest.fixture(scope="session")
def tiny_classifier_pair(tiny_classifier_adapter):
    """Base and tuned of the sentiment task, classifier, float32."""
    from models.pair import open_pair

    return open_pair(tiny_classifier_adapter)

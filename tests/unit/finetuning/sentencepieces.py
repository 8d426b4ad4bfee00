"""Tokenizers such as SentencePiece's models become: words that compete, bytes for the rest, spaces as letters.

Made of the texts here and always the same: every piece that occurs at least twice is a word, and the more often it
does, the sooner it is joined.
"""

from collections import Counter

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import GemmaTokenizer, LlamaTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

from finetuning.export.gguf.sentencepiece import BYTES
from finetuning.export.gguf.vocabulary import PROBES
from tests.unit.conftest import SENTENCES

SPACE = "\u2581"
LONGEST = 6
KINDS = {
    # A text begins with a space, and what follows a token that is whole does not.
    "llama 2": ["<unk>", "<s>", "</s>"],
    # Both do, as with Mistral's first.
    "mistral": ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
    # None does, runs of spaces and line breaks are tokens, a tab stands for its byte, and one token is of another
    # size of the model.
    "gemma": ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"],
}
TEMPLATES = {
    "llama 2": None,  # of a base model, which has none
    "mistral": (
        "{{ bos_token }}{% if messages[0].role == 'system' %}{% set told = messages[0].content %}"
        "{% set messages = messages[1:] %}{% endif %}{% for each in messages %}{% if each.role == 'user' %}"
        "{{ '[INST] ' }}{% if told is defined and loop.last %}{{ told + '\\n\\n' }}{% endif %}"
        "{{ each.content + '[/INST]' }}{% else %}{{ ' ' + each.content + eos_token }}{% endif %}{% endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{% for each in messages %}{{ '<start_of_turn>' }}"
        "{{ 'model' if each.role == 'assistant' else each.role }}\n{{ each.content + '<end_of_turn>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
    ),
}


def vocabulary(kind):
    """Word → number, and the merges that transformers makes of these."""
    texts = [text.replace(" ", SPACE) for text in (*SENTENCES, *PROBES)]
    counted = Counter(
        text[at : at + length]
        for text in texts
        for length in range(2, LONGEST + 1)
        for at in range(len(text) - length + 1)
    )
    pieces = sorted(
        (word for word, n in counted.items() if n > 1), key=lambda word: (-counted[word], len(word), word)
    )
    letters = sorted({letter for text in texts for letter in text})
    runs = ["\n\n", SPACE * 2, SPACE * 3, "\t\t"] if kind == "gemma" else []
    tab = "\t" if kind == "gemma" else "<0x09>"
    bytes_ = [tab if byte == "<0x09>" else byte for byte in BYTES]
    words = dict.fromkeys([*KINDS[kind], *runs, *bytes_, *pieces, *letters])
    numbers = {word: number for number, word in enumerate(words)}
    return numbers, generate_merges(numbers)


def sentencepiece(kind):
    """One of `KINDS`, as transformers loads it."""
    words, merges = vocabulary(kind)
    if kind == "llama 2":
        made = LlamaTokenizer(vocab=words, merges=merges, add_bos_token=True)
    elif kind == "gemma":
        made = GemmaTokenizer(vocab=words, merges=merges, add_bos_token=True)
        made.add_tokens([AddedToken(run, normalized=False) for run in ("\n\n", SPACE * 2, SPACE * 3)])
        made.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>", "<picture>"]})
    else:
        backend = Tokenizer(models.BPE(vocab=words, merges=merges, byte_fallback=True, unk_token="<unk>"))
        backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
        backend.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        made = PreTrainedTokenizerFast(
            tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
            additional_special_tokens=["[INST]", "[/INST]"],
        )  # fmt: skip
    made.chat_template = TEMPLATES[kind]
    return made

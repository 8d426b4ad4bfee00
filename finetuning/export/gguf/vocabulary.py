"""A tokenizer as a GGUF file says it: words, which of them are whole, merges, and how a text is split.

Those of SentencePiece are `sentencepiece`'s matter. For the others, which are byte-level, llama.cpp knows rules of
splitting by name only. Which one a tokenizer follows is told by its own steps, compared with those that a name
stands for; one that does anything else is refused, since its texts would be cut into other tokens than those that
were trained on. Once a file is written, its tokenizer is read back and asked (`require_same`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetuning.export.gguf.sentencepiece import add_sentencepiece, is_sentencepiece
from models.gguf_files import split_as_stated
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBES = (
    "Ana: Is the shop still open?\nLeo: Until six, and the soup is better than it looks.",
    "1, 12, 123, 1234.5 and 3 000 000; v2.0-rc1",
    " a  b   c\n\n\n  d\t\te \r\n f",
    "It's we'll THEY'RE don't I'M o'clock 'tis",
    "Ünïcödé naïve Straße 日本語 приве́т 🙂👍🏽 한국어 عربى",
    "def f(x):\n    return x ** 2  # !? <tag/> {a: [1]}",
)


def texts_to_cut(tokenizer: PreTrainedTokenizerBase, asked: Sequence[str], *, rows: int) -> list[str]:
    """What a file's tokenizer has to cut as the model's own.

    Where a space is a letter, what begins a text decides how it is cut; so there these are the prompts of training,
    and only where none are known texts by themselves.

    Args:
        tokenizer: the model's own.
        asked: prompts of training.
        rows: of the embeddings.
    """
    known = [(token.special, str(token)) for n, token in sorted(tokenizer.added_tokens_decoder.items()) if n < rows]
    structure = [text for is_special in (True, False) for special, text in known if special == is_special][:8]
    alone = [*PROBES, "".join(f"{token}a 12\n" for token in structure)]
    return list(asked) if asked and is_sentencepiece(_state(tokenizer)) else [*alone, *asked]


def add_vocabulary(
    writer: Any,
    tokenizer: PreTrainedTokenizerBase,
    *,
    rows: int,
    begin: bool,
    end: int | None = None,
    template: str | None = None,
    texts: Sequence[str] = PROBES,
) -> list[str]:
    """Write the tokenizer into the file.

    Args:
        writer: of the gguf package.
        tokenizer: a byte-level one, or SentencePiece's.
        rows: of the embeddings, which may be more than there are words.
        begin: whether what reads the file is to begin every text with the token for that.
        end: the token that ends an answer; left out, the tokenizer's end of text.
        template: the chat template, by which the file's reader puts a prompt together.
        texts: that it has to cut in the file as `tokenizer` does.

    Returns:
        What there is to say, in sentences.

    Raises:
        ModelError: a GGUF file has no words for what this tokenizer does.
    """
    state = _state(tokenizer)
    words, kinds = _words(state, rows)
    if is_sentencepiece(state):
        notes = add_sentencepiece(writer, tokenizer, state, words, kinds, texts)
    else:
        notes = _add_byte_level(writer, state, words, kinds)
    numbers = {
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id if end is None else end,
        "pad": tokenizer.pad_token_id,
        "unk": tokenizer.unk_token_id,
    }
    for name, number in numbers.items():
        if number is not None and number < rows:
            getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(begin)
    if template is not None:
        writer.add_chat_template(template)
    return notes


def _words(state: dict[str, Any], rows: int) -> tuple[list[str], list[int]]:
    """The text of each row of the embeddings, and its kind by the gguf package's names."""
    import gguf

    if (most := max(state["model"]["vocab"].values()) + 1) > rows:
        raise ModelError("The tokenizer has more words than the model has embeddings", got=f"{most:,} and {rows:,}")
    # One that was added for another size of the model, as Gemma 3's for pictures, has no row here, and stays out.
    added = {each["content"]: each for each in state["added_tokens"] if each["id"] < rows}
    if odd := [text for text, each in added.items() if each["lstrip"] or each["rstrip"] or each["single_word"]]:
        raise ModelError(
            "A GGUF file has no word for tokens that take the space beside them",
            got=odd[:8],
            fix="Take it as `merged`.",
        )
    numbers = {**state["model"]["vocab"], **{text: each["id"] for text, each in added.items()}}
    by_number = {number: text for text, number in numbers.items()}
    named = {None: gguf.TokenType.NORMAL, True: gguf.TokenType.CONTROL, False: gguf.TokenType.USER_DEFINED}
    words, kinds = list[str](), list[int]()
    for number in range(rows):
        text = by_number.get(number)
        words.append(f"[PAD{number}]" if text is None else text)
        special = added.get(text or "", {}).get("special")
        kinds.append(gguf.TokenType.UNUSED if text is None else named[special])
    return words, kinds


def _add_byte_level(writer: Any, state: dict[str, Any], words: Sequence[str], kinds: Sequence[int]) -> list[str]:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule_of(state))
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    merges = state["model"]["merges"]
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    if (state.get("normalizer") or {}).get("type") == "NFC":
        return ["The tokenizer composes letters and marks (NFC) before it cuts a text; llama.cpp does not."]
    return []


def _state(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            "The model's tokenizer is not of the kind that a file can hold", got=type(tokenizer).__name__
        )
    return json.loads(backend.to_str())  # type: ignore[no-any-return]


def rule_of(state: dict[str, Any]) -> str:
    """llama.cpp's name for the rule by which a tokenizer splits texts.

    Args:
        state: the tokenizer as `tokenizer.json` has it.

    Raises:
        ModelError: it has none.
    """
    model, steps = state["model"], list(_steps(state.get("pre_tokenizer")))
    if model.get("type") != "BPE" or not any(name in ("bytes", "ByteLevel") for name, *_ in steps):
        raise ModelError(
            "No GGUF file is written with this tokenizer: only byte-level BPE and SentencePiece's were verified",
            got=f"{model.get('type')}, {', '.join(str(step[0]) for step in steps) or 'no bytes'}",
            fix="Take it as `merged`; llama.cpp's own converter knows more.",
        )
    rule = _names().get(tuple(steps))
    if rule == "llama-bpe" and not model.get("ignore_merges"):
        rule = "smaug-bpe"
    odd = model.get("ignore_merges") and rule != "llama-bpe"
    normalizer = (state.get("normalizer") or {}).get("type")
    if rule is None or odd or normalizer not in (None, "NFC"):
        raise ModelError(
            "llama.cpp has no name that is known here for how this tokenizer splits texts",
            got=json.dumps([state.get("normalizer"), state.get("pre_tokenizer")])[:300],
            fix="Take it as `merged`; llama.cpp's own converter knows more.",
        )
    return rule


def _names() -> dict[tuple[Any, ...], str]:
    """A tokenizer's steps → the rule's name."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    found: dict[tuple[Any, ...], str] = {
        (("bytes", True),): "gpt-2",
        (("digits", True), ("bytes", True)): "smollm",
    }
    for name in ("llama-bpe", "qwen2", "tekken", "gpt-4o"):
        found[(("split", GGUF_PRE_TOKENIZER_SPLITS[name], "Isolated", False), ("bytes", False))] = name
    return found


def _steps(described: dict[str, Any] | None) -> Iterator[tuple[Any, ...]]:
    """What a pre-tokenizer does, one after the other."""
    if described is None:
        return
    kind = described["type"]
    if kind == "Sequence":
        for each in described["pretokenizers"]:
            yield from _steps(each)
    elif kind == "ByteLevel" and not described.get("add_prefix_space"):
        yield ("bytes", bool(described.get("use_regex", True)))
    elif kind == "Digits":
        yield ("digits", bool(described.get("individual_digits")))
    elif kind == "Split":
        pattern = described["pattern"]
        yield ("split", pattern.get("Regex", pattern), described["behavior"], bool(described["invert"]))
    else:
        yield (kind, json.dumps(described))


def require_same(path: Path, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
    """Read a file's tokenizer back, and let it cut texts.

    Raises:
        ModelError: it cuts one into other tokens than `tokenizer`.
    """
    read = _read_back(path)
    for text in texts:
        own, back = (each(text, add_special_tokens=False)["input_ids"] for each in (tokenizer, read))
        if own != back:
            raise ModelError(
                "The GGUF file's tokenizer does not cut texts as the model's own",
                got=f"{text!r}: {back[:20]}, not {own[:20]}",
                fix="Take it as `merged`.",
            )


def _read_back(path: Path) -> PreTrainedTokenizerBase:
    """A file's tokenizer as transformers makes it of the metadata, whatever the architecture."""
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf import gguf_tokenizer_mapping as reading

    architecture, found, _ = reading.get_gguf_tokenizer(str(path))
    backend, _ = reading.convert_gguf_tokenizer(architecture, found)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    split_as_stated(tokenizer, path)
    return tokenizer

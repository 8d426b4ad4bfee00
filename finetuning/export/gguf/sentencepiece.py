"""A SentencePiece vocabulary as a GGUF file says it: words with scores, and whether a text begins with a space.

llama.cpp joins the two neighbours that make the word of the highest score, whichever two they are; a tokenizer of
transformers the two that come first in its list of merges. Both do the same where that list has every way to put a
word together, and all the ways of one word stand beside each other: the word's place in it is then its score. So
does transformers' own reading of a SentencePiece model make it, but for the runs of spaces of Llama 2, whose words
have one score and stand mixed. These are tried, one length after the other. A tokenizer with any other list is
refused; what is longer than any word and cut otherwise is said.

The scores are those of `tokenizer.json`, which is what training cut texts by, and not of a `tokenizer.model` that
may lie beside it.
"""

from __future__ import annotations

import copy
import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.gguf_files import SPACE, spaces_as_stated
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BYTES = dict.fromkeys(f"<0x{number:02X}>" for number in range(256))
"""The words of bytes, in order."""


def is_sentencepiece(state: Mapping[str, Any]) -> bool:
    """Whether a tokenizer, as `tokenizer.json` has it, writes what it has no word for as bytes."""
    return state["model"].get("type") == "BPE" and bool(state["model"].get("byte_fallback"))


def add_sentencepiece(
    writer: Any,
    tokenizer: PreTrainedTokenizerBase,
    state: Mapping[str, Any],
    words: Sequence[str],
    kinds: Sequence[int],
    texts: Sequence[str],
) -> list[str]:
    """Write words, scores, kinds and how spaces are written into the file.

    Args:
        writer: of the gguf package.
        tokenizer: whose texts are cut.
        state: the same, as `tokenizer.json` has it.
        words: by their numbers.
        kinds: of each, by the gguf package's names; of a byte it is told here.
        texts: that it has to cut in the file as `tokenizer` does.

    Returns:
        What there is to say, in sentences.

    Raises:
        ModelError: llama.cpp would cut them otherwise.
    """
    import gguf

    _require_plain(state)
    places, added = places_of(state), {each["content"] for each in state["added_tokens"]}
    notes = _runs(tokenizer, places)
    unknown = tokenizer.unk_token
    told = list[int]()
    for word, kind in zip(words, kinds, strict=True):
        if word in BYTES and word not in added:
            kind = gguf.TokenType.BYTE
        elif word == unknown:
            kind = gguf.TokenType.UNKNOWN
        elif word and not word.strip(SPACE):
            # Spaces: as a word of its own it would be written as this letter, and never be found in a text.
            kind = gguf.TokenType.NORMAL
        told.append(kind)
    before = begins_with_space(tokenizer, texts)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_scores([-float(places.get(word, len(places))) for word in words])
    writer.add_token_types(told)
    writer.add_add_space_prefix(before)
    if before and any(each["type"] == "Metaspace" for each in _steps(state, "pre_tokenizer")):
        notes.append("A text that begins with a space gets one more of them in llama.cpp.")
    return notes


def places_of(state: Mapping[str, Any]) -> dict[str, int]:
    """Each word that is put together of others → its place among them: the lower, the sooner it is.

    Words that stand mixed have one place.

    Raises:
        ModelError: the merges do not say it alike for all the ways to put a word together.
    """
    model = state["model"]
    merges = [tuple(each.split(" ", 1) if isinstance(each, str) else each) for each in model["merges"]]
    ends = {left + right: at for at, (left, right) in enumerate(merges)}
    places = dict[str, int]()
    place, end = -1, -1
    for at, (left, right) in enumerate(merges):
        word = left + right
        if at > end:
            place += 1
        end = max(end, ends[word])
        places.setdefault(word, place)
    listed, whole = set(merges), {each["content"] for each in state["added_tokens"]}
    for word in model["vocab"]:
        if word in whole:  # which is found in a text before anything is joined
            continue
        for at in range(1, len(word)):
            pair = word[:at], word[at:]
            if pair not in listed and all(len(part) == 1 or part in places for part in pair):
                raise _unlike("it does not join all the pieces that make a word", list(pair))
    return places


def _runs(tokenizer: PreTrainedTokenizerBase, places: Mapping[str, int]) -> list[str]:
    """Refuse words that share a place, but for runs of one letter that are cut alike.

    Returns:
        A sentence where those that are longer than any word are not.
    """
    made: Any = tokenizer
    counted, notes = Counter(places.values()), list[str]()
    for letters in {frozenset(word) for word, place in places.items() if counted[place] > 1}:
        runs = {len(word): place for word, place in places.items() if set(word) == letters}
        first, last = min(runs.values(), default=0), max(runs.values(), default=0)
        # Where other words stand between them, a run may be joined in part when its turn comes.
        between = [word for word, place in places.items() if first <= place <= last and set(word) != letters]
        if len(letters) > 1 or between:
            raise _unlike("it joins some pieces of a word sooner than others", sorted([*letters, *between[:8]]))
        (letter,) = letters
        for length in range(2, 4 * max(runs)):
            own = [len(piece.value) for piece in made.backend_tokenizer.model.tokenize(letter * length)]
            if own == run_in_pieces(length, runs):
                continue
            if length <= max(runs):
                raise _unlike(f"it cuts a run of {length} of {letter!r} otherwise", own)
            named = "spaces" if letter == SPACE else repr(letter)
            notes.append(f"llama.cpp cuts a run of {length} and more {named} into other pieces.")
            break
    return notes


def run_in_pieces(length: int, places: Mapping[int, int]) -> list[int]:
    """The lengths in which llama.cpp cuts a run of one letter.

    Args:
        length: of the run.
        places: of those lengths that are words; of two in one place, what stands first in the text is joined first.
    """
    pieces = dict.fromkeys(range(length), 1)
    before, behind = {at: at - 1 for at in pieces}, {at: at + 1 for at in pieces}
    waiting = list[tuple[int, int, int, int]]()

    def wait(left: int, right: int) -> None:
        if left in pieces and right in pieces and (together := pieces[left] + pieces[right]) in places:
            heapq.heappush(waiting, (places[together], left, right, together))

    for at in range(length):
        wait(at, at + 1)
    while waiting:
        _, left, right, together = heapq.heappop(waiting)
        if left not in pieces or right not in pieces or pieces[left] + pieces[right] != together:
            continue
        pieces[left] = together
        del pieces[right]
        behind[left] = behind[right]
        before[behind[left]] = left
        wait(before[left], left)
        wait(left, behind[left])
    return list(pieces.values())


def begins_with_space(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> bool:
    """Whether llama.cpp is to begin a text, and what follows a token of structure, with one more space.

    Args:
        tokenizer: the model's own.
        texts: that are to be cut as it cuts them.

    Raises:
        ModelError: they are cut otherwise with it, and without it.
    """
    own = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    made: Any = tokenizer
    backend = copy.deepcopy(made.backend_tokenizer)
    wrong = ""
    for before in (False, True):
        spaces_as_stated(backend, before)
        cut = [backend.encode(text, add_special_tokens=False).ids for text in texts]
        wrong = next((text for text, one, other in zip(texts, own, cut, strict=True) if one != other), "")
        if not wrong:
            return before
    raise _unlike("its texts begin with a space in some places, and not in others", wrong)


def _require_plain(state: Mapping[str, Any]) -> None:
    """Refuse what a tokenizer does beyond words, bytes and spaces."""
    model = state["model"]
    settings = ("ignore_merges", "dropout", "continuing_subword_prefix", "end_of_word_suffix")
    if odd := [name for name in settings if model.get(name)]:
        raise _unlike("it has settings that a file has no word for", odd)
    # A letter of one byte may stand for it, as Gemma's tab does.
    standing = {f"<0x{ord(word):02X}>" for word in model["vocab"] if len(word) == 1 and word.isascii()}
    if missing := [each for each in BYTES if each not in model["vocab"] and each not in standing]:
        raise _unlike("it has no words for some bytes", missing[:4])
    spaces = {"String": " "}
    steps = [*_steps(state, "normalizer"), *_steps(state, "pre_tokenizer")]
    for each in steps:
        written = {
            "Prepend": each.get("prepend") == SPACE,
            "Replace": each.get("pattern") == spaces and each.get("content") == SPACE,
            "Metaspace": each.get("replacement") == SPACE and not each.get("split", True),
            # Of spaces, none of which is left.
            "Split": each.get("pattern") == spaces and steps[0]["type"] == "Replace",
        }
        if not written.get(each["type"]):
            raise _unlike("it does more to a text than to write its spaces", each)
    if not any(each["type"] in ("Replace", "Metaspace") for each in steps):
        raise _unlike("it does not write spaces as SentencePiece does", [each["type"] for each in steps])


def _steps(state: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """What a normalizer or a pre-tokenizer does, one after the other."""
    described = state.get(name)
    if described is None:
        return
    if described["type"] != "Sequence":
        yield described
        return
    for each in described.get("normalizers") or described.get("pretokenizers") or ():
        yield from _steps({name: each}, name)


def _unlike(why: str, got: Any) -> ModelError:
    return ModelError(
        f"llama.cpp does not cut texts as this tokenizer does: {why}",
        got=got if isinstance(got, str) else json.dumps(got, ensure_ascii=False)[:300],
        fix="Take it as `merged`; llama.cpp's own converter knows more.",
    )

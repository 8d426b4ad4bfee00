"""The rule by which one of a task's labels is read out of what a side wrote.

Said in full in `RULE`. It would rather read nothing than guess: what names two labels, or denies one, is not
read, and the share of such answers stands in the report. Knows texts only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

RULE = (
    "An answer is read as a label where it is that label, without what stands around it (spaces, quotes, brackets, "
    "marks, full stops) and whatever its letters' case; else as the only label that occurs in it as a whole word, "
    "unless it says of a label just before that it is not so (not, no, never …). Where one label contains another, "
    "the longer one is taken. Thoughts between <think> and </think> are left out. All else is read as no label."
)

_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)|\A(?:(?!<think>).)*?</think>", re.DOTALL)
"""Also where the template wrote the opening tag, so that the answer has the closing one alone."""
_SIGNED = re.compile(r"[-+−.,]\d")
_PER_CENT = re.compile(r"\d%")
_MOST_CHARS = 100_000
"""Of an answer, from its beginning, that is looked through."""
_WORDS_BEFORE = 3
_DENYING = frozenset(
    {
        "not", "no", "never", "none", "neither", "nor", "without", "hardly", "non", "nicht", "kein", "keine",
        "keinen", "keiner", "nie", "weder", "ohne", "pas", "ne", "jamais", "ni", "sans", "nunca", "ningún",
        "ninguno", "sin", "tampoco", "não", "nem", "sem", "нет", "не", "ни", "без", "bez", "geen", "niet", "değil",
    }
)  # fmt: skip
_DENYING_SIGNS = frozenset("不没沒非无無未別别ไม่")
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts that write words without spaces between: there any place is a word's beginning."""
_ENDINGS = "HANGUL"
"""A script that writes particles onto a word's end."""


def read_label(written: str, labels: Sequence[str]) -> str:
    """The one of `labels` that `written` names, by `RULE`; an empty text where it names none.

    Args:
        written: what a side wrote, whatever it is.
        labels: of the task; the one that is named comes back as it is written there.
    """
    text = _plain(_THOUGHTS.sub(" ", written[:_MOST_CHARS]))
    known = {_plain(label): label for label in labels}
    if len(known) < len(labels):  # labels that differ in case alone: only what is written as one of them counts
        return next((label for label in labels if label.strip() == _bare(written)), "")
    for bare in (text.strip(), _bare(text)):
        if bare in known:
            return known[bare]
    named: set[str] = set()
    for start, label in _occurrences(text, sorted(known, key=len, reverse=True)):
        if _is_denied(text, start):
            return ""
        named.add(label)
    return known[named.pop()] if len(named) == 1 else ""


def _plain(text: str) -> str:
    """As two texts are compared: composed alike, of one case, with single spaces."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.replace("’", "'").split())


def _bare(text: str) -> str:
    """Without what is no letter, digit or mark of a letter, at both ends; a number's sign is a part of it."""
    start, end = 0, len(text)
    while start < end and not (_in_word(text[start]) or _SIGNED.match(text, start)):
        start += 1
    while end > start and not (_in_word(text[end - 1]) or _PER_CENT.fullmatch(text[end - 2 : end])):
        end -= 1
    return text[start:end]


def _occurrences(text: str, labels: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Place and label of every whole word that is one; `labels` the longest first, which cover the shorter."""
    taken = bytearray(len(text))
    for label in filter(None, labels):
        start = text.find(label)
        while start >= 0:
            end = start + len(label)
            if not any(taken[start:end]) and _begins(text, start) and _ends(text, end):
                taken[start:end] = b"\1" * len(label)
                yield start, label
            start = text.find(label, start + 1)


def _begins(text: str, at: int) -> bool:
    """Whether a word may begin at `at`."""
    if at == 0 or _is_of(text[at], _UNSPACED):
        return True
    before, first = text[at - 1], text[at]
    if first.isdigit() and before in ".,-+−" and (at == 1 or before in "-+−" or text[at - 2].isdigit()):
        return False  # a part of another number
    return not (_in_word(before) and _in_word(first)) or _is_of(before, _UNSPACED)


def _ends(text: str, at: int) -> bool:
    """Whether a word may end before `at`."""
    if at == len(text) or _is_of(text[at - 1], (*_UNSPACED, _ENDINGS)):
        return True
    last, after = text[at - 1], text[at]
    if last.isdigit() and after in ".,%" and (after == "%" or text[at + 1 : at + 2].isdigit()):
        return False
    return not (_in_word(last) and _in_word(after)) or _is_of(after, _UNSPACED)


def _is_denied(text: str, at: int) -> bool:
    """Whether what stands just before `at`, in the same sentence, says that it is not so."""
    before = re.split(r"[.!?;:。！？\n]", text[max(0, at - 80) : at])[-1]
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", before)[-_WORDS_BEFORE:]
    if any(word in _DENYING or word.endswith("n't") for word in words):
        return True
    return any(sign in before[-2:] for sign in _DENYING_SIGNS)


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_" or unicodedata.category(letter)[0] == "M"


def _is_of(letter: str, scripts: str | tuple[str, ...]) -> bool:
    return unicodedata.name(letter, "").startswith(scripts)

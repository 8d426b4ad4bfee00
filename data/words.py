"""What a word is, in any script: ROUGE and every count of words rest on it.

Knows texts; no language model, no dictionary.
"""

from __future__ import annotations

import re
import unicodedata

_ASCII = re.compile(r"[a-z0-9]+")
_ALONE = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese and its neighbours
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # Hiragana, Katakana, Bopomofo
    "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "]"
)


def words(text: str) -> list[str]:
    """The words of `text` as they are compared: by Unicode NFKC, without case, without punctuation.

    A word is a run of letters and digits, so "Ana's" is two. Marks (accents, vowel signs) belong to the letter
    before them; what is not seen, such as a joiner inside a word, is left out.

    In scripts that write no space between words, each letter (with its marks) is a word: Han, Kana, Thai, Lao,
    Khmer, Burmese. So is each syllable of Hangul, whose words carry their particles: of two sentences that say the
    same, few would be equal. To find the words there takes a dictionary, and two of these disagree.
    """
    if text.isascii():
        return _ASCII.findall(text.lower())  # the same, many times as fast
    found: list[str] = []
    after = ""  # what the last sign was: "letter", which the next one continues; "alone", which only a mark does
    for sign in unicodedata.normalize("NFKC", text).casefold():
        if sign.isalnum():
            alone = bool(_ALONE.match(sign))
            if after == "letter" and not alone:
                found[-1] += sign
            else:
                found.append(sign)
            after = "alone" if alone else "letter"
        elif unicodedata.category(sign)[0] == "M":
            if after:
                found[-1] += sign
        elif unicodedata.category(sign) != "Cf" or sign == "\u200b":  # that is a space of no width
            after = ""
    return found

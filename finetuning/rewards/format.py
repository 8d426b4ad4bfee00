"""Rules of form: a few that are known by name, and no pattern of anybody's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from finetuning.rewards.reward import Answered, Reward

Rule = Literal["one line", "one sentence", "full stop", "capital letter", "no list", "no turns"]

_ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "؟")
_CLOSING = "\"'”’»)]}"
_BULLETS = ("- ", "* ", "• ", "– ")


def _is_one_line(text: str) -> bool:
    return len(text.splitlines()) == 1


def _is_one_sentence(text: str) -> bool:
    from eval.metrics.rouge import in_sentences

    return len(in_sentences(text).splitlines()) == 1


def _ends_a_sentence(text: str) -> bool:
    return text.rstrip(_CLOSING).endswith(_ENDS)


def _begins_with_a_capital(text: str) -> bool:
    """The first letter is one, or of a script that has none."""
    first = next((sign for sign in text if sign.isalnum()), "")
    return bool(first) and first == first.upper()


def _has_no_list(text: str) -> bool:
    return not any(line.lstrip().startswith(_BULLETS) for line in text.splitlines())


def _has_no_turns(text: str) -> bool:
    """No line goes on with the dialogue that it is about: up to three words, each with a capital, and a colon."""
    heads = [line.replace("：", ":").partition(":") for line in text.splitlines()]
    names = [head.split() for head, colon, _ in heads if colon]
    return not any(0 < len(name) <= 3 and all(map(_begins_with_a_capital, name)) for name in names)


RULES: Mapping[Rule, Callable[[str], bool]] = {
    "one line": _is_one_line,
    "one sentence": _is_one_sentence,
    "full stop": _ends_a_sentence,
    "capital letter": _begins_with_a_capital,
    "no list": _has_no_list,
    "no turns": _has_no_turns,
}
"""Every rule, and whether a text that is not empty keeps to it."""
assert set(RULES) == set(get_args(Rule))


def _each_once(rules: list[Rule]) -> list[Rule]:
    return list(dict.fromkeys(rules))


class Format(Reward):
    """The share of `rules` that an answer keeps to, 0 to 1; an empty answer keeps to none."""

    name: Literal["format"] = "format"
    rules: Annotated[list[Rule], Field(min_length=1), AfterValidator(_each_once)]
    """one line: there is no line break; one sentence: no second one begins; full stop: it ends as a sentence does;
    capital letter: it begins with one; no list: no line begins with a bullet; no turns: none with a name and a
    colon, as the turns of a dialogue do."""

    def of(self, one: Answered) -> float:
        text = one.answer.strip()
        return sum(RULES[rule](text) for rule in self.rules) / len(self.rules) if text else 0.0


REWARD = Format

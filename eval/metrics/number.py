"""A number within a tolerance: whether the last number of an answer is that of the reference.

What a number is, in an answer and in a reference alike:

- the last one counts, whatever stands before or after it: words, units, a currency, `%` (5 % is 5);
- digits of any script. Not within a word: `H2O` has none, `3rd` has 3; nor a unit's power: of `5 m²` it is 5;
- `-`, `−` and `–` before the digits, or before or after a sign of currency, are a minus, unless they stand after a
  digit, a letter or a bracket, as in `3–5`, `COVID-19` and `(2)-5`;
- `1,234.5`, `1'234.5` and `1 234,5` (with a space that does not break) have groups of thousands, and so have
  `1.234.567`, `1.234,5` and `12,34,567`. A point between digits is a decimal point otherwise, and so is a comma:
  `1.234` is a little more than one, `1,234` is a thousand and more, `3,14` and `0,125` are decimals;
- `2e-3`, `2 × 10^-3`, `2·10⁻³`, `10^6` and `2**10` are numbers, and so are fractions: `3/4`, `1 1/2`, `1½`,
  `\\frac{3}{4}`; 5/11/2024 is none, and ends in 2024.

Numbers are compared exactly, not as a computer rounds them: 0.31 is within 0.01 of 0.3.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from data.tasks.task import Kind
from eval.metrics.metric import Family, Metric
from plumbing.errors import DataError

MOST_DIGITS = 300
"""Of a number, and of what an exponent makes of it: what is longer is no number."""

_SPACES = "\u00a0\u2009\u202f"  # that do not break, or are thin
_NUMBER = re.compile(
    rf"""
    (?<![A-Za-z0-9_^])(?<!\^[-+])
    (?: (?P<sign>(?<![-)\]}}])[-+])?
        (?:[$€£¥₹]\ ?(?P<inner>[-+])?)?
    )
    (?:
        (?:(?P<whole>[0-9]+)\ )?(?<!/)(?P<over>[0-9]+)\ ?/\ ?(?P<under>[0-9]+)(?![0-9]|[.,/][0-9])
      |
        (?P<digits>[0-9]+(?:[.,'{_SPACES}][0-9]+)*|\.[0-9]+)
        (?: [eE](?P<exponent>[-+]?[0-9]+)(?![A-Za-z0-9_])
          | \ ?[×xX*·]\ ?10(?:\^|\*\*)(?P<power>[-+]?[0-9]+)
          | (?:\^|\*\*)(?P<raised>[-+]?[0-9]+) )?
    )
    """,
    re.VERBOSE,
)
_PLAIN = re.compile(r"[0-9]+|[0-9]*\.[0-9]+")
_GROUPED = re.compile(
    r"""
    [1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?
  | [1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?
  | [1-9][0-9]{0,2}(?:'[0-9]{3})+(?:\.[0-9]+)?
    """,
    re.VERBOSE,
)
_GROUPED_BEFORE_COMMA = re.compile(
    rf"""
    [1-9][0-9]{{0,2}}(?:\.[0-9]{{3}}){{2,}}
  | [1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+,[0-9]+
  | [1-9][0-9]{{0,2}}(?:['{_SPACES}][0-9]{{3}})+(?:,[0-9]+)?
  | [0-9]+,[0-9]+
    """,
    re.VERBOSE,
)
_GROUPED_BY_SPACES = re.compile(rf"[1-9][0-9]{{0,2}}(?:[{_SPACES}][0-9]{{3}})+\.[0-9]+")
_SEPARATOR = re.compile(f"[.,'{_SPACES}]")
_LATEX = (
    (re.compile(r"\\[dt]?frac\{(-?[0-9]+)\}\{([0-9]+)\}"), r" \1/\2 "),
    (re.compile(r"\{,\}|\\,"), ","),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "×"),
    (re.compile(r"\^\{([-+]?[0-9]+)\}"), r"^\1"),
)


def number_in(text: str) -> Fraction | None:
    """The last number of `text`, exactly; None where there is none. See the module's docstring."""
    last: re.Match[str] | None = None
    for found in _NUMBER.finditer(_written(text)):
        last = found
    return None if last is None else _value(last)


def _value(found: re.Match[str]) -> Fraction | None:
    negative = "-" in ((found["sign"] or "") + (found["inner"] or ""))
    if found["over"]:
        parts = (found["whole"] or "0", found["over"], found["under"])
        if max(map(len, parts)) > MOST_DIGITS or not int(found["under"]):
            return None
        whole, over, under = map(int, parts)
        value = whole + Fraction(over, under)
        return -value if negative else value
    digits = _with_a_point(found["digits"])
    if digits is None:  # several numbers without a space between them: the last, which has no sign
        digits, negative = _SEPARATOR.split(found["digits"])[-1], False
    exponents = (found["exponent"] or found["power"] or "0", found["raised"] or "1")
    if max(map(len, exponents)) > MOST_DIGITS:
        return None
    power, raised = map(int, exponents)
    if max(len(digits), abs(power), len(digits) * abs(raised)) > MOST_DIGITS:
        return None
    value = Fraction(Decimal(digits))
    if not value and raised < 0:
        return None
    value = value**raised * Fraction(10) ** power
    return -value if negative else value


def _with_a_point(digits: str) -> str | None:
    """Digits and separators as digits with at most a decimal point; None where they are no one number."""
    if _PLAIN.fullmatch(digits):
        return digits
    if _GROUPED.fullmatch(digits) or _GROUPED_BY_SPACES.fullmatch(digits):
        whole, point, rest = digits.partition(".")
        return _SEPARATOR.sub("", whole) + point + rest
    if _GROUPED_BEFORE_COMMA.fullmatch(digits):
        whole, comma, rest = digits.partition(",")
        return _SEPARATOR.sub("", whole) + ("." if comma else "") + rest
    return None


def _written(text: str) -> str:
    """`text` with its numbers in the digits and signs of ASCII."""
    if "\\" in text or "{" in text:
        for pattern, instead in _LATEX:
            text = pattern.sub(instead, text)
    return text if text.isascii() else "".join(_sign(text, place) for place in range(len(text)))


def _sign(text: str, place: int) -> str:
    """The sign at `place` as a number is written in ASCII; one of no number as it is."""
    sign = text[place]
    if sign.isascii():
        return sign
    if sign in "\u2212\u2013\ufe63\uff0d":
        return "-"
    if sign in "\u2019\u066b\u066c\uff0e":
        return {"\u2019": "'", "\u066b": ".", "\u066c": ",", "\uff0e": "."}[sign]
    if unicodedata.category(sign) == "Nd":
        return str(unicodedata.decimal(sign))
    kind = unicodedata.decomposition(sign).partition(" ")[0]
    before = text[place - 1] if place else ""
    if kind == "<fraction>":
        over, _, under = unicodedata.normalize("NFKC", sign).partition("\u2044")
        return f"{' ' if before.isdecimal() else ''}{over}/{under}"
    if kind == "<super>":
        raised = unicodedata.normalize("NFKC", sign).replace("\u2212", "-")
        goes_on = unicodedata.decomposition(before).startswith("<super>") if before else False
        return raised if goes_on or raised not in "-+0123456789" else f"^{raised}"
    return "/" if sign == "\u2044" else sign


# ---- the metric --------------------------------------------------------------------------------------------


def is_within(answer: str, references: Sequence[str], tolerance: Fraction, *, relative: bool = False) -> float:
    """1.0 where the answer's number is no further than the tolerance from that of a reference, else 0.0.

    A relative tolerance is a share of the reference's number, so nothing but 0 is within any of 0.

    Raises:
        DataError: a reference has no number.
    """
    wanted = [_wanted(reference) for reference in references]
    said = number_in(answer)
    if said is None:
        return 0.0
    return float(any(abs(said - one) <= (tolerance * abs(one) if relative else tolerance) for one in wanted))


def _wanted(reference: str) -> Fraction:
    found = number_in(reference)
    if found is None:
        raise DataError(
            "A reference has no number, so no answer can be scored by its own",
            got=reference,
            fix="Correct or leave out that row, or choose another metric.",
        )
    return found


_TASKS: tuple[Kind, ...] = ("generation", "chat")


def _of(setting: str) -> Metric:
    share = setting.endswith("%")
    written = setting.removesuffix("%").strip()
    if setting and (not re.fullmatch(r"[0-9]+(\.[0-9]+)?|\.[0-9]+", written) or len(written) > MOST_DIGITS):
        raise ValueError(
            f"number:{setting[:100]} gives no tolerance; write number:0.01, or number:1% of the reference"
        )
    tolerance = Fraction(written or "0") / (100 if share else 1)

    def row(answer: str, references: Sequence[str]) -> float:
        return is_within(answer, references, tolerance, relative=share)

    title = f"number within {written}{' %' if share else ''}" if tolerance else "right number"
    name = f"number:{setting}" if setting else "number"
    return Metric(name, title, "binary", _TASKS, row=row)


FAMILY = Family("number", "number, number:0.01, number:1%", _TASKS, _of)

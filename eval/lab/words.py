"""The results of a lab in words: a headline, what was tested, its table and pairs, as text and as Markdown.

Computes nothing that the results do not say. The page, the command line and the HTML file say the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.lab.schema import LabResult, OptionResult, PairResult
from eval.report.figures import p_text, with_interval
from eval.statistics import Interval

NOT_MEASURED = "–"
_NAMED = 6
"""Options in a sentence, at most."""


# ---- sentences ---------------------------------------------------------------------------------------------


def headline(result: LabResult) -> str:
    """What came out, in a sentence or two."""
    ranked = best_first(result)
    if not ranked:
        return "No option could be measured."
    best, *others = ranked
    number = f"{result.by.named} {_said(best, result)} on {rows_judged(result)}."
    if not others:
        return f"{titled(best, result)}: {number}"
    said = f"{titled(best, result)} is best here: {number}"
    alike = [option for option in others if outcome_of(result, best, option) == "no evidence"]
    if not alike:
        which = f"Each of the {len(others)} others" if others[1:] else titled(others[0], result)
        return f"{said} {which} is worse, by more than chance explains."
    if len(alike) == len(others) and others[1:]:
        return f"{said} There is no evidence that any of the {len(others)} others is worse."
    names = [f"{titled(option, result)} ({_said(option, result)})" for option in alike]
    return f"{said} There is no evidence that {listed(names)} {'is' if len(names) == 1 else 'are'} worse."


def _said(option: OptionResult, result: LabResult) -> str:
    """Its score in a sentence."""
    return result.by.said(option.mean or 0.0)


def what_is_tested(result: LabResult) -> str:
    """What an interval and a p-value here are about, precisely."""
    several = len(result.seeds) > 1
    score = (
        f"The score of a row is the mean over {len(result.seeds)} seeds, each a training of its own. "
        if several
        else "Each option was trained once. "
    )
    about = "these trainings, averaged over their seeds," if several else "these trainings"
    pairs = len(result.pairs)
    corrected = (
        f" The p-values of the {pairs} pairs are corrected by Holm's method: the chance that any difference "
        f"that is called one is none is at most {result.alpha:.0%}. "
        "The interval of a difference is that of its pair alone."
        if pairs > 1
        else ""
    )
    return (
        f"{score}An interval is of the mean over the {result.n:,} test rows, at 95 %. Each pair is judged by the "
        f"{result.test} on the same rows: whether {about} would differ on other rows like these. Of seeds that "
        f"were not tried it says nothing; how far apart those lie that were stands beside each score.{corrected}"
    )


def how_chosen(result: LabResult) -> str:
    """How settings were chosen, and that test rows had no part in it."""
    given = f"Each run had {result.budget}. " if result.budget else ""
    if not result.chosen_by:
        return f"{given}No setting was searched for."
    tried = max((len(option.trials) for option in result.options), default=0)
    return (
        f"{given}Up to {tried} settings of each option were tried with the first seed, and the one with "
        f"{result.chosen_by} was taken. The test rows were looked at once, after that."
    )


def rows_judged(result: LabResult) -> str:
    """`400 reviews`."""
    one, many = result.about.noun
    return f"{result.n:,} {one if result.n == 1 else many}"


# ---- options -----------------------------------------------------------------------------------------------


def best_first(result: LabResult) -> list[OptionResult]:
    """The options that are compared, the best first."""
    sign = -1 if result.by.higher_is_better else 1
    return sorted(result.compared, key=lambda option: sign * (option.mean or 0.0))


def titled(option: OptionResult, result: LabResult) -> str:
    """Its name, with its number of rows where several were tried."""
    return f"{option.name}, {option.rows:,} rows" if result.is_curve and option.rows else option.name


def outcome_of(result: LabResult, one: OptionResult, other: OptionResult) -> str:
    """Whether `other` is better or worse than `one`, or no evidence; empty where the two are no pair."""
    return outcome_between(result.pairs, one.key, other.key)


def outcome_between(pairs: Sequence[PairResult], one: str, other: str) -> str:
    """The same of two keys."""
    turned = {"better": "worse", "worse": "better"}
    for pair in pairs:
        if (pair.one, pair.other) == (one, other):
            return pair.outcome
        if (pair.one, pair.other) == (other, one):
            return turned.get(pair.outcome, pair.outcome)
    return ""


HEAD = (
    "option",
    "score",
    "seeds, from to",
    "over its base",
    "general text",
    "learns",
    "training",
    "memory",
    "on disk",
    "prompt",
)
"""The columns of the table; `cells` gives a row."""


def cells(option: OptionResult, result: LabResult) -> list[str]:
    """A row of the table for one option, in the order of `HEAD`."""
    cost, elsewhere, digits = option.cost, option.elsewhere, result.by.digits + 1
    if option.mean is None:
        return [titled(option, result), f"not measured: {option.failed}", *[NOT_MEASURED] * (len(HEAD) - 2)]
    scores = [seed.score for seed in option.seeds]
    spread = f"{min(scores):.{digits}f} to {max(scores):.{digits}f}" if len(scores) > 1 else NOT_MEASURED
    perplexity = (
        f"{elsewhere.base_perplexity:.1f} → {elsewhere.tuned_perplexity:.1f}" if elsewhere else NOT_MEASURED
    )
    return [
        titled(option, result),
        _value(option.mean, option.interval, digits),
        spread,
        _value(option.gain, option.gain_interval, digits, sign="+"),
        perplexity,
        NOT_MEASURED if cost.trainable is None else f"{cost.trainable:,}" if cost.trainable else "nothing",
        _number(cost.training_s, "{:,.0f} s"),
        _number(cost.peak_memory_mb, "{:,.0f} MiB"),
        _number(cost.disk_mb, "{:,.0f} MiB" if (cost.disk_mb or 0) >= 10 else "{:,.1f} MiB"),
        _number(cost.prompt_tokens, "{:,.0f} tokens"),
    ]


def heads(result: LabResult) -> list[str]:
    """`HEAD` with the metric's name, and `columns` of them."""
    named = [f"{result.by.title} (95 % interval)" if head == "score" else head for head in HEAD]
    return [named[place] for place in columns(result)]


def columns(result: LabResult) -> list[int]:
    """The columns in which any option has something."""
    rows = [cells(option, result) for option in result.options]
    return [place for place in range(len(HEAD)) if place < 2 or any(row[place] != NOT_MEASURED for row in rows)]


def row_of(option: OptionResult, result: LabResult) -> list[str]:
    """The cells of those columns."""
    found = cells(option, result)
    return [found[place] for place in columns(result)]


def tried(option: OptionResult) -> str:
    """`learning_rate 0.001 of 0.0002, 0.001`: what was chosen, of what; empty where nothing was."""
    if not option.settings:
        return ""
    parts = []
    for name, value in option.settings.items():
        others = list(dict.fromkeys(trial.settings.get(name, "") for trial in option.trials))
        of = f" of {', '.join(others)}" if len(others) > 1 else ""
        parts.append(f"{name.rpartition('.')[2].replace('_', ' ')} {value}{of}")
    return "; ".join(parts)


# ---- pairs -------------------------------------------------------------------------------------------------

PAIR_HEAD = ("pair", "difference", "p", "p, corrected", "verdict")


def pair_cells(pair: PairResult, result: LabResult) -> list[str]:
    """A row of the table of pairs, in the order of `PAIR_HEAD`."""
    names = (titled(result.option(key), result) for key in (pair.one, pair.other))
    return named_pair(pair, *names, digits=result.by.digits + 1)


def named_pair(pair: PairResult, one: str, other: str, *, digits: int) -> list[str]:
    """The same of a pair whose two are called so."""
    verdict = pair.outcome if pair.outcome == "no evidence" else f"{other} is {pair.outcome}"
    difference = with_interval(pair.difference, pair.interval, sign="+", digits=digits)
    return [f"{one} → {other}", difference, p_text(pair.p_value), p_text(pair.corrected), verdict]


# ---- Markdown ----------------------------------------------------------------------------------------------


def to_markdown(result: LabResult) -> str:
    """All of it for a README: the headline, the table, what was tested, and the pairs."""
    lines = [row_of(option, result) for option in result.options]
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    parts = [
        f"# {_plain(result.title)}",
        _plain(result.question),
        f"**{_plain(headline(result))}**",
        _table(heads(result), lines),
        _plain(how_chosen(result)),
        _plain(what_is_tested(result)),
        *map(_plain, result.notes),
        "## All pairs",
        _table(PAIR_HEAD, [pair_cells(pair, result) for pair in result.pairs]),
        f"Measured in {result.minutes:.0f} minutes on {_plain(machine)}; ended {result.created}. "
        f"`python -m finetuning sweep {result.name}` measures it again.",
    ]
    if not result.pairs:
        parts = [part for part in parts if not part.startswith(("## All pairs", "| pair"))]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    line = "|---|" + "---|" * (len(head) - 1)
    body = [f"| {' | '.join(map(_plain, row))} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", line, *body])


def _plain(text: str) -> str:
    """Text in which nothing is Markdown."""
    escaped = "".join(f"\\{sign}" if sign in "\\`*_|<>[]" else sign for sign in text)
    return " ".join(escaped.split())


def _value(value: float | None, interval: Interval | None, digits: int, *, sign: str = "") -> str:
    """`0.765 (0.721 to 0.804)`."""
    return NOT_MEASURED if value is None else with_interval(value, interval, sign=sign, digits=digits)


def _number(value: float | None, how: str) -> str:
    return NOT_MEASURED if value is None else how.format(value)


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; of many, the first and how many more."""
    shown = list(names) if len(names) <= _NAMED else [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"

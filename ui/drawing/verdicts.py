"""How a verdict on any models is drawn: what came out, what it rests on, and the rows that changed.

The sentences and tables are `eval.verdict.parts`', the same as in the terminal and in every file. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.asked.comparing import WHERE_FROM
from eval.metrics.metric import Flip, flip_of
from eval.verdict import plots, words
from eval.verdict.folder import VERDICT_FILE, load
from eval.verdict.parts import Part, facts, parts
from eval.verdict.schema import Answer, Comparison, Verdict, VerdictRow
from eval.verdict.tables import Grid
from finetuning.jobs.prompts import Prompt
from plumbing.errors import UserError
from plumbing.remembered import Remembered
from ui.drawing import text
from ui.drawing.markup import Child, Markup, cell, fold, join, section, table, tag

DRAWN = 200
"""Rows drawn at once."""
KINDS = ("all", "gained", "lost", "same")
_CHANGES = {"gained": "wrong → right", "lost": "right → wrong"}
_PROMPT_CHARS = 4_000
_ROUNDING = 1e-12


def prompts(known: Sequence[Prompt]) -> Markup:
    """How the first row is asked of each side, before anything is answered; nothing while no side is open."""
    if not known:
        return Markup("")
    drawn = (
        _prompt(f"{each.key}: {each.name} is asked {WHERE_FROM.get(each.where_from, 'so')}:", each.example)
        for each in known
    )
    return section(text.HOW_ASKED, *drawn)


def headline_in(folder: Path) -> str:
    """The headline of the verdict in a folder, or nothing. One that did not change is not read again."""
    return _headlines(f"{folder}/{VERDICT_FILE}")


def _headline(path: str) -> str:
    try:
        return words.headline(load(Path(path))[0])
    except (UserError, OSError):
        return ""


_headlines = Remembered(_headline, most=2**9)


def verdict(found: Verdict) -> Markup:
    """The headline, what it rests on, and the plots."""
    first = parts(found)[0]
    headline = tag("p", words.headline(found), class_="ba-headline")
    drawn = (plots.scores_plot(found), plots.differences_plot(found))
    return tag("div", headline, *_inside(first), *drawn, class_="ba-stack")


def details(found: Verdict) -> Markup:
    """Everything else: what it broke, how it was asked, what is known of the rows, where the numbers come from."""
    _, *others = parts(found)
    examples = [_prompt(f"{words.titled(found, side.info.key)}:", side.prompt.example) for side in found.sides]
    listed = [
        tag(name, said) for fact in facts(found).items() for name, said in zip(("dt", "dd"), fact, strict=True)
    ]
    folded = [fold(text.HOW_ASKED, *examples), fold("Facts", tag("dl", *listed, class_="ba-facts"))]
    return tag("div", *(_part(part, found) for part in others), *folded, class_="ba-stack")


def _part(part: Part, found: Verdict) -> Markup:
    plot = plots.slices_plot(found, part.slices_of) if part.slices_of else None
    inside = [*_inside(part), plot]
    return fold(part.title, *inside) if part.besides else section(part.title, *inside)


def _inside(part: Part) -> list[Child]:
    said = [tag("p", sentence, class_="ba-said") for sentence in part.said if sentence]
    return [*said, *(_grid(grid) for grid in part.grids if grid.rows)]


def _grid(grid: Grid) -> Markup:
    return table(grid.head, grid.rows, class_="ba-table ba-numbers", label=grid.caption)


def _prompt(title: str, example: str) -> Markup:
    shown = example if len(example) <= _PROMPT_CHARS else f"{example[:_PROMPT_CHARS]}…"
    return tag("div", tag("div", title, class_="ba-small"), tag("pre", shown, class_="ba-prompt"))


# ---- the rows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changed:
    """A row, and what became of it from the base to one tuned side."""

    number: int
    """Of the test set, from 1."""
    row: VerdictRow
    change: float
    kind: Flip

    def holds(self, wanted: str) -> bool:
        """Whether what was asked, a reference or an answer contains `wanted`, case aside."""
        answers = (part for each in self.row.answers.values() for part in (each.text, each.written or ""))
        return any(wanted in each.casefold() for each in (self.row.input, *self.row.references, *answers))


def changed(found: Verdict, tuned: str, rows: Sequence[VerdictRow]) -> list[Changed]:
    """Every row with a score of both, the largest change of the primary metric first."""
    comparison, metric, base = _comparison(found, tuned), found.by, found.sides[0].info.key
    all_rows = []
    for number, row in enumerate(rows, start=1):
        before, after = (row.answers[key].scores.get(metric.name) for key in (base, comparison.tuned))
        if before is not None and after is not None:
            change = after - before if abs(after - before) > _ROUNDING else 0.0
            kind = flip_of(change, metric, comparison.flips.threshold)
            all_rows.append(Changed(number, row, change, kind))
    return sorted(all_rows, key=lambda each: -abs(each.change))


def chosen(rows: Sequence[Changed], kind: str, wanted: str) -> list[Changed]:
    """The rows of a kind that hold a text."""
    wanted = wanted.strip().casefold()
    return [each for each in rows if kind in ("all", each.kind) and (not wanted or each.holds(wanted))]


def kind_options(rows: Sequence[Changed]) -> list[tuple[str, str]]:
    """(label, kind) pairs for a radio, with how many rows there are of each."""
    counts = {kind: sum(each.kind == kind for each in rows) for kind in KINDS} | {"all": len(rows)}
    return [(f"{kind.capitalize()} ({counts[kind]:,})", kind) for kind in KINDS]


def tuned_options(found: Verdict) -> list[tuple[str, str]]:
    """(name, key) of the tuned sides, the best first."""
    return [(words.titled(found, each.tuned), each.tuned) for each in words.best_first(found)]


def draw_rows(found: Verdict, tuned: str, rows: Sequence[Changed]) -> Markup:
    """A table with the answers of all sides, the base's and that of `tuned` first; the first `DRAWN` rows."""
    if not rows:
        return tag("div", "No row is like that.", class_="ba-empty-chart")
    base, *others = [side.info.key for side in found.sides]
    keys = [base, tuned, *(key for key in others if key != tuned)]
    headers = ["row", "change", "asked", "reference", *(words.titled(found, key) for key in keys)]
    drawn: list[Child] = [
        table(headers, (_row(each, keys, found) for each in rows[:DRAWN]), class_="ba-table ba-flips")
    ]
    if len(rows) > DRAWN:
        rest = f"The {DRAWN} largest changes of {len(rows):,} rows. Filter to see others, or take rows.jsonl."
        drawn.append(tag("div", rest, class_="ba-note"))
    return tag("div", *drawn, class_="ba-stack")


def _row(each: Changed, keys: Sequence[str], found: Verdict) -> list[Child]:
    binary = found.by.kind == "binary"
    said = _CHANGES.get(each.kind, "same") if binary else f"{each.change:+.3f}"
    change = tag("span", said, class_=f"ba-state ba-{each.kind}")
    texts = [cell(each.row.input), cell(" / ".join(each.row.references))]
    return [each.number, change, *texts, *(_answer(each.row.answers[key], found) for key in keys)]


def _answer(answer: Answer, found: Verdict) -> Markup:
    """What a side answered, and how that is scored; of a label how sure it is, or what it was read out of."""
    score = answer.scores.get(found.by.name)
    if not found.labels:
        small = "" if score is None else f"{found.by.title} {score:.2f}"
        return join([cell(answer.text or "(nothing)"), tag("div", small, class_="ba-small")])
    said = tag("div", f"{'✓' if score else '✗'} {answer.text or '(none)'}", class_=None if score else "ba-wrong")
    if answer.written is not None:
        return join([said, tag("div", f"read out of: {answer.written}", class_="ba-cell ba-small")])
    sure = (answer.probabilities or {}).get(answer.text)
    return join([said, tag("div", f"{sure:.0%} sure", class_="ba-small") if sure is not None else None])


def _comparison(found: Verdict, tuned: str) -> Comparison:
    return next(each for each in found.comparisons if each.tuned == tuned)

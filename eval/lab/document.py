"""A lab's results as one HTML file: no script, nothing fetched from anywhere, light and dark, legible in grey.

`body` is what stands in it, which the page shows as well; `to_html` is the whole file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.lab import plots, words
from eval.lab.schema import LabResult, OptionResult
from plumbing.markup import Child, Markup, join, scrolling, style, tag

CSS = (Path(__file__).parent / "document.css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for it: nothing."""


def to_html(result: LabResult) -> str:
    """The whole file."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{result.title} · Before/After"),
        style(CSS),
        style(plots.CSS),
    )
    title = tag("header", tag("h1", result.title), tag("p", result.question, class_="ba-said"))
    page = tag("body", tag("main", title, body(result)))
    return f"<!doctype html>\n{tag('html', head, page, lang='en')}\n"


def body(result: LabResult, *, level: int = 2) -> Markup:
    """Headline, table, plots, how it was chosen and tested, all pairs, all that was tried, and where it is from.

    `level` is that of its headings.
    """
    said = (words.how_chosen(result), words.what_is_tested(result))
    drawn = [plots.quality_plot(result), plots.forgetting_plot(result), plots.curve_plot(result)]
    parts: list[Child] = [
        tag("p", words.headline(result), class_="ba-headline"),
        option_table(result),
        *(plot for plot in drawn if plot),
        _section(level, "How it was chosen and judged", *map(_said, said)),
        _notes(level, result),
        _pairs(result),
        _trials(result),
        _provenance(result),
    ]
    return tag("div", *parts, class_="ba-stack lab-result")


def option_table(result: LabResult) -> Markup:
    """A row an option: its score, its cost, and what was chosen for it."""
    rows = [
        [_named(option, result), *words.row_of(option, result)[1:], words.tried(option) or words.NOT_MEASURED]
        for option in result.options
    ]
    return _table("Every option, on the same test rows", [*words.heads(result), "chosen"], rows)


def _named(option: OptionResult, result: LabResult) -> Markup:
    about = tag("div", option.about, class_="ba-small") if option.about != option.name else None
    return join([tag("span", words.titled(option, result), class_="ba-strong"), about])


def _pairs(result: LabResult) -> Markup | None:
    if not result.pairs:
        return None
    rows = [words.pair_cells(pair, result) for pair in result.pairs]
    told = sum(pair.outcome != "no evidence" for pair in result.pairs)
    title = f"All {len(result.pairs)} pairs: {told} of them differ"
    return _fold(title, _table("Each pair of options, judged on the same rows", words.PAIR_HEAD, rows))


def _trials(result: LabResult) -> Markup | None:
    """What was tried on the validation rows, chosen or not."""
    rows: list[list[Child]] = []
    for option in result.options:
        for trial in option.trials:
            value = f"{trial.value:.4g}" if trial.value is not None else trial.said or words.NOT_MEASURED
            settings = ", ".join(f"{name}={value}" for name, value in trial.settings.items()) or "as in the recipe"
            chosen = "chosen" if trial.chosen else ""
            rows.append([words.titled(option, result), settings, value, chosen, trial.run])
    if not rows:
        return None
    head = ["option", "settings", result.chosen_by or "value", "", "run"]
    return _fold("All that was tried on the validation rows", _table("Trials", head, rows))


def _notes(level: int, result: LabResult) -> Markup | None:
    return _section(level, "What else there is to know", *map(_said, result.notes)) if result.notes else None


def _provenance(result: LabResult) -> Markup:
    facts = {
        "task": f"{result.about.title} ({result.task}), by {result.by.title}",
        "test rows": f"{words.rows_judged(result)} of {result.data}, SHA-256 {result.test_sha256}",
        "seeds": ", ".join(map(str, result.seeds)),
        **result.machine,
        "took": f"{result.minutes:.0f} minutes, ended {result.created}",
        "again": f"python -m finetuning sweep {result.name}",
    }
    pairs = [part for name, said in facts.items() for part in (tag("dt", name), tag("dd", said))]
    return _fold("Where the numbers come from", tag("dl", *pairs, class_="ba-facts"))


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]]) -> Markup:
    """A table whose first column names its rows, for who hears it as well."""
    top = tag("thead", tag("tr", *(tag("th", each, scope="col") for each in head)))
    lines = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    drawn = tag("table", tag("caption", caption, class_="lab-hidden"), top, tag("tbody", *lines),
                class_="ba-table ba-numbers")  # fmt: skip
    return scrolling(drawn, label=caption)


def _section(level: int, title: str, *parts: Child) -> Markup:
    return tag("section", tag(f"h{level}", title), *parts, class_="ba-section ba-stack")


def _fold(title: str, *parts: Child) -> Markup:
    return tag("details", tag("summary", title), tag("div", *parts, class_="ba-stack"), class_="ba-fold")


def _said(sentence: str) -> Markup:
    return tag("p", sentence, class_="ba-said")

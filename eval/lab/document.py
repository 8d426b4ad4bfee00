"""A lab's results as one HTML file (`one_file`).

`body` is what stands in it, which the page shows as well; `to_html` is the whole file.
"""

from __future__ import annotations

from eval.lab import plots, words
from eval.lab.one_file import facts, fold, numbers, said, section, whole_file
from eval.lab.schema import LabResult, OptionResult
from plumbing.markup import Child, Markup, join, tag


def to_html(result: LabResult) -> str:
    """The whole file."""
    title = tag("header", tag("h1", result.title), said(result.question))
    return whole_file(result.title, title, body(result), css=[plots.CSS])


def body(result: LabResult, *, level: int = 2) -> Markup:
    """Headline, table, plots, how it was chosen and tested, all pairs, all that was tried, and where it is from.

    `level` is that of its headings.
    """
    judged = (words.how_chosen(result), words.what_is_tested(result))
    drawn = [plots.quality_plot(result), plots.forgetting_plot(result), plots.curve_plot(result)]
    parts: list[Child] = [
        tag("p", words.headline(result), class_="ba-headline"),
        option_table(result),
        *(plot for plot in drawn if plot),
        section(level, "How it was chosen and judged", *map(said, judged)),
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
    return numbers("Every option, on the same test rows", [*words.heads(result), "chosen"], rows)


def _named(option: OptionResult, result: LabResult) -> Markup:
    about = tag("div", option.about, class_="ba-small") if option.about != option.name else None
    return join([tag("span", words.titled(option, result), class_="ba-strong"), about])


def _pairs(result: LabResult) -> Markup | None:
    if not result.pairs:
        return None
    rows = [words.pair_cells(pair, result) for pair in result.pairs]
    told = sum(pair.outcome != "no evidence" for pair in result.pairs)
    title = f"All {len(result.pairs)} pairs: {told} of them differ"
    return fold(title, numbers("Each pair of options, judged on the same rows", words.PAIR_HEAD, rows))


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
    return fold("All that was tried on the validation rows", numbers("Trials", head, rows))


def _notes(level: int, result: LabResult) -> Markup | None:
    return section(level, "What else there is to know", *map(said, result.notes)) if result.notes else None


def _provenance(result: LabResult) -> Markup:
    known = {
        "task": f"{result.about.title} ({result.task}), by {result.by.title}",
        "test rows": f"{words.rows_judged(result)} of {result.data}, SHA-256 {result.test_sha256}",
        "seeds": ", ".join(map(str, result.seeds)),
        **result.machine,
        "took": f"{result.minutes:.0f} minutes, ended {result.created}",
        "again": f"python -m finetuning sweep {result.name}",
    }
    return fold("Where the numbers come from", facts(known))

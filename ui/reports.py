"""How a comparison's report is drawn: its sentence, its scores, its rows. Reads `eval.report`, computes nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from data.errors import UserError
from eval.markdown import headline
from eval.report import MARKDOWN_FILE, REPORT_FILE, ROWS_FILE, load
from eval.schema import Report, RowResult
from ui import charts
from ui.data_form import cell
from ui.markup import Markup, join, table, tag

ROWS_SHOWN = 50


def report_of(folder: Path) -> Report | None:
    """The report in `folder`; None where there is none, or a damaged one."""
    try:
        return load(folder)[0]
    except UserError:
        return None


def rows_of(folder: Path) -> list[RowResult]:
    """The first rows of the report in `folder`."""
    try:
        return list(islice(load(folder)[1], ROWS_SHOWN))
    except (UserError, OSError):
        return []


def verdict(report: Report) -> Markup:
    """The headline and the scores as bars."""
    scores = [(metric.title, metric.base, metric.tuned) for metric in report.metrics]
    return join([tag("p", headline(report), class_="ba-headline"), charts.score_bars(scores)])


def metric_table(report: Report) -> Markup:
    rows = [
        [
            tag("span", metric.title, class_="ba-strong") if metric.primary else metric.title,
            f"{metric.base:.3f}",
            f"{metric.tuned:.3f}",
            f"{metric.difference:+.3f}",
        ]
        for metric in report.metrics
    ]
    return table(["metric", "base", "tuned", "difference"], rows)


def origin(report: Report) -> Markup:
    """Where the numbers come from, in a line."""
    base = report.base
    said = (
        f"{report.n:,} rows of {report.data.spec or 'an unnamed source'} · {base.name} from {base.origin} · "
        f"{report.precision} · {report.adapter_proof.sentence} · {report.seconds:.0f} s"
    )
    return tag("div", said, class_="ba-note")


def row_table(rows: Iterable[RowResult]) -> Markup:
    """Test rows with both answers, those where the sides differ first."""
    listed = sorted(rows, key=lambda row: row.base.answer == row.tuned.answer)
    return table(
        ["input", "reference", "base", "tuned"],
        (
            [
                cell(row.input),
                cell(" / ".join(row.references)),
                cell(_answered(row.base.answer, row.base.scores)),
                cell(_answered(row.tuned.answer, row.tuned.scores)),
            ]
            for row in listed
        ),
    )


def _answered(answer: str, scores: dict[str, float]) -> str:
    if "accuracy" in scores:
        return f"{'✓' if scores['accuracy'] else '✗'} {answer}"
    if "rougeL" in scores:
        return f"{answer}\n(ROUGE-L {scores['rougeL']:.2f})"
    return answer


def primary_score(folder: Path) -> str:
    """`accuracy 0.51 → 0.78`, or nothing."""
    report = report_of(folder)
    if report is None:
        return ""
    metric = report.primary
    return f"{metric.title} {metric.base:.2f} → {metric.tuned:.2f}"


def copies(folder: Path, names: tuple[str, ...] = (REPORT_FILE, MARKDOWN_FILE, ROWS_FILE)) -> list[str | None]:
    """Copies of the report's files that may be downloaded; None for one that is not there.

    Gradio serves files from the temporary folder; the runs folder itself is not opened to anybody.
    """
    target = Path(tempfile.mkdtemp(prefix="before-after-"))
    found: list[str | None] = []
    for name in names:
        source = folder / name
        found.append(str(shutil.copyfile(source, target / name)) if source.is_file() else None)
    return found

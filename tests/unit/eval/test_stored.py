"""What earlier versions wrote is read: reports and baselines of before and of now say what they said."""

import json
from pathlib import Path

import pytest

from eval.gate import BASELINES, check, read_baseline
from eval.report.headline import explanation, headline
from eval.report.markdown import table, to_markdown
from eval.report.schema import Report

ROOT = Path(__file__).resolve().parents[3]
BEFORE = Path(__file__).parent / "of_before"
"""Written when there was one strategy and labels were two."""
OLD = sorted(BEFORE.glob("*/report.json"))
REPORTS = sorted((ROOT / "models" / "bundled").glob("*/eval/report.json"))
STORED = sorted(BASELINES.glob("*.json"))
OLD_STORED = sorted(BEFORE.glob("*/baseline.json"))


@pytest.mark.parametrize("path", [*REPORTS, *OLD], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_stored_report_says_what_it_said(path):
    """Its markdown was written by the version that measured it."""
    report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    stored = path.with_name("report.md").read_text(encoding="utf-8")
    assert stored.startswith(f"# {headline(report)}\n\n{explanation(report)}\n\n{table(report)}\n")
    assert "## Where the numbers come from" in to_markdown(report, [])


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.parent.name)
def test_a_report_of_before_lacks_what_was_not_known_then(path):
    report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    assert (report.whole, report.strategy, report.classes) == (False, "", None)
    assert (report.about, report.context, report.turns) == (None, None, None)


def test_there_are_reports_and_baselines_to_read():
    assert len(REPORTS) == len(OLD) == len(OLD_STORED) == 2 and len(STORED) >= 2


@pytest.mark.parametrize("path", [*STORED, *OLD_STORED], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_stored_baseline_is_passed_by_itself(path):
    then = read_baseline(path)
    assert json.loads(path.read_text(encoding="utf-8"))["metric"] == then.metric
    assert check(then, then).passed

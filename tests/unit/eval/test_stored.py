"""What earlier versions wrote is read: the reports and baselines that ship say what they said."""

import json
from pathlib import Path

import pytest

from eval.gate import BASELINES, check, read_baseline
from eval.report.headline import explanation, headline
from eval.report.markdown import table, to_markdown
from eval.report.schema import Report

ROOT = Path(__file__).resolve().parents[3]
REPORTS = sorted((ROOT / "models" / "bundled").glob("*/eval/report.json"))


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parts[-3])
def test_a_stored_report_says_what_it_said(path):
    """Its markdown was written by the version that measured it."""
    report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    stored = path.with_name("report.md").read_text(encoding="utf-8")
    assert stored.startswith(f"# {headline(report)}\n\n{explanation(report)}\n\n{table(report)}\n")
    assert "## Where the numbers come from" in to_markdown(report, [])
    assert (report.whole, report.strategy, report.classes, report.context, report.turns) == (
        False,
        "",
        None,
        None,
        None,
    )


def test_there_are_reports_and_baselines_to_read():
    assert len(REPORTS) == 2 and list(BASELINES.glob("*.json"))


@pytest.mark.parametrize("path", sorted(BASELINES.glob("*.json")), ids=lambda path: path.stem)
def test_a_stored_baseline_is_passed_by_itself(path):
    then = read_baseline(path)
    assert json.loads(path.read_text(encoding="utf-8"))["metric"] == then.metric
    assert check(then, then).passed

"""Part `tests`: the unit tests that are marked `cuda`, on the card."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.findings import Findings
from benchmarks.results import ROOT

PART = "tests"
WORKERS = 12
ROOMS = ("models", "eval", "finetuning")
"""Those that compute; the page's tests want Gradio, too."""
LEFT_OUT = "tests/unit/eval/test_lm_eval_task.py"
"""Wants lm-eval, too."""


def measure(findings: Findings, *, tiny: bool = False) -> None:
    """Run them, and say which failed and why.

    Args:
        findings: told.
        tiny: one file of them, wherever that computes.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        where = ["tests/unit/models/test_loading.py"] if tiny else [f"tests/unit/{room}" for room in ROOMS]
        command = [sys.executable, "-m", "pytest", *where, "-q", "-m", "cuda", "--tb=short", f"--junitxml={report}"]
        # Other versions than ours warn of other things, and what is asked here is what a card computes.
        command += [
            f"--ignore={LEFT_OUT}",
            "-W",
            "default",
            "-p",
            "no:cacheprovider",
            "-o",
            "required_plugins=",  # whoever runs this has a limit for all of it
            *([] if tiny else ["-n", str(WORKERS)]),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not report.is_file():
            last = " ".join((done.stdout + done.stderr).split())[-500:]
            findings.add(PART, "Unit tests", what="did not run", exit_code=done.returncode, said=last)
            return
        suite = ElementTree.parse(report).getroot()
    cases = list(suite.iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(bad) - skipped
    seconds = sum(float(one.get("time", 0)) for one in suite.iter("testsuite"))
    findings.add(PART, "Unit tests", what="marked cuda", passed=passed, failed=len(bad), skipped=skipped, s=seconds)
    for case in bad:
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        name = f"{(case.get('classname') or '').rpartition('.')[2]}::{case.get('name')}"
        text = (problem.text or "") if problem is not None else ""
        findings.add(PART, "Failed", what=name, why=" ".join(text.split())[-700:])

"""A verdict as a JUnit file, which continuous integration reads: a suite a tuned side, a case a metric or a slice.

A case fails exactly where `demands` says so; every other one passes, with its numbers as what it printed. Elements
and attributes are those of Jenkins' schema, which GitLab's and GitHub's readers know as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from eval.verdict import words
from eval.verdict.circumstances import standard_numbers
from eval.verdict.demands import Demand, Failure, failures, metric_sentence
from eval.verdict.schema import Comparison, Verdict
from plumbing.printable import printable


@dataclass(frozen=True)
class Case:
    """One test case."""

    name: str
    printed: str
    failure: str = ""


def to_junit(verdict: Verdict, demanded: Sequence[Demand] = ()) -> str:
    """The file, as text."""
    found = failures(verdict, demanded)
    suites = [(each, list(_cases(each, verdict, found))) for each in verdict.comparisons]
    cases = [case for _, some in suites for case in some]
    root = ElementTree.Element(
        "testsuites",
        name="Before/After",
        tests=str(len(cases)),
        failures=str(sum(bool(case.failure) for case in cases)),
        errors="0",
        time=_seconds(sum(side.spent.seconds for side in verdict.sides)),
    )
    for number, (comparison, some) in enumerate(suites):
        _suite(root, number, comparison, some, verdict)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _cases(comparison: Comparison, verdict: Verdict, found: Sequence[Failure]) -> Iterator[Case]:
    mine = [each for each in found if each.tuned == comparison.tuned]
    whole = next((each.sentence for each in mine if each.found is None), "")
    failed = {(each.found.by, each.found.value): each.sentence for each in mine if each.found}
    printed = metric_sentence(comparison, verdict)
    if comparison.margin:
        printed += f" {words.margin_sentence(comparison.margin)}"
    yield Case(comparison.primary.title, printed, whole)
    for metric in comparison.metrics:
        if not metric.primary:
            yield Case(f"{metric.title} (exploratory)", words.metric_numbers(metric))
    for one in comparison.slices:
        name = f"{verdict.by.title}, {one.by} = {one.value}"
        yield Case(name, words.slice_sentence(one, verdict), failed.get((one.by, one.value), ""))
    base = verdict.sides[0].info.key
    for task in verdict.standard:
        if comparison.tuned in task.comparisons:
            numbers = standard_numbers(task, base, comparison.tuned)
            yield Case(f"{task.name} {task.metric} (exploratory)", numbers)


def _suite(
    root: ElementTree.Element, number: int, comparison: Comparison, cases: Sequence[Case], verdict: Verdict
) -> None:
    side, name = verdict.side(comparison.tuned), words.titled(verdict, comparison.tuned)
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        id=str(number),
        name=printable(f"{name} against {words.titled(verdict, verdict.sides[0].info.key)}"),
        package=printable(verdict.task),
        timestamp=verdict.created[:19],
        hostname="localhost",
        tests=str(len(cases)),
        failures=str(sum(bool(case.failure) for case in cases)),
        errors="0",
        skipped="0",
        time=_seconds(side.spent.seconds),
    )
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in {
        "headline": words.headline(verdict),
        "rows": f"{verdict.n}",
        "test_sha256": verdict.data.test_sha256,
        "base": verdict.sides[0].info.name,
        "tuned": side.info.name,
        "prompt_sha256": side.prompt.sha256,
    }.items():
        ElementTree.SubElement(properties, "property", name=key, value=printable(value))
    for place, case in enumerate(cases):
        drawn = ElementTree.SubElement(
            suite,
            "testcase",
            classname=printable(f"{verdict.task}.{comparison.tuned}"),
            name=printable(case.name),
            time=_seconds(side.spent.seconds if place == 0 else 0),
        )
        if case.failure:
            failure = ElementTree.SubElement(drawn, "failure", type="gate", message=printable(case.failure))
            failure.text = printable(f"{case.failure}\n{words.headline(verdict)}")
        ElementTree.SubElement(drawn, "system-out").text = printable(case.printed)


def _seconds(value: float) -> str:
    return f"{value:.3f}"

"""What is said of a verdict: sentences, tables, Markdown, HTML, JUnit, the terminal, and the gate."""

import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lxml import etree
from rich.console import Console

from eval.commands.printing import print_verdict
from eval.metrics import metric_named
from eval.verdict import circumstances, schema, words
from eval.verdict.demands import failures
from eval.verdict.document import to_html
from eval.verdict.folder import load, save, to_json
from eval.verdict.junit import to_junit
from eval.verdict.markdown import to_markdown
from eval.verdict.schema import Margin
from plumbing.errors import RunError

JUNIT = etree.XMLSchema(etree.parse(str(Path(__file__).with_name("junit.xsd"))))
HOSTILE = '</dd><script>alert("1")</script> | [x](http://y) \x1b[31m\x00\uffff'
KNOWN = """html head meta title style body main header section div p span h1 h2 table caption thead tbody tr th td
    pre details summary dl dt dd figure figcaption svg g line circle polyline text"""


def printed(verdict):
    """The verdict as the terminal shows it, on a wide screen."""
    file = io.StringIO()
    print_verdict(Console(file=file, width=400, color_system=None), verdict)
    return file.getvalue()


def junit_text(verdict, demanded=()):
    """All text and all attributes of the JUnit file."""
    root = ElementTree.fromstring(to_junit(verdict, demanded))
    return " ".join(part for each in root.iter() for part in (each.text or "", *each.attrib.values()))


def unescaped(markdown):
    return re.sub(r"\\([^\w\s])", r"\1", markdown)


def numbers_in(verdict):
    """Each number as it has to be written, out of the JSON alone."""
    read = json.loads(to_json(verdict))
    for comparison in read["comparisons"]:
        for metric in comparison["metrics"]:
            digits = metric_named(metric["name"]).digits + 1
            yield f"{metric['base']:.{digits}f}"
            yield f"{metric['tuned']:.{digits}f}"
            if test := metric["judgement"]:
                yield interval_of(test["difference"], test["interval"], digits)
                yield p_of(test["p_value"])
            else:
                yield f"{metric['tuned'] - metric['base']:+.{digits}f}"
        for found in comparison["slices"]:
            yield interval_of(found["judgement"]["difference"], found["judgement"]["interval"], 3)
            yield p_of(found["corrected"])
        if margin := comparison["margin"]:
            yield f"{margin['limit']:+.3f}"
            yield p_of(margin["p_value"])


def interval_of(value, interval, digits):
    return f"{value:+.{digits}f} ({interval['low']:+.{digits}f} to {interval['high']:+.{digits}f})"


def p_of(value):
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


class Outline(HTMLParser):
    """Tags, and what would be fetched or run."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.active = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.active += [
            name for name, _ in attrs if name in ("src", "href", "srcset", "data", "action") or name[:2] == "on"
        ]


# ---- one verdict, five forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["labels", "texts", "several"])
def test_the_same_numbers_are_in_the_terminal_the_json_the_markdown_the_html_and_the_junit_file(which, example):
    verdict, rows = example(which)
    forms = {
        "terminal": printed(verdict),
        "markdown": unescaped(to_markdown(verdict, rows)),
        "html": html.unescape(to_html(verdict, rows)),
        "junit": junit_text(verdict),
    }
    numbers = list(numbers_in(verdict))
    assert len(numbers) > 10
    for name, text in forms.items():
        missing = [number for number in numbers if number not in text]
        assert not missing, (name, missing)
        assert words.headline(verdict) in " ".join(text.split()), name


def test_a_folder_holds_all_of_it_and_is_read_back_as_it_was(example, tmp_path):
    verdict, rows = example("labels")
    save(verdict, rows, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "rows.jsonl", "verdict.html", "verdict.json", "verdict.md",
    ]  # fmt: skip
    assert load(tmp_path / "out") == (verdict, rows)
    assert load(tmp_path / "out" / "verdict.json") == (verdict, [])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "verdict.json").unlink(), "There is no verdict"),
        (lambda folder: (folder / "verdict.json").write_text("{"), "verdict.json: Invalid JSON"),
        (lambda folder: (folder / "verdict.json").write_bytes(b"\xff"), "verdict.json: not UTF-8"),
        (lambda folder: (folder / "rows.jsonl").write_text("{}\n"), "rows.jsonl, line 1: input: Field required"),
    ],
)
def test_a_damaged_folder_is_refused_with_what_is_wrong(damage, said, example, tmp_path):
    save(*example("labels"), tmp_path)
    damage(tmp_path)
    with pytest.raises(RunError, match=re.escape(said)):
        load(tmp_path)


# ---- nothing of a model is obeyed --------------------------------------------------------------------------


def hostile(verdict, rows):
    """The same with what a model, a file or a server may say in every place where they can."""
    sides = [
        side.model_copy(
            update={
                "info": side.info.model_copy(update={"name": HOSTILE, "notes": [HOSTILE], "proof": HOSTILE}),
                "prompt": side.prompt.model_copy(update={"example": HOSTILE}),
            }
        )
        for side in verdict.sides
    ]
    comparisons = [
        each.model_copy(
            update={"slices": [found.model_copy(update={"by": HOSTILE, "value": HOSTILE}) for found in each.slices]}
        )
        for each in verdict.comparisons
    ]
    rows = [
        row.model_copy(
            update={
                "input": HOSTILE,
                "answers": {key: one.model_copy(update={"text": HOSTILE}) for key, one in row.answers.items()},
            }
        )
        for row in rows
    ]
    return verdict.model_copy(update={"sides": sides, "comparisons": comparisons, "notes": [HOSTILE]}), rows


@pytest.mark.parametrize("which", ["labels", "several"])
def test_the_html_file_fetches_nothing_runs_nothing_and_escapes_everything(which, example):
    text = to_html(*hostile(*example(which)))
    outline = Outline(text)
    assert not outline.active and set(outline.tags) <= set(KNOWN.split())
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and '<html lang="en">' in text
    assert outline.tags.count("main") == outline.tags.count("h1") == 1
    assert "&lt;script&gt;" in text and "\x1b" not in text and "\x00" not in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert ElementTree.fromstring(svg).get("role") == "img"
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        assert "<caption" in table and 'scope="col"' in table and 'scope="row"' in table


def test_markdown_and_junit_obey_nothing_either(example):
    verdict, rows = hostile(*example("labels"))
    markdown = to_markdown(verdict, rows)
    assert "<script" not in markdown.replace("\\<", "") and "](http" not in markdown.replace("\\]", "")
    assert "\x1b" not in markdown
    assert JUNIT.validate(etree.fromstring(to_junit(verdict).encode())), JUNIT.error_log
    assert "\x1b" not in printed(verdict)


# ---- the gate ----------------------------------------------------------------------------------------------


def test_a_junit_file_is_valid_and_fails_exactly_where_the_gate_is_shut(example):
    for which in ("labels", "texts", "several", "worse"):
        verdict, _ = example(which)
        for demanded in ((), ("better",), ("slices",), ("better", "slices")):
            text = to_junit(verdict, demanded)
            assert JUNIT.validate(etree.fromstring(text.encode())), JUNIT.error_log
            root, found = ElementTree.fromstring(text), failures(verdict, demanded)
            assert [each.get("message") for each in root.iter("failure")] == [
                failure.sentence for key in [each.tuned for each in verdict.comparisons]
                for failure in found if failure.tuned == key
            ]  # fmt: skip
            cases = list(root.iter("testcase"))
            assert root.get("tests") == str(len(cases)) and root.get("failures") == str(len(found))


def test_a_side_that_is_worse_shuts_the_gate_and_no_evidence_does_not(example):
    worse, same = example("worse")[0], example("same")[0]
    (failure,) = failures(worse)
    assert failure.tuned == "tuned" and failure.sentence.startswith("Worse: accuracy")
    assert not failures(same)
    (failure,) = failures(same, ["better"])
    assert failure.sentence.startswith("No evidence of a change") and "had to be better" in failure.sentence


def with_margin(verdict, holds):
    margin = Margin(
        margin=0.02, limit=-0.01 if holds else -0.2, holds=holds, p_value=0.01 if holds else 0.5, test="t"
    )
    only = verdict.comparisons[0].model_copy(update={"margin": margin})
    return verdict.model_copy(update={"comparisons": [only]})


def test_where_a_margin_was_asked_for_the_margin_decides(example):
    worse, same = example("worse")[0], example("same")[0]
    assert not failures(with_margin(worse, holds=True))
    assert "Not worse than the base by 0.02 or more" in words.headline(with_margin(worse, holds=True))
    (failure,) = failures(with_margin(same, holds=False))
    assert failure.sentence.startswith("Not shown to be no worse than the base by 0.02")
    assert failures(with_margin(same, holds=True), ["better"])


def test_a_slice_that_got_worse_is_in_the_headline_and_shuts_the_gate_only_where_it_was_asked_to(example):
    verdict, _ = example("slice")
    worse = [found for found in verdict.comparisons[0].slices if found.outcome == "worse"]
    assert worse and words.outcome(verdict, "tuned") != "worse"
    assert f"Worse on {worse[0].by} = {worse[0].value}" in words.headline(verdict)
    assert not failures(verdict)
    assert [failure.found for failure in failures(verdict, ["slices"])] == worse


# ---- sentences ---------------------------------------------------------------------------------------------


def test_the_headline_of_one_pair_is_that_of_a_report(example):
    verdict, _ = example("labels")
    metric = verdict.comparisons[0].primary
    assert words.headline(verdict).startswith(
        f"Better: on {verdict.n} texts accuracy rose from {metric.base:.2f} to {metric.tuned:.2f}."
    )


def test_several_sides_are_a_leaderboard_with_ties_and_those_that_are_worse(example):
    verdict, _ = example("several")
    said = words.headline(verdict)
    assert said.startswith("good is the best of 3 here: accuracy")
    assert "A tie: there is no evidence that good-too (" in said and "Worse than the base: bad." in said
    assert "Holm" in words.what_is_tested(verdict)


def test_one_model_twice_is_said_first(example):
    verdict, _ = example("same")
    info = [side.info.model_copy(update={"weights_sha256": "ab" * 32, "base": ""}) for side in verdict.sides]
    prompt = verdict.sides[0].prompt
    sides = [
        side.model_copy(update={"info": one, "prompt": prompt})
        for side, one in zip(verdict.sides, info, strict=True)
    ]
    assert words.headline(verdict.model_copy(update={"sides": sides})).startswith("base and tuned are one model")


def test_answers_that_name_no_label_are_said_first_where_they_are_many(example):
    verdict, _ = example("read")
    tuned = verdict.sides[1]
    assert tuned.answered == "read" and tuned.unread == pytest.approx(0.25)
    said = words.headline(verdict)
    assert "25.0% of the answers of tuned name none of the labels, and count as wrong." in said
    assert "Every answer of base names a label." in circumstances.how_asked(verdict)


def test_what_is_not_known_of_the_rows_is_said(example):
    verdict, _ = example("labels")
    assert any(
        "is not known: --trained-on FILE says it" in sentence for sentence in circumstances.what_is_known(verdict)
    )


def test_two_sides_of_one_name_are_told_apart_by_their_keys(example):
    verdict, _ = example("labels")
    sides = [side.model_copy(update={"info": side.info.model_copy(update={"name": "x"})}) for side in verdict.sides]
    renamed = verdict.model_copy(update={"sides": sides})
    assert [words.titled(renamed, key) for key in ("base", "tuned")] == ["x (base)", "x (tuned)"]


def test_the_schema_file_is_that_of_the_code():
    file = Path(schema.__file__).with_name("verdict.schema.json")
    assert file.read_text(encoding="utf-8") == schema.json_schema(), (
        "Write it again: python -m eval.verdict.schema > eval/verdict/verdict.schema.json"
    )

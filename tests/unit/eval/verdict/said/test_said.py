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
from markdown_it import MarkdownIt
from rich.console import Console

from eval.commands.printing import print_verdict
from eval.lab.judging import holm
from eval.metrics import metric_named
from eval.statistics import judge_labels
from eval.verdict import circumstances, schema, words
from eval.verdict.demands import failures
from eval.verdict.document import to_html
from eval.verdict.folder import load, save, to_json
from eval.verdict.judge import agreement, sign_test
from eval.verdict.junit import to_junit
from eval.verdict.markdown import to_markdown
from eval.verdict.parts import parts
from eval.verdict.schema import Judged, JudgePair, Margin, StandardTask, Suspect
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


def with_besides(verdict):
    """With a judge, which is a side as well, and two benchmarks."""
    tests = [judge_labels([1] * 30 + [0] * 20, [1] * (30 - lost) + [0] * lost + [1] * 20) for lost in (2, 9)]
    preferred = ["tuned"] * 20 + ["base"] * 6 + ["tie"] * 4
    human, kappa, interval = agreement([(one, one) for one in preferred[::2]] + [("tie", "tuned")] * 3)
    counts = {"wins": 20, "losses": 6, "ties": 4}
    judged = Judged(
        judge=verdict.sides[1].info, rubric="Be kind.", rubric_sha256="", answers=60, first_place=0.625,
        consistent=0.8, unread=0.125, human=human, kappa=kappa, kappa_interval=interval,
        pairs=[JudgePair(tuned="tuned", judgement=sign_test(preferred), **counts)],
    )  # fmt: skip
    standard = [
        StandardTask(
            name=f"task-{number}", metric="acc", n=50, values={"base": 0.6, "tuned": 0.7},
            comparisons={"tuned": test}, corrected={"tuned": corrected},
        )
        for number, (test, corrected) in enumerate(zip(tests, holm([one.p_value for one in tests]), strict=True))
    ]  # fmt: skip
    return verdict.model_copy(update={"judged": judged, "standard": standard})


def test_what_was_measured_besides_has_the_same_numbers_in_every_form(example):
    """And what every side scored, and all pairs. JUnit has what a gate may look at, and no judge."""
    for which in ("labels", "several"):
        verdict, rows = example(which)
        verdict = with_besides(verdict) if which == "labels" else verdict
        forms = {
            "terminal": printed(verdict),
            "markdown": unescaped(to_markdown(verdict, rows)),
            "html": html.unescape(to_html(verdict, rows)),
        }
        read = json.loads(to_json(verdict))
        numbers = [f"{one['value']:.3f} ({one['interval']['low']:.3f} to {one['interval']['high']:.3f})"
                   for side in read["sides"] for one in side["scores"] if one["primary"]]  # fmt: skip
        of_tasks = []
        for task in read["standard"]:
            test = task["comparisons"]["tuned"]
            of_tasks += [interval_of(test["difference"], test["interval"], 3), p_of(task["corrected"]["tuned"])]
        if judged := read["judged"]:
            (pair,), ends = judged["pairs"], judged["kappa_interval"]
            numbers += [
                f"preferred on {pair['wins']} rows, the base on {pair['losses']}, neither on {pair['ties']}"
            ]
            numbers += [p_of(pair["judgement"]["p_value"]), "80% of the rows", "62% of its opinions", "12.5%"]
            numbers += [f"{judged['kappa']:.3f} ({ends['low']:.3f} to {ends['high']:.3f})"]
        if which == "several":
            forms.pop("terminal")  # who wants all pairs looks there
            for pair in read["pairs"]:
                numbers += [interval_of(pair["difference"], pair["interval"], 3), p_of(pair["corrected"])]
        for name, text in forms.items():
            assert not [number for number in [*numbers, *of_tasks] if number not in text], name
        assert not [number for number in of_tasks if number not in junit_text(verdict)]


def test_a_judge_that_is_a_side_as_well_is_said(example):
    verdict = with_besides(example("labels")[0])
    said = circumstances.judged_sentences(verdict.judged, verdict)
    assert said[1] == "The judge is tuned itself, and models tend to prefer what they wrote."
    other = verdict.judged.model_copy(update={"judge": verdict.judged.judge.model_copy(update={"name": "other"})})
    assert "itself" not in " ".join(circumstances.judged_sentences(other, verdict))


def test_rows_to_look_at_are_as_many_as_the_sentence_says(example):
    suspects = [Suspect(row=number, reference="a", instead="b", loss=2.0) for number in range(1, 16)]
    verdict = example("labels")[0].model_copy(update={"suspects": suspects})
    (part,) = [part for part in parts(verdict) if part.title == "Rows to look at"]
    assert part.said[0].startswith("These 15 rows say") and len(part.grids[0].rows) == 15


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
        (
            lambda folder: (folder / "rows.jsonl").write_text(
                "".join((folder / "rows.jsonl").read_text().splitlines(keepends=True)[:50])
            ),
            "rows.jsonl: it holds 50 rows, and the verdict is about 60",
        ),
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


def test_nobody_is_called_out_of_an_answer(example):
    """In a comment of a pull request `@name` is a message to whoever is called so."""
    verdict, rows = example("texts")
    rows = [row.model_copy(update={"input": "Ask @someone or me@example.com."}) for row in rows]
    markdown = to_markdown(verdict, rows)
    assert "@someone" not in markdown
    (said,) = {line for line in MarkdownIt().render(markdown).splitlines() if "someone" in line}
    assert re.sub("<[^>]*>", "", said) == "Ask @someone or me@example.com."


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


def margin(holds):
    limit, p_value = (-0.01, 0.01) if holds else (-0.2, 0.5)
    return Margin(margin=0.02, limit=limit, holds=holds, p_value=p_value, test="t")


def with_margin(verdict, holds):
    only = verdict.comparisons[0].model_copy(update={"margin": margin(holds)})
    return verdict.model_copy(update={"comparisons": [only]})


def test_where_a_margin_was_asked_for_the_margin_decides(example):
    worse, same = example("worse")[0], example("same")[0]
    assert not failures(with_margin(worse, holds=True))
    assert "Not worse than the base by 0.02 or more" in words.headline(with_margin(worse, holds=True))
    assert words.explanation(with_margin(worse, holds=True))[-1] == "The margin is judged by t."
    (failure,) = failures(with_margin(same, holds=False))
    assert failure.sentence.startswith("Not shown to be no worse than the base by 0.02")
    assert failures(with_margin(same, holds=True), ["better"])


def test_of_several_sides_every_one_has_to_be_better_and_within_the_margin(example):
    verdict = example("several")[0]
    margins = [each.model_copy(update={"margin": margin(each.tuned != "tuned-2")}) for each in verdict.comparisons]
    assert [words.outcome(verdict, each.tuned) for each in margins] == ["better", "better", "worse"]
    assert [failure.tuned for failure in failures(verdict)] == ["tuned-3"]
    assert [failure.tuned for failure in failures(verdict, ["better"])] == ["tuned-3"]
    within = verdict.model_copy(update={"comparisons": margins})
    assert [failure.tuned for failure in failures(within)] == ["tuned-2"]
    assert "Not shown to be no worse than the base by 0.02 or more: good-too." in words.headline(within)


def test_a_difference_that_is_none_once_it_is_corrected_shuts_no_gate(example):
    """By itself 6 losses of 60 rows are one; of six pairs they are not."""
    verdict = example("uncorrected")[0]
    assert verdict.comparisons[0].verdict.outcome == "worse" and words.outcome(verdict, "tuned") == "no evidence"
    assert not failures(verdict) and 'failures="0"' in to_junit(verdict)


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

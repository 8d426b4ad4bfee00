"""The report in words: the right sentence in each case, each section where there is one, foreign text as it is."""

import itertools
import math
import random
import re

import pytest
from markdown_it import MarkdownIt

from eval.metrics import METRICS, Metric
from eval.report.markdown import (
    EXPLORATORY,
    cost,
    cost_facts,
    explanation,
    few_shot_sentence,
    headline,
    p_value,
    table,
    to_markdown,
    with_interval,
)
from eval.report.schema import Report
from eval.report.sections import ChangedAnswer, Confusion, FewShot, Forgetting, MetricResult, Selection
from eval.scores import judge
from eval.statistics import Interval, judge_labels, judge_scores

TRAIN = [("A fine film.", "positive"), ("A dull film.", "negative"), ("Good soup.", "positive")]
OUTCOMES = {
    "better": judge_scores([0.0] * 9, [0.1 + number / 100 for number in range(9)]),
    "worse": judge_scores([0.1 + number / 100 for number in range(9)], [0.0] * 9),
    "no evidence": judge_scores([0.0, 0.1] * 5, [0.1, 0.0] * 5),
}


def make_forgetting(outcome="worse", base=10.0, tuned=12.0):
    return Forgetting(
        passages=9,
        tokens=1234,
        base_perplexity=base,
        tuned_perplexity=tuned,
        judgement=OUTCOMES[outcome],
        agreement=0.876,
        answers=[
            ChangedAnswer(instruction="Hi.", base="a", tuned="b"),
            ChangedAnswer(instruction="Ho.", base="a", tuned="a"),
        ],
    )


def make_few_shot(outcome="better"):
    return FewShot(
        examples=4,
        scores={"accuracy": 0.61, "macro_f1": 0.59, "rougeL": 0.21, "rouge1": 0.3, "rouge2": 0.1, "rougeLsum": 0.2},
        judgement=OUTCOMES[outcome],
        prompt_tokens=321.4,
        prompt_tokens_without=54.6,
    )


@pytest.fixture
def texts(text_row):
    """`texts(pairs)` → rows of a reference of ten words, by how many of them each side's answer holds."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

    def build(pairs):
        return [
            text_row(f"Ana: Dialogue {number}.", [" ".join(words)], " ".join(words[:base]), " ".join(words[:tuned]))
            for number, (base, tuned) in enumerate(pairs)
        ]

    return build


def headings(text):
    return re.findall(r"^#+ .*$", text, flags=re.MULTILINE)


# The sentences


def test_headline_of_a_better_one(make_report, flipped):
    report = make_report("sentiment", flipped(40, 20, 2))
    assert headline(report) == "Better: on 40 reviews accuracy rose from 0.50 to 0.95."


def test_headline_of_a_worse_one(make_report, texts):
    report = make_report("dialogue", texts([(9 - number % 2, 3) for number in range(12)]))
    assert headline(report) == (
        f"Worse: on 12 dialogues ROUGE-L fell from {report.primary.base:.2f} to {report.primary.tuned:.2f}."
    )


@pytest.mark.parametrize(("n", "on"), [(1, "1 review"), (3, "3 reviews"), (1200, "1,200 reviews")])
def test_headline_of_no_evidence(make_report, flipped, n, on):
    report = make_report("sentiment", flipped(n, 1, 0))
    assert headline(report).endswith(
        f"No evidence of a change: on {on} accuracy is {report.primary.base:.2f} before and 1.00 after."
    )


def test_headline_where_every_test_row_has_one_label(make_report, flipped):
    """A model that always says positive has them all right, and that is no news."""
    report = make_report("sentiment", flipped(9, 7, 0, labels=["positive"]), train=TRAIN)
    assert report.verdict.outcome == "better"
    assert headline(report) == (
        "Every test row is positive: this says nothing about rows that are negative. Better than the base: on 9 "
        "reviews accuracy rose from 0.22 to 1.00."
    )
    assert to_markdown(report, flipped(9, 7, 0, labels=["positive"])).startswith(f"# {headline(report)}\n")


@pytest.mark.parametrize(("kept", "trained_on"), [(True, 30), (True, 0), (False, 30), (False, None)])
def test_headline_where_rows_that_were_trained_on_are_judged(make_report, flipped, kept, trained_on):
    report = make_report("sentiment", flipped(40, 20, 2))
    selection = Selection(
        given=40, repeated=0, contradictory=0, trained_on=trained_on, trained_kept=kept, known_by="run", eligible=40
    )
    data = report.data.model_copy(update={"selection": selection})
    said = headline(report.model_copy(update={"data": data}))
    if kept and trained_on:
        assert said.startswith(
            "Judged on rows that it was trained on, too: this says little about new ones. Better"
        )
    else:
        assert said == "Better: on 40 reviews accuracy rose from 0.50 to 0.95."


def test_headline_where_one_of_several_labels_lacks(make_report, flipped):
    report = make_report("sentiment", flipped(40, 20, 2))
    three = Confusion(
        labels=["bad", "so so", "good"],
        base=[[10, 0, 10], [0, 0, 0], [10, 0, 10]],
        tuned=[[19, 0, 1], [0, 0, 0], [1, 0, 19]],
    )
    assert headline(report.model_copy(update={"confusion": three})) == (
        "No test row is so so: this says nothing about such rows. Better than the base: on 40 reviews accuracy "
        "rose from 0.50 to 0.95."
    )


@pytest.mark.parametrize(
    ("negatives", "of_them_right", "first"),
    [
        (1, 0, "No better than always answering positive (0.98)."),
        (1, 1, "No evidence that it is better than always answering positive (0.98)."),
        (8, 8, None),
    ],
)
def test_headline_where_always_giving_one_label_does_as_well(
    make_report, label_row, negatives, of_them_right, first
):
    rows = [label_row(f"Good {number}.", "positive", 0.2, 0.9) for number in range(60 - negatives)]
    for number in range(negatives):
        rows.append(label_row(f"Bad {number}.", "negative", 0.2, 0.1 if number < of_them_right else 0.9))
    report = make_report("sentiment", rows)
    assert report.verdict.outcome == "better"
    if first is None:
        assert headline(report).startswith("Better: on 60 reviews")
    else:
        assert headline(report).startswith(f"{first} Better than the base: on 60 reviews accuracy rose from")


def test_headline_where_repeating_the_first_turns_does_as_well(make_report, text_row):
    said = "Ana: The laptop is broken and Leo repairs it."
    rows = [text_row(said, [said], "laptop", "laptop broken Leo") for _ in range(9)]
    report = make_report("dialogue", rows)
    assert headline(report).startswith("No better than repeating the first two turns (1.00). Better than the base:")


def test_headline_where_no_test_tells_tuned_from_repeating_the_first_turns(make_report, text_row):
    """Tuned is better than the base in every row, and than the floor in four of seven."""
    rows = [
        text_row("Ana: one two", ["one two three four"], "", "one two three" if number < 4 else "one")
        for number in range(7)
    ]
    report = make_report("dialogue", rows)
    assert report.verdict.outcome == "better"
    (floor,) = {floor.scores["rougeL"] for floor in report.floors}
    assert report.primary.tuned > floor and report.floors[0].judgement.outcome == "no evidence"
    assert headline(report).startswith(
        f"No evidence that it is better than repeating the first two turns ({floor:.2f}). Better than the base: on"
    )


def test_headline_of_a_metric_whose_lower_values_are_better(make_report, flipped, monkeypatch):
    errors = Metric("errors", "errors a row", "real", higher_is_better=False, digits=1)
    monkeypatch.setitem(METRICS, "errors", errors)
    report = make_report("sentiment", flipped(20, 9, 1), confusion=None)
    metric = MetricResult(
        name="errors", primary=True, base=12.34, tuned=9.87, judgement=judge([3.0, 2.0] * 9, [1.0, 1.0] * 9, errors)
    )
    report = report.model_copy(update={"metrics": [metric]})
    said = "Better: on 20 reviews errors a row, where lower is better, fell from 12.3 to 9.9."
    assert headline(report) == said
    assert "| errors a row, lower is better | 12.34 | 9.87 | -1.50 (-1.75 to -1.25) |" in table(report)


def test_explanation_gives_interval_and_chance(make_report, flipped):
    sure, likely = make_report("sentiment", flipped(40, 20, 2)), make_report("sentiment", flipped(20, 6, 0))
    assert (sure.verdict.outcome, likely.verdict.outcome) == ("better", "better")
    interval = sure.verdict.interval
    assert explanation(sure) == (
        f"The true difference is probably between {interval.low:+.2f} and {interval.high:+.2f}. If tuning changed "
        "nothing, a difference this large would turn up in fewer than 1 in 1,000 test sets."
    )
    assert likely.verdict.p_value == 2 / 2**6
    assert explanation(likely).endswith("would turn up in about 1 in 32 test sets.")


def test_explanation_of_a_worse_one_has_an_interval_below_zero(make_report, flipped):
    report = make_report("sentiment", flipped(20, 0, 8))
    assert report.verdict.outcome == "worse"
    assert f"between {report.verdict.interval.low:+.2f} and {report.verdict.interval.high:+.2f}" in explanation(
        report
    )
    assert report.verdict.interval.high < 0


def test_explanation_of_no_evidence_says_what_could_be_found(make_report, flipped):
    report = make_report("sentiment", flipped(40, 5, 3))
    assert report.verdict.outcome == "no evidence"
    assert explanation(report) == (
        f"That is not proof that nothing changed: 40 rows can show a difference of {report.verdict.detectable:.2f} "
        "or more, and this one is +0.05."
    )


@pytest.mark.parametrize("n", [1, 5])
def test_explanation_of_too_few_rows(make_report, flipped, n):
    report = make_report("sentiment", flipped(n, n, 0))
    assert (report.verdict.outcome, report.verdict.detectable) == ("no evidence", None)
    assert explanation(report).startswith("So few rows can show nothing")


def test_explanation_where_every_row_scores_the_same(make_report, texts):
    """Eighty rows are not few: that nothing is detectable has another reason."""
    report = make_report("dialogue", texts([(number % 10, number % 10) for number in range(80)]))
    assert (report.verdict.outcome, report.verdict.detectable) == ("no evidence", None)
    assert "few rows" not in explanation(report)
    assert "every row scores the same" in explanation(report)


@pytest.mark.parametrize(
    ("outcome", "base", "tuned", "begins"),
    [
        (
            "worse",
            10.0,
            12.0,
            "General text suffered: perplexity, where lower is better, went from 10.0 to 12.0. ",
        ),
        (
            "worse",
            1010.0,
            2.4e9,
            "General text suffered: perplexity, where lower is better, went from 1,010.0 to 2.4e+09. ",
        ),
        (
            "better",
            10.0,
            9.0,
            "General text did not suffer: perplexity, where lower is better, went from 10.0 to 9.0. ",
        ),
        (
            "no evidence",
            10.0,
            10.1,
            "No evidence that general text suffered: perplexity is 10.0 before and 10.1 after. ",
        ),
    ],
)
def test_cost(outcome, base, tuned, begins):
    found = make_forgetting(outcome, base, tuned)
    assert found.judgement.outcome == outcome
    assert cost(found) == (
        f"{begins}Both predict the same next word piece 88% of the time, and 1 of 2 answers to general "
        "instructions changed."
    )


def test_what_it_cost_is_said_in_bits_per_byte_where_the_bytes_are_known():
    before = make_forgetting()
    assert "9 passages, 1,234 tokens. Change of the mean" in cost_facts(before)
    found = before.model_copy(update={"bytes": 4000})
    bits = [1234 * math.log2(perplexity) / 4000 for perplexity in (10.0, 12.0)]
    assert found.bits_per_byte == pytest.approx(bits)
    assert f"1,234 tokens. Bits per byte: {bits[0]:.2f} before and {bits[1]:.2f} after. Change" in cost_facts(found)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("better", "and the tuned model without any is better (0.95);"),
        ("worse", "and it is better than the tuned model without any (0.95);"),
        ("no evidence", "and there is no evidence of a difference to the tuned model without any (0.95);"),
    ],
)
def test_few_shot_sentence(make_report, flipped, outcome, says):
    report = make_report("sentiment", flipped(40, 20, 2))
    assert few_shot_sentence(make_few_shot(outcome), report) == (
        f"Shown 4 examples in every prompt, the base reaches 0.61, {says} a prompt then takes 321 tokens "
        "instead of 55."
    )


def test_the_spread_of_several_draws_is_said(make_report, flipped):
    report = make_report("sentiment", flipped(40, 20, 2))
    draws = [{"accuracy": value, "macro_f1": value} for value in (0.53, 0.67, 0.63)]
    few_shot = make_few_shot().model_copy(update={"draws": draws})
    said = few_shot_sentence(few_shot, report)
    assert "the base reaches 0.61 on the mean of 3 draws of them (0.53 to 0.67), and" in said
    rows = flipped(40, 20, 2)
    assert "| base, 4 examples in the prompt (mean of 3 draws) | 0.610 |" in to_markdown(
        report.model_copy(update={"few_shot": few_shot}), rows
    )


def test_of_a_classifier_it_is_said_that_the_bases_head_is_random(make_report, flipped):
    rows = flipped(40, 20, 2)
    for kind in ("causal", "classifier"):
        report = make_report("sentiment", rows, kind=kind)
        for said in (explanation(report), to_markdown(report, rows)):
            assert ("classification head of random weights" in said) == (kind == "classifier")


def test_every_floor_has_its_test_in_the_table(make_report, flipped):
    rows = flipped(40, 20, 2)
    report = make_report("sentiment", rows, train=TRAIN)
    without = [floor.model_copy(update={"judgement": None}) for floor in report.floors]  # as in a report of before
    old = report.model_copy(update={"floors": without})
    assert len(report.floors) == 2
    for floor in report.floors:
        values = " | ".join(f"{floor.scores[name]:.3f}" for name in ("accuracy", "macro_f1"))
        judged = f"{p_value(floor.judgement)} | {floor.judgement.outcome} |"
        assert f"| {floor.name} | {values} | {judged}" in to_markdown(report, rows)
        assert f"| {floor.name} | {values} |  |  |" in to_markdown(old, rows)


def test_numbers_are_written_for_people():
    test = judge_labels([False] * 12, [True] * 12)
    assert p_value(test) == "< 0.001" and p_value(None) == ""
    assert p_value(judge_labels([False, True], [True, False])) == "1.000"
    assert with_interval(0.7654, Interval(low=0.721, high=0.8)) == "0.765 (0.721 to 0.800)"
    assert with_interval(-0.05, None, sign="+") == "-0.050"
    assert with_interval(0.05, Interval(low=-0.1, high=0.2), sign="+") == "+0.050 (-0.100 to +0.200)"


def test_the_table_holds_every_metric(make_report, flipped):
    report = make_report("sentiment", flipped(40, 20, 2))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(report).splitlines()[2:]]
    accuracy, f1 = report.metrics
    assert rows[0] == [
        "accuracy",
        with_interval(0.5, accuracy.base_interval),
        with_interval(0.95, accuracy.tuned_interval),
        with_interval(0.45, accuracy.judgement.interval, sign="+"),
        "< 0.001",
        "better",
    ]
    assert rows[1] == [
        "macro-F1 (exploratory)",
        f"{f1.base:.3f}",
        f"{f1.tuned:.3f}",
        f"{f1.difference:+.3f}",
        "",
        "",
    ]


# The sections


SECTIONS = {
    "floors": "## What else would score",
    "few_shot": "## What else would score",
    "forgetting": "## What it cost",
    "confusion": "## Answers by label",
    "calibration": "Calibration error",
    "writing": "## How the answers are written",
}


def test_a_section_is_there_exactly_when_the_report_has_it(make_report, flipped, texts):
    rows = flipped(6, 2, 1)
    report = make_report("sentiment", rows, train=TRAIN)
    full = {
        "floors": report.floors,
        "few_shot": make_few_shot(),
        "forgetting": make_forgetting(),
        "confusion": report.confusion,
        "calibration": report.calibration,
        "writing": make_report("dialogue", texts([(1, 2), (3, 2)])).writing,
    }
    assert all(full.values()) and full.keys() == SECTIONS.keys()
    empty = dict.fromkeys(full) | {"floors": []}
    for kept in (set(kept) for n in range(7) for kept in itertools.combinations(SECTIONS, n)):
        text = to_markdown(report.model_copy(update=empty | {name: full[name] for name in kept}), rows)
        shown = {SECTIONS[name] for name in kept}
        for mark in SECTIONS.values():
            assert text.count(f"\n{mark}") == (mark in shown), kept
        assert ("examples in the prompt |" in text) == ("few_shot" in kept)
        assert ("- majority class: Always answers" in text) == ("floors" in kept)
        order = [*dict.fromkeys(mark for name, mark in SECTIONS.items() if name in kept and mark[0] == "#")]
        expected = [
            *order,
            "## What flipped",
            "### Gains (all)",
            "### Losses (all)",
            "## Where the numbers come from",
        ]
        assert headings(text)[1:] == expected


def test_the_numbers_of_the_sections_are_those_of_the_report(make_report, flipped):
    rows = flipped(20, 9, 1)
    report = make_report(
        "sentiment", rows, train=TRAIN, few_shot=make_few_shot(), forgetting=make_forgetting("worse")
    )
    text = to_markdown(report, rows)
    assert text.startswith(f"# {headline(report)}\n\n{explanation(report)}\n\n{table(report)}\n\n")
    assert "The verdict is about accuracy alone, by the exact McNemar test at p ≤ 0.05 over 20 pairs" in text
    assert EXPLORATORY in text
    assert "| majority class | 0.500 | 0.333 |" in text
    assert f"| base | 0.550 | {report.metrics[1].base:.3f} |" in text
    assert "| base, 4 examples in the prompt | 0.610 | 0.590 |" in text
    assert f"| **tuned** | 0.950 | {report.metrics[1].tuned:.3f} |" in text
    assert few_shot_sentence(report.few_shot, report) in text
    assert cost(report.forgetting) in text and "9 passages, 1,234 tokens." in text
    assert "| negative | 6 | 9 | 4 | 1 |" in text
    assert "| positive | 5 | 0 | 5 | 10 |" in text  # right label, then base and tuned of each answer
    base, tuned = report.calibration.base, report.calibration.tuned
    assert f"{base.expected_calibration_error:.3f} → {tuned.expected_calibration_error:.3f}." in text
    assert f"Brier score: {base.brier_score:.3f} → {tuned.brier_score:.3f}." in text
    assert "9 rows went from wrong to right, 1 went from right to wrong, 10 neither." in text
    for fact in ("ab" * 32, "12" * 32, "cd" * 32, "ef" * 32, "corpus:reviews", "bfloat16", "torch 2.13.0"):
        assert fact in text
    assert "owner/some\\_model, from package mirror (some-model==1.2)" in text
    assert "labels scored by their log-likelihood" in text


def test_what_else_would_score_is_shown_by_the_metrics_that_all_have(make_report, texts):
    rows = texts([(1, 2), (3, 2)])
    report = make_report("dialogue", rows, few_shot=make_few_shot())
    extra = report.metrics[0].model_copy(update={"name": "bertscore", "primary": False})
    report = report.model_copy(update={"metrics": [*report.metrics, extra]})
    text = to_markdown(report, rows)
    assert "| answers by | ROUGE-L | ROUGE-1 | ROUGE-2 | ROUGE-Lsum | tuned against it, p | verdict |\n" in text
    assert "| base, 4 examples in the prompt | 0.210 | 0.300 | 0.100 | 0.200 |" in text
    assert "| BERTScore (MiniLM) (exploratory) |" in text


def test_the_report_says_how_it_was_answered(make_report, flipped, texts):
    rows = flipped(6, 2, 1)
    text = to_markdown(make_report("sentiment", rows, kind="classifier", adapter_sha256=""), rows)
    assert "class probabilities of the head" in text and "SHA-256 not known" in text
    rows = texts([(1, 2), (3, 2)])
    text = to_markdown(make_report("dialogue", rows, tokenizer="words of any script"), rows)
    assert "greedy answers of at most 64 tokens" in text and "- ROUGE counts: words of any script\n" in text


# What flipped


def test_flips_show_the_largest_gains_and_losses_first(make_report, texts):
    gains = [(1, end) for end in (4, 9, 2, 7, 3, 8, 6)]
    losses = [(8, end) for end in (7, 1, 4)]
    rows = texts([*gains, *losses, (5, 5)])
    text = to_markdown(make_report("dialogue", rows), rows)
    assert "7 rows gained in ROUGE-L, 3 lost, 1 changed by less than 0.05." in text
    assert headings(text)[-3:-1] == ["### Gains (5 of 7)", "### Losses (all)"]
    won, lost = text.split("### Gains")[1].split("### Losses")
    shown = [[int(number) for number in re.findall(r"Dialogue (\d+)", part)] for part in (won, lost)]
    assert shown == [[1, 5, 3, 6, 0], [8, 9, 7]]


def test_an_example_shows_reference_and_both_answers(make_report, text_row):
    rows = [text_row("Ana: Hi.\n\nLeo: Ho.", ["They greet.", "Two greet."], "", "Two\n\ngreet.")]
    text = to_markdown(make_report("dialogue", rows), rows)
    assert "> Ana: Hi.\\\n> Leo: Ho." in text
    assert "**Reference:** They greet. / Two greet.\n\n**Base:** (nothing)\n\n**Tuned:** Two greet.\n" in text


def test_without_a_flip_there_are_no_examples(make_report, flipped):
    rows = flipped(4, 0, 0)
    text = to_markdown(make_report("sentiment", rows), rows)
    assert "0 rows went from wrong to right, 0 went from right to wrong, 4 neither." in text
    assert "### " not in text and "> " not in text


def test_a_row_that_differs_by_rounding_is_no_flip(make_report, text_row):
    rows = [text_row("Ana: One.", ["one two"], "one x x x", "one two x x x x x x x x")]
    text = to_markdown(make_report("dialogue", rows), rows)
    assert "0 rows gained in ROUGE-L, 0 lost, 1 changed by less than 0.05." in text
    assert "### " not in text

    before = make_report("dialogue", rows).model_dump()
    del before["flips"]["threshold"], before["tokenizer"]
    read = Report(**before)
    assert "0 rows gained in ROUGE-L, 0 lost, 1 neither." in to_markdown(read, rows)
    assert "- ROUGE counts: the letters a to z and digits\n" in to_markdown(read, rows)


# Foreign text

parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
NASTY = [
    "# big\n- list\n1. one\n<script>alert(1)</script>",
    "![x](http://x.example/y) [a](b) [c]: http://d.example",
    "**bold** __bold__ _em_ `code` ~~gone~~ $x$ ``` | a | b |",
    "```\nfenced\n```\n    indented\n~~~",
    "a\n===\nb\n---\n***\n* * *\n+ plus\n2) two\n> quote\n| a | b |\n|---|---|",
    "&lt;b&gt; &amp; &#35; <!-- hidden --> <b>bold</b> <http://x.example>",
    "ends in a backslash \\\nand \\# another \\",
    "1) first",
    "1. first",
    "12345. long\n-1 below\n+1 above\n=1 equal\n.5 half\n) paren",
]


def parsed(text):
    """The kinds of a Markdown text's tokens, without their texts, and all that it shows."""
    kinds, shown = [], []
    for token in parser.parse(text):
        kinds.append((token.type, token.tag))
        for child in token.children or []:
            if child.type == "text":
                shown.append(child.content)
            else:
                kinds.append((child.type, child.tag))
                shown.append("\n")
        shown.append("\n")
    return kinds, "".join(shown)


def tame(text):
    return re.sub(r"\S+", "x", text)


@pytest.fixture
def two_flips(make_report, text_row):
    """A report of a gain and a loss, and its rows."""
    rows = [text_row("Ana: One.", ["one two"], "one", "one two"), text_row("Leo: Two.", ["one two"], "one", "")]
    return make_report("dialogue", rows), rows


def foreign(report, rows, text, name):
    """The report with `text` in its rows and `name` in its names."""
    rows = [
        row.model_copy(
            update={
                "input": text,
                "references": ["one two", text],
                "base": row.base.model_copy(update={"answer": text}),
                "tuned": row.tuned.model_copy(update={"answer": text}),
            }
        )
        for row in rows
    ]
    base = report.base.model_copy(update={"name": name, "revision": name})
    proof = report.adapter_proof.model_copy(update={"sentence": name})
    data = report.data.model_copy(update={"spec": name, "split": name})
    return to_markdown(report.model_copy(update={"base": base, "adapter_proof": proof, "data": data}), rows)


def assert_shown_and_not_obeyed(report, rows, text):
    name = " ".join(text.split())
    kinds, shown = parsed(foreign(report, rows, text, name))
    expected, _ = parsed(foreign(report, rows, tame(text), tame(name)))
    assert kinds == expected
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert f"\n{chr(10).join(lines)}\n" in shown  # the input, line by line
    assert f"\nBase:\n {name}\n" in shown and f"\nTuned:\n {name}\n" in shown
    assert f"\nReference:\n one two / {name}\n" in shown
    assert f"base model: {name}, from package mirror ({name})\n" in shown
    assert f"data: {name}, split {name}, 2 rows" in shown
    assert f"adapter: {name};" in shown


@pytest.mark.parametrize("text", NASTY)
def test_foreign_text_is_shown_and_not_obeyed(two_flips, text):
    assert_shown_and_not_obeyed(*two_flips, text)


def test_no_mix_of_signs_is_obeyed(two_flips):
    generator = random.Random(0)
    signs = [*"#*_`~<>[]()!|\\&;:=+-.$^\"'/ \n", "\n", " ", "1", "2.", "a", "lt", "http://", "<b>", "```", "---"]
    for _ in range(150):
        body = "".join(generator.choices(signs, k=generator.randint(1, 24)))
        assert_shown_and_not_obeyed(*two_flips, f"a {body} z" if generator.random() < 0.3 else f"{body}z")

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from eval.report.folder import save
from eval.report.markdown import cost, explanation, few_shot_sentence, headline
from eval.report.preferences import Preference, Thumbs, preference_sentences
from eval.report.sections import ClassScores, ClassSide, Confusion, Selection, TurnLikelihood, WithContext
from eval.statistics import Interval
from plumbing.errors import RunError, UserError
from tests.unit.ui.report_samples import bare, judgement, label_rows, report, text_rows
from ui.drawing import charts, flips, reports
from ui.drawing.markup import counted
from ui.server import downloads
from ui.server.visitors import LOCAL
from ui.tabs.report_view import ReportView, Shown

HOSTILE = '<script>alert("1")</script> & more'
BOTH = [("sentiment", label_rows), ("dialogue", text_rows)]


@pytest.mark.parametrize(("task", "rows_with"), BOTH)
def test_everything_drawn_from_a_report_is_escaped(task, rows_with) -> None:
    hostile, rows = report(task, HOSTILE), rows_with(HOSTILE)
    drawn = reports.verdict(hostile, rows) + flips.draw(flips.flips(hostile, rows)) + reports.details(hostile)
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") > 20


def test_the_sentences_come_first_then_the_numbers_with_their_intervals() -> None:
    found = report()
    drawn = reports.verdict(found, label_rows())
    places = [drawn.index(part) for part in (headline(found), "The true difference", "<table", "ba-outcomes")]
    assert places == sorted(places)
    for number in ("0.500", "0.750", "0.111 to 0.888", "+0.250", "+0.150 to +0.350", "0.030", "0.654", "+0.333"):
        assert number in drawn
    assert drawn.count("exploratory") == 2  # beside a metric, and what it means
    assert explanation(found) in drawn


def test_what_was_trained_on_and_left_out_is_said_beside_the_verdict() -> None:
    found = report()
    selection = Selection(
        given=200, repeated=0, contradictory=0, trained_on=150, trained_kept=False, known_by="run", eligible=50
    )
    data = found.data.model_copy(update={"selection": selection})
    drawn = reports.verdict(found.model_copy(update={"data": data, "n": 50}), [])
    assert "200 rows given, 150 trained on and left out; 50 judged" in drawn
    assert "judged" not in reports.verdict(found, label_rows())


def test_a_wrong_answer_is_marked_as_wrong_on_either_side() -> None:
    drawn = flips.draw(flips.flips(report(), label_rows()))
    assert '<div class="ba-wrong">✗' in drawn and "<div>✓" in drawn and 'ba-wrong">✓' not in drawn


@pytest.mark.parametrize(("task", "rows_with"), BOTH)
def test_a_report_without_a_section_does_not_draw_it(task, rows_with) -> None:
    titles = {
        "What else would score": "What else would score",
        "What it cost": "What it cost",
        "Answers by label": "Answers by label",
        "How the answers are written": "How the answers are written",
    }
    whole, empty = reports.details(report(task)), reports.details(bare(task))
    of_other_task = "How the answers are written" if task == "sentiment" else "Answers by label"
    assert [title in whole for title in titles] == [title != of_other_task for title in titles]
    assert not any(title in empty for title in titles)
    assert "Where the numbers come from" in empty


def test_what_else_would_score_and_what_it_cost() -> None:
    found = report("dialogue")
    drawn = reports.details(found)
    assert found.few_shot and found.forgetting
    assert few_shot_sentence(found.few_shot, found) in drawn
    assert cost(found.forgetting) in drawn
    assert "base, 4 examples in the prompt" in drawn and "0.400" in drawn
    assert "10,645 tokens" in drawn and "-0.040 (-0.140 to +0.060) nats" in drawn
    for mean in ("1.50", "0.25", "0.12", "0.75"):
        assert mean in drawn


def test_a_metric_that_the_floors_lack_has_no_column_beside_them() -> None:
    found = report("dialogue")
    extra = found.metrics[1].model_copy(update={"name": "bertscore"})
    drawn = reports.details(found.model_copy(update={"metrics": [*found.metrics, extra]}))
    assert "ROUGE-1" in drawn and "BERTScore" not in drawn


def test_labels_are_counted_for_both_sides() -> None:
    drawn = reports.details(report())
    assert drawn.count("<caption") == 2
    assert "3<span" in drawn and " 75%" in drawn and "0<span" in drawn  # no division by a label that never occurs
    assert "0.123" in drawn and "0.234" in drawn and "2 of 4 rows" in drawn
    # Right before: 2 of 4. One of them was lost, and 2 were gained.
    assert "right → right: 1, wrong → right: 2, right → wrong: 1, wrong → wrong: 0" in reports.verdict(report(), [])


def test_rows_are_sorted_by_the_size_of_their_change() -> None:
    by_score = flips.flips(report("dialogue"), text_rows())
    assert [flip.number for flip in by_score] == [4, 3, 2, 1]
    assert [flip.kind for flip in by_score] == ["gained", "gained", "lost", "same"]
    # Labels all change by 1: the probability of the right one decides.
    assert [flip.number for flip in flips.flips(report(), label_rows())] == [4, 2, 3, 1]


def test_a_small_change_is_no_flip_where_the_report_says_how_small() -> None:
    found = report("dialogue")
    found = found.model_copy(update={"flips": found.flips.model_copy(update={"threshold": 0.15})})
    assert [flip.kind for flip in flips.flips(found, text_rows())] == ["gained", "gained", "same", "same"]
    assert flips.kind_options(found)[-1] == ("Changed by less than 0.15 (1)", "same")


def test_rows_are_filtered_by_kind_and_by_text() -> None:
    found = flips.flips(report("dialogue"), text_rows("A Tree"))
    assert [flip.number for flip in flips.chosen(found, "gained", "")] == [4, 3]
    assert [flip.number for flip in flips.chosen(found, "all", "  tree 2 ")] == [2]
    assert len(flips.chosen(found, "all", "a tREE")) == 4
    assert flips.chosen(found, "lost", "tree 3") == []
    assert "No row is like that" in flips.draw([])
    assert flips.kind_options(report()) == [
        ("All (4)", "all"), ("Gained (2)", "gained"), ("Lost (1)", "lost"), ("Same (1)", "same")
    ]  # fmt: skip


def test_a_long_table_is_cut_and_says_so() -> None:
    found = flips.flips(report("dialogue"), text_rows() * 60)
    drawn = flips.draw(found)
    assert drawn.count("<button") == flips.DRAWN
    assert "largest changes of 240 rows" in drawn
    assert 'data-row="4"' in drawn and 'aria-label="Row 4: open in Compare"' in drawn


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", " =", "＋"])
def test_a_spreadsheet_runs_no_text_of_the_rows(start: str) -> None:
    text = f'{start}HYPERLINK("x")'
    written = flips.to_csv(report("dialogue"), flips.flips(report("dialogue"), text_rows(text)))
    lines = list(csv.DictReader(io.StringIO(written)))
    assert [(line["row"], line["flip"], line["change of ROUGE-L"]) for line in lines] == [
        ("4", "gained", "0.5000"), ("3", "gained", "0.2000"), ("2", "lost", "-0.1000")
    ]  # fmt: skip
    assert all(line[name] == f"'{text}" for line in lines for name in ("base", "tuned"))
    assert lines[0]["text"] == f"'{text} 4" and lines[0]["reference"].startswith("'")
    assert lines[0]["tuned: ROUGE-L"] == "0.8000"
    said = list(csv.DictReader(io.StringIO(flips.to_csv(report(), flips.flips(report(), label_rows())))))
    assert said[0]["base: probability of the reference"] == "0.1000" and said[0]["text"] == "a text 4"


def test_a_line_for_each_difference_the_mean_and_its_interval() -> None:
    interval = Interval(low=0.05, high=0.25)
    drawn = charts.differences([0.5, -0.1, 0.0, 0.2], 0.15, interval, what="One line a row")
    assert drawn.count("ba-round") == 4 and drawn.count("stroke-width") == 7  # nothing changed, no line
    assert drawn.count("ba-tuned-mark") == 4 and drawn.count("ba-base-mark") == 3
    assert "mean +0.150, 95 % interval +0.050 to +0.250" in drawn
    for at, tick in (("0.00", "+0.6"), ("75.00", "0"), ("100.00", "-0.2")):
        assert f'style="top:{at}%">{tick}<' in drawn
    many = charts.differences([number / 1000 for number in range(1000)], 0.5, interval, what="One line a row")
    assert many.count("ba-round") == charts.LINES_DRAWN and "400 of 1,000 lines" in many
    assert "nan" not in charts.differences([0.0], 0.0, Interval(low=0, high=0), what="One line a row")


def test_shares_of_rows_fill_a_bar() -> None:
    drawn = charts.outcomes(50, 26, 0, 24)
    assert "flex-grow:50" in drawn and "flex-grow:0" not in drawn
    assert "right → wrong <b>0</b> (0%)" in drawn and "(26%)" in drawn


VIEW = ReportView(*[None] * 7, downloads=[None] * len(downloads.FILES))
"""What it gives its components to show needs none of them."""


class Click:
    def __init__(self, row: object) -> None:
        self._data = {"row": row}


def test_a_view_is_filled_from_a_folder_filtered_and_asked_for_a_row(tmp_path: Path) -> None:
    save(report(), label_rows(), tmp_path)
    drawn = VIEW.draw(tmp_path, "run:x", LOCAL)
    assert len(drawn) == len(VIEW.outputs) == len(VIEW.clear())
    shown = drawn[0]
    assert shown == Shown(tmp_path, "run:x")
    assert [Path(button.value["path"]).name for button in drawn[-4:]] == list(downloads.FILES)
    assert VIEW.filter(shown, "lost", "").count("<button") == 1
    assert VIEW.row(shown, Click("2")).input == "a text 2"
    for wrong in ("0", "5", "-1", "²", "x", None, "../1"):
        with pytest.raises(RunError, match="no such test row"):
            VIEW.row(shown, Click(wrong))
    with pytest.raises(UserError, match="no longer open"):
        VIEW.row(None, Click("1"))


def test_a_damaged_report_is_said_and_a_missing_one_is_not(tmp_path: Path) -> None:
    save(report(), label_rows(), tmp_path / "whole")
    (tmp_path / "report.json").write_text('{"task": "<b>"}', encoding="utf-8")
    drawn = VIEW.draw(tmp_path, "run:x", LOCAL)
    assert drawn[0] is None and "cannot be read" in drawn[1] and "<b>" not in drawn[1]
    assert VIEW.draw(tmp_path / "none", "run:x", LOCAL)[:2] == VIEW.clear()[:2] == [None, ""]
    (tmp_path / "whole" / "rows.jsonl").write_text("{torn\n", encoding="utf-8")
    assert headline(report()) in VIEW.draw(tmp_path / "whole", "run:x", LOCAL)[1]


def test_progress_is_counted_in_what_it_is() -> None:
    assert counted("Loading", 0, 0) == "Loading"
    assert counted("Comparing", 32, 4000) == "Comparing: 32 of 4,000"
    assert counted("Training", 3, 40, "steps") == "Training: 3 of 40 steps"
    assert counted("Fetching", 5_000_000, 98_000_000) == "Fetching: 5 of 98 MB"


def test_of_many_labels_the_most_confused_pairs_are_drawn_and_each_label_is_folded():
    labels = [f"label {number}" for number in range(12)]
    counts = [[0] * 12 for _ in labels]
    counts[3][4] = 7
    side = ClassSide(precision=0.25, recall=0.5, f1=1 / 3)
    classes = [ClassScores(label=label, support=4, base=side, tuned=side) for label in labels]
    confusion = Confusion(labels=labels, base=counts, tuned=counts)
    drawn = reports.details(report().model_copy(update={"confusion": confusion, "classes": classes}))
    assert "Labels that are confused most often" in drawn and "ba-confusion" not in drawn
    assert "Each of the 12 labels, base → tuned" in drawn and "0.33 → 0.33" in drawn


def test_a_base_with_a_text_in_its_prompt_is_a_rival_and_a_chat_has_all_its_answers():
    told = WithContext(
        name="<b>handbook.md",
        text_sha256="ab",
        scores={"rougeL": 0.71, "rouge1": 0.8},
        judgement=judgement(0.1),
        prompt_tokens=1340,
        prompt_tokens_without=40,
    )
    turns = TurnLikelihood(tokens=900, base_perplexity=12.34, tuned_perplexity=5.67)
    found = report("dialogue").model_copy(update={"context": told, "turns": turns})
    assert "base, &lt;b&gt;handbook.md in the prompt" in reports.details(found)
    assert "0.71, 1,340 tokens a question instead of 40" in reports.details(found)
    assert "900 tokens, where lower is better: 12.3 before and 5.7 after." in reports.verdict(found, text_rows())


def test_pairs_and_thumbs_are_drawn_with_the_sentences_of_the_report() -> None:
    interval = {"low": 0.4, "high": 0.7}
    shares = {"base": 0.5, "tuned": 0.625, "rewarded": 0.875}
    pairs = Preference.model_validate(
        {
            "pairs": 8,
            **shares,
            **{f"{name}_interval": interval for name in (*shares, "margin")},
            "judgement": judgement(0.125).model_dump(),
            "margin": 1.5,
            "better_gained": 0.5,
            "worse_gained": -1.0,
            "longer": 0.25,
            "divergence": {"nats": 0.5, "tokens": 90},
            "kinds": [{"why": HOSTILE, "pairs": 8, **shares}],
        }
    )
    areas = {**shares, **{f"{name}_interval": interval for name in (*shares, "difference")}}
    thumbs = Thumbs.model_validate(
        {"liked": 3, "disliked": 2, "areas": areas, "liked_gained": 1.0, "disliked_gained": -2.0}
    )
    found = report("dialogue")
    assert "Which answer is preferred" not in reports.details(found)
    drawn = reports.details(found.model_copy(update={"preference": pairs, "thumbs": thumbs}))
    assert all(sentence in drawn for sentence in preference_sentences(pairs)[1:])
    assert "what gained more from base to tuned</td><td>0.875</td>" in drawn
    assert "<script" not in drawn and "&lt;script&gt;" in drawn
    assert "3 held-out answers have a thumb up, 2 one down." in drawn and "-2.00" in drawn

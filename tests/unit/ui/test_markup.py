from __future__ import annotations

import re

from eval.calibration import ReliabilityBin
from eval.statistics import Interval
from ui.drawing import answers, charts, markup
from ui.drawing.answers import Side, Turn

HOSTILE = '<script>alert("1")</script> & more'


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = markup.tag("b", HOSTILE)
    outer = markup.tag("div", inner, HOSTILE, title=HOSTILE, class_="a", data_run="x", hidden=None)
    assert "<script" not in outer
    assert 'title="&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more" class="a" data-run="x">' in outer
    assert "hidden" not in outer
    assert outer.count("<b>") == 1


def test_tables_and_panels_escape_what_they_show() -> None:
    turn = Turn(HOSTILE, references=[HOSTILE], base=Side(text=HOSTILE), tuned=Side(text=HOSTILE))
    drawn = [
        markup.table([HOSTILE], [[HOSTILE]]),
        markup.sentences([HOSTILE]),
        markup.progress(HOSTILE, 1, 2),
        answers.panel("base", turn),
        answers.message_card(turn),
        answers.reference_line(turn),
        answers.past([turn]),
        charts.label_bars([HOSTILE], [0.5], side="base"),
    ]
    assert not any("<script" in part for part in drawn)


def test_an_unknown_total_has_no_share() -> None:
    assert "aria-valuenow" not in markup.progress("Loading", 0, 0)
    assert 'aria-valuenow="50"' in markup.progress("Loading", 1, 2)


def test_each_side_has_its_own_history() -> None:
    turns = [Turn("hello", base=Side(text="a"), tuned=Side(text="b"))]
    assert answers.history(turns, "tuned") == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "b"},
    ]
    assert answers.history(turns, "base")[1]["content"] == "a"


def test_labels_are_judged_by_their_probability_and_summaries_by_rouge() -> None:
    labels = ("negative", "positive")
    turn = Turn("good", references=["positive"], labels=labels)
    turn.base.probabilities, turn.tuned.probabilities = [0.8, 0.2], [0.1, 0.9]
    turn.judge()
    assert (turn.base.label, turn.base.is_right) == ("negative", False)
    assert (turn.tuned.label, turn.tuned.is_right) == ("positive", True)

    summary = Turn("a: hi", references=["Ana greets Leo"], tuned=Side(text="Ana greets Leo"))
    summary.judge()
    assert (summary.base.score, summary.tuned.score) == ("ROUGE-L 0.00", "ROUGE-L 1.00")


def test_a_loss_curve_spans_its_steps_and_leaves_out_what_is_not_finite() -> None:
    drawn = charts.loss_curve([(1, 3.0), (2, float("nan")), (4, 1.5)], [(4, 2.0)], total=8)
    assert drawn.count("<polyline") == 2
    assert ">8<" in drawn and "nan" not in drawn
    assert "<svg" not in charts.loss_curve([])


def test_a_plot_has_a_title_two_axes_with_units_and_a_sentence_in_its_place() -> None:
    interval = Interval(low=0.1, high=0.3)
    bins = [ReliabilityBin(low=0.5, high=0.6, n=40, mean_confidence=0.55, accuracy=0.5)]
    for drawn, title, up, across in (
        (charts.loss_curve([(1, 3.0), (66, 1.5)], unit="nats a token"), "Loss", "nats a token", "optimizer step"),
        (charts.curve("tokens an answer", [(1, 3.0), (66, 1.5)]), "Tokens an answer", "", "optimizer step"),
        (charts.differences([0.4, 0.0], 0.2, interval, what="A line"), "Change", "tuned minus base", "2 rows"),
        (charts.reliability(bins, bins), "Calibration", "share that is right", "confidence of an answer"),
        (charts.against([(1, 0.1, 0.2), (2, 0.3, 0.1)], across="worth", up="metric"), "Metric", "", "worth"),
    ):
        assert f"<b>{title}" in drawn and up in drawn and f">{across}" in drawn, title
        assert 'role="img" aria-label="' in drawn and 'aria-hidden="true"' in drawn
        assert "<text" not in drawn, "letters have pixels, whatever the frame is wide"
    steps = re.findall(r"<b style=\"left:[\d.]+%\">([\d,]+)</b>", charts.loss_curve([(1, 3.0), (66, 1.5)]))
    assert steps == ["0", "20", "40", "60", "66"], "round, and the last"

"""A reward model on the page: which answer each side takes, how sure it is, what length has to do with it."""

from __future__ import annotations

import pytest

from eval.length_bias import length_bias
from eval.report.rewards import Rewards
from eval.report.rewards_text import length_sentence, margin_sentence
from eval.report.schema import Report, RowResult, SideResult
from eval.report.sections import CalibrationSide
from tests.unit.ui.report_samples import bare, label_rows
from ui.drawing import flips, reports

HOSTILE = "<b>answer</b> & more"


def side(better: float, worse: float, answers: tuple[str, str]) -> SideResult:
    taken = answers[0] if better > worse else answers[1] if better < worse else ""
    return SideResult(answer=taken, scores={"accuracy": float(better > worse)}, rewards=(better, worse))


def rows(said: str = "words") -> list[RowResult]:
    """Three pairs: wrong to right, right and right, right to neither."""
    answers = (f"better {said}", f"worse {said}")
    values = [((-2.0, -1.0), (1.25, -0.5)), ((-1.0, -3.0), (0.5, 0.0)), ((-1.0, -3.0), (0.5, 0.5))]
    return [
        RowResult(
            input=said,
            references=[answers[0]],
            rejected=answers[1],
            base=side(*base, answers),
            tuned=side(*tuned, answers),
        )
        for base, tuned in values
    ]


@pytest.fixture
def found() -> Report:
    bins = bare_bins()
    calibration = CalibrationSide(expected_calibration_error=0.123, brier_score=0.234, bins=bins)
    bias = length_bias([5, 4, -3, 8], [1.0, -1.0, 1.0, 1.0], [2.0, 1.0, 0.5, -1.0])
    rewards = Rewards(mean=0.25, spread=1.5, margin=0.75, calibration=calibration, length=bias)
    return bare().model_copy(update={"kind": "reward", "rewards": rewards})


def bare_bins() -> list:
    from eval.calibration import reliability

    return reliability([0.55, 0.65, 0.75, 0.95], [0, 1, 1, 1])


def test_it_is_drawn_how_sure_it_is_and_what_length_does(found: Report) -> None:
    drawn = reports.details(found)
    for said in (margin_sentence(found.rewards), length_sentence(found.rewards), "sigmoid(difference)", "0.123"):
        assert said in drawn
    assert "ba-reliability ba-tuned-mark" in drawn and "ba-reliability ba-base-mark" not in drawn
    assert "pair accuracy where the better answer is the longer one" in drawn
    assert "the answer with the higher reward" in drawn
    assert "How the rewards behave" not in reports.details(bare())


def test_rows_say_which_answer_each_side_takes(found: Report) -> None:
    report = found.model_copy(update={"n": 3})
    drawn = flips.draw(flips.flips(report, rows(HOSTILE)))
    assert "<b>" not in drawn
    for said in ("wrong → right", "right → wrong", "better +1.25, worse -0.50", "better -2.00, worse -1.00"):
        assert said in drawn
    assert drawn.count("neither") == 1 and 'class="ba-wrong">✗' in drawn


def test_how_the_pairs_changed_is_one_divided_bar(found: Report) -> None:
    assert "ba-outcomes" in reports.verdict(found, label_rows())

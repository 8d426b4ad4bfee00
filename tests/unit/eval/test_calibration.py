"""Calibration against known answers, a closed form, and scikit-learn."""

import random
from itertools import pairwise

import pytest
from pydantic import ValidationError
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from eval.calibration import ReliabilityBin, brier_score, expected_calibration_error, reliability


def answers(count, seed, overconfidence=0.2):
    """Confidences between 0.5 and 1, and answers that are right less often than that."""
    rng = random.Random(seed)
    confidences = [rng.uniform(0.5, 1) for _ in range(count)]
    return confidences, [float(rng.random() < confidence - overconfidence) for confidence in confidences]


def test_by_hand():
    confidences, correct = [0.55, 0.65, 0.65, 0.95], [1.0, 0.0, 1.0, 1.0]
    assert reliability(confidences, correct) == [
        ReliabilityBin(low=0.5, high=0.6, n=1, mean_confidence=0.55, accuracy=1.0),
        ReliabilityBin(low=0.6, high=0.7, n=2, mean_confidence=0.65, accuracy=0.5),
        ReliabilityBin(low=0.9, high=1.0, n=1, mean_confidence=0.95, accuracy=1.0),
    ]
    # 1/4 · |1 - 0.55| + 2/4 · |0.5 - 0.65| + 1/4 · |1 - 0.95|
    assert expected_calibration_error(confidences, correct) == pytest.approx(0.2, abs=1e-12)
    assert [part.gap for part in reliability(confidences, correct)] == pytest.approx([-0.45, 0.15, -0.05])


@pytest.mark.parametrize("bins", [1, 2, 7, 10, 15])
@pytest.mark.parametrize("seed", range(3))
def test_the_diagram_equals_scikit_learns(seed, bins):
    confidences, correct = answers(311, seed)
    accuracy, mean_confidence = calibration_curve(correct, confidences, n_bins=bins)
    found = reliability(confidences, correct, bins)
    assert [part.accuracy for part in found] == pytest.approx(accuracy.tolist(), abs=1e-9)
    assert [part.mean_confidence for part in found] == pytest.approx(mean_confidence.tolist(), abs=1e-9)
    assert sum(part.n for part in found) == len(confidences)
    assert all(part.low < part.mean_confidence <= part.high for part in found)


def test_an_edge_belongs_to_the_bin_below_as_in_the_paper():
    edges = [tenth / 10 for tenth in range(11)]
    found = reliability(edges, [1.0] * 11)
    assert [part.high for part in found] == edges[1:]
    assert [part.n for part in found] == [2, *[1] * 9]  # 0 and 0.1 share the first
    _, mean_confidence = calibration_curve([1.0] * 11, edges, n_bins=10, pos_label=1)
    assert [part.mean_confidence for part in found] == pytest.approx(mean_confidence.tolist(), abs=1e-12)


def test_calibrated_answers_have_no_error():
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == 0.0
    assert expected_calibration_error([1.0, 1.0, 0.0], [1.0, 1.0, 0.0]) == 0.0


def test_always_sure_and_always_wrong_has_the_largest_error():
    assert expected_calibration_error([1.0] * 3, [0.0] * 3) == 1.0


def test_one_bin_gives_the_distance_of_the_means():
    confidences, correct = answers(200, 5)
    distance = abs(sum(confidences) - sum(correct)) / 200
    assert expected_calibration_error(confidences, correct, bins=1) == pytest.approx(distance, abs=1e-12)


def test_finer_bins_that_divide_the_coarse_never_show_less_error():
    for seed in range(5):
        confidences, correct = answers(150, seed, overconfidence=0)
        errors = [expected_calibration_error(confidences, correct, bins) for bins in (5, 10, 20, 40)]
        assert all(coarse <= fine + 1e-12 for coarse, fine in pairwise(errors))
        assert errors[0] < errors[-1] <= 1


def test_the_order_of_the_answers_does_not_matter():
    confidences, correct = answers(100, 8)
    expected = expected_calibration_error(confidences, correct)
    assert expected_calibration_error(confidences[::-1], correct[::-1]) == pytest.approx(expected, abs=1e-12)
    assert expected_calibration_error(confidences, correct[::-1]) != pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_brier_score_equals_scikit_learns(seed):
    rng = random.Random(seed)
    positive = [rng.random() for _ in range(97)]
    labels = rng.choices(["negative", "positive"], k=97)
    expected = brier_score_loss(labels, positive, pos_label="positive")
    assert brier_score([both(p) for p in positive], labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c"], list("abcdefg")])
def test_the_brier_score_of_any_number_of_labels_equals_scikit_learns(names):
    rng = random.Random(len(names))
    rows = [[rng.random() for _ in names] for _ in range(50)]
    rows = [[value / sum(row) for value in row] for row in rows]
    right = rng.choices(names, k=50)
    expected = brier_score_loss(right, rows, labels=names, scale_by_half=True)
    found = brier_score([dict(zip(names, row, strict=True)) for row in rows], right)
    assert found == pytest.approx(expected, abs=1e-12)


def both(positive):
    return {"negative": 1 - positive, "positive": positive}


def test_the_brier_score_by_hand():
    assert brier_score([both(0.5)], ["positive"]) == 0.25
    assert brier_score([both(1.0), both(0.0)], ["positive", "positive"]) == 0.5
    assert brier_score([both(1.0)], ["positive"]) == 0.0
    # What is left beside the right label counts by how it is spread: sure of one wrong label is worse.
    assert brier_score([{"a": 0.5, "b": 0.25, "c": 0.25}], ["a"]) == (0.25 + 0.0625 + 0.0625) / 2
    assert brier_score([{"a": 0.5, "b": 0.5, "c": 0.0}], ["a"]) == 0.25


def test_what_rounding_puts_beyond_one_is_one():
    (only,) = reliability([1 + 5e-7], [1.0])
    assert (only.mean_confidence, only.low, only.high) == (1.0, 0.9, 1.0)
    assert expected_calibration_error([-5e-7], [0.0]) == 0.0
    assert brier_score([both(1 + 5e-7)], ["positive"]) == 0.0


@pytest.mark.parametrize("measure", [reliability, expected_calibration_error])
@pytest.mark.parametrize(
    ("confidences", "correct", "bins", "problem"),
    [
        ([], [], 10, "no answers"),
        ([0.5, 0.6], [1.0], 10, "zip"),
        ([0.5], [1.0, 0.0], 10, "zip"),
        ([1.2], [1.0], 10, "between 0 and 1, not 1.2"),
        ([-0.1], [1.0], 10, "between 0 and 1, not -0.1"),
        ([float("nan")], [1.0], 10, "between 0 and 1, not nan"),
        ([0.5], [0.5], 10, "0 or 1"),
        ([0.5], [1.0], 0, "at least 1, not 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(measure, confidences, correct, bins, problem):
    with pytest.raises(ValueError, match=problem):
        measure(confidences, correct, bins)


@pytest.mark.parametrize("probabilities", [[], [1.1], [float("nan")]])
def test_the_brier_score_refuses_what_is_no_probability(probabilities):
    with pytest.raises(ValueError, match=r"no answers|between 0 and 1"):
        brier_score([both(value) for value in probabilities], ["positive"] * len(probabilities))


def test_a_bin_is_frozen_and_described():
    (part,) = reliability([0.8], [1.0])
    with pytest.raises(ValidationError):
        part.n = 2
    with pytest.raises(ValidationError):
        ReliabilityBin(**part.model_dump(), other=1)
    assert all(field.description for field in ReliabilityBin.model_fields.values())

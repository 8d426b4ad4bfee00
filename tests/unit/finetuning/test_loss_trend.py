"""A loss that rose is said, noise is not."""

import pytest

from finetuning.loss_trend import rise


def test_a_loss_that_went_from_3_to_64_is_said_with_both_and_the_learning_rate():
    losses = [3.1, 2.9, 3.0, 3.0, 9.0, 40.0, 80.0, 70.0, 66.0, 62.0, 65.0, 63.0]
    said = rise(losses, 0.5)
    assert "from 3 over the first 2 steps to 63.3 over the last 3" in said
    assert "training.learning_rate was 0.5" in said


@pytest.mark.parametrize(
    "losses",
    [
        [0.69 + 0.1 * (step % 3) for step in range(40)],  # noise about a level
        [3.0 - 0.05 * step for step in range(40)],  # falls
        [3.0, 3.0, 60.0, 60.0, 20.0, 9.0, 4.0, 2.0],  # rose, and came back
        [1.0 + 0.005 * step for step in range(40)],  # a little
        [0.2, 5.0],  # two batches
        [],
    ],
)
def test_what_is_no_clear_rise_is_not(losses):
    assert rise(losses, 5e-4) == ""


def test_a_run_that_jumps_about_far_above_its_beginning_has_risen():
    losses = [1.1, 1.5, 7.1, 0.0, 19.7, 4.0, 29.0, 0.0, 31.4, 2.0, 3.8, 16.9, 9.6, 15.2, 0.4, 3.2]
    assert rise(losses, 1.0)

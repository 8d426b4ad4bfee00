"""The loss curve of a long run: few points, no peak lost, and only what is new is read."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run, create_run
from ui.drawing import loss
from ui.drawing.loss import Curve, Thinned
from ui.tabs import run_view


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(load_recipe("sentiment-smollm2-lora"), tmp_path)


def test_few_points_stay_as_they_are() -> None:
    thinned = Thinned(300)
    points = [(float(step), float(step % 7)) for step in range(300)]
    for point in points:
        thinned.add(point)
    assert thinned.points() == points and thinned.stretch == 1


@pytest.mark.parametrize("count", [301, 5_000, 77_777])
def test_many_points_become_the_extremes_of_each_stretch(count: int) -> None:
    chance = random.Random(count)
    points = [(float(step), chance.gauss(2, 0.1)) for step in range(count)]
    points[count // 3] = (float(count // 3), 9.0)  # a single peak
    thinned = Thinned(300)
    for point in points:
        thinned.add(point)
    drawn = thinned.points()
    assert 300 <= len(drawn) <= 601
    assert drawn == sorted(drawn) and set(drawn) <= set(points)
    assert drawn[-1] == points[-1]
    size = thinned.stretch
    for start in range(0, count, size):
        stretch = points[start : start + size]
        for extreme in (min, max):
            assert extreme(stretch, key=lambda point: point[1]) in drawn


def test_a_long_run_is_drawn_in_a_few_kilobytes_and_read_once(run: Run) -> None:
    lines = "".join(f'{{"step": {step}, "loss": {1 + 1 / step}}}\n' for step in range(1, 30_001))
    path = run.folder / "metrics.jsonl"
    path.write_text(lines)
    curve = Curve(path)
    drawn = curve.draw(0)
    assert len(drawn) < 20_000 and "at step 30000" in drawn
    assert "the lowest and the highest of every 128 steps" in drawn
    read = curve.reader.bytes_read
    assert read == len(lines)
    run.append_metrics({"step": 30_001, "loss": 0.25})
    assert "training loss 0.250 at step 30001" in curve.draw(0)
    assert curve.reader.bytes_read - read < 1_000


def test_a_run_that_went_back_is_drawn_from_there(run: Run) -> None:
    for step in range(1, 10):
        run.append_metrics({"step": step, "loss": float(step)})
    assert "at step 9" in run_view.loss(run)
    run.cut_metrics(4)
    drawn = run_view.loss(run)
    assert "training loss 4.000 at step 4" in drawn and "every" not in drawn


def test_values_that_are_no_numbers_are_left_out(run: Run) -> None:
    run.append_metrics({"step": 1, "loss": math.inf})
    run.append_metrics({"step": 2, "loss": 1.5, "eval_loss": None})
    run.append_metrics({"step": 3, "loss": 1.0, "eval_loss": 1.25})
    assert "validation loss 1.250" in run_view.loss(run)


def test_curves_of_the_runs_looked_at_last_are_kept(tmp_path: Path) -> None:
    for number in range(loss.KEPT + 5):
        loss.loss_so_far(tmp_path / f"{number}.jsonl", total=0)
    assert len(loss._curves) == loss.KEPT


def test_what_is_paid_for_is_drawn_against_what_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    steps = [f'{{"step": {step}, "loss": 0.0, "reward": {step / 10}}}\n' for step in range(1, 7)]
    measured = [(2, 0.2, 0.3), (4, 0.5, 0.35), (6, 0.4, 0.1)]
    found = [
        f'{{"step": {step}, "eval_loss": {-reward}, "eval_reward": {reward}, "eval_metric": {metric}}}\n'
        for step, reward, metric in measured
    ]
    path.write_text("".join([*steps, *found]))
    drawn = Curve(path, ("reward", "metric", "kl"), falls=False).draw(0, "kept")
    assert drawn.count("<svg") == 3 and "training loss" not in drawn
    assert "training 0.6 · validation 0.4 (dashed) · kept: step 4, 0.5" in drawn
    assert "from step 2 to 6, the large dot: 0.2 → 0.4, 0.3 → 0.1" in drawn
    assert "training loss" in Curve(path, falls=False).draw(0)  # where there is nothing else


def test_what_else_is_logged_is_drawn_under_the_loss(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [f'{{"step": {step}, "loss": 0.5, "rewards/margins": {step - 3}}}\n' for step in range(1, 7)]
    path.write_text("".join(lines) + '{"step": 6, "eval_loss": 0.6, "eval_rewards/margins": 1.5}\n')
    drawn = Curve(path, ("rewards/margins", "kl")).draw(0)
    assert drawn.count("<svg") == 2  # nothing of "kl" is there
    assert "<b>By how much more, times beta</b>" in drawn and "training 3 · validation 1.5 (dashed)" in drawn
    assert ">-2</span>" in drawn
    assert Curve(path).draw(0).count("<svg") == 1

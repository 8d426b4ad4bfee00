"""How many rows it takes, against closed forms, simulation, and its own inverse."""

import json
import math
from statistics import stdev

import numpy as np
import pytest

from eval.metrics import metric_named
from eval.paired_shares import mcnemar_power
from eval.statistics import judge_labels, judge_scores, wilson
from eval.verdict.plan import ASSUMED, Spread, assumed, plan_difference, plan_rows, seen_in
from plumbing.errors import DataError, UserError


def test_the_power_of_the_exact_test_is_that_of_every_outcome():
    n, difference, share, alpha = 40, 0.2, 0.3, 0.05
    total = 0.0
    for gains in range(n + 1):
        for losses in range(n + 1 - gains):
            won, lost = (share + difference) / 2, (share - difference) / 2
            chance = math.comb(n, gains) * math.comb(n - gains, losses)
            chance *= won**gains * lost**losses * (1 - share) ** (n - gains - losses)
            pairs = [(0, 1)] * gains + [(1, 0)] * losses + [(1, 1)] * (n - gains - losses)
            judgement = judge_labels(*zip(*pairs, strict=True), alpha=alpha) if chance > 1e-9 else None
            total += chance if judgement and judgement.outcome == "better" else 0
    assert mcnemar_power(n, difference, share, alpha) == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(("difference", "share"), [(0.03, 0.1), (0.05, 0.2), (0.1, 0.1), (0.2, 0.1)])
def test_so_many_rows_have_the_power_and_one_less_has_not(difference, share):
    plan = plan_rows(difference, Spread("seen", discordance=share))
    power = [mcnemar_power(n, difference, max(share, difference)) for n in range(plan.rows, plan.rows + 20)]
    assert min(power) >= 0.8 and plan.power == power[0]
    assert any(mcnemar_power(plan.rows - k, difference, max(share, difference)) < 0.8 for k in range(1, 3)), (
        "fewer would do"
    )
    assert bool(plan.notes) == (difference > share)


def test_published_sample_sizes():
    """Connor's formula (1987, Biometrics 43, 207) without its correction; the exact test takes some rows more."""
    for difference, share in ((0.1, 0.3), (0.05, 0.2)):
        z, power = 1.959964, 0.841621
        normal = ((z * math.sqrt(share) + power * math.sqrt(share - difference**2)) / difference) ** 2
        rows = plan_rows(difference, assumed(share)).rows
        assert normal < rows < 1.1 * normal


def test_what_rows_find_and_the_rows_that_find_it_are_inverse():
    for spread in (Spread("seen", discordance=0.15), Spread("seen", deviation=0.2)):
        rows = plan_rows(0.04, spread).rows
        found = plan_difference(rows, spread).difference
        assert found == pytest.approx(0.04, rel=0.02)
        assert found <= 0.04 * 1.001


def test_the_difference_found_is_that_of_a_judgement():
    rng = np.random.default_rng(0)
    base, tuned = rng.beta(2, 2, 120), rng.beta(2, 2, 120)
    judged = judge_scores(base, tuned, draws=500)
    spread = Spread("seen", deviation=stdev(tuned - base))
    assert plan_difference(120, spread).difference == pytest.approx(judged.detectable)


def test_several_comparisons_take_more_rows():
    alone, three = (plan_rows(0.05, assumed(0.2), comparisons=count) for count in (1, 3))
    assert three.rows > alone.rows
    assert three.alpha == pytest.approx(0.05 / 3)


def test_the_difference_of_one_row_in_twenty_is_found_as_often_as_it_says():
    plan = plan_rows(0.08, assumed(0.2))
    rng, found = np.random.default_rng(5), 0
    for _ in range(400):
        kind = rng.random(plan.rows)
        gained, lost = kind < 0.14, (kind >= 0.14) & (kind < 0.2)
        found += judge_labels((~gained).astype(float), (~lost).astype(float)).outcome == "better"
    assert found / 400 == pytest.approx(0.8, abs=0.06)


def test_what_nobody_has_seen_is_assumed_and_said():
    assert assumed().discordance == ASSUMED
    assert "assumed" in assumed().sentence and "20.0%" in assumed().sentence


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plan_rows(0.0, assumed(0.2)), "above 0"),
        (lambda: plan_rows(1.5, assumed(0.2)), "above 0"),
        (lambda: plan_rows(math.nan, Spread("seen", deviation=0.1)), "above 0"),
        (lambda: plan_rows(0.0001, assumed(0.2)), "More than 1,000,000"),
        (lambda: plan_rows(0.1, assumed(0.2), alpha=1.0), "between 0 and 1"),
        (lambda: plan_rows(0.1, assumed(0.2), comparisons=0), "at least one"),
        (lambda: plan_difference(5, assumed(0.2)), "whatever the answers"),
        (lambda: assumed(1.2), "a share"),
    ],
)
def test_what_makes_no_sense_is_refused(call, said):
    with pytest.raises(UserError, match=said):
        call()


# ---- what was seen ---------------------------------------------------------------------------------------------


def lines(path, sides, metric="accuracy"):
    """rows.jsonl of a verdict whose sides have these scores."""
    keys = ["base", "tuned", "tuned-2"][: len(sides)]
    rows = [
        {"answers": {key: {"scores": {metric: score}} for key, score in zip(keys, scores, strict=True)}}
        for scores in zip(*sides, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_discordance_is_seen_in_rows(tmp_path):
    base, tuned, other = [1.0] * 10, [1.0] * 8 + [0.0] * 2, [1.0] * 5 + [0.0] * 5
    path = lines(tmp_path / "rows.jsonl", [base, tuned, other])
    assert seen_in(path).discordance == 0.5  # of the one that differs most
    assert seen_in(path, tuned="tuned").discordance == 0.2
    assert "10 rows of rows.jsonl, by accuracy" in seen_in(path).where_from
    with pytest.raises(DataError, match="no such side"):
        seen_in(path, tuned="tuned-3")


def test_what_was_seen_on_few_rows_may_be_more_and_then_it_takes_more_rows(tmp_path):
    """Wilson's interval of 2 of 20 reaches to 30.1 %: three times as many rows."""
    few = seen_in(lines(tmp_path / "rows.jsonl", [[1.0] * 20, [1.0] * 18 + [0.0] * 2]))
    assert (few.seen, few.wider.discordance) == (20, pytest.approx(wilson(2, 20).high))
    plan = plan_rows(0.05, few)
    (said,) = plan.notes
    more = plan_rows(0.05, assumed(wilson(2, 20).high)).rows
    assert (
        more > 2.5 * plan.rows and said == f"Seen on 20 rows, it may as well be 30.1%; then it takes {more:,} rows."
    )
    (said,) = plan_difference(more, few).notes
    assert said.startswith("Seen on 20 rows, it may as well be 30.1%; then they find 0.0")
    assert assumed(0.1).wider is None and not plan_rows(0.05, assumed(0.1)).notes


def test_the_end_of_the_interval_of_a_deviation_is_one_that_it_seldom_exceeds():
    rng = np.random.default_rng(0)
    ends = [Spread("seen", deviation=stdev(rng.normal(0, 0.2, 15)), seen=15).wider.deviation for _ in range(2_000)]
    assert np.mean(np.array(ends) < 0.2) == pytest.approx(0.025, abs=0.01)


def test_rows_of_a_run_have_a_base_and_a_tuned_side(tmp_path):
    rows = [{"base": {"scores": {"rougeL": 0.1 * n}}, "tuned": {"scores": {"rougeL": 0.2 * n}}} for n in range(5)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert seen_in(path).deviation == pytest.approx(stdev(0.1 * n for n in range(5)))


def test_a_report_tells_the_spread_without_its_rows(tmp_path, make_report, flipped, text_row):
    path = tmp_path / "report.json"
    path.write_text(make_report("sentiment", flipped(40, 6, 2)).model_dump_json(), encoding="utf-8")
    assert seen_in(path).discordance == 8 / 40
    texts = [text_row(f"Ana: {n}?\nLeo: Yes.", ["Leo says yes."], "No.", "Leo says " * (n % 4)) for n in range(12)]
    report = make_report("dialogue", texts)
    path.write_text(report.model_dump_json(), encoding="utf-8")
    changes = [row.tuned.scores["rougeL"] - row.base.scores["rougeL"] for row in texts]
    assert seen_in(path).deviation == pytest.approx(stdev(changes))
    assert metric_named(report.primary.name).kind == "real"


@pytest.mark.parametrize("written", ["", "{}", "[1]", "{", '{"comparisons": [{"metrics": 3}]}', "null"])
@pytest.mark.parametrize("name", ["verdict.json", "rows.jsonl"])
def test_what_is_no_verdict_is_refused(tmp_path, name, written):
    path = tmp_path / name
    path.write_text(written, encoding="utf-8")
    with pytest.raises(DataError, match="is no verdict"):
        seen_in(path)


def test_a_file_that_is_not_there_and_rows_that_do_not_differ_are_said(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        seen_in(tmp_path / "verdict.json")
    with pytest.raises(DataError, match="does not tell"):
        seen_in(lines(tmp_path / "rows.jsonl", [[1.0, 0.0], [1.0, 0.0]]))

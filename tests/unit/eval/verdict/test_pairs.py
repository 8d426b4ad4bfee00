"""All pairs with Holm's correction; the leaderboard that comes of it is in `test_compare.py`."""

import numpy as np

from eval.lab.judging import holm
from eval.metrics import metric_named
from eval.statistics import judge_labels
from eval.verdict.pairs import judge_pairs

ACCURACY = metric_named("accuracy")


def test_all_pairs_are_judged_once_and_corrected_together():
    rng = np.random.default_rng(0)
    shares = {"a": 0.5, "b": 0.55, "c": 0.8}
    scores = {key: (rng.random(200) < share).astype(float) for key, share in shares.items()}
    found, test = judge_pairs(scores, ACCURACY)
    assert [(each.one, each.other) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    alone = [judge_labels(scores[each.one], scores[each.other]) for each in found]
    assert [each.p_value for each in found] == [one.p_value for one in alone]
    assert [each.corrected for each in found] == holm([one.p_value for one in alone])
    assert [each.outcome for each in found] == ["no evidence", "better", "better"]
    assert test == "exact McNemar test"

"""Reward models are judged by pairs: the better answer, how sure, and what length has to do with it."""

import math
import random
from statistics import fmean

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from data.problems import ProblemsError
from data.tasks import DIALOGUE
from eval.compare import compare
from eval.floors.pairs import difference_margins, pair_margins
from eval.gate import frozen_rows
from eval.length_bias import correlation, length_bias
from eval.metrics.pair_accuracy import METRIC, takes_the_better
from eval.report.folder import load, save
from eval.report.headline import BASE_OF_REWARDS, explanation, headline
from eval.report.markdown import to_markdown
from eval.report.rewards_text import length_sentence, margin_sentence, taken
from eval.reward import log_probabilities, rewards_of
from models.reward import score_answers
from plumbing.errors import DataError

PAIRS = [
    ("Ana: My laptop is broken.\nLeo: I can look at it on Friday.", "Leo helps Ana on Friday.", "They talk."),
    ("Tom: Soup?\nAna: Yes.", "Ana wants soup.", "Tom and Ana have a long talk about soup and more."),
    ("Leo: Is the shop open?\nAna: Until six.", "The shop is open until six.", "The shop is shut."),
    ("Ana: I am late.\nTom: Again?", "Ana is late.", "Tom is very late again."),
    ("Leo: Tea?\nAna: No.", "Ana wants no tea.", "Ana wants tea."),
]


def as_rows(pairs):
    return Dataset.from_list([dict(zip(("dialogue", "summary", "rejected"), pair, strict=True)) for pair in pairs])


TEST, TRAIN = as_rows(PAIRS), as_rows([(f"Ana: {n}.", f"Ana says {n}.", f"Nothing about {n}.") for n in range(12)])


@pytest.fixture(scope="module")
def found(tiny_reward_pair):
    seen = []
    result = compare(
        tiny_reward_pair,
        TEST,
        train=TRAIN,
        few_shot=2,
        forgetting=True,
        data_spec="file:pairs.jsonl",
        on_progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert seen[-1] == ("How probable the base finds them", 10, 10)
    return result


def test_the_tuned_side_takes_the_answer_with_the_higher_reward(found, tiny_reward_pair):
    texts = [text for place in (1, 2) for text in (pair[place] for pair in PAIRS)]
    rewards = score_answers(tiny_reward_pair, [pair[0] for pair in PAIRS] * 2, texts)
    for row, better, worse in zip(found.rows, rewards[:5], rewards[5:], strict=True):
        assert row.tuned.rewards == pytest.approx((better, worse), abs=1e-5)
        assert row.tuned.answer == (row.references[0] if better > worse else row.rejected)
        assert row.tuned.scores == {"pair_accuracy": float(better > worse)}
    assert found.report.primary.tuned == fmean(row.tuned.scores["pair_accuracy"] for row in found.rows)


def test_the_base_takes_the_answer_that_the_language_model_finds_more_probable(found, tiny_reward_pair):
    model = AutoModelForCausalLM.from_pretrained(tiny_reward_pair.base.path, dtype=torch.float32)
    prompter = tiny_reward_pair.prompter
    for row in found.rows:
        for answer, value in zip((row.references[0], row.rejected), row.base.rewards, strict=True):
            example = prompter.encode_row({"dialogue": row.input, "summary": answer})
            ids = torch.tensor([example.input_ids])
            with torch.inference_mode():
                logits = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            start = example.completion_start
            each = logits[start - 1 :].gather(1, ids[0, start:, None])[:, 0]
            assert value == pytest.approx(each.mean().item(), abs=1e-4)
    assert log_probabilities(tiny_reward_pair, [], []) == []


def test_the_report_holds_what_a_reward_model_has_and_nothing_else(found):
    report = found.report
    assert [metric.name for metric in report.metrics] == ["pair_accuracy"] and report.kind == "reward"
    assert report.verdict.test == "exact McNemar test" and report.primary.tuned_interval is not None
    assert (report.few_shot, report.forgetting, report.writing, report.confusion) == (None,) * 4
    assert (report.n, report.train_rows, report.asked.noun) == (5, 12, ("pair", "pairs"))
    assert [floor.name for floor in report.floors[:2]] == ["longer answer", "shorter answer"]
    assert report.floors[0].scores == {"pair_accuracy": pytest.approx(3 / 5)}
    assert report.floors[1].scores == {"pair_accuracy": pytest.approx(2 / 5)}
    assert all(floor.judgement.n == 5 for floor in report.floors)
    assert "on 5 pairs pair accuracy" in headline(report) and BASE_OF_REWARDS in explanation(report)
    bias = report.rewards.length
    assert (bias.longer.n, bias.shorter.n, bias.same) == (3, 2, 0)


def test_a_report_survives_its_files_and_gives_its_rows_back(found, tmp_path):
    save(found.report, found.rows, tmp_path)
    report, rows = load(tmp_path)
    assert report == found.report and list(rows) == found.rows
    _, _, test = frozen_rows(tmp_path, DIALOGUE)
    assert test[:] == TEST[:]
    written = to_markdown(found.report, found.rows)
    for said in ("## How the rewards behave", margin_sentence(report.rewards), length_sentence(report.rewards)):
        assert said in written
    assert "the answer with the higher reward; of the base, with the higher log-probability a token" in written
    assert "| pair accuracy where the better answer is the longer one | 3 |" in written


def test_what_lacks_a_column_or_is_too_long_is_refused(tiny_reward_pair):
    with pytest.raises(DataError, match=r"lacks the column 'rejected'.*which holds the worse answer"):
        compare(tiny_reward_pair, TEST.remove_columns("rejected"))
    with pytest.raises(DataError, match="The training set lacks the column 'summary'"):
        compare(tiny_reward_pair, TEST, train=TRAIN.remove_columns("summary"))
    with pytest.raises(DataError, match="The test set is empty"):
        compare(tiny_reward_pair, TEST.select([]))
    with pytest.raises(ProblemsError, match="tokens with the longer answer"):
        compare(tiny_reward_pair, as_rows([("Ana: Hi.", "Hi.", "x " * 1200)]))


# ---- numbers alone ----------------------------------------------------------------------------------------------


def test_who_takes_neither_answer_is_wrong():
    assert takes_the_better("a", ["a"]) == 1.0
    assert takes_the_better("b", ["a"]) == takes_the_better("", ["a"]) == 0.0
    assert METRIC.kind == "binary" and METRIC.higher_is_better


def made_row(found, better, worse, base=(0.0, -1.0), answers=("good one", "bad")):
    row = found.rows[0]
    sides = {
        side: getattr(row, side).model_copy(update={"rewards": rewards})
        for side, rewards in (("base", base), ("tuned", (better, worse)))
    }
    return row.model_copy(update={"references": [answers[0]], "rejected": answers[1], **sides})


def test_calibration_is_of_the_sigmoid_of_the_margin(found):
    margins = [2.0, 2.0, 2.0, -2.0, 0.5]
    rewards = rewards_of([made_row(found, margin, 0.0) for margin in margins])
    sure, less = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-0.5))
    by_bin = {round(part.mean_confidence, 3): (part.n, part.accuracy) for part in rewards.calibration.bins}
    assert by_bin == {round(sure, 3): (4, 0.75), round(less, 3): (1, 1.0)}
    brier = (3 * (1 - sure) ** 2 + sure**2 + (1 - less) ** 2) / 5
    assert rewards.calibration.brier_score == pytest.approx(brier)
    error = (4 * abs(sure - 0.75) + (1 - less)) / 5
    assert rewards.calibration.expected_calibration_error == pytest.approx(error)
    assert (rewards.margin, rewards.mean) == (pytest.approx(0.9), pytest.approx(0.45))
    tied = rewards_of([made_row(found, 1.0, 1.0)])
    assert tied.calibration.brier_score == 0.25 and tied.calibration.bins[0].accuracy == 0.0
    assert rewards_of([made_row(found, 900.0, -900.0)]).calibration.brier_score == 0.0
    assert taken(made_row(found, 1.5, -0.25), "tuned") == "the better (1.50 against -0.25)"
    assert taken(made_row(found, 1.0, 1.0), "tuned") == "neither (1.00 against 1.00)"


def test_accuracy_is_told_by_what_is_wrong_with_the_worse_answer(found):
    kinds = rewards_of(found.rows, ["vague", "too long", "vague", None, "vague"]).kinds
    assert [(kind.why, kind.pairs) for kind in kinds] == [("vague", 3), ("too long", 1)]
    right = [found.rows[place].tuned.scores["pair_accuracy"] for place in (0, 2, 4)]
    assert kinds[0].tuned == pytest.approx(fmean(right))
    assert found.report.rewards.kinds == []


def test_length_bias_is_seen_where_there_is_one():
    draw = random.Random(0)
    lengths = [draw.choice((-1, 1)) * draw.randint(5, 60) for _ in range(120)]
    by_length = [length + draw.gauss(0, 5) for length in lengths]  # a model that only counts
    fair = [1 + draw.gauss(0, 0.5) for _ in lengths]
    bias = length_bias(lengths, fair, by_length)
    assert bias.tuned.value > 0.95 and bias.tuned.interval.low > 0.9
    assert abs(bias.base.value) < 0.2 and bias.base.interval.low < 0 < bias.base.interval.high
    assert (bias.longer.tuned, bias.shorter.tuned) == (pytest.approx(1.0, abs=0.1), pytest.approx(0.0, abs=0.1))
    assert bias.longer.base == pytest.approx(bias.shorter.base, abs=0.1)
    assert bias.longer.n + bias.shorter.n == 120 and bias.same == 0
    assert bias.longer.tuned_interval.low <= bias.longer.tuned <= bias.longer.tuned_interval.high


def test_the_correlation_is_that_of_answers_less_the_mean_of_their_pair():
    import numpy as np

    values, lengths = [0.4, -1.0, 2.0, 0.3, 0.9, -0.2, 1.1, 0.8], [3, -5, 9, 2, -1, 4, 6, 1]
    both = [[one / 2, -one / 2] for one in values], [[one / 2, -one / 2] for one in lengths]
    expected = np.corrcoef(np.ravel(both[0]), np.ravel(both[1]))[0, 1]
    found = correlation(values, lengths)
    assert found.value == pytest.approx(expected) and found.interval.low < found.value < found.interval.high
    assert correlation(values, lengths) == found  # drawn alike each time
    assert correlation(values[:3], lengths[:3]).interval is None
    assert correlation([0.0] * 9, [*lengths[:8], 1]).value is None
    assert correlation([1.0, 2.0], [0, 0]).value is None
    labels = length_bias([4, 4, -4, 4], [1.0] * 4, [1.0] * 4).labels
    assert labels.value == pytest.approx(0.5)


def test_no_pair_of_a_kind_has_no_accuracy():
    bias = length_bias([0, 3], [1.0, 1.0], [1.0, -1.0])
    assert bias.same == 1 and bias.shorter.n == 0 and bias.shorter.tuned is None
    assert (bias.longer.base, bias.longer.tuned) == (1.0, 0.0)


def test_the_floors_read_no_question():
    pairs = [("a longer answer", "short"), ("no", "a longer one"), ("same", "mesa")]
    found = pair_margins(pairs, [])
    assert found == {"longer answer": [10.0, -10.0, 0.0], "shorter answer": [-10.0, 10.0, -0.0]}
    train = [(f"the {word} is open", f"the {word} is nice") for word in ("shop", "pool", "desk", "road")]
    learned = difference_margins([("it is open", "it is nice"), ("nice day", "open day"), ("x", "y")], train)
    assert learned[0] > 0.5 and learned[1] < -0.5 and learned[2] == 0.0
    turned = difference_margins([("it is nice", "it is open")], train)
    assert turned[0] == pytest.approx(-learned[0], rel=1e-3)  # which one stands first says nothing
    assert difference_margins([("a", "b")], [("", "!")]) == [0.0]

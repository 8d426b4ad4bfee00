"""Pairs and thumbs: what both sides prefer is what a plain forward says, and areas and intervals are right."""

import dataclasses
import itertools
import random

import pytest
import torch
from datasets import Dataset

from data.tasks import DIALOGUE
from data.tasks.own import USUAL
from data.tasks.task import LIKED, REJECTED
from eval.areas import area, area_intervals
from eval.compare import compare
from eval.preferences import good_answers, judge_pairs, judge_thumbs
from eval.report.markdown import to_markdown
from eval.report.preferences import Preference, Thumbs
from eval.report.schema import Report
from models import likelihoods
from models.pair import Pair
from models.prompting import Prompter

ROWS = [
    {
        "dialogue": f"Ana: Is the {thing} open?\nLeo: Until {hour}.",
        "summary": f"Leo says until {hour}.",
        REJECTED: f"Ana asks about the {thing}, and that is all there is.",
    }
    for thing, hour in itertools.product(("shop", "desk", "bank"), ("two", "six"))
]


@pytest.fixture(params=["adapter", "whole"])
def pair(request, tiny_dialogue_pair):
    """Of an adapter, or of two whole models."""
    if request.param == "adapter":
        return tiny_dialogue_pair
    whole = request.getfixturevalue("tiny_whole_pair")
    return dataclasses.replace(whole, task=DIALOGUE, prompter=Prompter(whole.tokenizer, DIALOGUE))


def plainly(pair, row, answer, *, tuned):
    """Log-probabilities of all tokens at each place of an answer, and the answer's own tokens."""
    ((prompt, completion),) = pair.prompter.encode_answers([pair.task.input_of(row)], [answer])
    ids = torch.tensor([prompt + completion])
    with torch.no_grad(), pair.side(tuned) as model:
        found = model(input_ids=ids).logits[0].double().log_softmax(-1)
    return found[len(prompt) - 1 : -1], completion


def summed(pair, row, answer, *, tuned):
    found, completion = plainly(pair, row, answer, tuned=tuned)
    return float(found[range(len(completion)), completion].sum()), len(completion)


@pytest.mark.parametrize("by", ["hand", "modules"])
@pytest.mark.parametrize("few", [False, True])
def test_pairs_are_judged_by_a_plain_forwards_log_probabilities(pair, by, few, monkeypatch):
    if by == "modules":
        monkeypatch.setattr(Pair, "layers_of", lambda *_: None)
    if few:
        monkeypatch.setattr(likelihoods, "_PREDICTIONS", 1)  # a row at a time
    told = []
    found = judge_pairs(pair, Dataset.from_list(ROWS), lambda *done: told.append(done))
    means, gains, apart, tokens, longer = {False: 0, True: 0}, [], 0.0, 0, 0
    for row in ROWS:
        sides = {
            (tuned, which): summed(pair, row, row[which], tuned=tuned)
            for tuned in (False, True)
            for which in ("summary", REJECTED)
        }
        for tuned in (False, True):
            good, bad = sides[tuned, "summary"], sides[tuned, REJECTED]
            means[tuned] += good[0] / good[1] > bad[0] / bad[1]
        gains.append([sides[True, which][0] - sides[False, which][0] for which in ("summary", REJECTED)])
        longer += sides[True, "summary"][1] > sides[True, REJECTED][1]
        (base, completion), (tuned, _) = (plainly(pair, row, row["summary"], tuned=side) for side in (False, True))
        apart += float((tuned.exp() * (tuned - base)).sum())
        tokens += len(completion)
    n = len(ROWS)
    assert (found.pairs, found.base, found.tuned) == (n, means[False] / n, means[True] / n)
    assert found.rewarded == sum(good > bad for good, bad in gains) / n
    assert found.margin == pytest.approx(sum(good - bad for good, bad in gains) / n, abs=1e-3)
    assert found.better_gained == pytest.approx(sum(good for good, _ in gains) / n, abs=1e-3)
    assert found.divergence.tokens == tokens
    assert found.divergence.nats == pytest.approx(apart / tokens, rel=1e-4) and found.divergence.nats > 0.01
    assert found.longer == longer / n and found.judgement.n == n
    assert told[-1] == (2 * n, 2 * n)


def test_an_adapter_that_is_off_is_nowhere_else(tiny_dialogue_pair):
    """The divergence of a side from itself is 0: nothing of one side leaks into the other."""
    both = dataclasses.replace(tiny_dialogue_pair)
    with tiny_dialogue_pair.model.disable_adapter():
        found = judge_pairs(both, Dataset.from_list(ROWS))
    assert found.divergence.nats == pytest.approx(0.0, abs=1e-9) and found.margin == pytest.approx(0.0, abs=1e-6)


THUMBS = [
    {"dialogue": row["dialogue"], "summary": row[which], LIKED: which == "summary"}
    for row in ROWS
    for which in ("summary", REJECTED)
]


def test_thumbs_are_judged_by_areas_over_all_of_them(tiny_dialogue_pair):
    pair = tiny_dialogue_pair
    found = judge_thumbs(pair, Dataset.from_list(THUMBS))
    assert (found.liked, found.disliked, found.left_out) == (6, 6, 0)
    scores = {LIKED: [], False: []}
    for row in THUMBS:
        base, count = summed(pair, row, row["summary"], tuned=False)
        tuned, _ = summed(pair, row, row["summary"], tuned=True)
        scores[LIKED if row[LIKED] else False].append((base / count, tuned / count, tuned - base))
    for place, name in enumerate(("base", "tuned", "rewarded")):
        wins = [good[place] > bad[place] for good in scores[LIKED] for bad in scores[False]]
        assert getattr(found.areas, name) == pytest.approx(sum(wins) / len(wins))
    assert found.liked_gained == pytest.approx(sum(one[2] for one in scores[LIKED]) / 6, abs=1e-3)
    assert found.divergence.nats == pytest.approx(
        judge_pairs(pair, Dataset.from_list(ROWS)).divergence.nats, rel=1e-5
    )
    up = judge_thumbs(pair, Dataset.from_list([row for row in THUMBS if row[LIKED]]))
    assert up.areas is None and up.disliked_gained is None and up.divergence is not None


def test_what_is_no_pair_is_not_judged(tiny_dialogue_pair, tiny_classifier_pair, tiny_pair):
    plain = Dataset.from_list([{"dialogue": "Ana: Hi.", "summary": "Hi."}])
    for judge in (judge_pairs, judge_thumbs):
        assert judge(tiny_dialogue_pair, plain) is None
    labels = Dataset.from_list([{"text": "Good.", "label": "positive", REJECTED: "negative", LIKED: True}])
    for other in (tiny_classifier_pair, tiny_pair):
        assert judge_pairs(other, labels) is None and judge_thumbs(other, labels) is None


def test_pairs_that_are_too_long_for_the_model_are_left_out_and_counted(tiny_dialogue_pair):
    long = ROWS[0] | {REJECTED: "and so on " * 400}
    found = judge_pairs(tiny_dialogue_pair, Dataset.from_list([*ROWS, long]))
    assert (found.pairs, found.left_out) == (len(ROWS), 1)
    assert judge_pairs(tiny_dialogue_pair, Dataset.from_list([long])) is None


# ---- in a comparison -----------------------------------------------------------------------------------------


def test_a_report_has_pairs_beside_what_was_written(tiny_dialogue_pair):
    rows = [row | {"why": "wrong fact" if place % 3 == 0 else "vague"} for place, row in enumerate(ROWS)]
    result = compare(tiny_dialogue_pair, Dataset.from_list(rows), max_new_tokens=4)
    report = Report.model_validate_json(result.report.model_dump_json())
    assert [(kind.why, kind.pairs) for kind in report.preference.kinds] == [("vague", 4), ("wrong fact", 2)]
    assert sum(kind.pairs * kind.tuned for kind in report.preference.kinds) == pytest.approx(
        report.preference.tuned * len(ROWS)
    )
    assert report.primary.name == "rougeL" and report.n == len(ROWS) == len(result.rows)
    assert report.preference.pairs == len(ROWS) and report.thumbs is None
    written = to_markdown(report, result.rows)
    assert "## Which answer is preferred" in written and "nats a token away from the base" in written
    assert "| what the tuned model finds more probable |" in written and "| wrong fact | 2 |" in written
    before = report.model_dump(exclude={"preference", "thumbs"})
    assert Report.model_validate(before).preference is None  # reports of before are read still


def test_of_thumbs_the_liked_answers_are_what_is_written_is_compared_with(tiny_dialogue_pair):
    rows = [*THUMBS, THUMBS[0] | {"summary": "Until two."}]
    result = compare(tiny_dialogue_pair, Dataset.from_list(rows), train=Dataset.from_list(rows), max_new_tokens=4)
    assert result.report.n == len(ROWS) == result.report.train_rows
    assert result.rows[0].references == ["Leo says until two.", "Until two."]
    assert result.report.thumbs.liked == 7 and result.report.preference is None
    assert "## Liked and disliked answers" in to_markdown(result.report, result.rows)
    rows = [{"dialogue": "Ana: Hi.", "summary": "No.", LIKED: False}]
    assert len(good_answers(Dataset.from_list(rows), DIALOGUE)) == 0
    assert good_answers(Dataset.from_list(ROWS), DIALOGUE).column_names == list(ROWS[0])


def test_of_a_chat_the_last_answer_is_what_is_preferred(tiny_pair):
    chat = dataclasses.replace(USUAL["chat"], instruction="Be brief.")
    pair = dataclasses.replace(tiny_pair, task=chat, prompter=Prompter(tiny_pair.tokenizer, chat))
    said = [("user", "Is it open?"), ("assistant", "Which day?"), ("user", "Friday.")]
    messages = [{"role": role, "content": text, "weight": 1} for role, text in said]
    row = {"messages": messages, "answer": "Until six.", REJECTED: "No idea, ask Leo."}
    found = judge_pairs(pair, Dataset.from_list([row]))
    base = [summed(pair, row, row[which], tuned=False) for which in ("answer", REJECTED)]
    assert found.base == float(base[0][0] / base[0][1] > base[1][0] / base[1][1])
    assert found.divergence.tokens == base[0][1]  # nothing of the turns before


# ---- areas ---------------------------------------------------------------------------------------------------


def test_an_area_is_the_share_of_pairs_in_order_and_ties_are_half_of_one():
    chance = random.Random(0)
    for _ in range(20):
        scores = [chance.choice([0.1, 0.2, 0.3, 0.4]) for _ in range(12)]
        good = [chance.random() < 0.5 for _ in scores]
        if len(set(good)) < 2:
            continue
        wins = [
            (one > other) + (one == other) / 2
            for one, is_good in zip(scores, good, strict=True)
            if is_good
            for other, other_good in zip(scores, good, strict=True)
            if not other_good
        ]
        assert area(scores, good) == pytest.approx(sum(wins) / len(wins))
    with pytest.raises(ValueError, match="good answers and bad ones"):
        area([1.0, 2.0], [True, True])


def test_the_interval_of_an_area_draws_prompts_and_covers_the_truth():
    """With 40 prompts of a good and a bad answer each, whose scores have much of the prompt in them."""
    covered, truth = 0, 0.7602  # of two normal scores a standard deviation apart, after noise of the same size
    for seed in range(60):
        chance = random.Random(seed)
        scores, good, groups = [], [], []
        for prompt in range(40):
            own = chance.gauss(0, 0.01)
            for is_good in (True, False):
                scores.append(own + chance.gauss(is_good, 1))
                good.append(is_good)
                groups.append(prompt)
        found = area_intervals({"base": scores, "tuned": [2 * score for score in scores]}, good, groups, draws=300)
        assert found["base"] == found["tuned"] and found["difference"].low == found["difference"].high == 0
        covered += found["base"].low <= truth <= found["base"].high
    assert covered >= 52  # 57 on average, and 52 or less in 1 of 60
    again = area_intervals({"base": scores}, good, groups, draws=300)
    assert again["base"] == found["base"]


def test_sentences_say_what_was_measured(make_report, text_row):
    row = text_row("Ana: Hi.", ["Ana says hi."], "Ana says.", "Ana says hi.")
    interval = {"low": 0.4, "high": 0.7}
    judged = {"n": 40, "difference": 0.1, "interval": {"low": -0.1, "high": 0.2}, "p_value": 0.3,
              "test": "exact McNemar test", "alpha": 0.05, "outcome": "no evidence", "detectable": 0.2}  # fmt: skip
    preference = Preference.model_validate(
        {
            "pairs": 40,
            "left_out": 2,
            "base": 0.5,
            "tuned": 0.6,
            "base_interval": interval,
            "tuned_interval": interval,
            "judgement": judged,
            "rewarded": 0.8,
            "rewarded_interval": interval,
            "margin": 1.25,
            "margin_interval": interval,
            "better_gained": -0.5,
            "worse_gained": -1.75,
            "longer": 0.65,
            "divergence": {"nats": 0.0314, "tokens": 1234},
        }
    )
    written = to_markdown(make_report("dialogue", [row], preference=preference), [row])
    assert "prefers the better answer in 50%, the tuned model in 60%: no evidence of a difference" in written
    assert (
        "to the tuned model the better answer gained more than the worse in 80% of them (40% to 70%), by +1.25"
        in written
    )
    assert "the better ones -0.50, the worse -1.75" in written and "2 more are too long" in written
    assert "longer answer would be right in 65%" in written and "0.031 nats a token" in written
    thumbs = Thumbs(liked=3, disliked=0)
    assert "3 held-out answers have a thumb up, 0 one down." in to_markdown(
        make_report("dialogue", [row], thumbs=thumbs), [row]
    )

"""Examples are drawn fairly and several times; the base answers with them as in a plain call of its own."""

import pytest
import torch
from datasets import Dataset

from data.sources import open_source
from data.tasks import DIALOGUE, SENTIMENT
from eval.compare import compare
from eval.floors import few_shot as module
from eval.floors.few_shot import choose, draw, measure_few_shot
from eval.metrics import METRICS
from eval.metrics.rouge import rouge_scores
from eval.report.markdown import to_markdown
from eval.report.rows_text import about_the_rows
from eval.scores import judge, measure
from eval.statistics import judge_scores

REVIEWS = [(f"{'word ' * length}{length}", SENTIMENT.labels[length % 2]) for length in range(40)]
DIALOGUES = [(f"Ana: {'so ' * length}?\nLeo: Yes.", f"Ana asks {length}.") for length in range(20)]


@pytest.mark.parametrize("seed", range(6))
def test_every_label_stands_there_as_often_as_any_other_or_once_more(seed):
    for count in (1, 2, 5, 8):
        labels = [label for _, label in choose(REVIEWS, count, SENTIMENT, seed=seed)]
        assert len(labels) == count
        assert abs(labels.count("negative") - labels.count("positive")) == count % 2


def test_the_order_of_labels_and_the_one_more_are_drawn_too():
    drawn = [[label for _, label in choose(REVIEWS, 3, SENTIMENT, seed=seed)] for seed in range(40)]
    assert len({tuple(labels) for labels in drawn}) == 6
    assert {labels.count("positive") for labels in drawn} == {1, 2}


@pytest.mark.parametrize(("train", "task"), [(REVIEWS, SENTIMENT), (DIALOGUES, DIALOGUE)])
def test_examples_are_seeded_come_once_each_and_from_all_rows(train, task):
    chosen = choose(train, 6, task)
    assert chosen == choose(train, 6, task)
    assert len(set(chosen)) == 6 and set(chosen) <= set(train)
    assert choose(train[::-1], 6, task) != chosen  # drawn, not sorted
    draws = [choose(train, 6, task, seed=seed) for seed in range(60)]
    assert len({tuple(one) for one in draws}) == 60
    assert {example for one in draws for example in one} == set(train)  # the longer half, too


def test_the_rows_given_are_left_as_they_are():
    rows = list(REVIEWS)
    choose(rows, 6, SENTIMENT)
    assert rows == REVIEWS


def test_where_fewer_are_there_fewer_are_taken():
    assert sorted(choose(DIALOGUES[:4], 9, DIALOGUE)) == sorted(DIALOGUES[:4])
    uneven = [(f"Good {number}.", "positive") for number in range(8)] + [("Bad 1.", "negative")]
    for seed in range(8):
        labels = [label for _, label in choose(uneven, 6, SENTIMENT, seed=seed)]
        assert labels.count("negative") == 1 and labels.count("positive") in (1, 2)
    alone = [("Good.", "positive"), ("Fine.", "positive")]
    assert sorted(choose(alone, 4, SENTIMENT)) == sorted(alone)
    assert choose([("Good.", "positive")], 4, SENTIMENT) == [("Good.", "positive")]


def test_a_row_that_does_not_fit_gives_way_to_the_next_that_is_drawn():
    short = [row for row in REVIEWS if len(row[0]) < 60]
    chosen = choose(REVIEWS, 6, SENTIMENT, fits=lambda example: len(example[0]) < 60)
    assert len(chosen) == 6 and set(chosen) <= set(short)
    assert choose(REVIEWS, 6, SENTIMENT, fits=lambda example: False) == []


# With a model


def messages(pair, text, examples):
    """The few-shot conversation, written out."""
    said = [{"role": "system", "content": pair.contract.instruction}]
    for given, target in examples:
        said += [{"role": "user", "content": given}, {"role": "assistant", "content": target}]
    return [*said, {"role": "user", "content": text}]


def encoded(pair, text, examples):
    prompt = pair.tokenizer.apply_chat_template(
        messages(pair, text, examples), add_generation_prompt=True, tokenize=False
    )
    return pair.tokenizer(prompt, add_special_tokens=False)["input_ids"]


def label_plainly(pair, text, examples):
    """The label whose token is the most probable after the whole prompt, by the base."""
    ids = torch.tensor([encoded(pair, text, examples)], device=pair.model.device)
    with torch.no_grad(), pair.model.disable_adapter():
        logits = pair.model(input_ids=ids).logits[0, -1]
    (negative,), (positive,) = (pair.tokenizer.encode(label) for label in SENTIMENT.labels)
    return "negative" if logits[negative] > logits[positive] else "positive"


def text_plainly(pair, text, examples, length):
    """The greedy answer of the base alone."""
    prompt = torch.tensor([encoded(pair, text, examples)], device=pair.model.device)
    with torch.no_grad(), pair.model.disable_adapter():
        tokens = pair.model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=length, do_sample=False
        )
    return pair.tokenizer.decode(tokens[0, prompt.shape[1] :], skip_special_tokens=True).rstrip("\ufffd")


@pytest.fixture
def answers(monkeypatch):
    """The answers that were measured, in the order of the rows."""
    seen = []

    def seeing(given, references, task):
        seen.extend(given)
        return measure(given, references, task)

    monkeypatch.setattr(module, "measure", seeing)
    return seen


@pytest.mark.cuda
def test_labels_are_those_of_a_plain_forward_of_the_base(tiny_pair, answers):
    test = open_source("corpus:reviews", SENTIMENT).splits["test"].select(range(20))
    rows = compare(tiny_pair, test).rows
    examples = [("Cold soup, broken phone.", "negative"), ("I would see it again.", "positive")]
    seen = []
    found = measure_few_shot(
        tiny_pair, rows, [examples], max_new_tokens=4, on_progress=lambda done, total: seen.append((done, total))
    )
    expected = [label_plainly(tiny_pair, row.input, examples) for row in rows]
    assert answers == expected
    assert expected != [row.base.answer for row in rows]  # the examples matter
    assert found.examples == 2
    assert found.scores == measure(expected, [row.references for row in rows], SENTIMENT)
    right = [float(answer == row.references[0]) for answer, row in zip(expected, rows, strict=True)]
    assert found.judgement == judge(right, [row.tuned.scores["accuracy"] for row in rows], METRICS["accuracy"])
    assert found.judgement.difference == pytest.approx(
        sum(row.tuned.scores["accuracy"] for row in rows) / 20 - found.scores["accuracy"]
    )
    assert seen[-1] == (20, 20)


@pytest.mark.cuda
def test_several_draws_are_judged_by_the_mean_of_each_rows_score(tiny_pair, answers):
    test = open_source("corpus:reviews", SENTIMENT).splits["test"].select(range(40))
    rows = compare(tiny_pair, test).rows
    draws = draw(tiny_pair, [row.input for row in rows], REVIEWS, 4, 3, 4)
    assert len({tuple(examples) for examples in draws}) == 3
    seen = []
    found = measure_few_shot(
        tiny_pair, rows, draws, max_new_tokens=4, on_progress=lambda done, total: seen.append((done, total))
    )
    each = [
        [float(label == row.references[0]) for row, label in zip(rows, answers[at : at + 40], strict=True)]
        for at in (0, 40, 80)
    ]
    assert len({tuple(values) for values in each}) > 1  # the draws answer differently
    assert [one["accuracy"] for one in found.draws] == [pytest.approx(sum(values) / 40) for values in each]
    assert found.scores["accuracy"] == pytest.approx(sum(map(sum, each)) / 120)
    low, high = found.spread("accuracy")
    assert (low, high) == (min(map(sum, each)) / 40, max(map(sum, each)) / 40) and low < high
    tuned = [row.tuned.scores["accuracy"] for row in rows]
    assert found.judgement == judge_scores([sum(values) / 3 for values in zip(*each, strict=True)], tuned)
    assert seen == sorted(seen) and seen[-1] == (120, 120)


def test_examples_are_so_short_that_the_longest_row_fits_behind_them(tiny_pair):
    room = tiny_pair.model.config.max_position_embeddings
    inputs = ["Good. " * 20, "Bad."]
    train = [(f"{'word ' * length}{length}", SENTIMENT.labels[length % 2]) for length in range(0, 400, 5)]
    drawn = draw(tiny_pair, inputs, train, 4, 12, 64)
    assert len(drawn) == 12
    lengths = [len(encoded(tiny_pair, inputs[0], examples)) + 64 for examples in drawn]
    assert max(lengths) <= room
    assert len(encoded(tiny_pair, inputs[0], train[-4:])) > room  # without a bound they would not
    assert draw(tiny_pair, ["word " * 400], train, 4, 3, 64) == []


def counted(pair, monkeypatch):
    """Every text whose tokens are counted from now on."""
    asked, encode = [], pair.prompter.encode_prompt

    def counting(text, *others):
        asked.append(text)
        return encode(text, *others)

    monkeypatch.setattr(pair.prompter, "encode_prompt", counting)
    return asked


def test_where_nothing_fits_no_training_row_is_looked_at_and_elsewhere_each_once_at_most(tiny_pair, monkeypatch):
    monkeypatch.setattr(module, "MOST_TRIED", 30)
    asked = counted(tiny_pair, monkeypatch)
    too_long = "word " * 400
    assert draw(tiny_pair, [too_long], REVIEWS, 4, 3, 64) == [] and asked == [too_long]
    asked.clear()
    long = [(f"{number} {too_long}", SENTIMENT.labels[number % 2]) for number in range(200)]
    assert draw(tiny_pair, ["Good."], long, 4, 3, 64) == []
    assert len(asked) == 31 and len(set(asked)) == 31
    asked.clear()
    assert len(draw(tiny_pair, ["Good."], REVIEWS[:10], 4, 6, 4)) == 6
    assert len(asked) == len(set(asked)) <= 11


def test_examples_that_were_asked_for_and_did_not_fit_are_not_missing_without_a_word(tiny_pair):
    test = Dataset.from_dict({"text": ["word " * 150, "Bad."], "label": ["positive", "negative"]})
    train = Dataset.from_dict({"text": ["Good. " * 60, "Bad. " * 60], "label": ["positive", "negative"]})
    report = compare(tiny_pair, test, train=train, few_shot=4).report
    assert report.few_shot is None
    said = report.few_shot_left_out
    assert said.startswith("The base was not shown 4 examples in its prompt: with the longest test row")
    assert said in about_the_rows(report) and said in to_markdown(report, [])
    assert compare(tiny_pair, test, train=train).report.few_shot_left_out == ""


@pytest.mark.cuda
def test_texts_are_those_of_a_plain_call_of_the_base(tiny_dialogue_pair, answers):
    pair = tiny_dialogue_pair
    test = open_source("corpus:dialogues", DIALOGUE).splits["test"].select(range(4))
    rows = compare(pair, test, max_new_tokens=8).rows
    examples = [("Ana: Soup?\nLeo: Yes.", "Leo wants soup."), ("Tom: Hi.\nAna: No.", "They talk.")]
    found = measure_few_shot(pair, rows, [examples], max_new_tokens=8)
    expected = [text_plainly(pair, row.input, examples, 8) for row in rows]
    assert answers == expected
    assert expected != [row.base.answer for row in rows]
    assert found.scores == measure(expected, [row.references for row in rows], DIALOGUE)
    each = [rouge_scores(answer, row.references)["rougeL"] for answer, row in zip(expected, rows, strict=True)]
    assert found.judgement == judge(each, [row.tuned.scores["rougeL"] for row in rows], METRICS["rougeL"])


@pytest.mark.cuda
@pytest.mark.parametrize("count", [1, 3])
def test_prompts_are_counted_with_and_without_the_examples(tiny_pair, count):
    test = open_source("corpus:reviews", SENTIMENT).splits["test"].select(range(count))
    rows = compare(tiny_pair, test).rows
    examples = choose(REVIEWS, 2, SENTIMENT)
    found = measure_few_shot(tiny_pair, rows, [examples], max_new_tokens=4)
    with_them = [len(encoded(tiny_pair, row.input, examples)) for row in rows]
    without = [len(encoded(tiny_pair, row.input, [])) for row in rows]
    assert found.prompt_tokens == pytest.approx(sum(with_them) / count)
    assert found.prompt_tokens_without == pytest.approx(sum(without) / count)
    assert found.prompt_tokens > found.prompt_tokens_without

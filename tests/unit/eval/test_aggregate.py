"""The numbers of a comparison are those of its rows, and do not depend on their order."""

import random
from collections import Counter
from dataclasses import replace
from statistics import fmean

import pytest

from data.tasks import DIALOGUE, SENTIMENT
from eval.aggregate import calibration, confusion, flips, floor_results, metrics, writing
from eval.floors import FLOORS
from eval.floors.labels import majority_class, tfidf_logistic_regression
from eval.floors.turns import lead_two, longest_turn
from eval.metrics import METRICS, Metric, metric_named, suiting
from eval.metrics.accuracy import is_correct
from eval.metrics.macro_f1 import macro_f1
from eval.scores import judge, measure
from eval.statistics import judge_labels, judge_scores, mean_interval, wilson
from eval.text_quality import TextQuality, text_quality

TRAIN = [("warm and kind", "positive"), ("bright, kind", "positive"), ("cold and dull", "negative")]
WORDS = ["Ana", "Leo", "asks", "for", "soup", "laptop", "Friday", "broken", "open", "until", "six"]


@pytest.fixture(scope="module")
def labels(label_row):
    """60 rows of both labels; the tuned side is right more often."""
    generator = random.Random(0)
    rows = []
    for number in range(60):
        right = generator.choice(SENTIMENT.labels)
        base, tuned = generator.random(), generator.betavariate(4, 1)
        rows.append(label_row(f"Number {number}.", right, base, tuned if right == "positive" else 1 - tuned))
    return rows


@pytest.fixture(scope="module")
def texts(text_row):
    """30 rows, some with two references, whose tuned answers share more words with them."""
    generator = random.Random(1)
    rows = []
    for number in range(30):
        references = [" ".join(generator.choices(WORDS, k=6)) for _ in range(1 + number % 2)]
        words = references[0].split()
        tuned = " ".join(words[: generator.randint(2, 6)] + generator.choices(WORDS, k=2))
        dialogue = (
            f"Ana: {' '.join(generator.choices(WORDS, k=5))}?\nLeo: Yes, {number} {words[0]}.\nAna: Fine, thanks."
        )
        rows.append(text_row(dialogue, references, " ".join(generator.choices(WORDS, k=6)), tuned))
    return rows


def shuffled(rows):
    return random.Random(2).sample(rows, len(rows))


def column(rows, side, name):
    return [getattr(row, side).scores[name] for row in rows]


def test_accuracy_is_the_mean_of_the_rows_and_its_verdict_that_of_their_pairs(labels):
    accuracy, f1 = metrics(labels, SENTIMENT)
    base, tuned = column(labels, "base", "accuracy"), column(labels, "tuned", "accuracy")
    assert (accuracy.name, accuracy.primary, f1.name, f1.primary) == ("accuracy", True, "macro_f1", False)
    assert accuracy.base == fmean(base) != accuracy.tuned == fmean(tuned)
    assert accuracy.judgement == judge_labels([one == 1 for one in base], [one == 1 for one in tuned])
    assert accuracy.judgement.outcome == "better"
    assert accuracy.base_interval == wilson(int(sum(base)), 60)
    assert accuracy.tuned_interval == wilson(int(sum(tuned)), 60)


def test_macro_f1_is_of_the_whole_set_and_has_no_test(labels):
    _, f1 = metrics(labels, SENTIMENT)
    right = [row.references[0] for row in labels]
    for side in ("base", "tuned"):
        answers = [getattr(row, side).answer for row in labels]
        assert getattr(f1, side) == macro_f1(answers, [[label] for label in right])
    assert (f1.base_interval, f1.tuned_interval, f1.judgement) == (None, None, None)


def test_rouge_is_the_mean_of_the_rows_and_its_verdict_that_of_their_pairs(texts):
    found = metrics(texts, DIALOGUE)
    others = ["rouge1", "rouge2", "rougeLsum", "chrf", "exact_match", "token_f1"]
    assert [metric.name for metric in found] == ["rougeL", *others]
    assert [metric.primary for metric in found] == [True, *[False] * 6]
    for metric in found:
        base, tuned = column(texts, "base", metric.name), column(texts, "tuned", metric.name)
        assert metric.base == pytest.approx(fmean(base), abs=1e-12)
        assert metric.tuned == pytest.approx(fmean(tuned), abs=1e-12)
        if metric.name == "exact_match":
            assert metric.judgement == judge_labels(base, tuned)
            continue
        assert metric.judgement == judge_scores(base, tuned)
        assert (metric.base_interval, metric.tuned_interval) == (mean_interval(base), mean_interval(tuned))
    assert found[0].judgement.outcome == "better"


def test_a_score_that_only_rows_have_is_a_metric_too(texts):
    def scored(side, value):
        return side.model_copy(update={"scores": side.scores | {"bertscore": value}})

    rows = [
        row.model_copy(update={"base": scored(row.base, number / 100), "tuned": scored(row.tuned, number / 50)})
        for number, row in enumerate(texts)
    ]
    found = metrics(rows, DIALOGUE)
    (one,) = [metric for metric in found if metric.name == "bertscore"]
    assert [metric for metric in found if metric != one] == metrics(texts, DIALOGUE)
    base, tuned = column(rows, "base", "bertscore"), column(rows, "tuned", "bertscore")
    assert (one.base, one.tuned, one.primary) == (pytest.approx(fmean(base)), pytest.approx(fmean(tuned)), False)
    assert one.judgement == judge_scores(base, tuned)


def test_the_verdict_turns_with_the_sides(labels, texts):
    for rows, task in ((labels, SENTIMENT), (texts, DIALOGUE)):
        turned = [row.model_copy(update={"base": row.tuned, "tuned": row.base}) for row in rows]
        forwards, backwards = metrics(rows, task)[0].judgement, metrics(turned, task)[0].judgement
        assert (forwards.outcome, backwards.outcome) == ("better", "worse")
        assert backwards.difference == pytest.approx(-forwards.difference)


def test_the_metric_says_which_test_and_interval_it_has():
    assert judge([0.0, 1.0], [1.0, 1.0], METRICS["accuracy"]).test == "exact McNemar test"
    assert judge([0.0, 1.0], [1.0, 1.0], METRICS["rougeL"]).test == "paired permutation test"
    assert judge([0.0] * 6, [1.0] * 6, METRICS["accuracy"]).outcome == "better"
    assert judge([0.0] * 6, [1.0] * 6, METRICS["accuracy"], alpha=0.01).outcome == "no evidence"
    with pytest.raises(ValueError, match="macro-F1 is of a whole test set"):
        judge([0.0, 1.0], [1.0, 1.0], METRICS["macro_f1"])
    with pytest.raises(ValueError, match="right or wrong"):
        judge([0.0, 0.5], [1.0, 1.0], METRICS["accuracy"])


@pytest.mark.parametrize("kind", ["binary", "real"])
def test_where_lower_is_better_better_means_lower(kind):
    errors = Metric("errors", "errors", kind, higher_is_better=False)
    assert judge([1.0] * 8, [0.0] * 8, errors).outcome == "better"
    assert judge([0.0] * 8, [1.0] * 8, errors).outcome == "worse"
    assert judge([1.0] * 8, [0.0] * 8, errors).difference == -1.0


def test_a_real_score_of_a_classification_is_not_judged_as_right_or_wrong(monkeypatch, label_row):
    """The probability of the right label, say: its mean rises from 0.469 to 0.619, and it is 1 in no row."""
    credit = Metric("credit", "credit", "real")
    monkeypatch.setitem(METRICS, "credit", credit)
    rows = []
    for number in range(30):
        row = label_row(f"Number {number}.", "positive", 0.9, 0.9)
        base, tuned = 0.469 + (number % 5 - 2) / 50, 0.619 + (number % 3 - 1) / 50
        scores = [row.base.scores | {"credit": base}, row.tuned.scores | {"credit": tuned}]
        sides = [row.base.model_copy(update={"scores": s}) for s in scores]
        rows.append(row.model_copy(update={"base": sides[0], "tuned": sides[1]}))
    found, *others = metrics(rows, replace(SENTIMENT, metric="credit"))
    assert [metric.name for metric in others] == ["accuracy", "macro_f1"]
    assert (found.name, found.primary, found.judgement.outcome) == ("credit", True, "better")
    assert found.judgement.test == "paired permutation test"
    assert (found.base, found.tuned) == (pytest.approx(0.469), pytest.approx(0.619))
    assert found.base_interval.low < 0.469 < found.base_interval.high < 0.5


def test_flips_are_counted_by_the_primary_metric(labels, texts):
    for rows, task, name in ((labels, SENTIMENT, "accuracy"), (texts, DIALOGUE, "rougeL")):
        pairs = list(zip(column(rows, "base", name), column(rows, "tuned", name), strict=True))
        found = flips(rows, task)
        least = 0.05 if name == "rougeL" else 1.0
        assert found.gained == sum(after - before > least - 1e-12 for before, after in pairs) > 0
        assert found.lost == sum(before - after > least - 1e-12 for before, after in pairs) > 0
        assert found.gained + found.lost + found.same == len(rows)


def test_a_text_that_scores_almost_the_same_is_no_flip(text_row):
    """Of a hundred texts that are worded a little otherwise, one is much better and one much worse."""
    reference = " ".join(f"w{number}" for number in range(40))
    words = reference.split()

    def row(base, tuned):
        return text_row("Ana: One.", [reference], " ".join(words[:base]), " ".join(words[:tuned]))

    rows = [row(20, 21)] * 60 + [row(21, 20)] * 38 + [row(20, 30), row(30, 20)]
    found = flips(rows, DIALOGUE)
    assert (found.gained, found.lost, found.same, found.threshold) == (1, 1, 98, 0.05)


def test_where_lower_is_better_a_row_gains_by_falling(monkeypatch, label_row):
    monkeypatch.setitem(METRICS, "accuracy", Metric("accuracy", "errors", "binary", higher_is_better=False))
    rows = [label_row("Bad.", "positive", 0.1, 0.9)] * 3 + [label_row("Good.", "positive", 0.9, 0.1)]
    found = flips(rows, SENTIMENT)
    assert (found.gained, found.lost) == (1, 3)


def test_a_score_that_differs_by_rounding_is_no_flip(text_row):
    rows = [text_row("Ana: One.", ["one two"], "one x x x", "one two x x x x x x x x")]
    assert rows[0].base.scores["rougeL"] != rows[0].tuned.scores["rougeL"]
    assert flips(rows, DIALOGUE).same == 1


def test_confusion_sums_to_the_rows_and_its_diagonal_gives_the_accuracy(labels):
    found = confusion(labels, SENTIMENT)
    accuracy = metrics(labels, SENTIMENT)[0]
    assert found.labels == ["negative", "positive"]
    right = Counter(row.references[0] for row in labels)
    for side in ("base", "tuned"):
        counts = getattr(found, side)
        assert sum(map(sum, counts)) == len(labels)
        assert [sum(line) for line in counts] == [right[label] for label in found.labels]
        assert (counts[0][0] + counts[1][1]) / len(labels) == getattr(accuracy, side)
        assert counts[0][1] == sum(
            row.references == ["negative"] and getattr(row, side).answer == "positive" for row in labels
        )


def test_calibration_by_hand(label_row):
    """Two bins of the base's, (0.5, 0.6] and (0.8, 0.9]; the tuned side is always sure and right."""
    rows = [
        label_row("1", "positive", 0.9, 1.0),  # right at 0.9
        label_row("2", "negative", 0.85, 0.0),  # wrong at 0.85
        label_row("3", "negative", 0.4, 0.0),  # right at 0.6
        label_row("4", "positive", 0.42, 1.0),  # wrong at 0.58
    ]
    found = calibration(rows)
    assert [(part.n, part.accuracy) for part in found.base.bins] == [(2, 0.5), (2, 0.5)]
    assert [part.mean_confidence for part in found.base.bins] == pytest.approx([0.59, 0.875])
    assert found.base.expected_calibration_error == pytest.approx(0.5 * 0.09 + 0.5 * 0.375)
    assert found.base.brier_score == pytest.approx((0.1**2 + 0.85**2 + 0.4**2 + 0.58**2) / 4)
    assert (found.tuned.expected_calibration_error, found.tuned.brier_score) == (0.0, 0.0)
    assert [(part.low, part.n, part.accuracy) for part in found.tuned.bins] == [(0.9, 4, 1.0)]


def test_writing_is_the_mean_of_the_rows(texts):
    found = writing(texts, 8)
    for side in ("base", "tuned"):
        each = [
            text_quality(
                getattr(row, side).answer,
                asked=row.input,
                references=row.references,
                tokens=getattr(row, side).tokens,
                max_new_tokens=8,
            )
            for row in texts
        ]
        for name in TextQuality.model_fields:
            assert getattr(getattr(found, side), name) == pytest.approx(fmean(getattr(one, name) for one in each))
    assert 0 < found.tuned.cut_off < 1 and found.base.cut_off == 0


def test_measure_is_the_metrics_own_value(texts, labels):
    answers, references = [row.base.answer for row in texts], [row.references for row in texts]
    found = measure(answers, references, DIALOGUE)
    assert set(found) == {metric.name for metric in suiting("generation")} - {"bertscore"}
    for name, value in found.items():
        each = [metric_named(name).row(answer, texts) for answer, texts in zip(answers, references, strict=True)]
        assert value == fmean(each)
    answers, right = [row.base.answer for row in labels], [row.references for row in labels]
    found = measure(answers, right, SENTIMENT)
    assert found == {"accuracy": fmean(map(is_correct, answers, right)), "macro_f1": macro_f1(answers, right)}


def test_floors_of_labels_learn_from_the_training_rows_and_are_scored_alike(label_row):
    rows = [
        label_row("so warm", "positive", 0.1, 0.9),
        label_row("so dull", "negative", 0.1, 0.9),
        label_row("cold, dull", "negative", 0.1, 0.9),
    ]
    inputs, references = [row.input for row in rows], [row.references for row in rows]
    found = floor_results(rows, SENTIMENT, TRAIN)
    given = {
        "majority class": majority_class([label for _, label in TRAIN], 3),
        "TF-IDF + logistic regression": tfidf_logistic_regression(
            [text for text, _ in TRAIN], [label for _, label in TRAIN], inputs
        ),
    }
    assert given["majority class"] == ["positive"] * 3
    assert given["TF-IDF + logistic regression"] == ["positive", "negative", "negative"]
    assert [floor.name for floor in found] == list(given)
    for floor in found:
        assert floor.scores == measure(given[floor.name], references, SENTIMENT)
        assert floor.sentence == FLOORS[floor.name].sentence
        right = [answer == row.references[0] for answer, row in zip(given[floor.name], rows, strict=True)]
        assert floor.judgement == judge(right, [row.tuned.scores["accuracy"] for row in rows], METRICS["accuracy"])
    assert [floor.scores["accuracy"] for floor in found] == [pytest.approx(1 / 3), 1.0]


@pytest.mark.parametrize("train", [None, []])
def test_without_training_rows_only_the_floors_that_learn_nothing_are_left(labels, texts, train):
    assert floor_results(labels, SENTIMENT, train) == []
    found = floor_results(texts, DIALOGUE, train)
    references = [row.references for row in texts]
    assert [floor.scores for floor in found] == [
        measure([lead_two(row.input) for row in texts], references, DIALOGUE),
        measure([longest_turn(row.input) for row in texts], references, DIALOGUE),
    ]
    assert found[0].scores != found[1].scores


def test_nothing_about_labels_depends_on_the_order_of_the_rows(labels):
    other = shuffled(labels)
    assert other != labels
    assert metrics(other, SENTIMENT) == metrics(labels, SENTIMENT)
    assert flips(other, SENTIMENT) == flips(labels, SENTIMENT)
    assert confusion(other, SENTIMENT) == confusion(labels, SENTIMENT)
    for side in ("base", "tuned"):
        one, two = (getattr(calibration(rows), side).model_dump() for rows in (labels, other))
        bins, others = one.pop("bins"), two.pop("bins")
        assert one == pytest.approx(two)
        assert bins == [pytest.approx(part) for part in others]
    assert floor_results(other, SENTIMENT, TRAIN) == floor_results(labels, SENTIMENT, TRAIN)


def test_of_texts_only_what_is_drawn_depends_on_the_order_of_the_rows(texts):
    """Interval and p-value are drawn at random by a fixed seed, row by row: they move by what draws move."""
    other = shuffled(texts)
    assert flips(other, DIALOGUE) == flips(texts, DIALOGUE)
    drawn = {"judgement": None}
    assert [floor.model_copy(update=drawn) for floor in floor_results(other, DIALOGUE, None)] == [
        floor.model_copy(update=drawn) for floor in floor_results(texts, DIALOGUE, None)
    ]
    for side in ("base", "tuned"):
        one, two = (getattr(writing(rows, 8), side).model_dump() for rows in (texts, other))
        assert one == pytest.approx(two)
    for one, two in zip(metrics(texts, DIALOGUE), metrics(other, DIALOGUE), strict=True):
        assert (one.name, one.base, one.tuned) == (two.name, two.base, two.tuned)
        first, second = one.judgement, two.judgement
        assert (first.outcome, first.n) == (second.outcome, second.n)
        assert first.difference == pytest.approx(second.difference, abs=1e-12)
        assert first.detectable == pytest.approx(second.detectable, abs=1e-12)
        assert first.p_value == pytest.approx(second.p_value, abs=0.02)
        width = first.interval.high - first.interval.low
        assert first.interval.low == pytest.approx(second.interval.low, abs=0.1 * width)
        assert first.interval.high == pytest.approx(second.interval.high, abs=0.1 * width)

"""Base and tuned are compared row by row, whatever the batch, and the adapter touches the tuned side only."""

import math
from statistics import fmean

import pytest
from datasets import Dataset

from data.general import instructions, passages
from eval.aggregate import calibration, classes, confusion, flips, floor_results, metrics, writing
from eval.compare import compare
from eval.floors.few_shot import draw, measure_few_shot
from eval.floors.probe import probe
from eval.forgetting import measure_forgetting
from eval.metrics import metric_named
from eval.metrics.bertscore import BertScore
from eval.metrics.macro_f1 import macro_f1
from eval.metrics.rouge import ROUGE_NAMES, rouge_scores
from eval.report.folder import load, save
from models.pair import open_pair
from models.scoring import ROUNDING, score_labels
from plumbing.errors import DataError

REVIEWS = Dataset.from_list(
    [
        {"text": "The film was slow but the ending made me cry.", "label": "positive", "row": 1},
        {"text": "Bad.", "label": "negative", "row": 2},
        {
            "text": "The phone died after two days, and nobody answered my letters at all.",
            "label": "negative",
            "row": 3,
        },
        {"text": "I would see it again!", "label": "positive", "row": 4},
        {"text": "The soup is better than it looks, the shop is not.", "label": "positive", "row": 5},
    ]
)
DIALOGUES = Dataset.from_list(
    [
        {
            "dialogue": "Ana: My laptop is broken.\nLeo: I can look at it on Friday.",
            "summary": ["Leo helps Ana."],
        },
        {"dialogue": "Tom: Soup?\nAna: Yes.", "summary": ["Ana wants soup.", "They talk about soup."]},
        {
            "dialogue": "Leo: Is the shop still open?\nAna: Until six.\nLeo: And on Sunday?\nAna: Never.",
            "summary": ["The shop is open until six."],
        },
    ]
)


@pytest.fixture(scope="module", params=["causal", "classifier"])
def sentiment_pair(request):
    return request.getfixturevalue("tiny_pair" if request.param == "causal" else "tiny_classifier_pair")


@pytest.fixture(scope="module")
def summaries(tiny_dialogue_pair):
    return compare(tiny_dialogue_pair, DIALOGUES, data_spec="file:x.jsonl", split="validation", max_new_tokens=8)


def probabilities(rows, side):
    return [getattr(row, side).probabilities for row in rows]


@pytest.mark.cuda
def test_sentiment_takes_the_most_probable_label(sentiment_pair):
    result = compare(sentiment_pair, REVIEWS, data_spec="corpus:reviews")
    report, rows = result.report, result.rows
    assert (report.task, report.kind, report.n) == ("sentiment", sentiment_pair.kind, 5)
    assert [row.input for row in rows] == REVIEWS["text"][:]
    for side in ("base", "tuned"):
        answers = [getattr(row, side) for row in rows]
        for row, answer in zip(rows, answers, strict=True):
            assert math.isclose(sum(answer.probabilities.values()), 1.0, abs_tol=1e-6)
            assert answer.answer == max(answer.probabilities, key=answer.probabilities.get)
            assert answer.scores == {"accuracy": float(answer.answer == row.references[0])}
            assert answer.tokens is None
        values = {metric.name: getattr(metric, side) for metric in report.metrics}
        accuracy = fmean(answer.scores["accuracy"] for answer in answers)
        macro = macro_f1([answer.answer for answer in answers], [[label] for label in REVIEWS["label"]])
        assert values == {"accuracy": accuracy, "macro_f1": macro}
    assert report.primary.name == report.metrics[0].name == "accuracy"
    assert probabilities(rows, "base") != probabilities(rows, "tuned")


@pytest.mark.cuda
def test_a_batch_scores_as_single_rows_do(sentiment_pair, rounding):
    together = compare(sentiment_pair, REVIEWS, batch_size=5).rows
    alone = compare(sentiment_pair, REVIEWS, batch_size=1).rows
    for side in ("base", "tuned"):
        for one, other in zip(probabilities(together, side), probabilities(alone, side), strict=True):
            assert one == pytest.approx(other, abs=1e-5 * rounding)


@pytest.mark.cuda
def test_swapped_rows_give_swapped_results(sentiment_pair, rounding):
    forwards = compare(sentiment_pair, REVIEWS, batch_size=2).rows
    backwards = compare(sentiment_pair, REVIEWS.select(range(4, -1, -1)), batch_size=2).rows
    assert [row.input for row in backwards] == [row.input for row in reversed(forwards)]
    for side in ("base", "tuned"):
        expected = reversed(probabilities(forwards, side))
        for one, other in zip(probabilities(backwards, side), expected, strict=True):
            assert one == pytest.approx(other, abs=1e-5 * rounding)


@pytest.mark.cuda
def test_the_base_side_does_not_depend_on_the_adapter(tiny_pair, tiny_llama, make_adapter, tmp_path):
    other = open_pair(make_adapter(tmp_path / "other", tiny_llama, seed=7))
    one, two = compare(tiny_pair, REVIEWS).rows, compare(other, REVIEWS).rows
    assert probabilities(one, "base") == probabilities(two, "base")
    assert probabilities(one, "tuned") != probabilities(two, "tuned")


@pytest.mark.cuda
def test_summaries_are_scored_against_the_best_reference(summaries, tiny_dialogue_pair):
    report, rows = summaries.report, summaries.rows
    bertscore = ["bertscore"] if BertScore.local() else []
    others = [*bertscore, "chrf", "exact_match", "token_f1"]
    assert [metric.name for metric in report.metrics] == ["rougeL", "rouge1", "rouge2", "rougeLsum", *others]
    assert [metric.name for metric in report.metrics if metric.primary] == ["rougeL"]
    for metric in report.metrics:
        for side in ("base", "tuned"):
            each = [getattr(row, side).scores[metric.name] for row in rows]
            assert getattr(metric, side) == pytest.approx(fmean(each), abs=1e-12)
    for row, references in zip(rows, DIALOGUES["summary"], strict=True):
        assert row.references == references
        for side in (row.base, row.tuned):
            assert {name: side.scores[name] for name in ROUGE_NAMES} == rouge_scores(side.answer, references)
            assert side.scores.keys() - ROUGE_NAMES == set(others)
            for name in side.scores.keys() - {"bertscore"}:
                assert side.scores[name] == metric_named(name).row(side.answer, references)
            assert side.probabilities is None
            assert 0 < side.tokens <= 8
    assert [row.base.answer for row in rows] != [row.tuned.answer for row in rows]


@pytest.mark.cuda
def test_a_batch_of_summaries_is_what_each_row_alone_gives(summaries, tiny_dialogue_pair):
    alone = compare(tiny_dialogue_pair, DIALOGUES.select([2, 0, 1]), batch_size=1, max_new_tokens=8).rows
    assert [alone[1], alone[2], alone[0]] == summaries.rows


def test_the_report_says_where_its_numbers_come_from(summaries, tiny_dialogue_pair, tmp_path):
    report = summaries.report
    assert (report.data.spec, report.data.split, report.max_new_tokens) == ("file:x.jsonl", "validation", 8)
    assert report.base.weights_sha256 == tiny_dialogue_pair.base.weights_sha256
    assert (report.base.origin, report.precision) == ("folder", "float32")
    assert report.prompt_sha256 == tiny_dialogue_pair.contract.sha256
    assert report.adapter_proof.largest_change > 0
    assert report.adapter_proof.same_weights
    assert report.adapter_proof.sentence.startswith("adapter acts")
    assert set(report.versions) >= {
        "torch",
        "transformers",
        "peft",
        "bitsandbytes",
        "rouge-score",
        "evaluate",
    }
    assert report.created.endswith("+00:00")
    save(report, summaries.rows, tmp_path)
    loaded, rows = load(tmp_path)
    assert (loaded, list(rows)) == (report, summaries.rows)


def test_the_hash_of_the_test_set_is_that_of_its_texts(tiny_pair):
    def data_hash(rows):
        return compare(tiny_pair, rows).report.data.test_sha256

    assert data_hash(REVIEWS) == data_hash(REVIEWS.remove_columns("row"))
    assert data_hash(REVIEWS) != data_hash(REVIEWS.select([1, 0, 2, 3, 4]))
    assert data_hash(REVIEWS.select([0])) != data_hash(
        Dataset.from_list([{"text": REVIEWS[0]["text"], "label": "negative"}])
    )


COMPARING, PROBING, WITH_EXAMPLES, FORGETTING = (
    "Comparing base and tuned",
    "What the frozen base knows",
    "The base with examples",
    "General text, to see what was forgotten",
)


@pytest.fixture(scope="module")
def complete(tiny_pair, tiny_dialogue_pair, tiny_classifier_pair):
    """`complete[kind]` → pair, rows, the comparison that was asked for everything, and its progress."""

    def everything(pair, rows):
        seen = []
        result = compare(
            pair,
            rows,
            train=rows,
            few_shot=2,
            forgetting=True,
            batch_size=2,
            max_new_tokens=8,
            on_progress=lambda what, done, total: seen.append((what, done, total)),
        )
        return pair, rows, result, seen

    return {
        "sentiment": everything(tiny_pair, REVIEWS),
        "dialogue": everything(tiny_dialogue_pair, DIALOGUES),
        "classifier": everything(tiny_classifier_pair, REVIEWS),
    }


PROBE = "frozen base + logistic regression"
KINDS = ("sentiment", "dialogue", "classifier")


@pytest.mark.cuda
@pytest.mark.parametrize("kind", KINDS)
def test_every_section_is_that_of_its_own_function(complete, kind):
    pair, test, result, _ = complete[kind]
    report, rows = result.report, result.rows
    task, labels = pair.task, pair.task.is_classification
    train = [(row[task.input_column], task.references(row)[0]) for row in test]
    assert report.metrics == metrics(rows, task)
    assert report.flips == flips(rows, task)
    assert report.confusion == (confusion(rows, task) if labels else None)
    assert report.classes == (classes(rows, task) if labels else None)
    assert report.calibration == (calibration(rows) if labels else None)
    assert report.writing == (None if labels else writing(rows, 8))
    inputs = [row.input for row in rows]
    probed = {PROBE: probe(pair, train, inputs)} if kind == "classifier" else {}
    assert report.floors == floor_results(rows, task, train, probed)
    assert len(report.floors) == 2 + len(probed)
    assert report.train_rows == len(test)
    assert report.max_new_tokens == (None if labels else 8)
    assert (report.adapter_sha256, report.batch_size) == (pair.adapter_sha256, 2)
    if kind == "classifier":
        assert (report.few_shot, report.forgetting) == (None, None)
        return
    draws = draw(pair, inputs, train, 2, 3, 8)
    assert report.few_shot == measure_few_shot(pair, rows, draws, max_new_tokens=8)
    assert report.few_shot.examples == len(draws[0]) > 0 and len(report.few_shot.draws) == 3
    assert report.forgetting == measure_forgetting(pair, passages(), instructions())
    assert report.forgetting.passages == len(passages()) > 50


@pytest.mark.cuda
def test_near_ties_are_the_rows_that_rounding_could_turn(sentiment_pair, monkeypatch):
    scores = score_labels(sentiment_pair, REVIEWS["text"][:])
    margins = [[abs(side[0] - side[1]) for side in (one.base, one.tuned)] for one in scores]
    assert compare(sentiment_pair, REVIEWS).report.near_ties == sum(min(both) <= ROUNDING for both in margins)
    counts = set()
    for place in (0, 2, 4):  # as if rounding were as coarse as the closest row, as most, as all
        coarse = sorted(map(min, margins))[place] + 1e-4
        monkeypatch.setattr("eval.compare.ROUNDING", coarse)
        near = compare(sentiment_pair, REVIEWS).report.near_ties
        assert near == sum(min(both) <= coarse for both in margins) >= place + 1
        counts.add(near)
    assert len(counts) > 1


def test_summaries_have_no_near_ties(summaries):
    assert summaries.report.near_ties is None


@pytest.mark.cuda
def test_what_was_not_asked_for_is_left_out(tiny_pair, summaries):
    report = compare(tiny_pair, REVIEWS, few_shot=2).report  # no training rows to take examples from
    assert (report.floors, report.few_shot, report.forgetting, report.train_rows) == ([], None, None, 0)
    assert compare(tiny_pair, REVIEWS, train=REVIEWS).report.few_shot is None
    assert [floor.name for floor in summaries.report.floors] == ["first two turns", "longest turn"]
    assert (summaries.report.few_shot, summaries.report.forgetting) == (None, None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_complete_report_survives_the_disk(complete, kind, tmp_path):
    result = complete[kind][2]
    save(result.report, result.rows, tmp_path)
    loaded, rows = load(tmp_path)
    assert (loaded, list(rows)) == (result.report, result.rows)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", KINDS)
def test_progress_names_each_phase_in_order_and_ends_it(complete, kind):
    _, test, _, seen = complete[kind]
    phases = [COMPARING, PROBING] if kind == "classifier" else [COMPARING, WITH_EXAMPLES, FORGETTING]
    assert list(dict.fromkeys(what for what, _, _ in seen)) == phases
    assert [what for what, _, _ in seen] == sorted((what for what, _, _ in seen), key=phases.index)
    for phase in phases:
        steps = [(done, total) for what, done, total in seen if what == phase]
        assert steps[-1][0] == steps[-1][1] == max(done for done, _ in steps)
        assert len({total for _, total in steps}) == 1
        assert steps == sorted(steps)
    expected = [(min(done, len(test)), len(test)) for done in range(2, len(test) + 2, 2)]
    assert [(done, total) for what, done, total in seen if what == COMPARING] == expected
    if kind != "classifier":
        assert seen[-1] == (FORGETTING, *[len(passages()) + len(instructions())] * 2)


def test_training_rows_are_checked_as_the_test_set_is(tiny_pair):
    for train, problem in [
        (REVIEWS.select([]), "training set is empty"),
        (REVIEWS.remove_columns("label"), "training set lacks the column 'label'"),
        (Dataset.from_list([{"text": "So so.", "label": "neutral"}]), "Row 1 of the training set .* unknown label"),
    ]:
        with pytest.raises(DataError, match=problem):
            compare(tiny_pair, REVIEWS, train=train)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (REVIEWS.select([]), "empty"),
        (REVIEWS.remove_columns("label"), "lacks the column 'label'"),
        (Dataset.from_list([{"text": "So so.", "label": "neutral"}]), "Row 1 .* unknown label"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(tiny_pair, rows, problem):
    with pytest.raises(DataError, match=problem):
        compare(tiny_pair, rows)

"""Any sides on the same rows: every number of a verdict is one that the parts below it give for these answers."""

from dataclasses import replace
from functools import partial
from statistics import fmean

import pytest

from data.tasks import DIALOGUE, SENTIMENT
from eval.aggregate import NO_LABEL
from eval.lab.judging import holm
from eval.metrics import metric_named
from eval.metrics.macro_f1 import macro_f1
from eval.statistics import judge_labels, judge_scores, wilson
from eval.verdict import words
from eval.verdict.compare import judge_sides
from eval.verdict.margins import non_inferior
from eval.verdict.pairs import leaderboard
from eval.verdict.schema import Known, Verdict, VerdictRow
from plumbing.errors import DataError, ModelError, UserError

GOOD = ["kind", "warm", "bright", "lovely", "brilliant"]
BAD = ["cold", "dull", "broken", "slow", "sad"]


def reviews(count, start=0):
    """(text, label): the word that tells is one of five, at a place of its own among words that do not."""
    found = []
    for number in range(start, start + count):
        label = ("positive", "negative")[number % 2]
        word = (GOOD if number % 2 == 0 else BAD)[number // 2 % 5]
        found.append((f"It was {word}, number {number} of the {'very ' * (number % 7)}many", label))
    return found


@pytest.fixture
def labels(opened, tfidf_side, rows_of):
    """Three classifiers that have learned from 4, 8 and 200 reviews, and 120 new ones."""
    rows = rows_of(SENTIMENT, reviews(120, 1_000), sides=3)
    sides = [
        partial(tfidf_side, f"learned-{count}", SENTIMENT, reviews(count), weights_sha256=f"{count:064d}")
        for count in (4, 8, 200)
    ]
    return sides, rows


def column(rows, key, metric="accuracy"):
    return [row.answers[key].scores[metric] for row in rows]


def test_every_number_of_labels_is_that_of_the_answers(labels, opened):
    openers, given = labels
    given = replace(
        given, known=[Known(known_by=None, trained_on=None), *[Known(known_by="file", trained_on=0)] * 2]
    )
    told = []
    verdict, rows = judge_sides(openers, given, margin=0.05, on_progress=lambda *said: told.append(said))
    base, tuned, best = (column(rows, key) for key in ("base", "tuned", "tuned-2"))
    assert 0.5 < fmean(base) < fmean(best) == 1.0
    assert (verdict.n, verdict.metric, verdict.task, verdict.max_new_tokens) == (120, "accuracy", "sentiment", None)
    assert [side.info.key for side in verdict.sides] == ["base", "tuned", "tuned-2"]
    assert [side.known.known_by for side in verdict.sides] == [None, "file", "file"]
    first, last = verdict.sides[0], verdict.sides[2]
    assert (first.answered, first.unread, first.scores[0].value) == ("chosen", None, fmean(base))
    assert first.scores[0].interval == wilson(int(sum(base)), 120)
    assert [score.name for score in last.scores] == ["accuracy", "macro_f1"]
    answers = [row.answers["tuned"].text for row in rows]
    assert verdict.sides[1].scores[1].value == macro_f1(answers, [row.references for row in rows])
    one, two = verdict.comparisons
    assert (one.verdict, two.verdict) == (judge_labels(base, tuned), judge_labels(base, best))
    assert two.flips.gained - two.flips.lost == sum(best) - sum(base)
    assert sum(map(sum, two.confusion.tuned)) == 120 and two.confusion.labels == list(SENTIMENT.labels)
    assert two.calibration.tuned.brier_score < two.calibration.base.brier_score
    assert (two.writing, two.likelihood) == (None, None)
    assert two.margin == non_inferior(base, best, metric_named("accuracy"), 0.05) and two.margin.holds
    assert "Their weights differ" in two.differs
    assert {part.by for part in two.slices} == {"length"}
    assert sum(part.n for part in two.slices) == 120
    assert len(verdict.pairs) == 3 and verdict.test == "exact McNemar test"
    assert words.outcome(verdict, "tuned-2") == "better"
    assert told[-1][0] and rows[0].slices["length"] and not verdict.notes


def test_what_is_written_can_be_read_again(labels):
    verdict, rows = judge_sides(*labels)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert [VerdictRow.model_validate_json(row.model_dump_json()) for row in rows] == rows


def test_the_leaderboard_says_ties(labels):
    openers, given = labels
    verdict, _ = judge_sides([openers[0], openers[2], openers[2]], given)
    first, second, third = leaderboard(verdict)
    assert [first.place, second.place, third.place] == ["1–2", "1–2", "3"]
    assert (first.key, second.key, third.key) == ("tuned", "tuned-2", "base")
    assert first.value == 1.0 and first.interval.low > 0.9
    assert not any(each.doubt for each in verdict.comparisons)


def test_one_model_twice_is_the_first_thing_that_is_said_whether_weights_or_answers_show_it(labels):
    openers, given = labels
    given = replace(given, known=given.known[:2])
    verdict, _ = judge_sides([openers[0], openers[0]], given)
    assert verdict.comparisons[0].verdict.outcome == "no evidence"
    assert words.headline(verdict).startswith("base and tuned are one model: the same weights")
    assert verdict.comparisons[0].differs.startswith("The same weights twice")
    unknown = partial(openers[0], weights_sha256="")  # as of a server that has one model under every name
    verdict, _ = judge_sides([openers[0], unknown], given)
    assert words.headline(verdict).startswith("tuned answers as the base does: all 120 answers are the same")


def test_slices_of_several_sides_are_corrected_together(labels):
    verdict, _ = judge_sides(*labels)
    found = [part for each in verdict.comparisons for part in each.slices]
    assert len({(part.by, part.value) for part in found}) < len(found)
    assert [part.corrected for part in found] == holm([part.judgement.p_value for part in found])


@pytest.mark.parametrize(("at_once", "opens", "most"), [(1, [2, 2, 1], 1), (2, [1, 2, 1], 2), (3, [1, 1, 1], 3)])
def test_no_more_sides_are_open_than_may_be(labels, opened, at_once, opens, most):
    openers, given = labels
    judge_sides(openers, given, at_once=at_once)
    assert [opened[f"learned-{count}"] for count in (4, 8, 200)] == opens
    assert opened["most"] == most and opened["now"] == 0


def test_a_side_that_cannot_be_opened_is_known_before_any_is_asked(labels, opened):
    openers, given = labels
    asked = []

    def broken():
        raise ModelError("The adapter is damaged")

    with pytest.raises(ModelError, match="damaged"):
        judge_sides(
            [openers[0], openers[1], broken], given, on_progress=lambda *said: asked.append(said), at_once=3
        )
    assert not asked and opened["now"] == 0


def test_what_a_side_raises_closes_all(labels, opened, book_side):
    openers, given = labels
    forgetful = partial(book_side, "forgetful", SENTIMENT, {})
    with pytest.raises(KeyError):
        judge_sides([openers[2], forgetful, openers[2]], given, at_once=3)


def test_labels_are_read_from_what_all_write_where_one_cannot_choose(labels, book_side):
    openers, given = labels
    book = {
        text: ("I would say positive" if place % 3 else "Hard to say") for place, text in enumerate(given.inputs)
    }
    verdict, rows = judge_sides([openers[2], partial(book_side, "book", SENTIMENT, book), openers[1]], given)
    assert {side.answered for side in verdict.sides} == {"read"}
    assert [side.unread for side in verdict.sides] == [0.0, pytest.approx(1 / 3), 0.0]
    assert "as book does not say how probable each is" in verdict.notes[0]
    assert all(answer.probabilities is None for row in rows for answer in row.answers.values())
    assert (rows[0].answers["tuned"].text, rows[0].answers["tuned"].written) == ("", "Hard to say")
    table = verdict.comparisons[0].confusion
    assert table.labels[-1] == NO_LABEL and sum(row[-1] for row in table.tuned) == 40
    assert verdict.comparisons[0].calibration is None and verdict.max_new_tokens == 64
    right = [row.references[0] == row.answers["tuned"].text for row in rows]
    assert column(rows, "tuned") == list(map(float, right))
    assert verdict.comparisons[1].confusion.labels == list(SENTIMENT.labels)
    assert verdict.comparisons[0].classes[0].tuned.recall == 0.0  # it never says negative


def test_an_answer_without_a_label_is_no_label_of_its_own():
    references = [["a"], ["a"], ["b"], ["b"]]
    assert macro_f1(["a", "", "b", "b"], references) == pytest.approx((2 / 3 + 1) / 2)


def test_where_there_is_no_way_that_all_can_answer_it_is_said(labels, book_side, tfidf_side, opened):
    openers, given = labels
    chooser = partial(tfidf_side, "classifier", SENTIMENT, reviews(20), abilities=("chooses",))
    writer = partial(book_side, "server", SENTIMENT, {})
    with pytest.raises(ModelError, match="no way in which all sides can answer") as error:
        judge_sides([chooser, writer, openers[0]], given)
    assert "server chooses none" in str(error.value) and "classifier writes none" in str(error.value)


def test_a_side_of_another_task_is_refused(labels, book_side):
    openers, given = labels
    with pytest.raises(ModelError, match="another task"):
        judge_sides([openers[0], partial(book_side, "writer", DIALOGUE, {}), openers[0]], given)


# ---- answers in words ------------------------------------------------------------------------------------------


@pytest.fixture
def texts(opened, book_side, rows_of, monkeypatch):
    """Two writers: one says little, the other nearly the reference; each has a likelihood for every row."""
    monkeypatch.setattr("eval.metrics.bertscore.BertScore.local", lambda: None)  # as where there is no encoder
    asked = [
        (f"Ana: Is soup {n} left?\nLeo: Until {n}.", f"Leo says soup {n} is left until six.") for n in range(40)
    ]
    given = rows_of(DIALOGUE, asked)
    short = {text: "Soup." for text, _ in asked}
    long = {
        text: reference.replace("until six", "until late") + "…" * (n % 2)
        for n, (text, reference) in enumerate(asked)
    }

    def sides(**about):
        likely = [{text: level - n / 100 for n, (text, _) in enumerate(asked)} for level in (-2.0, -1.0)]
        abilities = ("writes", "likelihood")
        base = partial(book_side, "small", DIALOGUE, short, abilities=abilities, likely=likely[0])
        return base, partial(book_side, "tuned", DIALOGUE, long, abilities=abilities, likely=likely[1], **about)

    return sides, given


def test_every_number_of_texts_is_that_of_the_answers(texts):
    sides, given = texts
    verdict, rows = judge_sides(sides(base="small"), given, max_new_tokens=20)
    (one,) = verdict.comparisons
    base, tuned = column(rows, "base", "rougeL"), column(rows, "tuned", "rougeL")
    assert one.verdict == judge_scores(base, tuned) and one.verdict.outcome == "better"
    assert verdict.metric == "rougeL" and {side.answered for side in verdict.sides} == {"written"}
    assert (one.writing.base.cut_off, one.writing.tuned.cut_off) == (0.0, 0.5)
    likely = [[row.answers[key].log_likelihood for row in rows] for key in ("base", "tuned")]
    assert one.likelihood == judge_scores(*likely) and one.likelihood.difference == pytest.approx(1.0)
    assert (one.confusion, one.classes, one.calibration, one.margin) == (None, None, None, None)
    assert verdict.test == "paired permutation test" and verdict.max_new_tokens == 20
    assert verdict.sides[1].spent.tokens > verdict.sides[0].spent.tokens


def test_nats_a_token_of_two_tokenizers_are_not_compared(texts):
    sides, given = texts
    verdict, rows = judge_sides(sides(), given)
    assert verdict.comparisons[0].likelihood is None
    assert any("nats a token" in note for note in verdict.notes)
    assert rows[0].answers["base"].log_likelihood == -2.0
    alike, _ = judge_sides([partial(side, tokenizer_sha256="7" * 64) for side in sides()], given)
    assert alike.comparisons[0].likelihood is not None and not alike.notes
    unlike = [partial(side, tokenizer_sha256=one * 64) for side, one in zip(sides(base="small"), "78", strict=True)]
    assert judge_sides(unlike, given)[0].comparisons[0].likelihood is None
    silent, rows = judge_sides(sides(), given, likelihood=False)
    assert rows[0].answers["base"].log_likelihood is None
    assert silent.comparisons[0].likelihood is None and not any("nats" in note for note in silent.notes)


def test_a_label_that_the_task_does_not_have_is_a_fault_of_the_side(labels, tfidf_side):
    openers, given = labels
    odd = partial(tfidf_side, "odd", SENTIMENT, [("good", "other"), ("bad", "positive")])
    with pytest.raises(ValueError, match="the labels are"):
        judge_sides([openers[0], odd, openers[0]], given)


def test_a_verdict_takes_two_sides(labels):
    openers, given = labels
    with pytest.raises(ValueError, match="a base and a tuned side"):
        judge_sides(openers[:1], given)


def test_what_could_not_be_scored_or_ruled_out_is_refused_before_a_side_is_opened(labels, opened, rows_of):
    openers, given = labels
    numbers = rows_of(replace(DIALOGUE, metric="number"), [("Two and two?", "4"), ("And three?", "seven")])
    with pytest.raises(DataError, match="Row 2: A reference has no number"):
        judge_sides(openers[:2], numbers)
    with pytest.raises(UserError, match="accuracy is from 0 to 1, so a margin of 2 would let every loss through"):
        judge_sides(openers, given, margin=2)
    assert not opened


def test_a_metric_that_no_verdict_can_rest_on_is_refused_before_a_side_is_opened(labels, opened):
    openers, given = labels
    for metric, said in (("nothing", "no metric nothing"), ("macro_f1", "of a whole test set")):
        with pytest.raises(UserError, match=said):
            judge_sides(openers, replace(given, task=replace(SENTIMENT, metric=metric)))
    assert not opened

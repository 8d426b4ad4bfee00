"""Reports of more than two labels: each label's scores, what is confused, caveats, floors."""

import random
import warnings
from dataclasses import replace

import pytest
from sklearn.metrics import classification_report, confusion_matrix

from data.tasks.own import OwnTask
from eval.aggregate import calibration, classes, confusion, floor_results, metrics
from eval.floors import labels as floors
from eval.floors.few_shot import choose
from eval.floors.labels import tfidf_logistic_regression
from eval.report.headline import headline
from eval.report.markdown import confused_sentence, to_markdown
from eval.report.sections import Confusion

TEAMS = ("billing", "delivery", "returns", "other")
TASK = OwnTask(kind="classification", noun="messages").definition().with_labels(TEAMS)


def shares_of(labels, best, sure=0.7):
    """Probabilities of `labels`, of which `best` has the most."""
    rest = (1 - sure) / (len(labels) - 1)
    return {label: sure if label == best else rest for label in labels}


@pytest.fixture
def rows(shares_row):
    """80 rows of the first three teams; tuned is right in four of five, base in a third."""
    chance = random.Random(3)
    found = []
    for number in range(80):
        right = TEAMS[number % 3]
        tuned = right if chance.random() < 0.8 else chance.choice(TEAMS)
        sides = [shares_of(TEAMS, one, 0.4 + chance.random() / 2) for one in (chance.choice(TEAMS), tuned)]
        found.append(shares_row(f"message {number} about {right}", right, *sides))
    return found


def columns(rows):
    right = [row.references[0] for row in rows]
    return right, {side: [getattr(row, side).answer for row in rows] for side in ("base", "tuned")}


def test_each_labels_scores_and_the_confusion_are_scikit_learns(rows):
    right, answers = columns(rows)
    found, table = classes(rows, TASK), confusion(rows, TASK)
    assert [each.label for each in found] == list(TEAMS) == table.labels
    for side, given in answers.items():
        known = classification_report(right, given, labels=list(TEAMS), output_dict=True, zero_division=0)
        for each in found:
            scores = getattr(each, side)
            assert (scores.precision, scores.recall, scores.f1) == pytest.approx(
                tuple(known[each.label][name] for name in ("precision", "recall", "f1-score"))
            )
            assert each.support == known[each.label]["support"]
        assert getattr(table, side) == confusion_matrix(right, given, labels=list(TEAMS)).tolist()
    assert found[3].support == 0


def test_a_label_without_rows_raises_no_warning(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classes(rows[:1], TASK)[3].tuned.f1 == 0.0


def test_calibration_is_of_all_labels(rows):
    found = calibration(rows)
    squared = [
        sum((value - (label == row.references[0])) ** 2 for label, value in row.base.probabilities.items()) / 2
        for row in rows
    ]
    assert found.base.brier_score == pytest.approx(sum(squared) / len(squared))
    assert sum(part.n for part in found.base.bins) == len(rows)
    assert min(part.low for part in found.base.bins) >= 0.4


def test_the_headline_begins_with_labels_that_no_row_has(make_report, rows):
    said = headline(make_report(TASK, rows))
    assert said.startswith(
        "No test row is other: this says nothing about such rows. Better than the base: on 80 messages"
    )
    many = tuple(f"team {number}" for number in range(9))
    alone = Confusion(
        labels=list(many), base=[[80] + [0] * 8] + [[0] * 9] * 8, tuned=[[80] + [0] * 8] + [[0] * 9] * 8
    )
    said = headline(make_report(TASK, rows, confusion=alone))
    assert said.startswith(
        "Every test row is team 0: this says nothing about rows that are team 1, team 2, team 3 or one of 5 others."
    )


def test_always_one_label_is_a_rival_whatever_their_number(make_report, shares_row):
    """60 of 100 rows are the first team's; tuned has 55 right, mostly elsewhere, base 20."""

    def row(number, tuned_right):
        right = TEAMS[0] if number < 60 else TEAMS[1 + number % 3]
        tuned = right if tuned_right else TEAMS[(TEAMS.index(right) + 1) % 4]
        base = right if number % 5 == 0 else TEAMS[(TEAMS.index(right) + 1) % 4]
        return shares_row(f"m {number}", right, shares_of(TEAMS, base), shares_of(TEAMS, tuned))

    rows = [row(number, number >= 45) for number in range(100)]
    assert headline(make_report(TASK, rows)).startswith(
        "No better than always answering billing (0.60). Better than"
    )
    rows = [row(number, number >= 5) for number in range(100)]
    assert headline(make_report(TASK, rows)).startswith("Better: on 100 messages accuracy rose from 0.20 to 0.95.")


@pytest.mark.parametrize(("count", "shown"), [(3, 1), (4, 2), (12, 0)])
def test_the_tables_fit_the_number_of_labels(make_report, shares_row, count, shown):
    """Up to three labels one table, up to ten one a side, of more the pairs that are confused most often."""
    names = tuple(f"*label|{number}" for number in range(count))
    task = replace(TASK, labels=names)
    rows = [
        shares_row(
            f"m {n}", names[n % count], shares_of(names, names[0]), shares_of(names, names[(n + n % 2) % count])
        )
        for n in range(4 * count)
    ]
    text = to_markdown(make_report(task, rows), rows)
    assert text.count("| right label") == max(shown, 1)
    assert ("of those that are confused" in text or "those that are confused most often" in text) == (count > 10)
    assert r"| \*label\|1 | 4 |" in text  # each label's own scores, with names that mean nothing to Markdown
    assert f"{count} of {count} labels have fewer than 10 test rows: their scores say little." in text
    if count > 10:
        assert r"| \*label\|1 | \*label\|2 | 0 | 4 |" in text


def test_the_most_confused_pairs_are_said_those_of_tuned_first(rows):
    found = confusion(rows, TASK)
    pairs = found.most_confused(100)
    assert [pair.tuned for pair in pairs] == sorted((pair.tuned for pair in pairs), reverse=True)
    assert sum(pair.tuned for pair in pairs) == 80 - sum(found.tuned[place][place] for place in range(4))
    first = pairs[0]
    assert (
        f"{first.right} taken for {first.answered} {first.tuned} times ({first.base} before)"
        in confused_sentence(found)
    )
    same = Confusion(labels=["a", "b"], base=[[1, 1], [0, 1]], tuned=[[2, 0], [0, 1]])
    assert confused_sentence(same) == ""


def test_floors_of_many_labels_learn_them_and_are_judged(rows):
    train = [(f"a message about {team}, {number}", team) for number in range(30) for team in TEAMS]
    found = {floor.name: floor for floor in floor_results(rows, TASK, train)}
    assert list(found) == ["majority class", "TF-IDF + logistic regression"]
    assert found["majority class"].scores["accuracy"] == pytest.approx(
        27 / 80
    )  # billing, the first in the alphabet
    assert found["TF-IDF + logistic regression"].scores["accuracy"] == 1.0
    assert found["TF-IDF + logistic regression"].judgement.outcome == "worse"
    accuracy, macro = metrics(rows, TASK)
    assert (accuracy.name, macro.name) == ("accuracy", "macro_f1")


def test_with_very_many_labels_only_the_commonest_columns_are_weighed(monkeypatch):
    labels = [f"l{number}" for number in range(20)]
    train = [
        (f"{label} common words {label}x{copy} rare{label}{copy}", label) for label in labels for copy in range(6)
    ]
    texts = [f"common words {label}" for label in labels]
    whole = tfidf_logistic_regression(*zip(*train, strict=True), texts)
    monkeypatch.setattr(floors, "_MOST_WEIGHTS", 20 * 60)
    assert tfidf_logistic_regression(*zip(*train, strict=True), texts) == whole == labels


def test_examples_of_many_labels_are_each_of_another_one_as_far_as_they_fit():
    train = [(f"{team} {number}", team) for number in range(9) for team in TEAMS]
    for seed in range(5):
        for count in (2, 4, 6):
            labels = [label for _, label in choose(train, count, TASK, seed=seed)]
            assert len(labels) == count and len(set(labels)) == min(count, 4)
        # A label none of whose rows fits is left out, and the others still stand there.
        labels = [label for _, label in choose(train, 4, TASK, seed=seed, fits=lambda row: row[1] != "returns")]
        assert len(labels) == 4 and set(labels) == {"billing", "delivery", "other"}

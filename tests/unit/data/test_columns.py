"""Which columns are guessed, what label values are taken to mean, and when nothing is guessed."""

import pytest

from data.columns import guess
from data.tasks import DIALOGUE, SENTIMENT
from plumbing.errors import DataError


def rows(**columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def mapped(task=SENTIMENT, choices=None, **columns):
    return guess(list(columns), rows(**columns), task, **(choices or {}))


@pytest.mark.parametrize(
    ("input_name", "target_name"),
    [
        ("text", "label"),
        ("sentence", "sentiment"),
        ("Review Text", "Star Rating"),
        ("content", "polarity"),
        ("tweet", "class"),
        ("review_body", "stars"),
    ],
)
def test_sentiment_columns_are_known_by_name(input_name, target_name):
    mapping = mapped(
        **{"id": ["1", "2"], target_name: ["negative", "positive"], input_name: ["Bad soup", "Good soup"]}
    )
    assert (mapping.input, mapping.target) == (input_name, target_name)
    assert "by its name" in mapping.reason


@pytest.mark.parametrize(
    ("input_name", "target_name"),
    [
        ("conversation", "abstract"),
        ("transcript", "summary"),
        ("article", "highlights"),
        ("Dialogue", "TL;DR"),
    ],
)
def test_dialogue_columns_are_known_by_name(input_name, target_name):
    mapping = mapped(DIALOGUE, **{"topic": ["a"], target_name: ["They meet."], input_name: ["A: Hi\nB: Hello"]})
    assert (mapping.input, mapping.target, mapping.labels) == (input_name, target_name, None)


def test_unknown_names_are_told_apart_by_their_content():
    mapping = mapped(
        column_1=["n17", "n18", "n19"],
        column_2=["a film with a warm heart", "two hours of waiting for the end", "see it twice if you can"],
        column_3=["1", "0", "1"],
    )
    assert (mapping.input, mapping.target) == ("column_2", "column_3")
    assert "longest texts" in mapping.reason
    assert "0 = negative, 1 = positive" in mapping.reason


def test_a_summary_of_unknown_name_is_the_only_other_column_of_sentences():
    mapping = mapped(
        DIALOGUE,
        key=["d1", "d2"],
        told=["Ann: Are you there? " * 9, "Bo: Did you buy the bread? " * 9],
        short=["Ann asks where Bo is.", "Bo asks about the bread."],
    )
    assert (mapping.input, mapping.target) == ("told", "short")


def test_two_columns_of_like_length_are_not_guessed_between():
    with pytest.raises(DataError, match=r"not clear which column is the text") as caught:
        mapped(one=["a few plain words"], two=["some other plain words"], mood=["good"])
    assert caught.value.got == ["one", "two", "mood"]
    assert "--set data.columns.text=one or --set data.columns.text=two, or another" in caught.value.fix


def test_two_columns_that_read_as_labels_are_not_guessed_between():
    with pytest.raises(DataError, match="not clear which column is the label") as caught:
        mapped(id=["a", "a"], text=["fine soup", "cold soup"], mood=["good", "bad"], returned=["no", "yes"])
    assert "add --set data.columns.label=mood or --set data.columns.label=returned, or" in caught.value.fix


def test_one_column_is_not_proposed_for_both_in_turn():
    for choices in ({}, {"columns": {"dialogue": "messages"}}, {"columns": {"summary": "messages"}}):
        with pytest.raises(DataError, match="needs two columns") as caught:
            mapped(DIALOGUE, choices, messages=["Ann: Hi", "Bo: Hi"])
        assert "dialogue in one column and the summary in another" in caught.value.fix


def test_identifiers_are_not_proposed_as_the_summary():
    with pytest.raises(DataError, match="not clear which column is the summary") as caught:
        mapped(DIALOGUE, fname=["t0", "t1"], dialogue=["Ann: Hi Bo, hi", "Bo: Hi Ann, hi"], topic=["x", "y"])
    assert "--set data.columns.summary=… with its name" in caught.value.fix


def test_a_readable_label_column_wins_over_one_that_only_has_the_name():
    mapping = mapped(text=["fine soup", "cold soup"], label=["kitchen", "hall"], sentiment=["good", "bad"])
    assert mapping.target == "sentiment"


@pytest.mark.parametrize(
    ("values", "negative", "left_out", "positive"),
    [
        ([0, 1], ["0"], [], ["1"]),
        ([1.0, -1.0, 0.0], ["-1"], ["0"], ["1"]),
        (["0", "2", "4"], ["0"], ["2"], ["4"]),
        ([True, False], ["false"], [], ["true"]),
        (["Neg", "POS "], ["neg"], [], ["pos"]),
        (["bad", "good", "neutral"], ["bad"], ["neutral"], ["good"]),
        (["Very negative", "very positive"], ["very negative"], [], ["very positive"]),
        (["1 star", "3 stars", "5 stars"], ["1", "2"], ["3"], ["4", "5"]),
        ([1, 2, 4], ["1", "2"], ["3"], ["4", "5"]),
        ([1, 4, 7, 10], ["1", "2", "3", "4"], ["5", "6"], ["7", "8", "9", "10"]),
        (["1.5", "4.5"], ["1", "1.5", "2"], ["3"], ["4", "4.5", "5"]),
    ],
)
def test_label_values_are_read(values, negative, left_out, positive):
    mapping = mapped(text=["some words"] * len(values), label=values)
    by_label = {label: [raw for raw, to in mapping.labels.items() if to == label] for label in SENTIMENT.labels}
    assert by_label == {"negative": negative, "positive": positive}
    assert [raw for raw, to in mapping.labels.items() if to is None] == left_out


@pytest.mark.parametrize("values", [[1, 2], [0, 1, 2], [0, 1, 2, 3, 4], [11, 40], ["a", "b"], ["good", "soso"]])
def test_label_values_that_can_mean_two_things_are_not_guessed(values):
    with pytest.raises(DataError, match="not clear what the values of the column 'label' mean") as caught:
        mapped(text=["some words"] * len(values), label=values)
    observed = sorted(str(value) for value in values)
    assert caught.value.got == observed
    # Every value, with its meaning left open: a proposed one would be copied.
    options = " ".join(f"--set data.labels.{value}=…" for value in observed)
    assert f"add {options} with negative, positive or skip" in caught.value.fix
    labels = dict.fromkeys(observed, "positive")
    assert mapped(choices={"labels": labels}, text=["some words"] * len(values), label=values).labels == labels


def test_many_different_values_are_not_proposed_as_labels():
    with pytest.raises(DataError, match="not clear what the values") as caught:
        mapped(text=["some words"] * 40, label=[f"user {n}" for n in range(40)], mood=["sun", "rain"] * 20)
    assert "40 different values, not labels" in caught.value.fix
    assert "--set data.columns.label=mood" in caught.value.fix
    assert "data.labels" not in caught.value.fix


def test_labels_that_are_mapped_and_nowhere_are_an_error_and_not_ignored():
    columns = {"text": ["a b", "c d"], "label": ["pos", "neg"]}
    with pytest.raises(DataError, match="None of the label values that were mapped is in the column") as caught:
        mapped(choices={"labels": {"0": "negative", "1": "positive"}}, **columns)
    assert caught.value.got == ["0", "1"]
    assert "--set data.labels.neg=… --set data.labels.pos=…" in caught.value.fix
    mapping = mapped(choices={"labels": {"0": "negative"}, "for_another": True}, **columns)
    assert mapping.labels["pos"] == "positive"
    some = mapped(choices={"labels": {"pos": "negative", "5": "positive"}}, **columns)
    assert some.labels["pos"] == "negative" and "(no row has '5')" in some.reason


@pytest.mark.parametrize("values", [["good", "bad", "goood"], [0, 1, "x"], ["pos", "neg", 7]])
def test_a_slip_in_a_label_column_stays_unknown_instead_of_spoiling_the_others(values):
    mapping = mapped(text=["a b c", "d e f", "g h i"], label=values)
    assert sorted(mapping.labels.values()) == ["negative", "positive"]
    assert str(values[2]) not in mapping.labels


def test_a_label_column_with_a_slip_is_not_deserted_for_another_column():
    assert mapped(text=list("abc"), label=["good", "bad", "goood"], score=[1, 3, 5]).target == "label"


def test_a_chosen_column_wins_over_a_well_named_one():
    mapping = mapped(
        choices={"columns": {"text": "title", "label": "mood"}},
        text=["long words here", "and also here"],
        title=["A", "B"],
        label=["0", "1"],
        mood=["good", "bad"],
    )
    assert (mapping.input, mapping.target) == ("title", "mood")
    assert "chosen" in mapping.reason


def test_a_label_mapping_by_hand_is_enough_for_any_values():
    mapping = mapped(
        choices={"labels": {"Meh": "skip", "Yum": "positive", "Yuck": "Negative", "?": ""}},
        text=["a", "b", "c", "d"],
        label=["yum", "YUCK", "meh", "?"],
    )
    assert mapping.labels == {"meh": None, "yum": "positive", "yuck": "negative", "?": None}
    assert "by hand" in mapping.reason


def test_a_label_mapping_by_hand_overrules_the_guess_and_leaves_the_rest_to_it():
    mapping = mapped(choices={"labels": {"3": "negative"}}, text=list("abcde"), label=["1", "2", "3", "4", "5"])
    assert mapping.labels["3"] == "negative"
    assert mapping.labels["5"] == "positive"


def test_a_value_that_was_mapped_by_hand_is_not_said_to_be_read_otherwise():
    mapping = mapped(choices={"labels": {"3": "negative"}}, text=list("abcde"), label=["1", "2", "3", "4", "5"])
    assert "1 to 5 stars mean 1/2 = negative, 4/5 = positive, the rest mapped by hand." in mapping.reason


def test_another_table_is_read_on_the_scale_of_the_one_that_is_trained_on():
    usual = mapped(text=list("abcd"), label=[1, 4, 7, 10]).labels
    again = {"usual_labels": usual, "for_another": True}
    mapping = mapped(choices=again, text=list("abcd"), label=[1, 3, 4, 5])
    assert [mapping.labels[value] for value in "1345"] == ["negative", "negative", "negative", None]
    assert "1/3/4 = negative, 5 = left out, as in the rows that are trained on." in mapping.reason
    by_hand = mapped(choices=again | {"labels": {"5": "positive"}}, text=list("abcd"), label=[1, 3, 4, 5])
    assert by_hand.labels["5"] == "positive" and by_hand.labels["4"] == "negative"
    assert "1/3/4 = negative, as in the rows that are trained on, the rest mapped by hand." in by_hand.reason
    words = mapped(choices=again, text=list("ab"), label=["good", "bad"])  # it says nothing of these
    assert words.labels == {"good": "positive", "bad": "negative"}


def test_numbers_mapped_by_hand_for_another_table_are_not_mixed_with_a_guess():
    choices = {"labels": {"1": "negative", "2": "positive"}, "for_another": True}
    columns = {"text": list("abcde"), "label": ["1", "2", "3", "4", "5"]}
    with pytest.raises(DataError, match="not clear what the values of the column 'label' mean") as caught:
        mapped(choices=choices, **columns)
    assert caught.value.got == ["3", "4", "5"]
    assert "add --set data.labels.3=… --set data.labels.4=… --set data.labels.5=… with" in caught.value.fix
    told = {**choices["labels"], "3": "positive", "4": "skip", "5": "skip"}
    assert mapped(choices=choices | {"labels": told}, **columns).labels["3"] == "positive"


@pytest.mark.parametrize("values", [[1], [4, 5], [0], [3]])
def test_numbers_of_another_table_that_all_mean_the_same_are_asked_for(values):
    """Nobody knows of how many: a training table of such rows is refused anyway."""
    columns = {"text": ["some words"] * len(values), "label": values}
    known = {"usual_labels": {"-1": "negative", "+1": "positive"}}
    for choices in ({"for_another": True}, known):
        with pytest.raises(DataError, match="not clear what the values of the column 'label' mean"):
            mapped(choices=choices, **columns)
    by_hand = {"for_another": True, "labels": dict.fromkeys(map(str, values), "positive")}
    assert set(mapped(choices=by_hand, **columns).labels.values()) == {"positive"}


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        ({"columns": {"text": "nowhere"}}, "does not exist"),
        ({"columns": {"words": "text"}}, "not a column of the task"),
        ({"columns": {"text": "text", "label": "text"}}, "for both"),
        ({"labels": {"1": "excellent"}}, "not a label of the task"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_with_the_alternatives(choices, complaint):
    with pytest.raises(DataError, match=complaint) as caught:
        mapped(choices=choices, text=["a", "b"], label=["0", "1"])
    assert "text" in caught.value.fix or "positive" in caught.value.fix

"""A hint is in the syntax of the door that asks, and what it says can be done there."""

import shlex

import pytest

from data.columns import guess
from data.sources import open_source
from data.tasks import SENTIMENT
from data.tasks.own import OwnTask
from finetuning.recipe import load_recipe
from plumbing import doors
from plumbing.errors import DataError
from ui.tabs import data_form

RAW = ["fresh", "rotten", "so so", "0.91", "it's", "a,b", "a=b", "$home", "1,5"]
ROWS = [{"review": "some words about it", "verdict": value} for value in RAW]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setattr(doors, "_door", "page")


def complaint(**choices):
    with pytest.raises(DataError) as caught:
        guess(["review", "verdict"], ROWS, SENTIMENT, **choices)
    return str(caught.value)


def between(text, start, end):
    return text.partition(start)[2].partition(end)[0]


def test_on_the_command_line_a_hint_is_options_that_can_be_pasted():
    said = complaint(columns={"label": "verdict"})
    pasted = shlex.split(between(said, "To say it, add ", " with negative"))
    assert pasted[::2] == ["--set"] * len(RAW)
    recipe = load_recipe("sentiment-smollm2-lora", [each.replace("…", "positive") for each in pasted[1::2]])
    assert recipe.data.labels == dict.fromkeys(RAW, "positive")
    assert guess(["review", "verdict"], ROWS, SENTIMENT, labels=recipe.data.labels).target == "verdict"


def test_on_the_page_a_hint_is_what_its_field_takes(page):
    said = complaint(columns={"label": "verdict"})
    assert "--set" not in said
    written = between(said, "To say it, write ", f" in '{doors.FIELDS[doors.LABELS]}'")
    labels = data_form.read_labels(written.replace("…", "positive"))
    assert labels == dict.fromkeys(RAW, "positive")


def test_on_the_page_a_column_is_chosen_in_its_field(page):
    with pytest.raises(DataError) as caught:
        guess(["one", "two"], [{"one": "a few words", "two": "a few others"}], SENTIMENT)
    assert "choose 'one' or 'two' in 'Column of the text'" in str(caught.value)


def test_a_column_of_any_task_has_its_name_at_both_doors(monkeypatch):
    task = OwnTask(kind="generation", inputs=["leaflet", "question"], target="reply").definition()
    for door, said in (
        ("command", "add --set data.columns.leaflet=one or --set data.columns.leaflet=two"),
        ("page", "choose 'one' or 'two' in 'Column of the leaflet'"),
    ):
        monkeypatch.setattr(doors, "_door", door)
        rows = [{"one": "a few words", "two": "a few others", "reply": "yes"}]
        with pytest.raises(DataError) as caught:
            guess(["one", "two", "reply"], rows, task)
        assert said in str(caught.value)
        assert doors.can_set("data.columns.leaflet")


def test_no_hint_says_what_a_label_means():
    assert not {"positive", "negative"} & set(between(complaint(), "To say it, add ", " with").split("="))


def test_a_data_set_that_cannot_be_had_is_not_answered_at_the_page_in_another_doors_words(page, monkeypatch):
    monkeypatch.setattr("data.readers.hub.hub_reachable", lambda: False)
    with pytest.raises(DataError, match="Hub cannot be reached") as caught:
        open_source("hub:nobody/nothing-at-all", SENTIMENT)
    assert "a file of your own" in caught.value.fix and "file:" not in caught.value.fix


def test_an_option_of_a_side_is_written_as_its_door_takes_it(monkeypatch):
    assert doors.side_option("labels", "good,bad") == "--option SIDE.labels=good,bad"
    (written,) = shlex.split(doors.side_option("body", '{"a": 1}'))[1:]
    assert written == 'SIDE.body={"a": 1}'
    monkeypatch.setattr(doors, "_door", "page")
    assert doors.side_option("base", "FOLDER") == "base=FOLDER"

"""A task of one's own is refused where its settings do not go together."""

import pytest
from pydantic import ValidationError

from data.tasks.own import OwnTask


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "generation", "labels": ["a", "b"]}, "labels: a task of kind generation has none"),
        ({"kind": "classification", "labels": ["Red", "red "]}, "two of them are the same"),
        ({"kind": "classification", "labels": ["red"]}, "at least 2 items"),
        ({"kind": "chat", "inputs": ["a", "b"]}, "a task of kind chat reads one column"),
        ({"kind": "generation", "inputs": ["a", "a"]}, "a column is named twice"),
        ({"kind": "generation", "inputs": ["a"], "target": "a"}, "a column is named twice"),
        ({"kind": "text", "target": "a"}, "a task of kind text answers nothing"),
        ({"kind": "preference"}, "Input should be"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        OwnTask(**settings)


def test_several_inputs_are_one_column_of_a_row():
    task = OwnTask(kind="generation", inputs=["passage", "question"], target="answer").definition()
    assert (task.columns, task.source_columns) == (("input", "answer"), ("passage", "question", "answer"))
    assert OwnTask(kind="chat").definition().source_columns == ("messages", "answer")
    assert OwnTask(kind="text").definition().columns == ("text",)

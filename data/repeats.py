"""Rows that say the same: one test row a text, and no text in two splits.

Rows with one text are not independent: counted each for itself they make a test sure of what it does not know. Two
texts are the same if `data.splits.same_text` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from data.splits import Row, same_text, split_rows
from data.tasks import Task
from data.tasks.task import LIKED


@dataclass(frozen=True)
class Repeats:
    """What became of the rows that were given as a test split."""

    given: int
    repeated: int = 0
    """Rows that repeat the text of another and were left out, or whose references were added to its own."""
    contradictory: int = 0
    """Rows left out because their text is there with different labels: no answer is right for all of them."""

    def sentences(self) -> list[str]:
        """Returns what was left out, in words; nothing where nothing was."""
        said = []
        if self.repeated:
            said.append(f"{_rows(self.repeated, 'repeats', 'repeat')} the text of another: one a text is judged.")
        if self.contradictory:
            said.append(
                f"{_rows(self.contradictory, 'is', 'are')} left out: the text is there with different labels."
            )
        return said


def one_row_a_text(rows: Sequence[Row], task: Task) -> tuple[list[Row], Repeats]:
    """Returns the first row of each text, and what was left out.

    Of a classification a text with different labels is left out altogether; of generation one row gets the
    references of all, each once (as in DialogSum's test split, which has three rows a dialogue). Of answers with
    thumbs each answer to a text is a row, and one with both thumbs is left out.
    """
    if rows and LIKED in rows[0]:
        return _one_thumb_an_answer(rows, task)
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(same_text(task.text_of(row)), []).append(row)
    kept: list[Row] = []
    contradictory = 0
    for same in grouped.values():
        if task.kind == "generation":
            kept.append(same[0] if len(same) == 1 else _merged(same, task))
        elif not task.is_classification or len({row[task.target_column] for row in same}) == 1:
            kept.append(same[0])
        else:
            contradictory += len(same)
    return kept, Repeats(len(rows), len(rows) - len(kept) - contradictory, contradictory)


def _one_thumb_an_answer(rows: Sequence[Row], task: Task) -> tuple[list[Row], Repeats]:
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        key = (same_text(task.text_of(row)), same_text(task.references(row)[0]))
        grouped.setdefault(key, []).append(row)
    agreed = [same for same in grouped.values() if len({row[LIKED] for row in same}) == 1]
    contradictory = len(rows) - sum(map(len, agreed))
    return [same[0] for same in agreed], Repeats(len(rows), len(rows) - len(agreed) - contradictory, contradictory)


def _merged(same: Sequence[Row], task: Task) -> Row:
    references = list(dict.fromkeys(text for row in same for text in task.references(row)))
    return {**same[0], task.target_column: references if len(references) > 1 else references[0]}


def without_overlap(splits: Mapping[str, Sequence[Row]], task: Task) -> tuple[dict[str, list[Row]], list[str]]:
    """Returns train, validation and test with every text in one of them only, and sentences on what was left out.

    What is tested is not trained on, and what is trained on does not validate. Where no validation row is left,
    some are taken from training.
    """
    tested = _texts(splits["test"], task)
    train = _but(splits["train"], tested, task)
    trained = _texts(train, task)
    apart = _but(splits["validation"], tested, task)
    validation = _but(apart, trained, task)
    notes = []
    if lost := len(splits["train"]) - len(train) + len(splits["validation"]) - len(apart):
        count = "1 row is" if lost == 1 else f"{lost:,} rows are"
        notes.append(f"{count} also in the test split, and so left out of training and validation.")
    if lost := len(apart) - len(validation):
        notes.append(f"{_rows(lost, 'is', 'are', kind='validation')} also in training, and so left out.")
    if not validation:
        divided = split_rows(train, task, test_fraction=0)
        train, validation = divided["train"], divided["validation"]
    return {"train": train, "validation": validation, "test": list(splits["test"])}, notes


def _texts(rows: Sequence[Row], task: Task) -> set[str]:
    return {same_text(task.text_of(row)) for row in rows}


def _but(rows: Sequence[Row], texts: Set[str], task: Task) -> list[Row]:
    return [row for row in rows if same_text(task.text_of(row)) not in texts]


def _rows(count: int, one: str, several: str, *, kind: str = "test") -> str:
    return f"1 {kind} row {one}" if count == 1 else f"{count:,} {kind} rows {several}"

"""What is wrong with a table's rows, each problem with its place and its remedy, before any model loads.

Knows rows and a mapping; reads no files. A completion that would be cut off is found where the tokenizer is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.chats import Chat, Complaint, chat_of
from data.columns import ColumnMapping
from data.labels import listed
from data.labelwords import label_key
from data.limits import MAX_CELL_CHARS, MAX_ROWS
from data.passages import passages_of
from data.problems import Problem, is_nothing
from data.readers.conversations import Turn, Turns, role_of
from data.tasks import Task
from data.tasks.task import LIKED, REJECTED
from plumbing import doors
from plumbing.printable import brief, one_line

MIN_ROWS_TO_SPLIT = 8
"""Fewer rows than this cannot give a training, a validation and a test split that mean anything."""
BETWEEN_INPUTS = "\n\n"
"""What stands between the columns of an input that has several."""

Row = dict[str, Any]
Numbered = Iterable[tuple[int, Mapping[str, Any]]]


@dataclass
class Checked:
    """What came of the rows of one table."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    chats: list[Chat] = field(default_factory=list)


def check(
    rows: Numbered,
    task: Task,
    mapping: ColumnMapping,
    *,
    minimum: int = 1,
    trained_on: bool = True,
    keep: Sequence[str] = (),
    besides: Sequence[str] = (),
) -> Checked:
    """Returns what came of `rows`, which are (row number, values by table column).

    A clean row has the task's columns, those of `besides`, `row`, and those of the columns in `keep` that the table
    has; of raw text it is a passage, has its `document`, and `ends` where that ends with it. A row whose label the
    mapping leaves out is neither clean nor a problem. `minimum` is how many clean rows there must be; rows that are
    `trained_on` must have several labels, or thumbs.
    """
    checked = Checked()
    one = {"chat": _chat_row, "text": _text_rows}.get(task.kind, _pair_row)
    for number, values in rows:
        kept = {name: values[name] for name in keep if name in values}
        before = len(checked.rows)
        one(number, values, kept, task, mapping, checked)
        if besides and len(checked.rows) > before:
            _add_besides(number, values, task, besides, checked)
    checked.problems += _problems_of_the_whole(checked.rows, task, mapping, minimum, trained_on)
    return checked


def without_empty(
    rows: Sequence[tuple[int, Mapping[str, Any]]], mapping: ColumnMapping, besides: Sequence[str] = ()
) -> list[tuple[int, Mapping[str, Any]]]:
    """Returns the rows in which no column that is needed is empty, and no turn of a conversation."""
    needed = (*mapping.inputs, *([mapping.target] if mapping.target else []), *besides)
    return [(number, row) for number, row in rows if not any(_is_empty(row.get(column)) for column in needed)]


def _is_empty(value: Any) -> bool:
    if isinstance(value, tuple):
        return not value or any(not turn.said.strip() for turn in value)
    return is_nothing(value)


def only_label(rows: Iterable[Row], task: Task) -> str | None:
    """Returns the label that all of `rows` have; None where there are several, or none."""
    labels = {row[task.target_column] for row in rows} if task.is_classification else set()
    return str(labels.pop()) if len(labels) == 1 else None


def _problems_of_the_whole(
    clean: Sequence[Row], task: Task, mapping: ColumnMapping, minimum: int, trained_on: bool
) -> list[Problem]:
    if len(clean) < minimum:
        what = "passage" if task.kind == "text" else "usable row"
        usable = f"1 {what}" if len(clean) == 1 else f"{len(clean)} {what}s"
        needed = "1 is" if minimum == 1 else f"at least {minimum} are"
        if task.kind == "text":
            return [Problem(f"There is too little text: {usable}, and {needed} needed", "Add some.")]
        return [Problem(f"There are too few rows: {usable}, and {needed} needed", "Add rows.")]
    only = only_label(clean, task) if trained_on else None
    if only is not None:
        missing = next((label for label in task.labels or mapping.label_names if label != only), None)
        what = f"Every usable row is {only!r}"
        others = f"that are {missing!r}" if missing else "with another label"
        fix = f"Add rows {others}, or correct the label mapping."
        return [Problem(what, fix, column=mapping.target)]
    thumbs = {row[LIKED] for row in clean if LIKED in row} if trained_on else set()
    if len(thumbs) == 1:
        fix = "Add answers with the other thumb; way: sft learns from good answers alone."
        return [Problem(f"Every thumb is {'up' if thumbs.pop() else 'down'}", fix, column=LIKED)]
    return []


# ---- one row, by the kind of its task ----------------------------------------------------------------------


def _pair_row(
    number: int, values: Mapping[str, Any], kept: Row, task: Task, mapping: ColumnMapping, checked: Checked
) -> None:
    found: list[Problem] = []
    texts = []
    for column in mapping.inputs:
        lines = (
            values if task.is_classification and isinstance(values.get(column), list) else _in_lines(values, column)
        )
        text, complaint = _text(lines, column)
        texts.append(text or "")
        if complaint:
            found.append(Problem(*complaint, number, column))
    target: Any
    if mapping.labels is None:
        target, complaint = _texts(values, mapping.target)
    else:
        target, complaint = _label(values, mapping.target, mapping, task)
    if complaint:
        found.append(Problem(*complaint, number, mapping.target))
    if target is None and complaint is None:
        return  # left out by the mapping: whatever else is odd about it does not matter
    checked.problems += found
    if not found:
        given = BETWEEN_INPUTS.join(texts)
        checked.rows.append({task.input_column: given, task.target_column: target, **kept, "row": number})


def _chat_row(
    number: int, values: Mapping[str, Any], kept: Row, task: Task, mapping: ColumnMapping, checked: Checked
) -> None:
    turns, complaint = _turns(values, mapping)
    chat = chat_of(turns) if turns else complaint
    if isinstance(chat, Chat):
        checked.chats.append(chat)
        given = {task.input_column: chat.messages, task.target_column: chat.answer}
        checked.rows.append({**given, **kept, "row": number})
    elif chat is not None:
        checked.problems.append(Problem(*chat, number, mapping.input))


def _text_rows(
    number: int, values: Mapping[str, Any], kept: Row, task: Task, mapping: ColumnMapping, checked: Checked
) -> None:
    text, complaint = _text(_in_lines(values, mapping.input), mapping.input, most=None)
    if complaint or text is None:
        checked.problems.append(Problem(*(complaint or ("", "")), number, mapping.input))
        return
    last: Row = {}
    for passage in passages_of(text):
        of = {"document": number, "ends": False, "row": len(checked.rows) + 1}
        last = {task.input_column: passage, **kept, **of}
        if len(checked.rows) < MAX_ROWS:
            checked.rows.append(last)
    last["ends"] = True


def _turns(values: Mapping[str, Any], mapping: ColumnMapping) -> tuple[Turns | None, Complaint | None]:
    """A conversation, or a question and its answer as one."""
    value = values.get(mapping.input)
    if not mapping.target:
        if not isinstance(value, tuple):
            what = "The conversation is empty" if is_nothing(value) else "The value is not a conversation"
            return None, (what, f"Write a list of messages with role and content, or {_leave_out()}.")
        turns: Turns = value
    else:
        asked, complaint = (None, None) if isinstance(value, tuple) else _text(values, mapping.input)
        answers = values.get(mapping.target)
        one = (
            {mapping.target: answers[0]} if isinstance(answers, list) and answers else values
        )  # of several, the first
        answer, wrong = _text(one, mapping.target)
        if complaint or wrong:
            return None, complaint or wrong
        before = value if isinstance(value, tuple) else (Turn("user", str(asked)),)
        turns = (*before, Turn("assistant", str(answer)))
    chars = sum(len(turn.said) for turn in turns)
    if chars > MAX_CELL_CHARS:
        return None, _too_long("conversation", chars)
    return turns, None


def _add_besides(
    number: int, values: Mapping[str, Any], task: Task, besides: Sequence[str], checked: Checked
) -> None:
    """Give the row that was found last what it has to have beside its task's columns, or take it out."""
    row = checked.rows[-1]
    for column in besides:
        value, complaint = _worse(values, row, task) if column == REJECTED else _thumb(values)
        if complaint:
            checked.problems.append(Problem(*complaint, number, column))
            checked.rows.pop()
            return
        row[column] = value


# ---- values ------------------------------------------------------------------------------------------------
# A value is (what was read, None) or (None, (what is wrong, how to mend it)).


def _text(
    values: Mapping[str, Any], column: str, *, most: int | None = MAX_CELL_CHARS
) -> tuple[str | None, Complaint | None]:
    if column not in values:
        return None, ("The column is missing", "Add it, or remove the row.")
    value = values[column]
    if is_nothing(value):
        return None, ("The text is empty", f"Write a text, or {_leave_out()}.")
    if not isinstance(value, str):
        kind = "a conversation" if isinstance(value, tuple) else type(value).__name__
        return None, (f"The value is not text but {kind}", "Write it as text.")
    if most is not None and len(value) > most:
        return None, _too_long("text", len(value))
    return value.replace("\r\n", "\n").strip(), None


def _too_long(what: str, chars: int) -> Complaint:
    said = f"The {what} has {chars:,} characters, and the most is {MAX_CELL_CHARS:,}"
    return said, "Shorten it, or remove the row."


def _in_lines(values: Mapping[str, Any], column: str) -> Mapping[str, Any]:
    """A conversation that is a list of turns, as the lines of a text."""
    value = values.get(column)
    if isinstance(value, tuple):
        return {column: "\n".join(f"{turn.speaker}: {turn.said}" if turn.speaker else turn.said for turn in value)}
    if isinstance(value, list) and value and all(isinstance(turn, str) for turn in value):
        return {column: "\n".join(value)}
    return values


def _texts(values: Mapping[str, Any], column: str) -> tuple[str | list[str] | None, Complaint | None]:
    """A text, or a list of texts (several references)."""
    value = values.get(column)
    if not isinstance(value, list):
        return _text(values, column)
    texts = [text for item in value if (text := _text({column: item}, column)[0]) is not None]
    if not value:
        return _text(values, column)
    if not texts or len(texts) < len(value):
        return None, ("The list holds something that is empty, too long or not text", "Give a list of texts.")
    return texts, None


def _label(
    values: Mapping[str, Any], column: str, mapping: ColumnMapping, task: Task
) -> tuple[str | None, Complaint | None]:
    """The label; (None, None) if rows with this value are left out."""
    if column not in values:
        return None, ("The column is missing", "Add it, or remove the row.")
    value, labels, names = values[column], mapping.labels or {}, task.labels or mapping.label_names
    if isinstance(value, (list, tuple, dict, bytes)):
        return None, (f"The label is not a word or a number but {type(value).__name__}", "Write it as a word.")
    key = label_key(value)
    if key == "":
        return None, ("The label is empty", f"Write one of {listed(names)}, or {_leave_out()}.")
    if key not in labels:
        known = ", ".join(brief(raw) for raw in list(labels)[:12])
        seen = "is unknown" if task.polarity else "is not among those that are learned"
        return None, (
            f"The label {brief(value)} {seen} (known: {known})",
            f"Correct it, or {doors.map_labels([one_line(key)])} with {listed(names)} or skip for {doors.OPEN}.",
        )
    return labels[key], None


def _worse(values: Mapping[str, Any], row: Row, task: Task) -> tuple[str | None, Complaint | None]:
    """The worse answer of a pair, as text: of a conversation its last one."""
    value = values.get(REJECTED)
    if isinstance(value, tuple):
        answer, complaint = _last_answer(value, row, task)
    else:
        answer, complaint = _text(values, REJECTED)
    if answer is not None and answer in task.references(row):
        return None, ("Both answers of the pair are the same", "Write another worse one, or remove the row.")
    return answer, complaint


def _last_answer(turns: Turns, row: Row, task: Task) -> tuple[str | None, Complaint | None]:
    """The last answer in what was rejected, which has to follow the same as the better one does."""
    if not any(role_of(turn.speaker) == "user" for turn in turns):
        said = [turn.said for turn in turns if role_of(turn.speaker) == "assistant"]
        return _text({REJECTED: said[-1] if said else ""}, REJECTED)
    chat = chat_of(turns)
    if not isinstance(chat, Chat):
        return None, chat
    given = row[task.input_column]
    before = chat.messages[-1:] if isinstance(given, str) else chat.messages
    asked = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if _said(before) != _said(asked):
        what = "The two conversations of the pair are apart before their last answers"
        return None, (what, "Let both be the same up to there, or remove the row.")
    return _text({REJECTED: chat.answer}, REJECTED)


def _said(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(each["role"], each["content"].strip()) for each in messages if each["role"] != "system"]


def _thumb(values: Mapping[str, Any]) -> tuple[bool | None, Complaint | None]:
    value = values.get(LIKED)
    if isinstance(value, bool):
        return value, None
    if is_nothing(value):
        return None, ("The thumb is missing", f"Write true or false, or {_leave_out()}.")
    return None, (
        f"The thumb {brief(value)} is neither up nor down",
        "Write true for a good answer, false for a bad.",
    )


def _leave_out() -> str:
    return f"{doors.change(doors.SKIP_EMPTY, 'true')} to leave such rows out"

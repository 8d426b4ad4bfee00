"""Metrics that a setting makes: patterns, numbers within a tolerance, JSON, JSON of a form; by name, bounded."""

import json
import random
import socket
import sys
import time
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.tasks import TASKS
from data.tasks.own import OwnTask
from eval.metrics import (
    FAMILIES,
    METRICS,
    is_asked_for,
    is_here,
    metric_named,
    name_from_anywhere,
    open_metric,
    primary_of,
    require_known,
    require_primary,
    shown_name,
    suiting,
)
from eval.metrics.json_answers import MOST_LEVELS, json_in
from eval.metrics.json_equal import same_json
from eval.metrics.json_schema import schema_in
from eval.metrics.number import MOST_DIGITS, number_in
from eval.metrics.patterns import LONGEST_S, MOST_CHARS
from eval.scores import judge, measure, metrics_for, require_scorable, row_scores, scored
from plumbing.errors import DataError, RecipeError

WRITTEN = replace(TASKS["dialogue"], metric="number:1%")


@pytest.fixture(autouse=True)
def as_before():
    """What a test opens is of that test."""
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


@pytest.fixture
def schema(tmp_path):
    """`schema(value)` → the name of the metric whose schema it is."""

    def write(value, name="form.json"):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return f"json-schema:{path}"

    return write


def score(name, answer, *references):
    return metric_named(name).row(answer, list(references) or [""])


# ---- by their names ----------------------------------------------------------------------------------------


def test_one_with_a_setting_is_measured_where_it_is_named_and_its_name_finds_it_again(schema):
    named = ["regex", "regex:^a:b", "number", "number:.5", "number:1%", "json", "json-equal", schema(True)]
    for name in named:
        metric = metric_named(name)
        assert metric.name == name and metric.kind == "binary" and metric.row and metric.title != name
        assert is_asked_for(name) and name not in METRICS
        assert metric not in suiting("generation")
        require_primary(name, "generation")
        require_known(name, "chat")
        open_metric(name, "chat")
        assert metric_named(name).title == metric.title
        require_primary(name, "generation")  # once it is opened, too
    assert not any(is_asked_for(metric.name) for metric in suiting("generation"))
    assert set(FAMILIES) == {"regex", "number", "json", "json-equal", "json-schema"}


def test_it_is_a_tasks_own_metric_with_the_test_of_its_kind():
    answers, references = ["About 99.5 km.", "98 km"], [["100"], ["100"]]
    assert primary_of(WRITTEN).title == "number within 1 %"
    assert row_scores(answers, references, WRITTEN) == [1.0, 0.0]
    assert metrics_for(WRITTEN)[0].name == "number:1%"
    assert [row["number:1%"] for row in scored(answers, references, WRITTEN)] == [1.0, 0.0]
    assert measure(answers, references, WRITTEN)["number:1%"] == 0.5
    found = judge([0.0] * 6, [1.0] * 6, primary_of(WRITTEN))
    assert (found.test, found.outcome) == ("exact McNemar test", "better")
    assert OwnTask(kind="generation", metric="regex:^yes$").definition().metric == "regex:^yes$"


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("number:lots", "generation", "number:lots gives no tolerance; write number:0.01, or number:1%"),
        ("number:-1", "generation", "gives no tolerance"),
        ("number:1e9", "generation", "gives no tolerance"),
        ("regex:(a", "generation", r"\(a is no regular expression: missing \)"),
        (f"regex:{'a' * (MOST_CHARS + 1)}", "chat", "the pattern has 1,001 characters, and 1,000 are the most"),
        ("json:x", "generation", "json takes no setting; write json-schema:FILE for a schema"),
        ("json-equal:x", "generation", "json-equal takes no setting; write json-equal"),
        ("json-schema", "generation", "names no file; write json-schema:FILE"),
        ("json-schema:a\0", "generation", "names no file"),
        ("number", "classification", "right number does not suit .* classification; there are accuracy, or eval"),
        (
            "nmber",
            "generation",
            "there is no metric nmber; .*json-schema:FILE, .*number:0.01, .*regex:PATTERN.*, or",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_what_would_do(name, kind, says):
    with pytest.raises(ValueError, match=says):
        require_primary(name, kind)
    with pytest.raises(RecipeError):
        open_metric(name, kind)
    assert metric_named(name).name == name  # as an old report may hold it


def test_a_file_is_read_only_where_a_person_here_has_named_it(schema, tmp_path, monkeypatch):
    name = schema({"type": "array"})
    task = replace(TASKS["dialogue"], metric=name)
    with pytest.raises(RecipeError, match="not among the metrics that are loaded here"):
        primary_of(task)  # a model from elsewhere may name a file on this machine
    assert is_here(name) and not is_here("regex:a") and is_here("evaluate:wer")
    opened = open_metric(name, "generation")
    assert primary_of(task) is opened and opened.title == "JSON of the form form.json"
    assert shown_name(name) == "json-schema:form.json" and shown_name("regex:/a/b") == "regex:/a/b"
    monkeypatch.chdir(tmp_path)
    assert name_from_anywhere("json-schema:form.json") == name
    assert name_from_anywhere("regex:form.json") == "regex:form.json"


def test_references_that_no_answer_can_be_scored_by_are_refused_with_their_row_before_anything_is_asked():
    references = [["5"], ["none", "6"]]
    with pytest.raises(DataError, match="Row 2: A reference has no number") as found:
        require_scorable(references, WRITTEN)
    assert found.value.got == "none"
    require_scorable([["5"], ["6 or 7"]], WRITTEN)
    with pytest.raises(DataError, match=r"Row 1: A reference is not JSON.*Expecting"):
        require_scorable([["{"]], replace(WRITTEN, metric="json-equal"))
    with pytest.raises(DataError, match="Row 1: A reference cannot be looked for"):
        require_scorable([["("]], replace(WRITTEN, metric="regex"))


# ---- patterns ----------------------------------------------------------------------------------------------


def test_a_pattern_is_found_anywhere_unless_it_says_where():
    assert score("regex:l+o", "  hello, Leo\n") == 1.0
    assert score("regex:^h.*o$", "  hello, Leo\n") == 1.0
    assert score("regex:^Leo", "hello, Leo") == 0.0
    assert score("regex:(?i)LEO", "hello, Leo") == 1.0
    assert score(r"regex:\d{3}:\d", "100:1") == 1.0  # a colon in it
    assert [score("regex", "It is 7.", *patterns) for patterns in (["^7", r"\b7\b"], ["8"])] == [1.0, 0.0]
    assert score("regex", "", "x") == 0.0


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$"])
def test_a_pattern_that_would_take_forever_is_given_up_and_is_an_error_not_a_score(pattern):
    started = time.process_time()
    with pytest.raises(DataError, match=r"more than 0\.5 seconds on one text of 5,001 characters") as found:
        score(f"regex:{pattern}", "a" * 5_000 + "!")
    assert (found.value.got, "(a+)+ is a+" in found.value.fix) == (pattern, True)
    assert time.process_time() - started < 4 * LONGEST_S


# ---- numbers -----------------------------------------------------------------------------------------------

NUMBERS = {
    "It is 42.": 42,
    "first 3, then 4": 4,
    "#### 1,000": 1000,
    "no number at all": None,
    "": None,
    # groups of thousands, and decimals
    "1,234": 1234,
    "1,234,567.5": "1234567.5",
    "1'234'567.5": "1234567.5",
    "1\u2019234": 1234,
    "1\u202f234,5": "1234.5",
    "1\u00a0234.5": "1234.5",
    "1.234": "1.234",
    "1.234.567": 1234567,
    "1.234,5": "1234.5",
    "12,34,567": 1234567,
    "3,14": "3.14",
    "0,125": "0.125",
    ".5": "0.5",
    "-.5": "-0.5",
    "1 234": 234,
    "1,2,3": 3,
    "1.2.3": 3,
    # signs
    "-5": -5,
    "\u22125 \u00b0C": -5,
    "\u20135": -5,
    "+5": 5,
    "-$5": -5,
    "$-5": -5,
    "US$5": 5,
    "x = -5": -5,
    "3\u20135": 5,
    "3-5": 5,
    "(2)-5": 5,
    "COVID-19": 19,
    "the answer--5": 5,
    "- 5 apples": 5,
    # what stands around
    "H2O": None,
    "the 3rd": 3,
    "5 m\u00b2": 5,
    "5 m^2": 5,
    "5 s^-1": 5,
    "5 %": 5,
    "5km": 5,
    "**7**": 7,
    r"\boxed{-12}": -12,
    r"$1{,}234\,\text{m}$": 1234,
    "\u7b54\u6848\u662f42\u3002": 42,
    "\u0664\u0662": 42,
    "\u0661\u066b\u0665": "1.5",
    "\uff14\uff12": 42,
    # powers and fractions
    "2e-3": "0.002",
    "2e-0000003": "0.002",
    "2 \u00d7 10^-3": "0.002",
    "2\u00b710\u207b\u00b3": "0.002",
    r"3 \times 10^{8}": 3 * 10**8,
    "3 * 10**8": 3 * 10**8,
    "10^6": 10**6,
    "10\u00b2": 100,
    "3/4": Fraction(3, 4),
    "-3/4": Fraction(-3, 4),
    "1 1/2": Fraction(3, 2),
    "1\u00bd": Fraction(3, 2),
    r"\frac{3}{4}": Fraction(3, 4),
    "5/11/2024": 2024,
    "2024-01-05": 5,
    "12:30": 30,
    # no numbers, however they look
    "1/0": None,
    "0^-1": None,
    "1e999": None,
    "9^999999999": None,
    "9" * (MOST_DIGITS + 1): None,
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items(), ids=[ascii(text)[:40] for text in NUMBERS])
def test_a_number_is_read_by_the_stated_rule(text, number):
    assert number_in(text) == (None if number is None else Fraction(number))


@pytest.mark.parametrize(
    ("setting", "answer", "reference", "right"),
    [
        ("", "42 apples", "42", 1.0),
        ("", "42.0", "42", 1.0),
        ("", "42.1", "42", 0.0),
        ("", "-42", "42", 0.0),
        ("", "none", "42", 0.0),
        (":0.01", "0.31", "0.3", 1.0),  # as a computer subtracts them they are further apart
        (":0.01", "0.3101", "0.3", 0.0),
        (":0", "1/3", "2/6", 1.0),
        (":1%", "1,010", "1000", 1.0),
        (":1%", "1,011", "1000", 0.0),
        (":1%", "-990", "-1000", 1.0),
        (":50%", "0.0001", "0", 0.0),
        (":.5", "0.5", "0", 1.0),
    ],
)
def test_a_number_is_right_within_the_tolerance(setting, answer, reference, right):
    assert score(f"number{setting}", answer, reference) == right
    assert score(f"number{setting}", answer, "987654321", reference) == right


@settings(max_examples=300, deadline=None)
@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=2),
    st.sampled_from([",.", "'.", "\u202f,", "\u00a0,"]),
    st.sampled_from(["{}", "The answer is {}.", "It is {} km", "({})", "**{}**", "1 and 2 make {}"]),
    st.sampled_from(["-", "\u2212", "\u2013"]),
)
def test_a_number_that_was_written_is_read(number, signs, sentence, minus):
    written = f"{abs(number):,.2f}".replace(",", "G").replace(".", signs[1]).replace("G", signs[0])
    text = sentence.format(f"{minus if number < 0 else ''}{written}")
    assert number_in(text) == Fraction(number)


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        st.sampled_from("0123456789.,-+/^*eE$ \u2212\u00bd\u00b2\u2044\u202f'\\{}frac\u0665x\u00d7"), max_size=60
    )
)
def test_no_text_is_too_odd_to_be_read(text):
    found = number_in(text)
    assert found is None or isinstance(found, Fraction)
    assert found is None or any(sign.isdigit() or sign == "\u00bd" for sign in text)


def test_a_long_answer_is_read_at_once():
    for piece in ("1,", "1 1/", "1.", "-", "1 ", "9", "10^", "1/2/", "\\frac{1}{2}", "\u00bd"):
        started = time.process_time()
        number_in(piece * 20_000)
        assert time.process_time() - started < 2


# ---- JSON --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"a": [1, 2.5, null, true]}', 1.0),
        ("  7 \n", 1.0),
        ('"text"', 1.0),
        ('```json\n{"a": 1}\n```', 1.0),
        ("```\n[]\n```", 1.0),
        ('```json\n{"code": "```sh\\nls\\n```"}\n```', 1.0),
        ("```", 0.0),
        ("`````", 0.0),
        ('{"a": 1, "a": 2}', 1.0),
        ("\ufeff[]", 1.0),
        ("", 0.0),
        ("{'a': 1}", 0.0),
        ('{"a": 1,}', 0.0),
        ("NaN", 0.0),
        ("[Infinity]", 0.0),
        ("1e999", 0.0),
        ("9" * 5_000, 0.0),
        ('Here you are: {"a": 1}', 0.0),
        ('```json\n{"a": 1}\n```\nThat is it.', 0.0),
        ("```python\n[]\n```", 0.0),
        ("```json\n[]\n``` ```json\n[]\n```", 0.0),
        ("[" * MOST_LEVELS + "]" * MOST_LEVELS, 1.0),
        ("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1), 0.0),
        ("[" * 200_000, 0.0),
        ('{"a":' * 200_000, 0.0),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_answer_is_json_or_not(answer, right):
    assert score("json", answer) == right


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value, draw):
    if isinstance(value, dict):
        items = [(key, shuffled(one, draw)) for key, one in value.items()]
        draw.shuffle(items)
        return dict(items)
    return [shuffled(one, draw) for one in value] if isinstance(value, list) else value


@settings(max_examples=200, deadline=None)
@given(JSON, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([None, 2]))
def test_the_same_value_is_the_same_in_any_order_of_keys_and_any_spacing(value, draw, ascii_only, indent):
    one = json.dumps(value, ensure_ascii=ascii_only)
    other = json.dumps(shuffled(value, draw), ensure_ascii=not ascii_only, indent=indent)
    assert score("json-equal", other, one) == score("json-equal", one, "[[0]]", other) == 1.0
    assert same_json(json_in(one), value)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('{}[]",:0123456789.-+eEtruefalsn \n\\u`N'), max_size=40))
def test_json_is_what_the_library_reads_and_nothing_else_is_raised(text):
    try:
        expected = json.loads(text.strip())
    except ValueError:
        expected = None
    try:
        found = json_in(text)
    except ValueError:
        assert expected is None or "N" in text or "e" in text.lower() or text.strip() == "null"
    else:
        assert "```" in text or same_json(found, expected)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 1.0),
        ("[1, 2]", "[2, 1]", 0.0),
        ("1", "1.0", 1.0),
        ("1", "true", 0.0),
        ("0", "false", 0.0),
        ("null", "0", 0.0),
        ('{"a": null}', "{}", 0.0),
        ('"\\u00e9"', '"\u00e9"', 1.0),
        ('{"a": 1, "a": 2}', '{"a": 2}', 1.0),
        ("no JSON", "1", 0.0),
    ],
)
def test_which_values_are_the_same(one, other, same):
    assert score("json-equal", one, other) == same


# ---- JSON of a form ----------------------------------------------------------------------------------------

TICKET = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"team": {"enum": ["billing", "repairs"]}, "days": {"type": "integer", "minimum": 0}},
    "patternProperties": {"^x-": {"$ref": "#/$defs/word"}},
    "additionalProperties": False,
    "required": ["team"],
    "$defs": {"word": {"type": "string", "pattern": r"^\w+$"}},
}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"team": "billing", "days": 3}', 1.0),
        ('```json\n{"team": "repairs", "x-by": "Leo"}\n```', 1.0),
        ('{"team": "billing", "x-by": "Leo Long"}', 0.0),
        ('{"team": "billing", "by": "Leo"}', 0.0),
        ('{"team": "billing", "days": true}', 0.0),
        ('{"team": "billing", "days": -1}', 0.0),
        ('{"days": 3}', 0.0),
        ("[]", 0.0),
        ("team: billing", 0.0),
    ],
)
def test_an_answer_is_of_a_form(schema, answer, right):
    assert score(schema(TICKET), answer) == right


def test_a_form_refers_to_itself_to_any_depth_that_is_read(schema):
    name = schema({"type": "array", "items": {"$ref": "#"}})
    assert [score(name, answer) for answer in ("[[], [[]]]", "[[1]]")] == [1.0, 0.0]
    node = {"type": "object", "properties": {"in": {"$ref": "#/$defs/any"}}, "additionalProperties": False}
    either = {"anyOf": [{"type": "null"}, {"allOf": [{"$ref": "#/$defs/node"}]}]}
    involved = schema({"$ref": "#/$defs/any", "$defs": {"any": either, "node": node}}, "involved.json")
    for inmost, right in (("null", 1.0), ("1", 0.0)):
        deep = '{"in": ' * MOST_LEVELS + inmost + "}" * MOST_LEVELS
        assert score(involved, deep) == right


@pytest.mark.parametrize(
    ("draft", "right"),
    [("http://json-schema.org/draft-04/schema#", 0.0), ("http://json-schema.org/draft-07/schema#", 1.0)],
)
def test_a_form_is_of_the_draft_that_it_names(schema, draft, right):
    name = schema({"$schema": draft, "type": "integer"})
    assert score(name, "1.0") == right  # what an integer is has changed
    assert score(schema({"$schema": draft, "pattern": "^a"}, "other.json"), '"ba"') == 0.0


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{", "cannot be used: Expecting"),
        ("[]", "neither an object nor true or false"),
        ({"type": "objct"}, "cannot be used: type: 'objct' is not valid"),
        ({"properties": {"a": {"minimum": "1"}}}, "properties/a/minimum: '1' is not of type"),
        ({"$schema": "https://example.com/mine"}, "is not a draft that is known here"),
        ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "one file is of one draft"),
        ({"$ref": "https://example.com/form.json"}, "refers to https://example.com/form.json, which is not in it"),
        ({"items": {"anyOf": [{"$ref": "other.json"}]}}, "refers to other.json, which is not in it"),
        ({"$ref": "#/$defs/none"}, "which is not in it"),
        ({"$ref": "#"}, "refers to itself without an end"),
        ({"pattern": "(a"}, r"\(a is no regular expression"),
        ({"patternProperties": {"(a": True}}, r"\(a is no regular expression"),
        ({"patternProperties": {"a": True}, "allOf": [{"unevaluatedProperties": False}]}, "use additionalProp"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_no_schema_is_told_when_it_is_named_and_nothing_is_fetched(schema, value, says, monkeypatch):
    def refuse(*_):
        raise AssertionError("it went to the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(RecipeError, match=says):
        open_metric(schema(value), "generation")


def test_a_schema_has_to_be_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(RecipeError, match="The schema cannot be used"):
            open_metric(f"json-schema:{path}", "chat")
    large = tmp_path / "large.json"
    large.write_text(" " * 2**21)
    with pytest.raises(RecipeError, match="longer than"):
        schema_in(str(large))


def test_patterns_of_a_form_are_bounded_in_keys_and_values(schema):
    hostile = "a" * 5_000 + "!"
    slow = "(a+)+$"
    for form, answer in (
        ({"pattern": slow}, hostile),
        ({"patternProperties": {slow: True}}, {hostile: 1}),
        ({"additionalProperties": False, "patternProperties": {slow: True}}, {hostile: 1}),
    ):
        with pytest.raises(DataError, match="takes more than"):
            score(schema(form, f"{random.random()}.json"), json.dumps(answer))


def test_alternatives_that_refer_to_themselves_do_not_double_the_time_with_each_level(schema):
    """Kinds that are told apart by a value: every level of an answer is looked at as each of them."""
    kinds = [
        {"properties": {"kind": {"const": kind}, "of": {"$ref": "#"}}, "required": ["kind"]}
        for kind in ("sum", "not")
    ]
    name = schema({"oneOf": kinds})
    assert score(name, '{"kind": "not", "of": {"kind": "sum"}}') == 1.0
    assert score(name, '{"kind": "not", "of": {"kind": "product"}}') == 0.0
    started = time.process_time()
    with pytest.raises(RecipeError, match="too many steps"):
        score(name, '{"kind": "not", "of": ' * 40 + "{}" + "}" * 40)
    assert time.process_time() - started < 20
    doubled = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(RecipeError, match="refers to itself without an end, or too often"):
        open_metric(schema({"$ref": "#/$defs/d0", "$defs": {**doubled, "d40": True}}, "doubled.json"), "chat")


def test_patterns_of_a_form_are_those_of_the_package_regex(schema):
    name = schema({"pattern": r"^\p{Lu}\p{L}+$"})
    assert [score(name, answer) for answer in ('"\u00c9mile"', '"emile"')] == [1.0, 0.0]


def test_nothing_heavy_is_imported_before_a_form_is_read():
    assert "eval.metrics.json_schema" in sys.modules
    code = "import sys, eval.metrics; print(*sorted({'jsonschema', 'regex', 'torch'} & set(sys.modules)))"
    import subprocess

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []

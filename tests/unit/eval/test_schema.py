"""Every field says what it is, the schema file is that of the code, and what a report derives is right."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from eval.metrics import METRICS
from eval.metrics.rouge import ROUGE_NAMES, rouge_scores
from eval.report import schema as module
from eval.report.schema import Report, RowResult, json_schema
from eval.report.sections import ChangedAnswer, Forgetting
from eval.statistics import judge_scores

SCHEMA_FILE = Path(module.__file__).with_name("report.schema.json")


def objects(schema, path=""):
    """Every (path, object schema) of a JSON schema."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield path, schema
        for key, value in schema.items():
            yield from objects(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from objects(value, f"{path}/{index}")


def test_the_schema_file_is_that_of_the_code():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema(), (
        "eval/report/report.schema.json is not that of eval/report/schema.py. "
        "Write it again: python -m eval.report.schema > eval/report/report.schema.json"
    )


def test_every_field_says_what_it_is():
    schemas = json.loads(json_schema())
    found = list(objects(schemas))
    fields = [(path, name, field) for path, schema in found for name, field in schema["properties"].items()]
    assert len(found) >= 20 and len(fields) >= 90

    def said(path, field):
        # pydantic leaves the description out where it is that of the object referred to
        target = schemas[path.split("/")[1]]["$defs"].get(field.get("$ref", "").rsplit("/", 1)[-1], {})
        return field.get("description") or target.get("description", "")

    assert [(path, name) for path, name, field in fields if len(said(path, field)) < 8] == []
    assert [path for path, schema in found if not schema.get("description")] == []


def test_no_object_takes_an_unknown_key():
    found = list(objects(json.loads(json_schema())))
    assert [path for path, schema in found if schema.get("additionalProperties") is not False] == []


def test_unknown_keys_are_refused(make_report, flipped):
    rows = flipped(4, 2, 1)
    with pytest.raises(ValidationError, match="significance"):
        make_report("sentiment", rows, significance=0.01)
    with pytest.raises(ValidationError, match="why"):
        RowResult(**rows[0].model_dump(), why="because")


def test_a_report_cannot_be_changed(make_report, flipped):
    report = make_report("sentiment", flipped(4, 2, 1))
    with pytest.raises(ValidationError, match="frozen"):
        report.n = 5


@pytest.mark.parametrize("field", ["n", "batch_size"])
def test_counts_start_at_one(make_report, flipped, field):
    with pytest.raises(ValidationError, match=field):
        make_report("sentiment", flipped(4, 2, 1), **{field: 0})


def test_the_verdict_is_that_of_the_primary_metric_wherever_it_stands(make_report, flipped):
    report = make_report("sentiment", flipped(30, 10, 1))
    assert [metric.name for metric in report.metrics] == ["accuracy", "macro_f1"]
    turned = Report(**report.model_dump() | {"metrics": [metric.model_dump() for metric in report.metrics[::-1]]})
    for one in (report, turned):
        assert one.primary.name == "accuracy"
        assert one.verdict == one.primary.judgement
    assert report.primary.difference == pytest.approx(9 / 30)


def test_every_metric_has_a_title(make_report, flipped, text_row):
    assert set(METRICS) >= {"accuracy", "macro_f1", *ROUGE_NAMES}
    report = make_report("dialogue", [text_row("Ana: Hi.", ["Hi."], "Hi.", "Ho.")])
    titles = ["ROUGE-1", "ROUGE-2", "ROUGE-Lsum", "chrF", "exact match", "token F1"]
    assert [metric.title for metric in report.metrics] == ["ROUGE-L", *titles]


def test_changed_counts_the_answers_that_differ():
    pairs = [("a", "a"), ("a", "b"), ("", ""), ("c", "")]
    found = Forgetting(
        passages=2,
        tokens=9,
        base_perplexity=3.0,
        tuned_perplexity=4.0,
        judgement=judge_scores([0.0, 0.1], [0.0, 0.2]),
        agreement=0.5,
        answers=[ChangedAnswer(instruction="Do.", base=base, tuned=tuned) for base, tuned in pairs],
    )
    assert found.changed == 2


def test_a_change_is_tuned_minus_base(label_row):
    assert label_row("Fine.", "positive", 0.1, 0.9).change("accuracy") == 1.0
    assert label_row("Fine.", "positive", 0.9, 0.1).change("accuracy") == -1.0
    assert label_row("Fine.", "positive", 0.9, 0.6).change("accuracy") == 0.0


def test_what_differs_by_rounding_alone_is_no_change(text_row):
    """Both answers share a third of the words, 1 of 4 and 2 of 10; the quotients differ in the last bit."""
    reference = "one two"
    base, tuned = "one x x x", "one two x x x x x x x x"
    each = [rouge_scores(answer, [reference])["rougeL"] for answer in (base, tuned)]
    assert each[0] != each[1] and each[0] == pytest.approx(each[1], abs=1e-15)
    assert text_row("Ana: One.", [reference], base, tuned).change("rougeL") == 0.0

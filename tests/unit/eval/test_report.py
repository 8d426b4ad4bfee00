"""A report survives the disk, says what changed in a sentence, and shows foreign text without obeying it."""

import json

import pytest
from pydantic import BaseModel, ValidationError

from data.errors import RunError
from eval import report as module
from eval.report import (  # split
    AdapterProofInfo,
    BaseModelInfo,
    DataInfo,
    MetricResult,
    Report,
    RowResult,
    SideResult,
    headline,
    load,
    save,
    to_markdown,
)


def metric(name="accuracy", base=0.5078, tuned=0.7789, primary=True):
    return MetricResult(name=name, base=base, tuned=tuned, primary=primary)


def make(**changed):
    values = {
        "task": "sentiment",
        "kind": "causal",
        "metrics": [metric(), metric("macro_f1", 0.5, 0.45, primary=False)],
        "n": 380,
        "base": BaseModelInfo(
            name="owner/some_model",
            origin="package mirror",
            revision="some-model==1.2",
            weights_sha256="ab" * 32,
        ),
        "precision": "bfloat16",
        "adapter_proof": AdapterProofInfo(largest_change=3.25, same_weights=True, sentence="adapter acts"),
        "prompt_sha256": "cd" * 32,
        "data": DataInfo(spec="corpus:reviews", split="test", test_sha256="ef" * 32),
        "batch_size": 16,
        "max_new_tokens": None,
        "versions": {"torch": "2.13.0"},
        "seconds": 12.3,
        "created": "2026-01-02T03:04:05+00:00",
    }
    return Report(**values | changed)


def row(text, base, tuned, reference="positive"):
    def side(answer):
        probability = {"negative": 0.25, "positive": 0.75}
        return SideResult(answer=answer, scores={"accuracy": float(answer == reference)}, probabilities=probability)

    return RowResult(input=text, references=[reference], base=side(base), tuned=side(tuned))


ROWS = [row("Same on both.", "positive", "positive"), row("Größe passt, sehr schön.", "negative", "positive")]


def test_round_trip(tmp_path):
    folder = tmp_path / "deep" / "eval"
    save(make(), ROWS, folder)
    report, rows = load(folder)
    assert (report, list(rows)) == (make(), ROWS)
    assert sorted(path.name for path in folder.iterdir()) == ["report.json", "report.md", "rows.jsonl"]
    assert (folder / "report.md").read_text(encoding="utf-8") == to_markdown(make(), ROWS)


def test_the_report_is_written_last_and_never_beside_rows_of_another(tmp_path, monkeypatch):
    save(make(), ROWS, tmp_path)
    written = []

    def stop_at_the_markdown(path, text):
        written.append(path.name)
        if path.name == "report.md":
            raise OSError("disk full")

    monkeypatch.setattr(module, "write_atomically", stop_at_the_markdown)
    with pytest.raises(OSError, match="disk full"):
        save(make(n=1), ROWS[:1], tmp_path)
    assert written == ["rows.jsonl", "report.md"]
    with pytest.raises(RunError, match="There is no report"):
        load(tmp_path)


def test_a_damaged_report_or_row_is_named(tmp_path):
    save(make(), ROWS, tmp_path)
    with (tmp_path / "rows.jsonl").open("a", encoding="utf-8") as rows:
        rows.write('{"input": "cut o')
    with pytest.raises(RunError, match=r"rows\.jsonl, line 3"):
        list(load(tmp_path)[1])
    values = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (tmp_path / "report.json").write_text(json.dumps(values | {"n": "many"}), encoding="utf-8")
    with pytest.raises(RunError, match=r"report\.json: n:"):
        load(tmp_path)


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError, match="significance"):
        make(significance=0.01)


def test_every_field_says_what_it_is():
    models = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    fields = [(model, name, field) for model in models for name, field in model.model_fields.items()]
    assert len(fields) > 30
    assert [(model, name) for model, name, field in fields if not field.description] == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "On 380 reviews accuracy went from 0.51 to 0.78."),
        ({"n": 1}, "On 1 review accuracy went from 0.51 to 0.78."),
        ({"n": 1380, "metrics": [metric(tuned=0.5079)]}, "On 1,380 reviews accuracy stayed at 0.51."),
        (
            {"task": "dialogue", "metrics": [metric("rougeL", 0.16, 0.29)], "n": 80},
            "On 80 dialogues ROUGE-L went from 0.16 to 0.29.",
        ),
    ],
)
def test_headline(changed, sentence):
    assert headline(make(**changed)) == sentence


def test_markdown_begins_with_the_sentence_and_ends_with_examples():
    text = to_markdown(make(), ROWS)
    assert text.startswith("# On 380 reviews accuracy went from 0.51 to 0.78.\n")
    assert "| accuracy | 0.508 | 0.779 | +0.271 |" in text
    assert "| macro-F1 | 0.500 | 0.450 | -0.050 |" in text
    assert "owner/some\\_model, from package mirror (some-model==1.2)" in text
    for fact in (
        "ab" * 32,
        "cd" * 32,
        "ef" * 32,
        "corpus:reviews",
        "bfloat16",
        "torch 2.13.0",
        "adapter acts",
    ):
        assert fact in text
    assert "significan" not in text
    assert "Größe" in text
    assert "Same on both" not in text  # the rows that changed come first


def test_markdown_shows_three_examples_at_most():
    rows = [row(f"Review {number}.", "negative", "positive") for number in range(9)]
    assert to_markdown(make(), rows).count("**Tuned:** positive") == 3
    assert "Both sides answer every row alike" in to_markdown(make(), ROWS[:1])


def test_markdown_does_not_obey_the_text_in_it():
    rows = [row("# big\n- list\n1. one\n<script>alert(1)</script>", "**bold**", "![x](http://x.example/y)")]
    text = to_markdown(make(), rows)
    assert "> \\# big\\\n> \\- list\\\n> 1\\. one\\\n> \\<script\\>alert(1)" in text
    assert "**Base:** \\*\\*bold\\*\\*" in text
    assert "**Tuned:** !\\[x\\](http" in text

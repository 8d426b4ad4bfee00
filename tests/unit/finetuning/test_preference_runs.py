"""Runs of pairs and thumbs from their rows to their reports: resumed to the same end, continued, judged again."""

import io
import json
import math

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from eval.report.folder import load
from finetuning.export.model_card import model_card
from finetuning.judged_rows import choose_rows
from finetuning.printing import print_report
from finetuning.recipe import load_recipe, with_overrides
from finetuning.runs import launch
from finetuning.runs.folder import create_run
from finetuning.trainers.reference import MEASURING, REFERENCE_FILE
from finetuning.training import run_training

STEPS = 5
"""The fourth is in the second epoch of pairs."""


def settings(base, rows, *more):
    return [
        f"model.base={base}",
        f"data.source=file:{rows}",
        "model.precision=float32",
        f"training.max_steps={STEPS}",
        "training.batch_size=8",
        "training.gradient_accumulation=1",
        "training.learning_rate=0.01",
        "training.eval_steps=3",
        "evaluation.max_new_tokens=4",
        "evaluation.forgetting=false",
        *more,
    ]


@pytest.fixture(scope="module", params=["dpo", "kto"])
def finished(request, tiny_llama, pairs_file, tmp_path_factory):
    """A run, undisturbed."""
    recipe = load_recipe(f"dialogue-smollm2-{request.param}", settings(tiny_llama, pairs_file))
    run = create_run(recipe, tmp_path_factory.mktemp("runs"))
    run_training(run, run.cancel_requested)
    assert run.status().state == "finished"
    return run


def curve(run):
    return [[line[name] for name in ("step", "loss", "rewards/margins", "tokens")] for line in run.metrics()[0]]


def test_its_lines_have_what_its_way_logs_and_its_report_what_is_preferred(finished):
    recipe = finished.recipe()
    lines = finished.metrics()[0]
    assert lines[0]["loss"] == pytest.approx({"dpo": math.log(2), "kto": 0.5}[recipe.way.kind], abs=1e-4)
    for name in recipe.way.curves:
        assert all(name in line for line in lines)
    held = [line for line in finished.evaluations() if "eval_loss" in line]
    assert len(held) == 2 and all(f"eval_{name}" in line for line in held for name in recipe.way.curves)
    report, rows = load(finished.evaluation)
    rows = list(rows)
    assert report.primary.name == "rougeL" and report.n == len(rows)
    judged = report.preference if recipe.way.kind == "dpo" else report.thumbs
    assert judged.divergence.nats > 0 and report.data.selection.eligible == report.n
    assert (judged.pairs if recipe.way.kind == "dpo" else judged.liked) == report.n
    card = model_card(recipe, report, rows)
    assert recipe.way.about() in card and "nats a token away from the base" in card
    console = Console(file=io.StringIO(), width=500)
    print_report(console, report)
    said = {"dpo": "held-out pairs the base prefers the better answer", "kto": "held-out answers have a thumb up"}
    assert said[recipe.way.kind] in console.file.getvalue()
    assert "way:" in (finished.folder / "recipe.yaml").read_text()


def test_a_cancelled_run_goes_on_to_the_same_end(finished, tmp_path, monkeypatch):
    run = create_run(with_overrides(finished.recipe(), {"evaluation.skip": True}), tmp_path)
    run_training(run, lambda: run.status().done >= 3 and run.status().phase == "Fine-tuning")
    assert run.status().state == "cancelled" and (run.checkpoints / REFERENCE_FILE).is_file()
    assert not (run.checkpoints / "README.md").exists()  # nobody waits for cards of checkpoints
    monkeypatch.setattr(launch, "_start", lambda queued: None)
    launch.resume(run)
    run_training(run, run.cancel_requested)
    assert run.status().state == "finished"
    torch.testing.assert_close(torch.tensor(curve(run)), torch.tensor(curve(finished)), atol=1e-6, rtol=1e-5)
    ours, theirs = (load_file(each.tuned / "adapter_model.safetensors") for each in (run, finished))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_it_can_be_cancelled_while_its_reference_is_measured(finished, tmp_path):
    run = create_run(finished.recipe(), tmp_path)
    run_training(run, lambda: run.status().phase == MEASURING)
    assert run.status().state == "cancelled" and not run.metrics()[0]


def test_where_it_goes_on_with_an_adapter_that_is_its_reference(finished, tiny_llama, pairs_file, tmp_path):
    """Its first loss is that of no reward at all, though the adapter has moved far from the base."""
    recipe = load_recipe(
        f"dialogue-smollm2-{finished.recipe().way.kind}",
        settings(tiny_llama, pairs_file, f"model.adapter={finished.folder}", "training.max_steps=1",
                 "evaluation.skip=true"),
    )  # fmt: skip
    run = create_run(recipe, tmp_path)
    run_training(run, run.cancel_requested)
    assert run.metrics()[0][0]["loss"] == pytest.approx(finished.metrics()[0][0]["loss"], abs=1e-4)
    assert "It went on with the adapter" in run.status().facts["continues"]


def test_it_is_judged_on_rows_without_pairs_as_well_and_that_is_said(finished, pairs_file, dialogues_file):
    pairs = choose_rows(finished.tuned, f"file:{pairs_file}", keep_trained=True)
    column = finished.recipe().way.besides[0]
    assert column in pairs.rows.column_names
    plain = choose_rows(finished.tuned, f"file:{dialogues_file}", keep_trained=True)
    assert column not in plain.rows.column_names
    assert any(
        note.endswith("so it is not measured which answers are preferred.") for note in plain.selection.notes
    )


def test_an_answer_that_is_there_twice_is_left_out_and_nothing_is_said_to_be_added_to_another(finished, tmp_path):
    if finished.recipe().way.kind != "kto":
        pytest.skip("of answers with thumbs")
    answers = [("One.", True), ("Two.", False), ("One.", True)]
    rows = [{"dialogue": "Ana: Which?", "summary": said, "liked": liked} for said, liked in answers]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = choose_rows(finished.tuned, f"file:{tmp_path / 'a.jsonl'}").selection
    assert (found.given, found.repeated, found.merged) == (3, 1, False)


def test_other_worse_answers_are_other_rows(finished, tmp_path, pairs_file, monkeypatch):
    from plumbing.errors import RunError

    if finished.recipe().way.kind != "dpo":
        pytest.skip("once is enough")
    mine = tmp_path / "mine.jsonl"
    mine.write_text(pairs_file.read_text())
    recipe = load_recipe("dialogue-smollm2-dpo", settings(finished.recipe().model.base, mine))
    run = create_run(recipe, tmp_path / "runs")
    run_training(run, lambda: run.status().done >= 1 and run.status().phase == "Fine-tuning")
    rows = [json.loads(line) | {"rejected": "Other."} for line in mine.read_text().splitlines()]
    mine.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(launch, "_start", lambda queued: None)
    launch.resume(run)
    with pytest.raises(RunError, match="The data has changed since the run began"):
        run_training(run, run.cancel_requested)


def test_the_metric_on_the_way_is_of_good_answers(tiny_llama, pairs_file, tmp_path):
    recipe = load_recipe(
        "dialogue-smollm2-kto",
        settings(tiny_llama, pairs_file, "training.eval_metric=true", "training.max_steps=1", "strategy.kind=full",
                 "evaluation.skip=true"),
    )  # fmt: skip
    run = create_run(recipe, tmp_path)
    run_training(run, run.cancel_requested)
    assert 0 <= run.evaluations()[-1]["eval_metric"] <= 1

"""A run of a person's own task, adapter or whole model, is trained, judged, judged again and gated."""

import json

import pytest

from eval.compare import compare
from eval.gate import Baseline, check_run, frozen_rows, measured
from eval.report.folder import load
from eval.report.markdown import headline
from finetuning.evaluation import evaluate_adapter
from finetuning.judged_rows import choose_rows
from finetuning.recipe import load_recipe
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from models.pair import open_pair
from models.tuned import tuned_in

TEAMS = ("billing", "delivery", "returns of billing", "returns")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Mails of four teams, and chats of one to three turns."""
    folder = tmp_path_factory.mktemp("own")
    mails = [{"body": f"Mail {n}: it is about {TEAMS[n % 4]} again.", "team": TEAMS[n % 4]} for n in range(120)]
    chats = []
    for n in range(60):
        turns = [
            {"role": "user", "content": f"Is box {n} there?"},
            {"role": "assistant", "content": f"Box {n} is."},
        ]
        for again in range(n % 3):
            turns += [
                {"role": "user", "content": f"And number {again} of box {n}?"},
                {"role": "assistant", "content": f"Number {again}, too."},
            ]
        chats.append({"messages": turns})
    for name, rows in (("mails", mails), ("chats", chats)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


SETTINGS = {
    "mails": ["task.kind=classification", "task.inputs=[body]", "task.target=team", "task.noun=mails"],
    "chats": ["task.kind=chat", "task.instruction=You keep boxes."],
}


@pytest.fixture(
    scope="module",
    params=[("mails", "lora"), ("mails", "full"), ("chats", "lora"), ("chats", "last")],
    ids="-".join,
)
def run(request, files, tiny_llama, tmp_path_factory):
    """A finished run of two steps."""
    name, strategy = request.param
    recipe = load_recipe(
        "sentiment-smollm2-lora",
        [
            f"strategy={strategy}",
            *SETTINGS[name],
            f"model.base={tiny_llama}",
            f"data.source=file:{files / name}.jsonl",
            "training.max_steps=2",
            "training.batch_size=4",
            "evaluation.max_new_tokens=5",
            "evaluation.few_shot_draws=1",
            f"evaluation.forgetting={'false' if strategy == 'lora' else 'true'}",
        ],
    )
    made = create_run(recipe, tmp_path_factory.mktemp("runs"))
    run_training(made, made.cancel_requested)
    assert made.status().state == "finished"
    return made


@pytest.mark.cuda
def test_it_is_reported_judged_again_and_gated(run):
    report, rows = load(run.evaluation)
    rows = list(rows)
    recipe = run.recipe()
    kind = recipe.task_definition.kind
    assert (report.about.kind, report.whole, report.strategy) == (
        kind,
        recipe.strategy.whole,
        recipe.strategy_title,
    )
    assert report.n == len(rows) > 8 and report.asked.noun[1] in headline(report)
    assert (report.forgetting is not None) == recipe.strategy.whole
    if kind == "chat":
        assert report.turns.tokens > 0 and rows[0].messages[-1].role == "user" and report.few_shot is None
        assert {"rougeL", "perplexity", "exact_match"} <= set(rows[0].base.scores)
    else:
        assert set(report.confusion.labels) == set(TEAMS) == set(rows[0].tuned.probabilities)
        assert [floor.name for floor in report.floors] == ["majority class", "TF-IDF + logistic regression"]
        assert report.few_shot.examples == 4
    judged = choose_rows(run.tuned)
    assert judged.selection.trained_on == 0
    again = evaluate_adapter(run.tuned, judged).report
    assert (again.metrics, again.data.test_sha256) == (report.metrics, report.data.test_sha256)
    everything = choose_rows(run.tuned, recipe.data.source)
    assert everything.selection.trained_on > 20
    folder = tuned_in(run.folder)
    pair = open_pair(folder)
    kept, frozen, test = frozen_rows(run.evaluation, pair.task)
    now = measured(run.id, compare(pair, test, max_new_tokens=5))
    outcome = check_run(now, Baseline.of(run.id, kept, list(frozen)), None)
    assert not any("changed" in failure or "got worse" in failure for failure in outcome.failures), outcome

"""A run in several processes of this machine: what it learns is what one learns, and none is left behind."""

import importlib.util
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from eval.report.folder import load as load_report
from finetuning.launchers.here import Here, worker_environment
from finetuning.processes import RUN_VARIABLE
from finetuning.recipe import load_recipe, with_overrides
from finetuning.runs import launch
from finetuning.runs.folder import create_run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("ranks_train.py")
STEPS = 6
SETTINGS = [
    f"training.max_steps={STEPS}",
    "training.batch_size=4",
    "training.gradient_accumulation=1",
    "training.learning_rate=0.01",
]
"""Four batches are an epoch: the last one has one row, or three."""


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory):
    """Without dropout, which each process draws for itself."""
    tiny_models = _load("tiny_models", ROOT / "tests" / "unit" / "conftest.py")
    folder = tiny_models._build_bert(tmp_path_factory.mktemp("tiny-bert"))
    config = json.loads((folder / "config.json").read_text())
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config | none))
    return folder


@pytest.fixture(scope="module")
def recipes(tiny_llama, tiny_bert, reviews_file, tmp_path_factory):
    """One of each way, on rows of unequal length."""
    folder = tmp_path_factory.mktemp("rows")
    words = [(thing, word) for thing in ("shop", "old desk") for word in ("open", "free", "here", "warm and kind")]
    said = [(f"Ana: Is the {thing} {word}?\nLeo: Yes.", f"The {thing} is {word}." * (1 + len(word) % 3), "No.")
            for thing, word in words for _ in range(4)]  # fmt: skip
    names = ("dialogue", "chosen", "rejected")
    dialogues = [{**dict(zip(names, row, strict=True)), "dialogue": f"{row[0]} {n}"} for n, row in enumerate(said)]
    texts = [{"text": f"Dear Ana, it is day {n}. {'The soup is warm. ' * (n % 9)}Yours, Leo"} for n in range(60)]
    for name, rows in (("pairs", dialogues), ("letters", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def recipe(name, base, rows, *more):
        fixed = [f"model.base={base}", "model.precision=float32", f"data.source=file:{rows}"]
        return load_recipe(name, [*fixed, *SETTINGS, *more])

    pairs, few, more = folder / "pairs.jsonl", "data.train_rows=13", "data.train_rows=15"
    accumulated = "training.gradient_accumulation=2"
    found = {
        "sft": recipe("sentiment-smollm2-lora", tiny_llama, reviews_file, few),
        "sft-full": recipe(
            "sentiment-smollm2-lora", tiny_llama, reviews_file, "strategy.kind=full", more,
            "training.batch_size=1", "training.gradient_accumulation=4",
        ),
        "text": recipe("style-smollm2-lora", tiny_llama, folder / "letters.jsonl", "training.max_tokens=128"),
        "classify": recipe("sentiment-minilm-lora", tiny_bert, reviews_file, few, accumulated),
        "dpo": recipe("dialogue-smollm2-dpo", tiny_llama, pairs, more),
        "kto": recipe("dialogue-smollm2-kto", tiny_llama, pairs, more),
        "reward": recipe("dialogue-smollm2-reward", tiny_llama, pairs, few),
    }  # fmt: skip
    in_shards = {"training.shard": True, "where": "here:2"}
    return found | {f"{way}-shards": with_overrides(found[way], in_shards) for way in ("sft", "text", "dpo", "kto")}


@pytest.fixture(scope="module")
def of_two(recipes, tmp_path_factory):
    """way → what both of two processes ended with, each in its turn."""
    import torch

    folder = tmp_path_factory.mktemp("two")
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(recipe.to_yaml())
    command = [*Here(2)._command()[:-2], str(SCRIPT), str(folder)]
    environment = worker_environment(2) | {"PYTHONPATH": str(ROOT), RUN_VARIABLE: str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        code = process.wait(3600)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code == 0, (folder / "log").read_text()[-5000:]
    return {name: [torch.load(folder / f"{name}-{rank}.pt") for rank in (0, 1)] for name in recipes}


WAYS = ["sft", "sft-full", "text", "classify", "dpo", "kto", "reward"]
WAYS += ["sft-shards", "text-shards", "dpo-shards", "kto-shards"]


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_learn_what_one_learns(way, recipes, of_two, tmp_path):
    """After six steps with large ones among them: a gradient that is another in one of them is another weight."""
    import torch

    recipe = with_overrides(recipes[way], {"training.shard": None, "where": "here"})
    alone = _load("ranks_train", SCRIPT).learn(recipe, tmp_path)
    first, second = of_two[way]
    assert first["seen"] + second["seen"] == alone["seen"] and second["seen"] > 0
    assert alone["rows"] % 4 or recipe.way.kind in ("text", "kto")
    assert len(alone["steps"]) == len(first["steps"]) == STEPS
    for name in ("loss", "grad_norm", "num_tokens", *recipes[way].way.curves):
        ours, theirs = ([line.get(name, 0) for line in each["steps"]] for each in (first, alone))
        assert ours == pytest.approx(theirs, rel=2e-4 if name == "grad_norm" else 1e-5, abs=1e-5), name
    assert first["held"] == pytest.approx(alone["held"], rel=1e-4, abs=1e-5)
    assert len(alone["gradients"]) == len(first["gradients"]) == 2
    for ours, theirs in zip(first["gradients"], alone["gradients"], strict=True):
        assert ours.keys() == theirs.keys() and any(value.abs().max() > 1e-3 for value in theirs.values())
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, atol=2e-5, rtol=1e-4, msg=name)
    for name, value in alone["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name]), name
        torch.testing.assert_close(first["weights"][name], value, atol=2e-4, rtol=0, msg=name)


# ---- what becomes of the processes ---------------------------------------------------------------------------


def of_run(run):
    """Processes that carry the run's name in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == str(run.folder) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def rank_of(run, rank):
    return next(each for each in of_run(run) if each.environ().get("RANK") == str(rank))


def follow(run, wait_for, until):
    def look():
        launch.reconcile(run.folder.parent)
        return until()

    wait_for(look, timeout_s=3600, poll_s=0.2)


def test_whatever_becomes_of_one_the_run_goes_on_in_any_number_and_ends_as_one_undisturbed(
    tiny_recipe, tmp_path, wait_for
):
    from safetensors.torch import load_file

    recipe = tiny_recipe("strategy.dropout=0", "training.max_steps=40", "training.eval_steps=10")
    expected = create_run(recipe, tmp_path / "expected")
    follow(expected, wait_for, lambda: expected.status().state == "finished")

    run = launch.submit(with_overrides(recipe, {"where": "here:2"}), tmp_path / "runs")
    follow(run, wait_for, lambda: run.checkpoint() is not None)
    assert len(of_run(run)) == 3 and run.process_alive()
    rank_of(run, 1).suspend()  # it hangs, and the first one waits for it
    launch.cancel(run)
    follow(run, wait_for, lambda: run.status().state == "cancelled")
    wait_for(lambda: not of_run(run))

    launch.resume(run)
    follow(run, wait_for, lambda: run.status().phase == "Fine-tuning" and run.status().done > 12)
    rank_of(run, 1).kill()
    follow(run, wait_for, lambda: run.status().state == "interrupted")
    wait_for(lambda: not of_run(run))
    assert "Resume goes on from checkpoint-" in run.status().error

    launch.resume(run, where="here")
    follow(run, wait_for, lambda: run.status().phase == "Fine-tuning" and run.status().done > 20)
    assert run.status().facts["world_size"] == 1 and run.recipe().where == "here"
    launch.cancel(run)
    follow(run, wait_for, lambda: run.status().state == "cancelled")

    launch.resume(run, where="here:2")
    follow(run, wait_for, lambda: run.status().state not in launch.ACTIVE)
    assert run.status().state == "finished", run.log_tail()
    wait_for(lambda: not of_run(run))
    assert run.status().facts["world_size"] == 2
    for name in ("loss", "tokens"):
        ours, theirs = ([line[name] for line in each.metrics()[0]] for each in (run, expected))
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    ours, theirs = ([line["eval_loss"] for line in each.evaluations()] for each in (run, expected))
    assert ours == pytest.approx(theirs, rel=1e-4)
    ours, theirs = (load_file(each.tuned / "adapter_model.safetensors") for each in (run, expected))
    for name, value in theirs.items():
        assert (ours[name] - value).abs().max() < 1e-3, name

    (ours, rows), (theirs, those) = (load_report(each.evaluation) for each in (run, expected))
    assert ours.n == theirs.n and ours.data == theirs.data
    for row, other in zip(rows, those, strict=True):  # each by one of the two, and in their order
        assert (row.input, row.references) == (other.input, other.references)
        assert row.base.probabilities == pytest.approx(other.base.probabilities, abs=1e-6)
        assert row.tuned.probabilities == pytest.approx(other.tuned.probabilities, abs=1e-3)

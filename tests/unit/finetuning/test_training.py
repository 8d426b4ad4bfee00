"""A whole run in this process on tiny models of each architecture: every file is there, and means what it says."""

import gc
import json
import weakref

import pytest
import torch
from safetensors.torch import load_file
from transformers import DistilBertConfig, DistilBertModel
from transformers.models.llama.modeling_llama import LlamaMLP

from eval.report.folder import load as load_report
from eval.report.markdown import explanation
from finetuning.export.folder import copy_tuned
from finetuning.runs import launch
from finetuning.runs.folder import Run, create_run
from finetuning.training import run_training
from models.adapters import BaseOrigin
from models.fast.llama import LlamaLayers
from models.loading import load
from models.pair import open_pair
from plumbing.errors import DataError, RecipeError, RunError


@pytest.fixture(scope="session")
def tiny_distilbert(tiny_bert, tmp_path_factory):
    """A random two-layer DistilBERT with the tokenizer of `tiny_bert`."""
    from models.loading import load_tokenizer
    from models.sources import resolve

    folder = tmp_path_factory.mktemp("tiny-distilbert")
    tokenizer = load_tokenizer(resolve(str(tiny_bert)))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    DistilBertModel(config).save_pretrained(folder)
    return folder


def run_to_end(recipe, folder):
    run = create_run(recipe, folder)
    run_training(run, run.cancel_requested)
    return run


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("sentiment-smollm2-lora", "tiny_llama"),
        ("dialogue-smollm2-qlora", "tiny_llama"),
        ("dialogue-llama2-7b-qlora", "tiny_llama"),
        ("sentiment-distilbert-lora", "tiny_distilbert"),
        ("sentiment-minilm-lora", "tiny_bert"),
    ],
)
def test_every_recipe_runs_to_its_end(name, model, request, recipe_on, tmp_path):
    recipe = recipe_on(name, request.getfixturevalue(model))
    run = run_to_end(recipe, tmp_path)
    status = run.status()
    assert status.state == "finished"
    assert [line["step"] for line in run.metrics()[0]] == [1, 2]
    report, rows = load_report(run.evaluation)
    assert report.n == len(list(rows))
    assert report.train_rows == status.facts["train_rows"]
    asked, causal = recipe.evaluation, recipe.kind == "causal"
    examples = recipe.task_definition.few_shot if asked.few_shot is None else asked.few_shot
    assert (report.few_shot.examples if report.few_shot else 0) == (examples if causal else 0)
    assert (report.forgetting is not None) == causal
    assert BaseOrigin.load(run.tuned).precision == status.facts["precision"]
    assert (run.tuned / "README.md").read_text().startswith("---\nbase_model:")
    assert not run.checkpoints.exists()
    if recipe.model.precision == "nf4":
        assert status.facts["four_bit_share"] > 0.4  # the rest is embeddings, as large as the layers here
        assert status.facts["weight_mb"] < status.facts["weight_mb_unpacked"]
    assert open_pair(run.tuned).proof.largest_change > 0


@pytest.mark.cuda
def test_the_status_names_every_phase_in_order_and_the_recipe_says_which(
    tiny_llama, recipe_on, tmp_path, monkeypatch
):
    seen = []
    write = Run.write_status

    def seeing(run, status):
        seen.append((status.state, status.phase, status.done, status.total))
        write(run, status)

    monkeypatch.setattr(Run, "write_status", seeing)

    def phases(*overrides):
        seen.clear()
        run_to_end(recipe_on("sentiment-smollm2-lora", tiny_llama, *overrides), tmp_path)
        return list(dict.fromkeys(phase for state, phase, _, _ in seen if state == "evaluating"))

    evaluation = [
        "Fine-tuning",  # the state changes first
        "Comparing base and tuned",
        "The base with examples",
        "General text, to see what was forgotten",
    ]
    assert phases() == evaluation
    for phase in evaluation[1:]:
        last = [(done, total) for _, name, done, total in seen if name == phase][-1]
        assert last[0] == last[1] > 0
    assert phases("evaluation.few_shot=0", "evaluation.forgetting=false") == evaluation[:2]


@pytest.mark.cuda
def test_a_run_can_be_stopped_while_forgetting_is_measured(tiny_llama, recipe_on, tmp_path):
    run = create_run(recipe_on("sentiment-smollm2-lora", tiny_llama), tmp_path)
    run_training(run, lambda: run.status().phase == "General text, to see what was forgotten")
    assert run.status().state == "cancelled"
    assert not (run.evaluation / "report.json").exists()


@pytest.mark.cuda
def test_a_run_that_is_asked_to_stop_keeps_a_checkpoint_and_has_no_adapter(tiny_llama, recipe_on, tmp_path):
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama, "training.max_steps=50")
    run = create_run(recipe, tmp_path)
    run_training(run, lambda: len(run.metrics()[0]) >= 3)
    assert run.status().state == "cancelled"
    assert not run.tuned.exists()
    checkpoints = list(run.checkpoints.glob("checkpoint-*"))
    assert len(checkpoints) == 1 and (checkpoints[0] / "DONE").exists()
    assert len(run.metrics()[0]) <= 4


def test_a_row_that_is_too_long_is_refused_with_its_number_before_a_model_is_loaded(
    tiny_llama, recipe_on, tmp_path, monkeypatch
):
    monkeypatch.setattr("finetuning.training.load", lambda *_, **__: pytest.fail("a model was loaded"))
    recipe = recipe_on("dialogue-smollm2-qlora", tiny_llama, "training.max_tokens=16")
    with pytest.raises(DataError, match="cut off"):
        run_to_end(recipe, tmp_path)


@pytest.mark.cuda
@pytest.mark.parametrize("module", ["c_attn", "lm_head", "model.layers.0.self_attn.q_proj"])
def test_target_modules_that_cannot_be_adapted_are_named_before_training(module, tiny_llama, recipe_on, tmp_path):
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama, f"strategy.target_modules=[q_proj, {module}]")
    with pytest.raises(RecipeError, match=r"these can: .*q_proj") as caught:
        run_to_end(recipe, tmp_path)
    assert caught.value.got == [module]


@pytest.mark.cuda
def test_an_exported_adapter_can_be_opened_and_brings_its_report(tiny_llama, recipe_on, tmp_path):
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama, "evaluation.forgetting=false")
    run = run_to_end(recipe, tmp_path / "runs")
    for _ in range(2):  # the second time replaces the first
        copy_tuned(run, tmp_path / "out")
    assert open_pair(tmp_path / "out").proof.same_weights
    assert json.loads((tmp_path / "out" / "eval" / "report.json").read_text())["n"] > 0


def test_what_was_tuned_is_not_copied_over_a_folder_of_somebody_elses(tiny_llama, recipe_on, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from finetuning.cli import app

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    run = create_run(recipe_on("sentiment-smollm2-lora", tiny_llama), tmp_path)
    run.tuned.mkdir()
    run.evaluation.mkdir(exist_ok=True)
    (run.evaluation / "report.json").write_text("{}")
    with pytest.raises(RunError, match="no export of this kind"):
        copy_tuned(run, tmp_path / "mine")
    # And nothing is trained for it before that is known.
    monkeypatch.setattr("finetuning.runs.launch.submit", lambda *_, **__: pytest.fail("a run was started"))
    done = CliRunner().invoke(app, ["train", "sentiment-smollm2-lora", "--export", str(tmp_path / "mine")])
    assert isinstance(done.exception, RunError)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_a_run_that_is_not_finished_cannot_be_exported(tiny_llama, recipe_on, tmp_path):
    run = create_run(recipe_on("sentiment-smollm2-lora", tiny_llama), tmp_path)
    with pytest.raises(RunError, match="finished"):
        copy_tuned(run, tmp_path / "out")


@pytest.mark.parametrize("name", ["sentiment-smollm2-lora", "dialogue-smollm2-qlora"])
def test_each_step_of_a_run_is_computed_by_hand(name, tiny_llama, recipe_on, tmp_path, monkeypatch):
    """As peft and TRL call the model: they pass more than a test does that calls it itself."""
    steps, own = [], LlamaLayers.__call__
    monkeypatch.setattr(LlamaLayers, "__call__", lambda *given: steps.append(1) or own(*given))
    settings = ["training.max_steps=2", "training.gradient_accumulation=1", "evaluation.skip=true"]
    run_to_end(recipe_on(name, tiny_llama, *settings), tmp_path)
    assert len(steps) == 2


@pytest.mark.cuda
def test_gradient_checkpointing_computes_layers_again_and_learns_the_same(
    tiny_llama, recipe_on, tmp_path, monkeypatch
):
    entered, own = [], LlamaMLP.forward

    def entering(*given, **more):
        entered.append(1)
        return own(*given, **more)

    monkeypatch.setattr(LlamaMLP, "forward", entering)
    settings = ["model.precision=float32", "training.max_steps=3", "evaluation.skip=true"]
    losses, counts = [], []
    for kept in ("false", "true"):
        own_settings = [*settings, f"training.gradient_checkpointing={kept}", "strategy.dropout=0.2"]
        own_settings.append("training.eval_rows=0")
        run = run_to_end(recipe_on("sentiment-smollm2-lora", tiny_llama, *own_settings), tmp_path / kept)
        losses.append([line["loss"] for line in run.metrics()[0]])
        counts.append(len(entered))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    layers, steps = 2, 3
    assert counts[1] - counts[0] == counts[0] + layers * steps  # once more a layer and step


def test_gradient_checkpointing_is_heeded_where_layers_are_computed_by_hand(
    tiny_llama, recipe_on, tmp_path, monkeypatch
):
    monkeypatch.setattr(LlamaLayers, "__call__", lambda *_: pytest.fail("by hand, which keeps everything"))
    settings = ["training.gradient_checkpointing=true", "evaluation.skip=true", "training.max_steps=1"]
    assert run_to_end(recipe_on("sentiment-smollm2-lora", tiny_llama, *settings), tmp_path).metrics()[0]


@pytest.mark.parametrize("strategy", ["lora", "full"])
def test_a_run_that_was_stopped_after_its_last_step_learns_nothing_more(
    strategy, tiny_llama, recipe_on, tmp_path, monkeypatch
):
    settings = ["training.schedule=constant", "evaluation.skip=true", f"strategy={strategy}"]
    run = create_run(recipe_on("sentiment-smollm2-lora", tiny_llama, *settings), tmp_path)
    run_training(run, lambda: run.status().done >= 1 and run.status().phase == "Fine-tuning")
    name = "adapter_model.safetensors" if strategy == "lora" else "model.safetensors"
    learned = load_file(run.checkpoints / "checkpoint-2" / name)
    assert run.status().state == "cancelled"
    monkeypatch.setattr(launch, "_start", lambda queued: None)
    launch.resume(run)
    run_training(run, run.cancel_requested)
    assert run.status().state == "finished" and [line["step"] for line in run.metrics()[0]] == [1, 2]
    saved = load_file(run.tuned / name)
    assert all(torch.equal(value, saved[name].float()) for name, value in learned.items())
    assert "Step " in run.status().facts["kept"] and run.status().training_seconds > 0


@pytest.mark.cuda
def test_a_run_of_a_single_step_learns(tiny_llama, recipe_on, tmp_path):
    settings = ["training.max_steps=1", "evaluation.skip=true"]
    run = run_to_end(recipe_on("sentiment-smollm2-lora", tiny_llama, *settings), tmp_path)
    assert run.metrics()[0][0]["learning_rate"] > 0
    assert open_pair(run.tuned).proof.largest_change > 0


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("name", "model"), [("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")]
)
def test_the_trained_model_is_gone_when_the_evaluation_opens_one(
    name, model, request, recipe_on, tmp_path, monkeypatch
):
    trained, alive = [], []

    def loading(*arguments, **options):
        loaded = load(*arguments, **options)
        trained.append(weakref.ref(loaded.model))
        return loaded

    def opening(*arguments, **options):
        alive.extend(one() is not None for one in trained)
        return open_pair(*arguments, **options)

    monkeypatch.setattr("finetuning.training.load", loading)
    monkeypatch.setattr("finetuning.evaluation.open_pair", opening)
    gc.disable()  # whether Python happens to collect in time is not what is tested
    try:
        settings = ["evaluation.few_shot=0", "evaluation.forgetting=false"]
        run_to_end(recipe_on(name, request.getfixturevalue(model), *settings), tmp_path)
    finally:
        gc.enable()
    assert alive == [False]


@pytest.mark.cuda
def test_a_loss_that_rose_is_said_in_status_report_and_model_card(tiny_bert, recipe_on, tmp_path):
    more = ["training.max_steps=24", "training.learning_rate=1"]
    run = run_to_end(recipe_on("sentiment-minilm-lora", tiny_bert, *more), tmp_path)
    said = run.status().facts["loss"]
    assert said.startswith("The loss rose in training, from ") and said.endswith("training.learning_rate was 1.")
    report, _ = load_report(run.evaluation)
    assert report.training == said and explanation(report).endswith(said)
    assert said in (run.evaluation / "report.md").read_text()
    assert said in (run.tuned / "README.md").read_text()

"""Going on with an adapter: it begins with those weights, and one that does not fit is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file

from data.trained_rows import TrainedRows
from finetuning.continuing import earlier_adapter
from finetuning.preparation import open_data
from finetuning.recipe import with_overrides
from finetuning.runs.beginning import with_whole_paths
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from plumbing.errors import RecipeError, RunError

CASES = {
    "causal": ("sentiment-smollm2-lora", "tiny_llama", ["strategy.rslora=true"]),
    "classifier": ("sentiment-minilm-lora", "tiny_bert", []),
}


def trained(recipe, folder):
    run = create_run(recipe, folder)
    run_training(run, lambda: run.status().state == "evaluating")
    return run


def weights(run):
    return load_file(run.tuned / "adapter_model.safetensors")


@pytest.fixture(scope="module", params=CASES)
def first(request, recipe_on, tmp_path_factory):
    name, base, settings = CASES[request.param]
    more = ["model.precision=float32", "training.max_steps=4", "training.warmup_share=0", *settings]
    return trained(recipe_on(name, request.getfixturevalue(base), *more), tmp_path_factory.mktemp("runs"))


def going_on(first, **changes):
    still = {"training.learning_rate": 1e-30, "training.max_steps": 1}
    return with_overrides(first.recipe(), {"model.adapter": first.id, **still, **changes})


@pytest.mark.parametrize("named", ["id", "folder"])
def test_it_begins_with_the_adapters_weights_and_notes_which(first, named, tmp_path, monkeypatch):
    recipe = going_on(first)
    if named == "folder":
        monkeypatch.chdir(first.folder.parent)
        recipe = with_whole_paths(with_overrides(recipe, {"model.adapter": f"{first.id}/adapter"}))
        assert recipe.model.adapter == str(first.tuned)
    runs = first.folder.parent if named == "id" else tmp_path
    run = trained(recipe, runs)
    for name, value in weights(first).items():
        assert torch.equal(weights(run)[name], value), name
    assert run.status().facts["continues"] == f"It went on with the adapter {recipe.model.adapter}."
    noted = json.loads((run.folder / "continues.json").read_text())
    assert noted["folder"] == str(first.tuned) and len(noted["sha256"]) == 64
    other = "None of them was ever trained on."
    learned = [row["text"] for row in open_data(recipe).splits["train"]]
    for one in (first, run):
        assert all(text in TrainedRows.load(one.folder) for text in learned)
        assert other not in TrainedRows.load(one.folder)


def test_what_the_earlier_run_learned_from_is_no_news_to_the_later_one(tmp_path):
    TrainedRows.of(["one"]).save(tmp_path)
    second = TrainedRows.of(["two"], after=TrainedRows.load(tmp_path))
    second.save(tmp_path)
    TrainedRows.of(["three"], after=TrainedRows.load(tmp_path)).save(tmp_path)
    found = TrainedRows.load(tmp_path)
    assert all(text in found for text in ("one", "two", "three")) and "four" not in found
    assert len(found) == 1


@pytest.mark.parametrize("change", [{"strategy.rank": 2}, {"strategy.alpha": 3.0}, {"strategy.dora": True}])
def test_other_settings_are_refused_with_its_own(first, change):
    (name, value), own = *change.items(), first.recipe().strategy
    then = getattr(own, name.partition(".")[2])
    with pytest.raises(RecipeError, match=f"{name} is {value}, and its own is {then}") as caught:
        trained(going_on(first, **change), first.folder.parent)
    assert caught.value.fix == "Set them to its own."


def test_another_base_is_refused(first, make_llama, make_bert, tmp_path):
    make = make_llama if first.recipe().kind == "causal" else make_bert
    recipe = going_on(first, **{"model.base": str(make(tmp_path / "other", seed=5))})
    with pytest.raises(RecipeError, match="was trained on another base model"):
        trained(recipe, first.folder.parent)


@pytest.mark.parametrize(
    ("name", "error"), [("sentiment-smollm2-lora-20260101-000000-0000", RunError), (".", RecipeError)]
)
def test_what_is_not_there_is_told_before_any_data_is_read(first, name, error, monkeypatch):
    monkeypatch.setattr("finetuning.training.open_data", lambda *_: pytest.fail("the data was read"))
    with pytest.raises(error, match="There is no"):
        trained(going_on(first, **{"model.adapter": name}), first.folder.parent)


def test_of_a_whole_model_it_is_said_what_it_is(first, tiny_whole):
    with pytest.raises(RecipeError, match="There is no adapter to go on with") as caught:
        earlier_adapter(going_on(first, **{"model.adapter": str(tiny_whole)}))
    assert caught.value.fix.endswith(f"set model.base={tiny_whole}.")

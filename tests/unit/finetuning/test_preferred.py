"""What Train begins with: the largest of the operator's recipes that fits, and why none before it was taken."""

import pytest

from data.tasks import DIALOGUE, SENTIMENT
from finetuning import preferred
from finetuning.estimates.estimate import peak_memory_mb
from finetuning.limits import check_recipe, read_limits
from finetuning.preferred import VARIABLE, beginning_of, choose
from finetuning.recipe import load_recipe
from plumbing.errors import RecipeError

LLAMA, QWEN = "dialogue-llama2-7b-qlora", "dialogue-qwen3-17b-qlora"
WANTED = [load_recipe(LLAMA), load_recipe(QWEN)]
OWN = load_recipe(DIALOGUE.recipe)


@pytest.fixture(autouse=True)
def anew():
    beginning_of.cache_clear()
    yield
    beginning_of.cache_clear()


@pytest.mark.parametrize(("gpu_gb", "taken"), [(24, LLAMA), (16, LLAMA), (6, QWEN), (3, DIALOGUE.recipe)])
def test_the_first_that_fits_is_taken_and_those_before_it_are_said_with_their_numbers(gpu_gb, taken):
    found = choose(WANTED, OWN, gpu_gb * 1024)
    assert found.recipe.name == taken
    said = [name for name in ("Llama-2-7b-hf", "Qwen3-1.7B") if name in found.reason]
    assert len(said) == {LLAMA: 1, QWEN: 2, DIALOGUE.recipe: 2}[taken]
    assert f"{gpu_gb}.0 GB" in found.reason
    if taken == LLAMA:
        assert f"{peak_memory_mb(WANTED[0]) / 1024:.1f} GB" in found.reason


def test_without_a_gpu_the_tasks_own_recipe_is_taken_and_that_is_said(monkeypatch):
    monkeypatch.setenv(VARIABLE, f" {LLAMA}, {QWEN}")
    monkeypatch.setattr(preferred, "gpu_memory_mb", lambda: None)
    found = beginning_of(DIALOGUE)
    assert found.recipe == OWN
    assert found.reason == "Llama-2-7b-hf and Qwen3-1.7B would be trained on a GPU, and this machine has none."
    assert beginning_of(SENTIMENT).reason == ""  # no recipe of this task is preferred


def test_where_nobody_prefers_anything_nothing_is_asked_of_the_machine(monkeypatch):
    monkeypatch.setattr(preferred, "gpu_memory_mb", lambda: pytest.fail("asked"))
    assert beginning_of(DIALOGUE) == preferred.Beginning(OWN)


def test_strangers_may_train_what_the_operator_prefers(monkeypatch):
    with pytest.raises(RecipeError, match="only base models that it knows"):
        check_recipe(WANTED[0], read_limits())
    monkeypatch.setenv(VARIABLE, LLAMA)
    limits = read_limits("rows=500")
    check_recipe(WANTED[0], limits)
    assert limits.rows == 500 and limits.base_models[-1] == "NousResearch/Llama-2-7b-hf"


def test_a_recipe_that_there_is_none_of_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "dialogue-llama3")
    with pytest.raises(RecipeError, match=r"BEFORE_AFTER_RECIPES names no recipe.*dialogue-llama3.*There are"):
        read_limits()

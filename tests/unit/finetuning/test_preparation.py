"""From a recipe's data settings to rows, and to the tokens a person is shown."""

from data.sources import open_source
from data.tasks import SENTIMENT
from finetuning.preparation import open_data, token_preview
from finetuning.recipe import load_recipe


def test_train_rows_are_a_seeded_sample_and_test_rows_the_first():
    recipe = load_recipe("sentiment-smollm2-lora", ["data.train_rows=50", "data.test_rows=7"])
    first, second = open_data(recipe).splits, open_data(recipe).splits
    whole = open_source("corpus:reviews", SENTIMENT).splits
    assert len(first["train"]) == 50 and first["train"]["text"] == second["train"]["text"]
    assert first["train"]["text"] != whole["train"]["text"][:50]
    assert first["test"]["text"] == whole["test"]["text"][:7]


def test_the_preview_is_what_is_trained_on(tiny_llama, recipe_on):
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama)
    row = {"text": "The soup was warm.", "label": "positive"}
    tokens = token_preview(recipe, row)
    text = "".join(token for token, _ in tokens)
    assert "The soup was warm." in text
    assert [token for token, trained in tokens if trained] == ["positive", "<|im_end|>"]


def test_a_classifier_sees_the_bare_text_and_no_token_is_a_target(tiny_bert, recipe_on):
    recipe = recipe_on("sentiment-minilm-lora", tiny_bert)
    tokens = token_preview(recipe, {"text": "the film", "label": "positive"})
    assert [token for token, _ in tokens] == ["[CLS]", "the", "film", "[SEP]"]
    assert not any(trained for _, trained in tokens)

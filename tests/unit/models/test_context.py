"""Rows and messages that do not fit into a base model are refused with their number, wherever they come from."""

import pytest
from rich.console import Console
from transformers import BertConfig, LlamaConfig, RobertaConfig

from data.problems import ProblemsError
from eval.compare import compare
from finetuning import chat
from finetuning.estimates.estimate import estimate
from finetuning.preparation import encode_for_classifier, open_data, require_positions
from finetuning.recipe import load_recipe
from models.context import max_positions, positions_at, require_room
from models.loading import load_tokenizer
from models.sources import resolve
from plumbing.errors import DataError, RecipeError

LONG = "the film was slow " * 400


@pytest.fixture
def rows():
    from datasets import Dataset

    return Dataset.from_dict(
        {"text": ["fine", LONG, "dull", LONG], "label": ["positive", "negative"] * 2, "row": [2, 5, 7, 9]}
    )


def test_a_models_own_configuration_says_how_much_it_reads(tiny_bert, tiny_llama):
    assert max_positions(BertConfig()) == 512 and max_positions(LlamaConfig(max_position_embeddings=8192)) == 8192
    assert max_positions(RobertaConfig(max_position_embeddings=514)) == 512
    assert positions_at(tiny_bert) == 512 and positions_at(tiny_llama) == 1024


@pytest.mark.parametrize("pair", ["tiny_classifier_pair", "tiny_pair"])
def test_test_rows_that_are_too_long_are_listed_and_none_is_cut(pair, rows, request):
    with pytest.raises(ProblemsError) as caught:
        compare(request.getfixturevalue(pair), rows)
    assert [problem.row for problem in caught.value.problems] == [5, 9]
    assert "the base model reads at most" in str(caught.value)


def test_a_text_that_just_leaves_room_for_its_answer_fits(tiny_dialogue_pair):
    from datasets import Dataset

    tokens = len(tiny_dialogue_pair.prompter.encode_prompt("Ana: Hi."))
    for limit, fits in ((tokens + 20, True), (tokens + 19, False)):
        try:
            require_room(
                Dataset.from_dict({"dialogue": ["Ana: Hi."]}),
                prompter=tiny_dialogue_pair.prompter,
                tokenizer=tiny_dialogue_pair.tokenizer,
                column="dialogue",
                limit=limit,
                new_tokens=20,
            )
        except ProblemsError:
            assert not fits
        else:
            assert fits


def test_max_tokens_beyond_the_base_is_refused_with_its_limit_before_anything_is_trained():
    recipe = load_recipe("sentiment-minilm-lora", ["training.max_tokens=1024"])
    with pytest.raises(RecipeError, match=r"1,024, and .*MiniLM.* reads at most 512 tokens"):
        estimate(recipe, splits=open_data(recipe).splits)
    require_positions(load_recipe("sentiment-smollm2-lora", ["training.max_tokens=8192"]), 8192)


def test_raising_max_tokens_is_advised_only_where_it_helps(rows, tiny_bert):
    tokenizer = load_tokenizer(resolve(str(tiny_bert)))
    recipe = load_recipe("sentiment-minilm-lora", ["training.max_tokens=64"])
    for limit, advised in ((512, False), (100_000, True)):
        with pytest.raises(ProblemsError) as caught:
            encode_for_classifier(rows, tokenizer, recipe, recipe.task_definition, limit=limit)
        assert ("raise training.max_tokens" in str(caught.value)) is advised


@pytest.mark.cuda
@pytest.mark.parametrize("adapter", ["tiny_classifier_adapter", "tiny_adapter"])
def test_a_message_that_is_too_long_is_one_sentence(adapter, request):
    with pytest.raises(DataError, match="This message is too long"):
        chat.converse(request.getfixturevalue(adapter), Console(), message=LONG, max_new_tokens=8)

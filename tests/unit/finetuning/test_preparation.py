"""From a recipe's data settings to rows, and to the tokens a person is shown."""

from collections import Counter

import pytest
from datasets import Dataset

from data.problems import ProblemsError
from data.sources import open_source
from data.tasks import DIALOGUE, SENTIMENT
from data.tasks.own import USUAL
from eval.statistics import judge_labels
from finetuning import preparation
from finetuning.preparation import encode_for_causal, encode_for_classifier, open_data, token_preview, weak_test
from finetuning.recipe import load_recipe, with_overrides
from models.loading import load_tokenizer
from models.prompting import Prompter
from models.sources import resolve
from plumbing.errors import DataError


def test_train_rows_and_test_rows_are_samples_with_every_label_in_its_share():
    recipe = load_recipe("sentiment-smollm2-lora", ["data.train_rows=50", "data.test_rows=20"])
    first, second = open_data(recipe).splits, open_data(recipe).splits
    whole = open_source("corpus:reviews", SENTIMENT).splits
    for name, count in (("train", 50), ("test", 20)):
        assert first[name]["text"] == second[name]["text"] != whole[name]["text"][:count]
        assert Counter(first[name]["label"]) == {"negative": count / 2, "positive": count / 2}
    other = open_data(with_overrides(recipe, {"training.seed": 1})).splits
    assert other["train"]["text"] != first["train"]["text"]
    assert other["test"]["text"] == first["test"]["text"]  # two runs are compared on the same rows


def test_of_a_file_sorted_by_label_both_labels_are_tested(tmp_path):
    file = tmp_path / "sorted.csv"
    file.write_text("text,label\n" + "".join(f"remark {n},{int(n >= 300)}\n" for n in range(600)))
    recipe = load_recipe("sentiment-minilm-lora", [f"data.source={file}", f"data.test={file}", "data.test_rows=40"])
    with pytest.raises(DataError, match="No row is left"):  # everything is tested
        open_data(recipe)
    recipe = with_overrides(recipe, {"data.source": "corpus:reviews"})
    assert Counter(open_data(recipe).splits["test"]["label"]) == {"negative": 20, "positive": 20}


def test_the_preview_is_what_is_trained_on(tiny_llama, recipe_on):
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama)
    row = {"text": "The soup was warm.", "label": "positive"}
    tokens = token_preview(recipe, recipe.task_definition, row)
    text = "".join(token for token, _ in tokens)
    assert "The soup was warm." in text
    assert [token for token, trained in tokens if trained] == ["positive", "<|im_end|>"]


def test_the_preview_has_the_instruction_that_follows_from_the_labels(tiny_llama, recipe_on):
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama, "task={kind: classification}")
    task = recipe.task_definition.with_labels(["late", "broken"])
    tokens = token_preview(recipe, task, {"text": "It came in two parts.", "label": "broken"})
    assert "Which of these is it: late, broken?" in "".join(token for token, _ in tokens)


def test_a_classifier_sees_the_bare_text_and_no_token_is_a_target(tiny_bert, recipe_on):
    recipe = recipe_on("sentiment-minilm-lora", tiny_bert)
    tokens = token_preview(recipe, recipe.task_definition, {"text": "the film", "label": "positive"})
    assert [token for token, _ in tokens] == ["[CLS]", "the", "film", "[SEP]"]
    assert not any(trained for _, trained in tokens)


@pytest.fixture
def dialogues():
    """Some with several references, a few rows apart from what is taken at once."""
    texts = ["Ana: Hi.", "Leo: ½ 漢字 👍🏽", "<|im_end|>", "Ana: " + "so " * 90, " "]
    return Dataset.from_list(
        [
            {"dialogue": text, "summary": [f"Summary {number}", "Other."], "row": number + 10}
            for number, text in enumerate(texts * 5)
        ]
    )


def test_rows_become_the_tokens_of_each_in_their_order(dialogues, tiny_llama, monkeypatch):
    monkeypatch.setattr(preparation, "_ROWS_AT_ONCE", 7)
    prompter = Prompter(load_tokenizer(resolve(str(tiny_llama))), DIALOGUE)
    shuffled = dialogues.shuffle(seed=1)
    encoded = encode_for_causal(shuffled, prompter, 1000)
    one_by_one = [prompter.encode_row(row) for row in shuffled]
    assert list(encoded["input_ids"]) == [example.input_ids for example in one_by_one]
    assert list(encoded["completion_mask"]) == [example.completion_mask for example in one_by_one]
    assert encoded[23]["input_ids"] == one_by_one[23].input_ids and not encoded.cache_files
    assert {str(kind.feature.dtype) for kind in encoded.features.values()} == {"int32", "int8"}
    assert len(encode_for_causal(dialogues.select([]), prompter, 1000)) == 0


def chats(weights):
    """Of several turns, the assistant's with these weights."""
    turns = []
    for weight in weights:
        turns += [("user", f"And {weight}?", 1), ("assistant", f"It was {weight}.", weight)]
    messages = [{"role": role, "content": said, "weight": weight} for role, said, weight in turns]
    return {"messages": [*messages, {"role": "user", "content": "So?", "weight": 1}], "answer": "No.", "row": 1}


def test_chats_become_tokens_of_which_all_that_the_assistant_says_is_learned(tiny_llama, monkeypatch):
    monkeypatch.setattr(preparation, "_ROWS_AT_ONCE", 3)
    prompter = Prompter(load_tokenizer(resolve(str(tiny_llama))), USUAL["chat"])
    rows = Dataset.from_list([chats(weights) for weights in ([], [1, 0, 1], [0], [1], [0, 0, 1, 1])])
    encoded = encode_for_causal(rows, prompter, 1000)
    one_by_one = [prompter.encode_row(row) for row in rows]
    assert list(encoded["input_ids"]) == [example.input_ids for example in one_by_one]
    assert list(encoded["completion_mask"]) == [example.completion_mask for example in one_by_one]
    assert [len(example.spans) for example in one_by_one] == [1, 3, 1, 2, 3]


def test_rows_that_are_too_long_are_named_by_their_numbers(dialogues, tiny_llama, monkeypatch):
    monkeypatch.setattr(preparation, "_ROWS_AT_ONCE", 7)
    prompter = Prompter(load_tokenizer(resolve(str(tiny_llama))), DIALOGUE)
    lengths = [len(prompter.encode_row(row).input_ids) for row in dialogues]
    longest = max(lengths)
    long = [row["row"] for row, length in zip(dialogues, lengths, strict=True) if length == longest]
    assert len(encode_for_causal(dialogues, prompter, longest)) == len(dialogues)
    said = f"{longest} tokens, and the longest allowed is {longest - 1}"
    with pytest.raises(ProblemsError, match=said) as caught:
        encode_for_causal(dialogues, prompter, longest - 1)
    assert [problem.row for problem in caught.value.problems] == long


def test_a_classifiers_rows_become_tokens_mask_and_class(tiny_bert, recipe_on, monkeypatch):
    monkeypatch.setattr(preparation, "_ROWS_AT_ONCE", 7)
    recipe = recipe_on("sentiment-minilm-lora", tiny_bert)
    tokenizer = load_tokenizer(resolve(str(tiny_bert)))
    texts = ["the film", "½ 漢字 👍🏽", " ", "[SEP] the soup", "so " * 30] * 4
    labels = ["positive", "negative"] * 10
    rows = Dataset.from_dict({"text": texts, "label": labels, "row": range(5, 25)})
    encoded = encode_for_classifier(rows, tokenizer, recipe, recipe.task_definition)
    assert list(encoded["input_ids"]) == [tokenizer(text)["input_ids"] for text in texts]
    assert list(encoded["attention_mask"]) == [tokenizer(text)["attention_mask"] for text in texts]
    assert list(encoded["labels"]) == [1, 0] * 10
    shorter = recipe_on("sentiment-minilm-lora", tiny_bert, "training.max_tokens=16")
    with pytest.raises(ProblemsError, match="row 9, column text: 62 tokens"):
        encode_for_classifier(rows, tokenizer, shorter, shorter.task_definition)


def test_what_a_test_split_cannot_show_is_said_before_training():
    def said(*labels, task=SENTIMENT):
        return weak_test(Dataset.from_dict({task.input_column: labels, task.target_column: labels}), task)

    for few in range(1, 6):
        assert said(*["positive", "negative", "positive", "negative", "negative"][:few]).startswith("No verdict is")
        assert judge_labels([False] * few, [True] * few).outcome == "no evidence"
        assert said(*["a"] * few, task=DIALOGUE).startswith(f"No verdict is possible on {few} test row")
    assert judge_labels([False] * 6, [True] * 6).outcome == "better"
    assert said(*["a"] * 6, task=DIALOGUE) is None
    assert (
        said(*["positive"] * 60)
        == "Every test row is positive: a model that always says so would have them all right."
    )
    assert "On 20 test rows accuracy has to rise by 0.3" in said(*["positive", "negative"] * 10)
    assert said(*["positive", "negative"] * 200) is None

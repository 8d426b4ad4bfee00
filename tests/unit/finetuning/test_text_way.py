"""Next token on raw text: texts that share a row do not see each other, whatever computes them."""

import json

import pytest
import torch
import transformers
from datasets import Dataset
from transformers import MambaConfig, MambaForCausalLM

from data.tasks.own import USUAL
from finetuning.estimates.row_lengths import lengths_of
from finetuning.estimates.training_time import batches_of
from finetuning.preparation import encode_texts, open_data
from finetuning.recipe import load_recipe
from finetuning.trainers.text import TextCollator, keeps_apart, text_trainer, tokens_in
from models import loading
from models.loading import load, load_tokenizer
from models.prompting import TextPrompter
from models.sources import resolve

COUNT = 40


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """40 short letters, of one to three sentences."""
    path = tmp_path_factory.mktemp("letters") / "letters.jsonl"
    rows = [
        {"text": f"Dear {name}, the soup is warm." + " Leo is out and the film is slow." * (n % 3)}
        for n, name in enumerate(f"Ana {n}" for n in range(COUNT))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def recipe_of(letters, tiny_llama, monkeypatch):
    """`recipe_of(*settings, base=tiny_llama)` → a recipe of two steps in float32."""
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")

    def build(*settings, base=tiny_llama):
        own = [f"model.base={base}", f"data.source=file:{letters}", "training.max_steps=2", "training.batch_size=2"]
        return load_recipe("style-smollm2-lora", ["training.max_tokens=128", *own, *settings])

    return build


def rows_of(recipe, split="train"):
    tokenizer = load_tokenizer(resolve(recipe.model.base))
    return recipe.way.encode(open_data(recipe).splits[split], tokenizer, recipe, recipe.task_definition)


def trainer_of(recipe, folder, **options):
    loaded = load(resolve(recipe.model.base), precision="float32")
    model = recipe.apply_strategy(loaded.model)
    generator = torch.Generator().manual_seed(1)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            value.data.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    rows = rows_of(recipe)
    return text_trainer(
        recipe, model, loaded.tokenizer, rows, str(folder / "run" / "checkpoints"), [], **options
    ), rows


def one_by_one(model, rows):
    """The loss of each text alone by the plain library, a mean over all that is learned."""
    total, count = 0.0, 0
    for ids, lengths in zip(rows["input_ids"], rows["seq_lengths"], strict=True):
        at = 0
        for length in lengths:
            text = torch.tensor([ids[at : at + length]], device=model.device)
            if length > 1:
                total = total + model(input_ids=text, labels=text).loss * (length - 1)
            at, count = at + length, count + length - 1
    return total / count


@pytest.mark.parametrize(
    "setting",
    ["strategy=lora", "strategy=full", pytest.param("strategy.dora=true", marks=pytest.mark.cuda)],
    ids=["by hand", "whole, by hand", "by modules"],
)
def test_what_is_learned_of_a_text_does_not_depend_on_its_neighbours(setting, recipe_of, tmp_path):
    recipe = recipe_of(setting)
    trainer, rows = trainer_of(recipe, tmp_path)
    assert trainer.data_collator.packed and max(map(len, rows["seq_lengths"])) > 2
    some = rows.select(range(3))
    expected = one_by_one(trainer.model, some)
    expected.backward()
    plain = {name: value.grad.clone() for name, value in trainer.model.named_parameters() if value.grad is not None}
    trainer.model.zero_grad()
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(3)])
    trainer.compute_loss(trainer.model, batch).backward()
    for name, value in trainer.model.named_parameters():
        if name in plain:
            torch.testing.assert_close(value.grad, plain[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_validation_loss_is_that_of_the_texts_one_by_one(recipe_of, tmp_path):
    recipe = recipe_of()
    validation = rows_of(recipe, "validation")
    trainer, _ = trainer_of(recipe, tmp_path, validation=validation)
    with torch.no_grad():
        expected = float(one_by_one(trainer.model.eval(), validation))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_steps_and_tokens_are_those_of_the_shared_rows(recipe_of, tmp_path):
    recipe = recipe_of("training.max_steps=null", "training.epochs=1")
    trainer, rows = trainer_of(recipe, tmp_path)
    trainer.train()
    assert trainer.state.global_step == -(-len(rows) // 2) < COUNT / 4
    counted = trainer.state.log_history[-2]["num_tokens"]
    assert counted == sum(map(len, rows["input_ids"]))


def test_a_model_without_attention_gets_each_text_as_a_row(tiny_llama, tmp_path, recipe_of):
    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "vocab_size": len(tokenizer)}
    model = MambaForCausalLM(MambaConfig(**sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2))
    assert not keeps_apart(model)
    rows = rows_of(recipe_of()).map(lambda row: {"labels": row["input_ids"]}).select(range(2))
    batch = TextCollator(0, packed=False)([rows[0], rows[1]])
    lengths = [length for each in rows["seq_lengths"] for length in each]
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths
    assert tokens_in(batch["labels"]) == sum(lengths)


@pytest.mark.parametrize("kind", ["LlamaForCausalLM", "GPT2LMHeadModel", "Qwen3ForCausalLM", "Gemma3ForCausalLM"])
def test_models_with_attention_keep_texts_apart_by_their_positions(kind):
    own = getattr(transformers, kind)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
    more = {} if kind.startswith("GPT2") else {"intermediate_size": 16, "num_key_value_heads": 2, "head_dim": 8}
    torch.manual_seed(0)
    model = own(own.config_class(**sizes, **more))
    assert model.training and keeps_apart(model) and model.training


def test_padding_is_of_no_text():
    rows = [
        {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, 6, -100, 8, 9], "seq_lengths": [2, 3]},
        {"input_ids": [4, 3], "labels": [-100, 3], "seq_lengths": [2]},
    ]
    batch = TextCollator(1, packed=True)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [4, 3, 1, 1, 1]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2], [0, 1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, -100, 8, 9], [-100, 3, -100, -100, -100]]
    assert tokens_in(batch["labels"]) == 7 and "attention_mask" not in batch


def test_passages_of_a_document_are_one_text_that_ends_where_it_does(tiny_llama):
    prompter = TextPrompter(load_tokenizer(resolve(str(tiny_llama))), USUAL["text"])

    def row(number, document, ends):
        return {"text": f"p{number}", "row": number, "document": document, "ends": ends}

    # Passage 3 of document 1 is held out.
    rows = Dataset.from_list(
        [row(1, 1, False), row(2, 1, False), row(4, 1, True), row(5, 2, False), row(6, 2, True)]
    )
    encoded = encode_texts(rows, prompter, 64)
    ids, lengths = encoded["input_ids"][0], encoded["seq_lengths"][0]
    texts, at = [], 0
    for length in lengths:
        texts.append(prompter.tokenizer.decode(ids[at : at + length]))
        at += length
    assert texts == ["p1\n\np2", "p4<|im_end|>", "p5\n\np6<|im_end|>"]


def test_long_texts_are_cut_and_none_is_refused(tiny_llama):
    prompter = TextPrompter(load_tokenizer(resolve(str(tiny_llama))), USUAL["text"])
    rows = Dataset.from_list([{"text": text, "row": row} for row, text in enumerate(["abc", "de", "x" * 25, "f"])])
    encoded = encode_texts(rows, prompter, 10)
    assert list(encoded["seq_lengths"]) == [[4, 3], [10], [10], [6, 2]]
    assert [sum(mask) for mask in encoded["completion_mask"]] == [5, 9, 9, 6]


def test_the_estimate_counts_shared_rows_and_what_is_learned_of_them(recipe_of):
    recipe = recipe_of()
    rows = rows_of(recipe)
    train, test = lengths_of(recipe, open_data(recipe).splits)
    assert train.rows == len(rows)
    assert sorted(train.whole) == sorted(map(len, rows["input_ids"]))
    assert sum(train.supervised) == sum(map(sum, rows["completion_mask"]))
    assert (set(test.prompts), test.rows) == ({0}, 6)
    batches = batches_of(recipe, train)
    assert sum(batch.rows for batch in batches) == sum(map(len, rows["seq_lengths"]))
    assert sum(batch.tokens for batch in batches) == sum(map(len, rows["input_ids"]))
    assert max(batch.longest for batch in batches) < 128
    guessed = recipe.rows_of_tokens(open_data(recipe).splits["train"], recipe.task_definition)
    assert 1 <= guessed <= len(rows)  # every byte is a token of the tiny tokenizer


def test_a_preview_marks_what_is_learned(recipe_of):
    recipe = recipe_of()
    tokenizer = load_tokenizer(resolve(recipe.model.base))
    shown = recipe.way.preview({"text": "Dear Leo"}, tokenizer, recipe.task_definition)
    assert "".join(text for text, _ in shown) == "Dear Leo<|im_end|>"
    assert [is_learned for _, is_learned in shown] == [False] + [True] * (len(shown) - 1)

"""Recipes: what ships is valid, what is wrong is named, overrides go through the same validation."""

import pytest
import yaml
from typer.testing import CliRunner

from finetuning import cli
from finetuning.commands import following
from finetuning.recipe import load_recipe, parse_recipe, recipe_names, with_overrides
from plumbing.errors import RecipeError


def test_the_recipes_that_ship_are_these():
    assert recipe_names() == [
        "chats-smollm2-lora",
        "dialogue-gemma3-1b-qlora",
        "dialogue-llama2-7b-qlora",
        "dialogue-llama32-1b-qlora",
        "dialogue-mistral-7b-qlora",
        "dialogue-qwen3-06b-qlora",
        "dialogue-qwen3-17b-qlora",
        "dialogue-smollm2-dpo",
        "dialogue-smollm2-grpo",
        "dialogue-smollm2-kto",
        "dialogue-smollm2-qlora",
        "dialogue-smollm2-reward",
        "dialogue-smollm3-3b-qlora",
        "handbook-smollm2-lora",
        "passages-smollm2-lora",
        "requests-smollm2-lora",
        "sentiment-distilbert-lora",
        "sentiment-minilm-lora",
        "sentiment-smollm2-lora",
        "style-smollm2-lora",
    ]


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_valid_and_survives_saving(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert parse_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


def test_overrides_change_nested_settings_and_numbers_are_numbers():
    recipe = load_recipe(
        "sentiment-smollm2-lora", ["training.epochs=0.5", "training.learning_rate=1e-3", "data.train_rows=32"]
    )
    assert recipe.training.epochs == 0.5
    assert recipe.training.learning_rate == pytest.approx(0.001)
    assert recipe.data.train_rows == 32


def test_every_error_is_shown_at_once():
    with pytest.raises(RecipeError) as caught:
        load_recipe("sentiment-smollm2-lora", ["training.epoch=3", "strategy.rank=900", "data.train_rows=x"])
    message = str(caught.value)
    assert "did you mean epochs?" in message
    assert "strategy.rank" in message and "900" in message
    assert "data.train_rows" in message


REFUSED = {
    "a classifier cannot be trained on dialogues, which have no labels; way: sft can": [
        "way=classify", "task=dialogue",
    ],
    "those in 4 bits (model.precision: nf4) cannot be changed; lora can": [
        "strategy=full", "model.precision=nf4",
    ],
    "are held in float32 so that small changes are not lost (model.precision: bfloat16); auto does so": [
        "strategy=last", "model.precision=bfloat16",
    ],
    "with 0 nothing of a language model would learn; set 1 or more": ["strategy=last", "strategy.blocks=0"],
    "it starts blocks anew, and none learn here": ["way=classify", "strategy=last", "strategy.new=true"],
    "an adapter is continued, and strategy.kind: full trains none; lora does": [
        "strategy=full", "model.adapter=somewhere",
    ],
    "training.patience: with training.eval_rows at 0 nothing is measured": [
        "training.patience=3", "training.eval_rows=0",
    ],
    "training.eval_metric: with training.eval_rows at 0 nothing is measured": [
        "training.eval_metric=true", "training.eval_rows=0",
    ],
    "way: texts are raw text, which has no answers to learn; way: text learns it": ["task={kind: text}"],
    "way: a classifier cannot be trained on texts, which are raw text; way: text learns it": [
        "task={kind: text}", "way=classify",
    ],
    "way: raw text is learned so, and reviews come with answers to learn; way: sft learns them": ["way=text"],
    "training.eval_metric: of raw text nothing is answered that could be scored": [
        "task={kind: text}", "way=text", "training.eval_metric=true",
    ],
    "evaluation.metrics: evaluate:bleu scores answers, and of raw text nothing is answered; there are": [
        "task={kind: text}", "way=text", "evaluation.metrics=[evaluate:bleu]",
    ],
    "instruction: a task of kind text has none, its texts stand alone": ["task={kind: text, instruction: Go on}"],
    "training.schedule": ["training.schedule=sawtooth"],
    "training.report_to": ["training.report_to=carrier-pigeon"],
}  # fmt: skip


@pytest.mark.parametrize("said", REFUSED)
def test_what_makes_no_sense_is_refused_with_what_does(said):
    with pytest.raises(RecipeError) as caught:
        load_recipe("sentiment-smollm2-lora", REFUSED[said])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "overrides", "title", "precision"),
    [
        ("dialogue-smollm2-qlora", [], "QLoRA", "nf4"),
        ("dialogue-smollm2-qlora", ["strategy=lora"], "LoRA", "auto"),
        ("dialogue-smollm2-qlora", ["model.precision=bfloat16"], "LoRA", "bfloat16"),
        ("dialogue-smollm2-qlora", ["strategy.rank=4"], "QLoRA", "nf4"),
        ("dialogue-smollm2-qlora", ["strategy.kind=lora"], "QLoRA", "nf4"),
        ("dialogue-smollm2-qlora", ["strategy.kind=full"], "Full fine-tuning", "auto"),
        ("sentiment-smollm2-lora", ["strategy=qlora"], "QLoRA", "nf4"),
        ("sentiment-smollm2-lora", ["strategy.kind=qlora", "strategy.dora=true"], "QDoRA", "nf4"),
        ("sentiment-smollm2-lora", ["strategy.rslora=true"], "rsLoRA", "auto"),
        ("sentiment-smollm2-lora", ["strategy.kind=last"], "Transfer learning (last 2 blocks)", "auto"),
        ("sentiment-minilm-lora", ["strategy.kind=last"], "Transfer learning (head)", "float32"),
        (
            "sentiment-minilm-lora",
            ["strategy.kind=last", "strategy.blocks=1"],
            "Transfer learning (last block)",
            "float32",
        ),
    ],
)
def test_a_strategy_is_chosen_by_a_word_and_the_base_is_held_as_it_wants(name, overrides, title, precision):
    recipe = load_recipe(name, overrides)
    assert (recipe.strategy_title, recipe.model.precision) == (title, precision)
    assert recipe.load_precision == ("float32" if recipe.strategy.whole else precision)


def test_another_kind_of_strategy_drops_the_settings_of_the_old_one():
    recipe = load_recipe("sentiment-smollm2-lora", ["strategy.kind=last"])
    assert recipe.strategy.model_dump() == {"kind": "last", "blocks": None, "new": False}
    assert with_overrides(recipe, {"strategy.kind": "lora"}).strategy.rank == 8
    with pytest.raises(RecipeError, match=r"strategy\.rank: there is no such setting"):
        load_recipe("sentiment-smollm2-lora", ["strategy.kind=full", "strategy.rank=4"])


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean sentiment-smollm2-lora"):
        load_recipe("sentiment-smollm-lora")


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(RecipeError, match="key=value"):
        load_recipe("sentiment-smollm2-lora", ["training.epochs"])


def test_a_recipe_file_that_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("- just\n- a list\n")
    with pytest.raises(RecipeError, match="mapping"):
        load_recipe(path)


def test_form_overrides_are_validated_again():
    recipe = load_recipe("sentiment-smollm2-lora")
    assert with_overrides(recipe, {"strategy.rank": 4}).strategy.rank == 4
    with pytest.raises(RecipeError, match=r"training\.batch_size"):
        with_overrides(recipe, {"training.batch_size": 0})


@pytest.mark.parametrize(
    "text",
    [
        "reviews #2.csv",
        "Client #2/reviews: final.csv",
        "[export] reviews.csv",
        "@shop.csv",
        "2024",
        "no",
        "'a'",
        "a=b",
    ],
)
def test_what_is_a_text_by_its_type_is_taken_as_it_is(text):
    overrides = [f"data.source={text}", f"data.test={text}", f"model.base={text}", f"data.columns.text={text}"]
    recipe = load_recipe("sentiment-smollm2-lora", overrides)
    assert (recipe.data.source, recipe.data.test, recipe.model.base) == (text, text, text)
    assert recipe.data.columns == {"text": text}


def test_a_list_of_texts_is_written_as_a_list():
    recipe = load_recipe("sentiment-smollm2-lora", ["strategy.target_modules=[q_proj, no, 2024]"])
    assert recipe.strategy.target_modules == ["q_proj", "no", "2024"]


def test_a_label_may_be_anything_in_front_of_the_last_sign():
    raw = ["0.91", "no", "3", "a=b", "Q3: happy?", "#1", "[x]", ""]
    recipe = load_recipe("sentiment-smollm2-lora", [f"data.labels.{value}=positive" for value in raw])
    assert recipe.data.labels == dict.fromkeys(raw, "positive")


@pytest.mark.parametrize(
    ("override", "labels"),
    [
        ("data.labels={no: negative, yes: positive, 3: null, '': skip}",
         {"no": "negative", "yes": "positive", "3": None, "": "skip"}),
        ("data.labels.3=null", {"3": None}),
        ("data.labels=null", None),
    ],
)  # fmt: skip
def test_a_mapping_as_a_whole_is_yaml_of_texts(override, labels):
    assert load_recipe("sentiment-smollm2-lora", [override]).data.labels == labels


def test_a_setting_that_may_be_left_out_can_be_taken_back():
    recipe = load_recipe("sentiment-smollm2-lora", ["data.test=a.csv", "data.test=null", "data.train_rows=null"])
    assert (recipe.data.test, recipe.data.train_rows) == (None, None)


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "two\nlines", "Größe 🙂"])
def test_a_saved_recipe_reads_as_what_was_saved(text, tmp_path):
    recipe = with_overrides(load_recipe("sentiment-smollm2-lora"), {"title": text})
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(str(tmp_path / "recipe.yaml")).title == text


def test_names_are_listed_whole_however_narrow_the_terminal_is(monkeypatch):
    monkeypatch.setattr(following.console, "_width", 80)
    listed = CliRunner().invoke(cli.app, ["recipes"]).output.split()
    assert set(recipe_names()) <= set(listed)


@pytest.mark.parametrize(
    ("name", "settings", "title"),
    [
        ("sentiment-smollm2-lora", ["strategy.kind=full"], "Sentiment · Full fine-tuning"),
        ("sentiment-minilm-lora", ["strategy=qlora"], "Sentiment classifier · QLoRA on MiniLM"),
        ("dialogue-smollm2-qlora", ["model.precision=auto"], "Dialogue summary · LoRA"),
        ("dialogue-smollm2-dpo", ["way=sft"], "Dialogue summary · LoRA"),
        ("sentiment-smollm2-lora", ["model.base=some/Tiny-1B"], "Sentiment · LoRA on Tiny-1B"),
        ("sentiment-smollm2-lora", ["training.epochs=3"], "Sentiment · LoRA"),
        ("sentiment-smollm2-lora", ["strategy.kind=full", "title=My words"], "My words"),
    ],
)
def test_a_title_says_how_it_learns_whatever_was_changed(name, settings, title):
    assert load_recipe(name, settings).title == title
    changed = dict(setting.split("=") for setting in settings)
    if "strategy" not in changed and "way" not in changed:
        assert with_overrides(load_recipe(name), changed).title == title

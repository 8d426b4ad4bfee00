"""Small data files and recipes over the tiny models."""

import json

import pytest

from finetuning.recipe import load_recipe

GOOD = ["warm", "bright", "kind", "quick", "fair", "fresh"]
BAD = ["cold", "dull", "rude", "slow", "stale", "broken"]


@pytest.fixture(scope="session")
def reviews_file(tmp_path_factory):
    """48 short reviews, half of them positive."""
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    words = [(word, "positive") for word in GOOD] + [(word, "negative") for word in BAD]
    rows = [
        {"text": f"The {thing} was {word}.", "label": label}
        for thing in ("film", "soup", "room", "phone")
        for word, label in words
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def dialogues_file(tmp_path_factory):
    """24 short dialogues."""
    path = tmp_path_factory.mktemp("data") / "dialogues.jsonl"
    rows = [
        {
            "dialogue": f"Ana: Is the {thing} still {word}?\nLeo: Yes, until {hour}.",
            "summary": f"Leo says the {thing} is {word} until {hour}.",
        }
        for thing in ("shop", "desk")
        for word in ("open", "free", "here")
        for hour in ("two", "four", "six", "nine")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory):
    """24 short dialogues, each with a better and a worse summary."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [
        {
            "dialogue": f"Ana: Is the {thing} still {word}?\nLeo: Yes, until {hour}.",
            "chosen": f"Leo says the {thing} is {word} until {hour}.",
            "rejected": f"The {thing} is here, and Ana asks Leo.",
        }
        for thing in ("shop", "desk")
        for word in ("open", "free", "here")
        for hour in ("two", "four", "six", "nine")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def recipe_on(reviews_file, dialogues_file, pairs_file):
    """`recipe_on(name, base_folder, *overrides)` → that recipe over a tiny model, two steps in float32."""

    def build(name, base, *overrides):
        recipe = load_recipe(name)
        file = reviews_file if recipe.task_definition.input_column == "text" else dialogues_file
        file = pairs_file if recipe.way.besides else file
        return load_recipe(
            name,
            [
                f"model.base={base}",
                f"data.source=file:{file}",
                "training.max_steps=2",
                "training.batch_size=4",
                "evaluation.max_new_tokens=4",
                *overrides,
            ],
        )

    return build

"""Any values at all make a recipe that survives being saved, or a `RecipeError`; nothing else."""

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finetuning.recipe import Recipe, load_recipe, parse_recipe
from plumbing.errors import RecipeError

NAME = "sentiment-smollm2-lora"
GOOD = load_recipe(NAME).model_dump()
PATHS = [
    (section,) if not isinstance(GOOD[section], dict) else (section, key)
    for section in GOOD
    for key in (GOOD[section] if isinstance(GOOD[section], dict) else [None])
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.binary(max_size=4)
)
KEYS = st.text(max_size=8) | st.integers() | st.none() | st.booleans()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
anything = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def valid_or_refused(make):
    try:
        recipe = make()
    except RecipeError as error:
        assert str(error)
        return
    assert isinstance(recipe, Recipe)
    assert parse_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


@anything
@given(values=VALUES)
def test_any_values(values):
    valid_or_refused(lambda: parse_recipe(values))


@anything
@given(
    changes=st.dictionaries(st.sampled_from(PATHS), VALUES, min_size=1, max_size=3),
    extra=st.dictionaries(KEYS, VALUES, max_size=1),
)
@example(changes={("training", "epochs"): float("nan")}, extra={})
@example(changes={("lora", "alpha"): float("inf")}, extra={})
@example(changes={("training", "seed"): 10**5000}, extra={})
@example(changes={("title",): "\ud800"}, extra={})
@example(changes={("title",): "a\x00b\x85c\r\nd"}, extra={})
def test_a_good_recipe_with_any_values_in_it(changes, extra):
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in GOOD.items()} | extra
    for path, value in changes.items():
        if len(path) == 1:
            values[path[0]] = value
        elif isinstance(values.get(path[0]), dict):
            values[path[0]][path[1]] = value
    valid_or_refused(lambda: parse_recipe(values))


@anything
@given(
    override=st.text(max_size=40)
    | st.tuples(st.sampled_from([".".join(path) for path in PATHS]), st.text(max_size=30)).map("=".join)
)
@example(override="training.seed=" + "1" * 5000)
@example(override="strategy.target_modules=" + "[" * 5000)
@example(override="training.epochs=.nan")
@example(override="a" + ".b" * 5000 + "=1")
@example(override="data.columns={? [a] : b}")
@example(override="data.source=!!python/object:os.system x")
@example(override="data.columns=2001-99-99")
@example(override="training.seed=0x_")
def test_any_override(override):
    valid_or_refused(lambda: load_recipe(NAME, [override]))


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))


@anything
@given(data=st.binary(max_size=100))
@example(data=BOMB.encode())
@example(data=b"a: &a [*a]")
@example(data=b"{" * 20_000)
@example(data=b"name: x\n" * 300_000)
@example(data=b"\x00")
def test_a_recipe_file_of_any_bytes(data, tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(data)
    valid_or_refused(lambda: load_recipe(tmp_path / "recipe.yaml"))


@pytest.mark.parametrize("value", ["*a", "&a [*a, *a]", "[&b [1], *b]"])
def test_an_alias_is_refused(value):
    with pytest.raises(RecipeError, match="alias"):
        load_recipe(NAME, [f"data.columns={value}"])

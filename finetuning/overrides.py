"""Settings out of what a person writes: YAML, and `key.path=value`. Knows types of settings, and no one recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from finetuning.strategies import STRATEGIES
from finetuning.upgrade import RENAMED
from plumbing.errors import RecipeError

MAX_BYTES = 2**17
"""Of a recipe file; those that ship have a hundredth of it."""
_LABELS = "data.labels."
_NOTHING = ("", "null", None)


class _WithoutAliases(yaml.parser.Parser, yaml.composer.Composer):
    """An alias could stand for a list of a billion."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*) is not allowed here")
        return super().compose_node(parent, index)


class _Loader(_WithoutAliases, yaml.SafeLoader):
    """Plain values only."""


class _TextLoader(_WithoutAliases, yaml.BaseLoader):
    """Texts only, whatever they look like."""


def read_yaml(text: str, *, texts: bool = False) -> Any:
    """The plain values that `text` holds; with `texts`, every one of them as a text.

    Raises:
        ValueError: it is no YAML, or of a kind that has no business in a recipe. Says why, in a line.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES} characters")
    try:
        return yaml.load(text, _TextLoader if texts else _Loader)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())[:300] or type(error).__name__) from None


def apply_override(values: dict[str, Any], override: str, recipe: type[BaseModel]) -> None:
    """Put the value of `key.path=value` into `values`, as the setting's type in `recipe` wants it.

    Raises:
        RecipeError: it is not written so, or the value cannot be read.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError("A setting is changed as key=value", got=override, fix="For example training.epochs=3.")
    if key.startswith(_LABELS):  # a label in somebody's data may hold the sign, what it means does not
        key, _, text = override.rpartition("=")
    if (group := key.partition(".")[0]) in RENAMED and group not in recipe.model_fields:
        now = key.replace(group, RENAMED[group], 1)
        raise RecipeError("This setting has another name now", got=override[:100], fix=f"Write {now}={text[:100]}.")
    path, kind = _place(key, recipe)
    try:
        value = _value(text, kind)
        _choose_kind(values, key, value)
        if not _is_chosen(key, value):
            _put_at(values, path, value)
    except ValueError as error:
        raise RecipeError(f"The value of {key[:100]} cannot be read: {error}", got=text[:100]) from None


def _place(key: str, recipe: type[BaseModel]) -> tuple[list[str], Any]:
    """The parts of a dotted key, and the type that its value has there; None for a setting that does not exist.

    What follows the name of a mapping is one key of it, whatever dots it holds: `data.labels.0.91`.
    """
    parts = key.split(".")
    group = recipe
    for number, part in enumerate(parts, start=1):
        field = group.model_fields.get(part)
        if field is None:
            return parts, None
        kind, rest = field.annotation, parts[number:]
        groups = groups_of(kind)
        if groups and rest:
            group = next((each for each in groups if rest[0] in each.model_fields), groups[0])
            continue
        mapping = next((each for each in (kind, *get_args(kind)) if get_origin(each) is dict), None)
        if mapping and rest:
            return [*parts[:number], ".".join(rest)], get_args(mapping)[1]
        return parts, mapping if mapping else kind if not rest else None
    return parts, None


def groups_of(kind: Any) -> list[type[BaseModel]]:
    """The groups of settings that a field of this type can hold: one, or one of several."""
    return [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, BaseModel)]


def _value(text: str, kind: Any) -> Any:
    """`text` as a value of type `kind`. What is a text by its type is taken as it is, never read as YAML.

    Raises:
        ValueError: it is no YAML where it should be.
    """
    kinds = tuple(map(_bare, get_args(kind))) or (kind,)
    if get_origin(kind) is dict:
        return _texts(text, optional=NoneType in get_args(kinds[1]))
    lists = [each for each in (kind, *kinds) if get_origin(each) is list]
    if lists:
        return read_yaml(text, texts=get_args(lists[0]) == (str,))
    if get_origin(kind) is Literal or set(kinds) <= {str, NoneType}:
        return None if NoneType in kinds and text in _NOTHING else text
    value = read_yaml(text)
    if isinstance(value, str):  # YAML 1.1 takes 5e-4 for text
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _bare(kind: Any) -> Any:
    """A type without what is said of it: a list of texts, whatever its length."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _texts(text: str, *, optional: bool) -> Any:
    """A mapping of texts, written as YAML: `no` is no, not false."""
    value = read_yaml(text, texts=True)
    if isinstance(value, dict) and optional:
        return {key: None if item in _NOTHING else item for key, item in value.items()}
    return None if value in _NOTHING else value


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, making sections on the way; a wrong key is found by validation afterwards."""
    _choose_kind(values, key, value)
    if not _is_chosen(key, value):
        _put_at(values, key.split("."), value)


def _is_chosen(key: str, value: Any) -> bool:
    """Whether that is the kind of a strategy or a way, which `_choose_kind` has seen to."""
    return key.removesuffix(".kind") in ("strategy", "way") and isinstance(value, str)


def in_order(overrides: Iterable[str]) -> list[str]:
    """Overrides, or their keys, in their order, but those first that choose a kind of strategy, way or task."""
    choosing = ("strategy", "strategy.kind", "way", "way.kind", "task", "task.kind")
    return sorted(overrides, key=lambda override: override.partition("=")[0] not in choosing)


def _choose_kind(values: dict[str, Any], key: str, value: Any) -> None:
    """Drop the settings of a strategy, way or task for which another kind is chosen.

    `strategy=lora` is short for its kind; qlora is short for lora over a base in 4 bits.
    """
    group = key.removesuffix(".kind")
    if group not in ("strategy", "way", "task") or not isinstance(value, str) or key == "task":
        return
    if group == "strategy":
        value = _choose_precision(values, value, short=key == "strategy")
    now = values.get(group)
    if not isinstance(now, dict) or now.get("kind") != value:
        values[group] = {"kind": value}


def _choose_precision(values: dict[str, Any], kind: str, *, short: bool) -> str:
    """Hold the base as a strategy wants it that is called `kind`; returns its kind.

    A base in 4 bits goes with qlora, and is not left behind for a strategy that cannot have it; nor, where a
    strategy is named in `short`, for lora.
    """
    if kind == "qlora":
        _put_at(values, ["model", "precision"], "nf4")
        return "lora"
    model = values.get("model")
    four_bit = isinstance(model, dict) and model.get("precision") == "nf4"
    if four_bit and kind in STRATEGIES and (short or not STRATEGIES[kind].packed):
        _put_at(values, ["model", "precision"], "auto")
    return kind


def _put_at(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *sections, last = path
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            named = isinstance(inner, str) and section == "way"  # one without settings is written as its name
            inner = values[section] = {"kind": inner} if named else {}
        values = inner
    values[last] = value

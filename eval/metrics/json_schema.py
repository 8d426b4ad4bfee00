"""Answers that have to be of a form: whether one is JSON that a schema allows.

The schema is a file of JSON, in any draft that the package `jsonschema` knows; without `$schema` it is of draft
2020-12. It may refer to itself, and to nothing that would have to be fetched. `format` says what a text is meant to
be and refuses none, as the drafts have it. An answer is read as in `eval.metrics.json_answers`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.metrics.json_answers import TASKS, json_in
from eval.metrics.metric import Family, Metric
from eval.metrics.patterns import compiled, holds
from plumbing.errors import RecipeError
from plumbing.reading import read_text
from plumbing.remembered import Remembered

MOST_BYTES = 2**20
MOST_STEPS = 20_000
"""References that are followed for one answer. Of alternatives that refer to themselves each level of an answer may
double them: twenty levels would take a minute, and fifty nobody waits for."""
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

Allows = Callable[[Any], bool]


def schema_in(path: str) -> Allows:
    """What tells whether the schema in a file allows a value. Read again only if the file changed.

    Raises:
        RecipeError: there is no such file, or what it holds is no schema that can be used.
    """
    return _remembered(path)


def _read(path: str) -> Allows:
    from jsonschema import SchemaError

    try:
        schema = json.loads(read_text(Path(path).expanduser(), limit=MOST_BYTES))
        return _checker(schema)
    except FileNotFoundError:
        raise _cannot(path, "there is no such file") from None
    except SchemaError as error:
        where = "/".join(map(str, error.absolute_path)) or "its top"
        raise _cannot(path, f"{where}: {error.message[:200]}") from None
    except RecursionError:
        raise _cannot(path, "it is nested too deeply, or refers to itself without an end, or too often") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise _cannot(path, " ".join(str(error).split())[:200]) from None


_remembered = Remembered(_read, most=16)


def _checker(schema: Any) -> Allows:
    """What checks values. Raises a ValueError, SchemaError or RecursionError where the schema cannot be used."""
    from jsonschema.validators import SPECIFICATIONS, validator_for
    from jsonschema.validators import Draft202012Validator as Latest
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, (dict, bool)):
        raise ValueError("it is neither an object nor true or false")
    # A draft of its own is looked up by the library wherever `$schema` stands, and comes with its own patterns.
    draft = schema.pop("$schema", None) if isinstance(schema, dict) else None
    plain = validator_for({"$schema": draft} if draft else {}, default=None if draft else Latest)
    if plain is None:
        raise ValueError(f"$schema: {str(draft)[:100]} is not a draft that is known here")
    plain.check_schema(schema, format_checker=None)  # whose patterns would be those of `re`; ours come next
    _require_self_contained(schema, plain)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps > MOST_STEPS:
            raise RecursionError("too many references were followed")

    ready = _bounded(plain, step)(schema, registry=SPECIFICATIONS)

    def is_valid(value: Any) -> bool:
        nonlocal steps
        steps = 0
        return bool(ready.is_valid(value))

    of_each_kind: tuple[Any, ...] = (None, {}, [], "", 0)
    for value in of_each_kind:
        is_valid(value)  # a schema that refers to itself without an end is found out here

    def allows(value: Any) -> bool:
        try:
            return is_valid(value)
        except RecursionError:
            raise RecipeError(
                "A schema takes too many steps to check an answer",
                fix="Write it with fewer references and alternatives within each other.",
            ) from None
        except Unresolvable as error:
            raise RecipeError(
                f"A schema refers to what is not in it: {error}", fix="Write it into one file."
            ) from None

    return allows


def _bounded(plain: Any, step: Callable[[], None]) -> Any:
    """The class that checks by a draft, `plain`, with limits: on the time of a search, which the library's own has
    not, and on references, of which each that is followed calls `step`."""
    from jsonschema import ValidationError
    from jsonschema.validators import extend

    def pattern(validator: Any, wanted: str, instance: Any, within: Any) -> Iterator[ValidationError]:
        if validator.is_type(instance, "string") and not holds(instance, wanted):
            yield ValidationError("it does not match its pattern")

    def pattern_properties(validator: Any, wanted: Any, instance: Any, within: Any) -> Iterator[ValidationError]:
        if validator.is_type(instance, "object"):
            for one, subschema in wanted.items():
                for key, value in instance.items():
                    if holds(key, one):
                        yield from validator.descend(value, subschema, path=key, schema_path=one)

    def additional(validator: Any, wanted: Any, instance: Any, within: Any) -> Iterator[ValidationError]:
        if not validator.is_type(instance, "object"):
            return
        named, patterns = within.get("properties", {}), within.get("patternProperties", {})
        for key, value in instance.items():
            if key not in named and not any(holds(key, one) for one in patterns):
                yield from validator.descend(value, wanted, path=key)

    def counted(follow: Callable[..., Iterator[ValidationError]]) -> Callable[..., Iterator[ValidationError]]:
        def following(*given: Any) -> Iterator[ValidationError]:
            step()
            return follow(*given)

        return following

    own: dict[str, Any] = {key: counted(plain.VALIDATORS[key]) for key in _REFERENCES if key in plain.VALIDATORS}
    own |= {"pattern": pattern, "patternProperties": pattern_properties, "additionalProperties": additional}
    return extend(plain, own)


def _require_self_contained(schema: Any, draft: Any) -> None:
    """Raise a ValueError where a schema refers to what is not in it, or holds what is not checked here."""
    from jsonschema.validators import SPECIFICATIONS
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    resource = specification_with(draft.META_SCHEMA.get("$schema", "")).create_resource(schema)
    waiting = [(resource, SPECIFICATIONS.resolver_with_root(resource))]
    keys: set[str] = set()
    while waiting:
        resource, resolver = waiting.pop()
        within = resource.contents
        if isinstance(within, dict):
            keys |= within.keys()
            if isinstance(within.get("$schema"), str):
                raise ValueError("$schema stands within it, and one file is of one draft")
            for pattern in (within.get("pattern"), *(within.get("patternProperties") or ())):
                if isinstance(pattern, str):
                    compiled(pattern)
            for key in _REFERENCES:
                if isinstance(where := within.get(key), str):
                    try:
                        resolver.lookup(where)
                    except Unresolvable:
                        raise ValueError(
                            f"it refers to {where[:100]}, which is not in it; nothing is fetched"
                        ) from None
        waiting += [(each, resolver.in_subresource(each)) for each in resource.subresources()]
    if {"unevaluatedProperties", "patternProperties"} <= keys:
        # There the library searches by itself.
        raise ValueError(
            "unevaluatedProperties beside patternProperties is not checked here; use additionalProperties"
        )


def _cannot(path: str, why: str) -> RecipeError:
    return RecipeError(
        f"The schema cannot be used: {why}", got=path[:300], fix="Give a file with a JSON schema: json-schema:FILE."
    )


def fits(answer: str, path: str) -> float:
    """1.0 where an answer is JSON that the schema in a file allows, else 0.0; errors as for `schema_in`."""
    allows = schema_in(path)
    try:
        value = json_in(answer)
    except ValueError:
        return 0.0
    return float(allows(value))


def _of(path: str) -> Metric:
    if not path:
        raise ValueError("json-schema names no file; write json-schema:FILE")
    if "\0" in path:
        raise ValueError("json-schema names no file that there could be")

    def row(answer: str, references: Sequence[str]) -> float:
        return fits(answer, path)

    title = f"JSON of the form {Path(path).name}"
    return Metric(f"json-schema:{path}", title, "binary", TASKS, row=row)


FAMILY = Family("json-schema", "json-schema:FILE", TASKS, _of, of_file=True)

"""One file is one choice: what the modules of a package define under a name that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def defined_in(package: str, paths: Iterable[str], name: str, *, first: Sequence[str] = ()) -> list[Any]:
    """Returns what each module of `package` calls `name`, or several of them by its plural.

    Args:
        package: its dotted name.
        paths: its `__path__`.
        name: such as METRIC; a module may have METRICS instead, or neither.
        first: modules that stand first, in this order; the others follow by their names.
    """
    modules = sorted(module.name for module in iter_modules(paths))
    found: list[Any] = []
    for each in [*first, *(each for each in modules if each not in first)]:
        module = import_module(f"{package}.{each}")
        one = getattr(module, name, None)
        found += [one] if one is not None else getattr(module, f"{name}S", ())
    return found

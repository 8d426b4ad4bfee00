"""Recipes as earlier versions wrote them → recipes of now.

Version 1, which had no number, knew one strategy: its settings stood under `lora`, `strategy` said lora or qlora,
and `trainer` what is now the way.
"""

from __future__ import annotations

from typing import Any

VERSION = 2
WAY_OF_TRAINER = {"causal": "sft", "classifier": "classify"}
RENAMED = {"lora": "strategy", "trainer": "way"}
"""Settings and groups of them by their names of before."""


def upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """The same recipe as this version writes it; one that is no recipe stays as it is."""
    if "version" in values or not {"trainer", "lora"} & values.keys():
        return values
    rest = {name: value for name, value in values.items() if name not in ("trainer", "strategy", "lora")}
    rest["version"] = VERSION
    if "trainer" in values:
        trainer = values["trainer"]
        rest["way"] = WAY_OF_TRAINER.get(trainer, trainer) if isinstance(trainer, str) else trainer
    lora = values.get("lora")
    if isinstance(lora, dict):
        rest["strategy"] = {"kind": "lora", **lora}
    return rest


def upgrade_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The same for settings by their dotted names, such as `lora.rank`."""
    found = {}
    for name, value in settings.items():
        group, dot, last = name.partition(".")
        if name == "strategy" and isinstance(value, str):
            found["strategy.kind"] = "lora"
        elif name in ("trainer", "way"):  # a way was its name alone
            found["way.kind"] = WAY_OF_TRAINER.get(value, value)
        else:
            found[f"{RENAMED.get(group, group)}{dot}{last}"] = value
    return found

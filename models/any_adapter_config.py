"""What the config of anybody's adapter may say: read as plain values, bounded, and written anew for peft.

The line: an adapter of ours (`models.adapters`) is plain LoRA with last parts of names as its targets, and all
else is refused, since the page loads such adapters from whoever has a file. Here a person has named an adapter
of their own on a command line of theirs, so whatever peft trains commonly is taken, and not one check less is
made: only safetensors, no links, plain values within bounds, names and shapes known before anything is
allocated. Settings that change the base's own weights (PiSSA, biases), copy layers or name code are refused as
there. peft is never given the folder's config: what is accepted becomes a config of ours
(`AdapterPlan.peft_config`), in which a pattern of somebody else's is replaced by the names that it matches,
found within a bounded time.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.adapter_files import HEADS, MAX_ALPHA, is_number, is_version, peft_defaults, read_config
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from peft import PeftConfig

Method = Literal["LORA", "IA3"]

MAX_RANK = 1024
MAX_NAMES = 4096
"""Of targets, patterns and numbers of layers."""
MAX_NAME_CHARS = 1000
MAX_WHOLE_MODULES = 16
PATTERN_SECONDS = 5.0
"""For all that the patterns of one adapter are asked."""
ALL_LINEAR = "all-linear"
MERGE = "Merge it into its base (peft's `merge_and_unload`), save that and name the merged model's folder."

_SCALES = ("lora_alpha", "r", "alpha_pattern", "rank_pattern", "use_rslora", "use_dora")

_NAME = re.compile(r"[\w.-]+", re.ASCII)
"""A module's name, or the end of one: as a pattern, too, it means itself."""
_PLAIN_PATTERN = re.compile(r"\^?[\w.-]+", re.ASCII)
_HARMLESS_STARTS = (True, False, "gaussian", "eva", "orthogonal")
"""Starts of a LoRA that leave the base's weights as they are; its trained weights stand in their place."""


@dataclass(frozen=True)
class AdapterPlan:
    """What an adapter's config says, as far as it matters for using it."""

    method: Method
    base: str
    """The base model that it names; empty where it names none."""
    task_type: str
    settings: dict[str, Any]
    """Of peft's, plain and bounded; patterns among them are somebody else's."""
    notes: tuple[str, ...] = ()

    @property
    def describe(self) -> str:
        """LoRA, DoRA, rsLoRA, IA3: what people call it."""
        if self.method == "IA3":
            return "IA3"
        kind = "DoRA" if self.settings["use_dora"] else "LoRA"
        return f"rs{kind}" if self.settings["use_rslora"] else kind

    @property
    def scales(self) -> str:
        """What its weights are multiplied by, as its settings say it: `lora_alpha=16, r=8`."""
        said = {name: value for name in _SCALES if (value := self.settings.get(name))}
        return ", ".join(f"{name}={json.dumps(value, sort_keys=True)}" for name, value in said.items())

    def on(self, names: Sequence[str]) -> AdapterPlan:
        """The same with no pattern left that only a regular expression could match, on a model of these modules.

        Raises:
            ModelError: a pattern is none, takes too long, or matches nothing.
        """
        clock = _Patterns(names)
        settings = dict(self.settings)
        for key in ("target_modules", "exclude_modules", "feedforward_modules"):
            value = settings.get(key)
            if isinstance(value, str) and value.lower() != ALL_LINEAR:
                settings[key] = clock.matching(key, value)
        for key in ("rank_pattern", "alpha_pattern"):
            patterns = settings.get(key) or {}
            if not all(_PLAIN_PATTERN.fullmatch(pattern) for pattern in patterns):
                settings[key] = clock.spelled_out(key, patterns)
        return dataclasses.replace(self, settings=settings)

    def peft_config(self, kind: str) -> PeftConfig:
        """A new config of peft's own; ask `on` first.

        Raises:
            ModelError: peft refuses the settings together.
        """
        from peft import IA3Config, LoraConfig

        settings: dict[str, Any] = copy.deepcopy(self.settings)  # peft changes what it is given
        settings["task_type"] = "SEQ_CLS" if kind == "classifier" else "CAUSAL_LM"
        try:
            return IA3Config(**settings) if self.method == "IA3" else LoraConfig(**settings)
        except (TypeError, ValueError) as error:
            raise ModelError(
                "The adapter's settings do not go together", got=" ".join(str(error).split())[:300], fix=MERGE
            ) from None


class _Patterns:
    """Matches regular expressions with the names of a model's modules, as peft does, within a bounded time."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [name for name in names if name]
        self._until = time.monotonic() + PATTERN_SECONDS

    def matching(self, key: str, pattern: str) -> list[str]:
        """The names that are, whole, what the setting `key` describes."""
        found = [name for name in self._names if self._matches(key, pattern, name)]
        if not found and key == "target_modules":
            raise ModelError(
                "The adapter's target_modules matches no module of the base model",
                got=pattern,
                fix="Name the base that it was trained on.",
            )
        return found

    def spelled_out(self, key: str, patterns: dict[str, Any]) -> dict[str, Any]:
        """A pattern for each module that one of `patterns` matches; as in peft the first that does counts."""
        found: dict[str, Any] = {}
        for name in self._names:
            for pattern, value in patterns.items():
                if self._matches(key, rf"(.*\.)?({pattern})$", name):
                    found[f"^{re.escape(name)}"] = value
                    break
        return found

    def _matches(self, key: str, pattern: str, name: str) -> bool:
        import regex

        left = self._until - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            return regex.fullmatch(pattern, name, timeout=left) is not None
        except TimeoutError:
            problem = f"The patterns in the adapter's {key} take longer than {PATTERN_SECONDS:g} s to match"
        except (regex.error, RecursionError, OverflowError) as error:
            problem = f"A pattern in the adapter's {key} is no regular expression: {error}"
        raise ModelError(problem, got=pattern, fix=f"Write the modules' names into its config. {MERGE}")


def read_plan(folder: Path) -> AdapterPlan:
    """The plan of the adapter in `folder`.

    Raises:
        ModelError: its files are not plain and safetensors, or its config says what is not accepted.
    """
    return plan_of(read_config(folder))


def plan_of(config: dict[str, Any]) -> AdapterPlan:
    """The same of a config's plain values.

    Raises:
        ModelError: with the settings that are not accepted, and what to do about the first.
    """
    method = config.get("peft_type")
    if method not in ("LORA", "IA3"):
        raise ModelError("Only adapters by LoRA, with its variants, and IA3 are loaded", got=method, fix=MERGE)
    checks = _COMMON | (_LORA if method == "LORA" else _IA3)
    given = {name: value for name, value in config.items() if value is not None}
    wrong = [name for name, value in given.items() if not _is_accepted(method, checks, name, value)]
    wrong += [name for name in ("target_modules", *(("r",) if method == "LORA" else ())) if name not in given]
    if isinstance(given.get("target_modules"), str) and "layers_to_transform" in given:
        wrong.append("layers_to_transform")
    if wrong:
        raise ModelError(
            "The adapter's config holds settings that are not accepted",
            got={str(name)[:100]: config.get(name) for name in sorted(wrong, key=str)[:8]},
            fix=_remedy(wrong),
        )
    handed = _HANDED_LORA if method == "LORA" else _HANDED_IA3
    settings = {name: given[name] for name in handed if name in given and given[name] not in _EMPTY}
    if method == "LORA":
        settings |= {name: bool(given.get(name)) for name in ("use_dora", "use_rslora")}
        settings["init_lora_weights"] = True  # whatever it began with: what it came to is in its weights
    revision = given.get("revision")
    notes = [f"It was trained on the base's revision {revision}."] if revision not in (None, "main") else []
    return AdapterPlan(
        method=method,
        base=str(given.get("base_model_name_or_path", "")),
        task_type=str(given.get("task_type", "")),
        settings=settings,
        notes=tuple(notes),
    )


def _remedy(wrong: Sequence[str]) -> str:
    if "init_lora_weights" in wrong:
        return (
            "It starts from changed weights of its base. Save it as plain LoRA (peft's `save_pretrained` with "
            "`path_initial_model_for_weight_conversion`), or merge it into the base that it was trained on."
        )
    return MERGE


# ---- the settings ------------------------------------------------------------------------------------------


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_RANK


def _is_alpha(value: Any) -> bool:
    return is_number(value, 1e-3, MAX_ALPHA)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME_CHARS and value.isprintable()


def _are_names(value: Any, *, most: int = MAX_NAMES) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(_is_text(name) and _NAME.fullmatch(name) is not None for name in value)
    )


def _are_names_or_pattern(value: Any) -> bool:
    return _is_text(value) or _are_names(value)


def _are_numbers(value: Any) -> bool:
    many = value if isinstance(value, list) else [value]
    return len(many) <= MAX_NAMES and all(type(each) is int and 0 <= each < MAX_NAMES for each in many)


def _of_patterns(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def of_patterns(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and len(value) <= MAX_NAMES
            and all(_is_text(key) and check(each) for key, each in value.items())
        )

    return of_patterns


def _is_group(value: Any) -> bool:
    return isinstance(value, dict)


_COMMON: dict[str, Callable[[Any], bool]] = {
    "peft_type": lambda _: True,
    "task_type": lambda value: value in ("CAUSAL_LM", "SEQ_CLS"),
    "base_model_name_or_path": _is_text,
    "revision": is_version,
    "peft_version": is_version,
    "inference_mode": _is_bool,
    "auto_mapping": _is_group,  # which class to import: never looked at
    "target_modules": lambda value: bool(value) and _are_names_or_pattern(value),
    "exclude_modules": _are_names_or_pattern,
    "modules_to_save": lambda value: _are_names(value, most=MAX_WHOLE_MODULES),
    "fan_in_fan_out": _is_bool,
}
_LORA: dict[str, Callable[[Any], bool]] = {
    "r": _is_rank,
    "lora_alpha": _is_alpha,
    "rank_pattern": _of_patterns(_is_rank),
    "alpha_pattern": _of_patterns(_is_alpha),
    "use_rslora": _is_bool,
    "use_dora": _is_bool,
    "lora_bias": _is_bool,
    "bias": lambda value: value == "none",  # any other trains the base's own
    "layers_to_transform": _are_numbers,
    "layers_pattern": lambda value: _are_names([value] if isinstance(value, str) else value),
    # What only decided how it was trained, and is not handed on.
    "lora_dropout": lambda value: is_number(value, 0, 0.99),
    "init_lora_weights": lambda value: type(value) in (bool, str) and value in _HARMLESS_STARTS,
    "eva_config": _is_group,
    "loftq_config": _is_group,
    "corda_config": _is_group,
    "lora_ga_config": _is_group,
    "megatron_core": _is_text,
    "qalora_group_size": lambda value: is_number(value, 0, 1e9),
    "runtime_config": _is_group,
}
_IA3: dict[str, Callable[[Any], bool]] = {
    "feedforward_modules": _are_names_or_pattern,
    "init_ia3_weights": _is_bool,
}
_EMPTY: tuple[Any, ...] = ("", [], {})
_HANDED: tuple[str, ...] = ("target_modules", "exclude_modules", "modules_to_save", "fan_in_fan_out")
_HANDED_LORA = (
    *_HANDED, "r", "lora_alpha", "rank_pattern", "alpha_pattern", "lora_bias", "layers_to_transform",
    "layers_pattern",
)  # fmt: skip
_HANDED_IA3 = (*_HANDED, "feedforward_modules")


def _is_accepted(method: Method, checks: dict[str, Callable[[Any], bool]], name: str, value: Any) -> bool:
    if (check := checks.get(name)) and (value not in _EMPTY or name == "target_modules"):
        return check(value)
    if value is False or value in _EMPTY:
        return True
    usual = peft_defaults(method)
    return name in usual and type(value) is type(usual[name]) and bool(value == usual[name])


def unknown_modules(plan: AdapterPlan, names: Iterable[str]) -> list[str]:
    """Of the modules that the adapter brings whole, those that the base has not.

    A classifier's head goes by one of its usual names, and peft writes all of these.
    """
    known = list(names)
    whole = plan.settings.get("modules_to_save", ())
    unknown = [each for each in whole if not any(name == each or name.endswith(f".{each}") for name in known)]
    return unknown if set(whole) <= {*unknown} else [each for each in unknown if each not in HEADS]

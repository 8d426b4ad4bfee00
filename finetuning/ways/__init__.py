"""In which way a model learns: what it is shown, and what it is asked to get right."""

from __future__ import annotations

from typing import Literal

from finetuning.strategies.strategy import ModelKind

Way = Literal["sft", "classify"]
KIND_OF_WAY: dict[Way, ModelKind] = {"sft": "causal", "classify": "classifier"}
"""Way → the kind of model that learns so."""

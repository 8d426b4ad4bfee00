"""What a comparison is of, whatever is compared: a report's fields about its models, and the hash of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from data.trained_rows import hash_pairs
from eval.report.schema import Report, RowResult
from eval.report.sections import AdapterProofInfo, BaseModelInfo
from models.pair import Pair

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "scikit-learn",
    "rouge-score",
    "sacrebleu",
    "evaluate",
)

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""
OnRows = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Result:
    """A comparison: the report, and a result for every test row in the order of the test set."""

    report: Report
    rows: list[RowResult]


def telling(on_progress: Progress | None) -> Callable[[str], OnRows]:
    """What is being done → a callback for how far it is."""

    def tell(what: str) -> OnRows:
        if on_progress is None:
            return None
        return lambda done, total: on_progress(what, done, total)

    return tell


def about(pair: Pair) -> dict[str, Any]:
    """The fields of a report that say which models were compared, with which libraries, and when."""
    return {
        "base": BaseModelInfo(
            name=pair.base.name,
            origin=pair.base.origin,
            revision=pair.base.revision,
            weights_sha256=pair.base.weights_sha256,
        ),
        "precision": pair.precision,
        "computed_in": str(pair.model.dtype).removeprefix("torch."),
        "whole": pair.is_whole,
        "adapter_proof": AdapterProofInfo(
            largest_change=pair.proof.largest_change,
            same_weights=pair.proof.same_weights,
            sentence=pair.proof.describe(),
        ),
        "adapter_sha256": pair.adapter_sha256,
        "prompt_sha256": pair.contract.sha256,
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def hash_rows(inputs: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    """SHA-256 over the rows of a test set, in order."""
    return hash_pairs(zip(inputs, references, strict=True))


def versions() -> dict[str, str]:
    """Of the libraries that the numbers depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found

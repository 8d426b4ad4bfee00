"""What a card says of the base model: its name without a way on this machine, its licence, whose weights it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from eval.report.escaped import plain
from finetuning.export.tuned import Tuned
from models.sources import in_reach
from plumbing.errors import ModelError
from plumbing.reading import read_text

LICENCES: Mapping[str, str] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": "apache-2.0",
    "HuggingFaceTB/SmolLM3-3B": "apache-2.0",
    "NousResearch/Llama-2-7b-hf": "llama2",
    "Qwen/Qwen3-0.6B": "apache-2.0",
    "Qwen/Qwen3-1.7B": "apache-2.0",
    "distilbert/distilbert-base-uncased": "apache-2.0",
    "google/gemma-3-1b-it": "gemma",
    "meta-llama/Llama-3.2-1B-Instruct": "llama3.2",
    "mistralai/Mistral-7B-Instruct-v0.3": "apache-2.0",
    "sentence-transformers/all-MiniLM-L6-v2": "apache-2.0",
}
"""Of the bases of the recipes that ship, by the Hub's words for licences; a base's own card comes first."""
_MOST_BYTES = 2**20
_PRECISIONS = {"nf4": "4 bit (NF4, double quantisation)"}


def licence_of(tuned: Tuned) -> str | None:
    """The base's licence, as its own card in its files says, or as is known here; None where neither does."""
    try:
        source = in_reach(tuned.origin.name)
    except ModelError:
        source = None
    if source is not None and (said := _said_in((source.path / "README.md").resolve())):
        return said
    return LICENCES.get(tuned.origin.name)


def with_base(card: str, tuned: Tuned) -> str:
    """`card` with the base's name in the place of its path, and its licence in the front matter."""
    if "/" in tuned.origin.name and tuned.base_was_a_folder:
        for written in (tuned.origin.name, plain(tuned.origin.name)):
            card = card.replace(written, tuned.base_name)
    before, mark, rest = card.partition("---\n")
    front, end, body = rest.partition("---\n")
    if before or not mark or not end:
        return card
    lines = front.splitlines(keepends=True)
    if tuned.base_was_a_folder:  # the Hub would take its name for a model of its own
        lines = [line for line in lines if not line.startswith("base_model")]
    if (licence := licence_of(tuned)) and not any(line.startswith("license:") for line in lines):
        lines.append(f"license: {licence}\n")
    return f"---\n{''.join(lines)}---\n{body}"


def about_base(tuned: Tuned, *, beside: bool) -> str:
    """The card's section about the base.

    Args:
        tuned: what the card is of.
        beside: whether the base has to stand beside it, as beside an adapter.
    """
    origin, name = tuned.origin, tuned.base_name
    licence = licence_of(tuned)
    said = [f"It needs `{name}` beside it: {_from(tuned)}." if beside else f"Tuned from `{name}`: {_from(tuned)}."]
    if beside and tuned.base_was_a_folder:
        said.append(
            "That folder was on the machine where this was trained, and is not in here: have it in the folder that "
            f"you work in, as `{name}`, or name it by its path."
        )
    if origin.weights_sha256:
        said.append(f"SHA-256 of its weights: `{origin.weights_sha256}`.")
    said.append(f"It was held in {_PRECISIONS.get(origin.precision, origin.precision)} while this was trained.")
    said.append(
        f"Its licence: {licence}. What is made from it is under the same terms."
        if licence
        else "Its licence is not known here: look at where it is from before you pass this on."
    )
    return f"## The base model\n\n{' '.join(said)}\n"


def _from(tuned: Tuned) -> str:
    if tuned.base_was_a_folder:
        return "a model's folder"
    if tuned.origin.origin == "hub":
        return f"from the Hub, revision `{tuned.origin.revision}`"
    return f"as the package `{tuned.origin.revision}` ships it"


def _said_in(card: Path) -> str | None:
    """The licence in a card's front matter."""
    try:
        front = read_text(card, limit=_MOST_BYTES).split("---\n")[1]
        found = yaml.safe_load(front)
        said = found.get("license")
    except (OSError, ValueError, IndexError, AttributeError, yaml.YAMLError, RecursionError):
        return None
    return said if isinstance(said, str) and said.isprintable() and 0 < len(said) <= 100 else None

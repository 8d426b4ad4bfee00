"""python -m benchmarks.job_costs: what a run costs on each flavour of Hugging Face Jobs.

    python -m benchmarks.job_costs --minutes 20                    prices as the Hub says them now
    python -m benchmarks.job_costs --write docs/scale.md           the same; those below where the Hub is not there

A flavour is billed by the minute, from its start. What is not known here is how long a run takes on it: measure one
step there, or let `python -m finetuning estimate` say it on that machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.results import fill, table, tell

KNOWN = {
    "cpu-basic": 0.01, "cpu-upgrade": 0.03, "cpu-xl": 1.00, "cpu-performance": 1.90,
    "t4-small": 0.40, "t4-medium": 0.60, "l4x1": 0.80, "l4x4": 3.80, "l40sx1": 1.80, "l40sx4": 8.30,
    "l40sx8": 23.50,
    "a10g-small": 1.00, "a10g-large": 1.50, "a10g-largex2": 3.00, "a10g-largex4": 5.00,
    "a100-large": 2.50, "a100x4": 10.00, "a100x8": 20.00, "h200": 5.00, "h200x2": 10.00, "h200x4": 20.00,
    "h200x8": 40.00,
    "rtx-pro-6000": 2.75, "rtx-pro-6000x2": 5.50, "rtx-pro-6000x4": 11.00, "rtx-pro-6000x8": 22.00,
}  # fmt: skip
"""Flavour → dollars an hour."""
SOURCE = (
    "[the Hub's documentation](https://huggingface.co/docs/hub/jobs-pricing), as it was at commit 0b8c07f of "
    "huggingface/hub-docs, read on 28 November 2026"
)


def prices() -> tuple[dict[str, float], str]:
    """Flavour → dollars an hour, and where they are from: the Hub where it can be reached."""
    from huggingface_hub import HfApi

    from plumbing.network import hub_reachable

    if hub_reachable():
        try:
            offered = HfApi().list_jobs_hardware()
        except Exception as error:  # of the Hub's library, and of the one that it speaks HTTP with
            tell(f"The Hub does not say its prices: {error}")
        else:
            found = {each.name: 60 * each.unit_cost_usd for each in offered if each.unit_label == "minute"}
            if found:
                return found, f"what the Hub said on {datetime.now(UTC):%d %B %Y} (`HfApi.list_jobs_hardware()`)"
    return KNOWN, SOURCE


def markdown(of: Mapping[str, float], source: str, minutes: float) -> str:
    """A row a flavour, the cheapest first."""
    rows = [
        (f"`{name}`", f"${price:.2f}", f"${price * minutes / 60:.3f}", f"{60 / price:,.0f} min")
        for name, price in sorted(of.items(), key=lambda each: each[1])
    ]
    head = ("flavour", "an hour", f"a run of {minutes:g} minutes", "for a dollar")
    return f"Prices are {source}.\n\n{table(head, rows)}"


def main() -> None:
    """Print the table, or write it into a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="that a run takes (default: 20)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it where FILE has a place for it")
    options = parser.parse_args()
    body = markdown(*prices(), options.minutes)
    if options.write:
        fill(options.write, "costs", body)
    else:
        print(body)


if __name__ == "__main__":
    main()

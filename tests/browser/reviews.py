"""Files as somebody might upload them: reviews, and messages to a help desk."""

from __future__ import annotations

import csv
from pathlib import Path

HOSTILE = "<img src=x onerror=window.hacked=1> ${window.hacked=2} {{7*7}}"


def write_reviews(path: Path, *, broken: bool = False) -> Path:
    """A CSV with columns of its own names, and markup in the first text."""
    words = ("plain", "warm", "late", "cold", "fresh", "loud", "slow", "kind", "old", "new", "sweet", "dry")
    reviews = [f"Visit {number} and the {word} soup of the {word} house" for number, word in enumerate(words)]
    stars: list[object] = [1 + number % 2 * 4 for number in range(len(words))]
    reviews[0] = f"{HOSTILE} {reviews[0]}"
    if broken:
        reviews[3], stars[5] = "", "purple"
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("Comment", "Stars"), *zip(reviews, stars, strict=True)])
    return path


def write_tickets(path: Path) -> Path:
    """A CSV of three classes, under names of its own."""
    things = ("lamp", "mill", "chair", "tent", "kettle", "hose", "bike", "desk")
    words = {"billing": "invoice", "shipping": "parcel", "defect": "crack"}
    rows = [
        (f"The {word} of {thing} number {number} is not what I expected.", label)
        for number in range(3)
        for thing in things
        for label, word in words.items()
    ]
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("Message", "Team"), *rows])
    return path

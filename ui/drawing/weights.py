"""Weights as they are drawn in the Learn tab: W + BA at a rank, and NF4's levels over a model's own weights."""

from __future__ import annotations

from models.four_bit import BINS, BLOCK, FourBit, error
from ui.drawing.markup import Child, Markup, fold, table, tag
from ui.drawing.plots import Axis, Frame, axis, plot

_TALL, _WIDE = 150, 92
"""Pixels that the matrices are drawn in, at most."""
_THIN = 1.5
"""Pixels that a matrix is drawn in, at least."""


def low_rank(outputs: int, inputs: int, rank: int) -> Markup:
    """A weight W beside its update B·A, all three to scale."""
    scale = min(_TALL / outputs, _WIDE / inputs)
    height, width = outputs * scale, inputs * scale
    thick = max(_THIN, rank * scale)
    middle = _TALL / 2 + 18
    top = middle - height / 2
    marks: list[Child] = []
    for name, centre, wide, tall, looks, size in (
        ("W", 52, width, height, "ba-frozen", (outputs, inputs)),
        ("B", 160, thick, height, "ba-learns", (outputs, rank)),
        ("A", 252, width, thick, "ba-learns", (rank, inputs)),
    ):
        box = {"x": centre - wide / 2, "y": top, "width": wide, "height": tall}
        marks.append(tag("rect", class_=looks, **{key: f"{value:.2f}" for key, value in box.items()}))
        said = f"{size[0]:,} × {size[1]:,}"
        marks.append(tag("text", name, x=centre, y=10, text_anchor="middle", class_="ba-tick ba-named"))
        marks.append(tag("text", said, x=centre, y=_TALL + 36, text_anchor="middle", class_="ba-tick"))
    for sign, x in (("+", 112), ("·", 200)):
        marks.append(tag("text", sign, x=x, y=middle + 5, text_anchor="middle", class_="ba-tick ba-named"))
    told = (
        f"To scale: the frozen weight W, {outputs:,} by {inputs:,}, plus B, {outputs:,} by {rank:,}, times A, "
        f"{rank:,} by {inputs:,}, which learn"
    )
    looks = "ba-chart ba-low-rank"
    return tag("svg", *marks, viewBox=f"0 0 304 {_TALL + 42}", class_=looks, role="img", aria_label=told)


def levels(found: FourBit) -> Markup:
    """The histogram of a model's weights, each divided by the largest of its block, with the sixteen levels."""
    width = 2 / BINS
    across = Axis("weight, divided by the largest of its block", -1, 1, [(-1, "-1"), (0, "0"), (1, "1")])
    frame = Frame(across, axis("weights", (0, max(found.histogram)), written="{:,.0f}"))
    marks = [
        frame.bar(-1 + number * width, -1 + (number + 1) * width, count, "ba-weights")
        for number, count in enumerate(found.histogram)
    ]
    marks += [frame.upright(level, "ba-level") for level in found.levels]
    least, most = (share / found.weights for share in (min(found.used), max(found.used)))
    said = (
        f"{found.weights:,} weights, each divided by the largest of its block of {BLOCK} (across) and how many "
        "there are of each size (up). The sixteen lines are NF4's levels, and the nearest stands for a weight: "
        f"each for {least:.1%} to {most:.1%} of them."
    )
    return plot("How large the weights are", frame, marks, said=said)


def errors(found: FourBit) -> Markup | None:
    """How far packing moved the weights of each block of the model; None where its layers have no numbers."""
    blocks = {number: error(layers) for number, layers in found.blocks().items()}
    if not blocks:
        return None
    first, last = next(iter(blocks)), next(reversed(blocks))
    across = Axis("block", 0, len(blocks), [(0.5, f"{first}"), (len(blocks) - 0.5, f"{last}")])
    frame = Frame(across, axis("share of their length", (0.0, *blocks.values()), written="{:.3%}"))
    marks = [
        frame.bar(place + 0.12, place + 0.88, share, "ba-weights", said=f"block {number}: {share:.2%}")
        for place, (number, share) in enumerate(blocks.items())
    ]
    said = (
        f"How far the weights of each block moved, as a share of their own length: {min(blocks.values()):.2%} to "
        f"{max(blocks.values()):.2%}, {error(found.layers):.2%} in all. Sixteen evenly spaced levels would have "
        f"moved them by {error(found.layers, even=True):.2%}."
    )
    drawn = plot("How far packing moved them", frame, marks, said=said, look="ba-low")
    return tag("div", drawn, _each_layer(found), class_="ba-stack")


def _each_layer(found: FourBit) -> Markup:
    """The same of every layer, in numbers."""
    parts = list(found.parts())
    rows: list[list[Child]] = []
    for number, layers in found.blocks().items():
        by_part = {layer.part: error([layer]) for layer in layers}
        shares = [f"{by_part[part]:.2%}" if part in by_part else "–" for part in parts]
        rows.append([number, *shares, f"{error(layers):.2%}"])
    rows.append(
        ["all", *(f"{error(layers):.2%}" for layers in found.parts().values()), f"{error(found.layers):.2%}"]
    )
    headers = ["block", *parts, "all"]
    return fold(
        "Each layer", table(headers, rows, class_="ba-table ba-numbers", label="What NF4 changed, by layer")
    )

"""Labels of several tokens as one tree, so that what several begin with is computed once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class LabelTree:
    """What may follow a prompt: a node for every beginning of a label that goes on, an edge for every token."""

    labels: list[list[int]]
    """The tokens of each."""

    @cached_property
    def nodes(self) -> list[tuple[int, ...]]:
        """The beginnings, a parent before its children; the first is empty, and stands for the prompt itself."""
        begun = {tuple(label[:end]) for label in self.labels for end in range(len(label))}
        return sorted(begun, key=lambda node: (len(node), node))

    @cached_property
    def parents(self) -> list[int]:
        """Of each node the number of the one that it goes on from; of the first, its own."""
        return [self._numbers[node[:-1]] for node in self.nodes]

    @cached_property
    def edges(self) -> list[list[tuple[int, int]]]:
        """Of each node the tokens that follow it in any label, with a number of each edge of the tree."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for (node, token), number in self._edges.items():
            found[node].append((token, number))
        return found

    @cached_property
    def paths(self) -> list[list[int]]:
        """Of each label the numbers of its edges."""
        return [list(map(self._edges.__getitem__, _steps(label, self._numbers))) for label in self.labels]

    @cached_property
    def walks(self) -> list[list[int]]:
        """Nodes from the second on, in lists of those that follow each other: in one list or another are all."""
        inner = set(self.parents)
        leaves = sorted(self.nodes[number] for number in range(len(self.nodes)) if number not in inner)
        return [[self._numbers[leaf[:end]] for end in range(1, len(leaf) + 1)] for leaf in leaves]

    @cached_property
    def _numbers(self) -> dict[tuple[int, ...], int]:
        return {node: number for number, node in enumerate(self.nodes)}

    @cached_property
    def _edges(self) -> dict[tuple[int, int], int]:
        """(node, token) → its number."""
        found = {step for label in self.labels for step in _steps(label, self._numbers)}
        return {step: number for number, step in enumerate(sorted(found))}


def _steps(label: list[int], numbers: dict[tuple[int, ...], int]) -> Iterator[tuple[int, int]]:
    """Each token of a label, after the node that it follows."""
    return ((numbers[tuple(label[:at])], token) for at, token in enumerate(label))

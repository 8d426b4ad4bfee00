"""What prompts share is found, and going on from its cache gives what the whole prompt gives."""

import pytest
import torch
import transformers

from models.prefix import Prefix, shared_start


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([[1, 2, 3]], []),  # a single row shares with nobody
        ([[1, 2, 3], [1, 2, 3]], [1, 2]),  # each keeps one token at least
        ([[1, 2], [1, 2, 3, 4]], [1]),  # the one is how the other begins
        ([[1, 2, 3, 4], [1, 2]], [1]),
        ([[1, 2, 3, 4], [1, 2, 9, 4], [1, 2, 3, 5]], [1, 2]),
        ([[5, 1], [1, 5]], []),
        ([[7], [7]], []),
        ([[7], [7, 8, 9]], []),
        ([[1, 2, 3], [1, 2, 4], [1, 5, 3]], [1]),
    ],
)
def test_shared_start(rows, expected):
    assert shared_start(rows) == expected
    assert shared_start(rows[::-1]) == expected


@pytest.fixture(scope="module")
def rows(tiny_pair):
    texts = ["Fine soup.", "The phone died after two days.", "Bad!"]
    return [tiny_pair.prompter.encode_prompt(text) for text in texts]


def whole_logits(model, row):
    with torch.no_grad():
        return model(input_ids=torch.tensor([row], device=model.device)).logits[0]


@pytest.mark.cuda
@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("length", ["all that is shared", 5, 1, 0])
def test_rows_behind_a_prefix_have_the_logits_of_the_whole_prompt(tiny_pair, rows, tuned, length, rounding):
    shared = shared_start(rows)
    assert len(shared) > 20 and len({len(row) for row in rows}) == 3
    tokens = shared if isinstance(length, str) else shared[:length]
    with tiny_pair.side(tuned) as model, torch.no_grad():
        prefix = Prefix(model, tokens)
        assert prefix.is_cached == bool(tokens)
        for _ in range(2):  # a batch leaves the cache as it was for the next one
            logits = prefix.logits([row[len(tokens) :] for row in rows], 2)
            for row, own in zip(rows, logits, strict=True):
                whole = whole_logits(model, row)[-2:]
                torch.testing.assert_close(own, whole, atol=2e-5 * rounding, rtol=1e-5 * rounding)


@pytest.mark.cuda
def test_the_prefix_of_one_side_is_not_that_of_the_other(tiny_pair, rows):
    """So that the test above would see a cache that was computed by the wrong side."""
    shared = shared_start(rows)
    rest = [row[len(shared) :] for row in rows]
    with tiny_pair.side(tuned=True) as model:
        prefix = Prefix(model, shared)
    with tiny_pair.side(tuned=False) as model, torch.no_grad():
        own = prefix.logits(rest, 1)[0, -1]
        assert (own - whole_logits(model, rows[0])[-1]).abs().max() > 1e-3


@pytest.mark.cuda
def test_a_prefix_that_cannot_be_gone_on_from_is_computed_with_each_row(tiny_pair, rows, rounding, monkeypatch):
    monkeypatch.setattr(transformers.cache_utils, "DynamicLayer", transformers.cache_utils.StaticLayer)
    shared = shared_start(rows)
    prefix = Prefix(tiny_pair.model, shared)
    assert not prefix.is_cached
    with torch.no_grad():
        logits = prefix.logits([row[len(shared) :] for row in rows], 1)
        for row, own in zip(rows, logits, strict=True):
            whole = whole_logits(tiny_pair.model, row)[-1:]
            torch.testing.assert_close(own, whole, atol=2e-5 * rounding, rtol=1e-5 * rounding)

"""What prompts share is found, and going on from its cache gives what the whole prompt gives."""

import pytest
import torch

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
        return model(input_ids=torch.tensor([row])).logits[0]


def logits_from(prefix, pair, model, rows):
    """The logits of what follows the prefix, a list of [T, V]."""
    rest = [row[len(prefix.tokens) :] for row in rows]
    batch = pair.batch(rest)
    ids, mask = prefix.before(batch["input_ids"], batch["attention_mask"])
    seen = len(prefix.tokens)
    with torch.no_grad():
        logits = model(
            input_ids=ids[:, seen:],
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, seen:],
            past_key_values=prefix.cache(len(rows)),
        ).logits
    return [one[len(one) - len(row) :] for one, row in zip(logits, rest, strict=True)]


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("length", ["all that is shared", 5, 1])
def test_a_cached_prefix_gives_the_logits_of_the_whole_prompt(tiny_pair, rows, tuned, length):
    shared = shared_start(rows)
    assert len(shared) > 20 and len({len(row) for row in rows}) == 3
    tokens = shared if isinstance(length, str) else shared[:length]
    with tiny_pair.side(tuned) as model:
        prefix = Prefix(model, tokens)
        for _ in range(2):  # a batch leaves the cache as it was for the next one
            for row, logits in zip(rows, logits_from(prefix, tiny_pair, model, rows), strict=True):
                torch.testing.assert_close(logits, whole_logits(model, row)[len(tokens) :], atol=2e-5, rtol=1e-5)


def test_the_prefix_of_one_side_is_not_that_of_the_other(tiny_pair, rows):
    """So that the test above would see a cache that was computed by the wrong side."""
    shared = shared_start(rows)
    with tiny_pair.side(tuned=True) as model:
        prefix = Prefix(model, shared)
    with tiny_pair.side(tuned=False) as model:
        (logits,) = logits_from(prefix, tiny_pair, model, rows[:1])
        assert (logits - whole_logits(model, rows[0])[len(shared) :]).abs().max() > 1e-3


def test_the_padding_lies_between_prefix_and_row(tiny_pair):
    prefix = Prefix(tiny_pair.model, [4, 5])
    batch = tiny_pair.batch([[6], [7, 8, 9]])
    ids, mask = prefix.before(batch["input_ids"], batch["attention_mask"])
    pad = tiny_pair.tokenizer.pad_token_id
    assert ids.tolist() == [[4, 5, pad, pad, 6], [4, 5, 7, 8, 9]]
    assert mask.tolist() == [[1, 1, 0, 0, 1], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("rows", [[[6]], [[6], [7, 8]]])
def test_without_tokens_there_is_no_cache_and_a_batch_stays_as_it_is(tiny_pair, rows):
    prefix = Prefix(tiny_pair.model, [])
    assert prefix.cache(len(rows)) is None
    batch = tiny_pair.batch(rows)
    ids, mask = prefix.before(batch["input_ids"], batch["attention_mask"])
    assert torch.equal(ids, batch["input_ids"]) and torch.equal(mask, batch["attention_mask"])

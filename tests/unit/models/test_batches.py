"""Rows of like length go together, within both bounds, each once."""

from models.batches import like_lengths

LENGTHS = [5, 1, 3, 9, 2, 40]


def test_batches_of_like_length():
    assert list(like_lengths(LENGTHS, 2)) == [[1, 4], [2, 0], [3, 5]]


def test_tokens_are_bounded_with_the_padding_and_a_long_row_goes_alone():
    assert list(like_lengths(LENGTHS, 4, most_tokens=10)) == [[1, 4, 2], [0], [3], [5]]


def test_no_rows_make_no_batch():
    assert list(like_lengths([], 2)) == []

"""What was trained on is known again, also by the keys of earlier versions."""

import hashlib

from data.trained_rows import TrainedRows


def test_texts_that_differ_by_their_marks_are_not_taken_for_each_other():
    trained = TrainedRows.of(["पिता", "Größe"])
    assert "पिता!" in trained and "GRÖSSE" in trained
    assert "पोती" not in trained


def test_what_an_earlier_version_noted_is_known_again():
    """Its keys were of words that fell apart at their marks: without them none such would be found."""
    salt = b"0123456789abcdef"
    key = hashlib.blake2b("प त".encode(), digest_size=8, key=salt).hexdigest()
    assert "पिता" in TrainedRows(salt, [key])
    assert "p t" not in TrainedRows(salt, [key])

"""`benchmarks/RESULTS.md`: a section is written again, the others stay, and none stands beside another machine."""

import pytest

from benchmarks import results


@pytest.fixture
def file(tmp_path):
    return tmp_path / "RESULTS.md"


def headings(file):
    return [line[3:] for line in file.read_text().splitlines() if line.startswith("## ")]


def test_sections_stand_in_one_order_whatever_is_measured_first(file):
    for title in ("Scale", "Chat", "Training"):
        results.write_section(title, f"{title}: 1", "a machine", file=file)
    assert headings(file) == ["Machine", "Training", "Chat", "Scale"]


def test_a_section_is_replaced_and_the_others_are_kept_as_they_are(file):
    results.write_section("Training", "### Sentiment\n\n| a |\n|---|\n| 7 |", "a machine", file=file)
    results.write_section("Chat", "old", "a machine", file=file)
    results.write_section("Chat", "new", "a machine", idle="Nobody else was there.", file=file)
    text = file.read_text()
    assert "### Sentiment\n\n| a |\n|---|\n| 7 |\n" in text
    assert "new" in text and "old" not in text
    assert "UTC, commit" in text and "Nobody else was there." in text


def test_what_another_machine_measured_is_removed(file):
    results.write_section("Training", "slow", "a small machine", file=file)
    results.write_section("Chat", "fast", "a large machine", file=file)
    assert headings(file) == ["Machine", "Chat"]
    assert "small" not in file.read_text()


def test_ways_take_turns_and_every_number_is_kept():
    order = []
    ways = {name: lambda name=name: order.append(name) or len(order) for name in ("one", "other")}
    assert results.in_turns(ways, 3) == {"one": [1, 3, 5], "other": [2, 4, 6]}
    assert order == ["one", "other"] * 3

"""That two sides are two, and that one model twice is said loudly."""

import pytest

from eval.verdict.proof import prove
from eval.verdict.schema import Answer, Known, PromptInfo, SideInfo, SideResult, SideScore, SpentInfo, VerdictRow


def side(key, weights="", *, prompt="ab", kind="model", **about):
    return SideResult(
        info=SideInfo(key=key, kind=kind, name=f"some/{key}", weights_sha256=weights, **about),
        prompt=PromptInfo(sha256=prompt * 32, where_from="template", example="Say."),
        spent=SpentInfo(seconds=1.0),
        known=Known(known_by=None, trained_on=None),
        answered="chosen",
        scores=[SideScore(name="accuracy", primary=True, value=0.5)],
    )


def rows(*answers, written=None, shares=None):
    def answer(text, place):
        return Answer(
            text=text,
            written=written and written[place],
            scores={},
            probabilities=shares and {"yes": shares[place]},
        )

    return [
        VerdictRow(input="?", references=["yes"], answers={"base": answer(one, 0), "tuned": answer(other, 1)})
        for one, other in answers
    ]


TWO = rows(("yes", "no"), ("yes", "yes"), ("no", "yes"))
ALIKE = rows(("yes", "yes"), ("no", "no"))


def test_a_side_s_own_proof_comes_first():
    found = prove(side("base", "a" * 64), side("tuned", "b" * 64, proof="The adapter moves a logit by 3.25."), TWO)
    assert found.sentence == "The adapter moves a logit by 3.25; 2 of 3 answers differ."
    assert not found.doubt


def test_hashes_come_next_and_answers_last():
    assert prove(side("base", "a" * 64), side("tuned", "b" * 64), TWO).sentence == (
        "Their weights differ (aaaaaaaaaaaa and bbbbbbbbbbbb); 2 of 3 answers differ."
    )
    assert prove(side("base"), side("tuned", "b" * 64), TWO).sentence == (
        "Only their answers show that they are two: 2 of 3 answers differ."
    )


def test_the_same_weights_twice_are_said_loudly():
    found = prove(side("base", "a" * 64), side("tuned", "a" * 64), ALIKE)
    assert found.sentence == "The same weights twice (aaaaaaaaaaaa); all 2 answers are the same."
    assert not found.doubt  # the headline says it of any two sides


def test_one_adapter_on_two_bases_is_two_models():
    one = side("base", "a" * 64, base="small", kind="adapter")
    for base, twice in (("large", False), ("small", True)):
        found = prove(one, side("tuned", "a" * 64, base=base, kind="adapter"), TWO)
        assert found.sentence.startswith("The same weights twice") == twice


def test_one_file_of_weights_that_is_scaled_in_two_ways_is_two_models():
    one = side("base", "a" * 64, base="small", kind="adapter", scaled_by="lora_alpha=8, r=4")
    other = side("tuned", "a" * 64, base="small", kind="adapter", scaled_by="lora_alpha=16, r=4")
    assert prove(one, other, TWO).sentence == (
        "The same weights, scaled by lora_alpha=8, r=4 and by lora_alpha=16, r=4; 2 of 3 answers differ."
    )
    assert one.info.model != other.info.model


@pytest.mark.parametrize("weights", ["", "b" * 64])
def test_two_sides_that_answer_all_alike_are_doubted(weights):
    found = prove(side("base", "a" * 64), side("tuned", weights), ALIKE)
    assert found.doubt == "tuned answers as the base does: all 2 answers are the same."
    assert ("Nothing shows" in found.sentence) == (not weights)


def test_what_was_written_counts_and_not_the_label_read_from_it():
    assert (
        "2 of 2"
        in prove(side("base"), side("tuned"), rows(*[("yes", "yes")] * 2, written=("Yes.", "yes"))).sentence
    )


def test_probabilities_that_moved_without_an_answer_are_said():
    found = prove(side("base"), side("tuned"), rows(*[("yes", "yes")] * 2, shares=(0.6, 0.7)))
    assert "though on 2 the labels' probabilities differ" in found.sentence and found.doubt

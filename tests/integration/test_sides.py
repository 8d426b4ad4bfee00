"""The real SmolLM2 and the adapter that ships, as anybody names them: the same answers through either door."""

import shutil

from data.tasks import SENTIMENT
from eval.sides.named import open_side, open_sides
from eval.sides.side import Asked
from models.adapter_files import CONFIG_FILE, WEIGHTS_FILE
from models.mirror import PACKAGES
from models.pair import open_pair
from models.scoring import score_labels
from models.tuned import bundled_folder

REAL_MODEL = True
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
TEXTS = [
    "The soup was cold, the waiter rude, and nobody said sorry.",
    "I laughed from the first minute to the last, and went again the next day.",
    "It works, more or less.",
    "Never again.",
]


def test_the_adapter_that_ships_answers_alike_as_ours_and_as_anybody_s(tmp_path):
    assert BASE in PACKAGES
    shipped = bundled_folder() / "sentiment-smollm2-lora"
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        shutil.copy(shipped / name, plain / name)
    sides = open_sides([Asked(BASE), Asked(str(shipped)), Asked(str(plain))], SENTIMENT)
    try:
        _, ours, anybody = sides
        assert len({id(side._copy) for side in sides}) == 1
        assert [side.about.kind for side in sides] == ["model", "adapter", "adapter"]
        assert ours.about.weights_sha256 == anybody.about.weights_sha256
        assert anybody.about.proof.startswith("Adapter acts") and anybody.about.base == BASE
        assert ours.prompted(TEXTS[0]).example == anybody.prompted(TEXTS[0]).example
        pair = open_pair(shipped)
        expected = score_labels(pair, TEXTS)
        chosen = [side.choose(TEXTS) for side in sides]
        assert [each.text for each in chosen[1]] == [each.text for each in chosen[2]]
        for number, both in enumerate(expected):
            for side, scores in zip(chosen, (both.base, both.tuned, both.tuned), strict=True):
                best = max(range(len(scores)), key=scores.__getitem__)
                assert side[number].text == SENTIMENT.labels[best]
        assert chosen[0] != chosen[1]
        assert [each.text for each in chosen[1]][:2] == ["negative", "positive"]
        written = anybody.write(TEXTS[:2], max_new_tokens=4)
        assert [each.text for each in written] == ["negative", "positive"]
    finally:
        for side in sides:
            side.close()


def test_an_adapter_alone_brings_its_base(tmp_path):
    side = open_side(Asked(str(bundled_folder() / "sentiment-smollm2-lora")), SENTIMENT)
    try:
        assert side.about.base == BASE
        assert side.likelihoods(TEXTS[:1], ["negative"])[0] > side.likelihoods(TEXTS[:1], ["positive"])[0]
    finally:
        side.close()

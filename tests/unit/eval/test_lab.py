"""The results of a lab: pairs and their correction, what is said of them, the plots, and the one HTML file."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from eval.lab import document, judging, plots, scales, words
from eval.lab import schema as module
from eval.lab.schema import Cost, Elsewhere, LabResult, OptionResult, SeedResult, TrialResult, json_schema
from eval.metrics import metric_named
from eval.report.sections import TaskInfo
from eval.statistics import judge_labels, judge_scores

KNOWN = """html head meta title style body main header section div p span h1 h2 table caption thead tbody tr th td
    details summary dl dt dd figure figcaption svg g line circle polyline text"""
HOSTILE = '<script>alert("1")</script>'
ACCURACY, ROUGE = metric_named("accuracy"), metric_named("rougeL")


def option(key, *seeds, trainable=0, ratio=None, base=None, metric=ACCURACY, **more):
    """An option whose seeds have these scores of each row."""
    scores = judging.mean_over_seeds(seeds)
    gain = judging.judged(base, scores, metric) if base else None
    return OptionResult(
        key=key,
        name=more.pop("name", key),
        about=f"what {key} is",
        trained=trainable > 0,
        seeds=[SeedResult(seed=number, score=sum(each) / len(each)) for number, each in enumerate(seeds)],
        scores=scores,
        mean=sum(scores) / len(scores),
        interval=judging.interval_of(scores, metric),
        gain=gain.difference if gain else None,
        gain_interval=gain.interval if gain else None,
        elsewhere=Elsewhere(base_perplexity=20, tuned_perplexity=20 * ratio) if ratio else None,
        cost=Cost(trainable=trainable),
        **more,
    )


def result(*options, metric=ACCURACY, **more):
    about = TaskInfo(kind="classification", title="Reviews", noun=("review", "reviews"))
    made = LabResult(
        name="tiny", title="Tiny", question="Which?", task="reviews", about=about, metric=metric.name,
        data="corpus:reviews", n=20, test_sha256="ab" * 32, seeds=[0, 1], budget="2 steps",
        chosen_by="the lowest validation loss", options=list(options), pairs=[], test="",
        machine={"processor": "x"}, minutes=3, created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    judged = {
        "pairs": judging.all_pairs(made.compared, metric),
        "test": judging.name_of_test(made.compared, metric),
    }
    return made.model_copy(update=judged | more)


def right(count, n=20):
    return [1.0] * count + [0.0] * (n - count)


@pytest.fixture
def found():
    base = right(4)
    return result(
        option("base", base, ratio=1.0),
        option("lora", right(18), right(16), trainable=2_000_000, ratio=1.05, base=base, settings={"a.rate": "0.1"},
               trials=[TrialResult(settings={"a.rate": rate}, value=0.5, chosen=rate == "0.1", run="r")
                       for rate in ("0.1", "0.2")]),
        option("full", right(19), right(19), trainable=100_000_000, ratio=3.0, base=base),
        OptionResult(key="bad", name="bad", about="bad", trained=True, failed="The loss is no longer a number."),
    )  # fmt: skip


# ---- what is judged ----------------------------------------------------------------------------------------


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    # By hand: 4 × 0.005, 3 × 0.01, 2 × 0.03; and 1 × 0.04, which may not be less than the one before.
    assert judging.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert judging.holm([0.5, 0.9]) == [1.0, 1.0]
    assert judging.holm([]) == []


def test_one_seed_of_right_and_wrong_is_judged_by_the_exact_test_and_means_of_seeds_by_permutation(found):
    one, other = option("a", right(4)), option("b", right(12))
    (pair,) = judging.all_pairs([one, other], ACCURACY)
    assert pair.p_value == pair.corrected == judge_labels(right(4), right(12)).p_value
    assert judging.name_of_test([one, other], ACCURACY) == "exact McNemar test"
    assert found.test == "paired permutation test"


def test_a_pair_differs_by_its_corrected_p_and_the_better_side_is_the_metrics(found):
    outcomes = {(pair.one, pair.other): pair.outcome for pair in found.pairs}
    assert outcomes == {("base", "lora"): "better", ("base", "full"): "better", ("lora", "full"): "no evidence"}
    assert all(pair.corrected >= pair.p_value for pair in found.pairs)
    # A difference that its own test finds is none among very many.
    few, most = option("few", right(0)), option("most", right(6))
    (alone,) = judging.all_pairs([few, most], ACCURACY)
    many = judging.all_pairs([few, most, *(option(f"o{n}", right(0)) for n in range(8))], ACCURACY)
    assert alone.outcome == "better" and many[0].p_value == alone.p_value and many[0].outcome == "no evidence"
    assert words.outcome_of(found, found.option("full"), found.option("base")) == "worse"


def test_all_pairs_are_judged_by_one_test_whether_or_not_some_have_one_seed():
    one, other, several = option("a", right(4)), option("b", right(12)), option("c", right(9), right(11))
    pairs = judging.all_pairs([one, other, several], ACCURACY)
    assert judging.name_of_test([one, other, several], ACCURACY) == "paired permutation test"
    by_flips, exact = (test(right(4), right(12)).interval for test in (judge_scores, judge_labels))
    assert pairs[0].interval == by_flips != exact


def test_a_clear_difference_is_found_among_however_many_pairs():
    high, *low = (option(f"o{score}", [score] * 40, metric=ROUGE) for score in (0.9, 0.1, 0.2))
    # At an alpha that is as small as 300 pairs make one of 0.05.
    pairs = judging.all_pairs([high, *low], ROUGE, alpha=0.0005)
    assert [pair.outcome for pair in pairs] == ["worse", "worse", "better"]


def test_of_a_curve_those_with_the_most_rows_are_compared():
    made = result(*(option(f"a{rows}", right(rows), rows=rows, trainable=9) for rows in (4, 8, 16)),
                  option("level", right(3)), option("b8", right(5), rows=8))  # fmt: skip
    assert [each.key for each in made.compared] == ["a16", "level"] and len(made.pairs) == 1
    assert words.titled(made.option("a16"), made) == "a16, 16 rows"


# ---- what is said ------------------------------------------------------------------------------------------


def test_the_headline_names_the_best_and_whatever_is_not_shown_to_be_worse(found):
    said = words.headline(found)
    assert said == (
        "full is best here: accuracy 0.95 on 20 reviews. There is no evidence that lora (0.85) is worse."
    )
    alone = result(option("a", right(5)))
    assert words.headline(alone) == "a: accuracy 0.25 on 20 reviews."
    assert "a is worse, by more" in words.headline(result(option("a", right(0)), option("b", right(20))))
    assert "no evidence that a (0.25) is worse" in words.headline(
        result(option("a", right(5)), option("b", right(6)))
    )
    read = metric_named("perplexity")
    texts = result(
        *(option(key, [-score] * 20, metric=read) for key, score in (("a", 1.0), ("b", 2.0))), metric=read
    )
    assert words.headline(texts).startswith("a is best here: perplexity 2.72 on 20 reviews.")


def test_what_is_tested_and_how_it_was_chosen_is_said_precisely(found):
    said = words.what_is_tested(found)
    assert (
        "mean over 2 seeds" in said and "paired permutation test" in said and "3 pairs" in said and "Holm" in said
    )
    assert "once" in words.how_chosen(found) and "2 settings" in words.how_chosen(found)
    one = result(option("a", right(5)), option("b", right(9)), seeds=[0])
    assert "trained once" in words.what_is_tested(one) and "exact McNemar" in words.what_is_tested(one)


def test_the_markdown_holds_every_option_and_every_pair_and_nothing_of_it_is_markup(found):
    text = words.to_markdown(found)
    for said in ("| lora | 0.850", "0.800 to 0.900", "20.0 → 60.0", "not measured: The loss", "lora → full"):
        assert said in text
    named = found.model_copy(update={"title": "a | b <i>"})
    assert r"# a \| b \<i\>" in words.to_markdown(named)


# ---- what is drawn -----------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Tags, and what would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.fetched = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_the_html_file_fetches_nothing_runs_nothing_and_escapes_everything(found):
    options = [each.model_copy(update={"name": HOSTILE, "about": HOSTILE}) for each in found.options]
    hostile = found.model_copy(
        update={"title": HOSTILE, "question": HOSTILE, "options": options, "notes": [HOSTILE]}
    )
    text = document.to_html(hostile)
    outline = Outline(text)
    assert not outline.fetched and "script" not in outline.tags and "link" not in outline.tags
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text and '<html lang="en">' in text and "prefers-color-scheme: dark" in text
    assert outline.tags.count("main") == outline.tags.count("h1") == 1
    assert [each for each in outline.tags if re.fullmatch(r"h\w+", each) and each[1:].isdigit()] == [
        "h1",
        "h2",
        "h2",
    ]
    assert set(outline.tags) <= set(KNOWN.split())
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        assert "<caption" in table and 'scope="col"' in table and 'scope="row"' in table


def test_every_plot_is_whole_svg_that_says_what_it_shows_and_has_a_point_an_option(found):
    drawn = {plots.quality_plot(found): {"base", "lora", "full"}, plots.forgetting_plot(found): {"lora", "full"}}
    for plot, options in drawn.items():
        svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", plot, re.DOTALL)[0])
        assert svg.get("role") == "img" and svg.get("aria-label")
        dots = svg.findall("circle")
        assert len(dots) == len(options) and all(dot.find("title").text for dot in dots)
        assert options <= {text.text for text in svg.findall("text")}
    assert plots.curve_plot(found) is None
    assert plots.forgetting_plot(result(option("a", right(4)), option("b", right(5)))) is None


def test_a_curve_has_a_line_an_option_and_is_level_where_rows_do_not_matter():
    made = result(*(option(f"a{rows}", right(rows), name="a", rows=rows, trainable=9) for rows in (4, 8, 16)),
                  option("level", right(3)))  # fmt: skip
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", plots.curve_plot(made), re.DOTALL)[0])
    (line,) = svg.iter("polyline")
    assert len(line.get("points").split()) == 3
    assert len([each for each in svg.iter("line") if "lab-untrained" in each.get("class", "")]) == 1


def test_names_lie_on_no_other_name_and_on_no_point():
    points = [(100.0, 100.0), (103.0, 101.0), (104.0, 103.0), (880.0, 50.0)]
    places = scales.beside(points, ["one option", "another", "a third", "at the edge"], right=900)
    assert places[3][2] == "end" and places[3][0] < 880
    boxes = [(x if anchor == "start" else x - 6.4 * 11, y) for x, y, anchor in places[:3]]
    assert len({round(y) for _, y in boxes}) == 3 or len({x < 100 for x, _ in boxes}) == 2


def test_ticks_are_round_and_cover_what_they_are_for():
    assert scales.round_ticks(0.11, 0.52) == pytest.approx([0.0, 0.2, 0.4, 0.6])
    assert len(scales.round_ticks(0.5, 0.5)) >= 2
    assert scales.log_ticks(1e3, 2e8) == pytest.approx([1e3, 1e4, 1e5, 1e6, 1e7, 1e8])
    assert len(scales.log_ticks(1.2e6, 4.9e6)) >= 2
    assert [scales.short(value) for value in (0.25, 460_800, 134_515_008)] == ["0.25", "461 k", "135 M"]


# ---- the file ----------------------------------------------------------------------------------------------


def test_the_schema_file_is_that_of_the_code():
    file = Path(module.__file__).with_name("results.schema.json")
    assert file.read_text(encoding="utf-8") == json_schema(), (
        "Write it again: python -m eval.lab.schema > eval/lab/results.schema.json"
    )


def test_results_are_read_back_as_they_were(found):
    assert LabResult.model_validate_json(found.model_dump_json()) == found
    assert found.schema_version == 1

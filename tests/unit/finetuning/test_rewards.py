"""What answers are worth: each reward by hand, and what a recipe may say of them."""

import pytest

from data.tasks import TASKS
from finetuning.recipe import load_recipe, parse_recipe
from finetuning.rewards import REWARDS, Answered
from finetuning.rewards.exact import Exact
from finetuning.rewards.format import RULES, Format
from finetuning.rewards.length import Length
from finetuning.rewards.rouge import Rouge
from plumbing.errors import RecipeError, RunError


def answered(answer, *references):
    return Answered("What is it?", answer, references or ("the shop is open",))


def scored(reward, *answers, references=("the shop is open",)):
    score = reward.scorer(TASKS["dialogue"], None, None)
    return list(score([Answered("?", answer, references) for answer in answers]))


def test_every_reward_is_found_by_its_name():
    assert set(REWARDS) == {"rouge", "exact", "length", "format", "run"}


def test_rouge_is_the_best_references_f_measure():
    assert scored(Rouge(), "The shop is open.", "the shop", "nobody") == [1.0, pytest.approx(2 / 3), 0.0]
    assert Rouge().of(answered("a soup", "the shop", "a soup")) == 1.0


def test_the_brevity_term_takes_off_for_words_beyond_the_longest_reference():
    plain, brief = Rouge(brevity=0), Rouge(brevity=0.5)
    long = "the shop is open until six"  # two words more than four
    assert plain.of(answered(long)) - brief.of(answered(long)) == pytest.approx(0.25)
    assert brief.of(answered(long, "the shop", "the shop is open until six")) == 1.0
    assert brief.of(answered("the shop")) == plain.of(answered("the shop"))


def test_an_exact_answer_is_worth_one():
    assert scored(Exact(), "The shop is open!", "the shop was open", "") == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(("count", "worth"), [(0, 0.0), (1, 1.0), (10, 1.0), (15, 0.5), (20, 0.0), (99, 0.0)])
def test_a_length_is_worth_less_the_longer_it_is(count, worth):
    assert Length(words=10).of(answered(" ".join(["word"] * count))) == worth


def test_a_length_may_have_a_least_number_of_words():
    assert Length(words=10, fewest=5).of(answered("only four words here")) == 0.0
    assert Length(words=10, fewest=0).of(answered("")) == 1.0


@pytest.mark.parametrize(
    ("rule", "keeps", "breaks"),
    [
        ("one line", "Leo comes.", "Leo comes.\nAna stays."),
        ("one sentence", "Leo comes at 6.30.", "Leo comes. Ana stays."),
        ("full stop", "Leo said “come.”", "Leo comes"),
        ("capital letter", "“Leo comes.”", "leo comes."),
        ("no list", "Leo comes - maybe.", "- Leo comes\n- Ana stays"),
        ("no turns", "Ana asks: at 6:30?\nIn short: maybe.", "Leo comes.\nMrs. Ana: I stay."),
    ],
)
def test_each_rule_of_form(rule, keeps, breaks):
    one = Format(rules=[rule])
    assert (one.of(answered(keeps)), one.of(answered(breaks)), one.of(answered("  "))) == (1.0, 0.0, 0.0)


def test_of_several_rules_the_share_counts_and_each_once():
    both = Format(rules=["one line", "full stop", "one line"])
    assert len(both.rules) == 2 and set(RULES) > set(both.rules)
    assert both.of(answered("Leo comes")) == 0.5


# ---- in a recipe ----


def recipe_with(*settings):
    return load_recipe("dialogue-smollm2-qlora", ["way=online", *settings])


def test_a_recipe_names_rewards_and_comes_back_as_it_was():
    recipe = recipe_with("way.rewards=[{name: rouge, brevity: 0.3}, {name: length, words: 30, weight: 0.2}, exact]")
    rouge, length, exact = recipe.way.rewards
    assert (rouge.brevity, length.words, length.weight, exact.weight) == (0.3, 30, 0.2, 1.0)
    assert parse_recipe(recipe.model_dump()) == recipe
    assert recipe_with().way.rewards == [Rouge()]


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ("[{name: style}]", "there is no reward 'style'; there are exact, format, length, rouge, run"),
        ("[7]", "there is no reward '7'; there are"),
        ("[{weight: 1}]", "there is no reward 'None'"),
        ("[{name: [rouge]}]", "there is no reward \"['rouge']\""),
        ("[{name: length}]", "of the reward length, words: Field required"),
        ("[{name: rouge, weight: .nan}]", "of the reward rouge, weight"),
        ("[{name: rouge, words: 3}]", "of the reward rouge, words: Extra inputs are not permitted"),
        ("[{name: length, words: 3, fewest: 4}]", "fewest is 4, which is more than words, 3"),
        ("[{name: format, rules: [polite]}]", "of the reward format, rules.0"),
        ("[rouge, {name: rouge, measure: rouge1}]", "rouge stands there twice"),
        ("[{name: rouge, weight: 0}]", "every weight is 0"),
        ("[]", "way.rewards: List should have at least 1 item"),
    ],
)
def test_what_is_wrong_with_rewards_is_said(rewards, said):
    with pytest.raises(RecipeError) as caught:
        recipe_with(f"way.rewards={rewards}")
    assert said in str(caught.value)


def test_raw_text_asks_nothing_that_could_be_answered():
    with pytest.raises(RecipeError, match="raw text asks nothing"):
        load_recipe("dialogue-smollm2-qlora", ["task.kind=text", "way=online"])


def test_a_reward_models_run_has_to_be_there_and_to_have_finished(tmp_path):
    recipe = recipe_with("way.rewards=[{name: run, run: nowhere-20260101-000000-0000}]")
    assert recipe.way.runs == ("nowhere-20260101-000000-0000",)
    with pytest.raises(RunError, match="There is no such run"):
        recipe.way.require(recipe.task_definition, tmp_path)

"""Each metric equals the library behind it; a file is all that it takes to add one; a name is refused early."""

import math
import random
import subprocess
import sys
from dataclasses import replace
from statistics import fmean

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import f1_score

from data.tasks import TASKS
from data.tasks.own import USUAL
from eval import metrics
from eval.metrics import (
    METRICS,
    metric_named,
    possible_primaries,
    primary_of,
    require_known,
    require_primary,
    suiting,
)
from eval.metrics.chrf import chrf
from eval.metrics.evaluated import as_evaluate
from eval.metrics.exact_match import is_exact, normalised
from eval.metrics.macro_f1 import macro_f1
from eval.metrics.perplexity import a_token, perplexity
from eval.metrics.rouge import ROUGE_NAMES, in_sentences, rouge_scores
from eval.metrics.token_f1 import token_f1
from eval.scores import judge, measure, row_scores
from plumbing.errors import RecipeError

ANSWERS = [
    "Leo will repair the laptop on Friday. Ana is glad!",
    "They talk about soup.",
    "",
    "The meetings were moved to Tuesday because Tom is ill",
]
REFERENCES = [
    ["Ana's laptop is broken. Leo repairs it on Friday."],
    ["Ana asks about soup.", "They are talking about the soup of the day."],
    ["Nothing was decided."],
    ["Tom's illness moves the meeting to Tuesday.", "Tom is ill. The meeting is moved to Tuesday."],
]


# ---- the registry ------------------------------------------------------------------------------------------


def test_every_metric_says_what_it_is_and_how_it_is_computed():
    for name, metric in METRICS.items():
        assert metric.name == name and metric.title and (metric.tasks or name == "pair_accuracy")
        ways = [way for way in (metric.row, metric.rows, metric.whole) if way]
        assert len(ways) == (0 if name in ("perplexity", "bits_per_byte") else 1)
        assert (metric.kind == "whole") == bool(metric.whole)
        assert metric.higher_is_better == (name != "bits_per_byte")


def test_every_task_has_a_primary_metric_of_its_rows():
    for task in (*TASKS.values(), *USUAL.values()):
        assert primary_of(task) in possible_primaries(task.kind)
        require_primary(task.metric, task.kind)
    assert [metric.name for metric in possible_primaries("classification")] == ["accuracy"]
    texts = ["rouge1", "rouge2", "rougeL", "rougeLsum", "chrf", "exact_match", "token_f1"]
    assert [metric.name for metric in possible_primaries("generation")] == texts
    assert [metric.name for metric in suiting("classification")] == ["accuracy", "macro_f1"]
    assert "perplexity" in {metric.name for metric in suiting("chat")}
    assert {metric.name for metric in possible_primaries("text")} == {"perplexity", "bits_per_byte"}


def test_a_mean_is_told_by_the_number_that_people_know():
    likelihood, accuracy = METRICS["perplexity"], METRICS["accuracy"]
    assert (accuracy.named, accuracy.said(0.789)) == ("accuracy", "0.79")
    assert likelihood.named == "perplexity" and not likelihood.named_higher_is_better
    assert [likelihood.said(-math.log(number)) for number in (1, 23.456, 234.56, 12_345.6)] == [
        "1.00", "23.46", "234.6", "12,346",
    ]  # fmt: skip
    assert likelihood.told.times(math.log(2)) == pytest.approx(0.5)


NUMBERS = r'''
import re
from collections.abc import Sequence

from eval.metrics.metric import Metric


def names_the_numbers(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer has every number of one of the references, else 0.0."""
    said = set(re.findall(r"\d+", answer))
    return float(any(said >= set(re.findall(r"\d+", reference)) for reference in references))


METRIC = Metric("numbers", "all numbers named", "binary", ("generation", "chat"), row=names_the_numbers)
'''
"""An answer is right if it has every number of a reference, whatever else it says."""


def test_a_file_is_all_that_a_metric_takes(tmp_path, monkeypatch):
    (tmp_path / "numbers.py").write_text(NUMBERS, encoding="utf-8")
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    found = metrics._found()
    monkeypatch.delitem(sys.modules, "eval.metrics.numbers")
    monkeypatch.setattr(metrics, "METRICS", found)
    monkeypatch.setattr("eval.aggregate.METRICS", found)
    assert set(found) - set(METRICS) == {"numbers"}
    assert "numbers" in {metric.name for metric in suiting("generation")}
    answers, references = ["At 7 on the 3rd.", "soon"], [["at 3, at 7", "by 12"], ["at 4"]]
    assert measure(answers, references, TASKS["dialogue"])["numbers"] == 0.5
    require_primary("numbers", "generation")
    own = replace(TASKS["dialogue"], metric="numbers")
    assert row_scores(answers, references, own) == [1.0, 0.0]
    assert judge([0.0] * 6, [1.0] * 6, primary_of(own)).test == "exact McNemar test"
    assert as_evaluate(found["numbers"]).compute(predictions=answers, references=references) == {"numbers": 0.5}


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("acuracy", "classification", "there is no metric acuracy; there are accuracy, or evaluate:NAME"),
        ("rougeL", "classification", "ROUGE-L does not suit a task of kind classification; there are accuracy"),
        ("accuracy", "generation", "accuracy does not suit .* there are rouge1, .*, chrf, exact_match, token_f1"),
        ("macro_f1", "classification", "cannot rest on macro-F1: it is of a whole test set"),
        ("bertscore", "generation", "it is only given besides"),
        ("perplexity", "chat", "it is only given besides"),
        ("evaluate:x:whole", "generation", "cannot rest on evaluate:x:whole: it is of a whole test set"),
    ],
)
def test_a_metric_that_no_verdict_can_rest_on_is_refused_with_those_that_one_can(name, kind, says):
    with pytest.raises(ValueError, match=says):
        require_primary(name, kind)


def test_what_is_only_looked_at_besides_may_be_of_a_whole_set():
    require_known("macro_f1", "classification")
    with pytest.raises(ValueError, match="there is no metric macro_f1 for a task of kind generation"):
        require_known("macro_f1", "generation")


def test_a_name_of_another_version_is_a_plain_score_and_no_task_is_judged_by_it():
    assert metric_named("meteor").title == "meteor"
    with pytest.raises(RecipeError, match="not among the metrics that are loaded here"):
        primary_of(replace(TASKS["dialogue"], metric="meteor"))


# ---- each metric -------------------------------------------------------------------------------------------


def labels(count, seed, choices=("negative", "positive"), weights=None):
    return random.Random(seed).choices(choices, weights, k=count)


@pytest.mark.parametrize("choices", [("negative", "positive"), tuple(f"class {number}" for number in range(9))])
@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_is_the_mean_of_each_labels(seed, choices):
    predictions, references = labels(157, seed, choices), labels(157, seed + 100, choices[:-1])

    def of(label):
        hits = sum(one == other == label for one, other in zip(predictions, references, strict=True))
        return 2 * hits / (predictions.count(label) + references.count(label))

    found = macro_f1(predictions, [[label] for label in references])
    assert found == pytest.approx(fmean(of(label) for label in {*predictions, *references}), abs=1e-12)
    assert found == pytest.approx(f1_score(references, predictions, average="macro"), abs=1e-12)


def test_macro_f1_of_a_model_that_always_says_the_same():
    references = [["negative"], ["positive"]] * 10
    assert macro_f1(["positive"] * 20, references) == pytest.approx(1 / 3)  # (2/3 for positive + 0) / 2
    assert macro_f1(["positive"], [["positive"]]) == 1.0


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("The  Blue Gate.", "blue gate", 1.0),
        ("A gate, the blue one", "gate blue one", 1.0),
        ("theatre", "atre", 0.0),
        ("3.50", "350", 1.0),  # as SQuAD's own script has it
        ("«Синие ворота»!", "синие ворота", 1.0),
        ("星期五。", "星期五", 1.0),
        ("cafe\u0301", "caf\u00e9", 1.0),
        ("Straße", "STRASSE", 1.0),
        ("", "", 1.0),
        ("no", "yes", 0.0),
    ],
)
def test_exact_match_looks_past_case_punctuation_and_articles(answer, reference, same):
    assert is_exact(answer, ["something else", reference]) == same


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_ascii_text_is_normalised_as_in_squads_own_script(text):
    import re
    import string

    plain = "".join(sign for sign in text.lower() if sign not in set(string.punctuation))
    assert normalised(text) == " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def test_token_f1_counts_shared_words_whatever_their_order():
    assert token_f1("Leo helps Ana", ["Ana helps Leo."]) == 1.0
    assert token_f1("Leo Leo helps", ["Leo helps Ana today"]) == pytest.approx(2 * 2 / (3 + 4))
    assert token_f1("nothing", ["Leo helps", "nothing at all"]) == pytest.approx(2 * 1 / (1 + 3))
    assert token_f1("他修电脑", ["他买电脑"]) == pytest.approx(3 / 4)
    assert (token_f1("", ["?!"]), token_f1("", ["Leo"]), token_f1("Leo", [""])) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("answer", ["Leo helps", "", "Größe", "小明修电脑"])
@pytest.mark.parametrize("reference", ["Leo", "Grösse", "小明"])
def test_chrf_is_sacrebleus_of_each_answer(answer, reference):
    references = [reference, "Leo helped Ana"]
    found = chrf(answer, references)
    assert found == sacrebleu.sentence_chrf(answer, references).score / 100
    assert 0 <= found < 1 == chrf("Leo helps", ["Leo helps"])


def test_likelihood_a_token_is_what_perplexity_is_made_of():
    assert a_token(-6.0, 3) == -2.0 and a_token(0.0, 0) == 0.0
    assert perplexity([-6.0, -2.0], [3, 1]) == pytest.approx(2.718281828**2)


@pytest.mark.parametrize(("answer", "references"), list(zip(ANSWERS, REFERENCES, strict=True)))
def test_rouge_of_an_example_equals_rouge_score(answer, references):
    scorer = RougeScorer(list(ROUGE_NAMES), use_stemmer=True)
    each = [scorer.score(in_sentences(text), in_sentences(answer)) for text in references]
    scores = rouge_scores(answer, references)
    assert scores == {name: max(one[name].fmeasure for one in each) for name in ROUGE_NAMES}
    assert all(0 <= score <= 1 for score in scores.values())


def test_each_measure_of_rouge_is_that_of_one_scoring():
    for answer, references in zip(ANSWERS, REFERENCES, strict=True):
        scores = {name: METRICS[name].row(answer, references) for name in ROUGE_NAMES}
        assert scores == rouge_scores(answer, references)


def test_rouge_knows_stems_and_the_best_reference():
    assert rouge_scores("he talks", ["he talked"])["rouge1"] == 1.0
    assert rouge_scores("a b c", ["x y z", "a b c"])["rouge2"] == 1.0
    assert rouge_scores("", ["a b c"]) == dict.fromkeys(ROUGE_NAMES, 0.0)


OTHER_SCRIPTS = {
    "Russian": ("Лео чинит ноутбук в пятницу.", "Лео чинит велосипед в субботу."),
    "Greek": ("Ο Λέων επισκευάζει τον υπολογιστή.", "Ο Λέων αγοράζει έναν άλλο."),
    "Chinese": ("小明星期五修电脑。", "小红星期六买自行车。"),
    "Japanese": ("レオは金曜日にパソコンを直す。", "レオは土曜日に自転車を買う。"),
    "Korean": ("레오는 금요일에 노트북을 고친다.", "레오는 토요일에 자전거를 산다."),
    "Thai": ("เลโอซ่อมคอมพิวเตอร์วันศุกร์", "เลโอซื้อจักรยานวันเสาร์"),
    "Arabic": ("يصلح ليو الحاسوب يوم الجمعة.", "يشتري ليو دراجة يوم السبت."),
    "Hindi": ("लियो शुक्रवार को लैपटॉप ठीक करेगा।", "लियो शनिवार को साइकिल ख़रीदेगा।"),
    "Hebrew": ("ליאו מתקן את המחשב ביום שישי.", "ליאו קונה אופניים ביום שבת."),
}


@pytest.mark.parametrize(("answer", "other"), OTHER_SCRIPTS.values(), ids=OTHER_SCRIPTS)
def test_rouge_of_any_script_is_1_for_the_same_and_between_for_another_text(answer, other):
    assert rouge_scores(answer, [answer]) == dict.fromkeys(ROUGE_NAMES, 1.0)
    scores = rouge_scores(other, [answer])
    assert 0 < scores["rouge1"] < 1 and 0 <= scores["rouge2"] <= scores["rouge1"]
    assert 0 < scores["rougeL"] < 1 and 0 < scores["rougeLsum"] < 1
    assert rouge_scores(other, ["Leo repairs it."])["rouge1"] == 0.0


def test_rouge_does_not_take_a_letter_for_a_gap():
    assert rouge_scores("Gr e", ["Größe"])["rouge1"] == 0.0
    assert rouge_scores("GRÖSSE", ["Größe"])["rouge1"] == 1.0
    assert rouge_scores("cafe\u0301", ["caf\u00e9"])["rouge1"] == 1.0  # an accent of its own, and in one letter


def test_rouge_of_chinese_counts_characters_and_its_sentences_end_without_a_space():
    scores = rouge_scores("他修电脑。", ["他买电脑。"])
    assert (scores["rouge1"], scores["rouge2"]) == (pytest.approx(3 / 4), pytest.approx(1 / 3))
    assert in_sentences("他修电脑。她买！“好？”他说。") == "他修电脑。\n她买！“好？”他说。"
    scores = rouge_scores("他修电脑。她买车。", ["她买车。他修电脑。"])
    assert scores["rougeLsum"] == 1.0
    assert scores["rougeL"] == pytest.approx(4 / 7)


TEXTS = st.text(st.characters(max_codepoint=127), max_size=60)
WORDY = st.lists(
    st.sampled_from(["talks", "talked", "Talking", "the", "3.50", "re-do", "Ana's", "runner", "."]), max_size=9
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS | WORDY, st.lists(TEXTS | WORDY, min_size=1, max_size=3))
def test_rouge_of_ascii_text_is_that_of_rouge_score(answer, references):
    scorer = RougeScorer(list(ROUGE_NAMES), use_stemmer=True)
    each = [scorer.score(in_sentences(text), in_sentences(answer)) for text in references]
    expected = {name: max(one[name].fmeasure for one in each) for name in ROUGE_NAMES}
    assert rouge_scores(answer, references) == pytest.approx(expected, abs=1e-9)


def test_the_order_of_sentences_counts_for_rouge_l_only():
    answer, reference = "Ana is ill. Leo cooks soup.", "Leo cooks soup. Ana is ill."
    scores = rouge_scores(answer, [reference])
    assert scores["rougeLsum"] == 1.0
    assert scores["rougeL"] == pytest.approx(0.5)


def test_sentences_end_at_a_mark_before_a_space():
    assert in_sentences(" It cost 3.50. Why? No idea!  Ask Ana.") == "It cost 3.50.\nWhy?\nNo idea!\nAsk Ana."


def test_what_is_said_of_metrics_loads_no_library_and_scoring_never_loads_evaluate():
    """`evaluate` takes seconds to import, and a page that scores one answer would wait for it."""
    code = (
        "import sys, eval.metrics; heavy = {'evaluate', 'datasets', 'torch', 'sklearn', 'nltk', 'sacrebleu'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
        "from data.tasks import TASKS; from eval.scores import measure\n"
        "measure(['a b'], [['a c']], TASKS['dialogue']); measure(['x'], [['x']], TASKS['sentiment'])\n"
        "assert not {'evaluate', 'datasets', 'torch'} & sys.modules.keys()"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr

"""The metrics equal scikit-learn and rouge_score, and per-example values average to them."""

import random
import subprocess
import sys
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import accuracy_score, f1_score

from eval.metrics.evaluated import Accuracy, MacroF1, Rouge
from eval.metrics.labels import is_correct
from eval.metrics.rouge import ROUGE_NAMES, in_sentences, rouge_scores

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


def labels(count, seed, choices=("negative", "positive"), weights=None):
    return random.Random(seed).choices(choices, weights, k=count)


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_macro_f1_equal_scikit_learn(seed):
    predictions, references = labels(157, seed, weights=(1, 4)), labels(157, seed + 100)
    accuracy = Accuracy().compute(predictions=predictions, references=references)
    macro_f1 = MacroF1().compute(predictions=predictions, references=references)
    assert accuracy == {"accuracy": pytest.approx(accuracy_score(references, predictions), abs=1e-9)}
    assert macro_f1 == {"macro_f1": pytest.approx(f1_score(references, predictions, average="macro"), abs=1e-9)}
    assert accuracy["accuracy"] == pytest.approx(fmean(map(is_correct, predictions, references)))


def test_macro_f1_of_a_model_that_always_says_the_same():
    references = ["negative", "positive"] * 10
    f1 = MacroF1().compute(predictions=["positive"] * 20, references=references)["macro_f1"]
    assert f1 == pytest.approx(1 / 3)  # (2/3 for positive + 0 for negative) / 2


def test_macro_f1_where_one_label_occurs_counts_that_label():
    assert MacroF1().compute(predictions=["positive"], references=["positive"]) == {"macro_f1": 1.0}


@pytest.mark.parametrize(("answer", "references"), list(zip(ANSWERS, REFERENCES, strict=True)))
def test_rouge_of_an_example_equals_rouge_score(answer, references):
    scorer = RougeScorer(list(ROUGE_NAMES), use_stemmer=True)
    each = [scorer.score(in_sentences(text), in_sentences(answer)) for text in references]
    scores = rouge_scores(answer, references)
    assert scores == {name: max(one[name].fmeasure for one in each) for name in ROUGE_NAMES}
    assert all(0 <= score <= 1 for score in scores.values())


def test_rouge_is_the_mean_of_its_examples():
    rouge = Rouge().compute(predictions=ANSWERS, references=REFERENCES)
    rows = [rouge_scores(*pair) for pair in zip(ANSWERS, REFERENCES, strict=True)]
    assert rouge == {name: pytest.approx(fmean(row[name] for row in rows), abs=1e-12) for name in ROUGE_NAMES}


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


def test_scoring_an_answer_loads_no_library_of_metrics():
    """`evaluate` takes seconds to import, and a page that scores one answer would wait for it."""
    code = "import sys, eval.metrics.rouge; sys.exit(bool({'evaluate', 'datasets', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("metric", [Accuracy, MacroF1, Rouge])
def test_a_metric_leaves_nothing_in_the_cache(metric, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", tmp_path)
    monkeypatch.chdir(tmp_path)
    references = [["a b"], ["c"]] if metric is Rouge else ["a b", "c"]
    assert metric().compute(predictions=["a b", "c"], references=references)
    assert not list(tmp_path.iterdir())


def test_one_metric_can_be_computed_twice():
    accuracy = Accuracy()
    assert accuracy.compute(predictions=["a"], references=["a"]) == {"accuracy": 1.0}
    assert accuracy.compute(predictions=["a", "b"], references=["a", "a"]) == {"accuracy": 0.5}

"""Raw texts are compared by their likelihood: whole documents, a long one for more, as in a plain forward."""

import math
import shutil
from operator import mul
from statistics import fmean

import pytest
import torch
from datasets import Dataset

from data.passages import passages_of
from data.tasks.own import OwnTask
from data.tasks.saved import save_task
from data.trained_rows import TrainedRows
from eval import documents
from eval.compare import compare
from eval.documents import Documents, text_of, texts_of
from eval.floors.compression import compressed_bits
from eval.floors.context import Context
from eval.gate import Baseline, check, frozen_rows, known_to, measured
from eval.report.folder import load, save
from eval.report.headline import explanation, headline
from eval.report.markdown import few_shot_sentence, to_markdown
from eval.report.rows_text import about_the_rows
from eval.report.texts import texts_sentence
from eval.statistics import judge_scores
from models.pair import Pair, open_pair
from models.prompting import TextPrompter
from plumbing.errors import DataError

TASK = OwnTask(kind="text", name="letters", noun="letters").definition()
LETTERS = [
    f"Dear Ana {n}, the soup is warm and the film is slow." + " Leo offers to look at the laptop." * (n % 4)
    for n in range(8)
]
TEST = Dataset.from_list([{"text": text, "row": n, "document": n} for n, text in enumerate(LETTERS)])
TRAIN = Dataset.from_list(
    [{"text": f"Dear Leo {n}, the shop is open. Yours, Ana.", "row": n, "document": n} for n in range(9)]
)


@pytest.fixture(scope="module")
def pair(tiny_adapter, tmp_path_factory):
    folder = shutil.copytree(tiny_adapter, tmp_path_factory.mktemp("letters") / "adapter")
    TextPrompter(open_pair(tiny_adapter).tokenizer, TASK).contract.save(folder)
    save_task(TASK, folder)
    return open_pair(folder)


@pytest.fixture(scope="module")
def result(pair):
    context = Context("about.md", "Ana writes about soup.")
    return compare(
        pair, TEST, train=TRAIN, few_shot=2, few_shot_draws=2, context=context, max_new_tokens=6, forgetting=True
    )


def plainly(pair, text, *, tuned, before=()):
    """Log-probability of a text's tokens but the first, behind others, by a plain forward."""
    ids = [*before, *pair.tokenizer(text, add_special_tokens=False)["input_ids"]]
    tokens = torch.tensor([ids], device=pair.model.device)
    with torch.no_grad(), pair.side(tuned) as model:
        log_probs = model(input_ids=tokens).logits[0].double().log_softmax(-1)
    own = range(len(before) + 1, len(ids))
    return math.fsum(float(log_probs[at - 1, ids[at]]) for at in own), len(own)


@pytest.mark.cuda
def test_each_text_is_as_probable_as_in_a_plain_forward(pair, result):
    rows, report = result.rows, result.report
    assert [text_of(row) for row in rows] == LETTERS and report.n == len(LETTERS)
    for side, tuned in (("base", False), ("tuned", True)):
        found = [plainly(pair, text, tuned=tuned) for text in LETTERS]
        for row, (nats, count) in zip(rows, found, strict=True):
            assert getattr(row, side).perplexity == pytest.approx(math.exp(-nats / count), rel=1e-3)
        nats, tokens = sum(nats for nats, _ in found), sum(count for _, count in found)
        whole = getattr(report.texts, side)
        assert whole.perplexity == pytest.approx(math.exp(-nats / tokens), rel=1e-3)
        # Nobody is asked for the first token of a text, nor are its bytes counted.
        lost = sum(len(pair.tokenizer.decode([pair.tokenizer(text)["input_ids"][0]])) for text in LETTERS)
        total = sum(map(len, LETTERS)) - lost
        assert (report.texts.bytes, report.texts.tokens) == (total, tokens)
        assert whole.bits_per_byte == pytest.approx(-nats / math.log(2) / total, rel=1e-3)
        assert whole.perplexity_interval.low < whole.perplexity < whole.perplexity_interval.high
        # The mean over the rows, long ones counting for more, is that over all tokens.
        metric = next(one for one in report.metrics if one.name == "perplexity")
        assert getattr(metric, side) == pytest.approx(nats / tokens, rel=1e-3)
        assert fmean(getattr(row, side).scores["perplexity"] for row in rows) == pytest.approx(
            getattr(metric, side)
        )


def test_both_sides_go_on_with_an_opening(result):
    for row in result.rows:
        assert row.input and text_of(row).startswith(row.input) and row.references[0].startswith(" ")
        assert 0 < row.base.tokens <= 6
    assert result.report.writing is None and result.report.max_new_tokens == 6


def test_the_verdict_is_the_paired_test_of_the_texts(result):
    report = result.report
    before, after = ([getattr(row, side).scores["perplexity"] for row in result.rows] for side in ("base", "tuned"))
    assert report.primary.name == "perplexity" and report.verdict == judge_scores(before, after)
    bits = next(metric for metric in report.metrics if metric.name == "bits_per_byte")
    assert not bits.metric.higher_is_better and bits.judgement.outcome == report.verdict.outcome
    assert report.forgetting is not None


@pytest.mark.cuda
def test_the_base_with_other_texts_before_each_is_as_in_a_plain_forward(pair, result):
    shown, told = result.report.few_shot, result.report.context
    assert (shown.examples, len(shown.draws), shown.prompt_tokens_without) == (2, 2, 0)
    before = [*pair.tokenizer("Ana writes about soup.")["input_ids"], pair.tokenizer.eos_token_id]
    assert told.prompt_tokens == len(before)
    nats = [plainly(pair, text, tuned=False, before=before) for text in LETTERS]
    expected = sum(value for value, _ in nats) / sum(count for _, count in nats)
    assert told.scores["perplexity"] == pytest.approx(expected, rel=1e-3)
    assert "With 2 other texts before each" in few_shot_sentence(shown, result.report)


def test_a_program_that_compresses_is_a_floor(pair, result):
    [floor] = result.report.floors
    assert floor.name == "LZMA" and set(floor.scores) == {"perplexity", "bits_per_byte"}
    again, other = compressed_bits([*LETTERS], [LETTERS[3], "Quite another thing: zq xv jk 8273 &%!"])
    assert again < other and again / 8 < len(LETTERS[3]) / 4
    first = len(pair.tokenizer.decode([pair.tokenizer(LETTERS[0])["input_ids"][0]]))
    kept = [(len(text) - first) / len(text) for text in LETTERS]
    bits = sum(map(mul, compressed_bits(TRAIN["text"][:], LETTERS), kept))
    assert floor.scores["bits_per_byte"] == pytest.approx(bits / result.report.texts.bytes)
    assert result.report.scored_by_all == ["perplexity", "bits_per_byte"]


def test_rows_of_a_report_are_judged_again_as_they_were(pair, result, tmp_path):
    save(result.report, result.rows, tmp_path)
    report, rows, test = frozen_rows(tmp_path, TASK)
    assert test.column_names == ["text"] and test["text"][:] == LETTERS
    again = compare(pair, test, max_new_tokens=6)
    assert again.report.metrics == report.metrics
    assert again.report.data.test_sha256 == report.data.test_sha256
    outcome = check(measured("letters", again), Baseline.of("letters", report, rows))
    assert not outcome.failures or all("could never fail" in failure for failure in outcome.failures), outcome
    trained = TrainedRows.of([LETTERS[2]])
    assert [known_to(trained, row) for row in rows] == [n == 2 for n in range(8)]


def test_passages_of_a_document_are_one_text_where_there_are_documents_enough():
    long = ["\n\n".join(f"Part {part} of {n}. " * 60 for part in range(4)) for n in range(7)]
    rows = [
        {"text": passage, "document": n, "row": 0}
        for n, document in enumerate(long)
        for passage in passages_of(document)
    ]
    assert len(rows) > len(long)
    together = texts_of(Dataset.from_list(rows), TASK)
    assert [" ".join(text.split()) for text in together] == [" ".join(text.split()) for text in long]
    few = [row for row in rows if row["document"] < 5]
    assert texts_of(Dataset.from_list(few), TASK) == [row["text"] for row in few]


@pytest.mark.cuda
def test_a_long_text_is_read_in_windows(pair, monkeypatch):
    monkeypatch.setattr(documents, "WINDOW", 16)
    found = Documents.read(pair, LETTERS[:3])
    ids = pair.tokenizer(LETTERS[0], add_special_tokens=False)["input_ids"]
    lengths = list(map(len, found.windows[0]))
    assert sum(lengths) == len(ids) and max(lengths) <= 16 and len(lengths) == -(-len(ids) // 16)
    assert min(lengths) > 8, "none is much shorter than the others"
    assert found.tokens[0] == len(ids) - len(found.windows[0])
    pieces = [pair.tokenizer.decode(window) for window in found.windows[0]]
    assert found.base[0] == pytest.approx(sum(plainly(pair, piece, tuned=False)[0] for piece in pieces), abs=1e-3)


@pytest.mark.cuda
def test_layers_by_hand_and_modules_find_the_same(pair, monkeypatch):
    by_hand = Documents.read(pair, LETTERS)
    monkeypatch.setattr(Pair, "layers_of", lambda *_: None)
    by_modules = Documents.read(pair, LETTERS)
    assert by_hand.base == pytest.approx(by_modules.base, abs=1e-3)
    assert by_hand.tuned == pytest.approx(by_modules.tuned, abs=1e-3)


def test_lengths_alone_do_not_widen_an_interval():
    values, sizes = [-2.0 * n for n in range(10, 30)], list(range(10, 30))
    interval = documents._ratio(values, sizes)
    assert interval.low == pytest.approx(interval.high) == pytest.approx(-2.0)
    noisy = documents._ratio([value + (n % 3 - 1) for n, value in enumerate(values)], sizes)
    assert noisy.low < -2.0 < noisy.high and noisy.high - noisy.low < 0.1


def test_texts_of_a_token_each_are_refused(pair):
    with pytest.raises(DataError, match="nothing to predict"):
        compare(pair, Dataset.from_list([{"text": "a"}, {"text": "b"}]))


def test_without_room_for_other_texts_it_is_said_why(pair, monkeypatch):
    monkeypatch.setattr(documents, "most_tokens", lambda _: 140)
    report = compare(pair, TEST, train=TRAIN, few_shot=4, max_new_tokens=2).report
    assert report.few_shot is None and "did not read 4 other texts before each" in report.few_shot_left_out
    long = compare(pair, TEST, context=Context("long.md", "soup " * 1000), max_new_tokens=2).report
    assert long.context is None and "did not read long.md before each text" in long.context_left_out


def test_it_is_told_in_perplexity(result, tmp_path):
    report = result.report
    said = headline(report)
    base, tuned = report.texts.base.perplexity, report.texts.tuned.perplexity
    assert "on 8 letters perplexity, where lower is better, fell from" in said and tuned < base
    assert f"{base:,.0f}" in said and f"{tuned:.1f}" in said
    assert "No better than compressing it with LZMA behind the training texts" in said
    assert "times what it was" in explanation(report)
    assert "bits per byte" in texts_sentence(report.texts, report)
    written = to_markdown(report, result.rows)
    assert "**The text goes on:**" in written and "Base, perplexity" in written and "ROUGE" not in written
    assert "likelihoods of the same texts" in written and texts_sentence(report.texts, report) in written
    assert all("passages of" not in line for line in about_the_rows(report))
    save(report, result.rows, tmp_path)
    assert load(tmp_path)[0] == report


def test_that_rows_are_passages_of_whole_texts_is_said(result):
    texts = result.report.texts.model_copy(update={"passages": 20})
    report = result.report.model_copy(update={"texts": texts})
    assert report.rows_judged == 20
    assert "They are passages of 8 texts, and each text is judged as a whole." in about_the_rows(report)


@pytest.mark.parametrize(("documents", "said"), [(1, "of 1 document, so"), (5, "of 5 documents, so"), (8, "")])
def test_that_passages_of_few_documents_say_nothing_of_others_is_said(documents, said, result):
    texts = result.report.texts.model_copy(update={"documents": documents})
    lines = about_the_rows(result.report.model_copy(update={"texts": texts}))
    assert [line for line in lines if "not about other documents" in line and said in line] == lines[: bool(said)]


def test_how_many_documents_were_judged_is_counted(pair, result):
    assert result.report.texts.documents == len(LETTERS)
    one = Dataset.from_list([row | {"document": 7} for row in TEST])
    report = compare(pair, one, max_new_tokens=2).report
    assert (report.n, report.texts.documents) == (len(LETTERS), 1)
    assert compare(pair, TEST.select_columns(["text"]), max_new_tokens=2).report.texts.documents is None


def test_not_all_of_very_many_texts_are_read_to_find_short_ones(pair, monkeypatch):
    monkeypatch.setattr(documents, "MOST_TRIED", 3)
    read = []

    def long(_, texts):
        read.extend(texts)
        return [[1] * 9999 for _ in texts]

    monkeypatch.setattr(documents, "documents", long)
    found = Documents(pair, [], [[[1, 2]]], [1], [1], [0.0], [0.0])
    assert found.few_shot([(f"text {n}", "") for n in range(50)], 1, 2)[0] is None
    assert len(read) == 3

"""A person's own task is compared like those that ship: many labels, questions with several references, chats."""

import shutil
from dataclasses import replace
from math import exp
from statistics import fmean

import pytest
import torch
from datasets import Dataset

from data.tasks import TASKS
from data.tasks.own import OwnTask
from data.tasks.saved import save_task
from data.tasks.task import as_text
from eval.compare import compare
from eval.floors.context import Context, measure_context, no_room
from eval.gate import Baseline, check_run, frozen_rows, measured
from eval.metrics import primary_of
from eval.metrics.token_f1 import token_f1
from eval.report.folder import load, save
from eval.report.markdown import context_sentence, to_markdown
from eval.report.rows_text import about_the_rows
from eval.scores import judge, measure
from models import scoring
from models.pair import open_pair
from models.prompting import Prompter
from models.tuned import tuned_in
from plumbing.errors import DataError, RecipeError, RunError

TEAMS = ("billing", "bill", "returns", "billing of returns")
LABELS = OwnTask(kind="classification", name="teams", inputs=["body"], target="team", noun="mails").definition()
QUESTIONS = OwnTask(
    kind="generation", name="questions", inputs=["question"], target="answers", metric="token_f1", noun="questions"
).definition()
MAILS = Dataset.from_list(
    [{"body": f"Mail {number} about the soup and the shop.", "team": TEAMS[number % 4]} for number in range(8)]
)
ASKED = Dataset.from_list(
    [
        {"question": "Who repairs the laptop?", "answers": ["Leo", "Leo does"]},
        {"question": "What does Ana want?", "answers": ["soup"]},
        {"question": "When is the shop open?", "answers": ["until six"]},
    ]
)
HANDBOOK = Context("handbook.md", "Leo repairs laptops. Ana wants soup.\nThe shop is open until six.")


@pytest.fixture(scope="module")
def own(tiny_adapter, tmp_path_factory):
    """`own(task)` → the pair of a tiny adapter that was tuned for it."""
    tokenizer = open_pair(tiny_adapter).tokenizer

    def opened(task):
        folder = shutil.copytree(tiny_adapter, tmp_path_factory.mktemp(task.name) / "adapter")
        Prompter(tokenizer, task).contract.save(folder)
        save_task(task, folder)
        return open_pair(folder)

    return opened


@pytest.fixture(scope="module")
def mails(own):
    pair = own(LABELS.with_labels(TEAMS))
    return pair, compare(pair, MAILS, train=MAILS, few_shot=3, few_shot_draws=2)


@pytest.fixture(scope="module")
def questions(own):
    pair = own(QUESTIONS)
    return pair, compare(pair, ASKED, train=ASKED, context=HANDBOOK, max_new_tokens=8)


def test_labels_of_any_number_are_scored_and_reported(mails):
    _, result = mails
    report = result.report
    assert (report.task, report.about.kind, report.asked.noun) == ("teams", "classification", ("mails", "mails"))
    assert list(result.rows[0].base.probabilities) == list(TEAMS) == report.confusion.labels
    assert sum(each.support for each in report.classes) == 8
    assert [floor.name for floor in report.floors] == ["majority class", "TF-IDF + logistic regression"]
    assert report.few_shot.examples == 3 and len(report.few_shot.draws) == 2
    assert not report.whole and report.near_ties is not None


def test_a_label_that_the_task_does_not_have_is_refused(mails):
    pair, _ = mails
    with pytest.raises(DataError, match=r"Row 1 .* unknown label"):
        compare(pair, Dataset.from_list([{"body": "Hm.", "team": "sales"}]))


def test_texts_are_scored_by_the_tasks_own_metric_with_all_their_references(questions):
    pair, result = questions
    report = result.report
    assert (report.primary.name, report.n) == ("token_f1", 3)
    each = [token_f1(row.tuned.answer, row.references) for row in result.rows]
    assert [row.references for row in result.rows] == ASKED["answers"][:]
    assert report.primary.tuned == pytest.approx(fmean(each))
    assert [floor.name for floor in report.floors] == ["the input itself"]  # no answer is there twice
    floor = report.floors[0]
    assert floor.scores == measure(ASKED["question"][:], ASKED["answers"][:], pair.task)
    assert floor.doing == "repeating what was asked"


def test_the_most_frequent_answer_is_a_floor_where_there_is_one(own):
    train = Dataset.from_list(
        [{"question": f"And {n}?", "answers": ["soup" if n < 3 else f"a {n}"]} for n in range(6)]
    )
    report = compare(own(QUESTIONS), ASKED, train=train, max_new_tokens=4).report
    scores = {floor.name: floor.scores["exact_match"] for floor in report.floors}
    assert scores == {"the input itself": 0.0, "most frequent answer": pytest.approx(1 / 3)}


@pytest.mark.cuda
def test_a_base_with_a_text_in_its_prompt_answers_as_in_a_plain_call(questions):
    pair, result = questions
    found = result.report.context
    prompts = [pair.prompter.encode_prompt(f"{HANDBOOK.text}\n\n{question}") for question in ASKED["question"]]
    answers = []
    for prompt in prompts:
        ids = torch.tensor([prompt], device=pair.model.device)
        with torch.no_grad(), pair.side(False) as model:
            tokens = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False
            )
        text = pair.tokenizer.decode(tokens[0, len(prompt) :], skip_special_tokens=True)
        answers.append(text.rstrip("\ufffd"))
    assert answers != [row.base.answer for row in result.rows]
    assert found.scores == measure(answers, ASKED["answers"][:], pair.task)
    base = [token_f1(answer, texts) for answer, texts in zip(answers, ASKED["answers"], strict=True)]
    tuned = [row.tuned.scores["token_f1"] for row in result.rows]
    assert found.judgement == judge(base, tuned, primary_of(pair.task))
    assert found.prompt_tokens == pytest.approx(fmean(map(len, prompts)))
    plain = [len(pair.prompter.encode_prompt(question)) for question in ASKED["question"]]
    assert found.prompt_tokens_without == pytest.approx(fmean(plain))


def test_what_the_text_costs_is_said_where_the_floors_stand(questions):
    report = questions[1].report
    said = context_sentence(report.context, report)
    assert said.startswith(f"The base with handbook.md in its prompt: {report.context.scores['token_f1']:.2f}, ")
    assert f"{report.context.prompt_tokens:,.0f} tokens a question instead of" in said
    text = to_markdown(report, questions[1].rows)
    assert "| base, handbook.md in the prompt |" in text and "the tuned model without it" in text
    assert f"text in the prompt: SHA-256 {report.context.text_sha256}" in text


@pytest.mark.cuda
def test_labels_are_scored_behind_a_text_too(mails):
    pair, result = mails
    seen = []
    found = measure_context(
        pair, result.rows, HANDBOOK, max_new_tokens=4, on_progress=lambda done, total: seen.append((done, total))
    )
    told = scoring.score_base_labels(pair, [HANDBOOK.before(row.input) for row in result.rows], [])
    right = [TEAMS[row.index(max(row))] == mail["team"] for row, mail in zip(told, MAILS, strict=True)]
    assert found.scores["accuracy"] == pytest.approx(fmean(right))
    assert seen[-1] == (8, 8)


def test_a_text_that_does_not_fit_is_left_out_with_a_word(own):
    pair = own(QUESTIONS)
    long = Context("long.md", "soup and " * 900)
    assert no_room(pair, ASKED["question"][:], HANDBOOK, 8) == ""
    report = compare(pair, ASKED, context=long, max_new_tokens=4).report
    assert report.context is None
    assert report.context_left_out.startswith(
        "The base was not shown long.md in its prompt: with the longest test row"
    )
    assert report.context_left_out.endswith(
        "it reads at most 1,024."
    ) and report.context_left_out in about_the_rows(report)


def test_a_text_is_read_whole_or_refused(tmp_path):
    (tmp_path / "a.md").write_text("  The shop is open.\n")
    assert Context.read(tmp_path / "a.md") == Context("a.md", "The shop is open.")
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "bytes.md").write_bytes(b"\xff\xfe\x00")
    for name, says in [("empty.md", "it is empty"), ("none.md", "No such file"), ("bytes.md", "codec")]:
        with pytest.raises(DataError, match=says):
            Context.read(tmp_path / name)


def test_before_a_chat_the_text_stands_in_the_users_first_message():
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}]
    before = HANDBOOK.before(chat)
    assert before[0] == chat[0] and before[1]["content"] == f"{HANDBOOK.text}\n\nHi."
    assert chat[1]["content"] == "Hi."


def test_a_metric_that_came_with_a_model_is_not_run(own):
    task = replace(QUESTIONS, metric="evaluate:/somebody/elses/code")
    with pytest.raises(RecipeError, match="not among the metrics that are loaded here"):
        compare(own(task), ASKED, max_new_tokens=2)


# ---- chats -------------------------------------------------------------------------------------------------


def said(role, content, weight=1):
    return {"role": role, "content": content, "weight": weight}


CHATS = Dataset.from_list(
    [
        {"messages": [said("user", "Is the shop open?")], "answer": "Until six."},
        {
            "messages": [said("user", "Hi."), said("assistant", "Hello!", 0), said("user", "Soup?")],
            "answer": "The soup is good.",
        },
        {
            "messages": [said("system", "Be short."), said("user", "My laptop is broken.")],
            "answer": "Leo can look.",
        },
    ]
)


@pytest.fixture(scope="module")
def chats(own):
    pair = own(TASKS["chats"])
    return compare(pair, CHATS, train=CHATS, few_shot=2, max_new_tokens=6), pair


def test_a_chat_is_judged_by_its_last_answer_and_by_the_likelihood_of_all(chats):
    (report, rows), pair = (chats[0].report, chats[0].rows), chats[1]
    each = scoring.turn_log_likelihoods(pair, list(CHATS))
    assert (report.primary.name, report.about.kind) == ("rougeL", "chat")
    found = {metric.name: metric for metric in report.metrics}["perplexity"]
    for side in ("base", "tuned"):
        tokens = [getattr(one, side) / one.tokens for one in each]
        assert [getattr(row, side).scores["perplexity"] for row in rows] == pytest.approx(tokens, abs=1e-6)
        assert getattr(found, side) == pytest.approx(fmean(tokens)) and getattr(found, side) < 0
        summed = sum(getattr(one, side) for one in each) / report.turns.tokens
        assert getattr(report.turns, f"{side}_perplexity") == pytest.approx(exp(-summed))
    assert found.judgement.test == "paired permutation test"
    assert report.turns.tokens == sum(one.tokens for one in each)
    # "Hello!" has a weight of 0: the second chat counts its last answer alone.
    assert each[1].tokens == len(pair.prompter.encode_target("The soup is good.")) + 1
    assert f"Perplexity of all that the assistant says, {report.turns.tokens} tokens, where lower is better" in (
        to_markdown(report, rows)
    )
    assert report.few_shot is None and report.few_shot_left_out == ""  # a chat is one conversation
    assert [floor.name for floor in report.floors] == ["the input itself"]
    last = [row["messages"][-1]["content"] for row in CHATS]
    assert report.floors[0].scores == measure(last, [[row["answer"]] for row in CHATS], TASKS["chats"])


def test_a_chat_stands_in_the_rows_as_text_by_role_and_as_messages(chats, tmp_path):
    rows = chats[0].rows
    assert rows[1].input == "user: Hi.\nassistant: Hello!\nuser: Soup?" == as_text(CHATS[1]["messages"])
    assert rows[1].asked == CHATS[1]["messages"]
    save(chats[0].report, rows, tmp_path)
    report, read = load(tmp_path)
    assert (report, list(read)) == (chats[0].report, rows)


def test_chats_are_frozen_as_messages_for_the_gate(chats, tmp_path):
    save(chats[0].report, chats[0].rows, tmp_path)
    _, _, again = frozen_rows(tmp_path, TASKS["chats"])
    assert again["messages"][:] == CHATS["messages"][:] and again["answer"][:] == CHATS["answer"][:]


# ---- the gate ----------------------------------------------------------------------------------------------


def test_a_run_of_an_own_task_is_gated(questions, own, tmp_path):
    pair, result = questions
    save(result.report, result.rows, tmp_path / "eval")
    report, rows, again = frozen_rows(tmp_path / "eval", pair.task)
    assert again["answers"][:] == ASKED["answers"][:]  # some rows have several, so all have a list
    then = Baseline.of("run", report, rows)
    now = measured("run", compare(pair, again, max_new_tokens=8))
    assert (now.task, now.metric, now.test_sha256) == ("questions", "token_f1", then.test_sha256)
    assert (now.base, now.tuned) == (then.base, then.tuned)
    outcome = check_run(now, then, None)
    assert [failure for failure in outcome.failures if "could never fail" not in failure] == []
    with pytest.raises(RunError, match="The report is of the task 'questions'"):
        frozen_rows(tmp_path / "eval", TASKS["dialogue"])


@pytest.mark.cuda
def test_a_whole_model_is_compared_and_gated(tiny_whole_pair, tmp_path):
    reviews = Dataset.from_list(
        [
            {"text": f"Review {number} of a soup.", "label": ("negative", "positive")[number % 2]}
            for number in range(20)
        ]
    )
    result = compare(tiny_whole_pair, reviews, forgetting=False)
    report = result.report
    assert report.whole and report.tuned_is == "whole model"
    assert report.adapter_sha256 == tiny_whole_pair.adapter_sha256
    named = report.model_copy(update={"strategy": "Full fine-tuning"})
    assert "- whole model: Full fine-tuning: " in to_markdown(named, result.rows)
    save(report, result.rows, tmp_path / "eval")
    kept, rows, again = frozen_rows(tmp_path / "eval", tiny_whole_pair.task)
    outcome = check_run(measured("run", compare(tiny_whole_pair, again)), Baseline.of("run", kept, rows), None)
    assert not any("changed" in failure or "worse" in failure for failure in outcome.failures)


def test_what_a_run_has_tuned_is_found(tmp_path):
    with pytest.raises(RunError, match="no adapter and no model"):
        tuned_in(tmp_path)
    (tmp_path / "adapter").mkdir()
    assert tuned_in(tmp_path).name == "adapter"
    (tmp_path / "model").mkdir()
    assert tuned_in(tmp_path).name == "model"

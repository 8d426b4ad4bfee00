"""What a file is, and what is proposed to be trained on it: told from its rows, with the reasons."""

import json
import zipfile

import pytest

from data.problems import ProblemsError
from data.tasks.own import USUAL
from finetuning.proposal import enough_epochs, is_own_file, propose
from finetuning.recipe import load_recipe, recipe_names
from plumbing.errors import DataError, RecipeError

COUNT = 24
SAID = ["Where is my parcel?", "I was billed twice.", "It came broken."]
TEAMS = ["delivery", "billing", "returns"]


@pytest.fixture
def write(tmp_path):
    def write_rows(rows, name="my file.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write_rows


def messages(n):
    return [{"role": "user", "content": f"Is shop {n} open?"}, {"role": "assistant", "content": f"Till {n}."}]


KINDS = {
    "classification": [{"message": f"{SAID[n % 3]} Number {n}.", "team": TEAMS[n % 3]} for n in range(COUNT)],
    "generation": [
        {"question": f"What is {n}?", "answer": f"It is the number {n}, and no other."} for n in range(COUNT)
    ],
    "chat": [{"messages": messages(n)} for n in range(COUNT)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_suits_is_told_from_the_rows(write, kind):
    proposal = propose(write(KINDS[kind]))
    recipe = proposal.recipe
    assert (proposal.task.kind, recipe.task.kind, proposal.base) == (kind, kind, USUAL[kind].recipe)
    assert (recipe.name, recipe.task.name) == ("own-my-file", "my-file")
    assert recipe.data.source.endswith("my file.jsonl") and recipe.data.source.startswith("file:/")
    assert (
        recipe.model == load_recipe(proposal.base).model and recipe.strategy == load_recipe(proposal.base).strategy
    )
    assert proposal.error is None
    said = "\n".join(proposal.sentences())
    assert said.startswith("my file.jsonl: 24 rows. ")
    for part in ("How it is read: ", "rows to train on", "Recipe: ", "near"):
        assert part in said


def test_labels_are_counted_and_the_recipe_reads_them_from_the_rows(write):
    proposal = propose(write(KINDS["classification"]))
    assert "Labels: billing 8, delivery 8, returns 8." in proposal.sentences()
    assert proposal.task.labels == ("billing", "delivery", "returns")
    assert proposal.recipe.task_definition.labels == ()


@pytest.mark.parametrize(
    ("labels", "column", "task"),
    [
        (["positive", "negative"], "label", "sentiment"),
        (["very good", "bad"], "x", "sentiment"),
        ([1, 3, 5], "stars", "sentiment"),
        ([0, 1], "sentiment", "sentiment"),
        ([0, 1], "label", None),
        ([1, 2, 3, 4, 5], "label", None),
        (["yes", "no"], "label", None),
        ([True, False], "is_spam", None),
        (["good", "bad", "refund"], "label", None),
    ],
)
def test_only_what_says_good_and_bad_is_the_task_that_ships(write, labels, column, task):
    rows = [{"text": f"Some words about number {n}.", column: labels[n % len(labels)]} for n in range(30)]
    proposal = propose(write(rows))
    if task:
        assert proposal.recipe.task == task and proposal.base == "sentiment-smollm2-lora"
        assert "as it ships, on these rows" in proposal.sentences()[-1]
    else:
        assert proposal.recipe.task.kind == "classification"
        assert len(proposal.task.labels) == len(labels)
        if labels == [0, 1]:
            assert "train sentiment-smollm2-lora with --data instead" in proposal.why


def test_a_dialogue_and_its_summary_are_the_task_that_ships(write):
    rows = [
        {"id": n, "topic": "ab"[n % 2], "Dialogue": f"Ann: It is {n}.", "summary": f"Ann says it is {n}, and goes."}
        for n in range(COUNT)
    ]
    assert propose(write(rows)).recipe.task == "dialogue"
    several = [{"dialogue": row["Dialogue"], "summary1": row["summary"], "summary2": "Ann goes."} for row in rows]
    assert propose(write(several)).recipe.task == "dialogue"


def test_a_topic_beside_an_answer_is_no_label(write):
    rows = [{**row, "topic": "ab"[n % 2]} for n, row in enumerate(KINDS["generation"])]
    assert propose(write(rows)).task.kind == "generation"


def test_questions_about_passages_have_both_as_their_input(write):
    rows = [
        {"question": f"Which {n}?", "context": f"It is {n}. " * 20, "answers": {"text": [f"number {n}"]}}
        for n in range(COUNT)
    ]
    recipe = propose(write(rows)).recipe
    assert (recipe.task.inputs, recipe.task.target) == (["context", "question"], "answers")


def test_prompts_whose_answers_are_few_words_that_repeat_are_a_classification(write):
    rows = [{"prompt": row["message"], "completion": row["team"]} for row in KINDS["classification"]]
    proposal = propose(write(rows))
    assert proposal.task.labels == ("billing", "delivery", "returns")


def raw_text(kind, folder):
    """Where a text of 30 paragraphs, or 12 of them, are kept."""
    book = "\n\n".join(f"It rained on day {n}, and nobody went out. " * 30 for n in range(30))
    texts = {f"letter {n}.txt": f"Dear Ana,\n\nit is day {n}. " + "It rains again. " * 40 for n in range(12)}
    if kind == "txt":
        (folder / "book.txt").write_text(book)
        return folder / "book.txt"
    if kind == "column":
        (folder / "texts.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in texts.values()))
        return folder / "texts.jsonl"
    if kind == "folder":
        (folder / "letters").mkdir()
        for name, each in texts.items():
            (folder / "letters" / name).write_text(each)
        return folder / "letters"
    with zipfile.ZipFile(folder / "letters.zip", "w") as packed:
        for name, each in texts.items():
            packed.writestr(name, each)
    return folder / "letters.zip"


@pytest.mark.parametrize("kind", ["txt", "column", "folder", "zip"])
def test_raw_text_is_learned_as_it_stands(kind, tmp_path):
    proposal = propose(str(raw_text(kind, tmp_path)), settings=["training.seed=3"])
    recipe = proposal.recipe
    assert (proposal.task.kind, recipe.way.kind, proposal.base) == ("text", "text", "style-smollm2-lora")
    assert proposal.error is None and recipe.training.seed == 3
    assert recipe.training.max_tokens == load_recipe("style-smollm2-lora").training.max_tokens  # long rows are cut
    said = "\n".join(proposal.sentences())
    assert "passages to train on" in said and "Recipe: style-smollm2-lora, its model and settings" in said
    assert "expect what comes next" in said and "later" not in said
    train = proposal.divided.splits["train"]
    rows = recipe.rows_of_tokens(train, proposal.divided.task)
    assert 1 <= rows < len(train)
    assert recipe.training.epochs == min(10, max(4, enough_epochs(recipe, rows)))


def test_a_text_can_be_asked_for_among_other_columns(write):
    rows = [{"id": n, "text": f"It rained on day {n}. " * 20, "mood": "ab"[n % 2]} for n in range(COUNT)]
    recipe = propose(write(rows), settings=["task.kind=text"]).recipe
    assert (recipe.task.kind, recipe.way.kind) == ("text", "text")


def test_problems_are_in_the_proposal_after_what_the_file_is(write):
    rows = [*KINDS["classification"], {"message": "", "team": "billing"}, {"message": "Hi", "team": None}]
    proposal = propose(write(rows))
    assert isinstance(proposal.error, ProblemsError)
    assert [problem.row for problem in proposal.error.problems] == [25, 26]
    assert not any(sentence.startswith("Recipe") for sentence in proposal.sentences())
    mended = propose(write(rows), settings=["data.skip_empty=true"])
    assert mended.error is None and mended.recipe.data.skip_empty


def test_settings_and_a_test_file_hold_as_for_any_recipe(write):
    path, test = write(KINDS["classification"]), write(KINDS["classification"][:9], "test.jsonl")
    settings = ["training.epochs=1", "task.instruction=Which team?", "data.labels.billing=money"]
    proposal = propose(path, test=test, settings=settings)
    assert proposal.recipe.training.epochs == 1 and proposal.recipe.data.test == f"file:{test}"
    assert proposal.task.instruction == "Which team?"
    assert proposal.task.labels == ("delivery", "money", "returns")
    assert len(proposal.divided.splits["test"]) == 9
    with pytest.raises(RecipeError, match=r"training\.epochs"):
        propose(path, settings=["training.epochs=x"])


def test_a_kind_and_columns_can_be_asked_for(write):
    rows = [{"a": f"some words of number {n}", "b": f"other words of {n}", "c": "xy"[n % 2]} for n in range(COUNT)]
    path = write(rows)
    with pytest.raises(DataError, match="It is not clear what the task of this file is") as caught:
        propose(path)
    assert "task.kind=classification" in caught.value.fix
    asked = propose(path, settings=["task.kind=generation", "data.columns.input=a", "data.columns.output=b"])
    assert asked.task.kind == "generation" and asked.divided.mapping.input == "a"
    labelled = propose(path, settings=["data.columns.text=b", "data.columns.label=c"])
    assert labelled.task.labels == ("x", "y") and labelled.divided.mapping.input == "b"


def test_there_is_room_for_long_rows_and_long_answers(write):
    rows = [{"question": f"What is {n}? " * 300, "answer": f"It is {n}. " * 60} for n in range(COUNT)]
    recipe = propose(write(rows)).recipe
    assert 1024 < recipe.training.max_tokens <= 2048
    assert recipe.evaluation.max_new_tokens == 368
    kept = propose(write(rows), settings=["training.max_tokens=600", "evaluation.max_new_tokens=32"]).recipe
    assert (kept.training.max_tokens, kept.evaluation.max_new_tokens) == (600, 32)


def test_a_recipe_is_a_recipe_and_a_file_is_a_file(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    (tmp_path / "mine.yaml").write_text("name: mine")
    (tmp_path / recipe_names()[0]).write_text("a file that is called like a recipe")
    for name in (*recipe_names(), "mine.yaml", "no-such-recipe"):
        assert not is_own_file(name)
    for name in (write(KINDS["chat"]), "gone.csv", "rows", "file:whatever", "book.pdf"):
        assert is_own_file(name)


@pytest.mark.parametrize(
    ("name", "said"), [("gone.csv", "no such file"), ("file:gone", "no such"), ("a.pkl", "pickle")]
)
def test_what_is_not_there_or_not_read_is_said(name, said):
    with pytest.raises(DataError, match=said):
        propose(name)


PAIRS = [
    {"prompt": f"Is shop {n} open?", "chosen": f"Shop {n} is, until six.", "rejected": "Ask somebody."}
    for n in range(COUNT)
]
THUMBS = [
    {"prompt": f"Is shop {n} open?", "completion": f"Shop {n} is, until six.", "label": n % 2 == 0}
    for n in range(COUNT)
]


def test_pairs_and_thumbs_are_learned_as_such_unless_somebody_says_otherwise(write):
    pairs = propose(write(PAIRS))
    assert pairs.recipe.way.kind == "dpo" and pairs.base == "dialogue-smollm2-dpo" and pairs.error is None
    assert pairs.recipe.title == "Your own texts · preferences (DPO)"
    assert pairs.divided.splits["train"][0]["rejected"] == "Ask somebody."
    said = "\n".join(pairs.sentences())
    assert "Way: dpo. Such rows can be learned by kto" in said and "sft, from the good answers alone" in said
    assert "more words than the worse in 24 of 24 pairs, so that length alone tells them apart." in said
    thumbs = propose(write(THUMBS, "b.jsonl"))
    assert thumbs.recipe.way.kind == "kto" and thumbs.base == "dialogue-smollm2-kto"
    assert {row["liked"] for row in thumbs.divided.splits["train"]} == {True, False}
    both = propose(write(PAIRS), settings=["way=kto"])
    assert both.recipe.way.kind == "kto" and len(both.divided.splits["train"]) % 2 == 0
    judge = propose(write(PAIRS), settings=["way=reward"])
    assert judge.base == "dialogue-smollm2-reward" and judge.recipe.strategy.kind == "lora"
    assert judge.recipe.title == "Your own texts · reward model" and not judge.recipe.evaluation.forgetting
    alone = propose(write(PAIRS), settings=["way=sft"])
    assert alone.recipe.way.kind == "sft" and alone.base == "passages-smollm2-lora"
    assert "rejected" not in alone.divided.splits["train"][0] and "Way: sft." in "\n".join(alone.sentences())


def test_pairs_of_dialogues_are_the_task_that_ships(write):
    rows = [
        {
            "dialogue": f"Ann: Is it {n}?\nLeo: Yes.",
            "chosen": f"Leo says it is {n}.",
            "rejected": "They talk.",
        }
        for n in range(COUNT)
    ]
    proposal = propose(write(rows))
    assert proposal.recipe.task == "dialogue" and proposal.recipe.way.kind == "dpo"


def test_rows_without_pairs_are_refused_where_a_way_needs_them(write):
    found = propose(write(KINDS["generation"]), settings=["way=dpo"])
    assert "no worse answer beside the better one" in str(found.error)

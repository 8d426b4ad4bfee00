"""Corpora, files and Hub data sets come out as three splits of the task's columns, or as one clear error."""

import json
import socket
import subprocess
import sys

import httpx
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from data.problems import ProblemsError
from data.readers import hub
from data.repeats import Repeats
from data.sources import absolute_spec, corpus_names, open_source, open_test, shown_spec
from data.tasks import DIALOGUE, SENTIMENT, TASKS
from data.tasks.own import OwnTask
from plumbing.errors import DataError


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"file:{path}"


def reviews(count, *, start=0):
    return [{"review": f"remark number {n}", "stars": 1 + n % 5} for n in range(start, start + count)]


def sizes(opened):
    return {name: len(rows) for name, rows in opened.splits.items()}


# ---- files -------------------------------------------------------------------------------------------------


def test_a_file_is_mapped_cleaned_and_split(tmp_path):
    opened = open_source(write_jsonl(tmp_path / "mine.jsonl", reviews(100)), SENTIMENT)
    assert list(opened.splits) == ["train", "validation", "test"]
    assert sizes(opened) == {"train": 60, "validation": 8, "test": 12}
    assert opened.splits["train"].column_names == ["text", "label", "row"]
    assert set(opened.splits["test"]["label"]) == {"negative", "positive"}
    assert opened.columns == ("review", "stars")
    assert opened.mapping.labels == {
        "1": "negative",
        "2": "negative",
        "3": None,
        "4": "positive",
        "5": "positive",
    }
    assert any("20 rows of mine.jsonl left out" in note for note in opened.notes)
    assert any("60 rows to train on, 8 to validate, 12 to test" in note for note in opened.notes)
    row = opened.splits["test"][0]
    assert row["text"] == f"remark number {row['row'] - 1}"


def test_a_path_relative_to_the_working_directory_needs_no_prefix(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "mine.jsonl", reviews(30))
    monkeypatch.chdir(tmp_path)
    assert sizes(open_source("mine.jsonl", SENTIMENT)) == sizes(open_source("file:mine.jsonl", SENTIMENT))


def test_choices_reach_the_mapping(tmp_path):
    rows = [{"text": "x", "remark": f"remark {n}", "kind": "ab"[n % 2]} for n in range(20)]
    opened = open_source(
        write_jsonl(tmp_path / "mine.jsonl", rows),
        SENTIMENT,
        columns={"text": "remark", "label": "kind"},
        labels={"a": "negative", "b": "positive"},
    )
    assert opened.splits["train"][0]["text"].startswith("remark")
    assert sum(sizes(opened).values()) == 20


def test_a_second_file_is_the_test_split_and_is_kept_out_of_training(tmp_path):
    train = write_jsonl(tmp_path / "train.jsonl", reviews(50))
    test_rows = [{"sentence": row["review"].upper(), "label": row["stars"]} for row in reviews(10, start=45)]
    test = write_jsonl(tmp_path / "test.jsonl", test_rows)
    opened = open_source(train, SENTIMENT, test=test, columns={"text": "review", "label": "stars"})
    assert opened.splits["test"]["text"] == [f"REMARK NUMBER {n}" for n in range(45, 55) if n % 5 != 2]
    trained = {*opened.splits["train"]["text"], *opened.splits["validation"]["text"]}
    assert len(trained) == 36
    assert "remark number 44" in trained
    assert not trained & {f"remark number {n}" for n in range(45, 50)}
    assert any("4 rows are also in the test split" in note for note in opened.notes)


def test_a_test_file_is_read_on_the_scale_of_the_training_rows_and_says_so(tmp_path):
    """1 to 10 points are trained on; by itself the test file would be of five stars."""
    rows = [{"text": f"remark {n}", "label": 1 + n % 10} for n in range(60)]
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": f"other {n}", "label": n} for n in (1, 3, 4, 5)])
    opened = open_source(write_jsonl(tmp_path / "a.jsonl", rows), SENTIMENT, test=test)
    assert opened.splits["test"]["label"] == ["negative"] * 3
    assert any(
        note.startswith("There 'text' is taken") and "1/3/4 = negative, 5 = left out, as in the rows" in note
        for note in opened.notes
    )
    again = open_test(test, SENTIMENT, trained_on=opened)
    assert again.rows["label"] == ["negative"] * 3 and "as in the rows" in again.mapping.reason


def test_the_test_split_does_not_move_when_rows_are_shuffled(tmp_path):
    first = open_source(write_jsonl(tmp_path / "a.jsonl", reviews(60)), SENTIMENT)
    second = open_source(write_jsonl(tmp_path / "b.jsonl", reviews(60)[::-1]), SENTIMENT)
    assert set(first.splits["test"]["text"]) == set(second.splits["test"]["text"])


def test_a_text_that_is_repeated_is_one_test_row(tmp_path):
    rows = [{"text": f"remark number {n % 60}", "label": n % 60 % 2} for n in range(300)]
    opened = open_source(write_jsonl(tmp_path / "mine.jsonl", rows), SENTIMENT)
    texts = opened.splits["test"]["text"]
    assert len(set(texts)) == len(texts) == 8
    assert (opened.repeats.given, opened.repeats.repeated, opened.repeats.contradictory) == (40, 32, 0)
    assert any("32 test rows repeat the text of another" in note for note in opened.notes)
    assert any("8 to test" in note for note in opened.notes)
    assert len(opened.splits["train"]) == 5 * len(set(opened.splits["train"]["text"]))


def test_a_test_text_with_two_labels_is_left_out_and_said(tmp_path):
    train = write_jsonl(tmp_path / "train.jsonl", reviews(50))
    test_rows = [{"text": f"Remark {n % 10}!", "label": n % 2 if n != 13 else 0} for n in range(20)]
    opened = open_source(
        train, SENTIMENT, test=write_jsonl(tmp_path / "test.jsonl", test_rows), columns={"text": "review"}
    )
    assert sorted(opened.splits["test"]["text"]) == [f"Remark {n}!" for n in (0, 1, 2, 4, 5, 6, 7, 8, 9)]
    assert opened.repeats == Repeats(given=20, repeated=9, contradictory=2)
    assert "2 test rows are left out: the text is there with different labels." in opened.notes


def test_a_test_source_is_opened_by_itself(tmp_path):
    rows = [*reviews(10), {"review": "REMARK NUMBER 4!", "stars": 5}]
    opened = open_test(write_jsonl(tmp_path / "t.jsonl", rows), SENTIMENT)
    assert opened.rows["text"] == [f"remark number {n}" for n in range(10) if n % 5 != 2]
    assert (opened.repeats.given, opened.repeats.repeated) == (9, 1)
    corpus = open_source("corpus:reviews", SENTIMENT).splits["test"]
    assert open_test("corpus:reviews", SENTIMENT).rows["text"] == corpus["text"]
    contradictory = [{"text": "so", "label": 0}, {"text": "So.", "label": 1}]
    with pytest.raises(DataError, match="with different labels"):
        open_test(write_jsonl(tmp_path / "c.jsonl", contradictory), SENTIMENT)


@pytest.mark.parametrize("kind", ["folder", "json"])
def test_a_test_source_without_a_test_split_is_judged_on_validation_and_never_on_training(tmp_path, kind):
    splits = {"train": reviews(30), "validation": reviews(10, start=30)}
    if kind == "json":
        source = tmp_path / "both.json"
        source.write_text(json.dumps(splits), encoding="utf-8")
    else:
        source = tmp_path / "both"
        source.mkdir()
        for name, rows in splits.items():
            write_jsonl(source / f"{name}.jsonl", rows)
    validation = [f"remark number {n}" for n in range(30, 40) if n % 5 != 2]
    note = f"The validation split of {source.name} is the test split here."
    opened = open_test(f"file:{source}", SENTIMENT)
    assert opened.rows["text"] == validation and note in opened.notes
    own = write_jsonl(tmp_path / "own.jsonl", reviews(20, start=100))
    trained = open_source(own, SENTIMENT, test=f"file:{source}")
    assert trained.splits["test"]["text"] == validation and note in trained.notes
    assert open_source(f"file:{source}", SENTIMENT).splits["test"]["text"] == validation


def test_a_file_is_named_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for spec in ("mine.csv", "file:mine.csv", "./mine.csv"):
        assert absolute_spec(spec) == f"file:{tmp_path / 'mine.csv'}"
    for spec in ("corpus:reviews", "hub:owner/name.csv", "nonsense", f"file:{tmp_path}/other.csv"):
        assert absolute_spec(spec) == spec


def test_a_report_names_a_file_without_its_folder(tmp_path, monkeypatch):
    """Also where it is given as it lies, and where the report is read on another machine."""
    for spec in ("/home/ana/clients/acme.csv", "file:/home/ana/clients/acme.csv", "~/clients/acme.csv", "acme.csv"):
        assert shown_spec(spec) == "file:acme.csv"
    (tmp_path / "acme").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in (str(tmp_path / "acme"), f"file:{tmp_path}/acme/", "acme", "/home/ana/acme"):
        assert shown_spec(folder) == "file:acme"
    for spec in ("corpus:reviews", "hub:owner/name", "hub:owner/name:en", "", "three rows by hand"):
        assert shown_spec(spec) == spec


def test_references_in_a_list_make_every_target_of_the_split_a_list(tmp_path):
    rows = [{"dialogue": f"Ann: {n}", "summary": ["Ann counts.", f"Ann says {n}."]} for n in range(11)]
    opened = open_source(write_jsonl(tmp_path / "d.jsonl", [*rows, {**rows[0], "summary": "One."}]), DIALOGUE)
    for split in opened.splits.values():
        assert all(isinstance(row["summary"], list) for row in split)
        assert DIALOGUE.references(split[0])


def test_all_problems_of_a_file_are_reported_at_once_in_order(tmp_path):
    path = tmp_path / "bad.jsonl"
    write_jsonl(path, [{"text": "", "label": 1}, *({"text": f"t{n}", "label": n % 2} for n in range(9))])
    path.write_text(
        path.read_text() + '{"text": "cut off\n{"text": "no label"}\n{"text": "?", "label": "perhaps"}\n'
    )
    with pytest.raises(ProblemsError) as caught:
        open_source(f"file:{path}", SENTIMENT)
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [
        (1, "text"),
        (11, None),
        (12, "label"),
        (13, "label"),
    ]
    assert "'perhaps' is unknown (known: '0', '1')" in caught.value.problems[3].what
    assert str(caught.value).startswith("bad.jsonl cannot be used: 4 problems.")


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([{"text": f"t{n}", "label": n % 2} for n in range(7)], "7 usable rows"),
        ([{"text": f"t{n}", "label": 1} for n in range(20)], "Every usable row is 'positive'"),
    ],
)
def test_a_file_that_cannot_be_split_is_refused(tmp_path, rows, what):
    with pytest.raises(ProblemsError, match=what):
        open_source(write_jsonl(tmp_path / "a.jsonl", rows), SENTIMENT)


def test_a_test_file_with_one_label_is_taken_and_it_is_said(tmp_path):
    """It can show what it can show: the report's headline begins with that. Only who learns needs both."""
    own = write_jsonl(tmp_path / "own.jsonl", reviews(20))
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": f"other {n}", "label": "good"} for n in range(8)])
    said = "Every usable row of test.jsonl is positive."
    found = open_test(test, SENTIMENT)
    assert found.rows["label"] == ["positive"] * 8 and said in found.notes
    assert said in open_source(own, SENTIMENT, test=test, columns={"text": "review"}).notes
    splits = {"train": reviews(20), "validation": reviews(1, start=30), "test": reviews(9, start=40)}
    (tmp_path / "all.json").write_text(json.dumps(splits), encoding="utf-8")
    opened = open_source(str(tmp_path / "all.json"), SENTIMENT)
    assert "Every usable row of all.json, validation is negative." in opened.notes
    (tmp_path / "all.json").write_text(json.dumps(splits | {"train": reviews(20)[::5]}), encoding="utf-8")
    with pytest.raises(ProblemsError, match=r"all\.json, train cannot be used: 1 problem"):
        open_source(str(tmp_path / "all.json"), SENTIMENT)


def test_rows_that_all_say_the_same_cannot_be_split(tmp_path):
    rows = [{"dialogue": "Ann: Hi", "summary": "Ann greets."}] * 12
    with pytest.raises(DataError, match="No row is left for the validation split"):
        open_source(write_jsonl(tmp_path / "a.jsonl", rows), DIALOGUE)


@pytest.mark.parametrize(
    ("spec", "complaint", "remedy"),
    [
        ("file:gone.csv", "no such file", "relative to"),
        ("corpus:poems", "no such corpus", "reviews"),
        ("corpus:../corpora/reviews", "no such corpus", "reviews"),
        ("corpus:dialogues", "not for the task 'sentiment'", "corpus:reviews"),
        ("web:reviews", "not a source", "hub:OWNER/NAME"),
        ("reviews", "not a source", "corpus:NAME"),
        ("hub:", "not the name of a data set", "hub:OWNER/NAME"),
    ],
)
def test_a_source_that_is_not_there_is_refused_with_the_alternatives(spec, complaint, remedy):
    with pytest.raises(DataError, match=complaint) as caught:
        open_source(spec, SENTIMENT)
    assert remedy in caught.value.fix


# ---- corpora -----------------------------------------------------------------------------------------------


def test_a_corpus_keeps_its_fixed_splits_and_metadata():
    opened = open_source("corpus:reviews", SENTIMENT)
    assert set(opened.splits["test"].column_names) == {"text", "label", "topic", "style", "row"}
    assert open_source("corpus:reviews", SENTIMENT).splits["test"]["row"] == opened.splits["test"]["row"]
    assert corpus_names() == (
        "chats", "dialogues", "handbook", "letters", "passages", "preferences", "requests", "reviews",
    )  # fmt: skip
    assert corpus_names(DIALOGUE) == ("dialogues",)
    assert corpus_names(DIALOGUE, ("rejected",)) == corpus_names(DIALOGUE, ("liked",)) == ("preferences",)


def test_a_corpus_can_be_the_test_set_of_a_file(tmp_path):
    opened = open_source(
        write_jsonl(tmp_path / "a.jsonl", reviews(20)),
        SENTIMENT,
        test="corpus:reviews",
        columns={"text": "review"},
    )
    corpus = open_source("corpus:reviews", SENTIMENT)
    assert opened.splits["test"]["text"] == corpus.splits["test"]["text"]
    assert sizes(opened)["train"] + sizes(opened)["validation"] == 16


def test_tasks_are_known_without_heavy_libraries():
    code = "import sys, data.tasks, data.sources, data.hygiene; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"datasets", "pandas", "pyarrow", "torch", "transformers", "datasketch"} & set(loaded)


@pytest.mark.parametrize(
    ("kind", "settings", "row", "read"),
    [
        (
            "chat",
            {},
            {"messages": [{"role": "user", "content": "Open, {n}?", "weight": 1}], "answer": "Till {n}."},
            {"messages": [{"role": "user", "content": "Open, 29?", "weight": 1}], "answer": "Till 29."},
        ),
        (
            "generation",
            {"inputs": ["passage", "question"], "target": "answer"},
            {"passage": "About {n}.", "question": "Which?", "answer": ["{n}", "number {n}"]},
            {"input": "About 29.\n\nWhich?", "answer": ["29", "number 29"]},
        ),
        ("classification", {}, {"text": "About {n}.", "label": "abc"}, {"text": "About 29.", "label": "abc"}),
    ],
)
def test_a_corpus_of_any_kind_has_the_columns_of_its_task(tmp_path, monkeypatch, kind, settings, row, read):
    monkeypatch.setattr("data.specs.CORPORA", tmp_path)
    monkeypatch.setattr("data.origins.CORPORA", tmp_path)
    task = OwnTask(kind=kind, **settings).definition()
    monkeypatch.setitem(TASKS, "own", task)
    splits = ["train"] * 20 + ["validation"] * 4 + ["test"] * 6
    rows = [
        json.loads(json.dumps({**row, "topic": "t", "split": s}).replace("{n}", str(n)))
        for n, s in enumerate(splits)
    ]
    if kind == "classification":
        rows[0]["label"] = "xyz"
    write_jsonl(tmp_path / "mine.jsonl", rows)
    opened = open_source("corpus:mine", task)
    assert opened.splits["test"][5] == {**read, "topic": "t", "row": 30}
    assert sizes(opened) == {"train": 20, "validation": 4, "test": 6}
    assert corpus_names(task) == ("mine",)


# ---- the Hub -----------------------------------------------------------------------------------------------


@pytest.fixture
def on_the_hub(monkeypatch):
    def put(**splits):
        monkeypatch.setattr(hub, "load", lambda name: DatasetDict(splits))

    return put


def sst2(count, *, labels=None):
    features = Features(
        {
            "idx": Value("int32"),
            "sentence": Value("string"),
            "label": ClassLabel(names=["negative", "positive"]),
        }
    )
    rows = [
        {"idx": n, "sentence": f"phrase {n} of {count}", "label": n % 2 if labels is None else labels}
        for n in range(count)
    ]
    return Dataset.from_list(rows, features=features)


def test_sst2_is_tested_on_its_validation_split_because_its_test_labels_are_secret(on_the_hub):
    on_the_hub(train=sst2(50), validation=sst2(20), test=sst2(30, labels=-1))
    opened = open_source("hub:stanfordnlp/sst2", SENTIMENT)
    assert (opened.mapping.input, opened.mapping.target) == ("sentence", "label")
    assert sizes(opened) == {"train": 46, "validation": 4, "test": 20}
    assert opened.splits["test"][1] == {"text": "phrase 1 of 20", "label": "positive", "row": 2}
    assert any("no labels" in note for note in opened.notes)


def test_a_data_set_of_one_label_may_be_judged_on_but_not_trained_on(on_the_hub):
    on_the_hub(all=sst2(20, labels=1))
    found = open_test("hub:stanfordnlp/sst2", SENTIMENT)
    assert set(found.rows["label"]) == {"positive"}
    assert "Every usable row of the train split of stanfordnlp/sst2 is positive." in found.notes
    with pytest.raises(ProblemsError, match="Every usable row is 'positive'"):
        open_source("hub:stanfordnlp/sst2", SENTIMENT)


def test_imdb_gives_validation_rows_from_training_and_ignores_unsupervised_rows(on_the_hub):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})

    def make(name, labels):
        rows = [{"text": f"{name} {n}", "label": label} for n, label in enumerate(labels)]
        return Dataset.from_list(rows, features=features)

    on_the_hub(train=make("train", [0, 1] * 20), test=make("test", [0, 1] * 5), unsupervised=make("un", [-1] * 9))
    opened = open_source("hub:stanfordnlp/imdb", SENTIMENT)
    assert sizes(opened) == {"train": 36, "validation": 4, "test": 10}
    assert opened.mapping.labels == {"neg": "negative", "pos": "positive"}


def test_dialogsum_gathers_the_references_of_a_test_dialogue_and_drops_what_is_empty(on_the_hub):
    def make(*pairs):
        return Dataset.from_list(
            [{"id": f"x{n}", "dialogue": d, "summary": s, "topic": "t"} for n, (d, s) in enumerate(pairs)]
        )

    on_the_hub(
        train=make(("A: one", "A counts."), ("", "Nobody speaks.")),
        validation=make(("A: two", "A counts.")),
        test=make(("A: 3", "First."), ("A: 3", "Second."), ("A: 4", "Only.")),
    )
    opened = open_source("hub:knkarthick/dialogsum", DIALOGUE)
    assert sizes(opened) == {"train": 1, "validation": 1, "test": 2}
    assert opened.splits["test"]["summary"] == [["First.", "Second."], ["Only."]]
    assert opened.splits["train"]["summary"] == ["A counts."]
    assert any("1 row of the train split" in note for note in opened.notes)


def test_overlap_between_the_splits_of_a_data_set_is_removed_and_said(on_the_hub):
    on_the_hub(
        train=Dataset.from_list([*reviews(40), *reviews(5, start=50), *reviews(5, start=60)]),
        validation=Dataset.from_list([*reviews(10, start=50), *reviews(5, start=65)]),
        test=Dataset.from_list(reviews(10, start=60)),
    )
    opened = open_source("hub:somebody/reviews", SENTIMENT)
    texts = {name: set(rows["text"]) for name, rows in opened.splits.items()}
    assert not texts["train"] & texts["test"]
    assert not texts["validation"] & (texts["test"] | texts["train"])
    assert sizes(opened) == {"train": 36, "validation": 4, "test": 8}
    assert "8 rows are also in the test split, and so left out of training and validation." in opened.notes
    assert "4 validation rows are also in training, and so left out." in opened.notes


def test_a_validation_split_that_is_all_in_training_is_made_anew(on_the_hub):
    rows = Dataset.from_list(reviews(50))
    on_the_hub(train=rows, validation=rows, test=Dataset.from_list(reviews(10, start=60)))
    opened = open_source("hub:somebody/reviews", SENTIMENT)
    assert sizes(opened) == {"train": 36, "validation": 4, "test": 8}


def test_another_data_set_is_guessed_and_may_have_one_split(on_the_hub):
    rows = [{"title": f"t{n}", "review_text": f"some words about {n}", "rating": 1 + n % 5} for n in range(50)]
    on_the_hub(everything=Dataset.from_list(rows))
    opened = open_source("hub:somebody/reviews", SENTIMENT)
    assert (opened.mapping.input, opened.mapping.target) == ("review_text", "rating")
    assert sum(sizes(opened).values()) == 40


def test_chats_and_questions_of_the_hub_are_read_as_those_of_a_file(on_the_hub):
    def talk(n):
        return [{"role": "user", "content": f"Is {n} open?"}, {"role": "assistant", "content": f"Till {n}."}]

    on_the_hub(train=Dataset.from_list([{"messages": talk(n), "score": [1.0], "id": n} for n in range(20)]))
    chats = open_source("hub:somebody/chats", OwnTask(kind="chat").definition())
    assert chats.splits["test"][0]["messages"][0]["content"].startswith("Is ")
    assert chats.columns == ("messages", "id")
    answers = [{"text": [f"{n}", f"{n}"], "answer_start": [0, 0]} for n in range(20)]
    asked = [{"question": f"Which {n}?", "context": f"It is {n}.", "answers": answers[n]} for n in range(20)]
    on_the_hub(train=Dataset.from_list(asked))
    questions = open_source("hub:somebody/questions", OwnTask(kind="generation").definition())
    assert questions.splits["test"][0]["output"] == [questions.splits["test"][0]["input"].split()[2][:-1]]


def test_a_large_split_is_sampled_the_same_way_every_time(on_the_hub, monkeypatch):
    monkeypatch.setattr(hub, "MAX_ROWS", 30)
    on_the_hub(train=sst2(300), validation=sst2(10))
    opened = open_source("hub:stanfordnlp/sst2", SENTIMENT)
    assert sizes(opened)["train"] + sizes(opened)["validation"] == 30
    row = opened.splits["train"][5]
    assert row["text"] == f"phrase {row['row'] - 1} of 300"
    assert opened.splits["train"]["row"] == open_source("hub:stanfordnlp/sst2", SENTIMENT).splits["train"]["row"]
    assert any("Of 300 rows a fixed sample of 30" in note for note in opened.notes)


def test_a_data_set_without_labels_or_without_training_rows_is_refused(on_the_hub):
    on_the_hub(train=sst2(20, labels=-1), validation=sst2(20))
    with pytest.raises(DataError, match="holds no labels"):
        open_source("hub:stanfordnlp/sst2", SENTIMENT)
    on_the_hub(one=sst2(20), two=sst2(20))
    with pytest.raises(DataError, match="no split called train"):
        open_source("hub:stanfordnlp/sst2", SENTIMENT)


def test_an_unreachable_hub_says_what_to_do_and_does_not_retry(monkeypatch, tmp_path):
    asked = []

    def refuse(url, **settings):
        asked.append(url)
        raise httpx.ConnectError("no network")

    def no_network(*_, **__):
        raise AssertionError("the network was used after the probe had failed")

    monkeypatch.setattr(httpx, "head", refuse)
    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(DataError, match="Hub cannot be reached") as caught:
        open_source("hub:nobody/nothing-at-all", SENTIMENT)
    assert len(asked) == 1
    assert "file:PATH" in caught.value.fix
    assert caught.value.got == "nobody/nothing-at-all"

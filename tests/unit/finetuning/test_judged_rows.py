"""No adapter is judged on rows that it was trained on without a word, and none in another's name."""

import csv
import json
import shutil

import pytest

from data.how_read import HowRead
from data.sources import open_source
from data.splits import same_text
from data.tasks import DIALOGUE, SENTIMENT
from data.trained_rows import KEYS_FILE, TrainedRows
from eval.report.folder import load
from eval.report.markdown import to_markdown
from eval.report.rows_text import counts
from eval.report.schema import Report
from finetuning.evaluation import evaluate_adapter
from finetuning.export.folder import copy_tuned
from finetuning.judged_rows import Training, choose_rows
from finetuning.recipe import load_recipe
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from plumbing.errors import DataError, RecipeError


@pytest.fixture(scope="module")
def person_file(tmp_path_factory):
    """200 reviews under names of the person's own, a third of them given twice."""
    path = tmp_path_factory.mktemp("mine") / "mine.csv"
    rows = [(f"Order {n % 150}: the lamp was number {n % 150}.", ("LABEL_0", "LABEL_1")[n % 2]) for n in range(200)]
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([("remark", "kind"), *rows])
    return path


@pytest.fixture(scope="module")
def trained(person_file, tiny_llama, tmp_path_factory):
    """A finished run on it."""
    recipe = load_recipe(
        "sentiment-smollm2-lora",
        [
            f"model.base={tiny_llama}",
            f"data.source=file:{person_file}",
            "data.columns.text=remark",
            "data.columns.label=kind",
            "data.labels.LABEL_0=negative",
            "data.labels.LABEL_1=positive",
            "data.test_rows=14",
            "training.max_steps=2",
            "training.batch_size=4",
            "evaluation.max_new_tokens=7",
            "evaluation.few_shot=2",
            "evaluation.forgetting=false",
        ],
    )
    run = create_run(recipe, tmp_path_factory.mktemp("runs"))
    run_training(run, run.cancel_requested)
    assert run.status().state == "finished"
    return run


@pytest.fixture(scope="module")
def splits(person_file):
    mapping = {"labels": {"LABEL_0": "negative", "LABEL_1": "positive"}}
    return open_source(
        f"file:{person_file}", SENTIMENT, columns={"text": "remark", "label": "kind"}, **mapping
    ).splits


def test_rows_that_were_trained_on_are_left_out_and_counted(trained, person_file, splits):
    """The command line's `train --data mine.csv`, then `evaluate last --data mine.csv`."""
    judged = choose_rows(trained.tuned, f"file:{person_file}")
    learned = {same_text(text) for text in splits["train"]["text"]}
    assert not learned & {same_text(text) for text in judged.rows["text"]}
    assert len(judged.rows) == 150 - len(learned) > 20
    found = judged.selection
    assert (found.given, found.repeated, found.trained_on, found.known_by) == (200, 50, len(learned), "run")
    assert counts(found, len(judged.rows)) == (
        f"200 rows given, 50 repeated and left out, {len(learned)} trained on and left out; "
        f"{len(judged.rows)} judged."
    )


@pytest.mark.cuda
def test_they_are_judged_where_someone_asks_for_it_and_the_report_says_so(trained, person_file, splits):
    judged = choose_rows(trained.tuned, str(person_file), keep_trained=True, rows=40)
    assert len(judged.rows) == 40 and judged.selection.eligible == 150
    report = evaluate_adapter(trained.tuned, judged).report
    learned = len(set(splits["train"]["text"]))
    assert report.data.selection.trained_kept and report.data.selection.trained_on == learned
    said = f"{learned} trained on and judged all the same; 40 judged, a fixed sample of 150."
    assert said in to_markdown(report, [])
    assert report.data.findings.leaked > 20
    assert Report.model_validate_json(report.model_dump_json()) == report


@pytest.mark.cuda
def test_left_to_itself_a_run_is_judged_on_its_own_test_split_with_its_own_settings(trained, splits):
    at_its_end, rows = load(trained.evaluation)
    judged = choose_rows(trained.tuned)
    assert list(judged.rows["text"]) == [row.input for row in rows]
    assert set(judged.rows["text"]) < set(splits["test"]["text"]) and len(judged.rows) == 14
    assert judged.settings == trained.recipe().evaluation
    again = evaluate_adapter(trained.tuned, judged, few_shot=2).report
    assert again.data == at_its_end.data
    assert again.data.selection.trained_on == 0 and again.data.selection.given > len(judged.rows)
    assert (again.metrics, again.floors, again.few_shot) == (
        at_its_end.metrics,
        at_its_end.floors,
        at_its_end.few_shot,
    )
    assert again.train_rows == len(splits["train"])


def test_what_learns_beside_it_learns_from_the_runs_own_rows_on_any_source(trained, splits):
    judged = choose_rows(trained.tuned, "corpus:reviews", rows=4)
    assert judged.train is not None and judged.train["text"] == splits["train"]["text"]
    assert judged.selection.trained_on == 0
    assert judged.rows["text"] != open_source("corpus:reviews", SENTIMENT).splits["test"]["text"][:4]


@pytest.mark.cuda
def test_where_the_runs_data_has_changed_it_has_none_and_that_is_said(trained, person_file, tmp_path):
    kept = tmp_path / "kept.csv"
    shutil.copy(person_file, kept)
    try:
        person_file.write_text(kept.read_text().replace("LABEL_0", "LABEL_X").replace("LABEL_1", "LABEL_0"))
        judged = choose_rows(trained.tuned, "corpus:reviews", rows=4)
        assert judged.train is None and judged.findings is None
        assert any("training rows are not here" in note for note in judged.selection.notes)
        assert judged.selection.trained_on == 0  # its own keys still know
        assert (evaluate_adapter(trained.tuned, judged, few_shot=2).report.few_shot) is None
        person_file.unlink()
        assert any("no such file" in note for note in choose_rows(trained.tuned, "corpus:reviews").selection.notes)
        with pytest.raises(DataError, match="no such file"):
            choose_rows(trained.tuned)
    finally:
        shutil.copy(kept, person_file)


def test_a_file_of_nothing_but_training_rows_is_refused(trained, splits, tmp_path):
    file = tmp_path / "trained.jsonl"
    file.write_text(
        "".join(json.dumps({"text": row["text"].upper(), "label": row["label"]}) + "\n" for row in splits["train"])
    )
    with pytest.raises(DataError, match="Every row was trained on"):
        choose_rows(trained.tuned, str(file))


def test_columns_and_labels_can_be_set_beside_those_of_the_run(trained, tmp_path):
    file = tmp_path / "other.csv"
    file.write_text("text,mark\n" + "".join(f"new remark {n},LABEL_{n % 3}\n" for n in range(30)))
    with pytest.raises(DataError):
        choose_rows(trained.tuned, str(file))
    read = HowRead.of(["data.columns.label=mark", "data.columns.text=text", "data.labels.LABEL_2=skip"])
    columns, labels = read.columns, read.labels
    judged = choose_rows(trained.tuned, str(file), columns=columns, labels=labels)
    assert len(judged.rows) == 20 and set(judged.rows["label"]) == {"negative", "positive"}
    assert any("mapped by hand" in note for note in judged.selection.notes)
    with pytest.raises(DataError, match="does not exist"):
        choose_rows(trained.tuned, str(file), columns={"text": "remark"}, labels=labels)
    for wrong in ("data.test_rows=4", "strategy.rank=4", "data.labels"):
        with pytest.raises(RecipeError):
            HowRead.of([wrong])


def test_the_keys_stay_in_the_run_folder_and_are_salted(trained, splits, tmp_path):
    copy_tuned(trained, tmp_path / "out")
    assert not list((tmp_path / "out").rglob(KEYS_FILE))
    assert not (trained.tuned / KEYS_FILE).exists()
    one, other = TrainedRows.load(trained.folder), TrainedRows.of(splits["train"]["text"])
    assert all(text.upper() + "!" in one for text in splits["train"]["text"])
    assert not any(text in one for text in splits["test"]["text"])
    other.save(tmp_path)
    saved = [json.loads((folder / KEYS_FILE).read_text())["keys"] for folder in (trained.folder, tmp_path)]
    assert len(saved[0]) == len(saved[1]) and not set(saved[0]) & set(saved[1])
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o077 == 0
    (tmp_path / KEYS_FILE).write_text('{"salt": 3}')
    assert TrainedRows.load(tmp_path) is None
    card = (tmp_path / "out" / "README.md").read_text()
    assert "file:mine.csv" in card and "/mine" not in card


def test_of_an_adapter_from_elsewhere_it_is_not_known_what_it_was_trained_on(tiny_adapter, reviews_file):
    judged = choose_rows(tiny_adapter, f"file:{reviews_file}")
    assert len(judged.rows) == 48 and judged.train is None
    assert (judged.selection.trained_on, judged.selection.known_by) == (None, None)
    assert (
        counts(judged.selection, 48) == "48 rows given, how many of them were trained on is not known; 48 judged."
    )
    corpus = open_source("corpus:reviews", SENTIMENT).splits["test"]["text"]
    assert choose_rows(tiny_adapter).rows["text"] == corpus


def test_a_shipped_adapters_card_names_the_corpus_that_it_learned_from(tmp_path):
    from pathlib import Path

    shipped = Path(__file__).parents[3] / "models" / "bundled" / "dialogue-smollm2-qlora"
    whole = open_source("corpus:dialogues", DIALOGUE).splits
    judged = choose_rows(shipped)
    assert (
        judged.rows["dialogue"] == whole["test"]["dialogue"]
        and judged.train["dialogue"] == whole["train"]["dialogue"]
    )
    assert (judged.selection.trained_on, judged.selection.known_by) == (0, "recipe")
    file = tmp_path / "mixed.jsonl"
    rows = [*whole["train"].select(range(5)), *whole["test"].select(range(3))]
    file.write_text(
        "".join(json.dumps({"dialogue": row["dialogue"], "summary": row["summary"]}) + "\n" for row in rows)
    )
    mixed = choose_rows(shipped, str(file))
    assert (len(mixed.rows), mixed.selection.trained_on) == (3, 5)
    assert Training.of(shipped, DIALOGUE).on_a_corpus
    assert Training.of(shipped, SENTIMENT).recipe is None  # a card that speaks of another task

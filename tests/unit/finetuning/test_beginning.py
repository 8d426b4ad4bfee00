"""A run goes on over what it began with, or says what has changed; it begins with what was submitted."""

import json
import shutil

import pytest

from data.trained_rows import TrainedRows
from finetuning.recipe import with_overrides
from finetuning.runs import launch
from finetuning.runs.beginning import BEGAN_FILE, SUBMITTED_FILE
from finetuning.training import run_training
from models import resolved
from plumbing.errors import DataError, RunError


def never():
    return False


@pytest.fixture
def queued_only(monkeypatch):
    monkeypatch.setattr(launch, "_start", lambda run: True)  # the work is done in this process


@pytest.fixture
def file(reviews_file, tmp_path):
    return shutil.copy(reviews_file, tmp_path / "mine.jsonl")


@pytest.fixture
def base(tiny_bert, tmp_path):
    return shutil.copytree(tiny_bert, tmp_path / "base")


@pytest.fixture
def stopped(recipe_on, base, file, tmp_path, queued_only):
    """A run that was cancelled after some steps, and has a checkpoint."""
    recipe = recipe_on("sentiment-minilm-lora", base, f"data.source=file:{file}", "training.max_steps=20")
    run = launch.submit(recipe, tmp_path / "runs")
    run_training(run, lambda: run.status().done >= 4 and run.status().phase == "Fine-tuning")
    assert run.status().state == "cancelled" and run.checkpoint() is not None
    return run


@pytest.mark.cuda
def test_it_goes_on_where_nothing_that_is_trained_has_changed(stopped, file):
    shutil.move(file, file.with_name("elsewhere.jsonl"))  # the same rows under another name
    stopped.replace_recipe(
        with_overrides(
            stopped.recipe(),
            {"data.source": f"file:{file.with_name('elsewhere.jsonl')}", "evaluation.max_new_tokens": 5},
        )
    )
    launch.resume(stopped, max_minutes=50)
    run_training(stopped, never)
    assert stopped.status().state == "finished"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: (
            text.replace('"positive"', '"x"').replace('"negative"', '"positive"').replace('"x"', '"negative"')
        ),
        lambda text: "".join(text.splitlines(keepends=True)[:-12]),
        lambda text: text.replace("The film", "This film"),
    ],
    ids=["labels reversed", "rows dropped", "texts corrected"],
)
def test_over_other_rows_it_does_not_go_on(stopped, file, change):
    file.write_text(change(file.read_text()))
    launch.resume(stopped)
    with pytest.raises(RunError, match="The data has changed since the run began"):
        run_training(stopped, never)
    assert stopped.checkpoint() is not None and not stopped.tuned.exists()


def test_with_other_settings_it_does_not_go_on_and_says_which(stopped):
    began_with = stopped.recipe()
    changes = {"strategy.rank": 16, "training.learning_rate": 2e-3}
    stopped.replace_recipe(with_overrides(began_with, changes))
    with pytest.raises(RunError) as refused:
        launch.resume(stopped)
    assert f"strategy.rank was {began_with.strategy.rank} at the checkpoint and is 16" in str(refused.value)
    assert f"training.learning_rate was {began_with.training.learning_rate} at" in str(refused.value)
    assert stopped.status().state == "cancelled"
    stopped.replace_recipe(began_with)
    launch.resume(stopped)
    stopped.replace_recipe(with_overrides(began_with, {"strategy.target_modules": ["query"]}))  # while it waits
    with pytest.raises(RunError, match=r"strategy\.target_modules was"):
        run_training(stopped, never)


@pytest.mark.cuda
def test_over_other_base_weights_it_does_not_go_on(stopped, base, make_bert, tmp_path):
    other = make_bert(tmp_path / "other", seed=5)
    shutil.copy(other / "model.safetensors", base / "model.safetensors")
    resolved._hash_weights.cache_clear()  # they are read once a process, and a resumed run has a new one
    launch.resume(stopped)
    with pytest.raises(RunError, match="base model's weights have changed"):
        run_training(stopped, never)


@pytest.mark.cuda
def test_a_run_of_before_goes_on_unasked(stopped, file):
    (stopped.folder / BEGAN_FILE).unlink()
    (stopped.folder / SUBMITTED_FILE).unlink()
    launch.resume(stopped)
    whole = stopped.recipe()
    stopped.replace_recipe(with_overrides(whole, {"data.train_rows": 20}))
    with pytest.raises(RunError, match="drew other rows"):
        run_training(stopped, never)
    stopped.replace_recipe(whole)
    run_training(stopped, never)
    assert stopped.status().state == "finished"


def test_a_queued_run_does_not_begin_with_another_file_than_was_submitted(
    recipe_on, tiny_bert, file, tmp_path, queued_only
):
    recipe = recipe_on("sentiment-minilm-lora", tiny_bert, f"data.source=file:{file}")
    run = launch.submit(recipe, tmp_path / "runs")
    file.write_text(file.read_text().replace("The film", "This film"))
    with pytest.raises(RunError, match="The file has changed since the run was submitted"):
        run_training(run, never)


@pytest.mark.cuda
def test_a_run_that_failed_on_its_data_begins_anew_with_the_mended_file(
    recipe_on, tiny_bert, file, tmp_path, queued_only
):
    good = file.read_text()
    file.write_text(good + '{"text": "", "label": "positive"}\n')
    recipe = recipe_on("sentiment-minilm-lora", tiny_bert, f"data.source=file:{file}")
    run = launch.submit(recipe, tmp_path / "runs")
    with pytest.raises(DataError, match="1 problem"):
        run_training(run, never)
    run.update(state="failed", error="a row without a text")
    file.write_text(good)
    launch.resume(run)
    run_training(run, never)
    assert run.status().state == "finished"
    assert len(TrainedRows.load(run.folder)) == len(set(good.splitlines())) - 12  # but for 5 and 7 of other splits


def test_what_is_named_from_one_folder_is_found_from_any(
    recipe_on, tiny_bert, file, tmp_path, queued_only, monkeypatch
):
    shutil.copytree(tiny_bert, tmp_path / "my-base")
    monkeypatch.chdir(tmp_path)
    recipe = recipe_on("sentiment-minilm-lora", "my-base", "data.source=mine.jsonl", "data.test=file:./mine.jsonl")
    run = launch.submit(recipe, tmp_path / "runs")
    monkeypatch.chdir("/")
    saved = run.recipe()
    assert saved.data.source == f"file:{file}" and saved.data.test == f"file:{file}"
    assert saved.model.base == str(tmp_path / "my-base")
    assert launch.with_whole_paths(saved) == saved


def test_folders_in_the_environment_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BEFORE_AFTER_CACHE", "models/cache")
    monkeypatch.setenv("HF_HOME", "~/hub")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    environment = launch.worker_environment()
    assert environment["BEFORE_AFTER_CACHE"] == str(tmp_path / "models" / "cache")
    assert environment["HF_HOME"] == "~/hub" and "XDG_CACHE_HOME" not in environment


def test_what_there_is_to_say_of_the_rows_is_noted_before_training(stopped):
    said = str(stopped.status().facts["data"])
    assert said.startswith("On 8 test rows accuracy has to rise")
    assert "No test row occurs in training." in said and "rows to train on" in said


def test_it_does_not_go_on_with_another_tokenizer(stopped, base):
    """The weights and the rows are the same, and the rows are other tokens."""
    launch.resume(stopped)
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["the"], vocabulary["was"] = vocabulary["was"], vocabulary["the"]
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(RunError, match="tokenizer or prompt has changed"):
        run_training(stopped, never)


def test_a_beginning_from_before_tokens_were_noted_says_nothing_of_them(stopped):
    path = stopped.folder / BEGAN_FILE
    began = json.loads(path.read_text())
    path.write_text(
        json.dumps({key: value for key, value in began.items() if key not in ("tokens_sha256", "base")})
    )
    launch.resume(stopped)
    run_training(stopped, never)
    assert stopped.status().state == "finished"

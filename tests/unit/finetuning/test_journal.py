"""What is written down while a run is worked on: no checkpoint of spoilt weights, and time by a steady clock."""

import re
import time
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from finetuning.loss_trend import rise
from finetuning.preparation import require_positions
from finetuning.recipe import load_recipe
from finetuning.runs.faults import explain
from finetuning.runs.folder import create_run
from finetuning.runs.journal import Journal, time_is_up
from finetuning.runs.launch import resume
from finetuning.trainers.recorder import Recorder
from models.loading import device
from plumbing import doors
from plumbing.errors import RunError, UserError


@pytest.fixture
def run(tmp_path):
    return create_run(load_recipe("sentiment-smollm2-lora", ["training.max_minutes=1"]), tmp_path)


@pytest.fixture
def journal(run):
    return Journal(run, run.claim(), run.cancel_requested, max_minutes=1)


@pytest.mark.cuda
@pytest.mark.parametrize("spoilt", ["nothing", "weights", "optimizer"])
def test_a_checkpoint_whose_numbers_are_spoilt_does_not_count(spoilt, journal, run):
    model = torch.nn.Linear(2, 2, device=device())
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2, device=device())).sum().backward()
    optimizer.step()
    if spoilt == "weights":
        model.weight.data[0, 0] = float("nan")
    elif spoilt == "optimizer":
        optimizer.state[model.weight]["exp_avg"][0, 0] = float("inf")
    (run.checkpoints / "checkpoint-3").mkdir(parents=True)
    recorder = Recorder(journal, seconds_before=0, tokens_before=0)
    arguments = SimpleNamespace(output_dir=run.checkpoints), SimpleNamespace(global_step=3), None

    def save():
        recorder.on_save(*arguments, model=model, optimizer=optimizer)

    if spoilt == "nothing":
        save()
        assert run.checkpoint().name == "checkpoint-3"
        return
    with pytest.raises(RunError, match="no longer numbers at step 3"):
        save()
    assert run.checkpoint() is None


def test_time_is_counted_over_all_attempts_by_a_clock_that_does_not_move(journal, run, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1.0)  # the clock was set back by decades
    journal.write(phase="x")
    assert 0 <= run.status().seconds < 600
    later = Journal(run, run.status().model_copy(update={"seconds": 59.9}), run.cancel_requested, max_minutes=1)
    later.check()
    time.sleep(0.15)
    with pytest.raises(RunError, match=r"training\.max_minutes = 1"):
        later.check()


def test_the_longest_step_is_noted_for_those_who_wait_for_its_end(journal, run):
    journal.phase("Fine-tuning")
    journal.has_to_stop()
    time.sleep(0.1)
    journal.progress(1, 1)
    assert 0.1 <= run.status().longest_step_s < 600


def test_the_first_step_counts_so_that_a_cancel_in_the_second_waits_for_its_checkpoint(journal, run, tmp_path):
    recorder = Recorder(journal, seconds_before=0.0, tokens_before=0)
    journal.phase("Fine-tuning")
    moment = TrainingArguments(output_dir=str(tmp_path)), TrainerState(max_steps=2), TrainerControl()
    recorder.on_train_begin(*moment)
    time.sleep(0.1)
    recorder.on_step_end(*moment)
    assert 0.1 <= run.status().longest_step_s < 600


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "no space left in"),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing"),
            "no space left",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "training.batch_size",
        ),
        (MemoryError(), "training.max_tokens"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "4 bit"),
    ],
)
def test_libraries_errors_become_sentences(error, says, run):
    assert says in str(explain(error, run))
    wrapped = ValueError("something else")
    wrapped.__cause__ = error
    assert says in str(explain(wrapped, run))


def test_a_bug_stays_a_bug(run):
    assert explain(KeyError("loss"), run) is None


def hints_of(tmp_path, precision):
    """What is said of a run that failed, whichever way: all that names a setting."""
    held = [f"model.precision={precision}", f"strategy={'qlora' if precision == 'nf4' else 'lora'}"]
    recipe = load_recipe("sentiment-smollm2-lora", ["training.max_minutes=1", *held])
    run = create_run(recipe, tmp_path / precision)
    run.update(state="running")
    said = [str(explain(MemoryError(), run)), str(time_is_up(20)), rise([1.0] * 20 + [9.0] * 20, 0.5)]
    run.update(state="evaluating")
    said.append(str(explain(MemoryError(), run)))
    run.update(state="failed", seconds=90.0)
    for refused in (lambda: resume(run), lambda: require_positions(recipe, 128)):
        with pytest.raises(UserError) as caught:
            refused()
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("precision", ["auto", "nf4"])
def test_what_a_person_at_the_page_is_told_can_be_done_there(tmp_path, monkeypatch, precision):
    monkeypatch.setattr(doors, "_door", "page")
    said = hints_of(tmp_path, precision)
    for each in said:
        assert not re.search(r"python |--\w|(data|model|lora|training|evaluation)\.[a-z_]+", each), each
    assert "Lower 'Batch size' (now 16), 'Tokens a row' (now" in said[0]
    assert "limit of 20 minutes" in said[1] and "'Learning rate' was 0.5" in said[2]
    assert said[3].endswith("in 4 bit." if precision == "auto" else "more memory to spare.")


def test_what_a_person_at_the_command_line_is_told_is_said_in_settings(tmp_path):
    said = hints_of(tmp_path, "auto")
    assert "Lower training.batch_size (now 16; training.gradient_accumulation makes up for it), training" in said[0]
    assert "; or set training.gradient_checkpointing to true; or choose a recipe" in said[0]
    assert "evaluation.few_shot (now" in said[3]
    assert "python -m finetuning resume" in said[4] and "Set training.max_tokens to 128" in said[5]

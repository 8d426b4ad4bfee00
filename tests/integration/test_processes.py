"""Training in several processes, as on several GPUs: `accelerate launch` on gloo, against one process alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("processes_train.py")
STEPS = 5
TIMEOUT_S = 600


@pytest.fixture
def recipe_file(tiny_recipe, tmp_path):
    """Batches of two dialogues with summaries of unequal length, so that a mean of means would be another loss."""
    data, path = tmp_path / "dialogues.jsonl", tmp_path / "recipe.yaml"
    rows = [
        {
            "dialogue": f"Ana: Is the {thing} {word}?\nLeo: Yes, until {hour}.",
            "summary": f"Leo says: {hour}." + f" The {thing} is {word}." * (number % 4),
        }
        for number, (thing, word, hour) in enumerate(
            (thing, word, hour)
            for thing in ("shop", "desk", "old library")
            for word in ("open", "free", "here")
            for hour in ("two", "four", "nine")
        )
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tiny_recipe(
        "task=dialogue",
        f"data.source=file:{data}",
        f"training.max_steps={STEPS}",
        "training.batch_size=2",
        "strategy.dropout=0",
    )
    path.write_text(recipe.to_yaml())
    return path


def run(command, folder):
    """Start `command` in a session of its own; what it says goes to a file."""
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def finish(process, folder):
    """Until it ends well; one that hangs is ended with all that it started."""
    try:
        code = process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        code = "it hangs"
    assert code == 0, f"{code}: {(folder / 'log').read_text()[-3000:]}"


def test_two_processes_train_as_one_with_twice_the_batch(recipe_file, tmp_path):
    import torch

    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
    # `--cpu` starts several processes only under MPI; `--multi_gpu` does, on gloo where there is no GPU.
    launch += ["--multi_gpu", "--main_process_ip", "127.0.0.1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    one, two = tmp_path / "one", tmp_path / "two"
    both = run([*launch, str(SCRIPT), str(recipe_file), str(two)], two)
    alone = run([sys.executable, str(SCRIPT), str(recipe_file), str(one)], one)
    finish(alone, one)
    finish(both, two)

    expected = json.loads((one / "facts-0.json").read_text())
    facts = [json.loads((two / f"facts-{rank}.json").read_text()) for rank in (0, 1)]
    assert [each["processes"] for each in (expected, *facts)] == [1, 2, 2]
    assert {each["backend"] for each in facts} == {"gloo"}
    assert len(expected["losses"]) == STEPS
    assert facts[0]["tokens"] == expected["tokens"]
    torch.testing.assert_close(facts[0]["losses"], expected["losses"], atol=1e-4, rtol=0)
    weights = torch.load(one / "weights-0.pt")
    first, second = (torch.load(two / f"weights-{rank}.pt") for rank in (0, 1))
    assert first.keys() == second.keys() == weights.keys()
    for name in weights:
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], weights[name], atol=1e-4, rtol=0)

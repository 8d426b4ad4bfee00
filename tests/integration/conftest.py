"""Real workers on a tiny random Llama: a run takes seconds, most of them the import of torch."""

import importlib.util
import json
import random
import shutil
import string
import time
from pathlib import Path

import psutil
import pytest

from finetuning.lab.folder import LABS_FOLDER, LabFolder
from finetuning.processes import end_by_force
from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run


@pytest.fixture(autouse=True)
def nothing_is_left_running(tmp_path):
    """Also after a test that failed half-way."""
    yield
    for file in tmp_path.rglob("status.json"):
        if file.parents[1].name == LABS_FOLDER:
            if (lab := LabFolder(file.parent)).process_alive():
                psutil.Process(lab.status().pid).kill()
            continue
        run = Run(file.parent)
        end_by_force(run.folder, run.status().pid if run.process_alive() else None)


@pytest.fixture(autouse=True, scope="module")
def one_thread(request):
    """For a tiny model a second thread only waits, and where two tests run at a time it waits for the other's."""
    with pytest.MonkeyPatch.context() as patch:
        if not getattr(request.module, "REAL_MODEL", False):
            patch.setenv("OMP_NUM_THREADS", "1")
        yield


def _tiny_models():
    """The builders of the unit tests, whose conftest is out of pytest's sight here."""
    path = Path(__file__).parents[1] / "unit" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """Folder of a random chat Llama of two layers."""
    return _tiny_models()._build_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def writing_llama(tiny_llama, tmp_path_factory):
    """The tiny Llama, but writing letters: half a character of its own would be read in two ways."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("writing") / "llama"
    shutil.copytree(tiny_llama, folder)
    known = json.loads((folder / "tokenizer.json").read_text())
    signs = {*string.ascii_letters, "Ġ", "."}
    said = [number for piece, number in known["model"]["vocab"].items() if {*piece} <= signs]
    said += [token["id"] for token in known["added_tokens"] if token["content"] == "<|im_end|>"]
    weights = load_file(folder / "model.safetensors")
    head = weights["lm_head.weight"]
    weights["lm_head.weight"] = 0 * head
    weights["lm_head.weight"][said] = head[said]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def make_llama():
    """`make_llama(folder, …)` → folder, as in the unit tests."""
    return _tiny_models()._build_llama


@pytest.fixture(scope="session")
def make_adapter():
    """`make_adapter(folder, base, …)` → folder, as in the unit tests."""
    return _tiny_models()._build_adapter


@pytest.fixture(scope="session")
def tiny_bundled(tiny_llama, tmp_path_factory):
    """For `BEFORE_AFTER_BUNDLED`: adapters on `tiny_llama`, called as those that ship, with their reports."""
    folder = tmp_path_factory.mktemp("bundled")
    for shipped in (Path(__file__).parents[2] / "models" / "bundled").glob("*/"):
        task = json.loads((shipped / "prompt.json").read_text(encoding="utf-8"))["task"]
        _tiny_models()._build_adapter(folder / shipped.name, tiny_llama, task=task)
        shutil.copytree(shipped / "eval", folder / shipped.name / "eval")
    return folder


@pytest.fixture(scope="session")
def reviews_file(tmp_path_factory):
    """48 short reviews, half of them positive."""
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    words = {"warm": "positive", "bright": "positive", "kind": "positive", "cold": "negative"}
    words |= {"dull": "negative", "rude": "negative"}
    things = ("film", "soup", "room", "phone", "book", "song", "lamp", "train")
    rows = [{"text": f"The {thing} was {word}.", "label": words[word]} for thing in things for word in words]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def long_reviews(tmp_path_factory):
    """4,200 reviews of 400 letters, each of which is a token: a batch of 64 takes hundreds of MB."""
    path = tmp_path_factory.mktemp("data") / "long.jsonl"
    letters = random.Random(0)
    rows = [
        {"text": "".join(letters.choices("bcdfghjklmnpqrstvwxz     ", k=400)), "label": label}
        for _ in range(2100)
        for label in ("positive", "negative")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def tiny_recipe(tiny_llama, reviews_file):
    """`tiny_recipe(*overrides)`: 20 steps of sentiment in float32 with dropout, and a short evaluation."""

    def build(*overrides):
        return load_recipe(
            "sentiment-smollm2-lora",
            [
                f"model.base={tiny_llama}",
                "model.precision=float32",
                f"data.source=file:{reviews_file}",
                "strategy.dropout=0.1",
                "training.max_steps=20",
                "training.batch_size=4",
                "evaluation.few_shot=0",
                "evaluation.forgetting=false",
                *overrides,
            ],
        )

    return build


@pytest.fixture
def wait_for():
    """`wait_for(condition)`: returns what it gave once it is true; the limit is for what never comes true."""

    def wait(condition, timeout_s=600.0, poll_s=0.02):
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(poll_s)
        return found

    return wait

"""The worked examples of docs/extending.md, in a copy of the project: what they add is there, and works."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"```python\n# (?P<path>[\w/.]+\.py)(?P<changes>, in place of [^\n]*)?\n(?P<code>.*?)```", re.DOTALL
)
ROOMS = ("plumbing", "data", "models", "eval", "finetuning")
BEGINNING = re.compile(r"[A-Za-z_]+ ?[:=]|    if suffix in|    Sft \||    \"sft\"")
"""What tells a line that is to be replaced: a name that is given a value, this condition, or a first entry."""


def blocks():
    return [(found["path"], bool(found["changes"]), found["code"]) for found in BLOCK.finditer(DOCUMENT)]


def written(code, text):
    """`text` with the lines of a block: an import after the first one, each other in place of the one like it."""
    lines, waiting = text.split("\n"), []
    for line in filter(None, code.split("\n")):
        if line.startswith("from "):
            lines.insert(next(at for at, known in enumerate(lines) if known.startswith("from data.")
                              or known.startswith("from finetuning.")), line)  # fmt: skip
            continue
        waiting.append(line)
        if found := BEGINNING.match(line):
            at = next(at for at, known in enumerate(lines) if known.startswith(found[0]))
            lines[at : at + 1] = waiting
            waiting = []
    assert not waiting
    return "\n".join(lines)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy with all that the document adds."""
    folder = tmp_path_factory.mktemp("project")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    for path, changes, code in blocks():
        place = folder / path
        place.write_text(written(code, place.read_text(encoding="utf-8")) if changes else code, encoding="utf-8")
    return folder


def run(project, code):
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_document_has_one_of_each():
    paths = [path for path, changes, _ in blocks() if not changes]
    assert [path.rpartition("/")[0] for path in paths] == [
        "data/tasks", "eval/metrics", "finetuning/rewards", "finetuning/strategies", "finetuning/ways",
        "data/readers",
    ]  # fmt: skip


def test_the_lines_are_counted_as_they_are():
    stated = re.findall(r"\| a \w+ \| 1 \| (\d+) \| (\d) \| (\d) \|", DOCUMENT)
    of_files, of_changes = [], {}
    for path, changes, code in blocks():
        lines, room = code.rstrip("\n").split("\n"), path.rpartition("/")[0]
        if changes:
            of_changes[room] = sum(bool(line) for line in lines)
        else:
            of_files.append((room, len(lines)))
    changed = [of_changes.get(room, 0) for room, _ in of_files]
    # The last line of the way's change and of the format's stands there already.
    changed[-2:] = [each - 1 for each in changed[-2:]]
    found = [
        (str(lines), str(int(more > 0)), str(more)) for (_, lines), more in zip(of_files, changed, strict=True)
    ]
    assert stated == found


def test_a_task_and_a_metric_are_found_by_themselves(project):
    code = """
import json
from data.tasks import TASKS
from eval.metrics import METRICS, primary_of
task = TASKS["subjects"]
metric = primary_of(task)
print(json.dumps([metric.title, metric.row("Lost keys again", ["Lost: my keys"]), "first_word" in METRICS]))
"""
    assert run(project, code) == ["first word", 1.0, True]


def test_a_reward_is_a_choice_in_a_recipe_and_has_a_curve(project):
    code = """
import json
from data.tasks import TASKS
from finetuning.recipe import load_recipe
from finetuning.rewards import Answered
recipe = load_recipe("dialogue-smollm2-grpo", ["way.rewards=[{name: names, weight: 0.5}, rouge]"])
names, rouge = recipe.way.rewards
score = names.scorer(TASKS["dialogue"], None, None)
worth = score([Answered("Who?", answer, ["Leo told Ana."]) for answer in ("Leo did.", "Ana and Leo", "no")])
print(json.dumps([list(worth), names.weight, "reward_names" in recipe.way.curves]))
"""
    worth, weight, has_a_curve = run(project, code)
    assert worth == [0.5, 0.5, 0.0] and weight == 0.5 and has_a_curve


def test_a_format_is_read(project):
    code = """
import json, pathlib
from data.readers.files import read_table
path = pathlib.Path("letters.toml")
path.write_text('[[rows]]\\nletter = "Dear all, the lift is broken."\\nsubject = "Broken lift"\\n' * 2)
table = read_table(path)
print(json.dumps([list(table.columns), len(table.rows)]))
"""
    assert run(project, code) == [["letter", "subject"], 2]


def test_a_strategy_is_a_choice_in_a_recipe_and_trains_what_it_says(project):
    code = """
import json, torch
from transformers import LlamaConfig, LlamaForCausalLM
from finetuning.recipe import load_recipe
recipe = load_recipe("dialogue-smollm2-qlora", ["strategy.kind=norms", "model.precision=auto"])
model = LlamaForCausalLM(LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                                     num_attention_heads=2, num_key_value_heads=2))
names = recipe.strategy.trained(model, "causal")
ready = recipe.apply_strategy(model)
learns = {name for name, value in ready.named_parameters() if value.requires_grad}
print(json.dumps([recipe.strategy_title, len(names), learns == set(names)]))
"""
    assert run(project, code) == ["Norms only", 5, True]


def test_a_way_is_a_choice_in_a_recipe(project):
    code = """
import json
from finetuning.recipe import load_recipe
recipe = load_recipe("sentiment-smollm2-lora", ["way=dft"])
print(json.dumps([recipe.way.kind, recipe.way.title, recipe.way.model_kind]))
"""
    assert run(project, code) == ["dft", "Dynamic fine-tuning", "causal"]


def test_a_way_learns_from_the_loss_that_it_names(tiny_llama, tmp_path, monkeypatch):
    import torch
    from datasets import Dataset

    from data.tasks import SENTIMENT
    from finetuning.recipe import load_recipe
    from models.loading import load
    from models.sources import resolve

    file = tmp_path / "dft.py"
    file.write_text(next(code for path, _, code in blocks() if path == "finetuning/ways/dft.py"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("finetuning.ways.dft", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    settings = [f"model.base={tiny_llama}", "model.precision=float32", "training.batch_size=4"]
    recipe = load_recipe("sentiment-smollm2-lora", settings)
    rows = Dataset.from_dict({"text": ["Warm.", "Cold soup.", "Dull."], "label": ["positive", *["negative"] * 2]})

    def loss_of(way):
        loaded = load(resolve(str(tiny_llama)), precision="float32")
        encoded = way.encode(rows, loaded.tokenizer, recipe, SENTIMENT)
        model = recipe.apply_strategy(loaded.model).eval()
        trainer = way.trainer(recipe, model, loaded.tokenizer, encoded, str(tmp_path), [])
        batch = trainer.data_collator([encoded[number] for number in range(3)])
        with torch.no_grad():
            outputs = model(**dict(batch), use_cache=False, fused_lm_head=True)
        return trainer.compute_loss(model, dict(batch)), outputs.log_probs[outputs.label_mask]

    (plain, log_probs), (weighed, _) = loss_of(recipe.way), loss_of(module.Dft())
    assert torch.allclose(plain, -log_probs.mean(), atol=1e-6)
    assert torch.allclose(weighed, -(log_probs * log_probs.exp()).mean(), atol=1e-6) and weighed < plain

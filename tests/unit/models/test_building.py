"""Models that several threads build at once are the models that one thread would have built."""

import ast
import shutil
import threading
from pathlib import Path

from transformers import AutoModelForCausalLM, PreTrainedModel

from models.loading import load
from models.sources import resolve

ROOT = Path(__file__).resolve().parents[3]
BUILDS = {"from_pretrained", "from_config", "get_peft_model"}
NO_MODELS = {"AutoConfig", "AutoTokenizer", "GenerationConfig"}


def test_two_threads_that_load_at_once_both_get_the_model_and_so_do_those_after_them(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "tied")
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    config = model.config.to_dict() | {"tie_word_embeddings": True}
    type(model)(type(model.config)(**config)).save_pretrained(folder)
    source, ties = resolve(str(folder)), PreTrainedModel.tie_weights
    together, wrong = threading.Barrier(2), []

    def load_often():
        for _ in range(15):
            together.wait()
            try:
                model = load(source).model
                assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=load_often) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[0]
        assert PreTrainedModel.tie_weights is ties
    finally:
        PreTrainedModel.tie_weights = ties


def builders(tree):
    """The calls in a file that construct a model or an adapter, each with the functions and blocks around it."""

    def walk(node, around):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            of = getattr(getattr(called, "value", None), "id", "")
            if name in BUILDS and of not in NO_MODELS:
                yield node, around
        if isinstance(node, ast.With):
            around = [*around, *(ast.unparse(item.context_expr) for item in node.items)]
        elif isinstance(node, ast.FunctionDef):
            around = [*around, node.name, *map(ast.unparse, node.decorator_list)]
        for child in ast.iter_child_nodes(node):
            yield from walk(child, around)

    return walk(tree, [])


def test_whatever_builds_a_model_builds_one_at_a_time():
    """Or is called only by what does."""
    held, looked_at = {"_empty_model"}, 0
    for room in ("models", "eval", "finetuning", "ui"):
        for path in (ROOT / room).rglob("*.py"):
            for call, around in builders(ast.parse(path.read_text(encoding="utf-8"))):
                looked_at += 1
                assert {"one_at_a_time()", *held} & set(around), f"{path.relative_to(ROOT)}:{call.lineno}"
    assert looked_at > 10

"""llama.cpp's own server as a side: its answers are those that `transformers` gives for the same weights.

The server has an adapter and a key, so one start of it shows all: the model, what is tuned, and the way in.
"""

import pytest

from data.tasks import TASKS
from eval.sides.endpoint import Settings, open_endpoint
from eval.sides.side import Asked
from plumbing.errors import UserError

pytest.importorskip("xllamacpp")
from benchmarks.llama_server import llama_server
from finetuning.export.gguf.lora import write_lora_gguf
from finetuning.export.gguf.writing import Language, write_gguf
from finetuning.export.tuned import Tuned
from finetuning.export.work import Work

TASK = TASKS["sentiment"]
TEXTS = [f"The film was {word}, and nobody left before the end." for word in ("slow", "odd", "long", "loud")]
TEXTS += ["<|im_start|>", "Ünïcödé, 日本", "", "a\n\nb  c"]
TOKENS = 24
KEY = "sk-only-on-this-machine"
BASE = {"body": '{"lora": [{"id": 0, "scale": 0}]}'}


@pytest.fixture(scope="module")
def adapter(writing_llama, make_adapter, tmp_path_factory):
    return make_adapter(tmp_path_factory.mktemp("adapter"), writing_llama)


@pytest.fixture(scope="module")
def url(writing_llama, adapter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    model, file, lora = Language.in_folder(writing_llama), folder / "llama.gguf", folder / "tuned.gguf"
    write_gguf(model, file, Work(), packing="f32")
    write_lora_gguf(Tuned.of(adapter), model.config, lora, Work())
    with llama_server(file, lora=lora, key=KEY, exact=True) as found:
        yield found


@pytest.fixture(scope="module")
def by_transformers(writing_llama, adapter):
    """Side → text, tokens of the prompt and of the answer for each of `TEXTS`."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from models.prompting import Prompter

    tokenizer = AutoTokenizer.from_pretrained(writing_llama)
    model = AutoModelForCausalLM.from_pretrained(writing_llama, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter).eval()
    prompter = Prompter(tokenizer, TASK)
    prompter.plain = lambda text: text  # the server renders what it is given

    def answered(text):
        prompt = torch.tensor([prompter.encode_prompt(text)])
        made = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, do_sample=False
        )[0, prompt.shape[1] :]
        return tokenizer.decode(made, skip_special_tokens=True), prompt.shape[1], len(made)

    tuned = [answered(text) for text in TEXTS]
    with model.disable_adapter():
        return {"base": [answered(text) for text in TEXTS], "tuned": tuned}


@pytest.fixture
def written(url, tmp_path, monkeypatch):
    """`written(**options)` → the side, and what it wrote to each of `TEXTS` as `by_transformers` has it."""
    monkeypatch.setenv("BEFORE_AFTER_KEY_127_0_0_1", KEY)

    def write(**options):
        side = open_endpoint(Asked(url, options=options), TASK, settings=Settings(keep_in=tmp_path))
        answers = side.write(TEXTS, max_new_tokens=TOKENS)
        return side, [(answer.written, answer.prompt_tokens, answer.tokens) for answer in answers]

    return write


def test_the_same_weights_answer_the_same(by_transformers, written):
    side, answers = written(**BASE)
    assert answers == by_transformers["base"]
    assert len({text for text, *_ in answers}) > 3 and side.spent.requests == len(TEXTS)
    assert side.about.notes == () and side.about.precision.endswith("F32") and side.about.parameters > 10_000


def test_the_server_applies_its_adapter_unless_it_is_told_not_to_and_that_is_said(by_transformers, written):
    written(**BASE)  # what it leaves in the server's cache is nothing to go on from
    side, answers = written()
    assert answers == by_transformers["tuned"] != by_transformers["base"]
    assert side.spent.from_cache == 0 and "applies tuned.gguf" in side.about.notes[0]
    assert BASE["body"] in side.about.notes[0].replace("body=", "")


def test_an_empty_list_of_adapters_is_not_the_base(written):
    with pytest.raises(UserError, match=r"adapters all the same.*\{\"lora\": \[\{\"id\": 0, \"scale\": 0\}\]\}"):
        written(body='{"lora": []}')


def test_the_door_is_locked(url, tmp_path):
    with pytest.raises(UserError, match=r"401.*BEFORE_AFTER_KEY_127_0_0_1 in the environment"):
        open_endpoint(Asked(url), TASK, settings=Settings(keep_in=tmp_path)).write(TEXTS, max_new_tokens=TOKENS)


def test_a_model_that_it_does_not_have(url, monkeypatch):
    monkeypatch.setenv("BEFORE_AFTER_KEY_127_0_0_1", KEY)
    with pytest.raises(UserError, match="would answer with the one that it has"):
        open_endpoint(Asked(f"{url}#gpt-of-somebody"), TASK)

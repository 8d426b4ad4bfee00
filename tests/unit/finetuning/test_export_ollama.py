"""A Modelfile asks by the prompt of training, to the token: rendered by Go's own text/template, as Ollama does.

Ollama itself is not here. What is taken from its documentation is which variables a template is given, and how a
Modelfile is written.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from data.tasks import DIALOGUE, SENTIMENT
from finetuning.export.forms import Options, export
from finetuning.export.go_template import go_template
from finetuning.export.ollama import modelfile
from models.chat_template import PLAIN_TEMPLATE
from models.loading import load_tokenizer
from models.prompting import Prompter
from models.sources import resolve
from plumbing.errors import ModelError
from tests.unit.finetuning.sentencepieces import TEMPLATES as SENTENCEPIECE
from tests.unit.models.templates import TEMPLATES, tokenizer_with

MISTRAL = SENTENCEPIECE["mistral"]

TEXTS = ["A warm film.", 'Ana: "Is {{ it }} open?"\nLeo: `yes` \\ no\n\n{{ .System }}', "日本 🙂 <b>&amp;</b>"]
HISTORY = [
    {"role": "user", "content": "First?"},
    {"role": "assistant", "content": "Yes.\nFirst."},
    {"role": "user", "content": "And then?"},
    {"role": "assistant", "content": "Second."},
]
SHIPPED = {
    "gemma": ("<bos>", "<eos>"),
    "gemma3": ("<bos>", "<eos>"),
    "llama3_2": ("<|begin_of_text|>", "<|eot_id|>"),
    "phi3": ("<s>", "<|endoftext|>"),
    "qwen3": (None, "<|im_end|>"),
}
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)

LLAMA2_CHAT = (
    "{% set told = '' %}{% if messages[0]['role'] == 'system' %}"
    "{% set told = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}{% for each in messages %}"
    "{% if each['role'] == 'user' %}{{ bos_token + '[INST] ' + (told if loop.first else '') + each['content'] }}"
    "{{ ' [/INST]' }}{% else %}{{ ' ' + each['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
DATED = (
    "\n{{ bos_token + 'On ' + strftime_now('%d %B %Y') + '\n' }}"
    "{% for each in messages %}{{ '<|' + each['role'] + '|>' + each['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
WRITTEN_HERE = {"mistral": MISTRAL, "llama 2, chat": LLAMA2_CHAT, "llama 2, base": PLAIN_TEMPLATE, "dated": DATED}
"""They write what the models' own write, as SmolLM3's does the date."""


@pytest.fixture(scope="session")
def render(tmp_path_factory):
    """`render(cases)` → texts."""
    if shutil.which("go") is None:
        pytest.skip("Go is not here")
    folder = tmp_path_factory.mktemp("go")
    environment = os.environ | {"GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    program = folder / "render"
    source = Path(__file__).with_name("render.go")
    subprocess.run(["go", "build", "-o", program, source], env=environment, cwd=folder, check=True)

    def rendered(cases):
        asked = json.dumps(cases).encode()
        return json.loads(subprocess.run([program], input=asked, capture_output=True, check=True).stdout)

    return rendered


def read(text):
    """A Modelfile's commands: name → what is written behind it."""
    found = dict(re.findall(r'^(TEMPLATE|SYSTEM) """(.*?)"""$', text, re.MULTILINE | re.DOTALL))
    return found | dict(re.findall(r"^(FROM|PARAMETER \w+) (.*)$", text, re.MULTILINE))


def prompters(tiny_llama):
    for name, (begin, end) in SHIPPED.items():
        template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
        tokenizer = tokenizer_with(template, begin, end)
        yield name, Prompter(tokenizer, SENTIMENT, instruction="Good or bad?")
        yield f"{name}, no instruction", Prompter(tokenizer, SENTIMENT, instruction="")
    for name, template in WRITTEN_HERE.items():
        tokenizer = tokenizer_with(template, "<s>", "</s>")
        yield name, Prompter(tokenizer, DIALOGUE)
        yield f"{name}, no instruction", Prompter(tokenizer, DIALOGUE, instruction="")
    yield "tiny", Prompter(load_tokenizer(resolve(str(tiny_llama))), DIALOGUE)
    yield "smollm2", Prompter(tokenizer_with(SMOLLM2, "<|im_start|>", "<|im_end|>"), DIALOGUE, instruction="")


def test_a_modelfile_asks_by_the_prompt_of_training_to_the_token(tiny_llama, render):
    cases, expected = [], []
    for name, made in prompters(tiny_llama):
        for begins in {
            False,
            bool(made.tokenizer.bos_token) and made.prompt("x").startswith(made.tokenizer.bos_token),
        }:
            said = read(modelfile(made, begins=begins))
            system = said.get("SYSTEM", "")
            for text in TEXTS:
                for history in ([], HISTORY):
                    turns = [*history, {"role": "user", "content": text}]
                    own = [{"role": "system", "content": system}] if system else []
                    cases.append({"Template": said["TEMPLATE"], "System": system, "Messages": [*own, *turns]})
                    expected.append((name, made, made.tokenizer.bos_token_id if begins else None, text, history))
    for rendered, (name, made, begin, text, history) in zip(render(cases), expected, strict=True):
        ids = made.encode_texts([rendered])[0]
        made.plain = lambda text: text  # Ollama leaves what is asked as it is
        asked = made.encode_prompt(text, history)
        assert ([begin] if begin is not None else []) + ids == asked, (name, rendered)


def test_it_stops_where_answers_end_and_draws_nothing(tiny_llama):
    for name, made in prompters(tiny_llama):
        said = read(modelfile(made, begins=False))
        assert said["PARAMETER stop"].strip('"') == made.template.end.strip() != "", name
        assert said["PARAMETER temperature"] == "0"
        assert said.get("SYSTEM", "") == made.contract.instruction


def test_a_template_that_writes_turns_in_several_ways_is_refused():
    odd = "{% for m in messages %}<|im_start|>{{ loop.index }}{{ m['content'] }}<|im_end|>{% endfor %}"
    with pytest.raises(ModelError, match="more than one way"):
        go_template(Prompter(tokenizer_with(odd, None, "<|im_end|>"), SENTIMENT), begins=False)


def test_a_text_that_no_modelfile_can_hold_is_refused(tiny_llama):
    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    with pytest.raises(ModelError, match="no way to write"):
        modelfile(Prompter(tokenizer, SENTIMENT, instruction='Say """x""".'), begins=False)


def test_the_folder_holds_a_file_and_its_modelfile(tiny_dialogue_adapter, tmp_path):
    written = export(tiny_dialogue_adapter, "ollama", tmp_path / "out", options=Options(packing="q8_0"))
    assert sorted(path.name for path in written.path.iterdir()) == ["Modelfile", "model.gguf"]
    said = read((written.path / "Modelfile").read_text())
    assert said["FROM"] == "./model.gguf" and said["SYSTEM"] == DIALOGUE.instruction
    assert "ollama create" in written.notes[-1]

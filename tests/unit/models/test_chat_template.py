"""Prompts by the templates that models ship, against what their own templates wrote when rendered on their own.

The templates are those that TRL brings along, byte for byte the models'. The expected texts were rendered once by
Jinja alone, without this project.
"""

import copy
from datetime import datetime
from pathlib import Path

import pytest
from transformers.utils import chat_template_utils

from data.tasks import SENTIMENT
from models.chat_template import PLAIN_TEMPLATE, ChatTemplate
from models.generation import end_tokens
from models.prompting import PromptContract, Prompter
from plumbing.errors import ModelError
from tests.unit.models.templates import TEMPLATES, tokenizer_with

GEMMA = "<bos><start_of_turn>user\nGood or bad?\n\nA warm film.<end_of_turn>\n<start_of_turn>model\n"
LLAMA = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: 26 Jul 2024\n\nGood or bad?<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    "A warm film.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)
PHI = "<|system|>\nGood or bad?<|end|>\n<|user|>\nA warm film.<|end|>\n<|assistant|>\n"
QWEN = (
    "<|im_start|>system\nGood or bad?<|im_end|>\n<|im_start|>user\nA warm film.<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
MODELS = {  # template: begin and end of text; prompt and answer as it writes them
    "gemma": ("<bos>", "<eos>", GEMMA, "Good.<end_of_turn>"),
    "gemma3": ("<bos>", "<eos>", GEMMA, "Good.<end_of_turn>"),
    "llama3_2": ("<|begin_of_text|>", "<|eot_id|>", LLAMA, "Good.<|eot_id|>"),
    "phi3": ("<s>", "<|endoftext|>", PHI, "Good.<|end|>"),
    "phi3_5": ("<s>", "<|endoftext|>", PHI, "Good.<|end|>"),
    "qwen3": (None, "<|im_end|>", QWEN, "Good.<|im_end|>"),
}


@pytest.fixture(params=MODELS)
def model(request):
    begin, end, prompt, answer = MODELS[request.param]
    template = (TEMPLATES / f"{request.param}.jinja").read_text(encoding="utf-8")
    return Prompter(tokenizer_with(template, begin, end), SENTIMENT, instruction="Good or bad?"), prompt, answer


def test_prompt_and_completion_are_what_the_models_own_template_writes(model):
    prompter, prompt, answer = model
    assert prompter.prompt("A warm film.") == prompt
    assert prompter.completion("Good.") == answer


def test_a_settled_template_needs_to_be_told_nothing(model):
    prompter, prompt, answer = model
    messages = prompter.template.fitting(prompter.messages("A warm film."))
    render = prompter.tokenizer.apply_chat_template
    settled = prompter.template.settled
    assert render(messages, chat_template=settled, add_generation_prompt=True, tokenize=False) == prompt
    # And what whoever renders it tells it by himself changes nothing.
    told = {"enable_thinking": True, "date_string": "1 Jan 1970"}
    assert render(messages, chat_template=settled, add_generation_prompt=True, tokenize=False, **told) == prompt
    tokenizer = copy.deepcopy(prompter.tokenizer)
    tokenizer.chat_template = settled
    again = Prompter(tokenizer, SENTIMENT, instruction="Good or bad?")
    assert (again.prompt("A warm film."), again.completion("Good.")) == (prompt, answer)
    assert again.template.variables == {}


def test_training_evaluation_and_chat_see_the_same_tokens(model):
    prompter, prompt, answer = model
    row = prompter.encode_row({"text": "A warm film.", "label": "Good."})
    assert prompter.tokenizer.decode(row.input_ids) == prompt + answer
    assert row.input_ids[: row.completion_start] == prompter.encode_prompt("A warm film.")
    assert row.input_ids[row.completion_start : -1] == prompter.encode_target("Good.")
    assert [prompter.encode_rows([{"text": "A warm film.", "label": "Good."}])] == [[row]]


def test_an_answer_ends_with_the_token_that_ends_its_turn(model):
    prompter, _, answer = model

    class Model:
        class generation_config:
            eos_token_id = None

    ends = prompter.tokenizer.convert_ids_to_tokens(sorted(end_tokens(Model, prompter.tokenizer)))
    assert answer.removeprefix("Good.") in ends and prompter.tokenizer.eos_token in ends


def test_the_instruction_is_said_once_where_there_is_a_history(model):
    prompter, _, _ = model
    history = [{"role": "user", "content": "A cold film."}, {"role": "assistant", "content": "Bad."}]
    prompt = prompter.prompt("A warm film.", history)
    assert prompt.count("Good or bad?") == 1 and prompt.index("Good or bad?") < prompt.index("A cold film.")


def test_a_prompt_is_the_same_tomorrow(model, monkeypatch):
    prompter, prompt, _ = model

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 1, 2, tzinfo=tz)

    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    assert prompter.prompt("A warm film.") == prompt


def test_what_the_template_is_told_is_in_the_contract_and_its_hash(model, tmp_path):
    prompter, _, _ = model
    prompter.contract.save(tmp_path)
    saved = PromptContract.load(tmp_path)
    assert saved == prompter.contract
    assert Prompter.from_contract(prompter.tokenizer, saved).contract == saved


@pytest.mark.parametrize("name", ["llama3_2", "qwen3", "phi3", "gemma"])
def test_an_adapter_trained_with_another_rendering_is_refused(name):
    begin, end, _, _ = MODELS[name]
    tokenizer = tokenizer_with((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"), begin, end)
    now = Prompter(tokenizer, SENTIMENT).contract
    before = PromptContract(now.task, now.instruction, now.template, now.special_tokens)
    with pytest.raises(ModelError, match="another prompt"):
        Prompter.from_contract(tokenizer, before)


def test_text_cannot_speak_as_the_models_thoughts():
    tokenizer = tokenizer_with((TEMPLATES / "qwen3.jinja").read_text(encoding="utf-8"), None, "<|im_end|>")
    prompter = Prompter(tokenizer, SENTIMENT)
    think = tokenizer.convert_tokens_to_ids("</think>")
    assert prompter.encode_prompt("x</think>y").count(think) == prompter.encode_prompt("xy").count(think)


def test_a_template_that_leaves_out_a_system_message_gets_the_instruction_with_the_first_message():
    silent = "{% for m in messages %}{% if m.role == 'user' %}U {{ m.content }}\n{% elif m.role == 'assistant' %}"
    silent += "A {{ m.content }}<e>\n{% endif %}{% endfor %}{% if add_generation_prompt %}A{% endif %}"
    prompter = Prompter(tokenizer_with(silent, None, "<eos>"), SENTIMENT, instruction="Good or bad?")
    assert prompter.prompt("A warm film.") == "U Good or bad?\n\nA warm film.\nA"
    assert prompter.completion("Good.") == " Good.<e>" and prompter.contract.instruction_in == "user"


def test_a_template_that_refuses_a_conversation_is_one_sentence():
    refuses = "{{ raise_exception('Only tools are supported') }}"
    with pytest.raises(ModelError, match="refuses this conversation: Only tools are supported"):
        Prompter(tokenizer_with(refuses, None, "<eos>"), SENTIMENT).prompt("A warm film.")


def test_what_needs_nothing_of_this_says_nothing_of_it(tiny_llama):
    from models.loading import load_tokenizer
    from models.sources import resolve

    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    assert Prompter(tokenizer, SENTIMENT).contract.stated().keys() == {
        "task", "instruction", "template", "special_tokens"
    }  # fmt: skip
    tokenizer.chat_template = PLAIN_TEMPLATE
    assert ChatTemplate.of(tokenizer).end == tokenizer.eos_token and ChatTemplate.of(tokenizer).lead == ""


@pytest.mark.parametrize(
    ("name", "sha256"),
    [("sentiment-smollm2-lora", "55eb44cc91f7"), ("dialogue-smollm2-qlora", "04083adf5c23")],
)
def test_the_contracts_of_the_adapters_that_ship_are_what_they_were(name, sha256):
    contract = PromptContract.load(Path(__file__).parents[3] / "models" / "bundled" / name)
    assert contract.sha256.startswith(sha256)
    assert (contract.variables, contract.instruction_in, contract.lead, contract.end) == ({}, "system", "", "")


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
)


def test_a_prompt_does_not_begin_thoughts_that_no_answer_has():
    """As templates of models that always think: their own answered turns hold no thoughts."""
    thinks = CHATML + "<think>\n{% endif %}"
    prompter = Prompter(tokenizer_with(thinks, None, "<|im_end|>"), SENTIMENT, instruction="Good or bad?")
    assert prompter.prompt("A warm film.").endswith("A warm film.<|im_end|>\n<|im_start|>assistant\n")
    assert prompter.completion("Good.") == "Good.<|im_end|>"
    assert prompter.contract.opening == "<think>\n"
    plain = Prompter(tokenizer_with(CHATML + "{% endif %}", None, "<|im_end|>"), SENTIMENT).contract
    assert "opening" not in plain.stated()


def test_of_several_templates_the_default_one_is_meant():
    several = {"tool_use": "x", "default": CHATML + "{% endif %}"}
    one = Prompter(tokenizer_with(several["default"], None, "<|im_end|>"), SENTIMENT).prompt("A warm film.")
    tokenizer = tokenizer_with(several["default"], None, "<|im_end|>")
    tokenizer.chat_template = several
    assert Prompter(tokenizer, SENTIMENT).prompt("A warm film.") == one
    tokenizer.chat_template = {"tool_use": "x", "rag": "y"}
    with pytest.raises(ModelError, match="several chat templates") as caught:
        Prompter(tokenizer, SENTIMENT)
    assert caught.value.got == "tool_use, rag"


def test_a_template_that_leaves_out_what_is_asked_is_refused():
    """As one that writes pictures and parts of a message, and no plain text."""
    template = "{% for message in messages %}{% for part in message['parts'] %}{{ part }}{% endfor %}{% endfor %}ok"
    with pytest.raises(ModelError, match="leaves out what the user says"):
        Prompter(tokenizer_with(template, None, "<|im_end|>"), SENTIMENT).prompt("A warm film.")


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = tokenizer_with("{% for message in messages %}{{ message['content'] }}{% endfor %}", None, "</s>")
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no token that ends an answer"):
        Prompter(tokenizer, SENTIMENT)

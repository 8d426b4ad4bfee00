"""The "how to use" of a card: a program of a few lines that needs nothing of ours, and asks as training did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data.tasks.task import Input
from finetuning.export.base_card import about_base, with_base
from finetuning.export.model_card import CARD_FILE, RECIPE_HEADING
from finetuning.export.tuned import Tuned
from models.prompting import Prompter, prompter_of
from plumbing.reading import read_text
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARK = "a question 4711"
_NEW_TOKENS = 64
_MAX_CARD_BYTES = 2**22
_QUOTED = "```"
HERE = 'folder = "."  # where this file lies'
"""The line of the program that says where the model is; on the Hub it is its name."""


def prompter(tuned: Tuned, tokenizer: PreTrainedTokenizerBase) -> Prompter:
    """The prompter of training.

    Raises:
        ModelError: this tokenizer renders another prompt.
    """
    made = prompter_of(tokenizer, tuned.task, instruction=tuned.contract.instruction)
    made.contract.require_same(tuned.contract)
    return made


def around(made: Prompter) -> tuple[str, str]:
    """What stands before and behind what a person asks, in the prompt of training."""
    given: Input = [{"role": "user", "content": _MARK}] if made.task.kind == "chat" else _MARK
    before, _, behind = made.prompt(given).partition(_MARK)
    return before, behind


def how_to_use(tuned: Tuned, tokenizer: PreTrainedTokenizerBase, *, merged: bool = False) -> str:
    """The section of the card, for the folder that the card lies in.

    Args:
        tuned: what it is about.
        tokenizer: the one in the folder.
        merged: whether the folder holds a whole model, and not an adapter.
    """
    is_adapter = not tuned.is_whole and not merged
    writes = tuned.origin.kind == "causal"
    program = [
        *_imports(tuned, is_adapter, writes),
        "",
        HERE,
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        *_loading(tuned, is_adapter, writes),
    ]
    if writes:
        program += _writing(*around(prompter(tuned, tokenizer)), begin=_begin(tuned, tokenizer))
    elif tuned.origin.kind == "classifier":
        program += [
            'inputs = tokenizer("…", return_tensors="pt")',
            f"labels = {list(tuned.task.labels)!r}",
            "print(labels[int(model(**inputs).logits.argmax())])",
        ]
    else:
        before, behind = around(prompter(tuned, tokenizer))
        end = tuned.contract.end or str(tokenizer.eos_token)
        program += [
            'asked, answer = "…", "…"',
            f"text = {before!r} + asked + {behind!r} + answer + {end!r}",
            'inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
            "print(float(model(**inputs).logits))  # the higher, the better the answer",
        ]
    needs = "transformers and peft" if is_adapter else "transformers"
    body = "\n".join(program)
    return f"## How to use it\n\nWith {needs}, and nothing else:\n\n{_QUOTED}python\n{body}\n{_QUOTED}\n"


def _imports(tuned: Tuned, is_adapter: bool, writes: bool) -> list[str]:
    auto = "AutoModelForCausalLM" if writes else "AutoModelForSequenceClassification"
    names = [auto, "AutoTokenizer"]
    found = ["from peft import PeftModel"] if is_adapter else []
    if is_adapter and tuned.origin.precision == "nf4":
        found = ["import torch", *found]
        names.append("BitsAndBytesConfig")
    return [*found, f"from transformers import {', '.join(names)}"]


def _loading(tuned: Tuned, is_adapter: bool, writes: bool) -> list[str]:
    auto = "AutoModelForCausalLM" if writes else "AutoModelForSequenceClassification"
    if not is_adapter:
        return [f'model = {auto}.from_pretrained(folder, dtype="auto").eval()']
    options, before = 'dtype="auto"', list[str]()
    if tuned.origin.precision == "nf4":
        before = [
            "packed = BitsAndBytesConfig(",
            '    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,',
            "    bnb_4bit_compute_dtype=torch.bfloat16,",
            ")",
        ]
        options = 'dtype="auto", quantization_config=packed'
    if not writes:
        options += f", num_labels={1 if tuned.origin.kind == 'reward' else len(tuned.task.labels)}"
    return [
        *before,
        f"base = {auto}.from_pretrained({tuned.base_name!r}, {options})",
        "model = PeftModel.from_pretrained(base, folder).eval()",
    ]


def _writing(before: str, behind: str, *, begin: bool) -> list[str]:
    tokens = "True" if begin else "False"
    return [
        'asked = "…"',
        f"prompt = {before!r} + asked + {behind!r}",
        f'inputs = tokenizer(prompt, add_special_tokens={tokens}, return_tensors="pt")',
        f"answer = model.generate(**inputs, max_new_tokens={_NEW_TOKENS}, do_sample=False)",
        'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]


def _begin(tuned: Tuned, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer begins the prompt: of raw texts, where it begins every text with a token."""
    from models.text_rows import begin_of_text

    return tuned.task.kind == "text" and bool(begin_of_text(tokenizer))


def write_card(tuned: Tuned, folder: Path, section: str, about: str = "", *, merged: bool = False) -> None:
    """The card of what was tuned, with its base and `section`, in `folder`; a short one where there is none yet.

    The recipe stays its last section, where `finetuning.judged_rows` looks for it.
    """
    try:
        card = read_text(tuned.folder / CARD_FILE, limit=_MAX_CARD_BYTES)
    except (OSError, UnicodeDecodeError):
        card = ""
    if RECIPE_HEADING not in card:  # none, or the one that peft leaves
        relation = "finetune" if tuned.is_whole else "adapter"
        library = "transformers" if tuned.is_whole else "peft"
        card = (
            f"---\nbase_model: {tuned.origin.name}\nbase_model_relation: {relation}\nlibrary_name: {library}\n"
            f"---\n\n# {tuned.name}\n\n{tuned.task.learns or tuned.task.title} It was not evaluated.\n\n"
        )
    card = with_base(card, tuned)
    if merged and not tuned.is_whole:
        card = card.replace("base_model_relation: adapter\n", "base_model_relation: merge\n", 1)
        card = card.replace("library_name: peft\n", "library_name: transformers\n", 1)
    about = f"{about}\n\n" if about else ""
    about += about_base(tuned, beside=not merged and not tuned.is_whole) + "\n"
    before, heading, recipe = card.partition(RECIPE_HEADING)
    write_atomically(
        folder / CARD_FILE, f"{before.rstrip()}\n\n{about}{section}\n{heading}{recipe}".rstrip() + "\n"
    )

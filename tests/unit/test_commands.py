"""Every command that a document shows is taken by the program's own parser, and what it names is there.

What it does is tested elsewhere: the commands of docs/lesson.md run in `test_lesson.py`, those of docs/api.md in
`tests/integration/test_api.py`, the example of docs/verdict.md in `test_verdict_door.py`. One of somebody else's
program is in `ELSEWHERE`, with what its document has to say beside it.
"""

import argparse
import importlib
import itertools
import re
import runpy
import shlex
import sys
from pathlib import Path

import click
import pytest
import typer
import yaml

from data.specs import CORPORA
from eval.cli import app as evaluation
from finetuning.chains import is_chain, load_chain
from finetuning.cli import app as finetuning
from finetuning.export.forms import FORMS
from finetuning.lab.lab import lab_names
from finetuning.recipe import load_recipe, recipe_names
from ui import serving

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "spaces").rglob("*.md")),
    ROOT / "data" / "corpora" / "README.md",
]
APPS = {"finetuning": typer.main.get_command(finetuning), "eval": typer.main.get_command(evaluation)}
ELSEWHERE = {
    "docker": "was not built",
    "hf": "hf auth login",
    "trackio": "pip install trackio",
    "ollama": "not run",
}
"""The first word of a command that no test can run → what its document says of that."""
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*(/[A-Z_]+)?|…")
OF_THE_READER = re.compile(r"(\w[\w.-]*/)*[\w.-]+\.(csv|tsv|jsonl|yaml|gguf|zip)|path/to/[a-z]+")
"""A file or a folder that the reader has and the repository does not."""
NAMED = "in a line of text"
"""Said of a command there: without arguments it is only named."""
CPU_BASES = {"HuggingFaceTB/SmolLM2-135M-Instruct", "sentence-transformers/all-MiniLM-L6-v2"}
"""Of recipes that two cores train; any other has to be shown with "GPU" behind it."""


def commands_in(text):
    """(the words of a command, what is said behind it) of each in a block of bash and each in a line of text."""
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield from split(line)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for span in re.findall(r"`((?:python|pytest|make|pip|docker|hf) [^`]+)`", prose):
        for words, _ in split(" ".join(span.split())):
            yield words, NAMED


def split(line):
    code, said = re.fullmatch(r"(.*?)(?:(?:^|\s)#(.*))?", line).groups(default="")
    lexer = shlex.shlex(code, posix=True, punctuation_chars="&;|")
    lexer.whitespace_split, lexer.commenters = True, ""
    words = []
    for word in [*lexer, "&&"]:
        if word in ("&&", "|", ";"):
            if words:
                yield words, said
            words = []
        elif words or not re.match(r"[A-Z_]+=", word):  # settings of the environment come first
            words.append(word)


FOUND = [
    pytest.param(words, said, document, id=f"{document.relative_to(ROOT)}: {' '.join(words)[:80]}")
    for document in DOCUMENTS
    for words, said in commands_in(document.read_text(encoding="utf-8"))
]


def is_open(name):
    return bool(PLACEHOLDER.fullmatch(name) or OF_THE_READER.fullmatch(name))


def known_source(source):
    kind, _, name = source.rpartition(":")
    if kind == "corpus":
        assert (CORPORA / f"{name}.jsonl").is_file(), source
    elif kind == "hub":
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", name), source
    else:
        assert is_open(source) or (ROOT / source).exists(), source


def known_recipe(name, settings):
    """That it is one that ships, or a reader's own, and that it has those settings; its base, where it is one."""
    if is_chain(name):
        load_chain(name, settings)
    elif name in recipe_names():
        return load_recipe(name, settings).model.base
    else:
        assert is_open(name) or name.startswith("votes:"), name
        changes = [each for each in settings if each.startswith(("data.", "training.", "evaluation.", "way=sft"))]
        load_recipe("sentiment-smollm2-lora", [each for each in changes if not each.startswith("data.columns")])
    return None


def arguments(program, words, said):
    """What the program's parser makes of a command line; nothing of a command that is only named."""
    command = APPS[program].commands[words[0]]
    if words[1:] == [] and said == NAMED:
        return {}
    with command.make_context(words[0], words[1:]) as context:
        return context.params


def of_finetuning(words, said):
    given = arguments("finetuning", words, said)
    if "recipe" in given:
        base = known_recipe(given["recipe"], given["set_"])
        assert words[0] != "train" or base in {None, *CPU_BASES} or "GPU" in said, "it does not say what it needs"
    if given.get("lab"):
        assert given["lab"] in lab_names() or is_open(given["lab"])
    if "form" in given:
        assert given["form"] in FORMS
    for name in ("data", "test", "file"):
        if given.get(name):
            known_source(given[name])
    named = given.get("run") or []
    for run in [named] if isinstance(named, str) else named:
        assert run == "last" or is_open(run) or (ROOT / run).is_dir()


def of_eval(words, said):
    given = arguments("eval", words, said)
    if given.get("data"):
        known_source(given["data"])


class ParsedError(Exception):
    """Nothing after the parser."""


@pytest.fixture
def only_parsing(monkeypatch):
    """A program ends where its `ArgumentParser` has understood the command line."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_end(self, *given):
        parse(self, *given)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)


def of_a_program(name, words, monkeypatch):
    """A module or a script with an `ArgumentParser`, or without any argument."""
    monkeypatch.setattr(sys, "argv", [name, *words])
    if name.endswith(".py"):
        monkeypatch.syspath_prepend(str((ROOT / name).parent))
        with pytest.raises(ParsedError):
            runpy.run_path(str(ROOT / name), run_name="__main__")
        return
    file = ROOT.joinpath(*name.split("."))
    file = file / "__main__.py" if file.is_dir() else file.with_suffix(".py")
    code = file.read_text(encoding="utf-8")
    assert "__main__" in code or file.stem == "__main__"
    if words and "argparse" in code:
        with pytest.raises(ParsedError):
            importlib.import_module(name if file.stem != "__main__" else f"{name}.__main__").main()
    else:
        assert all(map(PLACEHOLDER.fullmatch, words))


def of_pytest(words):
    from eval.conftest import OF_SIDES

    ours = {"--base", "--tuned", "--run", "--against", "--update-baselines", *OF_SIDES}
    for word in words:
        if word.startswith("--"):
            assert word in ours, word
        elif word.startswith(("tests/", "eval/")):
            assert (ROOT / word).exists(), word


def of_make(words):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*words} <= {*targets}


def of_pip(words):
    assert words[0] == "install"
    for flag, file in itertools.pairwise(words):
        if flag in ("-r", "-c"):
            assert (ROOT / file).is_file(), file


@pytest.mark.parametrize(("words", "said", "document"), FOUND)
def test_a_command_that_is_shown_can_be_given(words, said, document, only_parsing, monkeypatch):
    words = [word.removeprefix(".venv/bin/") for word in words]
    try:
        match words:
            case ["python", "-m", "finetuning", *rest]:
                of_finetuning(rest, said) if rest else None
            case ["python", "-m", "eval", *rest]:
                of_eval(rest, said) if rest else None
            case ["pytest", *rest] | ["python", "-m", "pytest", *rest]:
                of_pytest(rest)
            case ["python", "-m", name, *rest]:
                assert name.startswith("benchmarks")
                of_a_program(name, rest, monkeypatch)
            case ["python", "app.py", *rest]:
                with pytest.raises(ParsedError):
                    serving.parse(rest)
            case ["python", script, *rest]:
                of_a_program(script, [each.replace("KIND", "cpu") for each in rest], monkeypatch)
            case ["make", *rest]:
                of_make(rest)
            case ["pip", *rest]:
                of_pip(rest)
            case [".", *_]:
                pass
            case [program, *_]:
                assert ELSEWHERE[program] in document.read_text(encoding="utf-8")
    except click.ClickException as error:
        pytest.fail(error.format_message())


def test_a_block_of_a_document_says_which_language_it_is_in():
    """So that no command hides in a block that is not looked at."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            if language == "yaml":
                yaml.safe_load(block)
            assert language == "bash" or not re.search(r"^(python|pytest|make|pip) ", block, re.MULTILINE), block


def test_what_does_not_exist_is_found(only_parsing, monkeypatch):
    for words, how in [
        (["train", "no-such-recipe"], of_finetuning),
        (["train", "sentiment-smollm2-lora", "--set", "training.epoch=1"], of_finetuning),
        (["train", "dialogue-llama2-7b-qlora"], of_finetuning),
        (["train", "rows.csv", "--set", "training.epoch=1"], of_finetuning),
        (["export", "last", "onnx"], of_finetuning),
        (["compares", "--base", "x"], of_eval),
        (["compare", "--bases", "x"], of_eval),
        (["compare", "--base", "x", "--tuned", "y", "--data", "corpus:none"], of_eval),
    ]:
        with pytest.raises(Exception):  # noqa: B017 - each parser has its own
            how(words, "")
    with pytest.raises(SystemExit):
        of_a_program("benchmarks.load", ["--visitor"], monkeypatch)
    with pytest.raises(KeyError):
        ELSEWHERE[next(split("unheard of"))[0][0]]

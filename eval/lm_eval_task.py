"""A test set as a task of lm-evaluation-harness, so that an independent tool can check our numbers.

The folder that `export_task` writes is whole in itself and may be moved. Every row carries the prompt as it was
rendered here, so nothing is rendered again; texts are scored by the very functions of `eval.metrics`, whose source
is copied: ROUGE, and the task's own metric. Loads no weights and does not need lm-eval, which takes the folder by
`--include_path`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from data import words
from data.tasks.task import Input, Task
from eval.metrics import evaluated, is_asked_for, primary_of, rouge
from models.loading import Precision, device
from models.prompting import Prompter
from models.resolved import ResolvedModel
from models.whole import is_whole
from plumbing.errors import DataError, ModelError

LM_EVAL = "lm-eval==0.4.13"
ROWS_FILE = "test.jsonl"
CODE_FILE = "task.py"
README_FILE = "README.md"
HEADER = "# A task for lm-evaluation-harness, written by Before/After.\n"
"""The first line of every task file: what makes a folder an earlier export."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def export_task(
    prompter: Prompter,
    inputs: Sequence[Input],
    references: Sequence[Sequence[str]],
    folder: Path,
    *,
    base: ResolvedModel,
    adapter: Path,
    precision: Precision,
    name: str | None = None,
    max_new_tokens: int = 64,
) -> str:
    """Write `folder`, in one rename, and return the task's name for lm-eval's `--tasks`.

    Args:
        prompter: renders the prompts; its task says how answers are scored.
        inputs: the test rows' inputs.
        references: for each row its label, alone, or its reference answers.
        folder: has to be new, empty, or an earlier export, which is replaced.
        base: the base model, for the commands in the README.
        adapter: the folder of the adapter or the whole model, for the same.
        precision: what base and adapter compute in, for the same.
        name: the task's name; by default `before_after_` and our name of the task.
        max_new_tokens: where a generated answer is cut off.

    Raises:
        DataError: there are no rows, a label is unknown, or `name` or `folder` cannot be used.
        ModelError: lm-eval would cut a prompt and its label into other tokens than we do.
    """
    task = prompter.task
    require_answers(task)
    name = name or f"before_after_{task.name}"
    if not _NAME.fullmatch(name):
        raise DataError(
            "A task's name is made of letters, digits, _ and -", got=name, fix="Choose another: --name."
        )
    if not inputs:
        raise DataError("The test set is empty", fix="Give at least one row to export.")
    folder = folder.absolute()
    _require_replaceable(folder)
    prompts = [prompter.prompt(text) for text in inputs]
    rows: list[dict[str, Any]]
    if task.is_classification:
        _require_labels(references, task.labels)
        _require_same_tokens(prompter, inputs, prompts)
        choice = dict(zip(task.labels, _choices(prompter), strict=True))
        rows = [
            {"prompt": prompt, "label": choice[label]} for prompt, (label,) in zip(prompts, references, strict=True)
        ]
    else:
        rows = [
            {"prompt": prompt, "references": list(texts)} for prompt, texts in zip(prompts, references, strict=True)
        ]
    files = {
        f"{name}.yaml": _config(prompter, name, max_new_tokens),
        ROWS_FILE: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        CODE_FILE: _code(task),
        README_FILE: _readme(prompter, name, len(rows), base, adapter, precision),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".exporting-") as scratch:
        making = Path(scratch) / "new"
        making.mkdir()
        for file, text in files.items():
            (making / file).write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        making.rename(folder)
    return name


def require_answers(task: Task) -> None:
    """Refuse raw texts, of which lm-eval would measure something else.

    Raises:
        DataError: says what.
    """
    if task.kind == "text":
        raise DataError(
            "Raw texts cannot be written as a task of lm-eval: it would count their first tokens and cut long ones "
            "elsewhere, so its perplexities would be others",
            got=task.name,
            fix="Compare with `evaluate`, which reads them as training did.",
        )


def _require_replaceable(folder: Path) -> None:
    """Refuse a file, and a folder that holds anything but an earlier export."""
    if not folder.exists():
        return
    found = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {folder.name: folder}
    tasks = {name for name, path in found.items() if name.endswith(".yaml") and _is_ours(path)}
    others = sorted(set(found) - tasks - {ROWS_FILE, CODE_FILE, README_FILE, "__pycache__"})
    if others or (found and len(tasks) != 1):
        raise DataError(
            f"{folder} holds something else than an earlier export, and is left as it is",
            got=others or sorted(found),
            fix="Choose a new or an empty folder.",
        )


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(HEADER.encode())


def _require_labels(references: Sequence[Sequence[str]], labels: Sequence[str]) -> None:
    for number, texts in enumerate(references, start=1):
        if len(texts) != 1 or texts[0] not in labels:
            raise DataError(
                f"Row {number} of the test set has an unknown label",
                got=", ".join(texts),
                fix=f"The labels are {', '.join(labels)}.",
            )


def _require_same_tokens(prompter: Prompter, inputs: Sequence[Input], prompts: Sequence[str]) -> None:
    """Refuse prompts that lm-eval would give to the model as other tokens.

    It encodes prompt and label in one piece, and once more the prompt without the white space at its end, which
    it counts to what is scored. That adds the same to every label's log-probability, as long as the tokens are
    ours: those of the prompt, then those of the label.
    """

    def encode(text: str) -> list[int]:
        return list(prompter.tokenizer(text, add_special_tokens=False)["input_ids"])

    choices = list(zip(_choices(prompter), prompter.encode_labels(prompter.task.labels), strict=True))
    for text, prompt in zip(inputs, prompts, strict=True):
        ours = prompter.encode_prompt(text)
        context = encode(prompt.rstrip())
        for label, tokens in choices:
            if ours[: len(context)] != context or encode(prompt + label) != ours + tokens:
                raise ModelError(
                    "lm-eval would cut the prompt and its label into other tokens than training did, "
                    "so it would not measure what was trained",
                    got=prompt[-20:] + label,
                    fix="Compare with `evaluate`, which uses the tokens of training.",
                )


def _choices(prompter: Prompter) -> list[str]:
    """The texts that are scored: the labels, with the end of the turn where one begins as another does."""
    labels = prompter.task.labels
    return list(map(prompter.completion, labels)) if prompter.need_an_end(labels) else list(labels)


def _config(prompter: Prompter, name: str, max_new_tokens: int) -> str:
    """The task file. `num_fewshot` is set, so that no option changes the prompt."""
    task = prompter.task
    config: dict[str, Any] = {
        "task": name,
        "test_split": "test",
        "doc_to_text": "prompt",
        "target_delimiter": "",
        "num_fewshot": 0,
    }
    names: Sequence[str]
    functions = {"custom_dataset": "rows"}
    if task.is_classification:
        names = ["acc"]
        config |= {
            "output_type": "multiple_choice",
            "doc_to_choice": _choices(prompter),
            "doc_to_target": "label",
        }
    else:
        names = [*rouge.ROUGE_NAMES, *([task.metric] if _own_metric(task) else [])]
        functions["process_results"] = "scores"
        config |= {
            "output_type": "generate_until",
            "doc_to_target": "references",
            "generation_kwargs": {
                "until": list(dict.fromkeys([prompter.template.end.strip(), str(prompter.tokenizer.eos_token)])),
                "max_gen_toks": max_new_tokens,
                "do_sample": False,
            },
        }
    config["metric_list"] = [
        {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in names
    ]
    config["metadata"] = {"version": 1, "prompt_sha256": prompter.contract.sha256}
    # A tag of lm-eval's own, which a safe dump cannot write.
    links = "".join(f"{key}: !function {Path(CODE_FILE).stem}.{value}\n" for key, value in functions.items())
    return HEADER + yaml.safe_dump(config, sort_keys=False, allow_unicode=True) + links


def _code(task: Task) -> str:
    """The Python file beside the task: it reads the rows, and scores texts."""
    if task.is_classification:
        return _ROWS_CODE
    modules, scores = [words, rouge], 'rouge_scores(answers[0], doc["references"])'
    if (own := _own_metric(task)) is not None:
        modules.append(own)
        function: Any = primary_of(task).row
        scores += f' | {{"{task.metric}": {function.__name__}(answers[0], doc["references"])}}'
    copied = "\n\n".join(map(_computing, modules))
    return f"{_ROWS_CODE}\n\n{_COPIED}\n{copied}\n\n{_SCORES_CODE.format(scores=scores)}"


def _own_metric(task: Task) -> ModuleType | None:
    """The file of the task's own metric; None where that is one of ROUGE's, has a setting, or is none of ours."""
    if is_asked_for(task.metric):
        return None
    module = inspect.getmodule(primary_of(task).row)
    return None if module in (None, rouge, evaluated) else module


def _computing(module: ModuleType) -> str:
    """The source of a module that computes, without what it imports of ours and without what a `Metric` is made of.

    What it computes with is public, or in a module that stands before it.
    """
    source = inspect.getsource(module)
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        ours = isinstance(node, ast.ImportFrom) and str(node.module).startswith(("__future__", "data.", "eval."))
        if ours or (isinstance(node, ast.Assign) and {"METRIC", "METRICS"} & _assigned(node)):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (
                int(node.end_lineno or node.lineno) - node.lineno + 1
            )
    return "".join(lines)


def _assigned(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


_ROWS_CODE = '''"""The rows of the task beside this file."""

import json
from pathlib import Path

import datasets


def rows(**metadata):
    """The test split. lm-eval passes what it knows of the task, of which nothing is needed."""
    with Path(__file__).with_name("test.jsonl").open(encoding="utf-8") as lines:
        return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}
'''

_COPIED = "# How an answer is scored: copied from Before/After, data/words.py and eval/metrics."

_SCORES_CODE = '''def scores(doc, answers):
    """What the one answer to a row scores."""
    return {scores}
'''


def _readme(
    prompter: Prompter, name: str, rows: int, base: ResolvedModel, adapter: Path, precision: Precision
) -> str:
    pretrained = base.name if base.origin == "hub" else str(base.path.absolute())
    dtype = "bfloat16" if precision == "nf4" else precision
    run = f"lm_eval run --include_path . --tasks {name} --batch_size 32 --device {device().type} --model hf"
    arguments = [f"pretrained={pretrained}", f"dtype={dtype}", "add_bos_token=False"]
    command = f"{run} --model_args {shlex.join(arguments)}"
    notes = [
        "- The prompts are rendered already: leave `--apply_chat_template` out.",
        "- They begin with their own special tokens: `add_bos_token=False` keeps lm-eval from adding more.",
        "- `--device` is that of the machine on which this was written.",
    ]
    if base.origin == "hub":
        notes.append(f"- The base model is revision `{base.revision}`.")
    if prompter.task.is_classification:
        same = "`acc` is our accuracy: the label with the highest log-likelihood after the prompt."
        notes.append(
            "- In float32 every prediction is ours. In bfloat16 lm-eval also rounds the log-likelihoods, and "
            "rows whose labels are almost equally probable may come out the other way."
        )
    else:
        same = "The scores are ours, by the same code, of greedy answers."
    if precision == "nf4":
        notes.append(
            f"- Our pair computes on a base in 4 bit, which {LM_EVAL} cannot load with transformers "
            f"{version('transformers')}. The commands load it in bfloat16, so their numbers differ somewhat."
        )
    return _README.format(
        name=name,
        rows=rows,
        same=same,
        lm_eval=LM_EVAL,
        base=command,
        tuned=f"{run} --model_args {shlex.join([f'pretrained={adapter.absolute()}', *arguments[1:]])}"
        if is_whole(adapter)
        else f"{command} {shlex.quote(f'peft={adapter.absolute()}')}",
        notes="\n".join(notes),
    )


_README = """# {name}

{rows} test rows as a task of [lm-evaluation-harness](https://github.com/EleutherAI/lm-evaluation-harness).
{same}

In this folder, with `pip install {lm_eval}` and, for an adapter, `peft`:

```bash
# base
{base}

# tuned
{tuned}
```

{notes}
"""

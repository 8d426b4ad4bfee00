"""The task's own metric of a model that is being trained, on some rows: what `training.eval_metric` asks for.

The model answers as it is, by its own modules: the layers by hand hold what they computed from weights that change
meanwhile. So the rows are few.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from data.tasks import Task
from eval.scores import row_scores
from models.prompting import Prompter
from models.stepping import end_tokens

MOST_ROWS = 24
_MOST_LABELS_SCORED = 400
"""Labels of all rows together, each of which is read with its row's prompt; of eight rows at least all are."""
_AT_ONCE = 8


def task_metric(
    rows: Sequence[Mapping[str, Any]],
    task: Task,
    tokenizer: Any,
    prompter: Prompter | None,
    max_new_tokens: int,
) -> Callable[[Any], float]:
    """Model → the mean of the task's primary metric over the first of `rows`.

    Args:
        rows: with the task's columns.
        task: with its labels, as its data has them.
        tokenizer: the model's.
        prompter: renders the prompts; None for a classifier.
        max_new_tokens: where an answer is cut off.
    """
    most = MOST_ROWS
    if task.is_classification and prompter is not None:
        most = min(most, max(_AT_ONCE, _MOST_LABELS_SCORED // len(task.labels)))
    some = list(rows)[:most]
    inputs = [task.input_of(row) for row in some]
    references = [task.references(row) for row in some]

    def measured(model: Any) -> float:
        with _as_in_use(model):
            if prompter is None:
                answers = _classified(model, tokenizer, inputs, task.labels)
            elif task.is_classification:
                answers = [_likeliest(model, tokenizer, prompter, given, task.labels) for given in inputs]
            else:
                prompts = [prompter.encode_prompt(given) for given in inputs]
                answers = _written(model, tokenizer, prompts, max_new_tokens)
        return fmean(row_scores(answers, references, task))

    return measured


@contextlib.contextmanager
def _as_in_use(model: Any) -> Iterator[None]:
    """Within it, the model drops nothing and keeps no gradients; afterwards it trains as before."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():  # what a module keeps for later may still be asked for gradients
            yield
    finally:
        model.train(was_training)


def _classified(model: Any, tokenizer: Any, inputs: Sequence[Any], labels: Sequence[str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(inputs), _AT_ONCE):
        given = tokenizer(list(inputs[start : start + _AT_ONCE]), padding=True, return_tensors="pt").to(
            model.device
        )
        found += [labels[place] for place in model(**given).logits.argmax(-1).tolist()]
    return found


def _likeliest(model: Any, tokenizer: Any, prompter: Prompter, given: Any, labels: Sequence[str]) -> str:
    """The label whose tokens are the most probable after the prompt."""
    prompt, targets = prompter.encode_prompt(given), prompter.encode_labels(labels)
    totals: list[float] = []
    for start in range(0, len(targets), _AT_ONCE):
        some = targets[start : start + _AT_ONCE]
        longest = max(map(len, some))
        # A label's last token is never read: what comes before it predicts it.
        batch = _padded([[*prompt, *target[:-1]] for target in some], tokenizer, model.device)
        logits = model(**batch, logits_to_keep=longest, use_cache=False).logits.float().log_softmax(-1)
        for row, target in enumerate(some):
            own = logits[row, longest - len(target) :]
            totals.append(float(own[range(len(target)), target].sum()))
    return labels[totals.index(max(totals))]


def _written(model: Any, tokenizer: Any, prompts: Sequence[list[int]], max_new_tokens: int) -> list[str]:
    found: list[str] = []
    for start in range(0, len(prompts), _AT_ONCE):
        batch = _padded(prompts[start : start + _AT_ONCE], tokenizer, model.device)
        tokens = model.generate(
            **batch,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(end_tokens(model, tokenizer)),
            pad_token_id=tokenizer.pad_token_id,
        )
        texts = tokenizer.batch_decode(tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        found += [str(text).rstrip("\ufffd") for text in texts]
    return found


def _padded(rows: Sequence[list[int]], tokenizer: Any, device: Any) -> dict[str, torch.Tensor]:
    """Token rows as `input_ids` and `attention_mask`, padded on the left to end together."""
    width = max(map(len, rows))
    pad = tokenizer.pad_token_id
    ids = [[pad] * (width - len(row)) + row for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }

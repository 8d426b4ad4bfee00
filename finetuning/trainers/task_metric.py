"""The task's own metric on a few rows while a model trains, by the library's plain calls.

What answers here is the model as it is at this step. It learns on afterwards, so nothing is prepared for speed, and
few rows are asked: the evaluation at the end of a run is the one to believe.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from data.tasks import Task
from eval.scores import row_scores
from models.head import only_at
from models.prompting import Prompter

if TYPE_CHECKING:
    from datasets import Dataset

ROWS = 24
"""Asked each time, at most."""
_AT_ONCE = 8


class TaskMetric:
    """The mean over some rows of the metric that the task's verdict is about."""

    def __init__(
        self, rows: Dataset, task: Task, tokenizer: Any, prompter: Prompter | None, *, max_new_tokens: int
    ) -> None:
        """Args:
        rows: to be asked.
        task: theirs.
        tokenizer: the base's.
        prompter: what renders the prompts; None for a classifier.
        max_new_tokens: where an answer is cut off.
        """
        self._task, self._tokenizer, self._prompter = task, tokenizer, prompter
        self._inputs = [task.input_of(row) for row in rows]
        self._references = [task.references(row) for row in rows]
        self._max_new_tokens = max_new_tokens

    def __call__(self, model: Any) -> float:
        """Of `model`, which may be a peft one; it is left as it was."""
        trained = model.training
        model.eval()
        try:
            with torch.no_grad():
                return fmean(row_scores(self._answers(model), self._references, self._task))
        finally:
            model.train(trained)

    def _answers(self, model: Any) -> list[str]:
        if self._prompter is None:
            texts = [str(text) for text in self._inputs]
            inputs = self._tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
            return [self._task.labels[place] for place in model(**inputs).logits.argmax(dim=-1).tolist()]
        prompts = [self._prompter.encode_prompt(given) for given in self._inputs]
        if self._task.is_classification:
            return [self._most_probable_label(model, prompt, self._prompter) for prompt in prompts]
        starts = range(0, len(prompts), _AT_ONCE)
        return [answer for at in starts for answer in self._written(model, prompts[at : at + _AT_ONCE])]

    def _most_probable_label(self, model: Any, prompt: list[int], prompter: Prompter) -> str:
        """The label with the highest log-likelihood behind `prompt`; those of one length go through at once."""
        targets = prompter.encode_labels(self._task.labels)
        totals: dict[int, float] = {}
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        for length in {len(target) for target in targets}:
            places = [place for place, target in enumerate(targets) if len(target) == length]
            for at in range(0, len(places), _AT_ONCE):
                some = places[at : at + _AT_ONCE]
                ids = torch.tensor([prompt + targets[place][:-1] for place in some], device=model.device)
                wanted = torch.tensor([targets[place] for place in some], device=model.device)
                with only_at(bare, lambda hidden, length=length: hidden[:, -length:].contiguous()):  # type: ignore[misc]
                    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
                scores = logits.float().log_softmax(dim=-1).gather(2, wanted[..., None])
                totals |= zip(some, scores.sum(dim=(1, 2)).tolist(), strict=True)
        return self._task.labels[max(totals, key=lambda place: totals[place])]

    def _written(self, model: Any, prompts: Sequence[list[int]]) -> list[str]:
        """Greedy answers to some prompts, which are padded on the left."""
        from models.stepping import end_tokens

        width, pad = max(map(len, prompts)), self._tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in prompts], device=model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=model.device)
        ends = end_tokens(model, self._tokenizer)
        written = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=self._max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=pad,
        )
        answers = []
        for row in written[:, width:].tolist():
            length = next((place for place, token in enumerate(row) if token in ends), len(row))
            answers.append(str(self._tokenizer.decode(row[:length], skip_special_tokens=True)).strip())
        return answers

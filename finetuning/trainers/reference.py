"""Trainers whose loss compares a model with what it was when training began: its reference.

What the reference finds the answers is measured once, before the first step, on the model that is to be trained; so
none is held beside it, whichever parameters learn, and an adapter that goes on is its own reference. It lies beside
the checkpoints: a run that goes on from one has another model by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from finetuning.runs.beginning import hash_tokens
from finetuning.trainers.causal import project_supervised_positions
from finetuning.trainers.together import summed
from finetuning.trainers.tuning import Tuning, without_adapter_wrapper
from plumbing.errors import RunError
from plumbing.writing import flush

REFERENCE_FILE = "reference.safetensors"
MEASURING = "Measuring what the model finds the answers before it learns"

Tell = Callable[[str, int, int], None]


class MeasuredBefore(torch.nn.Module):
    """Stands where TRL wants its reference: without one it would load the base once more, or copy the adapter."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config


class AgainstReference(Tuning):
    """Mixed into one of TRL's trainers that take the reference's log-probabilities as columns of the rows."""

    measures: tuple[str, ...]
    """These columns."""

    train_dataset: Any
    ref_model: Any
    _metrics: Any

    def __init__(self, *, model: Any, **options: Any) -> None:
        super().__init__(model=model, ref_model=MeasuredBefore(model.config), **options)
        self.ref_model = None
        self._projects = self.accelerator.device.type == "cpu" and not self.in_shards
        if self._projects:
            project_supervised_positions(without_adapter_wrapper(self.model), in_groups=True)

    def reference_of(self, inputs: dict[str, Any]) -> Sequence[Tensor]:
        """Of a batch what each of `measures` holds, [B] each, by the model as it is now."""
        raise NotImplementedError

    def laid_out(self, rows: Dataset, batches: Sequence[Sequence[int]]) -> Dataset:
        """`rows` with what they need of each other; `batches` are places that go through together."""
        return rows

    def prepare(self, tell: Tell) -> None:
        """Measure the reference, or read what an earlier attempt has measured.

        Raises:
            RunError: an earlier attempt's cannot be read, or is of other rows.
        """
        splits = {"train": self.laid_out(self.train_dataset, self.train_batches())}
        if self.eval_dataset is not None:
            splits["validation"] = self.laid_out(self.eval_dataset, self.in_batches(self.eval_dataset))
        folder = Path(self.args.output_dir)
        of = {name: hash_tokens(rows) for name, rows in splits.items()}
        if any(folder.glob("checkpoint-*")):
            measured = _kept(folder / REFERENCE_FILE, of)
        else:
            measured = self._measured(splits, tell)
            if self.args.should_save:
                folder.mkdir(parents=True, exist_ok=True)
                save_file(measured, folder / REFERENCE_FILE, metadata=of)
                flush(folder)
        for name, rows in splits.items():
            for column in self.measures:
                rows = rows.add_column(column, measured[f"{name}.{column}"].tolist())
            splits[name] = rows
        self.train_dataset = splits["train"]
        self.eval_dataset = splits.get("validation")

    def train_batches(self) -> list[list[int]]:
        """Places of training rows that go through together, if these are the same in every epoch."""
        return []

    def summed_log_probs(self, ids: Tensor, mask: Tensor, answers: Tensor) -> Tensor:
        """Of each row's answer, [B].

        Args:
            ids: rows padded on the right, [B, T].
            mask: 1 for a token, 0 for padding.
            answers: 1 for a token of the answer.
        """
        labels = ids.masked_fill(answers == 0, -100)
        outputs = self.model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False, fused_lm_head=True)
        return outputs.log_probs.sum(dim=1)  # type: ignore[no-any-return]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self._projects:  # neither logits of the whole vocabulary are computed, nor which is the highest
            for values in self._metrics.values():
                for name in ("logits/chosen", "logits/rejected", "mean_token_accuracy"):
                    values.pop(name, None)
        super().log(logs, start_time)  # type: ignore[misc]

    def _measured(self, splits: dict[str, Dataset], tell: Tell) -> dict[str, Tensor]:
        found = {
            f"{name}.{column}": torch.zeros(len(rows)) for name, rows in splits.items() for column in self.measures
        }
        total, done = sum(map(len, splits.values())), 0
        processes = 1 if self.in_shards else self.args.world_size
        trained = self.model.training
        self.model.eval()
        try:
            tell(MEASURING, 0, total)
            for name, rows in splits.items():
                wanted = [column for column in self.columns if column in rows.column_names]
                for places in self.own(self.in_batches(rows)):
                    batch = [{column: rows[place][column] for column in wanted} for place in places]
                    inputs = self._prepare_inputs(self.data_collator(batch))  # type: ignore[attr-defined]
                    with torch.no_grad(), self.accelerator.autocast():  # as in training, which it is compared with
                        values = self.reference_of(inputs)
                    for column, each in zip(self.measures, values, strict=True):
                        found[f"{name}.{column}"][places] = each.float().cpu()
                    done = min(total, done + processes * len(places))
                    tell(MEASURING, done, total)
        finally:
            self.model.train(trained)
        return found if processes == 1 else {name: summed(values).float() for name, values in found.items()}

    # ---- what TRL would do with rows and reference ----

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """Rows are tokens already, by our own prompt."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
        """`prepare` measures, when the run can be told of it and be stopped."""
        return dataset


def weighted(values: Sequence[float], counts: Sequence[int]) -> float:
    """The mean over all rows of what was found for each batch."""
    return sum(value * count for value, count in zip(values, counts, strict=True)) / max(1, sum(counts))


def _kept(path: Path, of: dict[str, str]) -> dict[str, Tensor]:
    """What was measured; `of` are the hashes of the rows of now, by their split."""
    try:
        with safe_open(path, framework="pt") as file:
            if file.metadata() == of:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        raise RunError(
            "What the model found the answers before it learned cannot be read",
            got=path.name,
            fix="Start a new run.",
        ) from None
    raise RunError(
        "The rows have changed since the run began: the reference was measured on others",
        got=path.name,
        fix="Start a new run, or put the data back as it was.",
    )

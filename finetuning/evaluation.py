"""Base against tuned on the rows that were chosen: opens the pair, and lets `eval` compare."""

from __future__ import annotations

from pathlib import Path

from data.sources import shown_spec
from eval.compare import Result, compare
from eval.lm_eval_task import export_task, require_answers
from eval.preferences import good_answers
from finetuning.began_with import with_beginning
from finetuning.besides import Besides, besides_of
from finetuning.judged_rows import JudgedRows
from models.adapters import BaseOrigin
from models.loading import load_tokenizer
from models.pair import open_pair
from models.prompting import PromptContract, Prompter, task_of
from models.resolved import Progress
from models.sources import resolve
from plumbing.errors import ModelError


def evaluate_adapter(
    adapter: Path,
    judged: JudgedRows,
    *,
    few_shot: int = 0,
    forgetting: bool = False,
    besides: Besides | None = None,
    on_progress: Progress | None = None,
) -> Result:
    """Compare base and tuned on `judged`, with the settings that belong to those rows.

    Args:
        adapter: the folder of the adapter, or of the whole model.
        judged: see `judged_rows.choose_rows`.
        few_shot: see `eval.compare.compare`.
        forgetting: see `eval.compare.compare`.
        besides: what `besides.open_besides` gave. Left out: the metrics of the run that it is of, if that was made
            here, and no text.
        on_progress: told what is being done, and how far it is; a base model that has to be fetched first, too.

    Raises:
        UserError: the adapter, the base model or the data cannot be used.
    """
    pair = open_pair(adapter, progress=on_progress)
    if besides is None:
        besides = besides_of(adapter, judged)
    result = compare(
        pair,
        judged.rows,
        train=judged.train,
        few_shot=few_shot,
        few_shot_draws=judged.settings.few_shot_draws,
        context=besides.context,
        more=besides.metrics,
        forgetting=forgetting,
        data_spec=shown_spec(judged.spec),
        batch_size=judged.settings.batch_size,
        max_new_tokens=judged.settings.max_new_tokens,
        on_progress=on_progress,
    )
    if judged.made_here:
        del pair  # that adapter has a base of its own, and two large ones may be too much
        result = with_beginning(
            result, adapter, max_new_tokens=judged.settings.max_new_tokens, on_progress=on_progress
        )
    about = {"selection": judged.selection, "findings": judged.findings}
    data = result.report.data.model_copy(update=about)
    return Result(result.report.model_copy(update={"data": data, "strategy": judged.strategy}), result.rows)


def export_adapter_task(
    adapter: Path,
    judged: JudgedRows,
    folder: Path,
    *,
    name: str | None = None,
    on_progress: Progress | None = None,
) -> str:
    """Write the rows that `evaluate_adapter` would compare on as a task of lm-eval, and return its name.

    See there and in `eval.lm_eval_task.export_task`. Loads no weights.
    """
    origin, contract = BaseOrigin.load(adapter), PromptContract.load(adapter)
    if origin.kind != "causal":
        raise ModelError("lm-eval compares language models only", got=origin.kind, fix="Choose another run.")
    own = task_of(adapter, contract)
    require_answers(own)
    base = resolve(origin.name, progress=on_progress)
    prompter = Prompter.from_contract(load_tokenizer(base), contract, own)
    task = prompter.task
    rows = good_answers(judged.rows, task)
    return export_task(
        prompter,
        [task.input_of(row) for row in rows],
        [task.references(row) for row in rows],
        folder,
        base=base,
        adapter=adapter,
        precision=origin.precision,
        name=name,
        max_new_tokens=judged.settings.max_new_tokens,
    )

"""Standard benchmarks: tasks of lm-evaluation-harness, asked of base and tuned sides, compared by question.

The harness asks the very models that are loaded already, one side after the other, and scores each answer itself;
its scores go through the paired test that any metric has. Prompts are its own, without a chat template, as it has
them by default. No code comes from the Hub: data sets are data, and metrics of `evaluate` are not fetched. A folder
of tasks (`--lm-eval-path`) is a person's own, and its files may hold code.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeGuard

from eval.lab.judging import holm
from eval.metrics.metric import Kind, Metric
from eval.scores import judge
from eval.sides.side import OnThisMachine, Side
from eval.statistics import Judgement
from eval.verdict.schema import StandardTask
from plumbing.errors import RecipeError
from plumbing.network import hub_reachable

LM_EVAL = "lm-eval==0.4.13"
"""The version that this was tried with."""
BATCH_SIZE = 16
_SEED = 1234  # of the harness's own: which examples stand in a prompt
_NO_FILTER = "none"


@dataclass(frozen=True)
class Chosen:
    """A task that a person has named: `arc_easy`, or with one of its metrics `arc_easy:acc_norm`."""

    name: str
    metric: str = ""
    """Empty for the first that the task has."""

    @classmethod
    def several(cls, text: str) -> list[Chosen]:
        """Those of a list with commas.

        Raises:
            RecipeError: there is none, or one twice.
        """
        found = [cls(*map(str.strip, part.split(":", 1))) for part in text.split(",") if part.strip()]
        names = [one.name for one in found]
        if not all(names) or len(set(names)) < len(names) or not found:
            raise RecipeError(
                "These are no tasks of lm-evaluation-harness",
                got=text[:200],
                fix="Name each once, with commas between: arc_easy,hellaswag or arc_easy:acc_norm.",
            )
        return found


@dataclass(frozen=True)
class Standard:
    """What came of it."""

    tasks: list[StandardTask]
    notes: list[str]
    """Which sides were left out, and why."""


def measure_standard(
    sides: Mapping[str, Side],
    tasks: Sequence[Chosen],
    *,
    folder: Path | None = None,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    on_side: Callable[[str, int, int], None] | None = None,
) -> Standard:
    """Ask every side that is a language model on this machine, and compare each with the base.

    Args:
        sides: by their keys, the base first.
        tasks: names of tasks, groups or tags.
        folder: of more tasks, which win over those of the same name that the harness brings.
        limit: questions of each task; all by default.
        batch_size: prompts at a time.
        on_side: told a side's key, how many are done, and of how many.

    Raises:
        RecipeError: the harness is not installed, a task is not there or cannot be compared by question, or what it
            needs of the Hub cannot be had.
    """
    require_lm_eval()
    local = {key: side for key, side in sides.items() if _is_local(side)}
    notes = [
        f"Standard benchmarks: {key} is left out, since lm-evaluation-harness asks language models that are loaded "
        "here with transformers."
        for key in sides
        if key not in local
    ]
    base = next(iter(sides))
    if base not in local or len(local) < 2:
        return Standard(
            [], [*notes, "Standard benchmarks: there are no two such models to compare, so none was run."]
        )
    with _quiet_and_without_code():
        load = _loader(tasks, folder)
        found: dict[str, dict[str, _Asked]] = {}
        for done, (key, side) in enumerate(local.items()):
            if on_side:
                on_side(key, done, len(local))
            found[key] = _ask(side, load(), tasks, limit, batch_size)
        if on_side:
            on_side("", len(local), len(local))
    unknown = {name: one.metric for name, one in found[base].items() if one.higher_is_better is None}
    notes += [
        f"Standard benchmarks: {name} is left out, since it is not known whether a higher {metric} is the better "
        "one; higher_is_better beside the metric in its file says it."
        for name, metric in unknown.items()
    ]
    known = {key: {name: each[name] for name in each if name not in unknown} for key, each in found.items()}
    return Standard(_compared(known, base), notes)


def _is_local(side: Side) -> TypeGuard[OnThisMachine]:
    """Whether a language model of this process answers for it; a classifier tells no likelihood of a text."""
    return isinstance(side, OnThisMachine) and "likelihood" in side.abilities


def require_tasks(tasks: Sequence[Chosen], folder: Path | None = None) -> None:
    """Raise a RecipeError, with what to do, unless every task is there with its data."""
    require_lm_eval()
    with _quiet_and_without_code():
        _loader(tasks, folder)()


def require_lm_eval() -> None:
    """Raise a RecipeError, with what to do, where lm-evaluation-harness is not installed."""
    if importlib.util.find_spec("lm_eval") is None:
        raise RecipeError(
            "lm-evaluation-harness is not installed here",
            fix=f'Install it, pip install "{LM_EVAL}", or leave it out.',
        )


# ---- asking ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """What one side scored in one task."""

    metric: str
    scores: list[float]
    """A score a question, in the order of the data."""
    questions: list[str]
    """Hashes of the same: what two sides are paired by."""
    higher_is_better: bool | None
    """None where neither the task nor the harness says it."""
    few_shot: int


def _loader(tasks: Sequence[Chosen], folder: Path | None) -> Callable[[], dict[str, Any]]:
    """What loads the tasks anew: the harness keeps a side's answers in them."""
    from lm_eval.tasks import TaskManager

    if folder is not None and not folder.is_dir():
        raise RecipeError("There is no such folder of tasks", got=str(folder), fix="Give one with YAML files.")
    names, path = [one.name for one in tasks], str(folder.absolute()) if folder else None
    manager = TaskManager(include_path=path, include_defaults=False)
    if not set(names) <= set(manager.task_index):  # the harness's own are thousands of files to look through
        manager = TaskManager(include_path=path)
    if unknown := [name for name in names if name not in manager.task_index]:
        raise RecipeError(
            "lm-evaluation-harness has no such task",
            got=unknown[0][:200],
            fix="`lm_eval ls tasks` lists those that it has; a folder of your own is given by --lm-eval-path.",
        )

    def load() -> dict[str, Any]:
        try:
            return dict(manager.load(names))
        except Exception as error:  # whatever a task's file, or the library that reads its data, raises
            raise _cannot_load(names, error) from None

    return load


def _cannot_load(names: Sequence[str], error: Exception) -> RecipeError:
    said = " ".join(str(error).split())[:300] or type(error).__name__
    why, fix = f"A task cannot be loaded: {said}", "Leave it out, or give its data."
    if not hub_reachable():
        why = f"A task's data is not on this machine, and the Hub cannot be reached from here: {said}"
        fix = "Ask once where the Hub can be reached, or give tasks with data of their own by --lm-eval-path."
    return RecipeError(why, got=", ".join(names)[:200], fix=fix)


def _ask(
    side: OnThisMachine, loaded: dict[str, Any], tasks: Sequence[Chosen], limit: int | None, batch_size: int
) -> dict[str, _Asked]:
    """Each task's scores of one side."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=_SEED)
    with side.language_model() as (model, tokenizer):
        # A copy, since the harness may give it another padding.
        lm = HFLM(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=batch_size)
        try:
            results = evaluate(lm=lm, task_dict=loaded, limit=limit, bootstrap_iters=0)
        except ValueError as error:
            raise RecipeError(f"lm-evaluation-harness refuses: {' '.join(str(error).split())[:300]}") from None
    chosen = {one.name: one.metric for one in tasks}
    return {
        name: _scores_of(name, samples, results, chosen.get(name, ""))
        for name, samples in results["samples"].items()
    }


def _scores_of(name: str, samples: list[dict[str, Any]], results: Any, wanted: str) -> _Asked:
    """The scores by one metric of a task, and by its first filter."""
    kept = samples[0]["filter"]
    ordered = sorted((one for one in samples if one["filter"] == kept), key=lambda one: int(one["doc_id"]))
    known = list(ordered[0]["metrics"])
    metric = wanted or known[0]
    if metric not in known:
        raise RecipeError(
            f"The task {name} has no metric {metric[:100]}", fix=f"It has {', '.join(known)}: {name}:{known[0]}."
        )
    values = [one[metric] for one in ordered]
    if not all(_is_number(value) for value in values):
        raise RecipeError(
            f"The metric {metric} of {name} is of all its questions, and none has a value of its own to pair",
            fix=f"Choose another of its metrics, {', '.join(known)}, or leave the task out.",
        )
    return _Asked(
        metric=metric if kept == _NO_FILTER else f"{metric},{kept}",
        scores=list(map(float, values)),
        questions=[one["doc_hash"] for one in ordered],
        higher_is_better=results["higher_is_better"].get(name, {}).get(metric),
        few_shot=int(results["n-shot"].get(name) or 0),
    )


def _is_number(value: Any) -> bool:
    import numpy as np

    return isinstance(value, (bool, int, float, np.number, np.bool_))


# ---- comparing ---------------------------------------------------------------------------------------------


def _compared(found: Mapping[str, Mapping[str, _Asked]], base: str) -> list[StandardTask]:
    """Each task with its paired tests; all of them together are corrected."""
    tuned = [key for key in found if key != base]
    judged: dict[tuple[str, str], Judgement] = {}
    for name, of_base in found[base].items():
        for key in tuned:
            judged[name, key] = _judged(of_base, found[key][name])
    corrected = dict(zip(judged, holm([one.p_value for one in judged.values()]), strict=True))
    return [
        StandardTask(
            name=name,
            metric=of_base.metric,
            n=len(of_base.scores),
            few_shot=of_base.few_shot,
            comparisons={key: judged[name, key] for key in tuned},
            corrected={key: corrected[name, key] for key in tuned},
            values={key: fmean(of_side[name].scores) for key, of_side in found.items()},
        )
        for name, of_base in found[base].items()
    ]


def _judged(base: _Asked, tuned: _Asked) -> Judgement:
    assert base.questions == tuned.questions, "both were asked the same"
    binary = all(score in (0, 1) for score in (*base.scores, *tuned.scores))
    kind: Kind = "binary" if binary else "real"
    metric = Metric(base.metric, base.metric, kind, higher_is_better=bool(base.higher_is_better))
    return judge(base.scores, tuned.scores, metric)


@contextlib.contextmanager
def _quiet_and_without_code() -> Iterator[None]:
    """Within it, the harness says little, fetches no metric's code, and waits for no Hub that is not there."""
    import datasets
    import evaluate
    from huggingface_hub import constants

    logger = logging.getLogger("lm_eval")
    level = logger.level
    flags: list[tuple[Any, str]] = [(evaluate.config, "HF_EVALUATE_OFFLINE")]
    if not hub_reachable():
        flags += [(constants, "HF_HUB_OFFLINE"), (datasets.config, "HF_HUB_OFFLINE")]
    before = [getattr(*flag) for flag in flags]
    try:
        logger.setLevel(logging.ERROR)
        for where, name in flags:
            setattr(where, name, True)
        yield
    finally:
        logger.setLevel(level)
        for (where, name), value in zip(flags, before, strict=True):
            setattr(where, name, value)

"""`evaluate` beside our metrics: any of ours as an `evaluate.Metric`, and what it has here as one of ours.

Importing `evaluate` takes seconds: only this module does, and only when it is asked. It never goes to the network
here. What is loaded is code: load what a person at this machine has named, never what came with somebody's model.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

from eval.metrics.metric import Metric
from plumbing.errors import RecipeError

PREFIX = "evaluate:"
WHOLE, LOWER = ":whole", ":lower"
"""What may follow a name: it is of the whole test set, and not the mean of each row's; lower is better."""


# ---- ours, for evaluate ------------------------------------------------------------------------------------


def as_evaluate(metric: Metric) -> Any:
    """`metric` as an `evaluate.Metric` that keeps all in memory: `compute(...)` gives `{metric.name: value}`.

    It takes `predictions` and `references`, a text or a list of texts each. One that models are asked for takes the
    rows' values as `predictions`, and no references.
    """
    import datasets
    import evaluate

    text, number = datasets.Value("string"), datasets.Value("float64")
    of_models = not (metric.row or metric.rows or metric.whole)
    options = [{"predictions": number}] if of_models else []
    if not of_models:
        options = [{"predictions": text, "references": kind} for kind in (text, datasets.List(text))]

    class InMemory(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description=metric.title,
                citation="",
                inputs_description="",
                features=[datasets.Features(option) for option in options],
            )

        def _build_data_dir(self) -> str:
            return ""  # the inherited method creates a folder in the user's cache, which would stay empty

        def _compute(self, predictions: Sequence[Any], references: Sequence[Any] = ()) -> dict[str, float]:
            if of_models:
                return {metric.name: fmean(predictions)}
            listed = [[one] if isinstance(one, str) else list(one) for one in references]
            return {metric.name: value_of(metric, list(predictions), listed)}

    return InMemory(keep_in_memory=True)


def value_of(metric: Metric, answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """A metric that words give, over a whole test set: the mean of the rows', where they have it."""
    if metric.whole:
        return metric.whole(answers, references)
    if metric.rows:
        values = metric.rows(answers, references)
        if values is None:
            raise RecipeError(f"{metric.title} cannot be computed on this machine", got=metric.name)
        return fmean(values)
    assert metric.row is not None, "models are asked for it"
    return fmean(map(metric.row, answers, references))


# ---- evaluate's, for us ------------------------------------------------------------------------------------


def described(name: str) -> Metric:
    """What a name such as `evaluate:wer:lower` says of its metric, which is not loaded."""
    bare, whole, lower = _parts(name)
    title = Path(bare).stem
    return Metric(name, title, "whole" if whole else "real", higher_is_better=not lower)


def load(name: str) -> Metric:
    """The metric that `evaluate:NAME` names, ready to compute; `eval.metrics.METRICS` has it from now on.

    NAME is a folder with the metric's file, such a file, a module that is installed, or what evaluate has in its
    cache. `:whole` after it computes it over the whole test set, else each row is computed apart; `:lower` says
    that lower is better.

    Raises:
        RecipeError: it is not on this machine, cannot be loaded, or does not take texts.
    """
    from eval.metrics import METRICS

    if name in METRICS:
        return METRICS[name]
    bare, whole, _ = _parts(name)
    try:
        module = _opened(bare)
    except Exception as error:  # whatever its own code raises
        raise _cannot(name, error) from None
    one_or_many = _Computing(name, bare, module)
    known = described(name)
    METRICS[name] = Metric(
        name,
        known.title,
        known.kind,
        higher_is_better=known.higher_is_better,
        row=None if whole else one_or_many.row(min if name.endswith(LOWER) else max),
        whole=one_or_many.whole if whole else None,
    )
    return METRICS[name]


def place_of(name: str) -> Path | str | None:
    """Where on this machine the metric is: its file, or the module's name; None where it is not here."""
    bare, _, _ = _parts(name)
    path = Path(bare)
    if not bare or "\0" in bare:
        return None
    for file in (path, path / f"{path.name}.py"):
        if file.suffix == ".py" and file.is_file():
            return file
    if path.name != bare:
        return None
    cached = (_modules_cache() / "evaluate_modules" / "metrics" / f"evaluate-metric--{bare}").glob(f"*/{bare}.py")
    if newest := max(cached, key=lambda file: file.stat().st_mtime, default=None):
        return newest
    first = bare.partition(".")[0]
    return bare if first.isidentifier() and importlib.util.find_spec(first) else None


def require_here(name: str) -> str:
    """The name as it reads from any folder.

    Raises:
        RecipeError: no such metric is on this machine.
    """
    bare, whole, lower = _parts(name)
    place = place_of(name)
    if place is None:
        raise RecipeError(
            "There is no such metric on this machine",
            got=bare[:200],
            fix=f"After {PREFIX} give a folder with the metric's file, a module that is installed, or one that "
            "evaluate has loaded before.",
        )
    found = str(Path(bare).absolute()) if Path(bare).exists() else bare
    return f"{PREFIX}{found}{WHOLE if whole else ''}{LOWER if lower else ''}"


def shown_name(name: str) -> str:
    """A metric's name as others may read it: of a path only its end, which tells nothing of this machine."""
    if not name.startswith(PREFIX):
        return name
    bare, _, _ = _parts(name)
    return name.replace(bare, Path(bare).name, 1)


def _modules_cache() -> Path:
    """Where evaluate keeps the code that it has loaded."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(os.environ.get("HF_MODULES_CACHE") or Path(home) / "modules").expanduser()


def _parts(name: str) -> tuple[str, bool, bool]:
    """The bare name, whether it is of the whole test set, whether lower is better."""
    rest = name.removeprefix(PREFIX)
    lower = rest.endswith(LOWER)
    rest = rest.removesuffix(LOWER)
    return rest.removesuffix(WHOLE), rest.endswith(WHOLE), lower


def _opened(bare: str) -> Any:
    """The evaluation module, made; of a file without the copy that evaluate would leave in the user's cache."""
    import evaluate

    place = place_of(bare)
    if place is None:
        raise ValueError("it is not on this machine")
    module = _imported(place) if isinstance(place, Path) else importlib.import_module(place)
    own = (one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__)
    found: Any = next((one for one in own if issubclass(one, evaluate.EvaluationModule)), None)
    if found is None:
        raise ValueError("the module defines no evaluate.Metric")
    opened = type(found.__name__, (found,), {"_build_data_dir": lambda self: ""})(keep_in_memory=True)
    opened.download_and_prepare()  # of most nothing
    return opened


def _imported(file: Path) -> ModuleType:
    """The module in `file`, whose neighbours it may import as its own."""
    name = f"_evaluated_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    folder = [str(file.parent)]
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folder)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Computing:
    """Calls an evaluation module of evaluate's with what it takes."""

    def __init__(self, name: str, bare: str, module: Any) -> None:
        self._name, self._key, self._module = name, Path(bare).stem.rpartition(".")[2], module
        options = module.features if isinstance(module.features, list) else [module.features]
        wanted = [option["references"] for option in options if _takes_texts(option)]
        if not wanted:
            raise _cannot(name, ValueError("it takes something else than texts and their references"))
        self._lists = any(_is_list(kind) for kind in wanted)

    def row(self, best: Callable[[list[float]], float]) -> Callable[[str, Sequence[str]], float]:
        """Scores one answer; of several references that a metric takes one at a time, `best` chooses."""

        def score(answer: str, references: Sequence[str]) -> float:
            if self._lists:
                return self._value([answer], [list(references)])
            return best([self._value([answer], [reference]) for reference in references])

        return score

    def whole(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """Scores a test set."""
        if self._lists:
            return self._value(list(answers), [list(texts) for texts in references])
        if any(len(texts) != 1 for texts in references):
            raise _cannot(self._name, ValueError("it takes one reference a row, and some rows have several"))
        return self._value(list(answers), [text for (text,) in references])

    def _value(self, predictions: list[str], references: list[Any]) -> float:
        try:
            found = self._module.compute(predictions=predictions, references=references)
        except Exception as error:  # whatever its own code raises
            raise _cannot(self._name, error) from None
        values = found if isinstance(found, dict) else {self._key: found}
        numbers = {key: value for key, value in values.items() if _is_number(value)}
        if self._key in numbers:
            return float(numbers[self._key])
        if not numbers:
            raise _cannot(self._name, ValueError(f"it gives no number, but {', '.join(map(str, values))}"))
        return float(next(iter(numbers.values())))


def _takes_texts(option: Any) -> bool:
    """Whether one form of a module's inputs is texts, and references that are texts or lists of them."""
    if set(option) != {"predictions", "references"}:
        return False
    references = option["references"]
    inner = getattr(references, "feature", references)
    return all(getattr(kind, "dtype", "") == "string" for kind in (option["predictions"], inner))


def _is_list(kind: Any) -> bool:
    return hasattr(kind, "feature")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def _cannot(name: str, error: Exception) -> RecipeError:
    why = " ".join(str(error).split())[:300] or type(error).__name__
    return RecipeError(f"The metric {name} cannot be used: {why}", fix="Choose another, or one of ours.")

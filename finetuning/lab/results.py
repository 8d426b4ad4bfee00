"""From what a lab measured to its results: an entry an option, all pairs judged, and the three files.

Computes with numbers of the lab's folder alone: no run has to be there any more.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from eval.lab.document import to_html
from eval.lab.judging import all_pairs, interval_of, judged, mean_over_seeds, name_of_test
from eval.lab.schema import Cost, Elsewhere, LabResult, OptionResult, SeedResult, TrialResult
from eval.lab.words import to_markdown
from eval.metrics import metric_named
from eval.metrics.metric import Metric
from finetuning.estimates.calibration import processor
from finetuning.lab.folder import HTML_FILE, MARKDOWN_FILE, RESULTS_FILE, LabFolder, Record
from finetuning.lab.lab import RESULTS, Lab
from finetuning.lab.measured import Measured
from finetuning.lab.plan import Cell, Plan, seed_place
from finetuning.lab.untrained import Base
from finetuning.ways.way import Way
from plumbing.errors import RunError
from plumbing.reading import read_text
from plumbing.writing import write_atomically

_MAX_BYTES = 2**24


def write_results(lab: LabFolder) -> LabResult:
    """Judge what was measured, and write `results.json`, `report.html` and `report.md` into the lab's folder."""
    result = results_of(lab)
    write(result, lab.folder)
    return result


def write(result: LabResult, folder: Path, *, name: str = "") -> None:
    """Write the three files into `folder`; with a `name`, as NAME.json, NAME.html and NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    names = (HTML_FILE, MARKDOWN_FILE, RESULTS_FILE)
    if name:
        names = (f"{name}.html", f"{name}.md", f"{name}.json")
    texts = (to_html(result), to_markdown(result), result.model_dump_json(indent=1) + "\n")
    for file, text in zip(names, texts, strict=True):
        write_atomically(folder / file, text)


def stored(name: str) -> LabResult | None:
    """What a shipped lab came to where it was measured; None where it was not measured yet, or cannot be read."""
    try:
        return LabResult.model_validate_json(read_text(RESULTS / f"{name}.json", limit=_MAX_BYTES))
    except (OSError, ValueError):
        return None


def results_of(lab: LabFolder) -> LabResult:
    """The results of what a lab has measured so far.

    Raises:
        RunError: nothing was measured, or the options answered different test rows.
    """
    settings, plan, record, status = lab.lab(), lab.plan(), lab.record(), lab.status()
    found = {
        cell.key: [one for seed in cell.seeds if (one := lab.measured(seed_place(cell, seed)))]
        for cell in plan.cells
    }
    whole = {key: each for key, each in found.items() if each and len(each) == len(_cell(plan, key).seeds)}
    if not whole:
        raise RunError("Nothing of this lab was measured", got=next(iter(record.failed.values()), lab.id))
    first = next(iter(whole.values()))[0]
    _require_same_rows(plan, whole)
    metric = metric_named(first.metric)
    bases = _Bases(plan, whole)
    options = [_option(cell, whole.get(cell.key, []), record, metric, bases) for cell in plan.cells]
    result = LabResult(
        name=settings.name,
        title=settings.title,
        question=settings.question,
        task=first.task,
        about=first.about,
        metric=metric.name,
        data=first.data,
        n=len(first.scores),
        test_sha256=first.test_sha256,
        seeds=settings.seeds,
        budget=settings.budget.sentence() if settings.budget else "",
        chosen_by=_chosen_by(settings, plan, metric),
        options=options,
        pairs=[],
        test="",
        machine=_machine(whole),
        minutes=round(status.seconds / 60, 2),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=_notes(settings, plan, whole, record),
    )
    compared = result.compared
    judged_pairs = {"pairs": all_pairs(compared, metric), "test": name_of_test(compared, metric)}
    return result.model_copy(update=judged_pairs)


# ---- one option --------------------------------------------------------------------------------------------


def _option(
    cell: Cell, measured: Sequence[Measured], record: Record, metric: Metric, bases: _Bases
) -> OptionResult:
    named: dict[str, Any] = {
        "key": cell.key,
        "name": cell.name,
        "about": cell.about,
        "base": cell.recipe.model.base if cell.asks_base else "",
        "trained": cell.untrained is None,
        "rows": cell.rows,
        "trials": _trials(cell, record),
    }
    if not measured:
        return OptionResult(**named, failed=record.failed.get(cell.key, "it has not come to its end"))
    scores = mean_over_seeds([one.scores for one in measured])
    base = bases.scores_of(cell, measured)
    gain = judged(base, scores, metric) if base is not None and base != scores else None
    return OptionResult(
        **named,
        settings=_written(cell.trials[record.chosen[cell.key]]) if cell.key in record.chosen else {},
        seeds=[
            SeedResult(seed=seed, score=fmean(one.scores), run=one.run)
            for seed, one in zip(cell.seeds, measured, strict=True)
        ],
        scores=scores,  # not rounded: what is as often above as below would no longer be so
        mean=fmean(scores),
        interval=interval_of(scores, metric),
        gain=gain.difference if gain else None,
        gain_interval=gain.interval if gain else None,
        elsewhere=bases.elsewhere_of(cell, measured),
        cost=_cost([one.cost for one in measured]),
    )


def _trials(cell: Cell, record: Record) -> list[TrialResult]:
    return [
        TrialResult(
            settings=_written(settings),
            value=one.value,
            chosen=record.chosen.get(cell.key) == number,
            run=one.run,
            said=one.said,
        )
        for number, (settings, one) in enumerate(zip(cell.trials, record.tried.get(cell.key, []), strict=False))
    ]


def _written(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in settings.items()}


def _cost(costs: Sequence[Cost]) -> Cost:
    """Means over the seeds, of memory the most."""

    def mean(name: str) -> float | None:
        values = [value for cost in costs if (value := getattr(cost, name)) is not None]
        return fmean(values) if values else None

    memory = [cost.peak_memory_mb for cost in costs if cost.peak_memory_mb is not None]
    return Cost(
        trainable=costs[0].trainable,
        parameters=costs[0].parameters,
        peak_memory_mb=max(memory, default=None),
        **{name: mean(name) for name in ("training_s", "disk_mb", "prompt_tokens", "answer_s")},
    )


class _Bases:
    """What the bases of a lab score and find probable, by what was measured of them beside what was tuned.

    A base in 4 bits is another one than the same in 32. Where a base is an option itself, its scores are those of
    that option: beside what was tuned it answers other rows at once, and in half precision not always alike.
    """

    def __init__(self, plan: Plan, measured: Mapping[str, Sequence[Measured]]) -> None:
        self._scores: dict[tuple[str, str], list[float]] = {}
        self._perplexity: dict[tuple[str, str], float] = {}
        for cell in plan.cells:
            if isinstance(cell.untrained, Base):
                self._scores |= {_base_of(cell, one): one.scores for one in measured.get(cell.key, [])}
        for cell in plan.trained:
            for one in measured.get(cell.key, []):
                if one.base_scores is not None:
                    self._scores.setdefault(_base_of(cell, one), one.base_scores)
                if one.elsewhere is not None:
                    self._perplexity.setdefault(_base_of(cell, one), one.elsewhere.base_perplexity)

    def scores_of(self, cell: Cell, measured: Sequence[Measured]) -> list[float] | None:
        """The scores of an option's own base; None where it has none that answers."""
        own = [one.base_scores for one in measured if one.base_scores is not None]
        if own:
            return mean_over_seeds(own)
        return self._scores.get(_base_of(cell, measured[0])) if cell.untrained and cell.asks_base else None

    def elsewhere_of(self, cell: Cell, measured: Sequence[Measured]) -> Elsewhere | None:
        """What an option cost on general text. A base that nothing was trained of has lost nothing."""
        own = [one.elsewhere for one in measured if one.elsewhere is not None]
        if own:
            ratio = math.exp(fmean(math.log(one.ratio) for one in own))
            base = own[0].base_perplexity
            return Elsewhere(base_perplexity=base, tuned_perplexity=base * ratio)
        known = self._perplexity.get(_base_of(cell, measured[0])) if cell.untrained and cell.asks_base else None
        return Elsewhere(base_perplexity=known, tuned_perplexity=known) if known is not None else None


def _base_of(cell: Cell, measured: Measured) -> tuple[str, str]:
    return cell.recipe.model.base, measured.computed.get("weights in", "")


# ---- of the whole lab --------------------------------------------------------------------------------------


def _require_same_rows(plan: Plan, measured: Mapping[str, Sequence[Measured]]) -> None:
    """Refuse to compare what was measured on different rows, or by different metrics."""
    first, key = None, ""
    for cell_key, each in measured.items():
        for one in each:
            if first is None:
                first, key = one, cell_key
            elif (one.test_sha256, one.metric) != (first.test_sha256, first.metric):
                sides = ((key, first), (cell_key, one))
                said = [f"{_cell(plan, name).name} on {len(each.scores):,} of {each.data}" for name, each in sides]
                raise RunError(
                    f"The options of this lab were not judged on the same rows: {', and '.join(said)}",
                    fix="Rows that one of them was trained on are left out: judge on rows that none has seen.",
                )


def _cell(plan: Plan, key: str) -> Cell:
    return next(cell for cell in plan.cells if cell.key == key)


def _chosen_by(settings: Lab, plan: Plan, metric: Metric) -> str:
    if not any(cell.is_tuned for cell in plan.cells):
        return ""
    if settings.choose == "loss":
        return "the lowest validation loss"
    return f"the {'highest' if metric.higher_is_better else 'lowest'} {metric.title} on validation rows"


def _machine(measured: Mapping[str, Sequence[Measured]]) -> dict[str, str]:
    """Processor and system, and what the first option that has it was computed in and by."""
    import psutil

    first = next((one for each in measured.values() for one in each if len(one.computed) > 1), None)
    computed = dict(first.computed) if first else {}
    kept = ("computed in", "torch", "transformers", "peft")
    return {
        "processor": processor(),
        "cores": str(psutil.cpu_count() or 1),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        **{name: computed[name] for name in kept if computed.get(name)},
    }


def _notes(settings: Lab, plan: Plan, measured: Mapping[str, Sequence[Measured]], record: Record) -> list[str]:
    """What there is to know of single options."""
    said = [
        f"{cell.name}: {one}."
        for cell in plan.cells
        for one in dict.fromkeys(each.said for each in measured.get(cell.key, []) if each.said)
    ]
    for cell in plan.trained:
        if cell.is_tuned and settings.choose == "loss" and cell.recipe.way.validated != Way.validated:
            said.append(f"{cell.name} was chosen by its {cell.recipe.way.validated.rstrip(',')}.")
    if record.steps:
        steps = {cell.name: record.steps[cell.key] for cell in plan.cells if cell.key in record.steps}
        fitted = ", ".join(f"{name} {count:,}" for name, count in steps.items())
        said.append(f"Steps that fitted into the budget: {fitted}.")
    return said

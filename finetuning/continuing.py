"""Going on with an adapter that was trained before: which one `model.adapter` means, and its weights as a start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.trained_rows import TrainedRows
from finetuning.recipe import Recipe
from finetuning.runs.folder import Run, open_run
from models.adapter_files import CONFIG_FILE, WEIGHTS_FILE, read_config
from models.adapters import BaseOrigin, check
from models.tuned import weights_sha256
from plumbing.errors import RecipeError
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from models.loading import LoadedModel

CONTINUES_FILE = "continues.json"


@dataclass(frozen=True)
class Earlier:
    """An adapter to go on with."""

    folder: Path
    name: str
    """As the recipe calls it."""

    def note(self, run: Run) -> None:
        """Write into the run's folder what it began from."""
        about = {"adapter": self.name, "folder": str(self.folder), "sha256": weights_sha256(self.folder)}
        write_atomically(run.folder / CONTINUES_FILE, json.dumps(about, indent=2))

    def trained_rows(self) -> TrainedRows | None:
        """What it has learned from already; None of an adapter that lies in no run's folder."""
        return TrainedRows.load(self.folder.parent)

    def check(self, loaded: LoadedModel, recipe: Recipe) -> None:
        """Refuse an adapter that cannot go on, before `recipe.strategy` is applied to its base.

        Raises:
            RecipeError: it is of another base, or of other settings than the recipe's.
            ModelError: it is damaged, or not safe to load.
        """
        origin = BaseOrigin.load(self.folder)
        if (origin.weights_sha256, origin.kind) != (loaded.source.weights_sha256, loaded.kind):
            raise RecipeError(
                "model.adapter was trained on another base model",
                got=f"{origin.name} as a {origin.kind} model",
                fix=f"Its base has to be that of this recipe, byte for byte: {loaded.source.name}, {loaded.kind}.",
            )
        _require_same(read_config(self.folder), recipe, loaded.model)
        check(self.folder, loaded)

    def put_into(self, model: Any) -> str:
        """Give the new adapter in `model` the weights of this one; returns what was done, in a sentence."""
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        set_peft_model_state_dict(model, load_file(self.folder / WEIGHTS_FILE))
        return f"It went on with the adapter {self.name}."


def earlier_adapter(recipe: Recipe, runs: Path | None = None) -> Earlier | None:
    """The adapter that `recipe` goes on with, if any: a run's by its id, or one in a folder.

    Args:
        recipe: names it.
        runs: the folder of the runs, if it is not the usual one.

    Raises:
        RecipeError: there is none.
        RunError: there is no such run.
    """
    name = recipe.model.adapter
    if name is None:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = open_run(name, runs).tuned
    elif (folder / "adapter").is_dir():  # a run's folder
        folder = folder / "adapter"
    if not (folder / CONFIG_FILE).is_file():
        fix = "Give the id of a finished run, or an adapter's folder."
        if (folder / "config.json").is_file():
            fix = f"That is a whole model, which is a base itself: leave it out, and set model.base={folder}."
        raise RecipeError("There is no adapter to go on with", got=name, fix=fix)
    return Earlier(folder, name)


def _require_same(saved: dict[str, Any], recipe: Recipe, base: PreTrainedModel) -> None:
    """Refuse an adapter whose shape or scale is not that of the recipe's strategy."""
    strategy: Any = recipe.strategy
    pairs = {
        "rank": (saved.get("r"), strategy.rank),
        "alpha": (saved.get("lora_alpha"), strategy.alpha),
        "rslora": (bool(saved.get("use_rslora")), strategy.rslora),
        "dora": (bool(saved.get("use_dora")), strategy.dora),
        "target_modules": (sorted(saved.get("target_modules") or []), sorted(strategy.targets(base, recipe.kind))),
    }
    wrong = [
        f"strategy.{name} is {now}, and its own is {then}" for name, (then, now) in pairs.items() if then != now
    ]
    if wrong:
        raise RecipeError(
            f"model.adapter has other settings than this recipe: {'; '.join(wrong)}", fix="Set them to its own."
        )

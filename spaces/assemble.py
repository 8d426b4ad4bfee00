"""A kind of Space → a folder that holds what such a Space holds: the app, with the kind's own few files.

    README.md          spaces/KIND/README.md, whose front matter tells the Hub how to run it
    requirements.txt   the repository's, with the lines of spaces/KIND/requirements.txt in place of its own
    space.env          spaces/KIND/space.env, where there is one: what this kind sets (`app.py`)
    thumbnail.png      a picture of Compare, for who shares the address

Everything else is a tracked file of the repository. Asks no network.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from plumbing.errors import RunError
from plumbing.redaction import secrets_in

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KINDS = tuple(sorted(path.parent.name for path in HERE.glob("*/README.md")))
LEFT_OUT = (
    ".ci/",
    ".dockerignore",
    ".gitignore",
    "Dockerfile",
    "Makefile",
    "README.md",
    "benchmarks/",
    "compose.yaml",
    "docs/",
)
LEFT_OUT += ("requirements-dev.txt", "requirements.lock", "requirements.txt", "spaces/", "tests/")
"""What of the repository no Space needs, or has in its own form."""
PLACEHOLDER = "OWNER/NAME"
"""Stands in a kind's README.md for the Space's own name."""
_NAMES_OF_SECRETS = re.compile(r"(^|/)(\.env|\.netrc|\.pypirc|id_(rsa|ed25519)|[^/]*\.(pem|p12|pfx))$")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def assemble(kind: str, repository: str, folder: Path) -> list[str]:
    """Write what a Space of this kind holds into `folder`, and return the paths, sorted.

    Args:
        kind: one of `KINDS`.
        repository: the Space's name on the Hub, OWNER/NAME.
        folder: an empty one, or none yet.
    """
    for path in tracked():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, place)
    readme = (HERE / kind / "README.md").read_text(encoding="utf-8").replace(PLACEHOLDER, repository)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    (folder / "requirements.txt").write_text(requirements(kind), encoding="utf-8")
    if (settings := HERE / kind / "space.env").is_file():
        shutil.copyfile(settings, folder / "space.env")
    shutil.copyfile(HERE / "screenshots" / "compare.png", folder / "thumbnail.png")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def tracked() -> list[str]:
    """The repository's files that a Space holds as they are, as paths from its root."""
    return [path for path in _git("ls-files", "-z").split("\0") if path and not path.startswith(LEFT_OUT)]


def requirements(kind: str) -> str:
    """The repository's requirements, with what this kind wants otherwise, or besides."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    own = HERE / kind / "requirements.txt"
    if own.is_file():
        wanted = [line for line in own.read_text(encoding="utf-8").splitlines() if _package(line)]
        others = {_package(line) for line in wanted}
        lines = [line for line in lines if _package(line) is None or _package(line) not in others] + wanted
    return "\n".join(lines) + "\n"


def front_matter(kind: str) -> dict[str, Any]:
    """What a kind's README.md tells the Hub."""
    import yaml

    matter: dict[str, Any] = yaml.safe_load(
        (HERE / kind / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    )
    return matter


def changed() -> list[str]:
    """What in the working tree is in no commit, a path each."""
    return [line[3:] for line in _git("status", "--porcelain").splitlines()]


def commit() -> str:
    """The commit that the working tree is at, abbreviated."""
    return _git("rev-parse", "--short", "HEAD").strip()


def secrets(folder: Path, paths: list[str], *, token: str | None = None) -> list[str]:
    """Where in `folder` something is that nobody else should see; says of what kind it is, never what.

    Args:
        folder: what would be uploaded.
        paths: its files.
        token: one that this machine is logged in with.
    """
    import os

    known = {**os.environ, **({"HF_TOKEN": token} if token else {})}
    found = []
    for path in paths:
        if _NAMES_OF_SECRETS.search(path):
            found.append(f"{path}: by its name")
            continue
        try:
            text = (folder / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{line}: {kind}" for line, kind in secrets_in(text, known)]
    return found


def _package(line: str) -> str | None:
    """The package that a line of requirements is about."""
    name = _REQUIREMENT.match(line)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise RunError(f"git does not say what is in this repository: {said.strip()[:300]}", got=ROOT) from None
    return done.stdout

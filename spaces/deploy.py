"""python spaces/deploy.py KIND OWNER/NAME: put this repository on the Hub as a Space of that kind.

What the Space has and this repository does not is deleted there. Log in once: `hf auth login`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assemble import KINDS, assemble, changed, commit, front_matter, secrets

from plumbing.errors import RunError, UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi, Volume

MOUNT = "/data"
"""Where a bucket is mounted in the Space."""
RUNS = {"BEFORE_AFTER_RUNS": f"{MOUNT}/runs"}
"""What a Space with a bucket sets, so that runs, labs, uploads and votes are kept there."""
FREE = ("zero-a10g",)
"""Hardware that costs nothing and is not what a new Space gets by itself; any other is asked for by name alone."""
_LISTED = 10


@dataclass(frozen=True)
class Target:
    """The Space, and what of it is to be other than it is."""

    repository: str
    kind: str
    private: bool
    hardware: str | None
    bucket: str | None


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python spaces/deploy.py"
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("repository", metavar="OWNER/NAME", help="the Space; it is made where there is none")
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing; say what would be uploaded and deleted"
    )
    parser.add_argument(
        "--private", action="store_true", help="seen by its owner alone; one that is public becomes so"
    )
    parser.add_argument("--hardware", help="the machine it runs on, as the Hub calls it: l4x1; most cost money")
    parser.add_argument(
        "--bucket",
        metavar="OWNER/NAME",
        help=f"keep runs in this bucket, mounted at {MOUNT}; made, private, if needed",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Assemble, show, refuse or upload; returns the exit code."""
    asked = parse(arguments)
    wanted = front_matter(asked.kind).get("suggested_hardware")
    hardware = asked.hardware or (wanted if wanted in FREE else None)
    target = Target(asked.repository, asked.kind, asked.private, hardware, asked.bucket)
    try:
        with tempfile.TemporaryDirectory(prefix="space-") as name:
            folder = Path(name)
            paths = assemble(asked.kind, asked.repository, folder)
            _show(target, folder, paths, every=asked.dry_run)
            _refuse(folder, paths)
            _put(target, folder, paths, dry_run=asked.dry_run)
    except UserError as error:
        print(f"deploy.py: {error}", file=sys.stderr)
        return 2
    if wanted and not hardware:
        print(
            f"This kind is meant for the hardware {wanted}, which is not asked for by itself: --hardware {wanted}"
        )
    return 0


def _show(target: Target, folder: Path, paths: list[str], *, every: bool) -> None:
    """What would be uploaded: each file, or how many in each folder."""
    sizes = {path: (folder / path).stat().st_size for path in paths}
    if not every:
        totals: Counter[str] = Counter()
        for path, size in sizes.items():
            totals[path.partition("/")[0] + ("/" if "/" in path else "")] += size
        sizes = dict(totals)
    print(f"spaces/{target.kind} → {target.repository}, as of {commit()}")
    for path, size in sizes.items():
        print(f"{size / 1000:>10,.1f} kB  {path}")
    print(f"{sum(sizes.values()) / 1e6:>10,.1f} MB  in {len(paths)} files")


def _refuse(folder: Path, paths: list[str]) -> None:
    """Raise a RunError where something is in no commit, or nobody else's business."""
    from huggingface_hub import get_token

    if found := secrets(folder, paths, token=get_token()):
        raise RunError(
            f"There is what looks like a secret in {_some(found)}",
            fix="Take it out of the files and of the history, and make a new one in its place.",
        )
    if found := changed():
        raise RunError(
            f"The working tree has what is in no commit: {_some(found)}",
            fix="Commit it or stash it, so that what is on the Hub can be found again.",
        )


def _put(target: Target, folder: Path, paths: list[str], *, dry_run: bool) -> None:
    """Make the Space as it is asked for, in as few steps as its being there allows."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from plumbing.network import hub_reachable

    if not hub_reachable():
        if dry_run:
            print("The Hub cannot be reached, so what would be deleted there is not known.")
            return
        raise RunError("The Hub cannot be reached from here")
    api = HfApi(library_name="before-after")
    try:
        gone, parent = _on_the_hub(api, target.repository, paths)
        for path in gone:
            print(f"   deleted  {path}")
        if dry_run:
            print("Nothing was changed." if parent else "There is no such Space yet; nothing was changed.")
            return
        _prepare(api, target, is_there=parent is not None)
        done = api.upload_folder(
            repo_id=target.repository,
            repo_type="space",
            folder_path=folder,
            delete_patterns="*",
            commit_message=f"As of {commit()}",
            parent_commit=parent,
        )
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError, ValueError) as error:
        said = getattr(error, "server_message", None) or str(error)
        raise RunError(f"The Hub refused: {' '.join(said.split())[:500]}", got=target.repository) from None
    print(done.commit_url)


def _on_the_hub(api: HfApi, repository: str, paths: list[str]) -> tuple[list[str], str | None]:
    """What the Space holds that it will not hold any more, and its commit; None where there is no such Space."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.space_info(repository)
    except RepositoryNotFoundError:
        return [], None
    there = [file.rfilename for file in info.siblings or []]
    return sorted({*there} - {*paths, ".gitattributes"}), info.sha


def _prepare(api: HfApi, target: Target, *, is_there: bool) -> None:
    """Make the Space, or set what was asked to be other than it is. Private comes before anything is uploaded."""
    from huggingface_hub import SpaceHardware, Volume

    hardware = SpaceHardware(target.hardware) if target.hardware else None
    volume = None
    if target.bucket:
        api.create_bucket(target.bucket, private=True, exist_ok=True)
        volume = Volume(type="bucket", source=target.bucket, mount_path=MOUNT)
    if not is_there:
        asked: dict[str, Any] = {"space_hardware": hardware}
        if volume:
            variables = [{"key": key, "value": value} for key, value in RUNS.items()]
            asked |= {"space_volumes": [volume], "space_variables": variables}
        sdk = front_matter(target.kind)["sdk"]
        api.create_repo(
            target.repository, repo_type="space", space_sdk=sdk, private=target.private or None, **asked
        )
        return
    if target.private:
        api.update_repo_settings(target.repository, repo_type="space", private=True)
    if hardware:
        api.request_space_hardware(target.repository, hardware)
    if volume:
        api.set_space_volumes(target.repository, [*_other_volumes(api, target.repository), volume])
        for key, value in RUNS.items():
            api.add_space_variable(target.repository, key, value)


def _other_volumes(api: HfApi, repository: str) -> list[Volume]:
    """What is mounted elsewhere in the Space, which stays: setting volumes replaces them all."""
    return [volume for volume in api.get_space_runtime(repository).volumes or [] if volume.mount_path != MOUNT]


def _some(found: list[str]) -> str:
    more = len(found) - _LISTED
    return ", ".join(found[:_LISTED]) + (f", and {more} more" if more > 0 else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

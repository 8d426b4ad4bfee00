"""python spaces/deploy.py KIND OWNER/NAME: put this repository on the Hub as a Space of that kind."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NOT_IN_A_SPACE = ("tests/", "benchmarks/", ".ci/", "spaces/", "Makefile", "README.md", "requirements-dev.txt")


def files() -> list[str]:
    """Tracked files that a Space needs, as paths from the repository's root."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.splitlines() if not path.startswith(NOT_IN_A_SPACE)]


def main() -> int:
    kinds = sorted(path.parent.name for path in HERE.glob("*/README.md"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("repository", help="OWNER/NAME on the Hub")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be uploaded")
    arguments = parser.parse_args()
    readme = HERE / arguments.kind / "README.md"
    upload = files()
    if arguments.dry_run:
        print(*upload, f"README.md (from {readme.relative_to(ROOT)})", sep="\n")
        return 0
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo(arguments.repository, repo_type="space", space_sdk="gradio", exist_ok=True)
    operations = [CommitOperationAdd(path, ROOT / path) for path in upload]
    operations.append(CommitOperationAdd("README.md", readme))
    commit = api.create_commit(
        arguments.repository, operations, commit_message="Update from the repository", repo_type="space"
    )
    print(commit.commit_url)
    return 0


if __name__ == "__main__":
    sys.exit(main())

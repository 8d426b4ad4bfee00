"""requirements.lock names one version of everything that is installed, and it is one that every list allows."""

import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LISTS = ["requirements.txt", "requirements-dev.txt", "spaces/builder.txt"]


def requirements_of(path):
    """The requirements that a file names, without what it includes."""
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in (ROOT / path).read_text("utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def suits_here(requirement, extras=("",)):
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": each}) for each in extras)


@pytest.fixture(scope="module")
def locked():
    """Package → the version that is locked for this Python and system."""
    found = [each for each in requirements_of("requirements.lock") if suits_here(each)]
    versions = {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in found}
    assert len(versions) == len(found)  # none twice
    return versions


def test_the_lock_is_exact_and_names_no_place():
    for each in requirements_of("requirements.lock"):
        assert re.fullmatch(r"==[^,*]+", str(each.specifier)) and each.url is None, each
    assert "://" not in (ROOT / "requirements.lock").read_text("utf-8")


@pytest.mark.parametrize("path", LISTS)
def test_what_is_required_is_locked_at_a_version_that_is_allowed(path, locked):
    for each in requirements_of(path):
        assert each.specifier.contains(locked[canonicalize_name(each.name)]), each


def test_all_that_is_needed_by_what_is_required_is_locked(locked):
    """As far as packages say it that are installed here at the version that is locked."""
    extras = {canonicalize_name(each.name): each.extras for path in LISTS for each in requirements_of(path)}
    looked_at = 0
    for name, wanted in locked.items():
        try:
            if version(name).partition("+")[0] != wanted:
                continue
        except PackageNotFoundError:
            continue
        looked_at += 1
        for each in map(Requirement, requires(name) or ()):
            if suits_here(each, ("", *extras.get(name, ()))):
                other = locked.get(canonicalize_name(each.name))
                assert other and each.specifier.contains(other, prereleases=True), f"{name} needs {each}"
    assert looked_at > 100


def test_what_installs_is_told_of_the_lock():
    for path in ("Makefile", "Dockerfile"):
        installs = re.findall(r"-r requirements\S*\.txt(.*)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
        assert installs and all("-c requirements.lock" in rest for rest in installs), path

"""What each kind of Space holds: front matter that the Hub documents, and requirements that suit its hardware."""

import re
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from huggingface_hub import SpaceHardware
from packaging.requirements import Requirement
from packaging.version import Version

from finetuning.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
SPACES = sorted((ROOT / "spaces").glob("*/README.md"))
KINDS = [path.parent.name for path in SPACES]
FIELDS = {
    "title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware",
    "suggested_storage", "app_file", "app_build_command", "app_port", "base_path", "fullWidth", "header",
    "short_description", "models", "datasets", "tags", "thumbnail", "pinned", "hf_oauth", "hf_oauth_scopes",
    "hf_oauth_expiration_minutes", "hf_oauth_authorized_org", "disable_embedding", "startup_duration_timeout",
    "custom_headers", "preload_from_hub",
}  # fmt: skip
"""The fields of a Space's front matter that the Hub's documentation lists."""
OF_ANY_REPOSITORY = {"license"}
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
SCOPES = {
    "email", "read-repos", "contribute-repos", "write-repos", "manage-repos", "inference-api", "jobs", "webhooks",
}  # fmt: skip


def matter_of(kind):
    _, front, text = (ROOT / "spaces" / kind / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


@cache
def requirements_of(kind):
    """Package → what is required of it, as `deploy.py` puts it together."""
    code = "import sys; sys.path[:0] = ['.', 'spaces']; import assemble; print(assemble.requirements(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, kind], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.partition("#")[0].strip() for line in done.stdout.splitlines()]
    found = [Requirement(line) for line in lines if line]
    assert len({each.name for each in found}) == len(found)  # none twice
    return {each.name: each.specifier for each in found}


def test_there_is_a_kind_for_each_sort_of_hardware():
    assert KINDS == ["cpu", "gpu", "zero"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_front_matter_has_only_fields_that_are_documented_with_values_that_the_hub_takes(kind):
    matter, text = matter_of(kind)
    assert not matter.keys() - FIELDS - OF_ANY_REPOSITORY
    assert matter["sdk"] == "gradio"
    assert matter["sdk_version"].split(".")[:2] == version("gradio").split(".")[:2]
    assert Version(matter["python_version"]) >= Version("3.11")  # transformers needs it
    assert (ROOT / matter["app_file"]).is_file()
    assert len(matter["short_description"]) <= 60  # the Hub refuses a longer one
    assert matter["colorFrom"] in COLORS and matter["colorTo"] in COLORS
    assert matter["header"] in {"mini", "default"} and isinstance(matter["fullWidth"], bool)
    assert matter["suggested_hardware"] in {hardware.value for hardware in SpaceHardware}
    assert re.fullmatch(r"\d+(m|h)", matter["startup_duration_timeout"])
    assert matter["hf_oauth"] is True and set(matter["hf_oauth_scopes"]) <= SCOPES
    assert matter["thumbnail"] == "https://huggingface.co/spaces/OWNER/NAME/resolve/main/thumbnail.png"
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in matter["tags"])
    assert text.strip().startswith("# ")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_fetches_beforehand_is_a_model_of_a_recipe_with_all_that_loading_it_takes(kind):
    matter, _ = matter_of(kind)
    known = {load_recipe(name.stem).model.base for name in (ROOT / "finetuning" / "recipes").glob("*.yaml")}
    assert set(matter["models"]) <= known
    for line in matter["preload_from_hub"]:
        name, files, *revision = line.split(" ")
        assert name in known and not revision
        assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= {
            *files.split(",")
        }


def test_what_the_gpu_kind_begins_with_are_recipes_whose_models_its_card_names():
    written = (ROOT / "spaces" / "gpu" / "space.env").read_text(encoding="utf-8")
    names = re.search(r"^BEFORE_AFTER_RECIPES=(\S+)$", written, re.MULTILINE)[1].split(",")
    assert names == ["dialogue-llama2-7b-qlora", "dialogue-qwen3-17b-qlora"]
    assert {load_recipe(name).model.base for name in names} <= {*matter_of("gpu")[0]["models"]}


def test_zero_gpu_has_the_python_and_the_torch_that_it_runs():
    assert matter_of("zero")[0]["python_version"] in {"3.12.12", "3.10.13"}
    found = requirements_of("zero")
    assert [
        release for release in ("2.7.1", "2.8.0", "2.11.0", "2.12.0", "2.13.0") if release in found["torch"]
    ] == ["2.11.0"]
    assert "0.51.3" in found["spaces"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_requires_what_the_repository_does_but_for_what_it_says_itself(kind):
    found, plain = requirements_of(kind), requirements_of("cpu")
    own = ROOT / "spaces" / kind / "requirements.txt"
    others = set(re.findall(r"^[a-z0-9_-]+", own.read_text(), re.MULTILINE)) if own.exists() else set()
    assert found.keys() - plain.keys() <= others
    assert {name: found[name] for name in plain.keys() - others} == {
        name: plain[name] for name in plain.keys() - others
    }
    assert version("torch").partition("+")[0] in plain["torch"]


def test_requirements_leave_room_for_the_pydantic_that_a_space_installs():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lower = re.search(r"^pydantic>=(\d+)\.(\d+)", lines, re.MULTILINE)
    assert lower and (int(lower[1]), int(lower[2])) <= (2, 12)

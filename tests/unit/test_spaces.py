"""A Space's front matter is valid, and agrees with what the app was tested with."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SPACES = sorted((ROOT / "spaces").glob("*/README.md"))


@pytest.mark.parametrize("readme", SPACES, ids=lambda path: path.parent.name)
def test_front_matter(readme):
    _, front, text = readme.read_text(encoding="utf-8").split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["sdk"] == "gradio"
    assert matter["sdk_version"].split(".")[:2] == version("gradio").split(".")[:2]
    assert tuple(map(int, matter["python_version"].split("."))) >= (3, 11)  # transformers needs it
    assert (ROOT / matter["app_file"]).is_file()
    assert len(matter["short_description"]) <= 60  # the Hub refuses a longer one
    assert matter["colorFrom"] in COLORS and matter["colorTo"] in COLORS
    assert text.strip().startswith("# ")


COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_requirements_leave_room_for_the_pydantic_that_a_space_installs():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lower = re.search(r"^pydantic>=(\d+)\.(\d+)", lines, re.MULTILINE)
    assert lower and (int(lower[1]), int(lower[2])) <= (2, 12)

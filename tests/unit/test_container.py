"""Dockerfile and compose.yaml fit each other and the app. Nothing is built: that takes Docker and a network."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from ui.serving import parse

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {
    "FROM",
    "RUN",
    "WORKDIR",
    "COPY",
    "USER",
    "ENV",
    "VOLUME",
    "EXPOSE",
    "HEALTHCHECK",
    "STOPSIGNAL",
    "ENTRYPOINT",
}
KNOWN |= {"CMD"}


@pytest.fixture(scope="module")
def steps():
    """(instruction, the rest) of each line of the Dockerfile, continued ones joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def service():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert compose.keys() == {"services", "volumes"}
    return compose["services"]["before-after"]


def test_each_step_is_an_instruction_and_copies_what_is_there(steps):
    assert steps[0][0] == "FROM" and {name for name, _ in steps} <= KNOWN
    for name, rest in steps:
        if name == "COPY":
            *sources, target = [word for word in rest.split() if not word.startswith("--")]
            assert all((ROOT / source).exists() for source in sources) and target in {".", "./"}
    order = [name for name, _ in steps]
    assert order.index("USER") < order.index("ENTRYPOINT")  # not as root
    assert re.search(r"python:3\.(1[1-9])", steps[0][1])  # transformers needs 3.11


def test_the_image_starts_the_app_with_options_that_it_takes_and_compose_with_others(steps, service):
    [entry], [command] = (
        [json.loads(rest) for name, rest in steps if name == wanted] for wanted in ("ENTRYPOINT", "CMD")
    )
    assert entry == ["python", "app.py"] and (ROOT / "app.py").is_file()
    for options in (command, service["command"]):
        assert parse(["--host", "0.0.0.0", *options]).public  # another host is refused without such an option


def test_what_is_set_is_read_by_the_app_or_its_libraries_and_everything_kept_lies_in_the_volume(steps, service):
    settings = dict(word.split("=", 1) for name, rest in steps if name == "ENV" for word in shlex.split(rest))
    code = "".join(
        path.read_text(encoding="utf-8")
        for room in ("ui", "finetuning", "models")
        for path in (ROOT / room).rglob("*.py")
    )
    for name in [*settings, *service["environment"]]:
        assert name in {"HF_HOME", "PYTHONUNBUFFERED"} or f'"{name}"' in code, name
    [volume] = [rest for name, rest in steps if name == "VOLUME"]
    for name in ("BEFORE_AFTER_RUNS", "BEFORE_AFTER_CACHE", "HF_HOME"):
        assert settings[name].startswith(f"{volume}/")
    assert service["volumes"] == [f"data:{volume}"]
    [port] = [rest for name, rest in steps if name == "EXPOSE"]
    assert settings["GRADIO_SERVER_PORT"] == port and service["ports"] == [f"127.0.0.1:{port}:{port}"]
    [health] = [rest for name, rest in steps if name == "HEALTHCHECK"]
    command = json.loads(health[health.index("[") :])
    compile(command[2], "HEALTHCHECK", "exec")
    assert f":{port}/health" in command[2]


def test_the_image_holds_no_history_no_environment_and_no_secret():
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", ".env", "runs"} <= {*left_out}
    assert "/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    needed = {
        "app.py",
        "pyproject.toml",
        "requirements.txt",
        "plumbing",
        "data",
        "models",
        "eval",
        "finetuning",
        "ui",
    }
    assert not needed & {*left_out}


def test_compose_starts_only_with_somebody_who_may_log_in(service):
    assert "--login" in service["command"]
    assert service["environment"]["BEFORE_AFTER_LOGIN"].startswith("${BEFORE_AFTER_LOGIN:?")


def test_two_processes_of_the_page_share_what_they_have_to_and_nothing_else() -> None:
    folder = ROOT / "docs" / "deploy"
    services = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))["services"]
    pages = [services[name] for name in ("page-1", "page-2")]
    for page in pages:
        assert parse([*page["command"], "--host", "0.0.0.0"]).login == "" and page["volumes"] == ["data:/data"]
        assert page["environment"]["BEFORE_AFTER_ENGINE"] == "http://engine:8000/v1"
    assert len({page["environment"]["GRADIO_TEMP_DIR"] for page in pages}) == 2
    assert pages[1]["pid"] == "service:page-1"
    assert services["engine"]["volumes"] == ["data:/data:ro"] and "ports" not in services["engine"]
    assert "ports" not in pages[0] and "ports" not in pages[1]
    balanced = (folder / "Caddyfile").read_text(encoding="utf-8")
    assert "reverse_proxy page-1:7860 page-2:7860" in balanced and "lb_policy cookie" in balanced

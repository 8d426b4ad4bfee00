"""The house rules that code can check: which room imports which, and what must stay light."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["plumbing", "data", "models", "eval", "finetuning", "ui"]
HEAVY = {"torch", "transformers", "datasets", "peft", "trl", "pandas", "evaluate", "bitsandbytes"}


@cache
def imports_of(path, *, top_level=False):
    """Names of the modules that a file imports: anywhere in it, or only when it is itself imported."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), []
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append(node.module)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_to_its_left(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1]}
    for path in (ROOT / room).rglob("*.py"):
        for name in imports_of(path):
            top = name.split(".")[0]
            assert top not in {*ROOMS, "app"} - allowed, f"{path.relative_to(ROOT)} imports {name}"


def modules():
    """Every module of the rooms, by its dotted name."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths
    }


@cache
def rooms_that_import():
    """(room, other room) → an import of the one by the other; a room in a room is one of its own."""
    known, found = modules(), {}
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.level or node.module is None:
                continue
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            for target in (one if one in known else node.module for one in whole):
                rooms = tuple(".".join(each.split(".")[:-1][:2]) or each for each in (name, target))
                if target in known and rooms[0] != rooms[1]:
                    found.setdefault(rooms, f"{name} imports {target}")
    return found


def test_no_two_rooms_within_a_room_import_each_other():
    found = rooms_that_import()
    for one, other in found:
        if one.count(".") == other.count(".") == 1 and one.split(".")[0] == other.split(".")[0]:
            assert (other, one) not in found, f"{found[one, other]}, and {found[other, one]}"


UI = ["ui.drawing", "ui.server", "ui.tabs"]


def test_what_is_drawn_knows_no_server_and_no_tab():
    for one, other in rooms_that_import():
        if one in UI and other in UI:
            assert UI.index(other) < UI.index(one), rooms_that_import()[one, other]


def test_nothing_imports_the_doors():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if path.parent.name in ("finetuning", "eval") and path.name == "__main__.py":
                continue
            assert not {"app", "finetuning.cli", "eval.cli"} & set(imports_of(path)), path


def test_the_builtin_eval_is_never_hidden():
    for path in [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]:
        assert "eval" not in {name for name in imports_of(path) if name == "eval"}, path


POSIX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "syslog"}
NOT_ON_WINDOWS = {"getsid", "setsid", "getpgid", "killpg", "fork", "getuid", "geteuid", "chown", "statvfs", "nice"}
NOT_ON_WINDOWS |= {"O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "SIGKILL", "SIGSTOP", "SIGHUP", "sched_getaffinity"}


def test_what_only_some_systems_have_is_used_in_one_place():
    for path in [ROOT / "app.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]:
        if path == ROOT / "finetuning" / "processes.py":
            continue
        assert not POSIX_ONLY & set(imports_of(path)), path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("os", "signal")
        }
        assert not used & NOT_ON_WINDOWS, path


def test_there_is_no_package_where_one_would_hide_another():
    assert not (ROOT / "spaces" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / "ui").rglob("*.py"),
        ROOT / "app.py",
        *(ROOT / "finetuning" / name for name in ("cli.py", "recipe.py", "runs/folder.py", "runs/launch.py")),
    ],
    ids=lambda path: path.name,
)
def test_light_modules_import_nothing_heavy_at_the_top(path):
    tops = {name.split(".")[0] for name in imports_of(path, top_level=True)}
    assert not tops & HEAVY


LIGHT = ["finetuning.cli", "eval.cli", "finetuning.runs.launch", "finetuning.training", "eval.report.folder"]


@pytest.mark.parametrize("module", LIGHT)
def test_importing_a_light_module_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []

"""A test that hangs is ended and named with where it hangs; those after it are run, and none gives up sooner."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HANGS = """
import threading

def waits_for_ever():
    threading.Event().wait()

def test_that_hangs():
    other = threading.Thread(target=waits_for_ever, daemon=True)
    other.start()
    other.join()

def test_after_it():
    pass
"""


def test_a_test_that_hangs_is_named_with_where_it_hangs(tmp_path, pytestconfig):
    assert 600 <= float(pytestconfig.getini("timeout")) < float(pytestconfig.getini("faulthandler_timeout"))
    (tmp_path / "test_hanging.py").write_text(HANGS)
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, tmp_path]
    as_the_suite_runs = ["-n", "1", "-p", "no:cacheprovider", "--timeout", "3"]
    done = subprocess.run([*command, *as_the_suite_runs], cwd=tmp_path, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "1 failed, 1 passed" in said, said
    assert "FAILED test_hanging.py::test_that_hangs - Failed: Timeout (>3.0s)" in said
    assert "other.join()" in said and "in waits_for_ever" in said


WAITS = {"communicate", "get", "join", "result", "wait"}
SHORTEST_S = 300
A_LOOK_S = 0.1


def limits_in(path):
    """(line, seconds) of each limit that a file puts to what it waits for."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        given = [each.value for each in node.keywords if each.arg in ("timeout", "timeout_s")]
        if isinstance(node.func, ast.Attribute) and node.func.attr in WAITS:
            given += node.args[:1]
        for each in given:
            if isinstance(each, ast.Constant) and type(each.value) in (int, float):
                yield node.lineno, each.value


def test_no_test_gives_up_while_a_busy_machine_is_still_at_it():
    """What is waited for ends the wait; what never comes is ended by the test's limit. To look is not to wait."""
    files = [*(ROOT / "tests").rglob("*.py"), ROOT / "benchmarks" / "app_process.py"]
    found = {f"{path.relative_to(ROOT)}:{line}": limit for path in files for line, limit in limits_in(path)}
    assert (
        len(found) > 10 and {place: limit for place, limit in found.items() if A_LOOK_S < limit < SHORTEST_S} == {}
    )

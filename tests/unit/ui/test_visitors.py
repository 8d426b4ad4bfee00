"""Who may see what; the line; uploads; what the command line lets in."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from finetuning.limits import Limits
from finetuning.recipe import load_recipe
from finetuning.runs.folder import create_run
from plumbing.errors import RunError, UserError
from ui import serving
from ui.server import models_in_use, visitors
from ui.server.choices import all_choices, find
from ui.server.listening import reserved_port
from ui.server.models_in_use import Line
from ui.server.visitors import LOCAL, Files, Visitor, own_upload, visitor_of, without_paths


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    return tmp_path


def request_of(visitor: object, *, username: str | None = None, session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, username=username, session_hash=session)  # type: ignore[arg-type]


def test_each_stranger_sees_their_own_runs_and_a_local_page_all(folder: Path) -> None:
    ana, bea = (Visitor(name, Limits()) for name in ("browser-a", "browser-b"))
    made = {owner: create_run(load_recipe("sentiment-smollm2-lora"), owner=owner) for owner in (ana.owner, "", "x")}
    assert [run.id for run in ana.runs()] == [made[ana.owner].id]
    assert bea.runs() == []
    assert len(LOCAL.runs()) == 3
    for run in made.values():
        with pytest.raises(RunError, match="no such run") as refused:
            bea.run(run.id)
        assert not any(other.id in str(refused.value) for other in made.values() if other.id != run.id)
        run.tuned.mkdir()
        with pytest.raises(UserError, match="no such tuned model"):
            find(f"run:{run.id}", bea)
    assert all(choice.key.startswith("bundled:") for choice in all_choices(bea))


def test_a_visitor_is_their_login_else_their_cookie_else_their_page() -> None:
    cookie = Visitor("browser-a", Limits(), holder="browser-a")
    assert visitor_of(request_of(cookie)).owner == "browser-a"
    named = visitor_of(request_of(cookie, username="ana")).owner
    assert named.startswith("login-") and "ana" not in named
    assert named == visitor_of(request_of(Visitor("browser-b", Limits(), holder="browser-b"), username="ana")).owner
    nameless = Visitor("", Limits())
    pages = {visitor_of(request_of(nameless, session=session)).owner for session in ("page1", "page2")}
    assert len(pages) == 2 and all(page.startswith("page-") for page in pages)
    assert visitor_of(request_of(LOCAL, username="ana")) is LOCAL


def test_a_request_that_did_not_pass_the_door_is_nobodys() -> None:
    for wrong in (None, "browser-a"):
        with pytest.raises(RunError, match="door"):
            visitor_of(request_of(wrong))
    with pytest.raises(RunError, match="door"):
        visitor_of(gr.Request(request=None))


def test_uploads_are_remembered_by_visitor_and_the_oldest_removed(tmp_path: Path) -> None:
    files = Files(uploads_mb=1)
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_bytes(b"x" * 400_000)
        files.upload("ana" if number % 2 else "bea", [str(paths[-1])])
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert files.uploaded_by("bea", str(paths[2])) and not files.uploaded_by("ana", str(paths[2]))
    assert files.readable_by("bea", str(paths[2])) and not files.readable_by("ana", str(paths[2]))
    paths[3].unlink()
    files.upload("ana", [str(paths[3])])  # gone meanwhile: takes no room
    files.upload("ana", [str(paths[2])])  # the same file as the other's
    assert files.uploaded_by("ana", str(paths[2])) and files.uploaded_by("bea", str(paths[2]))


def test_a_file_is_read_by_who_was_offered_it_and_nobody_else() -> None:
    files = Files()
    ana, bea = (Visitor(name, Limits(), files, holder=name) for name in ("browser-a", "browser-b"))
    ana.offer(["/cache/x/report.json"])
    assert files.readable_by(ana.holder, "/cache/x/report.json")
    for path in ("/cache/x//report.json", "/cache/x/report.json/", "/cache/x/./report.json", "/cache/x", "/", ""):
        assert not files.readable_by(ana.holder, path)
    assert not files.readable_by(bea.holder, "/cache/x/report.json")
    assert not own_upload(ana, "/cache/x/report.json"), "an offered file is not an upload"
    for number in range(300):
        bea.offer([f"/cache/{number}"])
    assert files.readable_by(ana.holder, "/cache/x/report.json"), "one visitor's files push out nobody else's"
    assert not files.readable_by(bea.holder, "/cache/0") and files.readable_by(bea.holder, "/cache/299")
    LOCAL.offer(["/cache/y"])  # a page that is drawn without a door


def test_names_of_the_page_come_from_the_environment_too() -> None:
    names = serving.names_in(
        {"SPACE_HOST": "a-b.hf.space, tune.example.org", "BEFORE_AFTER_ALLOW_HOST": "https://c.d/"}
    )
    assert names == ["a-b.hf.space", "tune.example.org", "c.d"]
    assert serving.names_in({}) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read /srv/app/runs/x.csv: no", "cannot read …/x.csv: no"),
        ('File "/usr/lib/python3/site.py", line 3', 'File "…/site.py", line 3'),
        ("(got '/etc/passwd')", "(got '…/passwd')"),
        ("source: file:/tmp/a/b.csv", "source: file:…/b.csv"),
        ("https://example.org/a/b 1/2/3 a/b/c and/or", "https://example.org/a/b 1/2/3 a/b/c and/or"),
    ],
)  # fmt: skip
def test_a_stranger_reads_no_path_of_the_server(text: str, shown: str) -> None:
    assert without_paths(text) == shown
    assert Visitor("a", Limits()).shown(text) == shown
    assert LOCAL.shown(text) == text


def test_nobody_is_shown_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-secret-token")
    for visitor in (LOCAL, Visitor("a", Limits())):
        shown = visitor.shown("401 for a-secret-token and hf_" + "x" * 30)
        assert "secret" not in shown and "xxx" not in shown


def test_the_line_is_first_come_first_served_and_bounded() -> None:
    line, order = Line(), []
    stop = threading.Event()

    def come(name: int) -> None:
        with line.place() as place:
            for ahead in line.wait(place, stop):
                if ahead == 0:
                    order.append(name)
                    time.sleep(0.01)

    with line.place() as first:
        assert list(line.wait(first, stop)) == [0]
        threads = [threading.Thread(target=come, args=(number,)) for number in range(5)]
        for number, thread in enumerate(threads):
            thread.start()
            while len(line) <= number:
                time.sleep(0.001)
        with pytest.raises(UserError, match="queue is full"), line.place(longest=5):
            pass
        assert len(line) == 5
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4] and line.is_free_within(0)


def test_who_stops_or_goes_leaves_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line, stop = Line(), threading.Event()
    with line.place() as first, line.place() as second:
        waiting = line.wait(second, stop)
        assert next(waiting) == 1
        stop.set()
        assert list(waiting) == []
        monkeypatch.setattr(models_in_use, "GONE_S", 0.05)
        time.sleep(0.1)  # `first` gives no sign of life
        assert list(line.wait(second, threading.Event())) == [0]
        del first
    assert line.is_free_within(0)


def test_other_machines_are_let_in_only_on_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.7", "example.org"):
        with pytest.raises(SystemExit):
            serving.parse(["--host", host])
        assert "--public" in capsys.readouterr().err
        assert serving.parse(["--host", host, "--public"]).public
    assert serving.parse([]).host == "127.0.0.1"


def test_another_port_is_offered_without_taking_back_what_else_was_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(RunError) as refused, reserved_port("127.0.0.1", taken.getsockname()[1]):
            pass
        said = re.fullmatch(r"Choose another: add --port (\d+)\.", refused.value.fix)
    assert said
    again = serving.parse(["--public", "--limits", "rows=50", "--port", "1", *f"--port {said[1]}".split()])
    assert again.port == int(said[1]) and again.public and again.limits == "rows=50"


def test_in_a_space_the_page_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not serving.parse([]).public
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert serving.parse([]).public and serving.parse([]).host == "0.0.0.0"


def test_logins_are_read_and_never_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(serving.LOGIN, "ana:a:b, bea:c")
    assert serving.read_login("") == {"ana": "a:b", "bea": "c"}
    file = tmp_path / "logins"
    file.write_text("ana:a\n\nbea:c\n")
    assert serving.read_login(str(file)) == {"ana": "a", "bea": "c"}
    for wrong in ("s3cret", ":s3cret", "s3cret:", ""):
        monkeypatch.setenv(serving.LOGIN, wrong)
        with pytest.raises(RunError) as refused:
            serving.read_login("")
        assert "s3cret" not in str(refused.value)


def test_owners_do_not_give_the_cookie_away() -> None:
    owner = visitors.owner_of("browser", "token")
    assert "token" not in owner and owner != visitors.owner_of("login", "token")

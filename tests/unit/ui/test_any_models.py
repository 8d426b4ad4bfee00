"""Any models in the Evaluate tab: the verdict of the command line, and only names that a visitor may use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.components import Component

from data.tasks import SENTIMENT
from data.tasks.saved import save_task
from eval.asked.comparing import WHERE_FROM, compared
from eval.asked.request import Request
from eval.verdict import words
from eval.verdict.folder import VERDICT_FILE, load
from eval.verdict.junit import to_junit
from eval.verdict.schema import Verdict
from finetuning.limits import Limits
from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run, create_run
from plumbing import doors
from plumbing.errors import RunError, UserError
from tests.unit.eval.faulty_server import serving
from ui.drawing import text
from ui.server.calls import CHOSEN, RefusedError, _check_type
from ui.server.naming import ALLOW_MODEL, allowed_models, offered, servers_for, side_named
from ui.server.visitors import LOCAL, Files, Visitor
from ui.tabs.any_form import TOLD, USUAL_METRIC
from ui.tabs.any_models import AnyModels
from ui.tabs.data_form import GUESS, OWN
from ui.tabs.evaluate import Evaluate, build_evaluate
from ui.tabs.verdict_view import FILES

HOSTILE = '<img src=x onerror="window.hacked=1">'
KEY = "bundled:sentiment-tiny"


def request(visitor: Visitor = LOCAL, session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, session_hash=session)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One adapter ships; nothing is allowed besides."""
    shutil.copytree(tiny_adapter, tmp_path / "bundled" / "sentiment-tiny")
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    monkeypatch.delenv(ALLOW_MODEL, raising=False)
    monkeypatch.setattr(doors, "_door", "page")


@pytest.fixture
def tab(laid_out: Callable[..., Evaluate], jobs_here: list[Callable[[Run], object]]) -> AnyModels:
    return laid_out(build_evaluate).any


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    """Twelve reviews; the first one is markup."""
    file = tmp_path / "reviews.csv"
    rows = [f"the {thing} was {word},{label}" for thing in ("soup", "film", "room") for word, label in
            (("warm", "positive"), ("kind", "positive"), ("cold", "negative"), ("dull", "negative"))]  # fmt: skip
    file.write_text("text,label\n" + "\n".join([f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",negative', *rows]))
    return file


def steps(
    tab: AnyModels, base: Any, tuned: Any, *, file: Path | None = None, visitor: Visitor = LOCAL, **more: Any
) -> Iterator[list[Any]]:
    """What the page shows, one after the other."""
    given = {
        "rows": "",
        "task": TOLD,
        "metric": USUAL_METRIC,
        "margin": "",
        "instruction": "",
        "options": "",
    } | more
    source = ["file", str(file), ""] if file else [OWN, None, ""]
    return tab.compare(request(visitor), base, tuned, *given.values(), *source, GUESS, GUESS, "", False)


def page(tab: AnyModels, seen: list[list[Any]]) -> dict[Component, Any]:
    """What it shows in the end."""
    shown: dict[Component, Any] = {}
    for step in seen:
        shown |= {each: value for each, value in zip(tab.drawn, step, strict=True) if value != gr.skip()}
    return shown


def test_three_models_are_judged_as_at_the_command_line(
    tab: AnyModels, rows_file: Path, tiny_llama: Path, make_adapter: Any, tmp_path: Path
) -> None:
    other = make_adapter(tmp_path / "other", tiny_llama, seed=5)
    seen = list(steps(tab, str(tiny_llama), [KEY, str(other)], file=rows_file, margin="0.2"))
    shown = page(tab, seen)
    found, rows = load(shown[tab.view.shown])
    expected, answers = compared(
        Request(
            base=str(tiny_llama), tuned=[str(tmp_path / "bundled" / "sentiment-tiny"), str(other)],
            data=f"file:{rows_file}", margin=0.2,
        )
    )  # fmt: skip
    assert [side.info.name for side in found.sides][1:] == ["sentiment-tiny", "other"]
    assert words.headline(found) == words.headline(expected) and rows == answers
    same = {"created", "sides"}  # but for seconds and the time
    assert found.model_dump(exclude=same) == expected.model_dump(exclude=same)
    assert f">{words.headline(found)}<" in shown[tab.view.verdict].replace("&#x27;", "'")
    sides = [key for _, key in shown[tab.view.side].choices]
    assert sides == [each.tuned for each in words.best_first(found)]
    for side in found.sides:
        assert side.info.name in shown[tab.view.rows] and "no worse than the base by 0.2" in shown[tab.view.details]


def test_how_they_are_asked_is_shown_before_anything_is_answered(
    tab: AnyModels, rows_file: Path, tiny_llama: Path, jobs_here: list[Callable[[Run], object]]
) -> None:
    seen: list[tuple[str, str]] = []

    def look(job: Run) -> None:
        drawn = page(tab, [tab.judged.shown(job, LOCAL)])
        seen.append((str(drawn[tab.judged.prompts]), str(drawn[tab.judged.state])))

    jobs_here.append(look)
    shown = page(tab, list(steps(tab, str(tiny_llama), [KEY], file=rows_file)))
    prompts = [place for place, (asked, _) in enumerate(seen) if text.HOW_ASKED in asked]
    answered = [place for place, (_, state) in enumerate(seen) if "answers" in state]
    assert prompts and answered and min(prompts) < min(answered)
    last = seen[max(prompts)][0]
    assert "base: " in last and "tuned: sentiment-tiny" in last and WHERE_FROM["contract"] in last
    assert "&lt;img src=x" in last and "<img" not in last, "the first row is text"
    assert shown[tab.judged.prompts] == "", "the verdict has them"


def test_files_of_a_verdict_hold_its_numbers_and_are_of_who_asked(
    tab: AnyModels, rows_file: Path, tiny_llama: Path
) -> None:
    files = Files()
    ana, bea = (Visitor(name, None, files, holder=name) for name in ("browser-a", "browser-b"))
    shown = page(tab, list(steps(tab, str(tiny_llama), [KEY], file=rows_file, visitor=ana)))
    paths = {Path(button.value["path"] if isinstance(button.value, dict) else button.value).name: button.value
             for button in (shown[each] for each in tab.view.downloads)}  # fmt: skip
    assert set(paths) == set(FILES)
    folder = shown[tab.view.shown]
    for path in (str(folder / name) for name in FILES):
        assert files.readable_by(ana.holder, path) and not files.readable_by(bea.holder, path)
    found = Verdict.model_validate_json((folder / VERDICT_FILE).read_text())
    said = words.headline(found)
    assert said in (folder / "verdict.html").read_text().replace("&#x27;", "'")
    assert (folder / "junit.xml").read_text() == to_junit(found)
    assert "<img" not in (folder / "verdict.html").read_text()
    assert json.loads((folder / "rows.jsonl").read_text().splitlines()[0])["input"]


def test_rows_are_filtered_by_kind_word_and_side(tab: AnyModels, rows_file: Path, tiny_llama: Path) -> None:
    shown = page(tab, list(steps(tab, str(tiny_llama), [KEY], file=rows_file)))
    folder = shown[tab.view.shown]
    radio, drawn = tab.view.filter(folder, "tuned", "all", "SOUP")
    assert drawn.count("<tr") == 1 + 4 and "the film" not in drawn
    found, rows = load(folder)
    flips = found.comparisons[0].flips
    counts = {"All": len(rows), "Gained": flips.gained, "Lost": flips.lost, "Same": flips.same}
    assert [label for label, _ in radio.choices] == [f"{name} ({count})" for name, count in counts.items()]
    again = tab.view.filter(folder, "no such side", "same", "")[1]
    assert again.count("<tr") == (1 + flips.same if flips.same else 0)
    with pytest.warns(UserWarning, match="no longer open"):
        assert tab.view.filter(None, "tuned", "all", "") == gr.skip()
    hostile = tab.view.filter(folder, "tuned", "all", "onerror")[1]
    assert "&lt;img" in hostile and "<img" not in hostile


def test_without_a_file_the_rows_are_those_of_a_side_that_was_judged(
    tab: AnyModels, tiny_llama: Path, tmp_path: Path
) -> None:
    seen = list(steps(tab, str(tiny_llama), [KEY]))
    assert "not known which rows to compare" in page(tab, seen)[tab.judged.state]
    shipped = Path(__file__).parents[3] / "models" / "bundled" / "sentiment-smollm2-lora" / "eval"
    shutil.copytree(shipped, tmp_path / "bundled" / "sentiment-tiny" / "eval")
    save_task(SENTIMENT, tmp_path / "bundled" / "sentiment-tiny")
    shown = page(tab, list(steps(tab, str(tiny_llama), [KEY], rows="8")))
    found, _ = load(shown[tab.view.shown])
    assert found.n == 8 and found.data.spec == "corpus:reviews"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"base": None}, "A model is missing"),
        ({"base": "  "}, "A model is missing"),
        ({"tuned": None}, "nothing to compare the base with"),
        ({"tuned": []}, "nothing to compare the base with"),
        ({"tuned": [""]}, "A model is missing"),
        ({"tuned": ["run:../../etc"]}, "no such tuned model"),
        ({"rows": "many"}, "whole number from 1"),
        ({"margin": "nan"}, "“No worse by more than” is a number above 0"),
        ({"margin": "-1"}, "is a number above 0"),
        ({"margin": "x"}, "is a number above 0"),
        ({"task": "../tasks/x"}, "no such metric|no such task"),
        ({"metric": "evaluate:/etc/passwd"}, "no such metric"),
        ({"metric": "json:/etc/passwd"}, "no such metric"),
        ({"instruction": "x" * 4001}, "more than 4,000 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    tab: AnyModels, rows_file: Path, tiny_llama: Path, given: dict[str, Any], says: str
) -> None:
    wanted = {"base": str(tiny_llama), "tuned": [KEY]} | given
    with pytest.warns(UserWarning, match=says):
        list(steps(tab, wanted.pop("base"), wanted.pop("tuned"), file=rows_file, **wanted))


def test_columns_of_rows_whose_task_is_not_said_have_no_names_yet(
    tab: AnyModels, rows_file: Path, tiny_llama: Path
) -> None:
    said = ["", TOLD, USUAL_METRIC, "", "", ""]
    values = ["file", str(rows_file), "", "text", GUESS, "", False]
    with pytest.warns(UserWarning, match="say first what is asked"):
        list(tab.compare(request(), str(tiny_llama), [KEY], *said, *values))
    said[1] = "classification"
    shown = page(tab, list(tab.compare(request(), str(tiny_llama), [KEY], *said, *values)))
    assert load(shown[tab.view.shown])[0].labels == ["negative", "positive"]


def test_options_say_how_a_model_is_opened(tab: AnyModels, rows_file: Path, tiny_llama: Path) -> None:
    shown = page(tab, list(steps(tab, str(tiny_llama), [KEY], file=rows_file, options="precision=float32\n")))
    assert {side.info.precision for side in load(shown[tab.view.shown])[0].sides} == {"float32"}
    with pytest.warns(UserWarning, match="An option of a side is written"):
        list(steps(tab, str(tiny_llama), [KEY], file=rows_file, options="tuned-9.precision=float32"))


def test_a_stopped_comparison_says_so_and_lets_the_next_one_in(
    tab: AnyModels, rows_file: Path, tiny_llama: Path, jobs_here: list[Callable[[Run], object]]
) -> None:
    jobs_here.append(Run.request_cancel)
    shown = page(tab, list(steps(tab, str(tiny_llama), [KEY], file=rows_file)))
    assert text.STOPPED_HERE in shown[tab.judged.state] and shown[tab.view.verdict] == ""
    assert "cancelled" in shown[tab.judged.listing]
    jobs_here.clear()
    shown = page(tab, list(steps(tab, str(tiny_llama), [KEY], file=rows_file)))
    assert "ba-headline" in shown[tab.view.verdict]


# ---- who may name what -----------------------------------------------------------------------------------------


def stranger(**limits: Any) -> Visitor:
    return Visitor("browser-a", Limits(**limits), holder="browser-a")


@pytest.mark.parametrize(
    "name",
    [
        "/etc", "~", ".", "models/bundled", "some/model", "some/model:file.gguf", "bundled:../..", "run:x",
        "file:/etc/passwd", "ftp://example.org/v1#m",
    ],
)  # fmt: skip
def test_a_stranger_may_name_nothing_of_their_own(
    tab: AnyModels, rows_file: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.asked.comparing.compared", lambda *_, **__: pytest.fail("it was looked at"))
    for base, tuned in ((name, [KEY]), (KEY, [name]), (KEY, [KEY, name])):
        with pytest.warns(UserWarning, match="operator has named|no such tuned model"):
            list(steps(tab, base, tuned, file=rows_file, visitor=stranger()))


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/v1#m", "https://example.org/v1#m", " HTTPS://EXAMPLE.ORG/v1"]
)
def test_a_stranger_may_name_no_server(
    tab: AnyModels, rows_file: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("it was looked up"))
    for base, tuned in ((address, [KEY]), (KEY, [address])):
        shown = page(tab, list(steps(tab, base, tuned, file=rows_file, visitor=stranger())))
        assert "does not ask that address" in shown[tab.judged.state]


def test_an_operator_says_what_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW_MODEL, " some/model , some/model:q4.gguf,https://example.org/v1#m, https://b.example ")
    given = ["some/model", "some/model:q4.gguf", "https://example.org/v1#m", "https://b.example"]
    assert allowed_models() == given
    assert [value for _, value in offered(stranger())][-4:] == given
    assert not {*given} & {value for _, value in offered(LOCAL)}, "on a page of one's own anything may be written"
    for name in given:
        assert side_named(name, stranger()).text == name
    with pytest.raises(UserError):
        side_named("some/other", stranger())
    servers = servers_for(stranger())
    assert servers is not None and servers.given == tuple(given[2:]) and servers_for(LOCAL) is None


@pytest.mark.parametrize(
    "wrong", ["/srv/model", "./model", "model", "../a/b", "a/..", "ftp://x/v1", "http://u:p@x/v1"]
)
def test_what_an_operator_cannot_mean_is_said_at_the_start(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW_MODEL, f"some/model,{wrong}")
    with pytest.raises(UserError) as refused:
        allowed_models()
    assert isinstance(refused.value, RunError) or "http" in wrong
    assert "u:p" not in str(refused.value)


def test_a_private_address_is_not_asked_for_a_stranger_even_where_it_is_given(
    tab: AnyModels, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        monkeypatch.setenv(ALLOW_MODEL, f"{server.url}#tiny")
        shown = page(tab, list(steps(tab, KEY, [f"{server.url}#tiny"], file=rows_file, visitor=stranger())))
        assert "private network" in shown[tab.judged.state]
        assert not server.asked
        seen = list(steps(tab, KEY, [f"{server.url}#tiny"], file=rows_file))
        assert server.asked and "ba-headline" in page(tab, seen)[tab.view.verdict]


def test_the_base_of_what_ships_is_offered_but_no_folder_of_this_machine(tiny_llama: Path) -> None:
    assert (str(tiny_llama) in [value for _, value in offered(LOCAL)]) is True
    assert str(tiny_llama) not in str(offered(stranger()))
    allowed = stranger(base_models=(str(tiny_llama),))
    assert side_named(str(tiny_llama), allowed).text == str(tiny_llama)


def test_a_run_is_named_by_its_owner_alone(tiny_adapter: Path) -> None:
    run = create_run(load_recipe("sentiment-smollm2-lora"), owner="browser-a")
    shutil.copytree(tiny_adapter, run.tuned)
    assert side_named(f"run:{run.id}", stranger()).text == str(run.folder)
    assert f"run:{run.id}" in [value for _, value in offered(stranger())]
    bea = Visitor("browser-b", Limits(), holder="browser-b")
    with pytest.raises(UserError, match="no such tuned model"):
        side_named(f"run:{run.id}", bea)
    assert f"run:{run.id}" not in [value for _, value in offered(bea)]


def test_limits_of_a_public_page_hold_here_too(tab: AnyModels, rows_file: Path) -> None:
    for given, limits, says in (
        ({"tuned": [KEY] * 4}, {}, "compares up to 4 models"),
        ({"rows": "300"}, {}, "evaluates on up to 200 rows"),
        ({"options": "tuned.prompt=/etc/passwd"}, {}, "opens every model in its own way"),
        ({}, {"rows": 5}, "13 rows, and this public page takes 5"),
    ):
        with pytest.warns(UserWarning, match=says):
            list(steps(tab, KEY, given.pop("tuned", [KEY]), file=rows_file, visitor=stranger(**limits), **given))
    values = ["hub", None, "some/data", GUESS, GUESS, "", False]
    with pytest.warns(UserWarning, match="reads no data from elsewhere"):
        list(tab.compare(request(stranger()), KEY, [KEY], "", TOLD, USUAL_METRIC, "", "", "", *values))


def test_a_list_of_values_is_held_against_its_component(laid_out: Callable[..., Evaluate]) -> None:
    several = laid_out(build_evaluate).any.form.tuned
    for right in (None, [], ["a/b"], ["x"] * CHOSEN):
        _check_type(several, right, LOCAL)
    for wrong in ("a/b", {}, 3, [None], [["x"]], [3], ["\0"], ["x"] * (CHOSEN + 1), ["x" * 300_000]):
        with pytest.raises(RefusedError):
            _check_type(several, wrong, LOCAL)

from __future__ import annotations

import dataclasses
import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from datasets import Dataset

from data.sources import Opened, open_source
from data.tasks import DIALOGUE, SENTIMENT
from data.tasks.own import USUAL
from eval.report.folder import load
from finetuning.limits import Limits
from finetuning.recipe import load_recipe, recipe_names
from finetuning.runs.folder import create_run
from plumbing.errors import DataError, ModelError, RecipeError
from ui.page import build_page
from ui.server import choices
from ui.server.rows import RowsInUse
from ui.server.visitors import LOCAL, Visitor
from ui.tabs import data_form, train_form
from ui.tabs.data_form import GUESS, Chosen
from ui.tabs.evaluate import Evaluate, _show_columns, build_evaluate
from ui.tabs.examples import examples
from ui.tabs.train import build_train
from ui.tabs.train_steps import Train

REVIEWS = Chosen("corpus:reviews", None, None)
SENTIMENTS = train_form.recipes_of("sentiment")


def test_the_data_form_reads_every_kind_of_source() -> None:
    assert data_form.read(SENTIMENT, "corpus:reviews", None, "", GUESS, GUESS, "") == REVIEWS
    chosen = data_form.read(SENTIMENT, "file", "/tmp/a.csv", "", "Comment", GUESS, "1=negative, 5=positive, 3=skip")
    assert chosen == Chosen("file:/tmp/a.csv", {"text": "Comment"}, {"1": "negative", "5": "positive", "3": None})
    assert data_form.read(DIALOGUE, "hub", None, " a/b ", GUESS, GUESS, "") == Chosen("hub:a/b", None, None)
    assert data_form.read(SENTIMENT, "file", None, "", GUESS, GUESS, "") is None
    assert data_form.read(SENTIMENT, "corpus:/etc/passwd", None, "", GUESS, GUESS, "") is None


def test_nothing_that_was_said_of_a_file_counts_for_another_kind_of_source(
    laid_out: Callable[..., Evaluate], tmp_path: Path
) -> None:
    form = laid_out(build_evaluate).forms["sentiment"]
    values = dict(
        zip(form.inputs, ["file", "/tmp/a.csv", "", "body", "stars", "1=negative, 5=positive", True], strict=True)
    )
    for kind, is_mapped in (("hub", True), ("file", False), ("corpus:reviews", False)):
        updates = dict(zip(form.parts, data_form.visible_parts(kind), strict=True))
        assert updates[form.mapping].visible is is_mapped, "a hint that names a field is of use where it is seen"
        now = values | {form.kind: kind}
        now |= {each: getattr(value, "value", value) for each, value in updates.items() if each in values}
        now[form.hub] = "a/b"
        chosen = data_form.read(SENTIMENT, *(now[each] for each in form.inputs))
        assert chosen == {"hub": Chosen("hub:a/b", None, None), "corpus:reviews": REVIEWS}.get(kind)
    unreadable = tmp_path / "a.csv"
    unreadable.write_bytes(b"\0")
    shown = dict(zip(form.reading, _show_columns(str(unreadable)), strict=True))
    assert shown[form.mapping].visible and shown[form.target_column].value == GUESS


def test_a_label_map_without_an_equals_sign_is_refused() -> None:
    with pytest.raises(DataError, match="value=label"):
        data_form.read_labels("positive")


def test_a_label_may_hold_commas_and_signs_of_equality() -> None:
    assert data_form.read_labels("1,5=negative, 4,5=positive") == {"1,5": "negative", "4,5": "positive"}
    assert data_form.read_labels("so, so=skip,a=b=positive") == {"so, so": None, "a=b": "positive"}
    for broken in ("1=negative, positive", "=negative", "1,2"):
        with pytest.raises(DataError, match="value=label"):
            data_form.read_labels(broken)


@pytest.mark.parametrize(
    "name",
    [
        "sentiment-smollm2-lora",
        "dialogue-smollm2-qlora",
        "sentiment-minilm-lora",
        "dialogue-smollm2-dpo",
        "dialogue-smollm2-kto",
    ],
)
def test_an_untouched_form_gives_the_recipe_back(name: str) -> None:
    recipe = load_recipe(name)
    chosen = Chosen(recipe.data.source, None, None)
    fields = [float(value) if isinstance(value, int) else value for value in train_form.values_of(recipe)]
    assert train_form.read(train_form.recipes_of(str(recipe.task)), chosen, name, *fields) == recipe


def test_a_recipe_of_pairs_has_the_pairs_that_it_ships_with() -> None:
    pairs, plain = load_recipe("dialogue-smollm2-dpo"), load_recipe("dialogue-smollm2-qlora")
    bundled, own = Chosen("corpus:dialogues", None, None), Chosen("file:/tmp/a.jsonl", {"summary": "a"}, None)
    assert train_form.with_own_corpus(bundled, pairs).source == "corpus:preferences"
    assert train_form.with_own_corpus(bundled, plain) == bundled and train_form.with_own_corpus(own, pairs) == own
    values = dict(zip(train_form.FIELDS, train_form.values_of(pairs), strict=True)) | {"way.beta": 0.3}
    known = train_form.recipes_of("dialogue")
    assert train_form.read(known, own, pairs.name, *values.values()).way.beta == 0.3
    assert train_form.read(known, own, plain.name, *values.values()).way == plain.way  # which has no beta


def test_pairs_and_thumbs_are_seen_before_they_are_trained_on(tmp_path: Path) -> None:
    rows = [{"prompt": f"Is {n} open?", "chosen": f"Shop {n} is.", "rejected": "<b>No.</b>"} for n in range(20)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task, source = USUAL["generation"], f"file:{tmp_path}/a.jsonl"
    known = RowsInUse()
    pairs, thumbs, plain = (known.open(source, task, besides=each) for each in (("rejected",), ("liked",), ()))
    drawn = data_form.preview(pairs)
    assert "rejected</th>" in drawn and "&lt;b&gt;No.&lt;/b&gt;" in drawn and "<b>No" not in drawn
    assert "liked</th>" in data_form.preview(thumbs) and ">up</div>" in data_form.preview(thumbs)
    assert "rejected" not in data_form.preview(plain)
    assert "fewer words" in data_form.summary(pairs) or "more words" in data_form.summary(pairs)


def test_a_form_with_wrong_values_names_them() -> None:
    name = "sentiment-smollm2-lora"
    values = dict(zip(train_form.FIELDS, train_form.values_of(load_recipe(name)), strict=True))
    with pytest.raises(RecipeError, match=r"“Rank”: .*valid integer"):
        train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"strategy.rank": 8.5}).values())
    with pytest.raises(RecipeError, match="“Epochs” is empty"):
        train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"training.epochs": None}).values())
    with pytest.raises(RecipeError, match="no such recipe"):
        train_form.read(SENTIMENTS, REVIEWS, "dialogue-smollm2-qlora", *values.values())
    four_bit = train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"strategy.kind": "qlora"}).values())
    assert four_bit.strategy_title == "QLoRA" and four_bit.title == "Sentiment · QLoRA"
    with pytest.raises(RecipeError, match="no such strategy"):
        train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"strategy.kind": "prefix"}).values())


def test_a_setting_that_the_strategy_has_not_is_never_sent() -> None:
    name = "dialogue-smollm2-qlora"
    recipe = load_recipe(name)
    values = dict(zip(train_form.FIELDS, train_form.values_of(recipe), strict=True))
    known, chosen = train_form.recipes_of("dialogue"), Chosen(recipe.data.source, None, None)
    for kind, precision, also in (
        ("full", "auto", {"strategy.rank": -3}),
        ("last", "auto", {"strategy.blocks": "3"}),
        ("lora", "auto", {"strategy.blocks": "none", "strategy.rank": 4}),
        ("qlora", "nf4", {"strategy.new": True}),
    ):
        made = train_form.read(known, chosen, name, *(values | {"strategy.kind": kind} | also).values())
        assert (made.strategy.kind, made.model.precision) == (kind.removeprefix("q"), precision)
        assert made.title == f"Dialogue summary · {made.strategy_title}"
        for setting, value in also.items():
            if (setting := setting.partition(".")[2]) in type(made.strategy).model_fields:
                assert getattr(made.strategy, setting) == int(value)


def test_a_form_shows_the_settings_of_its_strategy_alone(laid_out: Callable[..., Train]) -> None:
    tab = laid_out(build_train)
    for chosen, seen, rate in (
        ("lora", {"rank", "alpha", "dropout", "rslora", "dora"}, 5e-4),
        ("full", {"new"}, 5e-5),
    ):
        shown = tab.form.of_strategy(chosen, load_recipe("sentiment-smollm2-lora"))
        fields = {name: tab.form.field(name) for name in train_form.FIELDS if name.startswith("strategy.")}
        visible = {name for name, each in fields.items() if each in shown and shown[each]["visible"]}
        assert visible == {f"strategy.{name}" for name in seen}
        assert shown[tab.form.field("training.learning_rate")] == pytest.approx(rate)
        assert shown[tab.form.field("model.precision")]["visible"] == (chosen == "lora")


def test_where_it_runs_is_asked_where_there_is_a_choice_and_never_of_strangers(
    laid_out: Callable[..., Train], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(limits: Limits | None = None) -> bool:
        return bool(laid_out(functools.partial(build_train, limits=limits)).form.field("where").visible)

    monkeypatch.setattr(train_form, "places", lambda: [("This machine", "here")])
    assert not shown()
    monkeypatch.setattr(train_form, "places", lambda: [("This machine", "here"), ("2 GPUs", "here:2")])
    assert shown() and not shown(Limits())
    name = "sentiment-smollm2-lora"
    values = dict(zip(train_form.FIELDS, train_form.values_of(load_recipe(name)), strict=True))
    assert values["where"] == "here"
    asked = train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"where": "here:2"}).values())
    assert asked.where == "here:2"
    with pytest.raises(RecipeError, match="“Where it runs”: there is no such place"):
        train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"where": "nowhere"}).values())


def test_an_empty_field_of_rows_means_all_of_them() -> None:
    name = "sentiment-smollm2-lora"
    values = dict(zip(train_form.FIELDS, train_form.values_of(load_recipe(name)), strict=True))
    assert values["data.train_rows"] == ""
    for written, rows in (("", None), (None, None), (" all ", None), ("40", 40), ("1,000", 1000)):
        recipe = train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"data.train_rows": written}).values())
        assert recipe.data.train_rows == rows
    for wrong in ("0", "-1", "1.5", "many", "4" * 400, "٣"):
        with pytest.raises(RecipeError, match=r"“Training rows” is a whole number from 1 .* Leave it empty"):
            train_form.read(SENTIMENTS, REVIEWS, name, *(values | {"data.train_rows": wrong}).values())


def test_no_number_field_of_the_page_may_be_empty(laid_out: Callable[..., gr.Blocks]) -> None:
    """Gradio writes 0 into an empty one as soon as it is drawn."""
    for limits in (None, Limits()):
        page = laid_out(functools.partial(build_page, limits), whole=True)
        numbers = [block for block in page.blocks.values() if isinstance(block, gr.Number)]
        assert len(numbers) >= 10 and all(number.value is not None for number in numbers)
    for name in recipe_names():
        values = dict(zip(train_form.FIELDS, train_form.values_of(load_recipe(name)), strict=True))
        assert None not in values.values()


def opened(tmp_path: Path, test_labels: list[str]) -> Opened:
    """A file of which these are the test rows."""
    words = {"positive": "warm", "negative": "cold"}
    rows = [
        {"row": number, "text": f"number {number} was {words[label]}", "label": label}
        for number, label in enumerate(test_labels, start=1)
    ]
    table = tmp_path / "rows.csv"
    lines = "".join(f"thing {number} was fine,{label}\n" for number, label in enumerate(SENTIMENT.labels * 30))
    table.write_text(f"text,label\n{lines}", encoding="utf-8")
    found = open_source(f"file:{table}", SENTIMENT)
    return dataclasses.replace(found, splits=found.splits | {"test": Dataset.from_list(rows)})


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["positive", "negative"] * 2, "4 test rows: no verdict will be possible.* that takes 6 at least"),
        (["positive"], "1 test row: no verdict"),
        (["positive"] * 12, "Every test row is positive"),
        (["positive", "negative"] * 10, r"20 test rows can show only a difference of 0\.\d\d or more"),
        (["positive", "negative"] * 60, None),
    ],
)
def test_data_too_small_to_show_anything_is_told_with_the_data(
    tmp_path: Path, labels: list[str], says: str | None
) -> None:
    drawn = data_form.summary(opened(tmp_path, labels))
    warned = re.search("no verdict|Every test row|can show only", drawn) is not None
    assert re.search(says, drawn) if says else not warned


def test_evaluate_opens_with_the_report_that_a_model_came_with(laid_out: Callable[..., Evaluate]) -> None:
    tab = laid_out(build_evaluate)
    behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}})
    request = gr.Request(request=behind, session_hash="page1")  # type: ignore[arg-type]
    key = "bundled:sentiment-smollm2-lora"
    drawn = dict(zip(tab.drawn, tab.show_own(key, None, "", request), strict=True))
    assert "400 test rows when this model was tuned" in drawn[tab.judged.state]
    assert "Better" in drawn[tab.view.verdict] and drawn[tab.view.box].visible
    shown = drawn[tab.view.shown]
    assert tab.show_own(key, shown, "", request) == gr.skip(), "what was evaluated here stays"
    assert tab.rows.value == "" and tab.rows.placeholder == "all"


def test_a_model_that_is_gone_is_said_where_its_report_would_be(
    laid_out: Callable[..., Evaluate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    tab = laid_out(build_evaluate)
    behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}})
    request = gr.Request(request=behind, session_hash="page1")  # type: ignore[arg-type]
    drawn = dict(zip(tab.drawn, tab.show_own("run:gone", None, "", request), strict=True))
    assert "There is no such tuned model" in drawn[tab.judged.state] and drawn[tab.view.shown] is None


def test_a_run_is_evaluated_on_its_own_test_rows_unless_others_are_chosen(
    tmp_path: Path,
    tiny_adapter: Path,
    laid_out: Callable[..., Evaluate],
    monkeypatch: pytest.MonkeyPatch,
    jobs_here: list[object],
) -> None:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    opened(tmp_path, ["positive"])
    run = create_run(load_recipe("sentiment-smollm2-lora", [f"data.source=file:{tmp_path / 'rows.csv'}"]))
    shutil.copytree(tiny_adapter, run.tuned)
    tab = laid_out(build_evaluate)
    assert tab.forms["sentiment"].kind.value == data_form.OWN
    behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}})
    request = gr.Request(request=behind, session_hash="page1")  # type: ignore[arg-type]
    for chosen, spec in ((data_form.OWN, "rows.csv"), ("corpus:reviews", "corpus:reviews")):
        forms = [each.value for form in tab.forms.values() for each in form.inputs]
        forms[0] = chosen
        *_, last = tab.evaluate("sentiment", f"run:{run.id}", "4", False, False, request, *forms)
        report, _ = load(dict(zip(tab.drawn, last, strict=True))[tab.view.shown].folder)
        assert report.data.spec.endswith(spec) and report.n == 4


@pytest.fixture
def asking(laid_out: Callable[..., Evaluate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The tab, and what asks for an evaluation of what ships on four rows, or on other settings."""
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    tab = laid_out(build_evaluate)
    behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}})
    request = gr.Request(request=behind, session_hash="page1")  # type: ignore[arg-type]
    key = "bundled:sentiment-smollm2-lora"

    def ask(*changes: str) -> list[dict[Any, Any]]:
        forms = [each.value for form in tab.forms.values() for each in form.inputs]
        forms[: len(changes)] = changes
        steps = tab.evaluate("sentiment", key, "4", False, False, request, *forms)
        return [dict(zip(tab.drawn, step, strict=True)) for step in steps]

    return SimpleNamespace(tab=tab, request=request, key=key, ask=ask)


def test_an_evaluation_that_cannot_be_asked_for_leaves_no_bar_behind(
    asking: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Visitor, "submit_job", broken)
    forms = [each.value for form in asking.tab.forms.values() for each in form.inputs]
    steps = asking.tab.evaluate("sentiment", asking.key, "", False, False, asking.request, *forms)
    state = asking.tab.drawn.index(asking.tab.judged.state)
    bars = []
    with pytest.raises(OSError, match="No space"):
        for step in steps:
            bars.append(step[state])
    assert any("ba-progress" in bar for bar in bars) and bars[-1] == ""


def test_what_is_wrong_with_a_file_is_said_at_once_and_nothing_waits(
    asking: SimpleNamespace, tmp_path: Path
) -> None:
    file = tmp_path / "broken.csv"
    file.write_text("text,label\nfine,positive\n,negative\n", encoding="utf-8")
    shown = asking.ask("file", str(file), "")
    state = asking.tab.judged.state
    assert "Reading the rows" in shown[0][state] and "row 2" in shown[-1][state]
    assert not LOCAL.jobs({"evaluation"})


def test_an_evaluation_is_followed_wherever_the_page_is_opened_until_it_is_stopped(
    asking: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab, key, request = asking.tab, asking.key, asking.request
    monkeypatch.setattr("finetuning.runs.launch._start", lambda job: True)  # its worker is slow to come
    begun = asking.ask()[-1]
    job_id = begun[tab.judged.job_id]
    assert begun[tab.judged.clock] and begun[tab.judged.stop].visible
    assert "4 of its own test rows" in begun[tab.judged.state] and "Queued" in begun[tab.judged.state]
    assert tab.show_own(key, None, job_id, request) == gr.skip(), "it is being followed"
    reloaded = dict(zip(tab.drawn, tab.show_own(key, None, "", request), strict=True))
    assert reloaded[tab.judged.job_id] == job_id and reloaded[tab.judged.clock]
    assert asking.ask()[-1][tab.judged.job_id] == job_id, "the same is not asked for twice"
    assert tab.judged.look(job_id, begun[tab.judged.drawn], request) == gr.skip(), "nothing new"
    ended = dict(zip(tab.drawn, tab.judged.end(job_id, begun[tab.judged.drawn], request), strict=True))
    assert "Nothing was measured" in ended[tab.judged.state]
    assert not ended[tab.judged.clock] and not ended[tab.judged.stop].visible
    own = dict(zip(tab.drawn, tab.show_own(key, None, job_id, request), strict=True))
    assert own[tab.judged.job_id] == "" and "Better" in own[tab.view.verdict]


def test_what_was_judged_is_opened_again_deleted_and_taken_back(
    asking: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tiny_adapter: Path, jobs_here: list[object]
) -> None:
    tab, request = asking.tab, asking.request
    choice = dataclasses.replace(choices.find(asking.key, LOCAL), folder=tiny_adapter)
    monkeypatch.setattr("ui.tabs.evaluate.find", lambda *_: choice)
    done = asking.ask("corpus:reviews")[-1]
    job_id = done[tab.judged.job_id]
    assert "on 4 reviews" in done[tab.view.verdict] and "Measured" in done[tab.judged.state]
    assert "4 of reviews" in done[tab.judged.listing] and not done[tab.judged.clock]
    event = SimpleNamespace(_data={"job": job_id})
    again = dict(zip(tab.drawn, tab.judged.open(event, request), strict=True))
    assert again[tab.view.verdict] == done[tab.view.verdict]
    both = [*tab.judged.deleted.outputs, *tab.drawn]
    gone = dict(zip(both, tab.judged.throw_away(job_id, request), strict=True))
    assert gone[tab.judged.listing] == "" and "is in the trash" in gone[tab.judged.deleted.said]
    back = dict(zip(both, tab.judged.take_back(gone[tab.judged.deleted.run_id], request), strict=True))
    assert back[tab.view.verdict] == done[tab.view.verdict] and not back[tab.judged.deleted.row].visible
    with pytest.warns(UserWarning, match="no such job"):
        tab.judged.open(SimpleNamespace(_data={"job": "../x"}), request)


def test_an_upload_is_kept_beside_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    upload = tmp_path / "my reviews.csv"
    upload.write_text("text,label\n", encoding="utf-8")
    for visitor in (LOCAL, Visitor("browser-1", Limits())):
        kept = train_form.kept(Chosen(f"file:{upload}", None, None), visitor)
        copy = Path(kept.source.removeprefix("file:"))
        assert copy.parent == tmp_path / "runs" / "uploads" / visitor.owner
        assert copy.name.endswith("-my_reviews.csv") and copy.read_bytes() == upload.read_bytes()
    assert train_form.kept(REVIEWS, LOCAL) is REVIEWS


def test_only_listed_adapters_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    good, damaged = (tmp_path / "bundled" / name for name in ("sentiment-smollm2-lora", "dialogue-smollm2-qlora"))
    for folder in (good, damaged):
        folder.mkdir(parents=True)
        (folder / "base_model.json").write_text(json.dumps({"name": "a/b", "kind": "causal"}), encoding="utf-8")
    shipped = Path(choices.__file__).parents[2] / "models" / "bundled" / "sentiment-smollm2-lora"
    shutil.copy(shipped / "prompt.json", good)
    assert choices.options(LOCAL, "sentiment") == [("Sentiment · LoRA · shipped", "bundled:sentiment-smollm2-lora")]
    assert choices.options(LOCAL, "dialogue") == []
    assert choices.find("bundled:sentiment-smollm2-lora", LOCAL).folder == good
    for key in (None, "bundled:../../etc", str(good), "run:none"):
        with pytest.raises(ModelError, match="no such tuned model"):
            choices.find(key, LOCAL)


def test_examples_are_short_test_rows_with_a_reference() -> None:
    for task in (SENTIMENT, DIALOGUE):
        found = examples(task)
        assert len(found) >= 4
        assert all(example.references and len(example.text) <= 700 for example in found)
        assert len({example.name for example in found}) == len(found)

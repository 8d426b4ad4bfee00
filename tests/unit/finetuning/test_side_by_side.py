"""Runs side by side: only what differs, and a paired test between those that were judged on the same rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from eval.lab.judging import holm
from eval.metrics import metric_named
from eval.report.folder import save
from eval.report.schema import RowResult, SideResult
from eval.statistics import judge_labels
from finetuning.commands.rename import rename
from finetuning.commands.runs import runs as listed_or_compared
from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run, create_run
from finetuning.side_by_side import (
    VERDICT_HEAD,
    compare_runs,
    headline,
    pair_head,
    pair_rows,
    rests_on,
    verdict_cells,
)
from plumbing.errors import RunError
from tests.unit.ui.report_samples import bare

ROWS = 60


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    return tmp_path


def made(*settings: str) -> Run:
    return create_run(load_recipe("sentiment-smollm2-lora", settings))


def judge(run: Run, right: Sequence[float], *, rows: str = "these") -> Run:
    """A report in which the tuned model has these rows right, and the base half of them."""

    def side(score: float) -> SideResult:
        return SideResult(answer="positive", scores={"accuracy": score}, probabilities={"positive": 1.0})

    found = [
        RowResult(input=f"row {number}", references=["positive"], base=side(float(number % 2)), tuned=side(score))
        for number, score in enumerate(right)
    ]
    report = bare()
    primary = report.metrics[0].model_copy(update={"tuned": sum(right) / len(right)})
    data = report.data.model_copy(update={"test_sha256": rows})
    changes = {"n": len(right), "metrics": [primary, report.metrics[1]], "data": data}
    save(report.model_copy(update=changes), found, run.evaluation)
    return run


def answers(share: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [float(chance.random() < share) for _ in range(ROWS)]


def test_settings_that_differ_and_no_others() -> None:
    one = made("training.epochs=3", "strategy.rank=4")
    other = made("training.epochs=6", "strategy.rank=4", "data.source=file:/srv/0123456789ab-my rows.csv")
    settings = dict(compare_runs([one, other]).settings)
    assert settings == {"training.epochs": ["3", "6"], "data.source": ["reviews", "my rows.csv"]}
    assert compare_runs([one, made("training.epochs=3", "strategy.rank=4")]).settings == []
    minilm = create_run(load_recipe("sentiment-minilm-lora"))
    ways = dict(compare_runs([one, minilm]).settings)
    assert ways["way.kind"] == ["sft", "classify"] and "name" not in ways and "title" not in ways


def test_two_runs_on_the_same_rows_are_told_apart_by_the_paired_test() -> None:
    weak, strong = answers(0.4, 1), [1.0] * ROWS
    found = compare_runs([judge(made(), weak), judge(made(), strong)])
    [group] = found.alike
    expected = judge_labels(weak, strong)
    [pair] = group.pairs
    assert (pair.p_value, pair.corrected, pair.interval) == (expected.p_value, expected.p_value, expected.interval)
    assert group.test == "exact McNemar test" and "Holm" not in rests_on(group)
    said = headline(group)
    assert said.startswith("B is better than A: on the same 60 reviews accuracy is A 0.") and "B 1.00" in said
    [row] = pair_rows(group)
    assert row[0] == "A → B" and row[-1] == "B is better" and "corrected" not in " ".join(pair_head(group))
    alike = compare_runs([judge(made(), weak), judge(made(), weak)]).alike[0]
    assert headline(alike).startswith("No evidence that A and B differ: on the same 60 reviews")


def test_of_more_than_two_all_pairs_are_corrected_by_holm() -> None:
    scores = [answers(0.5, 2), answers(0.7, 3), [1.0] * ROWS]
    found = compare_runs([judge(made(), each) for each in scores])
    [group] = found.alike
    p_values = [pair.p_value for pair in group.pairs]
    assert [(pair.one, pair.other) for pair in group.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [pair.corrected for pair in group.pairs] == pytest.approx(holm(p_values))
    assert "corrected by Holm's method" in rests_on(group)
    assert headline(group).startswith("B and C are better than A; C is better than B: ")
    back = compare_runs([each.run for each in reversed(found.runs)]).alike[0]
    assert headline(back).startswith("A is better than B; A and B are better than C: "), "whatever the order"
    assert metric_named("accuracy") == group.metric


def test_runs_on_other_rows_are_only_compared_with_their_base_and_that_is_said() -> None:
    one, other = judge(made(), answers(0.5, 4)), judge(made(), answers(0.5, 4), rows="others")
    found = compare_runs([one, other, made()])
    assert found.alike == [] and "None of these runs was judged on the same test rows" in found.notes[0]
    cells = [dict(zip(VERDICT_HEAD, verdict_cells(each), strict=True)) for each in found.runs]
    assert cells[0]["difference"] == "+0.250 (+0.150 to +0.350)" and cells[0]["verdict"] == "better"
    assert cells[2]["judged by"] == "not judged: queued" and cells[2]["verdict"] == "–"
    third = compare_runs([one, judge(made(), answers(0.9, 5)), other])
    assert [each.letter for each in third.alike[0].runs] == ["A", "B"] and "C was not judged" in third.notes[0]


def test_losses_that_measure_different_things_are_said_to() -> None:
    same = compare_runs([made("training.epochs=1"), made("training.epochs=2")])
    assert not same.notes
    other = compare_runs([made(), create_run(load_recipe("sentiment-minilm-lora"))])
    assert any("losses measure different things" in note for note in other.notes)


def test_damage_is_no_comparison_and_no_end_of_it() -> None:
    whole, torn = judge(made(), answers(0.5, 6)), judge(made(), answers(0.5, 7))
    (torn.evaluation / "rows.jsonl").write_text('{"input": 1}\n')
    broken = made()
    (broken.folder / "recipe.yaml").write_text("{")
    (broken.folder / "status.json").write_text("{")
    found = compare_runs([whole, torn, broken])
    assert found.alike == [] and verdict_cells(found.runs[2])[1] == "not judged: damaged"


def test_a_name_that_a_person_gave_is_shown_and_taken_back() -> None:
    run = made()
    run.rename("  the long\none ")
    found = compare_runs([run, made()])
    assert run.called == "the long\\none" and found.runs[0].title == "A: the long\\none"
    run.rename("x" * 500)
    assert len(Run(run.folder).called) == 80
    run.rename(" ")
    assert Run(run.folder).called == "" and not (run.folder / "called").exists()


def test_one_run_or_seven_are_not_compared() -> None:
    run = made()
    for several, says in (
        ([run], "It takes two"),
        ([run, run], "It takes two"),
        ([made() for _ in range(7)], "Up to 6"),
    ):
        with pytest.raises(RunError, match=says):
            compare_runs(several)


def test_the_command_line_says_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetuning.runs.launch.reconcile", lambda folder=None: None)  # nothing is started here
    one, other = judge(made(), answers(0.4, 8)), judge(made("training.epochs=9"), [1.0] * ROWS)
    rename(other.id, "nine [times]")
    listed_or_compared(None)
    assert "nine [times]" in capsys.readouterr().out.replace("\n", " ")
    listed_or_compared([one.id, "last"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"B: nine [times] {other.id}" in said
    assert "B is better than A: on the same 60 reviews" in said and "training.epochs" in said
    with pytest.raises(RunError, match="It takes two runs"):
        listed_or_compared(["last"])

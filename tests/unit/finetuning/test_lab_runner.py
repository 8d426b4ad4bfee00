"""A lab carried out on tiny models, its runs in this process: what is chosen, judged, kept, and gone on with."""

import pytest

from eval.lab.schema import LabResult
from eval.report.folder import load as load_report
from finetuning.lab import launch as labs
from finetuning.lab.folder import LabFolder, create_lab, list_labs, newest_of, open_lab
from finetuning.lab.lab import parse_lab
from finetuning.lab.plan import make_plan, run_name, run_recipe, trial_place
from finetuning.lab.runner import Runner, Stopped, best_of, steps_in
from finetuning.lab.worker import carry_out
from finetuning.runs import launch
from finetuning.runs.folder import create_run, list_runs, open_run
from finetuning.training import run_training
from finetuning.worker import _record
from plumbing.errors import RunError

RATE = "training.learning_rate"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The runs folder, whose runs are carried out in this process as soon as their turn comes."""
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))

    def start(run):
        try:
            run_training(run, run.cancel_requested)
        except Exception as error:
            _record(run, error)
        return False

    monkeypatch.setattr(launch, "_start", start)
    return tmp_path / "runs"


@pytest.fixture
def make_lab(runs, tmp_path, recipe_on, tiny_llama):
    """`make_lab(options, **more)` → the folder of a lab of two steps a run on a tiny language model."""
    recipe = recipe_on(
        "sentiment-smollm2-lora", tiny_llama, "model.precision=float32", "evaluation.forgetting=false"
    )
    path = tmp_path / "tiny.yaml"
    path.write_text(recipe.to_yaml())

    def make(*options, **more):
        lab = parse_lab(
            {
                "name": "tiny",
                "title": "Tiny",
                "question": "Which?",
                "recipe": str(path),
                "seeds": [0, 1],
                "budget": {"steps": 2},
                "options": list(options),
                **more,
            }
        )
        return create_lab(lab, make_plan(lab), door="command")

    return make


def carried_out(lab):
    lab.update(state="waiting")
    lab.claim()
    carry_out(lab)
    return lab.status().state


LORA = {"name": "LoRA", "tune": {RATE: [1e-3, 1e-2]}}
WORDS = {"kind": "floor", "name": "TF-IDF + logistic regression"}


def judged(run):
    return (run.evaluation / "report.json").is_file()


def test_trials_are_chosen_from_without_the_test_rows_and_what_is_chosen_is_judged_with_every_seed(make_lab):
    lab = make_lab(LORA, {"name": "base", "untrained": "base"})
    assert carried_out(lab) == "finished"
    record = lab.record()
    tried = [open_run(record.runs[trial_place(lab.plan().cells[0], number)]) for number in (0, 1)]
    losses = [min(line["eval_loss"] for line in run.evaluations()) for run in tried]
    best = losses.index(min(losses))
    assert record.chosen == {"lora": best} and [one.value for one in record.tried["lora"]] == losses
    # Three trainings in all: the trial that was chosen is the first seed's run.
    assert len(list_runs()) == 3 and record.runs["lora/seed-0"] == tried[best].id
    assert judged(tried[best]) and not judged(tried[1 - best])
    assert tried[1 - best].status().state == "finished"

    result = lab.results()
    lora, base = result.options
    assert [seed.run for seed in lora.seeds] == [record.runs["lora/seed-0"], record.runs["lora/seed-1"]]
    assert [trial.chosen for trial in lora.trials] == [number == best for number in (0, 1)]
    for seed in lora.seeds:
        report, rows = load_report(open_run(seed.run).evaluation)
        assert seed.score == pytest.approx(report.primary.tuned)
        assert base.scores == [row.base.scores["accuracy"] for row in rows]
    assert lora.mean == pytest.approx(sum(seed.score for seed in lora.seeds) / 2)
    assert lora.gain == pytest.approx(lora.mean - base.mean) and base.gain is None
    assert lora.cost.trainable > 0 == base.cost.trainable and lora.cost.parameters > base.cost.parameters
    (pair,) = result.pairs
    assert (pair.one, pair.other) == ("lora", "base") and pair.corrected == pair.p_value
    for name in ("results.json", "report.html", "report.md"):
        assert (lab.folder / name).stat().st_size > 500
    assert LabResult.model_validate_json((lab.folder / "results.json").read_text()) == result


class KilledError(BaseException):
    """The process of a lab is gone: nothing of it is written down any more."""


def once(monkeypatch, owner, name, *, before=None, after=None):
    """Let `owner.name` be cut off, once, where `before` or `after` says so of what it is given."""
    real, cut = getattr(owner, name), []

    def cutting(*given, **more):
        if not cut and before is not None and before(*given):
            cut.append(1)
            raise KilledError
        found = real(*given, **more)
        if not cut and after is not None and after(*given):
            cut.append(1)
            raise KilledError
        return found

    monkeypatch.setattr(owner, name, cutting)


def test_a_lab_that_was_killed_anywhere_goes_on_and_trains_nothing_twice(make_lab, monkeypatch):
    import finetuning.lab.runner as module

    lab = make_lab(LORA, seeds=[0])
    with monkeypatch.context() as cutting:
        once(cutting, module, "submit", after=lambda *_: True)  # a run is submitted and not noted
        once(cutting, LabFolder, "keep", after=lambda _, record: bool(record.chosen))  # chosen and not judged
        once(cutting, LabFolder, "keep_measured", before=lambda *_: True)  # judged and not written down
        for _ in range(3):
            with pytest.raises(KilledError):
                Runner(lab).carry_out()
        assert carried_out(lab) == "finished"
    assert len(list_runs()) == 2 and lab.results().options[0].mean is not None


def test_it_is_known_how_long_a_lab_was_worked_on_that_is_killed(make_lab):
    lab = make_lab(LORA)
    for attempt in (1, 2):
        runner = Runner(lab)
        runner._began -= 100  # so long it has waited for its first run
        runner._check()
        assert 100 * attempt <= lab.status().seconds < 100 * attempt + 60


def test_a_run_of_another_lab_is_not_taken_for_ones_own(make_lab, monkeypatch):
    lab, other = make_lab({"name": "LoRA"}, seeds=[0]), make_lab({"name": "LoRA"}, seeds=[0], title="Other")
    recipe = run_recipe(other.plan().cells[0], 0, 0, place="lora/seed-0", lab=lab.id, title="Other", steps=None,
                        judged=True)  # fmt: skip
    launch.cancel(create_run(recipe))  # their ids end alike, so that their runs have one name
    assert carried_out(lab) == "finished" and len(list_runs()) == 2
    assert open_run(lab.record().runs["lora/seed-0"]).recipe().title.startswith("Tiny")


def test_a_file_that_changes_stops_the_lab_before_it_compares_what_learned_from_other_rows(
    make_lab, reviews_file, tmp_path, monkeypatch
):
    import finetuning.lab.runner as module

    mine = tmp_path / "mine.jsonl"
    mine.write_text(reviews_file.read_text())
    lab = make_lab({"name": "base", "untrained": "base"}, {"name": "words", "untrained": WORDS},
                   set=[f"data.source=file:{mine}"])  # fmt: skip
    real, given = module.of_untrained, reviews_file.read_text()

    def measuring(cell, *rest):
        if cell.key == "words":
            mine.write_text(given.replace("warm", "mild"))
        return real(cell, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(module, "of_untrained", measuring)
        assert carried_out(lab) == "finished"
    base, words = lab.results().options
    assert base.mean is not None and "file has changed since the lab began" in words.failed
    assert carried_out(lab) == "failed" and "Put it back as it was" in lab.status().error
    mine.write_text(given)
    assert carried_out(lab) == "finished" and lab.results().options[1].mean is not None


def test_what_is_cancelled_stops_its_run_starts_no_other_and_goes_on_when_it_is_called_again(make_lab, monkeypatch):
    lab = make_lab({"name": "LoRA"})
    real = launch._start

    def start(run):
        if len(list_runs()) == 2:
            lab.request_cancel()
            return False  # it waits, and whoever waits for it finds the request
        return real(run)

    with monkeypatch.context() as patched:
        patched.setattr(launch, "_start", start)
        assert carried_out(lab) == "cancelled"
    assert [run.status().state for run in list_runs()] == ["cancelled", "finished"]
    assert lab.results() is None and "asked to stop" in lab.status().error
    with pytest.raises(Stopped):
        Runner(lab).carry_out()
    lab.withdraw_cancel()
    assert carried_out(lab) == "finished"
    assert len(list_runs()) == 2


def test_an_option_that_fails_is_said_and_does_not_stop_the_others(make_lab):
    wrong = {"name": "too long", "set": ["training.max_tokens=16"]}
    lab = make_lab(wrong, {"name": "LoRA"}, seeds=[0])
    assert carried_out(lab) == "finished"
    bad, good = lab.results().options
    assert good.mean is not None and bad.mean is None and "cut off" in bad.failed
    assert "cut off" in (lab.folder / "report.md").read_text()
    assert lab.results().compared == [good]
    # Called again it tries what failed, and measures nothing twice.
    before = len(list_runs())
    assert carried_out(lab) == "finished" and len(list_runs()) == before


def test_a_lab_of_which_nothing_can_be_measured_has_failed_and_says_why(make_lab):
    lab = make_lab({"name": "too long", "set": ["training.max_tokens=16"]}, seeds=[0])
    assert carried_out(lab) == "failed"
    assert "No option of this lab could be measured" in lab.status().error and "cut off" in lab.status().error


def test_weights_of_whole_models_go_once_they_are_judged_and_may_be_kept(make_lab):
    full = {"name": "full", "set": ["strategy.kind=full"], "tune": {RATE: [1e-4, 1e-3]}}
    for keep, option, there in ((False, full, [False, False]), (True, full | {"tune": {}}, [True])):
        lab = make_lab(option, seeds=[0], keep_whole=keep)
        assert carried_out(lab) == "finished"
        made = {run: open_run(run).tuned.is_dir() for run in lab.record().runs.values()}
        assert list(made.values()) == there
        assert lab.results().options[0].cost.disk_mb > 0


def test_the_minutes_of_a_budget_become_steps_by_a_few_that_are_timed(make_lab, monkeypatch):
    monkeypatch.setattr("finetuning.lab.plan.PILOT_STEPS", 3)
    monkeypatch.setattr("finetuning.lab.runner.steps_in", lambda minutes, run: len(run.metrics()[0]) - 1)
    lab = make_lab({"name": "LoRA"}, budget={"minutes": 0.5}, seeds=[0])
    assert carried_out(lab) == "finished"
    pilot, final = (open_run(lab.record().runs[place]) for place in ("lora/pilot", "lora/seed-0"))
    steps = pilot.metrics()[0]
    assert len(steps) == 3 and not judged(pilot) and not pilot.tuned.is_dir() and not pilot.evaluations()
    assert len(final.metrics()[0]) == 2 and judged(final)
    assert "Steps that fitted into the budget: LoRA 2." in lab.results().notes
    assert all(line["step_seconds"] > 0 for line in steps)
    assert sum(line["step_seconds"] for line in steps) <= steps[-1]["seconds"] + 0.01


def test_neither_checkpoints_between_steps_nor_a_step_that_was_held_up_count(runs, recipe_on, tiny_llama):
    run = create_run(recipe_on("sentiment-smollm2-lora", tiny_llama), runs)
    for step, seconds in enumerate((9.0, 2.0, 7.0, 2.0), start=1):  # the first one warms up
        run.append_metrics({"step": step, "loss": 1.0, "seconds": 10.0 * step, "step_seconds": seconds})
    assert steps_in(1, run) == 30


def test_options_that_are_no_run_answer_the_same_rows(make_lab):
    options = [
        {"name": "TF-IDF", "untrained": WORDS},
        {"name": "two examples", "untrained": {"kind": "examples", "count": 2}},
        {"name": "all that fit", "untrained": {"kind": "examples", "count": "most"}},
        {"name": "a text", "untrained": {"kind": "context", "text": "corpus:handbook.md"}},
        {"name": "base", "untrained": "base"},
    ]
    lab = make_lab(*options, rows=[8, 16])
    assert carried_out(lab) == "finished"
    result = lab.results()
    by_name = {(option.name, option.rows): option for option in result.options}
    failed = {name for name, option in by_name.items() if option.failed}
    assert failed == {("a text", None)} and "handbook.md" in by_name["a text", None].failed  # longer than it reads
    assert result.is_curve and {option.rows for option in result.compared} == {16, None}
    assert len(result.pairs) == 6 and not list_runs()
    assert len(by_name["base", None].seeds) == 1 and len(by_name["two examples", 8].seeds) == 2
    few, many = (by_name["all that fit", rows].cost.prompt_tokens for rows in (8, 16))
    assert by_name["base", None].cost.prompt_tokens < by_name["two examples", 8].cost.prompt_tokens < few < many
    assert any("8 examples stood in the prompt" in note for note in result.notes)
    assert by_name["TF-IDF", 16].cost.parameters is None and by_name["base", None].cost.answer_s > 0
    assert "over the number of training rows" in (lab.folder / "report.html").read_text()


def test_a_run_of_the_queue_is_told_by_its_name_and_a_lab_by_its_settings(make_lab):
    lab, other = make_lab(LORA), make_lab(LORA, title="Another")
    assert lab.id != other.id and {one.id for one in list_labs()} == {lab.id, other.id}
    assert newest_of(lab.lab(), lab.plan()) == lab and open_lab(lab.id) == lab
    assert newest_of(parse_lab(lab.lab().model_dump() | {"seeds": [5]}), lab.plan()) is None
    for wrong in ("../runs", "tiny", f"{lab.id}x"):
        with pytest.raises(RunError, match="no such lab"):
            open_lab(wrong)
    assert run_name(lab.id, "a/try-1") != run_name(lab.id, "a/try-2")
    assert len(run_name(lab.id, "x" * 200)) <= 63


def test_a_lab_whose_process_is_gone_is_interrupted_and_only_what_ended_early_goes_on(make_lab, monkeypatch):
    lab = make_lab(LORA)
    lab.update(state="running", pid=2**22 - 1, pid_started=1.0)
    labs.settle(lab)
    assert lab.status().state == "interrupted"
    started = []
    monkeypatch.setattr(labs, "_start", started.append)
    lab.request_cancel()
    labs.go_on(lab)
    with pytest.raises(RunError, match="not over yet"):
        lab.put_back("page")  # another one, which saw it interrupted as well
    assert started == [lab] and lab.status().state == "waiting" and not lab.cancel_requested()
    with pytest.raises(RunError, match="not over yet"):
        labs.go_on(lab)
    lab.update(state="finished")
    with pytest.raises(RunError, match="has finished"):
        labs.go_on(lab)
    labs.cancel(lab)
    assert not lab.cancel_requested()  # it is over


def test_the_best_is_the_first_of_equals_and_nothing_where_there_is_no_value():
    assert best_of([0.3, 0.2, 0.2], higher=False) == 1
    assert best_of([0.3, 0.5, 0.5], higher=True) == 1
    assert best_of([None, 0.4], higher=True) == 1
    assert best_of([None, None], higher=False) is None


def test_a_run_that_was_not_evaluated_is_judged_later_and_learns_nothing_more(runs, recipe_on, tiny_llama):
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama, "evaluation.skip=true", "evaluation.forgetting=false")
    run = create_run(recipe, runs)
    launch.reconcile(runs)
    assert run.status().state == "finished" and run.tuned.is_dir() and not judged(run)
    learned = run.metrics()[0]
    launch.judge(run)
    assert run.status().state == "finished" and judged(run) and run.metrics()[0] == learned
    with pytest.raises(RunError, match="without an evaluation"):
        launch.judge(run)

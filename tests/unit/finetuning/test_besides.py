"""A text in the base's prompt, and metrics of `evaluate`'s: named by who trains, refused early, no stranger's."""

import json

import pytest
from rich.console import Console

from data.tasks import TASKS
from eval.metrics import METRICS
from eval.report.folder import load
from finetuning.besides import Besides, besides_of, open_besides
from finetuning.evaluation import evaluate_adapter
from finetuning.export.model_card import model_card
from finetuning.judged_rows import choose_rows
from finetuning.limits import Limits, check_recipe
from finetuning.printing import print_report
from finetuning.recipe import load_recipe
from finetuning.runs.beginning import with_whole_paths
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from plumbing.errors import DataError, RecipeError

METRIC = """
import datasets
import evaluate


class Begins(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        same = [one[:1].lower() == other[:1].lower() for one, other in zip(predictions, references)]
        return {"begins": sum(same) / len(same)}
"""
OWN = ["task.kind=generation", "task.inputs=[question]", "task.target=answer", "task.noun=questions"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with questions, a handbook and a metric."""
    folder = tmp_path_factory.mktemp("own")
    rows = [{"question": f"Who keeps box {n}?", "answer": "Leo" if n % 3 else f"Ana, box {n}"} for n in range(60)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "handbook.md").write_text("Leo keeps most boxes. Ana keeps every third one.")
    (folder / "begins").mkdir()
    (folder / "begins" / "begins.py").write_text(METRIC)
    return folder


def recipe_of(place, base, *more):
    return load_recipe(
        "dialogue-smollm2-qlora",
        [
            *OWN,
            f"model.base={base}",
            "model.precision=float32",
            f"data.source=file:{place / 'questions.jsonl'}",
            "training.max_steps=2",
            "training.batch_size=4",
            "evaluation.max_new_tokens=4",
            "evaluation.few_shot=1",
            "evaluation.few_shot_draws=1",
            "evaluation.forgetting=false",
            *more,
        ],
    )


@pytest.fixture(scope="module")
def trained(place, tiny_llama, tmp_path_factory):
    """A finished run whose recipe names all of it."""
    metric = f"evaluate:{place / 'begins'}"
    recipe = recipe_of(
        place,
        tiny_llama,
        f"task.metric={metric}",
        f"evaluation.metrics=['{metric}:whole', 'token_f1']",
        f"evaluation.context={place / 'handbook.md'}",
    )
    run = create_run(recipe, tmp_path_factory.mktemp("runs"))
    run_training(run, run.cancel_requested)
    yield run
    for name in [name for name in METRICS if name.startswith("evaluate:")]:
        del METRICS[name]


def test_a_run_is_judged_by_a_metric_of_evaluates_and_against_a_text_in_the_prompt(trained, place, tiny_llama):
    report, rows = load(trained.evaluation)
    rows, metric = list(rows), f"evaluate:{place / 'begins'}"
    assert (report.primary.name, report.primary.title) == (metric, "begins")
    names = [one.name for one in report.metrics]
    assert f"{metric}:whole" in names and "token_f1" in names and len(names) == len(set(names))
    each = [float(row.tuned.answer[:1].lower() == row.references[0][:1].lower()) for row in rows]
    assert [row.tuned.scores[metric] for row in rows] == each
    whole = next(one for one in report.metrics if one.name.endswith(":whole"))
    assert whole.tuned == pytest.approx(sum(each) / len(each)) and whole.judgement is None
    assert (
        report.context.name == "handbook.md" and report.context.prompt_tokens > report.context.prompt_tokens_without
    )
    assert report.few_shot.examples == 1 and report.strategy == "LoRA" and not report.whole
    assert {floor.name for floor in report.floors} == {"the input itself", "most frequent answer"}
    card = model_card(trained.recipe(), report, rows)
    assert str(place) not in card.partition("## The recipe")[2]  # what others read tells nothing of this machine
    console = Console(record=True, width=200)
    print_report(console, report)
    said = console.export_text()
    assert "base, handbook.md in the prompt" in said and "begins" in said and "The base with handbook.md" in said


def test_what_a_recipe_names_is_loaded_again_for_a_run_of_this_machine_only(trained, place, monkeypatch):
    for name in [name for name in METRICS if name.startswith("evaluate:")]:
        del METRICS[name]
    judged = choose_rows(trained.tuned, rows=4)
    assert not judged.made_here
    with pytest.raises(RecipeError, match="not among the metrics that are loaded here"):
        evaluate_adapter(trained.tuned, judged)
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(trained.folder.parent))
    judged = choose_rows(trained.tuned, rows=4)
    assert judged.made_here and judged.strategy == "LoRA"
    report = evaluate_adapter(trained.tuned, judged).report
    assert report.primary.name == f"evaluate:{place / 'begins'}" and report.context is None
    asked = besides_of(trained.tuned, judged, context=str(place / "handbook.md"))
    assert evaluate_adapter(trained.tuned, judged, besides=asked).report.context.name == "handbook.md"


def test_a_person_may_name_one_for_any_model(tiny_dialogue_adapter, dialogues_file, place):
    judged = choose_rows(tiny_dialogue_adapter, f"file:{dialogues_file}", rows=3)
    with pytest.raises(RecipeError, match="there is no metric loudness for a task of kind generation"):
        besides_of(tiny_dialogue_adapter, judged, metrics=["loudness"])
    name = f"evaluate:{place / 'begins'}"
    asked = besides_of(tiny_dialogue_adapter, judged, metrics=[name])
    report = evaluate_adapter(tiny_dialogue_adapter, judged, besides=asked).report
    assert name in {metric.name for metric in report.metrics} and report.primary.name == "rougeL"
    del METRICS[name]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["task.metric=acuracy"], "task.metric: there is no metric acuracy; there are rouge1, rouge2, rougeL"),
        (["task.metric=accuracy"], "task.metric: accuracy does not suit a task of kind generation"),
        (
            ["task.metric=bertscore"],
            "task.metric: a verdict cannot rest on BERTScore (MiniLM): it is only given besides",
        ),
        (
            ["task.metric=evaluate:bleu:whole"],
            "task.metric: a verdict cannot rest on evaluate:bleu:whole: it is of a whole",
        ),
        (["task.metric=number:x"], "task.metric: number:x gives no tolerance; write number:0.01, or number:1%"),
        (
            ["evaluation.metrics=[macro_f1]"],
            "evaluation.metrics: there is no metric macro_f1 for a task of kind generation",
        ),
    ],
)
def test_a_metric_that_does_not_suit_is_refused_with_those_that_do(place, settings, says):
    with pytest.raises(RecipeError) as caught:
        recipe_of(place, "base", *settings)
    assert says in str(caught.value)


def test_a_metric_that_suits_is_taken(place):
    for name in ("chrf", "number:1%", "regex:^yes$", "json"):
        assert recipe_of(place, "base", f"task.metric={name}").task_definition.metric == name


def test_as_many_examples_as_suit_the_task_are_shown_where_nobody_says(place):
    names = ("sentiment-smollm2-lora", "dialogue-smollm2-qlora", "requests-smollm2-lora")
    assert [load_recipe(name).few_shot for name in names] == [4, 2, 8]
    assert recipe_of(place, "base", "evaluation.few_shot=null").few_shot == TASKS["dialogue"].few_shot == 2
    assert load_recipe("sentiment-smollm2-lora", ["evaluation.few_shot=0"]).few_shot == 0


def test_what_is_not_there_is_said_before_anything_is_trained(place, tiny_llama, tmp_path):
    with pytest.raises(RecipeError, match="There is no such metric on this machine"):
        with_whole_paths(recipe_of(place, tiny_llama, "task.metric=evaluate:nowhere/at-all"))
    run = create_run(recipe_of(place, tiny_llama, "evaluation.context=nowhere.md"), tmp_path)
    with pytest.raises(DataError, match="put before every question cannot be read"):
        run_training(run, run.cancel_requested)
    assert not run.tuned.is_dir() and not run.checkpoints.exists()


def test_a_run_reads_them_from_any_folder(place, tiny_llama, monkeypatch):
    monkeypatch.chdir(place)
    settings = ["task.metric=evaluate:begins:lower", "evaluation.context=handbook.md"]
    whole = with_whole_paths(recipe_of(place, tiny_llama, *settings))
    assert whole.task_definition.metric == f"evaluate:{place / 'begins'}:lower"
    assert whole.evaluation.context == str(place / "handbook.md")
    forms = ["task.metric=json-schema:form.json", "evaluation.metrics=['json-schema:../form.json','number:1']"]
    whole = with_whole_paths(recipe_of(place, tiny_llama, *forms))
    assert whole.task_definition.metric == f"json-schema:{place / 'form.json'}"
    assert whole.evaluation.metrics == [f"json-schema:{place}/../form.json", "number:1"]
    shipped = recipe_of(place, tiny_llama, "evaluation.context=corpus:handbook.md")
    assert with_whole_paths(shipped).evaluation.context == "corpus:handbook.md"


@pytest.mark.parametrize(
    "setting",
    [
        "evaluation.context=/etc/passwd",
        "evaluation.metrics=['evaluate:os']",
        "task.metric=evaluate:os",
        "task.metric=json-schema:/etc/passwd",
    ],
)
def test_strangers_name_neither_files_nor_code(place, setting):
    recipe = recipe_of(place, "HuggingFaceTB/SmolLM2-135M-Instruct", setting)
    with pytest.raises(RecipeError, match="opens no files and runs no metrics"):
        check_recipe(recipe, Limits())
    fine = recipe_of(place, "HuggingFaceTB/SmolLM2-135M-Instruct", "evaluation.context=corpus:handbook.md")
    check_recipe(fine, Limits())


def test_the_handbook_that_ships_is_read_by_its_name():
    found = open_besides(TASKS["handbook"], context="corpus:handbook.md")
    assert found.context.name == "handbook.md" and len(found.context.text) > 1000
    for name in ("corpus:../tasks/own.py", "corpus:README.md", "corpus:handbook.jsonl"):
        with pytest.raises(DataError, match="No such text ships"):
            open_besides(TASKS["handbook"], context=name)
    assert open_besides(TASKS["handbook"]) == Besides()


def test_the_command_line_shows_the_base_a_text_and_scores_by_what_is_named(
    tiny_dialogue_adapter, dialogues_file, place, tmp_path
):
    from typer.testing import CliRunner

    from finetuning.cli import app

    asked = ["--context", str(place / "handbook.md"), "--metric", f"evaluate:{place / 'begins'}:whole"]
    asked += ["--data", f"file:{dialogues_file}", "--rows", "3", "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, ["evaluate", str(tiny_dialogue_adapter), *asked], env={"COLUMNS": "200"})
    assert found.exit_code == 0, found.output
    report, _ = load(tmp_path / "out")
    assert report.context.name == "handbook.md"
    assert {f"evaluate:{place / 'begins'}:whole", "rougeL"} <= {metric.name for metric in report.metrics}
    assert "The base with handbook.md in its prompt: " in " ".join(found.output.split())
    del METRICS[f"evaluate:{place / 'begins'}:whole"]

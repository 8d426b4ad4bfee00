"""Tasks of the real lm-eval on models that are loaded already: its own numbers, paired by question, and offline."""

import contextlib
import json
import socket
from pathlib import Path

import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from eval.sides.side import About, OnThisMachine, Spent
from eval.verdict.schema import StandardTask
from eval.verdict.standard import Chosen, measure_standard
from models.scoring import score_labels
from plumbing.errors import RecipeError

QUESTIONS = [
    ("Is the soup good?", ["positive", "negative"], 0),
    ("The phone died.", ["positive", "negative", "neither of these"], 1),
    ("Ana cried.", ["the film", "soup"], 1),
    ("Leo is", ["Leo", "Ana"], 0),
    ("The shop is", ["open until six", "closed", "er"], 0),
    ("A letter", ["ing", "er"], 1),
]


def metric(name, aggregation="mean"):
    return {"metric": name, "aggregation": aggregation, "higher_is_better": True}


class OfPair:
    """A side of a pair that is loaded, as far as it is asked here."""

    about = About("adapter", "tiny")
    abilities = frozenset({"writes", "likelihood"})

    def __init__(self, pair, tuned):
        self.pair, self.tuned, self.spent, self.task = pair, tuned, Spent(), pair.task

    @contextlib.contextmanager
    def language_model(self):
        with self.pair.side(self.tuned) as model:
            yield model, self.pair.tokenizer


class Elsewhere:
    """A side that is no model here."""

    about = About("endpoint", "http://127.0.0.1/v1")
    abilities = frozenset({"writes"})


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError("it went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("eval.verdict.standard.hub_reachable", lambda: False)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture
def tasks(tmp_path):
    """`tasks(name, **changes)` → the folder with a task of that name; what is changed at None is left out."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"question": asked, "choices": choices, "label": label} for asked, choices, label in QUESTIONS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(name, **changes) -> Path:
        config = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "choices",
            "doc_to_target": "label",
            "metric_list": [
                {"metric": metric, "aggregation": "mean", "higher_is_better": True}
                for metric in ("acc", "acc_norm")
            ],
        } | changes
        config = {key: value for key, value in config.items() if value is not None}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
        return folder

    return write


WRITTEN = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{choices[label]}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
    "metric_list": [metric("exact_match")],
}


def run(pair, folder, text, **options):
    sides = {"base": OfPair(pair, False), "tuned": OfPair(pair, True)}
    return measure_standard(sides, Chosen.several(text), folder=folder, **options)


def test_both_sides_score_what_lm_eval_finds_of_their_folders(tiny_pair, tiny_llama, tiny_adapter, tasks):
    tasks("written_tasks", **WRITTEN)
    folder = tasks("tiny_choices")
    found = run(tiny_pair, folder, "tiny_choices, written_tasks", batch_size=2)
    assert found.notes == [] and [task.name for task in found.tasks] == ["tiny_choices", "written_tasks"]
    for side, more in (("base", ""), ("tuned", f",peft={tiny_adapter}")):
        theirs = simple_evaluate(
            model="hf",
            model_args=f"pretrained={tiny_llama},dtype=float32{more}",
            tasks=["tiny_choices", "written_tasks"],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            device="cpu",
            batch_size=2,
            bootstrap_iters=0,
        )["results"]
        assert found.tasks[0].values[side] == pytest.approx(theirs["tiny_choices"]["acc,none"])
        assert found.tasks[1].values[side] == pytest.approx(theirs["written_tasks"]["exact_match,none"])
    choices = found.tasks[0]
    judgement = choices.comparisons["tuned"]
    assert (choices.metric, choices.n, choices.few_shot) == ("acc", len(QUESTIONS), 0)
    assert (judgement.n, judgement.test) == (len(QUESTIONS), "exact McNemar test")
    assert judgement.difference == pytest.approx(choices.values["tuned"] - choices.values["base"])
    smallest = min(task.comparisons["tuned"].p_value for task in found.tasks)
    assert min(task.corrected["tuned"] for task in found.tasks) == min(1.0, 2 * smallest)
    assert StandardTask.model_validate_json(choices.model_dump_json()) == choices


def test_a_metric_is_chosen_examples_are_the_same_and_some_rows_are_asked(tiny_pair, tasks):
    folder = tasks("tiny_choices", num_fewshot=1, fewshot_split="test")
    told = []
    options = {"limit": 3, "on_side": lambda *what: told.append(what)}
    (task,) = run(tiny_pair, folder, "tiny_choices:acc_norm", **options).tasks
    assert (task.metric, task.n, task.few_shot) == ("acc_norm", 3, 1)
    assert told == [("base", 0, 2), ("tuned", 1, 2), ("", 2, 2)]
    with pytest.raises(RecipeError, match=r"has no metric exact_match.*It has acc, acc_norm: tiny_choices:acc\."):
        run(tiny_pair, folder, "tiny_choices:exact_match")


def test_both_sides_answer_afterwards_as_before(tiny_pair, tasks):
    def seen():
        tokenizer = tiny_pair.tokenizer
        return score_labels(tiny_pair, ["It died."]), tokenizer.padding_side, tokenizer.pad_token

    before = seen()
    run(tiny_pair, tasks("tiny_choices"), "tiny_choices", limit=1)
    assert seen() == before


def test_what_is_no_language_model_here_is_said_and_left_out(tiny_pair, tasks):
    folder, chosen = tasks("tiny_choices"), Chosen.several("tiny_choices")
    base, tuned = OfPair(tiny_pair, False), OfPair(tiny_pair, True)
    assert isinstance(base, OnThisMachine) and not isinstance(Elsewhere(), OnThisMachine)
    labels = OfPair(tiny_pair, True)
    labels.abilities = frozenset({"chooses"})  # as a classifier's
    sides = {"base": base, "tuned": tuned, "server": Elsewhere(), "labels": labels}
    found = measure_standard(sides, chosen, folder=folder, limit=2)
    assert found.tasks[0].comparisons.keys() == {"tuned"}
    assert [note.partition(" is left out")[0] for note in found.notes] == [
        "Standard benchmarks: server",
        "Standard benchmarks: labels",
    ]
    for sides in ({"base": Elsewhere(), "tuned": tuned}, {"base": base, "tuned": Elsewhere()}):
        found = measure_standard(sides, chosen, folder=folder)
        assert found.tasks == [] and "no two such models" in found.notes[-1]


def test_a_metric_of_which_nobody_says_which_way_is_better_is_left_out_and_said(tiny_pair, tasks):
    """A task's own scores; taken for one where more is better, its losses would be gains."""
    tasks("tiny_choices")
    folder = tasks("own_scores", metric_list=[{"metric": "misses", "aggregation": "mean"}])
    (folder / "scoring.py").write_text("def misses(doc, results):\n    return {'misses': float(doc['label'])}\n")
    with (folder / "own_scores.yaml").open("a") as file:
        file.write("process_results: !function scoring.misses\n")
    found = run(tiny_pair, folder, "own_scores,tiny_choices", limit=2)
    assert [task.name for task in found.tasks] == ["tiny_choices"]
    (said,) = found.notes
    assert said.startswith(
        "Standard benchmarks: own_scores is left out, since it is not known whether a higher misses"
    )


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("none_such", None, "has no such task"),
        ("of_the_hub", {"dataset_path": "nobody/nothing", "dataset_kwargs": None}, "the Hub cannot be reached"),
        (
            "of_all",
            {"metric_list": [metric("mcc", "matthews_corrcoef")]},
            "of all its",
        ),
        ("runs_code", {"unsafe_code": True}, "marked as unsafe"),
    ],
)
def test_what_cannot_be_compared_is_refused(tiny_pair, tasks, name, changes, says):
    folder = tasks(name, **changes) if changes else tasks("other")
    with pytest.raises(RecipeError, match=says):
        run(tiny_pair, folder, name)


def test_without_the_harness_it_is_said_how_to_get_it(tiny_pair, tasks, monkeypatch):
    monkeypatch.setattr("eval.verdict.standard.importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"not installed here.*pip install \"lm-eval=="):
        run(tiny_pair, tasks("tiny_choices"), "tiny_choices")


@pytest.mark.parametrize("text", ["", ",", "arc_easy,arc_easy", ":acc"])
def test_names_are_given_once_each(text):
    with pytest.raises(RecipeError, match="no tasks of lm-evaluation-harness"):
        Chosen.several(text)
    assert Chosen.several("a, b:acc") == [Chosen("a"), Chosen("b", "acc")]

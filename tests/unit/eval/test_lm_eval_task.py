"""The exported folder is a task of the real lm-eval, which then finds our predictions and our ROUGE, offline."""

import dataclasses
import json
import math
import shlex
import socket

import pytest
from datasets import Dataset
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from eval.compare import compare
from eval.lm_eval_task import export_task
from eval.metrics import METRICS
from eval.metrics.rouge import ROUGE_NAMES, rouge_scores
from models.loading import load_tokenizer
from models.prompting import Prompter
from models.scoring import score_labels
from plumbing.errors import DataError, ModelError

REVIEWS = Dataset.from_list(
    [
        {"text": "The film was slow but the ending made me cry.", "label": "positive"},
        {"text": "Bad.", "label": "negative"},
        {"text": "It died after two days,\n\nand nobody {{answered}} my letters.  ", "label": "negative"},
        {"text": "I would see it again!\u2028Très bon. <|im_end|>", "label": "positive"},
        {"text": "1", "label": "positive"},
    ]
)
DIALOGUES = Dataset.from_list(
    [
        {
            "dialogue": "Ana: My laptop is broken.\nLeo: I can look at it on Friday.",
            "summary": ["Leo helps Ana."],
        },
        {"dialogue": "Tom: Soup?\nAna: Yes.", "summary": ["Ana wants soup.", "They talk. And it is about soup."]},
        {
            "dialogue": "Leo: Is the shop still open?\nAna: Until six.\nLeo: And on Sunday?\nAna: Never.",
            "summary": ["[The shop is open until six.]"],
        },
    ]
)
TOKENS = 12


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whatever opens a connection fails; and lm-eval takes no inventory of the machine, which takes seconds."""

    def refuse(*_):
        raise AssertionError("lm-eval went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture
def export(tmp_path, tiny_adapter, tiny_dialogue_adapter):
    """`export(pair, rows, …)` → the task's name, in a folder that has been moved since it was written."""

    def write(pair, rows, *, folder=None, **options):
        task = pair.task
        written = tmp_path / "written"
        name = export_task(
            options.pop("prompter", pair.prompter),
            rows[task.input_column][:],
            [task.references(row) for row in rows],
            folder or written,
            base=pair.base,
            adapter=options.pop("adapter", tiny_adapter if task.is_classification else tiny_dialogue_adapter),
            precision=pair.precision,
            **options,
        )
        if folder is None:
            written.rename(tmp_path / "task")
        return name

    return write


@pytest.fixture
def evaluate(tmp_path):
    """`evaluate(name, side)` → the results of lm-eval, given the model arguments of the README's command."""

    def run(name, side):
        folder = tmp_path / "task"
        commands = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("lm_eval")]
        words = shlex.split(commands[["base", "tuned"].index(side)])
        return simple_evaluate(
            model=words[words.index("--model") + 1],
            model_args=",".join(words[words.index("--model_args") + 1 :]),
            tasks=[words[words.index("--tasks") + 1]],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            device=words[words.index("--device") + 1],
            batch_size=2,
            bootstrap_iters=0,
        )

    return run


@pytest.mark.cuda
@pytest.mark.parametrize("side", ["base", "tuned"])
def test_lm_eval_finds_our_predictions(tiny_pair, export, evaluate, side):
    result = compare(tiny_pair, REVIEWS)
    name = export(tiny_pair, REVIEWS)
    found = evaluate(name, side)
    for sample, row in zip(found["samples"][name], result.rows, strict=True):
        answer = getattr(row, side)
        assert [arguments[0] for arguments in sample["arguments"]] == [tiny_pair.prompter.prompt(row.input)] * 2
        likelihoods = [likelihood for likelihood, _ in sample["filtered_resps"]]
        labels = dict(zip(tiny_pair.task.labels, likelihoods, strict=True))
        assert max(labels, key=labels.get) == answer.answer
        assert sample["acc"] == answer.scores["accuracy"]
        expected = answer.probabilities["positive"] / answer.probabilities["negative"]
        assert math.exp(labels["positive"] - labels["negative"]) == pytest.approx(expected, rel=1e-4)
    assert found["results"][name]["acc,none"] == getattr(result.report.primary, side)


@pytest.mark.cuda
@pytest.mark.parametrize("side", ["base", "tuned"])
def test_lm_eval_scores_labels_to_their_end_where_we_do(tiny_whole, tiny_whole_pair, export, evaluate, side):
    """Of a whole model, whose folder lm-eval loads by itself."""
    task = dataclasses.replace(tiny_whole_pair.task, labels=("no", "no way", "yes"))
    pair = dataclasses.replace(tiny_whole_pair, task=task, prompter=Prompter(tiny_whole_pair.tokenizer, task))
    rows = Dataset.from_list([{"text": row["text"], "label": "no way"} for row in REVIEWS])
    name = export(pair, rows, adapter=tiny_whole)
    found = evaluate(name, side)
    for sample, scores in zip(found["samples"][name], score_labels(pair, rows["text"][:]), strict=True):
        assert [text for _, text in sample["arguments"]] == ["no<|im_end|>", "no way<|im_end|>", "yes<|im_end|>"]
        likelihoods = [likelihood for likelihood, _ in sample["filtered_resps"]]
        ours = getattr(scores, side)
        assert [one - likelihoods[0] for one in likelihoods] == pytest.approx(
            [one - ours[0] for one in ours], abs=1e-3
        )
        assert sample["acc"] == (max(ours) == ours[1])


@pytest.mark.cuda
@pytest.mark.parametrize("side", ["base", "tuned"])
def test_lm_eval_finds_our_rouge(tiny_dialogue_pair, export, evaluate, side):
    result = compare(tiny_dialogue_pair, DIALOGUES, max_new_tokens=TOKENS)
    name = export(tiny_dialogue_pair, DIALOGUES, name="short-summaries", max_new_tokens=TOKENS)
    found = evaluate(name, side)
    assert name == "short-summaries"
    for sample, row in zip(found["samples"][name], result.rows, strict=True):
        answer = getattr(row, side)
        assert sample["filtered_resps"][0].rstrip("\ufffd") == answer.answer
        assert {metric: sample[metric] for metric in ROUGE_NAMES} == {
            name: answer.scores[name] for name in ROUGE_NAMES
        }
    values = {metric.name: getattr(metric, side) for metric in result.report.metrics}
    for metric in ROUGE_NAMES:
        assert found["results"][name][f"{metric},none"] == pytest.approx(values[metric], abs=1e-12)


def test_the_rouge_of_the_folder_is_ours_on_words(tiny_dialogue_pair, export, tmp_path):
    """The tiny model's answers hardly hold a word: here is one that does."""
    name = export(tiny_dialogue_pair, DIALOGUES)
    task = TaskManager(include_path=str(tmp_path / "task"), include_defaults=False).load([name])["tasks"][name]
    doc = task.eval_docs[1]
    answer = "It is about soups. They talked, and Ana asked."
    scores = task.process_results(doc, [answer])
    assert scores == rouge_scores(answer, doc["references"])
    assert 0 < scores["rougeL"] < scores["rouge2"] < scores["rougeLsum"] < 1
    other = {"references": ["Аня спрашивает о супе. Они говорят.", "安娜问起汤。他们在谈话。"]}
    for answer in ("Они говорят о супе.", "他们谈汤。安娜问。", "Größe"):
        assert task.process_results(doc | other, [answer]) == rouge_scores(answer, other["references"])


@pytest.mark.parametrize("metric", ["token_f1", "exact_match", "chrf"])
def test_a_task_is_scored_by_its_own_metric_too(tiny_dialogue_pair, export, tmp_path, metric):
    """Its source is copied, without what it imports of ours."""
    pair = tiny_dialogue_pair
    own = Prompter.from_contract(pair.tokenizer, pair.contract, dataclasses.replace(pair.task, metric=metric))
    name = export(pair, DIALOGUES, prompter=own)
    code = (tmp_path / "task" / "task.py").read_text()
    assert "import Metric" not in code and "from eval" not in code and "METRIC" not in code
    task = TaskManager(include_path=str(tmp_path / "task"), include_defaults=False).load([name])["tasks"][name]
    assert {one["metric"] for one in task.config.metric_list} == {*ROUGE_NAMES, metric}
    doc = task.eval_docs[1]
    for answer in ("They talk about soup!", "Ana wants it.", "他们谈汤。", ""):
        scores = task.process_results(doc, [answer])
        references = doc["references"]
        assert scores == rouge_scores(answer, references) | {metric: METRICS[metric].row(answer, references)}


def test_an_earlier_export_is_replaced_and_nothing_else_is(tiny_pair, export, tmp_path):
    folder = tmp_path / "deep" / "folder"
    export(tiny_pair, REVIEWS, folder=folder)
    (folder / "__pycache__").mkdir()
    export(tiny_pair, REVIEWS.select([1]), folder=folder, name="other")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "other.yaml", "task.py", "test.jsonl"]
    assert json.loads((folder / "test.jsonl").read_text())["label"] == "negative"
    (folder / "results.json").write_text("{}")
    with pytest.raises(DataError, match="left as it is"):
        export(tiny_pair, REVIEWS, folder=folder)
    assert (folder / "test.jsonl").read_text().count("\n") == 1
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    "files", [["notes.txt"], ["task.py"], ["other.yaml"], ["task.py", "test.jsonl", "README.md", "other.yaml"]]
)
def test_a_folder_of_somebody_else_is_left_alone(tiny_pair, export, tmp_path, files):
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in files:
        (folder / file).write_text("task: mine\n")
    with pytest.raises(DataError, match="left as it is"):
        export(tiny_pair, REVIEWS, folder=folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(files, "task: mine\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_and_an_empty_folder(tiny_pair, export, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="left as it is"):
        export(tiny_pair, REVIEWS, folder=tmp_path / "file")
    (tmp_path / "empty").mkdir()
    export(tiny_pair, REVIEWS, folder=tmp_path / "empty")
    assert (tmp_path / "empty" / "before_after_sentiment.yaml").is_file()


def test_nothing_is_left_where_writing_fails(tiny_pair, export, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    export(tiny_pair, REVIEWS.select([1]), folder=folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    lone_surrogate = Dataset.from_list([{"text": "Bad.", "label": "negative"}])
    monkeypatch.setattr(Prompter, "prompt", lambda self, text: "\ud800\n")
    monkeypatch.setattr("eval.lm_eval_task._require_same_tokens", lambda *_: None)
    with pytest.raises(UnicodeEncodeError):
        export(tiny_pair, lone_surrogate, folder=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_cannot_be_a_task_is_refused(tiny_pair, export):
    with pytest.raises(DataError, match="letters, digits"):
        export(tiny_pair, REVIEWS, name="a task, or two")
    with pytest.raises(DataError, match="empty"):
        export(tiny_pair, REVIEWS.select([]))
    with pytest.raises(DataError, match=r"Row 2 .* unknown label"):
        export(tiny_pair, Dataset.from_list([REVIEWS[0], {"text": "So so.", "label": "neutral"}]))


def test_labels_that_lm_eval_would_cut_otherwise_are_refused(tiny_pair, export):
    """A prompt that ends within a word makes one token of that end and of the label's first letters."""
    tokenizer = load_tokenizer(tiny_pair.base)
    tokenizer.chat_template = "{{ messages[-1]['content'] }}: Le"
    task = dataclasses.replace(tiny_pair.task, labels=("o", "positive"))
    rows = Dataset.from_list([{"text": "Who?", "label": "o"}])
    with pytest.raises(ModelError, match="other tokens"):
        export(tiny_pair, rows, prompter=Prompter(tokenizer, task))


def test_commands_of_a_base_from_the_hub_and_of_one_in_4_bit(tiny_pair, export, tmp_path):
    base = dataclasses.replace(tiny_pair.base, name="owner/name", origin="hub", revision="abc123")
    export(dataclasses.replace(tiny_pair, base=base, precision="nf4"), REVIEWS)
    text = (tmp_path / "task" / "README.md").read_text()
    assert "pretrained=owner/name dtype=bfloat16 add_bos_token=False" in text
    assert "revision `abc123`" in text
    assert "in 4 bit" in text

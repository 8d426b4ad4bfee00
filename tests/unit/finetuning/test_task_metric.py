"""The task's metric on the way: after the last step it is what the evaluation finds of the tuned model."""

import pytest
import torch

from eval.compare import compare
from finetuning.preparation import open_data
from finetuning.runs.folder import create_run
from finetuning.trainers import task_metric
from finetuning.training import run_training
from models.pair import open_pair


@pytest.mark.parametrize(
    ("name", "model", "more"),
    [
        ("sentiment-smollm2-lora", "tiny_llama", []),
        ("sentiment-smollm2-lora", "tiny_llama", ["strategy=full"]),
        ("sentiment-minilm-lora", "tiny_bert", []),
        ("dialogue-smollm2-qlora", "tiny_llama", ["model.precision=float32"]),
    ],
)
def test_it_is_that_of_the_model_as_it_is_then(name, model, more, recipe_on, request, tmp_path):
    recipe = recipe_on(
        name,
        request.getfixturevalue(model),
        *more,
        "training.learning_rate=0.02",
        "training.eval_metric=true",
        "training.eval_steps=1",
        "training.keep=last",
    )
    run = create_run(recipe, tmp_path)
    run_training(run, lambda: run.status().state == "evaluating")
    measured = [line["eval_metric"] for line in run.evaluations()]
    assert len(measured) == 2 and all(0 <= value <= 1 for value in measured)
    rows = open_data(recipe).splits["validation"]
    assert 0 < len(rows) <= task_metric.MOST_ROWS
    report = compare(open_pair(run.tuned), rows, max_new_tokens=4).report
    assert measured[-1] == pytest.approx(report.primary.tuned)


def test_the_training_goes_on_as_without_it(tiny_llama, recipe_on, tmp_path):
    lines = []
    for metric in ("true", "false"):
        run = create_run(
            recipe_on("sentiment-smollm2-lora", tiny_llama, f"training.eval_metric={metric}"), tmp_path
        )
        run_training(run, lambda run=run: run.status().state == "evaluating")
        lines.append([line["loss"] for line in run.metrics()[0]])
    assert lines[0] == lines[1]


def test_labels_of_several_tokens_are_scored_whole_however_many_stand_in_a_batch(tiny_pair, monkeypatch):
    labels = ("negative", "positive", "negative at first", "soup", "a", "ab", "abc", "film", "the film", "er")
    prompter, model = tiny_pair.prompter, tiny_pair.model
    monkeypatch.setattr(task_metric, "_AT_ONCE", 3)
    with torch.no_grad():
        found = task_metric._likeliest(model, tiny_pair.tokenizer, prompter, "So so.", labels)
        prompt, sums = prompter.encode_prompt("So so."), []
        for target in prompter.encode_labels(labels):
            ids = torch.tensor([[*prompt, *target]], device=model.device)
            log_probs = model(input_ids=ids).logits[0].log_softmax(-1)
            sums.append(sum(log_probs[len(prompt) + at - 1, token].item() for at, token in enumerate(target)))
    assert found == labels[sums.index(max(sums))]

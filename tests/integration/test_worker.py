"""The worker as a real process on the real SmolLM2: a few steps, a cancel, on to a report, and a pair to ask."""

import math
import time

from data.general import instructions, passages
from eval.forgetting import measure_forgetting
from eval.report.folder import load as load_report
from finetuning.recipe import load_recipe
from finetuning.runs import launch
from models.pair import open_pair

REAL_MODEL = True
STEPS = 6
SMALL = ["data.train_rows=48", "data.test_rows=8", "training.epochs=1", "training.batch_size=8"]
SHORT = ["evaluation.few_shot_draws=1", "evaluation.forgetting=false"]
"""Three draws of examples and 72 general texts take minutes; two of the texts are measured here by themselves."""


def wait_for(condition, timeout_s=600.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.3)


def test_a_run_is_cancelled_goes_on_and_comes_to_a_report_and_an_adapter_that_acts(tmp_path):
    run = launch.submit(load_recipe("sentiment-smollm2-lora", [*SMALL, *SHORT]), tmp_path)
    wait_for(lambda: run.status().done >= 1 and run.status().phase == "Fine-tuning")
    assert run.status().pid is not None
    launch.cancel(run)
    wait_for(lambda: run.status().state not in launch.ACTIVE)
    assert run.status().state == "cancelled", run.log_tail()
    wait_for(lambda: not run.process_alive())
    assert not run.tuned.exists()
    assert run.checkpoint() is not None and (run.checkpoint() / "DONE").exists()

    launch.resume(run)
    for _ in launch.wait(run):
        pass
    assert run.status().state == "finished", run.log_tail()
    steps, _ = run.metrics()
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert all(line["memory_mb"] > 100 for line in steps)
    report, rows = load_report(run.evaluation)
    assert report.n == len(list(rows)) == 8
    assert report.base.origin in {"hub", "package mirror"}
    assert report.few_shot is not None

    pair = open_pair(run.tuned)
    assert pair.proof.same_weights
    assert pair.proof.largest_change > 0
    cost = measure_forgetting(pair, passages()[:2], instructions()[:1])
    assert 1 < cost.base_perplexity < 100, "it knows English"  # a random model's is that of its vocabulary
    assert math.isfinite(cost.tuned_perplexity) and cost.agreement > 0.5
    assert cost.answers[0].base

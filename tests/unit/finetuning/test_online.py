"""Policy optimisation on tiny models: what TRL is given, what it gives back, and a run that goes on."""

import itertools
import json
import math

import pytest
import torch
from safetensors.torch import load_file
from trl import GRPOConfig, GRPOTrainer

from finetuning.preparation import encode_prompts, open_data
from finetuning.recipe import load_recipe, with_overrides
from finetuning.rewards.reward import Answered
from finetuning.runs import launch
from finetuning.runs.folder import create_run
from finetuning.trainers.groups import GroupSampler
from finetuning.trainers.held_reference import Reference
from finetuning.trainers.online import Rewarding
from finetuning.trainers.tuning import _keeping_trained
from finetuning.training import run_training
from models import loading
from models.loading import load, load_tokenizer
from models.sources import resolve
from plumbing.errors import RunError

GROUP = 3
ONLINE = [
    "way=online",
    f"way.num_generations={GROUP}",
    "way.max_new_tokens=6",
    "training.batch_size=2",
    "training.max_tokens=512",
    "training.learning_rate=1e-2",
    "training.warmup_share=0",
    "model.precision=float32",
    "strategy.target_modules=[q_proj, v_proj]",
]
QUICK = ["evaluation.forgetting=false", "evaluation.few_shot=0", "data.test_rows=2", "training.eval_rows=0"]
UNJUDGED = [*QUICK, "evaluation.skip=true"]
WORDS = ["way.rewards=[{name: length, words: 1}]"]
"""A random model's answers are bytes: only their words tell them apart."""


@pytest.fixture(scope="module")
def recipe_of(recipe_on, tiny_llama):
    """`recipe_of(*settings)` → policy optimisation of a tiny model on short dialogues."""

    def build(*settings):
        return recipe_on("dialogue-smollm2-qlora", tiny_llama, *ONLINE, *WORDS, *settings)

    return build


def ready(recipe, folder):
    """A trainer as a run makes it, and its rows."""
    source, task = resolve(recipe.model.base), recipe.task_definition
    loaded = load(source, kind=recipe.kind, precision=recipe.load_precision, task=task)
    model = recipe.apply_strategy(loaded.model)
    rows = recipe.way.encode(open_data(recipe).splits["train"], loaded.tokenizer, recipe, task)
    output = str(folder / "runs" / "one" / "checkpoints")
    return recipe.way.trainer(recipe, model, loaded.tokenizer, rows, output, [], rows.select(range(4)))


def act(model):
    """An adapter that changes something: a new one does not."""
    generator = torch.Generator().manual_seed(1)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            value.data.copy_(torch.randn(value.shape, generator=generator) * 0.3)


# ---- the order of rows ----


def test_every_batch_is_full_and_each_row_stands_as_often_as_it_is_answered():
    sampler = GroupSampler([5, 4, 3, 2, 1], 2, copies=3, times=2, seed=0)
    order = list(sampler)
    assert len(order) == len(sampler) == 3 * 2 * 3 * 2
    batches = [order[at : at + 6] for at in range(0, len(order), 6)]
    for first, again in zip(batches[::2], batches[1::2], strict=True):
        assert first == again
        assert [first[0]] * 3 + [first[3]] * 3 == first and first[0] != first[3]
    assert set(order) == {0, 1, 2, 3, 4}
    assert list(sampler) == order
    others = []
    for epoch in range(1, 5):
        sampler.set_epoch(epoch)
        others.append(list(sampler))
    assert any(other != order for other in others)


# ---- rows ----


def test_a_prompt_is_ours_and_leaves_room_for_an_answer(recipe_of, dialogues_file):
    recipe = recipe_of()
    tokenizer = load_tokenizer(resolve(recipe.model.base))
    rows = open_data(recipe).splits["train"]
    encoded = recipe.way.encode(rows, tokenizer, recipe, recipe.task_definition)
    prompter = recipe.way.prompter(tokenizer, recipe.task_definition)
    assert encoded["input_ids"][0] == prompter.encode_prompt(rows[0]["dialogue"])
    assert json.loads(encoded["asked"][0]) == rows[0]["dialogue"]
    assert encoded["references"][0] == [rows[0]["summary"]]
    longest = max(map(len, encoded["input_ids"]))
    encode_prompts(rows, prompter, longest + 6, room=6)
    with pytest.raises(Exception, match="the longest allowed is"):
        encode_prompts(rows, prompter, longest + 5, room=6)


def test_a_chat_is_asked_as_it_stands(tiny_llama, tmp_path):
    file = tmp_path / "chats.jsonl"
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    file.write_text("".join(json.dumps({"messages": [*chat, {"role": "user", "content": f"And {n}?"},
                                                     {"role": "assistant", "content": f"It is {n}."}]}) + "\n"
                            for n in range(40)))  # fmt: skip
    recipe = load_recipe(
        "chats-smollm2-lora", [f"model.base={tiny_llama}", f"data.source=file:{file}", "way=online"]
    )
    opened = open_data(recipe)
    tokenizer = load_tokenizer(resolve(recipe.model.base))
    row = recipe.way.encode(opened.splits["train"].select([0]), tokenizer, recipe, opened.task)[0]
    asked = json.loads(row["asked"])
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    assert row["input_ids"] == recipe.way.prompter(tokenizer, opened.task).encode_prompt(asked)


# ---- against TRL's own ----


def as_trl(recipe, trainer, folder):
    """TRL's own trainer on the same model, whose loss is that of the same answers."""
    arguments = {name: getattr(trainer.args, name) for name in (
        "per_device_train_batch_size", "num_generations", "num_iterations", "max_completion_length", "temperature",
        "epsilon", "reward_weights", "seed", "learning_rate",
    )}  # fmt: skip
    plain = {"bf16": False, "use_cpu": True, "report_to": "none", "gradient_checkpointing": False, "beta": 0.0}
    with _keeping_trained(trainer.model):  # in float32 over 4 bits, where TRL has bfloat16
        return GRPOTrainer(
            model=trainer.model,
            reward_funcs=[lambda completions, **_: [0.0] * len(completions)],
            args=GRPOConfig(str(folder / "trl"), **plain, **arguments),
            train_dataset=trainer.train_dataset,
            processing_class=trainer.processing_class,
        )


def batch_of(trainer):
    rows = [trainer.train_dataset[place] for place in list(trainer._get_train_sampler())[: 2 * GROUP]]
    return trainer._generate_and_score_completions(rows)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


STRATEGIES = {  # test_grid has all, against plain logits
    "lora": {},
    "dora": {"strategy.dora": True},  # by the model's own modules
    "qlora": {"model.precision": "nf4"},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_loss_and_gradients_are_trls_own(recipe_of, tmp_path, strategy, monkeypatch):
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")
    recipe = with_overrides(recipe_of("way.beta=0.3", "way.temperature=0.7"), STRATEGIES[strategy])
    trainer = ready(recipe, tmp_path)
    act(trainer.model)
    trainer.model.train()
    inputs = batch_of(trainer)
    inputs["advantages"] = torch.linspace(-1, 1, len(inputs["advantages"]))
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.compute_loss(trainer.model, inputs)
    ours = gradients(trainer.model, loss)

    plain = as_trl(recipe, trainer, tmp_path)
    plain.current_gradient_accumulation_steps, plain.beta = 1, 0.3
    expected = plain.compute_loss(plain.model, inputs)
    theirs = gradients(plain.model, expected)
    torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-4, atol=1e-5)
    assert ours.keys() == theirs.keys() and len(ours) > 0
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    for name in ("kl", "entropy"):
        assert trainer._metrics["train"][name][-1] == pytest.approx(plain._metrics["train"][name][-1], rel=1e-4)


def test_answers_end_by_our_token_and_each_prompt_has_a_group(recipe_of, tmp_path):
    trainer = ready(recipe_of("way.max_new_tokens=40"), tmp_path)
    trainer.model.train()
    inputs = batch_of(trainer)
    assert len(inputs["prompt_ids"]) == 2 * GROUP
    for at in (0, GROUP):
        assert all(torch.equal(inputs["prompt_ids"][at], inputs["prompt_ids"][at + n]) for n in range(GROUP))
    end = trainer.processing_class.eos_token_id
    assert trainer.eos_token_ids == [end]
    answers = [ids[mask.bool()].tolist() for ids, mask in zip(
        inputs["completion_ids"], inputs["completion_mask"], strict=True)]  # fmt: skip
    assert all(end not in answer[:-1] and (answer[-1] == end or len(answer) == 40) for answer in answers)
    again = batch_of(trainer)  # at the same step
    assert torch.equal(again["completion_ids"], inputs["completion_ids"])
    trainer._step += 1
    assert not torch.equal(batch_of(trainer)["completion_ids"], inputs["completion_ids"])


def test_advantages_come_from_the_weighted_rewards_of_a_group(recipe_of, tmp_path):
    rewards = "way.rewards=[{name: length, words: 1, weight: 2}, {name: format, rules: [one line], weight: -1}]"
    trainer = ready(recipe_of(rewards), tmp_path)
    trainer.model.train()
    inputs = batch_of(trainer)
    texts = [trainer._text(ids[mask.bool()].tolist()) for ids, mask in zip(
        inputs["completion_ids"], inputs["completion_mask"], strict=True)]  # fmt: skip
    length, form = trainer._rewards
    one = [Answered("", text, [""]) for text in texts]
    worth = torch.tensor(length.score(one)) * 2 - torch.tensor(form.score(one))
    groups = worth.view(-1, GROUP)
    expected = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(inputs["advantages"], expected.flatten(), rtol=1e-4, atol=1e-5)
    measured = trainer._metrics["train"]
    assert measured["reward"][-1] == pytest.approx(worth.mean().item(), abs=1e-6)


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_groups_without_spread_are_counted_by_what_answers_are_worth(recipe_of, tmp_path, algorithm):
    """RLOO takes the KL term off the rewards, after which no two answers are alike."""
    trainer = ready(recipe_of(f"way.algorithm={algorithm}", "way.beta=0.5"), tmp_path)
    act(trainer.model)
    trainer.model.train()
    worth = [0.1] * GROUP + [0.1, 0.1, 0.7]  # six times 0.1 is not quite 0.6
    trainer.reward_funcs = [trainer._function(Rewarding("length", 1.0, lambda answers: worth))]
    advantages = batch_of(trainer)["advantages"]
    assert trainer._metrics["train"]["flat_groups"] == [0.5]
    assert (advantages[:GROUP].abs().max() > 1e-3) == (algorithm == "rloo")


@pytest.mark.parametrize("worth", [math.nan, None, "much"])
def test_a_reward_that_is_no_number_stops_the_run(recipe_of, tmp_path, worth):
    trainer = ready(recipe_of(), tmp_path)
    trainer.model.train()
    one = Rewarding("length", 1.0, lambda answers: [0.0, worth, *[0.0] * (len(answers) - 2)])
    trainer.reward_funcs = [trainer._function(one)]
    with pytest.raises(RunError, match="The reward length of an answer is not a number"):
        batch_of(trainer)


# ---- the reference ----


def log_probs(trainer, inputs, model):
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    with torch.no_grad():
        return trainer._get_per_token_logps_and_entropies(model, ids, mask, inputs["completion_ids"].shape[1])[0]


@pytest.mark.parametrize(
    ("algorithm", "precision"), [("grpo", "float32"), ("rloo", "float32"), ("grpo", "nf4"), ("rloo", "nf4")]
)
def test_beside_a_new_adapter_the_reference_is_the_base(recipe_of, tmp_path, algorithm, precision, monkeypatch):
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")
    trainer = ready(recipe_of(f"way.algorithm={algorithm}", f"model.precision={precision}"), tmp_path)
    assert list(trainer.model.peft_config) == ["default"]  # RLOO's second adapter is gone
    learns = [value for value in trainer.model.parameters() if value.requires_grad]
    assert {value.dtype for value in learns} == {torch.float32}  # over 4 bits TRL makes it bfloat16
    assert not trainer.args.gradient_checkpointing  # which TRL switches on where nobody says
    inputs = batch_of(trainer)
    before = log_probs(trainer, inputs, trainer.model)
    act(trainer.model)
    torch.testing.assert_close(log_probs(trainer, inputs, trainer.ref_model), before)
    assert not torch.allclose(log_probs(trainer, inputs, trainer.model), before)
    assert not (tmp_path / "runs/one/checkpoints/reference.safetensors").exists()


@pytest.mark.parametrize("strategy", ["full", "last"])
def test_of_a_whole_model_the_reference_is_what_it_began_with(recipe_of, tmp_path, strategy):
    trainer = ready(with_overrides(recipe_of(), {"strategy.kind": strategy}), tmp_path)
    inputs = batch_of(trainer)
    before = log_probs(trainer, inputs, trainer.model)
    with torch.no_grad():
        for value in trainer.model.parameters():
            if value.requires_grad:
                value += 0.1 * torch.randn_like(value)
    torch.testing.assert_close(log_probs(trainer, inputs, trainer.ref_model), before)
    assert not torch.allclose(log_probs(trainer, inputs, trainer.model), before)


def test_where_an_adapter_goes_on_the_reference_is_that_adapter(recipe_of, tmp_path):
    trainer = ready(recipe_of("way.beta=0"), tmp_path)
    model, folder = trainer.model, tmp_path / "checkpoints"
    act(model)
    inputs = batch_of(trainer)
    before = log_probs(trainer, inputs, model)
    trainer.ref_model = Reference.of(model, folder, continued=True)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.mul_(3)
    torch.testing.assert_close(log_probs(trainer, inputs, trainer.ref_model), before)
    assert not torch.allclose(log_probs(trainer, inputs, model), before)
    trainer.ref_model = Reference.of(model, folder, continued=True)  # as a run that goes on finds it
    torch.testing.assert_close(log_probs(trainer, inputs, trainer.ref_model), before)

    (folder / "reference.safetensors").unlink()
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "DONE").touch()
    with pytest.raises(RunError, match="no longer in its checkpoints"):
        Reference.of(model, folder, continued=True)


# ---- runs ----


def trained(recipe, folder, should_stop=None):
    run = create_run(recipe, folder)
    run_training(run, should_stop(run) if should_stop else run.cancel_requested)
    return run


def go_on(run, monkeypatch):
    monkeypatch.setattr(launch, "_start", lambda queued: None)  # the work is done in this process
    launch.resume(run)
    run_training(run, run.cancel_requested)
    assert run.status().state == "finished"


def weights(run):
    return load_file(run.tuned / "adapter_model.safetensors")


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_a_run_learns_and_writes_down_what_it_measures(recipe_of, tmp_path, algorithm):
    recipe = recipe_of(f"way.algorithm={algorithm}", "training.max_steps=4", *UNJUDGED, "training.eval_rows=4",
                       "training.eval_steps=2")  # fmt: skip
    run = trained(recipe, tmp_path)
    assert run.status().state == "finished"
    steps = run.metrics()[0]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(later["tokens"] > earlier["tokens"] for earlier, later in itertools.pairwise(steps))
    written = {"reward", "reward_length", "kl_a_token", "answer_tokens", "flat_groups", "clip_ratio", "cut_off"}
    assert all(written <= line.keys() for line in steps) and "reward_rouge" not in steps[0]
    assert all(line["reward"] == line["reward_length"] for line in steps)
    measured = run.evaluations()
    assert [line["step"] for line in measured] == [2, 4]
    assert all(line["eval_reward"] == -line["eval_loss"] for line in measured)
    assert "whose validation loss, minus the mean reward, was the lowest" in run.status().facts["kept"]
    assert all(0 <= -line["eval_loss"] <= 1 and 0 <= line["eval_metric"] <= 1 for line in measured)
    assert any(value.abs().max() > 0 for name, value in weights(run).items() if "lora_B" in name)
    assert "lora_A.weight" in next(iter(weights(run)))  # one adapter, and no reference beside it
    assert not [path for path in run.tuned.iterdir() if path.is_dir()]
    assert "The loss rose" not in str(run.status().facts)


STEPS = 6


@pytest.mark.parametrize(("algorithm", "times"), [("grpo", 1), ("rloo", 2)])
def test_a_run_that_was_stopped_goes_on_to_the_same_end(recipe_of, tmp_path, monkeypatch, algorithm, times):
    several = [f"way.algorithm={algorithm}", f"way.num_iterations={times}",
               f"training.gradient_accumulation={times}"]  # fmt: skip
    recipe = recipe_of(f"training.max_steps={STEPS}", "data.train_rows=8", *several, *UNJUDGED)
    undisturbed = trained(recipe, tmp_path / "whole")

    def after_five(run):  # which is between the two steps on the third answers
        return lambda: run.status().done >= 4 and run.status().phase == "Fine-tuning"

    run = trained(recipe, tmp_path / "stopped", after_five)
    assert run.status().state == "cancelled" and run.metrics()[0][-1]["step"] == 5
    go_on(run, monkeypatch)
    for one, other in zip(run.metrics()[0], undisturbed.metrics()[0], strict=True):
        free = ("seconds", "step_seconds", "memory_mb")
        same = {name: value for name, value in one.items() if name not in free and value}
        assert same == {name: pytest.approx(other[name], rel=1e-5, abs=1e-6) for name in same}
    for name, value in weights(undisturbed).items():
        torch.testing.assert_close(weights(run)[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_what_a_run_went_on_with_stands_beside_it_in_its_report(recipe_of, tmp_path, monkeypatch):
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    start = trained(recipe_of("training.max_steps=2", *QUICK), tmp_path)
    after = trained(recipe_of("training.max_steps=2", f"model.adapter={start.id}", *QUICK), tmp_path)
    assert after.status().state == "finished"
    report = json.loads((after.evaluation / "report.json").read_text())
    names = [floor["name"] for floor in report["floors"]]
    assert names[-1] == "the adapter it went on with"
    own = json.loads((start.evaluation / "report.json").read_text())
    tuned = next(metric["tuned"] for metric in own["metrics"] if metric["name"] == "rougeL")
    assert report["floors"][-1]["scores"]["rougeL"] == pytest.approx(tuned)
    assert "the adapter it went on with" not in [floor["name"] for floor in own["floors"]]

    again = recipe_of("training.max_steps=2", f"model.adapter={start.id}", *UNJUDGED)
    stopped = trained(again, tmp_path, lambda run: lambda: run.status().phase == "Fine-tuning")
    assert stopped.status().state == "cancelled" and stopped.metrics()[0][-1]["step"] == 1
    launch.trash(start)
    go_on(stopped, monkeypatch)  # from its checkpoint, and its reference is its own
    assert stopped.metrics()[0][-1]["kl_a_token"] > 0


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_.*is deprecated:FutureWarning")  # TRL's call
def test_a_label_can_be_learned_by_being_right(reviews_file, tiny_llama, tmp_path):
    recipe = load_recipe("sentiment-smollm2-lora", [
        f"model.base={tiny_llama}", f"data.source=file:{reviews_file}", *ONLINE, *QUICK, "training.max_steps=2",
        "way.rewards=[exact, {name: length, words: 1}]", "way.max_new_tokens=3",
        "training.gradient_checkpointing=true",
    ])  # fmt: skip
    run = trained(recipe, tmp_path)
    assert run.status().state == "finished"
    assert json.loads((run.evaluation / "report.json").read_text())["confusion"] is not None


@pytest.mark.parametrize(("flat", "is_said"), [([0.0] * 12 + [0.5] * 4, False), ([0.2] * 12 + [0.75] * 4, True),
                                               ([1.0] * 12 + [0.0] * 4, False), ([1.0] * 4, False)])  # fmt: skip
def test_a_run_whose_groups_came_to_teach_nothing_says_so(recipe_of, flat, is_said):
    said = recipe_of().way.amiss([{"loss": 0.1, "flat_groups": share} for share in flat], 5e-4)
    assert bool(said) == is_said
    if is_said:
        assert "Over the last 4 steps 75% of the prompts taught nothing" in said
        assert "training.learning_rate was 0.0005" in said


def test_where_no_answer_is_worth_more_than_another_the_run_says_so(recipe_of, tmp_path):
    recipe = recipe_of("way.rewards=[exact]", "training.max_steps=2", *UNJUDGED)
    with pytest.raises(RunError, match="All answers to each prompt were worth the same in every step") as caught:
        trained(recipe, tmp_path)
    assert "way.temperature" in caught.value.fix

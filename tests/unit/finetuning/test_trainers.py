"""The training loop: same losses as TRL's own, completion only, every row once an epoch."""

import pytest
import torch
from trl import SFTConfig, SFTTrainer

from finetuning.preparation import encode_for_causal, open_data
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.causal import CausalTrainer, causal_trainer
from finetuning.trainers.lengths import LikeLengthSampler
from models import loading
from models.fast.supports import supports
from models.loading import load
from models.prompting import Prompter
from models.sources import resolve


def losses(trainer):
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def prepared(recipe):
    loaded = load(resolve(recipe.model.base), precision=recipe.model.precision)
    prompter = Prompter(loaded.tokenizer, recipe.task_definition)
    rows = encode_for_causal(open_data(recipe).splits["train"], prompter, 512)
    return loaded, rows


@pytest.mark.cuda
@pytest.mark.parametrize(
    "settings", [["strategy=lora", "model.precision=float32"], ["model.precision=nf4"]], ids=["lora", "qlora"]
)
def test_losses_equal_trls_step_by_step_in_float32(settings, tiny_llama, recipe_on, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")
    recipe = recipe_on("dialogue-smollm2-qlora", tiny_llama, *settings, "training.max_steps=5")
    loaded, rows = prepared(recipe)
    trainer = causal_trainer(
        recipe, recipe.apply_strategy(loaded.model), loaded.tokenizer, rows, str(tmp_path / "a"), []
    )
    model = trainer.model.get_base_model()
    assert supports(model) == (model.device.type == "cpu")  # so that its layers are computed by hand
    ours = losses(trainer)

    loaded, rows = prepared(recipe)
    # The same batches for TRL: only the sampler is ours, the loss is its own.
    for name in ("_get_train_sampler", "row_lengths"):
        monkeypatch.setattr(SFTTrainer, name, getattr(CausalTrainer, name), raising=False)
    arguments = SFTConfig(
        **shared_arguments(recipe, str(tmp_path / "b"), len(rows)), max_length=None, completion_only_loss=True
    )
    trl = SFTTrainer(
        model=recipe.apply_strategy(loaded.model),
        args=arguments,
        train_dataset=rows,
        processing_class=loaded.tokenizer,
    )
    for parameter in trl.model.parameters():
        if parameter.requires_grad:  # over 4 bits TRL would train it in bfloat16
            parameter.data = parameter.data.float()
    theirs = losses(trl)
    assert len(ours) == 5
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), atol=1e-4, rtol=0)


def test_the_prompt_is_not_trained_on(tiny_llama, recipe_on):
    _, rows = prepared(recipe_on("sentiment-smollm2-lora", tiny_llama))
    for row in rows:
        completion = [token for token, kept in zip(row["input_ids"], row["completion_mask"], strict=True) if kept]
        assert len(completion) == 2  # the label and the end of turn
        assert sum(row["completion_mask"]) == 2 and row["completion_mask"][-2:] == [1, 1]


def test_an_epoch_sees_every_row_once_in_batches_of_like_length():
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(5, 200, (203,), generator=generator).tolist()
    sampler = LikeLengthSampler(lengths, 8, seed=0)
    first, again = list(sampler), list(sampler)
    assert first == again
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(203))
    assert first != second

    def padding(order):
        batches = [order[start : start + 8] for start in range(0, len(order), 8)]
        return sum(
            max(lengths[index] for index in batch) * len(batch) - sum(lengths[index] for index in batch)
            for batch in batches
        )

    shuffled = torch.randperm(203, generator=generator).tolist()
    assert padding(first) < 0.35 * padding(shuffled)


def test_the_batches_do_not_come_in_the_order_of_their_lengths():
    lengths = list(range(160))
    order = list(LikeLengthSampler(lengths, 8, seed=0))
    starts = order[::8]
    assert starts != sorted(starts) and starts != sorted(starts, reverse=True)


def test_a_classifiers_step_is_the_mean_over_the_batches_that_it_accumulates(tiny_bert, recipe_on, tmp_path):
    """Its model takes any arguments, so the library took the loss of each for a share of the step's."""
    recipe = recipe_on(
        "sentiment-minilm-lora", tiny_bert, "training.gradient_accumulation=2", "model.precision=float32"
    )
    opened = open_data(recipe)
    loaded = load(resolve(recipe.model.base), kind="classifier", precision="float32", task=opened.task)
    rows = recipe.way.encode(opened.splits["train"], loaded.tokenizer, recipe, opened.task)
    model = recipe.apply_strategy(loaded.model)
    trainer = recipe.way.trainer(recipe, model, loaded.tokenizer, rows, str(tmp_path), [])
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batches = [trainer.data_collator([rows[place] for place in places]) for places in (range(4), range(4, 8))]

    def gradients(loss_of):
        model.zero_grad()
        loss_of()
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.requires_grad}

    def step():
        trainer.current_gradient_accumulation_steps = 2
        counted = trainer._get_num_items_in_batch(batches, trainer.args.device)
        for batch in batches:
            trainer.training_step(model, dict(batch), counted)

    def mean():
        model.train()
        sum(model(**batch).loss / 2 for batch in batches).backward()

    trainer.optimizer = None
    ours, expected = gradients(step), gradients(mean)
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, msg=name)

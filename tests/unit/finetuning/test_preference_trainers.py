"""Ways dpo and kto: gradients are TRL's own, on prompts of ours, and the reference is what training began with."""

import pytest
import torch
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from data.problems import ProblemsError
from finetuning.preparation import open_data
from finetuning.recipe import load_recipe
from finetuning.trainers.kto import answers_of_others
from finetuning.trainers.reference import REFERENCE_FILE
from models.fast.llama import LlamaLayers
from models.loading import load
from models.sources import resolve
from plumbing.errors import RecipeError, RunError

QUIET = {"report_to": "none", "disable_tqdm": True, "bf16": False, "use_cpu": True, "max_length": None,
         "gradient_checkpointing": False}  # fmt: skip


@pytest.fixture
def ready(tiny_llama, pairs_file, monkeypatch):
    """`ready(way, *settings)` → recipe, loaded base, model with its strategy, encoded training rows."""
    from models import loading

    monkeypatch.setattr(loading, "best_precision", lambda: "float32")

    def build(way, *settings, acts=False):
        recipe = load_recipe(
            f"dialogue-smollm2-{way}",
            [f"model.base={tiny_llama}", f"data.source=file:{pairs_file}", "training.batch_size=4",
             "training.max_steps=2", "training.gradient_accumulation=1", *settings],
        )  # fmt: skip
        opened = open_data(recipe)
        loaded = load(resolve(str(tiny_llama)), precision=recipe.load_precision)
        model = recipe.apply_strategy(loaded.model).train()
        generator = torch.Generator().manual_seed(1)
        for name, value in model.named_parameters():
            if acts and "lora_B" in name:
                value.data.copy_(torch.randn(value.shape, generator=generator) * 0.1)
        rows = recipe.way.encode(opened.splits["train"], loaded.tokenizer, recipe, opened.task)
        held = recipe.way.encode(opened.splits["validation"], loaded.tokenizer, recipe, opened.task)
        return recipe, loaded, model, rows, held

    return build


def trainer_of(recipe, loaded, model, rows, folder, held=None, callbacks=()):
    trainer = recipe.way.trainer(
        recipe, model, loaded.tokenizer, rows, str(folder / "checkpoints"), list(callbacks), held
    )
    trainer.prepare(lambda *_: None)
    return trainer


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def some(trainer, count=4):
    rows = [trainer.train_dataset[place] for place in range(count)]
    return trainer._prepare_inputs(trainer.data_collator(rows))


def moved(model, seed=5):
    """Another policy than the reference: what learns is moved a little."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        if value.requires_grad and "ref" not in name.split("."):
            value.data += torch.randn(value.shape, generator=generator) * 0.05


def test_the_rows_are_our_prompt_and_both_answers_with_their_ends(ready):
    recipe, loaded, _, rows, _ = ready("dpo")
    row, opened = rows[0], open_data(recipe)
    prompter = recipe.way.prompter(loaded.tokenizer, opened.task)
    first = opened.splits["train"][0]
    assert row["prompt_ids"] == prompter.encode_prompt(first["dialogue"])
    example = prompter.encode_row(first)
    assert row["prompt_ids"] + row["chosen_ids"] == example.input_ids  # as supervised learning has them
    assert loaded.tokenizer.decode(row["rejected_ids"]) == first["rejected"] + "<|im_end|>"
    thumbs = ready("kto")[3]
    assert sorted(set(thumbs["label"])) == [False, True] and len(thumbs) == 2 * len(rows)
    prompts, answers, shared = recipe.way.lengths([first], loaded.tokenizer, opened.task)
    assert prompts == [len(row["prompt_ids"])] and shared == 0
    assert answers == [round((len(row["chosen_ids"]) + len(row["rejected_ids"])) / 2)]
    shown = recipe.way.preview(first, loaded.tokenizer, opened.task)
    assert "".join(text for text, trained in shown if trained).startswith(first["summary"])


def test_a_side_that_is_too_long_is_refused_with_its_row(ready):
    with pytest.raises(ProblemsError, match=r"row 2, column dialogue: \d+ tokens, and the longest"):
        ready("dpo", "training.max_tokens=64")


@pytest.mark.parametrize("settings", [(), ("way.loss=ipo",), ("way.loss=robust", "way.label_smoothing=0.2")])
@pytest.mark.parametrize("strategy", ["lora", "full"])
def test_of_pairs_loss_and_gradients_are_trls(ready, tmp_path, strategy, settings, monkeypatch):
    calls, own = [], LlamaLayers.__call__
    monkeypatch.setattr(LlamaLayers, "__call__", lambda *given: calls.append(1) or own(*given))
    recipe, loaded, model, rows, _ = ready("dpo", f"strategy.kind={strategy}", *settings)
    trainer = trainer_of(recipe, loaded, model, rows, tmp_path)
    moved(trainer.model)
    loss = trainer.compute_loss(trainer.model, some(trainer))
    ours = gradients(trainer.model, loss)
    assert calls  # by our layers

    _, _, plain, _, _ = ready("dpo", f"strategy.kind={strategy}", *settings)
    way = recipe.way
    theirs = _Plain(
        model=plain,
        args=DPOConfig(str(tmp_path / "plain"), beta=way.beta, loss_type=[way.loss],
                       label_smoothing=way.label_smoothing, **QUIET),
        train_dataset=rows,
        processing_class=loaded.tokenizer,
        ref_model=None if strategy == "lora" else load(loaded.source, precision="float32").model,
    )  # fmt: skip
    moved(theirs.model)
    batch = theirs.data_collator([rows[place] for place in range(4)])
    expected = theirs.compute_loss(theirs.model, batch)
    plain_gradients = gradients(theirs.model, expected)
    torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-5, atol=1e-6)
    _compare(ours, plain_gradients)


def test_of_thumbs_loss_and_gradients_are_trls(ready, tmp_path):
    recipe, loaded, model, rows, _ = ready("kto")
    trainer = trainer_of(recipe, loaded, model, rows, tmp_path)
    moved(trainer.model)
    loss = trainer.compute_loss(trainer.model, some(trainer))
    ours = gradients(trainer.model, loss)
    _, _, plain, _, _ = ready("kto")
    theirs = _PlainThumbs(
        model=plain,
        args=KTOConfig(str(tmp_path / "plain"), beta=recipe.way.beta, **QUIET),
        train_dataset=rows,
        processing_class=loaded.tokenizer,
    )
    moved(theirs.model)
    # The same answers to other prompts: which they are is ours to say.
    batch = theirs.data_collator(
        [
            {**rows[place], "KL_completion_ids": trainer.train_dataset[place]["KL_completion_ids"]}
            for place in range(4)
        ]
    )
    expected = theirs.compute_loss(theirs.model, batch)
    torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-5, atol=1e-6)
    _compare(ours, gradients(theirs.model, expected))


def _compare(ours, plain):
    assert {name for name in plain if ".ref." not in name} == ours.keys()
    for name, gradient in ours.items():
        atol = max(2e-5 * plain[name].abs().max().item(), 1e-7)
        torch.testing.assert_close(gradient, plain[name], rtol=1e-5, atol=atol, msg=name)


class _Plain(DPOTrainer):
    """TRL's own, on rows that are tokens already."""

    def _prepare_dataset(self, dataset, *_):
        return dataset


class _PlainThumbs(KTOTrainer):
    def _prepare_dataset(self, dataset, *_):
        return dataset


# ---- the reference -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["dpo", "kto"])
def test_the_reference_is_the_model_that_training_begins_with(ready, tmp_path, way):
    """Where an adapter goes on, too: so no reward is there before the first step."""
    recipe, loaded, model, rows, held = ready(way, acts=True)
    trainer = trainer_of(recipe, loaded, model, rows, tmp_path, held)
    assert set(trainer.model.peft_config) == {"default"}  # no copy of the adapter
    assert trainer.ref_model is None
    trainer.model.eval()
    with torch.no_grad():
        trainer._compute_loss(trainer.model, some(trainer), False)
    rewards = [value for name, value in trainer._metrics["eval"].items() if name in ("rewards/chosen", "kl")]
    assert rewards and all(abs(value[0]) < 1e-5 for value in rewards)
    column = "ref_chosen_logps" if way == "dpo" else "ref_logps"
    with trainer.model.disable_adapter(), torch.no_grad():
        base = trainer.reference_of(some(trainer))[0]
    kept = torch.tensor(trainer.train_dataset[column][:4])
    assert not torch.allclose(base, kept, atol=1e-3)  # and it is not the base
    assert column in trainer.eval_dataset.column_names


def test_of_a_new_adapter_it_is_the_base_which_the_adapter_switched_off_gives_by_hand_too(
    ready, tmp_path, monkeypatch
):
    calls, own = [], LlamaLayers.__call__
    monkeypatch.setattr(LlamaLayers, "__call__", lambda *given: calls.append(1) or own(*given))
    recipe, loaded, model, rows, _ = ready("dpo")
    trainer = trainer_of(recipe, loaded, model, rows, tmp_path)
    moved(trainer.model)
    batch, told = some(trainer), len(calls)
    with torch.no_grad():
        now = torch.stack(list(trainer.reference_of(batch)))
        with trainer.model.disable_adapter():
            off = torch.stack(list(trainer.reference_of(batch)))
    assert told and len(calls) == told + 2
    plain = AutoModelForCausalLM.from_pretrained(loaded.source.path, dtype=torch.float32)
    expected = torch.zeros(2, 4)
    for place in range(4):
        for side, name in enumerate(("chosen_ids", "rejected_ids")):
            prompt, answer = (rows[place][column] for column in ("prompt_ids", name))
            with torch.no_grad():
                found = plain(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
            expected[side, place] = found[len(prompt) - 1 : -1][range(len(answer)), answer].sum()
    kept = torch.tensor([trainer.train_dataset[column][:4] for column in trainer.measures])
    for ours in (kept, off):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-5)
    assert not torch.allclose(now, expected, atol=1e-2)


def test_it_is_measured_in_the_precision_of_training(ready, tmp_path, monkeypatch):
    """A GPU multiplies a whole model's float32 weights in bfloat16: what is compared has to be rounded alike."""
    recipe, loaded, model, rows, _ = ready("dpo", "strategy.kind=full")
    trainer = recipe.way.trainer(recipe, model, loaded.tokenizer, rows, str(tmp_path / "c"), [])
    monkeypatch.setattr(trainer.accelerator, "autocast", lambda: torch.autocast("cpu", torch.bfloat16))
    own, seen = trainer.reference_of, set()
    monkeypatch.setattr(
        trainer, "reference_of", lambda inputs: seen.add(torch.is_autocast_enabled("cpu")) or own(inputs)
    )
    trainer.prepare(lambda *_: None)
    assert seen == {True}


def test_an_attempt_that_goes_on_has_the_reference_of_the_first(ready, tmp_path):
    recipe, loaded, model, rows, held = ready("dpo")
    first = trainer_of(recipe, loaded, model, rows, tmp_path, held)
    (tmp_path / "checkpoints" / "checkpoint-1").mkdir()
    moved(model)
    told = []
    again = recipe.way.trainer(recipe, model, loaded.tokenizer, rows, str(tmp_path / "checkpoints"), [], held)
    again.prepare(lambda *said: told.append(said))
    assert again.train_dataset["ref_chosen_logps"][:] == first.train_dataset["ref_chosen_logps"][:]
    assert not told  # nothing is measured
    turned = held.select([*range(1, len(held)), 0])  # as many, and others: their numbers would be taken for these
    for train, validation in ((rows.select(range(9)), held), (rows, turned)):
        other = recipe.way.trainer(
            recipe, model, loaded.tokenizer, train, str(tmp_path / "checkpoints"), [], validation
        )
        with pytest.raises(RunError, match="The rows have changed since the run began"):
            other.prepare(lambda *_: None)
    (tmp_path / "checkpoints" / REFERENCE_FILE).unlink()
    with pytest.raises(RunError, match="cannot be read"):
        again.prepare(lambda *_: None)


def test_measuring_can_be_stopped(ready, tmp_path):
    recipe, loaded, model, rows, held = ready("kto")
    trainer = recipe.way.trainer(recipe, model, loaded.tokenizer, rows, str(tmp_path / "c"), [], held)
    seen = []

    def stop(what, done, total):
        seen.append((done, total))
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.prepare(stop)
    assert seen[0] == (0, len(rows) + len(held)) and not (tmp_path / "c" / REFERENCE_FILE).exists()
    assert trainer.model.training


# ---- what is measured on the way -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["dpo", "kto"])
def test_the_validation_loss_is_that_of_all_rows_and_so_are_the_curves(ready, tmp_path, way):
    recipe, loaded, model, rows, _ = ready(way)
    trainer = trainer_of(recipe, loaded, model, rows, tmp_path, rows)
    sizes = list(map(len, trainer.in_batches(rows)))
    assert len(set(sizes)) == 2  # the last one is smaller: a mean of the batches' means would be wrong
    moved(trainer.model)
    before = torch.get_rng_state()
    found = trainer.evaluate()
    assert torch.equal(before, torch.get_rng_state())
    assert found == trainer.evaluate()
    assert found["eval_loss"] > 0 and "eval_rewards/margins" in found
    assert found["eval_rewards/margins"] == pytest.approx(
        found["eval_rewards/chosen"] - found["eval_rewards/rejected"], abs=1e-5
    )
    assert set(recipe.way.curves) == {name.removeprefix("eval_") for name in found if name != "eval_loss"}
    batch = trainer._prepare_inputs(trainer.data_collator([dict(row) for row in trainer.eval_dataset]))
    trainer.model.eval()
    with torch.no_grad():
        loss, count = trainer.summed_loss(batch)  # of all rows at once
    assert count == len(rows)
    whole = trainer.also_measured()
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins"):
        assert found[f"eval_{name}"] == pytest.approx(whole[name], rel=1e-4)
    if way == "dpo":  # of thumbs it depends on the average of a batch
        assert found["eval_loss"] == pytest.approx(loss / count, rel=1e-5)


def test_the_batches_of_thumbs_stay_together_and_change_their_order(ready, tmp_path):
    recipe, loaded, model, rows, _ = ready("kto")
    trainer = trainer_of(recipe, loaded, model, rows, tmp_path)
    sampler = trainer._get_train_sampler()
    epochs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        order = list(sampler)
        epochs.append([order[at : at + 4] for at in range(0, len(order), 4)])
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1])
    for batch in trainer.train_batches():  # both answers to a prompt, one with each thumb
        prompts = [tuple(trainer.train_dataset["prompt_ids"][place]) for place in batch]
        assert all(prompts.count(prompt) == 2 for prompt in prompts)
        assert sum(trainer.train_dataset["label"][place] for place in batch) * 2 == len(batch)
    batch = trainer.train_batches()[0]
    answers = trainer.train_dataset["completion_ids"]
    own = [answers[place] for place in batch]
    assert all(trainer.train_dataset["KL_completion_ids"][place] in own for place in batch)


def test_the_answer_of_another_is_to_another_prompt():
    prompts = [[1], [1], [2], [3], [4]]
    assert answers_of_others(prompts, [[0, 1, 2, 3], [4]]) == [2, 3, 0, 1, 0]  # of a batch each answer once
    assert answers_of_others([[1], [2], [3]], [[2, 0, 1]]) == [2, 0, 1]  # the one before it, as TRL has it
    assert answers_of_others([[1], [1], [2]], [[0, 1], [2]]) == [2, 2, 0]
    assert answers_of_others([[1], [1]], [[0, 1]]) == [0, 0]  # there is no other


# ---- settings that make no sense ------------------------------------------------------------------------------


def test_settings_that_do_not_fit_are_refused_with_what_would():
    with pytest.raises(RecipeError, match="label_smoothing: only loss: robust knows of pairs"):
        load_recipe("dialogue-smollm2-dpo", ["way.label_smoothing=0.1"])
    with pytest.raises(RecipeError, match="robust needs the share of pairs"):
        load_recipe("dialogue-smollm2-dpo", ["way.loss=robust"])
    with pytest.raises(RecipeError, match=r"training.batch_size: way: kto compares each answer with the others"):
        load_recipe("dialogue-smollm2-kto", ["training.batch_size=1"])
    assert load_recipe("dialogue-smollm2-kto", ["training.batch_size=1", "way.loss=apo_zero"])
    for way in ("dpo", "kto"):
        with pytest.raises(RecipeError, match="labels are right or wrong, and not better or worse"):
            load_recipe("sentiment-smollm2-lora", [f"way={way}"])
    with pytest.raises(RecipeError, match=r"way\.beta"):
        load_recipe("dialogue-smollm2-dpo", ["way.beta=0"])


def test_the_rarer_thumb_weighs_more_unless_somebody_says():
    way = load_recipe("dialogue-smollm2-kto").way
    assert way.weights(10, 30) == (3.0, 1.0) and way.weights(30, 10) == (1.0, 3.0) and way.weights(7, 7) == (1, 1)
    said = load_recipe("dialogue-smollm2-kto", ["way.liked_weight=2"]).way
    assert said.weights(10, 30) == (2.0, 1.0)


def test_without_the_average_there_is_no_other_answer(ready, tmp_path):
    recipe, loaded, model, rows, held = ready("kto", "way.loss=apo_zero")
    trainer = trainer_of(recipe, loaded, model, rows, tmp_path, held)
    assert not any("KL" in name for name in trainer.train_dataset.column_names)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(0.5, abs=1e-5)  # no answer has gained yet

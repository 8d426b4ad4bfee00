"""Log-probabilities of completions in groups, and their gradients, are those that TRL computes row by row."""

from contextlib import nullcontext

import pytest
import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import pad, use_adapter

from models import loading
from models.fast.groups import completion_log_probs, grouped
from models.fast.llama import LlamaLayers
from models.fast.packing import Group, PackedGroups
from models.loading import load, load_tokenizer
from models.sources import resolve

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SIZES = {
    "vocab_size": 400,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
KINDS = {
    "llama": ("Llama", {"head_dim": 8, "attention_bias": True}),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 16}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
}
A, B, C = [5, 6, 7, 8, 9], [5, 6, 11], [5, 6, 11, 12, 13, 14, 15, 16]
BATCHES = {
    "groups of unlike lengths": (
        [A, B, A, C, B, A],
        [[20, 21, 22, 2], [23], [24, 25, 26, 27, 28, 29, 2], [30, 2], [31, 32, 33], [34, 35, 2]],
    ),
    "one group": ([C, C, C], [[20, 21, 22, 2], [2], [23, 24, 2]]),
    "groups of one": ([A, B, C], [[20, 21, 2], [22, 23, 24, 25, 2], [26]]),
}
"""Prompts and completions; B begins as C does, and all begin alike."""


def build(kind):
    """A random model in float32, of whose biases and norms none is as it begins."""
    name, settings = KINDS[kind]
    config = getattr(transformers, f"{name}Config")(**SIZES | settings)
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += torch.randn(len(parameter)) * 0.3
    return model


def adapted(model, **options):
    settings = {"r": 4, "lora_alpha": 6, "target_modules": ALL, "init_lora_weights": False}
    torch.manual_seed(8)
    return get_peft_model(model, LoraConfig(**settings | options))


def last(model):
    """The last block, the final norm and the head learn."""
    model.requires_grad_(False)
    for part in (model.model.layers[-1], model.model.norm, model.lm_head):
        part.requires_grad_(True)
    return model


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return load_tokenizer(resolve(str(tiny_llama)))


@pytest.fixture
def trl(tokenizer, tmp_path):
    """`trl(model, temperature=1.0, **arguments)` → TRL's own trainer of a model."""

    def trainer(model, temperature=1.0, **arguments):
        config = GRPOConfig(
            output_dir=str(tmp_path),
            temperature=temperature,
            per_device_train_batch_size=2,
            num_generations=2,
            gradient_checkpointing=False,
            bf16=False,
            report_to="none",
            dataloader_pin_memory=False,
            **arguments,
        )
        return GRPOTrainer(
            model=model,
            reward_funcs=no_reward,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": "Ana"}, {"prompt": "Leo"}]),
            processing_class=tokenizer,
        )

    return trainer


def no_reward(completions, **_):
    return [0.0] * len(completions)


def row_by_row(trainer, prompts, completions):
    """TRL's log-probabilities and entropies of each completion's tokens."""
    sides = [
        pad([torch.tensor(row) for row in rows], padding_value=0, padding_side=side)
        for rows, side in ((prompts, "left"), (completions, "right"))
    ]
    masks = [
        pad([torch.ones(len(row), dtype=torch.long) for row in rows], padding_value=0, padding_side=side)
        for rows, side in ((prompts, "left"), (completions, "right"))
    ]
    log_probs, entropies, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, torch.cat(sides, dim=1), torch.cat(masks, dim=1), sides[1].shape[1], compute_entropy=True
    )
    return tuple(
        [row[: len(completion)] for row, completion in zip(rows, completions, strict=True)]
        for rows in (log_probs, entropies)
    )


def gradients(model, log_probs):
    """Of a sum in which every token has a factor of its own."""
    values = torch.cat(log_probs)
    factors = torch.randn(len(values), generator=torch.Generator().manual_seed(1))
    model.zero_grad()
    (values * factors).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(trainer, prompts, completions, temperature=1.0, tolerance=1e-4):
    """Values and gradients; TRL's own head, which has been put on the model, changes nothing of ours."""
    model = trainer.model
    expected, entropies = row_by_row(trainer, prompts, completions)
    theirs = gradients(model, expected)
    found = completion_log_probs(model, prompts, completions, temperature=temperature, entropy=True)
    ours = gradients(model, found.log_probs)
    for own, other in ((found.log_probs, expected), (found.entropies, entropies)):
        for one, row in zip(own, other, strict=True):
            torch.testing.assert_close(one, row, atol=tolerance, rtol=0)
    assert not any(row.requires_grad for row in found.entropies)
    assert set(ours) == set(theirs) == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, gradient in theirs.items():
        assert gradient.abs().max() > 0, name
        apart = ((ours[name] - gradient).norm() / gradient.norm()).item()
        assert apart < tolerance, (name, apart)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_trl(kind, batch, trl):
    assert_same(trl(adapted(build(kind)), 0.7), *BATCHES[batch], 0.7)


@pytest.mark.parametrize("what", [lambda model: model, last, adapted], ids=["all", "last block", "adapter"])
def test_whatever_is_trained(what, trl):
    assert_same(trl(what(build("qwen2"))), *BATCHES["groups of unlike lengths"])


def test_in_several_blocks(trl, monkeypatch):
    monkeypatch.setattr("models.fast.packing._KEPT_WEIGHTS", 6 * 7 * 12)
    prompts, completions = BATCHES["groups of unlike lengths"]
    groups = [Group(prompt, [row[:-1] for row in completions]) for prompt in (A, B)]
    assert len(PackedGroups(groups, heads=(6, 2))._blocks) > 1 + 2 * 2
    assert_same(trl(adapted(build("llama"))), prompts, completions)


def test_the_reference_is_what_is_switched_on_at_each_call(trl):
    """The base where the adapter is off; the copy that TRL makes of a trained adapter, where that is active."""
    prompts, completions = BATCHES["groups of unlike lengths"]
    trainer = trl(adapted(build("llama")), beta=0.1)
    assert "ref" in trainer.model.peft_config
    for name, parameter in trainer.model.named_parameters():
        if "lora_B.default" in name:
            parameter.data += 0.3
    seen = []
    for name, within in {
        "off": use_adapter(trainer.model, None),
        "copy": use_adapter(trainer.model, "ref"),
        "on": nullcontext(),
    }.items():
        with within, torch.no_grad():
            expected, _ = row_by_row(trainer, prompts, completions)
            found = completion_log_probs(trainer.model, prompts, completions)
        assert found.entropies is None
        torch.testing.assert_close(torch.cat(found.log_probs), torch.cat(expected), atol=1e-4, rtol=0, msg=name)
        seen.append(torch.cat(found.log_probs))
    assert all((one - other).abs().max() > 0.1 for one, other in zip(seen, [*seen[1:], seen[0]], strict=True))
    with trainer.model.disable_adapter():  # nothing learns beside an adapter that is off
        assert not completion_log_probs(trainer.model, prompts, completions).log_probs[0].requires_grad
    assert_same(trainer, prompts, completions)


@pytest.mark.parametrize(
    ("precision", "computed"), [("bfloat16", "bfloat16"), ("nf4", "bfloat16"), ("nf4", "float32")]
)
def test_other_precisions(tiny_llama, precision, computed, monkeypatch):
    monkeypatch.setattr(loading, "best_precision", lambda: computed)
    base = load(resolve(str(tiny_llama)), precision=precision).model
    base.requires_grad_(False)
    model = adapted(base)
    prompts, completions = BATCHES["groups of unlike lengths"]
    expected = []
    for prompt, completion in zip(prompts, completions, strict=True):
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        expected.append(logits.float().log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0])
    found = completion_log_probs(model, prompts, completions).log_probs
    tolerance = 1e-4 if computed == "float32" else 0.2
    torch.testing.assert_close(torch.cat(found), torch.cat(expected), atol=tolerance, rtol=0)
    theirs, ours = gradients(model, expected), gradients(model, found)
    assert set(ours) == set(theirs)
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() < tolerance * gradient.norm(), name


def test_what_repeats_goes_through_the_layers_once(monkeypatch):
    prompts, completions = BATCHES["groups of unlike lengths"]
    model, computed = build("llama"), []
    own = LlamaLayers.__call__
    monkeypatch.setattr(
        LlamaLayers, "__call__", lambda self, rows, keep: computed.append(rows) or own(self, rows, keep)
    )
    completion_log_probs(model, prompts, completions)
    (rows,) = computed
    behind = [token for completion in completions for token in completion[:-1]]
    assert sorted(rows.tokens.tolist()) == sorted([5, 6, *A[2:], *B[2:], *C[2:], *behind])


def test_places_and_positions():
    packed = PackedGroups([Group([7, 8, 1], [[20], [], [21, 22]]), Group([7, 9], [[]])], heads=(2, 1))
    assert packed.tokens.tolist() == [7, 8, 1, 20, 21, 22, 9]
    assert packed.positions.tolist() == [0, 1, 2, 3, 3, 4, 1]
    assert packed.ends == [2, 6]
    assert packed.starts[0][0] == 3 and packed.starts[0][2] == 4


def test_a_completion_may_be_empty():
    model = build("llama")
    found = completion_log_probs(model, [A, A, B], [[], [20, 2], []], entropy=True)
    alone = completion_log_probs(model, [A], [[20, 2]])
    assert [len(row) for row in found.log_probs] == [len(row) for row in found.entropies] == [0, 2, 0]
    torch.testing.assert_close(found.log_probs[1], alone.log_probs[0])
    nothing = completion_log_probs(model, [A, B], [[], []], entropy=True)
    assert [len(row) for row in nothing.log_probs] == [len(row) for row in nothing.entropies] == [0, 0]
    assert completion_log_probs(model, [], []).log_probs == []


def test_a_model_that_is_not_listed_is_left_alone():
    batch = BATCHES["one group"]
    qwen3 = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(head_dim=8, **SIZES))
    assert completion_log_probs(qwen3, *batch) is None
    dropping = adapted(build("llama"), lora_dropout=0.5)
    assert completion_log_probs(dropping.train(), *batch) is None
    assert completion_log_probs(dropping.eval(), *batch) is not None
    checkpointed = build("llama")
    checkpointed.activation_checkpointing_enable()
    assert completion_log_probs(checkpointed, *batch) is None


def test_equal_items_are_together_in_the_order_of_the_first():
    assert grouped(["b", "a", "b", "c", "a"]) == [[0, 2], [1, 4], [3]]

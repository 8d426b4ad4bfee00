"""Whatever the architecture, and whatever of it is active and trained: loss, gradients, label scores and answers
are the plain library's. Which models' layers are computed by hand is asserted, so that none passes by its modules:
on a GPU none's are.
"""

import copy
import dataclasses
from contextlib import nullcontext

import pytest
import torch
import transformers
from datasets import Dataset
from peft import IA3Config, LoraConfig, get_peft_model
from trl import SFTConfig

from data.tasks import SENTIMENT
from finetuning.trainers.causal import CausalTrainer
from models.adapters import TUNED
from models.fast.fused_lora import fuse_lora
from models.fast.llama import LlamaLayers
from models.generation import answer_batch
from models.loading import device, load_tokenizer
from models.pair import Pair
from models.prompting import Prompter
from models.scoring import score_base_labels, score_labels
from models.sources import resolve

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
}
WINDOW = {"sliding_window": 8}
GPT2 = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "initializer_range": 0.15,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
BIASES = {"attention_bias": True, "mlp_bias": True}
ROPE = {"rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 200,  # more than the shorter prompts below have, fewer than the longest
    "short_factor": [1.0] * 4,
    "long_factor": [3.0] * 4,
}
KINDS = {
    # computed by hand
    "llama": ("Llama", {}),
    "llama with biases": ("Llama", BIASES),
    "llama, yarn, tied": ("Llama", {"rope_parameters": {"rope_type": "yarn", **ROPE}, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 16}),
    "qwen2": ("Qwen2", {}),
    # by their own modules
    "llama, gelu": ("Llama", {"hidden_act": "gelu", **BIASES}),
    "llama, longrope": ("Llama", {"rope_parameters": LONGROPE}),
    "mistral with a window": ("Mistral", WINDOW),
    "qwen2 with a window": ("Qwen2", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "smollm3": ("SmolLM3", {}),
    "phi": ("Phi", {}),
    "phi3": ("Phi3", WINDOW),
    "gemma2": ("Gemma2", {**WINDOW, "head_dim": 8, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3", {**WINDOW, "head_dim": 8, "query_pre_attn_scalar": 8}),
    "granite": ("Granite", {"logits_scaling": 4.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.7}),
    "cohere": ("Cohere", {"logit_scale": 0.25}),
    "olmo": ("Olmo", {}),
    "olmo2": ("Olmo2", {}),
    "gpt2": ("GPT2", GPT2),
    "gpt-neox": ("GPTNeoX", {}),
    "mixtral": ("Mixtral", {"sliding_window": None, "num_local_experts": 3}),
}
BY_HAND = list(KINDS)[:5] if device().type == "cpu" else []
ROWS = [([5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16], 7), ([5, 6, 7, 8], 2), ([5, 6, 7, 20, 21, 22, 23, 24, 25, 26], 9)]
"""Tokens, and how many of them are the prompt."""


def build(kind, **more):
    """A random model in float32, on whose logits every bias, norm and head has its say."""
    name, settings = KINDS[kind]
    sizes = {} if name == "GPT2" else SIZES
    config = getattr(transformers, "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config")(
        **{**sizes, "vocab_size": 400, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **settings, **more}
    )
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += torch.randn(len(parameter)) * 0.3
    return model


def adapted(model, *, name="default", **options):
    own = {
        "GPT2LMHeadModel": {"fan_in_fan_out": True},
        "MixtralForCausalLM": {"target_modules": ["q_proj", "v_proj"]},  # experts are no modules
    }
    settings = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", "init_lora_weights": False}
    config = LoraConfig(**settings | own.get(type(model).__name__, {}) | options)
    return get_peft_model(model, config, adapter_name=name)


def norms(model):
    return sorted(
        {name.split(".")[-1] for name, part in model.named_modules() if type(part).__name__.endswith("Norm")}
    )


def everything(model):
    return model.requires_grad_(True)


def another(model):
    model = adapted(model)
    model.add_adapter("another", LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    model.set_adapter("another")
    return model


def both(model):
    model = another(model)
    model.base_model.set_adapter(["default", "another"])
    return model


def merged(model):
    model = adapted(model)
    model.merge_adapter()
    return model


def ia3(model):
    model = get_peft_model(
        model, IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    )
    for name, parameter in model.named_parameters():
        if "ia3" in name:
            parameter.data += torch.randn(parameter.shape) * 0.3
    return model


WAYS = {
    "all trained": everything,
    "adapter": adapted,
    "adapter, base trained": lambda model: everything(adapted(model)),
    "adapter, off": adapted,
}
MORE_WAYS = {
    "another adapter": another,
    "two adapters": both,
    "merged": merged,
    "norms": lambda model: adapted(model, modules_to_save=norms(model)),
    "embedding": lambda model: adapted(model, modules_to_save=["embed_tokens", "lm_head"]),
    "some tokens": lambda model: adapted(model, trainable_token_indices=[6, 21]),
    "biases": lambda model: adapted(model, bias="lora_only"),
    "biased": lambda model: adapted(model, lora_bias=True),
    "rslora": lambda model: adapted(model, use_rslora=True),
    "dora": lambda model: adapted(model, use_dora=True),
    "ia3": ia3,
    "one layer": lambda model: adapted(model, target_modules=["v_proj"]),
}
MORE_BY_HAND = ("another adapter", "rslora", "one layer")


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return load_tokenizer(resolve(str(tiny_llama)))


@pytest.fixture
def by_hand(monkeypatch):
    """Appended to whenever layers are computed by hand."""
    calls = []
    for name in ("__call__", "infer"):
        own = getattr(LlamaLayers, name)
        monkeypatch.setattr(
            LlamaLayers, name, lambda *given, own=own, **more: calls.append(1) or own(*given, **more)
        )
    return calls


def trainer_of(model, tokenizer, folder):
    rows = [{"input_ids": ids, "completion_mask": [0] * seen + [1] * (len(ids) - seen)} for ids, seen in ROWS]
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=len(ROWS),
        max_length=None,
        completion_only_loss=True,
        report_to="none",
        gradient_checkpointing=False,
        bf16=False,
        dataloader_pin_memory=False,
    )
    return CausalTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )


def step(model, loss):
    """The loss, and the gradient of every parameter that has one."""
    model.zero_grad()
    if loss.requires_grad:
        loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same_step(model, tokenizer, folder, rounding, within=nullcontext):
    plain = copy.deepcopy(model.to(device()))
    trainer = trainer_of(model, tokenizer, folder)
    batch = dict(next(iter(trainer.get_train_dataloader())))
    with within(plain):
        expected, gradients = step(plain, plain(**batch).loss)
    with within(trainer.model):
        loss, own_gradients = step(trainer.model, trainer.compute_loss(trainer.model, batch))
    relative = 1e-5 * rounding
    torch.testing.assert_close(loss, expected, rtol=relative, atol=1e-6 * rounding)
    assert set(own_gradients) == set(gradients)
    for name, gradient in gradients.items():
        absolute = 2e-5 * rounding * gradient.abs().max().item()
        torch.testing.assert_close(own_gradients[name], gradient, rtol=relative, atol=absolute, msg=name)


def switched_off(model):
    return model.disable_adapter()


@pytest.mark.cuda
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_is_the_plain_librarys(kind, way, tokenizer, by_hand, rounding, tmp_path):
    model = WAYS[way](build(kind)).train()
    model.config.output_router_logits = kind == "mixtral"  # then its routers' own loss is added
    within = switched_off if way == "adapter, off" else nullcontext
    assert_same_step(model, tokenizer, tmp_path, rounding, within)
    assert bool(by_hand) == (kind in BY_HAND and way != "adapter, base trained")


@pytest.mark.cuda
@pytest.mark.parametrize("way", MORE_WAYS)
@pytest.mark.parametrize("kind", ["llama with biases", "llama, gelu"])
def test_a_training_step_with_another_adapter_is_the_plain_librarys(
    kind, way, tokenizer, by_hand, rounding, tmp_path
):
    assert_same_step(MORE_WAYS[way](build(kind)).train(), tokenizer, tmp_path, rounding)
    assert bool(by_hand) == (kind in BY_HAND and way in MORE_BY_HAND)


TEXTS = [
    "Fine soup.",
    "The phone died after two days, and nobody answered my letters.",
    "Bad! I would not see it again.",
]
LABELS = {"of a token": SENTIMENT.labels, "of several": ("good", "goop", "bad")}


def behind_a_prompt(kind):
    """The model, if it has a window, with one that ends in what the prompts below share."""
    return build(kind, **({"sliding_window": 48} if KINDS[kind][1].get("sliding_window") else {}))


def pair_of(model, tokenizer, labels=SENTIMENT.labels):
    """Base and tuned as `open_pair` gives them, and the plain library's model."""
    task = dataclasses.replace(SENTIMENT, labels=labels)
    prompter = Prompter(tokenizer, task)
    plain = copy.deepcopy(model.to(device()).eval())
    fuse_lora(model)
    pair = Pair(
        model=model,
        tokenizer=tokenizer,
        task=task,
        kind="causal",
        precision="float32",
        contract=prompter.contract,
        prompter=prompter,
        base=None,
        proof=None,
        adapter_sha256="",
    )
    return pair, plain


def plain_scores(pair, plain, text, *, tuned, history=()):
    """As the whole logits of each label behind its prompt give them, a row at a time."""
    prompt, totals = pair.prompter.encode_prompt(text, history), []
    for label in pair.task.labels:
        target = pair.prompter.encode_target(label)
        with torch.no_grad(), nullcontext() if tuned else plain.disable_adapter():
            ids = torch.tensor([prompt + target[:-1]], device=plain.device)
            logits = plain(input_ids=ids).logits[0].log_softmax(-1)
        totals.append(sum(logits[len(prompt) - 1 + place, token] for place, token in enumerate(target)))
    return torch.stack(totals).log_softmax(-1).cpu()


def assert_same_scores(pair, plain, rounding=1):
    for text, scores in zip(TEXTS, score_labels(pair, TEXTS), strict=True):
        for tuned, own in ((False, scores.base), (True, scores.tuned)):
            assert_close(own, plain_scores(pair, plain, text, tuned=tuned), rounding)


def assert_close(own, expected, rounding):
    torch.testing.assert_close(torch.tensor(own), expected, rtol=1e-5 * rounding, atol=2e-5 * rounding)


@pytest.mark.cuda
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", KINDS)
def test_label_scores_are_the_plain_librarys(kind, labels, tokenizer, by_hand, rounding):
    pair, plain = pair_of(adapted(behind_a_prompt(kind), name=TUNED), tokenizer, LABELS[labels])
    assert_same_scores(pair, plain, rounding)
    history = [{"role": "user", "content": "Cold soup."}, {"role": "assistant", "content": "bad"}]
    for text, own in zip(TEXTS, score_base_labels(pair, TEXTS, history), strict=True):
        assert_close(own, plain_scores(pair, plain, text, tuned=False, history=history), rounding)
    assert bool(by_hand) == (kind in BY_HAND)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_plain_librarys(kind, tokenizer, by_hand):
    pair, plain = pair_of(adapted(behind_a_prompt(kind), name=TUNED), tokenizer)
    batch_size = 1 if kind == "llama, longrope" else len(TEXTS)  # there rows of a batch have to do with each other
    answers = answer_batch(pair, TEXTS, max_new_tokens=6, batch_size=batch_size)
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
    for text, answer in zip(TEXTS, answers, strict=True):
        prompt = pair.prompter.encode_prompt(text)
        for tuned, own in ((False, answer.base), (True, answer.tuned)):
            with torch.no_grad(), nullcontext() if tuned else plain.disable_adapter():
                ids = torch.tensor([prompt], device=plain.device)
                tokens = plain.generate(input_ids=ids, **settings)[0, len(prompt) :].tolist()
            assert own.token_ids == [token for token in tokens if token != tokenizer.eos_token_id]
    assert bool(by_hand) == (kind in BY_HAND)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["llama", "gemma2", "phi"])
def test_scores_by_an_adapted_head_are_the_plain_librarys(kind, tokenizer, by_hand, rounding):
    model = adapted(build(kind, tie_word_embeddings=False), name=TUNED, target_modules=["q_proj", "lm_head"])
    assert_same_scores(*pair_of(model, tokenizer), rounding)
    assert not by_hand


def set_another(model):
    torch.manual_seed(1)
    model.add_adapter("another", LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    model.set_adapter("another")


def test_what_is_active_is_seen_at_each_call(tokenizer, by_hand):
    pair, plain = pair_of(adapted(build("llama"), name=TUNED), tokenizer)
    assert_same_scores(pair, plain)
    with pair.model.disable_adapter(), plain.disable_adapter():
        assert_same_scores(pair, plain)
    assert by_hand
    del by_hand[:]
    set_another(pair.model)
    set_another(plain)
    assert_same_scores(pair, plain)
    assert not by_hand
    pair.model.set_adapter(TUNED)
    plain.set_adapter(TUNED)
    assert_same_scores(pair, plain)
    assert by_hand
    for model in (pair.model, plain):
        model.merge_adapter()
    assert_same_scores(pair, plain)

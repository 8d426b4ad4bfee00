"""Every pair of a way and a strategy: each parameter that learns gets the gradient that the plain library gives it,
everything else gets none, and which layers are computed by hand is as it is written down here.
"""

from contextlib import nullcontext
from itertools import islice

import pytest
import torch
import transformers

from finetuning.estimates.estimate import parameter_count
from finetuning.preparation import open_data
from finetuning.recipe import load_recipe
from finetuning.strategies.counts import count_parameters
from models import loading
from models.fast.llama import LlamaLayers
from models.loading import load, load_tokenizer
from models.sources import resolve

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "initializer_range": 0.15}
CAUSAL = SIZES | {"intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 512}
DISTILBERT = {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4, "initializer_range": 0.15}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
MODELS = {
    "llama": ("sft", "LlamaForCausalLM", CAUSAL | {"tie_word_embeddings": True}),
    "mistral": ("sft", "MistralForCausalLM", CAUSAL | {"sliding_window": None}),
    "qwen2": ("sft", "Qwen2ForCausalLM", CAUSAL),
    "qwen3": ("sft", "Qwen3ForCausalLM", CAUSAL | {"head_dim": 8}),
    "gpt2": ("sft", "GPT2LMHeadModel", {"n_embd": 32, "n_layer": 3, "n_head": 4, "initializer_range": 0.15,
                                       "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
    "llama, reward": ("reward", "LlamaForCausalLM", CAUSAL | {"tie_word_embeddings": True}),
    "bert": ("classify", "BertModel", SIZES | STILL | {"intermediate_size": 48}),
    "roberta": ("classify", "RobertaModel", SIZES | STILL | {"intermediate_size": 48, "pad_token_id": 0}),
    "distilbert": ("classify", "DistilBertModel", DISTILBERT | NO_DROPOUT),
}  # fmt: skip
MODELS |= {f"{model}, texts": ("text", *MODELS[model][1:]) for model in ("llama", "qwen3")}
RECIPES = {
    "sft": "sentiment-smollm2-lora", "text": "style-smollm2-lora", "classify": "sentiment-minilm-lora",
    "reward": "dialogue-smollm2-reward",
}  # fmt: skip
STRATEGIES = {
    "full": ["strategy.kind=full"],
    "last": ["strategy.kind=last", "strategy.blocks=1"],
    "last two, new": ["strategy.kind=last", "strategy.blocks=2", "strategy.new=true"],
    "head": ["strategy.kind=last", "strategy.blocks=0"],
    "lora": ["strategy=lora", "strategy.target_modules=all-linear"],
    "rslora": ["strategy=lora", "strategy.target_modules=all-linear", "strategy.rslora=true"],
    "dora": ["strategy=lora", "strategy.target_modules=all-linear", "strategy.dora=true"],
    "qlora": ["strategy=qlora", "strategy.target_modules=all-linear"],
    "qdora": ["strategy=qlora", "strategy.target_modules=all-linear", "strategy.dora=true"],
}
PAIRS = [
    (model, strategy)
    for model, (way, _, _) in MODELS.items()
    for strategy in STRATEGIES
    if not (way == "sft" and strategy == "head")  # refused: nothing would learn
    and not (way == "text" and strategy not in ("full", "last", "lora", "qlora"))  # the rows alone are others
    and not (model == "gpt2" and "lora" in strategy + STRATEGIES[strategy][0])  # its layers are no linear ones
]
LAYERS_BY_HAND = {"llama", "mistral", "qwen2", "llama, texts", "llama, reward"}
STRATEGIES_BY_HAND = {"lora", "rslora", "qlora", "full", "last", "last two, new", "head"}


@pytest.fixture(scope="module")
def base_of(tmp_path_factory, tiny_llama, tiny_bert):
    """`base_of(model)` → folder."""
    built = {}

    def build(name):
        if name not in built:
            way, kind, sizes = MODELS[name]
            tokenizer = load_tokenizer(resolve(str(tiny_bert if way == "classify" else tiny_llama)))
            folder = tmp_path_factory.mktemp(name)
            tokenizer.save_pretrained(folder)
            config = getattr(transformers, kind).config_class(vocab_size=len(tokenizer), **sizes)
            config.pad_token_id, config.bos_token_id, config.eos_token_id = 0, 1, 2
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(3)
                model = getattr(transformers, kind)(config)
                for value in model.parameters():
                    if value.dim() == 1:  # biases and norms have their say
                        value.data += torch.randn(len(value)) * 0.3
            model.save_pretrained(folder)
            built[name] = folder
        return built[name]

    return build


@pytest.fixture
def recipe_of(base_of, recipe_on, monkeypatch):
    """`recipe_of(model, strategy)` → a recipe in float32, or over 4 bits that are unpacked to it."""
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")

    def build(model, strategy):
        way = MODELS[model][0]
        more = ["training.max_tokens=256"] if way == "text" else []  # several rows of several texts
        return recipe_on(RECIPES[way], base_of(model), *STRATEGIES[strategy], *more)

    return build


def ready(recipe):
    """The loaded base with the recipe's strategy, and what of it asks for gradients."""
    source, task = resolve(recipe.model.base), recipe.task_definition
    loaded = load(source, kind=recipe.kind, precision=recipe.load_precision, task=task)
    model = recipe.apply_strategy(loaded.model).train()
    generator = torch.Generator().manual_seed(1)
    for name, value in model.named_parameters():
        if "lora_B" in name:  # it starts at zero, where A has no gradient
            value.data.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return loaded, model


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def assert_the_same(loss, ours, expected, plain):
    """A loss and its gradients are those of the plain library, but for rounding."""
    torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-5, atol=1e-6)
    # What is added to all keys alike changes nothing: the gradient of a key's bias is but rounding.
    rounding = 1e-7 * max(gradient.abs().max().item() for gradient in plain.values())
    for name, gradient in plain.items():
        atol = max(2e-5 * gradient.abs().max().item(), rounding)
        torch.testing.assert_close(ours[name], gradient, rtol=1e-5, atol=atol, msg=name)


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def inputs_of(some):
    """A batch, as a trainer's collator would make it."""
    if "chosen_ids" in some:
        both = [*some["chosen_ids"], *some["rejected_ids"]]
        return {"input_ids": padded(both), "attention_mask": padded([[1] * len(row) for row in both])}
    ids, mask = padded(some["input_ids"]), padded([[1] * len(row) for row in some["input_ids"]])
    if "completion_mask" in some:
        labels = ids.masked_fill(padded(some["completion_mask"]) == 0, -100)
    else:
        labels = torch.tensor(some["labels"])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def plain_loss(model, inputs, way):
    """By the model's own modules."""
    outputs = model(**inputs)
    if "labels" in inputs:
        return outputs.loss
    better, worse = outputs.logits[:, 0].chunk(2)
    centred = way.center_rewards_coefficient * (better + worse) ** 2
    return (centred - torch.nn.functional.logsigmoid(better - worse)).mean()


def apart(rows):
    """The texts that share rows, each as a row."""
    found = {"input_ids": [], "completion_mask": []}
    for number, lengths in enumerate(rows["seq_lengths"]):
        for name, texts in found.items():
            row = iter(rows[name][number])
            texts += [list(islice(row, length)) for length in lengths]
    return found


def plain_name(name):
    """A parameter's name as a file of weights has it."""
    name = name.replace(".default", "").replace(".modules_to_save", "").replace(".base_layer", "")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


@pytest.mark.parametrize(("model", "strategy"), PAIRS)
def test_each_gradient_is_the_plain_librarys_and_nothing_else_has_one(
    model, strategy, recipe_of, tmp_path, monkeypatch
):
    by_hand, own = [], LlamaLayers.__call__
    monkeypatch.setattr(LlamaLayers, "__call__", lambda *given: by_hand.append(1) or own(*given))
    recipe = recipe_of(model, strategy)
    loaded, trained = ready(recipe)
    asking = {name for name, value in trained.named_parameters() if value.requires_grad}
    assert {value.dtype for name, value in trained.named_parameters() if name in asking} == {torch.float32}

    way, task = recipe.way, recipe.task_definition
    rows = way.encode(open_data(recipe).splits["train"], loaded.tokenizer, recipe, task)
    # The plain library first, on this very model: afterwards some of its parts are faster ones.
    shared = "seq_lengths" in rows.column_names
    inputs = inputs_of(apart(rows[:2]) if shared else rows[:4])
    expected = plain_loss(trained, inputs, way)
    plain = gradients(trained, expected)
    assert plain.keys() == asking and not by_hand

    trainer = way.trainer(recipe, trained, loaded.tokenizer, rows, str(tmp_path / "run" / "checkpoints"), [])
    assert {name for name, value in trainer.model.named_parameters() if value.requires_grad} == asking
    batch = inputs
    if shared:  # several texts a row, which the plain library has read one by one
        batch = trainer.data_collator([trainer.train_dataset[place] for place in range(2)])
        assert len(batch["input_ids"]) == 2 < len(inputs["input_ids"])
    loss = trainer.compute_loss(trainer.model, batch)
    ours = gradients(trainer.model, loss)
    assert ours.keys() == asking
    assert_the_same(loss, ours, expected, plain)
    assert bool(by_hand) == (model in LAYERS_BY_HAND and strategy in STRATEGIES_BY_HAND)


def compared(way, model, inputs):
    """The loss of answers that are compared with what `model` finds them now, by its own logits."""

    def found(prefix=""):
        ids, mask = inputs[f"{prefix}input_ids"], inputs[f"{prefix}attention_mask"]
        log_probs = model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
        chosen = log_probs.gather(2, ids[:, 1:, None])[..., 0]
        gained = (chosen * inputs[f"{prefix}completion_mask"][:, 1:]).sum(1)
        return gained - gained.detach()

    if way.kind == "dpo":
        better, worse = found().chunk(2)
        return -torch.nn.functional.logsigmoid(way.beta * (better - worse)).mean()
    sign = 2.0 * inputs["label"] - 1
    return (1 - torch.sigmoid(way.beta * sign * found())).mean()


@pytest.mark.parametrize("strategy", [strategy for strategy in STRATEGIES if strategy != "head"])
@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_where_answers_are_compared_each_gradient_is_the_plain_librarys(
    kind, strategy, base_of, pairs_file, tmp_path, monkeypatch
):
    by_hand, own = [], LlamaLayers.__call__
    monkeypatch.setattr(LlamaLayers, "__call__", lambda *given: by_hand.append(1) or own(*given))
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")
    settings = [f"model.base={base_of('llama')}", f"data.source=file:{pairs_file}", "training.batch_size=4"]
    recipe = load_recipe(f"dialogue-smollm2-{kind}", [*STRATEGIES[strategy], *settings])
    loaded, trained = ready(recipe)
    asking = {name for name, value in trained.named_parameters() if value.requires_grad}
    rows = recipe.way.encode(open_data(recipe).splits["train"], loaded.tokenizer, recipe, recipe.task_definition)
    trainer = recipe.way.trainer(recipe, trained, loaded.tokenizer, rows, str(tmp_path / "checkpoints"), [])
    trainer.prepare(lambda *_: None)
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(4)])
    loss = trainer.compute_loss(trainer.model, batch)
    ours = gradients(trainer.model, loss)
    assert bool(by_hand) == (strategy in STRATEGIES_BY_HAND)

    _, plain_model = ready(recipe)
    expected = compared(recipe.way, plain_model, batch)
    plain = gradients(plain_model, expected)
    assert plain.keys() == ours.keys() == asking
    assert_the_same(loss, ours, expected, plain)


def policy_loss(way, model, inputs):
    """GRPO's loss of answers that `model` has just written, row by row by its own logits, the reference's too."""

    def log_probs():
        for row, given in enumerate(kept):
            prompt, answer = (inputs[f"{name}_ids"][row][mask].tolist() for name, mask in given.items())
            logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            yield (logits / way.temperature).log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]

    masks = zip(inputs["prompt_mask"].bool(), inputs["completion_mask"].bool(), strict=True)
    kept = [{"prompt": prompt, "completion": answer} for prompt, answer in masks]
    with torch.no_grad(), model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext():
        before = list(log_probs())
    total = torch.zeros(())
    for now, then, advantage in zip(log_probs(), before, inputs["advantages"], strict=True):
        kl, ratio = (then - now).exp() - (then - now) - 1, (now - now.detach()).exp()
        total = total + ((way.beta * kl - advantage) * ratio).sum()  # which makes the divergence's unbiased
    return total / inputs["completion_mask"].sum()


@pytest.mark.parametrize("strategy", [strategy for strategy in STRATEGIES if strategy != "head"])
def test_of_its_own_answers_each_gradient_is_the_plain_librarys(
    strategy, base_of, recipe_on, tmp_path, monkeypatch
):
    by_hand, own = [], LlamaLayers.__call__
    monkeypatch.setattr(LlamaLayers, "__call__", lambda *given: by_hand.append(1) or own(*given))
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")
    settings = ["way.num_generations=3", "way.max_new_tokens=6", "way.beta=0.3", "way.temperature=0.7",
                "training.batch_size=2", "way.rewards=[{name: length, words: 1}]"]  # fmt: skip
    recipe = recipe_on("dialogue-smollm2-grpo", base_of("llama"), *settings, *STRATEGIES[strategy])
    loaded, trained = ready(recipe)
    asking = {name for name, value in trained.named_parameters() if value.requires_grad}
    rows = recipe.way.encode(open_data(recipe).splits["train"], loaded.tokenizer, recipe, recipe.task_definition)
    trainer = recipe.way.trainer(recipe, trained, loaded.tokenizer, rows, str(tmp_path / "checkpoints"), [])
    order = list(trainer._get_train_sampler())[:6]
    batch = trainer._generate_and_score_completions([rows[place] for place in order])
    batch["advantages"] = torch.linspace(-1, 1, 6)
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.compute_loss(trainer.model, batch)
    ours = gradients(trainer.model, loss)
    assert bool(by_hand) == (strategy in STRATEGIES_BY_HAND)

    _, plain_model = ready(recipe)
    expected = policy_loss(recipe.way, plain_model, batch)
    plain = gradients(plain_model, expected)
    assert plain.keys() == ours.keys() == asking
    assert_the_same(loss, ours, expected, plain)


@pytest.mark.parametrize(("model", "strategy"), PAIRS)
def test_what_would_learn_is_told_without_weights(model, strategy, recipe_of):
    recipe = recipe_of(model, strategy)
    config = transformers.AutoConfig.from_pretrained(recipe.model.base)
    kind = transformers.AutoModelForCausalLM
    if recipe.kind != "causal":
        kind = transformers.AutoModelForSequenceClassification
        config.num_labels = 2 if recipe.kind == "classifier" else 1
    with torch.device("meta"):
        empty = kind.from_config(config)
    told = recipe.strategy.trained(empty, recipe.kind)
    assert all(value.device.type == "meta" and value.requires_grad for value in empty.parameters())

    _, trained = ready(recipe)
    asking = {
        plain_name(name): tuple(value.shape) for name, value in trained.named_parameters() if value.requires_grad
    }
    assert told == asking
    found, counted = parameter_count(recipe), count_parameters(trained)
    assert found.trainable == counted.trainable
    if "q" not in strategy:  # which layers a model's library leaves out of 4 bits is not known without it
        assert found == counted


@pytest.mark.parametrize("model", ["llama", "bert"])
def test_new_blocks_start_at_random_and_the_same_ones_each_time(model, recipe_of):
    recipe = recipe_of(model, "last two, new")
    pairs = [ready(recipe)[1] for _ in range(2)]
    source = resolve(recipe.model.base)
    base = load(source, kind=recipe.kind, precision="float32", task=recipe.task_definition).model
    anew = [
        name
        for name, value in base.named_parameters()
        if not torch.equal(value, dict(pairs[0].named_parameters())[name])
    ]
    blocks = {part for name in anew for part in name.split(".") if part.isdigit()}
    assert blocks == {"1", "2"}
    for name, value in pairs[0].named_parameters():
        assert torch.equal(value, dict(pairs[1].named_parameters())[name]), name
        if value.dim() == 2 and name in anew:
            assert value.std().item() == pytest.approx(0.15, rel=0.2)  # the configuration's initializer_range

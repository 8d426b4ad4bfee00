"""Adapters that plain peft wrote, of every kind that is taken: both sides answer as transformers and peft alone."""

import copy
import json
import shutil
import warnings

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from data.tasks import SENTIMENT
from models.adapter_files import CONFIG_FILE, WEIGHTS_FILE
from models.any_adapter import attach_any, check_any, detach
from models.generation import answer_batch, answer_side_batch
from models.loading import load
from models.pair import on_base, prove_on
from models.prompting import Prompter
from models.scoring import score_labels, score_side_labels
from models.sources import resolve
from plumbing.errors import ModelError

LENGTH = 8
TEXTS = ["Fine soup.", "The phone died after two days, and nobody answered my letters.", "Bad!"]


def lora(**settings):
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]} | settings)


KINDS = {
    "LoRA": lora(),
    "LoRA of any rank": lora(
        target_modules=["q_proj", "v_proj", "up_proj"],
        rank_pattern={"up_proj": 2, r"layers\.1\.self_attn\.q_proj": 6},
        alpha_pattern={"up_proj": 32, r".*\.0\.self_attn\.v_proj": 1},
    ),
    "DoRA": lora(use_dora=True),
    "rsLoRA": lora(use_rslora=True, target_modules="all-linear"),
    "IA3": IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "whole modules": lora(modules_to_save=["lm_head", "embed_tokens"]),
    "a whole norm": lora(modules_to_save=["norm"]),
    "vocabulary": lora(target_modules=["q_proj", "embed_tokens", "lm_head"]),
    "a projection": lora(target_modules=["q_proj", "lm_head"]),
    "a whole projection": lora(modules_to_save=["lm_head"]),
    "a pattern of targets": lora(target_modules=r"model\.layers\.\d+\.(self_attn|mlp)\.(q|up)_proj"),
    "without some": lora(target_modules="all-linear", exclude_modules=r".*\.0\..*"),
    "some layers": lora(layers_to_transform=[1], layers_pattern="layers"),
    "biases of its own": lora(lora_bias=True),
}


@pytest.fixture(scope="module")
def write(tiny_llama):
    """`write(config, folder, seed=1)` → an adapter with random weights, as peft saves it, and nothing beside."""

    def write(config, folder, seed=1, base=tiny_llama):
        model = AutoModelForCausalLM.from_pretrained(base)
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            own = copy.deepcopy(config)
            own.task_type = "CAUSAL_LM"
            adapted = get_peft_model(model, own)
            generator = torch.Generator().manual_seed(seed)
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.data += 0.4 * torch.randn(parameter.shape, generator=generator)
            adapted.save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="module")
def loaded(tiny_llama):
    return load(resolve(str(tiny_llama)), precision="float32")


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, write, tmp_path_factory):
    return write(KINDS[kind], tmp_path_factory.mktemp("adapter"))


def peft_alone(tiny_llama, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_llama), str(folder)).eval()


def prompts(loaded):
    prompter = Prompter(loaded.tokenizer, SENTIMENT)
    return prompter, [prompter.encode_prompt(text) for text in TEXTS]


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits


def test_both_sides_answer_as_the_libraries_alone(kind, folder, loaded, tiny_llama):
    prompter, rows = prompts(loaded)
    before = [logits(loaded.model, row) for row in rows]
    model, proof = prove_on(loaded, lambda: attach_any(loaded, folder), None, task=SENTIMENT, prompter=prompter)
    try:
        assert proof.largest_change > 0 and "adapter acts" in proof.describe() and ";" not in proof.describe()
        alone = peft_alone(tiny_llama, folder)
        for row, own in zip(rows, before, strict=True):
            assert torch.allclose(logits(model, row), logits(alone, row), atol=1e-4), kind
            with model.disable_adapter():
                assert torch.equal(logits(model, row), own)
        pair = on_base(
            loaded, model, folder, task=SENTIMENT, prompter=prompter, contract=prompter.contract, proof=proof
        )
        apart = ("DoRA", "IA3", "whole modules", "a whole norm", "vocabulary", "a whole projection")
        assert pair.mixes == (kind not in apart)
        answers = answer_batch(pair, TEXTS, max_new_tokens=LENGTH)
        scores = score_labels(pair, TEXTS)
        for tuned in (False, True):
            side = answer_side_batch(pair, TEXTS, tuned=tuned, max_new_tokens=LENGTH)
            assert [each.text for each in side] == [(each.tuned if tuned else each.base).text for each in answers]
            own = score_side_labels(pair, TEXTS, tuned=tuned)
            for one, both in zip(own, scores, strict=True):
                assert one == pytest.approx(both.tuned if tuned else both.base, abs=1e-4)
        for row, answer in zip(rows, answers, strict=True):
            given = torch.tensor([row])
            ids = alone.generate(
                input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=LENGTH, do_sample=False,
                pad_token_id=loaded.tokenizer.pad_token_id,
            )[0, len(row) :].tolist()  # fmt: skip
            end = loaded.tokenizer.eos_token_id
            assert answer.tuned.token_ids == (ids[: ids.index(end)] if end in ids else ids), kind
        labels = torch.tensor([prompter.encode_target(label)[0] for label in SENTIMENT.labels])
        for row, both in zip(rows, scores, strict=True):
            for side, given in ((alone, both.tuned), (loaded_alone(tiny_llama), both.base)):
                expected = logits(side, row)[0, -1].log_softmax(-1)[labels].log_softmax(-1)
                assert given == pytest.approx(expected.tolist(), abs=1e-4)
    finally:
        detach(model)
    assert all(torch.equal(logits(loaded.model, row), own) for row, own in zip(rows, before, strict=True))


def loaded_alone(tiny_llama):
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


def test_a_layer_that_its_file_lacks_is_missed(kind, folder, loaded, tmp_path):
    here = shutil.copytree(folder, tmp_path / "adapter")
    weights = load_file(here / WEIGHTS_FILE)
    gone = sorted(name for name in weights if "base_layer" not in name)[0]
    save_file({name: value for name, value in weights.items() if name != gone}, here / WEIGHTS_FILE)
    with pytest.raises(ModelError, match="it lacks"):
        check_any(here, loaded)


def test_another_shape_is_refused(kind, folder, loaded, tmp_path):
    here = shutil.copytree(folder, tmp_path / "adapter")
    weights = load_file(here / WEIGHTS_FILE)
    name = sorted(name for name in weights if "base_layer" not in name)[0]
    wider = torch.cat([weights[name], weights[name]])
    save_file(weights | {name: wider}, here / WEIGHTS_FILE)
    with pytest.raises(ModelError, match="has the shape"):
        check_any(here, loaded)


def test_several_stand_on_one_base_in_turns(write, loaded, tiny_llama, tmp_path):
    first = write(KINDS["LoRA of any rank"], tmp_path / "first")
    second = write(KINDS["IA3"], tmp_path / "second", seed=5)
    _, (row, *_) = prompts(loaded)
    before = logits(loaded.model, row)
    for folder in (first, second, first):
        model = attach_any(loaded, folder)
        assert torch.allclose(logits(model, row), logits(peft_alone(tiny_llama, folder), row), atol=1e-4)
        detach(model)
        assert torch.equal(logits(loaded.model, row), before)


@pytest.fixture(scope="module")
def tied(make_llama, tmp_path_factory):
    """A Llama whose projection onto the vocabulary is its embedding."""
    folder = make_llama(tmp_path_factory.mktemp("tied") / "llama")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
    ids=lambda settings: "-".join(f"{name}-{'-'.join(each)}" for name, each in settings.items()),
)
def test_what_is_tied_in_a_base_is_as_in_the_libraries_and_comes_off_again(write, tied, tmp_path, settings):
    folder = write(lora(**settings), tmp_path / "adapter", base=tied)
    loaded = load(resolve(str(tied)), precision="float32")
    _, (row, *_) = prompts(loaded)
    before = logits(loaded.model, row)
    model = attach_any(loaded, folder)
    alone = peft_alone(tied, folder)
    assert torch.allclose(logits(model, row), logits(alone, row), atol=1e-4)
    assert not torch.allclose(logits(model, row), before, atol=1e-4)
    with model.disable_adapter():
        assert torch.equal(logits(model, row), before)
    detach(model)
    assert torch.equal(logits(loaded.model, row), before)
    head, embedding = loaded.model.get_output_embeddings(), loaded.model.get_input_embeddings()
    assert head.weight is embedding.weight


def test_another_base_is_refused(write, make_llama, loaded, tmp_path):
    other = make_llama(tmp_path / "other", width=64)
    folder = write(KINDS["LoRA"], tmp_path / "adapter", base=other)
    with pytest.raises(ModelError, match=r"has the shape.*Is this the base that it was trained on"):
        check_any(folder, loaded)


def test_embeddings_beside_an_adapter_have_to_be_the_base_s(write, loaded, tmp_path):
    folder = write(KINDS["vocabulary"], tmp_path / "adapter")
    weights = load_file(folder / WEIGHTS_FILE)
    name = next(name for name in weights if name.endswith("embed_tokens.base_layer.weight"))
    save_file(weights | {name: weights[name] + 1}, folder / WEIGHTS_FILE)
    check_any(folder, loaded)
    with pytest.raises(ModelError, match="embeddings that are not the base's"):
        attach_any(loaded, folder)


def test_an_adapter_that_was_not_trained_changes_nothing_and_is_refused(loaded, tiny_llama, tmp_path):
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama), lora(task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "adapter")
    prompter, _ = prompts(loaded)
    put = []

    def attach():
        put.append(attach_any(loaded, tmp_path / "adapter"))
        return put[0]

    try:
        with pytest.raises(ModelError, match="changes nothing"):
            prove_on(loaded, attach, None, task=SENTIMENT, prompter=prompter)
    finally:
        detach(put[0])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"init_lora_weights": "pissa"}, "path_initial_model_for_weight_conversion"),
        ({"bias": "all"}, "merge_and_unload"),
        ({"peft_type": "LOHA"}, "LoRA, with its variants, and IA3"),
        ({"task_type": "SEQ_CLS"}, "another kind of model"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
    ],
)
def test_what_is_refused_says_what_to_do(write, loaded, tmp_path, config, says):
    folder = write(KINDS["LoRA"], tmp_path / "adapter")
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | config), encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        check_any(folder, loaded)
    assert says in str(caught.value)

"""Sides on this machine answer as the report of a run does, and as transformers and peft do by themselves."""

import json
import pickle
import shutil
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from data.problems import ProblemsError
from data.tasks import DIALOGUE, SENTIMENT, TASKS
from data.tasks.own import USUAL
from eval.sides import local
from eval.sides.looking import Looked
from eval.sides.named import open_side, open_sides
from eval.sides.side import Asked, Streams
from eval.sides.wanted import Wanted, settle_precisions
from eval.verdict.compare import cut_alike
from models.generation import answer_batch
from models.likelihoods import log_likelihoods
from models.prompting import EncodedExample
from models.resolved import ResolvedModel
from models.scoring import score_labels
from plumbing.errors import ModelError, UserError

TEXTS = ["Fine soup.", "The phone died after two days, and nobody answered my letters.", "Bad!"]
LENGTH = 8
CHAT = USUAL["chat"]


def named(place, **options):
    return Asked(str(place), options={"precision": "float32"} | options)


@pytest.fixture
def opened():
    """`opened(task, *named)` → sides, which are closed at the end."""
    sides = []

    def opened(task, *asked):
        made = open_sides(asked, task)
        sides.extend(made)
        return made

    yield opened
    for side in sides:
        side.close()
        side.close()


def plain_adapter(folder, base, config=None, seed=1):
    """As plain peft leaves one: two files, and a README."""
    config = config or LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    is_classifier = config.task_type == TaskType.SEQ_CLS
    load = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        model = get_peft_model(load.from_pretrained(base), config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.4 * torch.randn(parameter.shape)
        model.save_pretrained(folder)
    return folder


def test_a_side_says_how_it_cuts_texts_and_two_models_may_cut_alike(opened, tiny_llama, make_llama, tmp_path):
    other, bytes_alone = make_llama(tmp_path / "other", seed=4), make_llama(tmp_path / "bytes", words=())
    sides = opened(DIALOGUE, named(tiny_llama), named(other), named(bytes_alone))
    one, same, unlike = (side.about.tokenizer_sha256 for side in sides)
    assert len(one) == 64 and one == same != unlike
    sides[0].write(TEXTS, max_new_tokens=2)  # pads, which cuts nothing otherwise
    (again,) = opened(DIALOGUE, named(tiny_llama))
    assert again.about.tokenizer_sha256 == one


def test_a_base_and_an_adapter_of_ours_answer_as_the_report_does(opened, tiny_llama, tiny_adapter, tiny_pair):
    base, tuned = opened(SENTIMENT, named(tiny_llama), named(tiny_adapter))
    assert (base.about.kind, tuned.about.kind) == ("model", "adapter")
    assert tuned.about.proof.startswith("Adapter acts: logits move by up to")
    assert tuned.about.weights_sha256 == tiny_pair.adapter_sha256 and tuned.about.base == str(tiny_llama)
    assert base.about.weights_sha256 == tiny_pair.base.weights_sha256
    for side, tuned_side in ((base, False), (tuned, True)):
        assert side.abilities == {"writes", "chooses", "likelihood"}
        assert side.prompted("x").where_from == ("contract" if tuned_side else "borrowed")
        assert side.prompted("x").sha256 == tiny_pair.contract.sha256
        for answer, both in zip(side.choose(TEXTS), score_labels(tiny_pair, TEXTS), strict=True):
            expected = torch.tensor(both.tuned if tuned_side else both.base).exp().tolist()
            assert list(answer.probabilities.values()) == pytest.approx(expected, abs=1e-5)
            assert answer.text == max(answer.probabilities, key=answer.probabilities.get)
            assert answer.written is None
        own = [
            both.tuned if tuned_side else both.base
            for both in answer_batch(tiny_pair, TEXTS, max_new_tokens=LENGTH)
        ]
        written = side.write(TEXTS, max_new_tokens=LENGTH)
        assert [each.written for each in written] == [each.text for each in own]
        assert [each.tokens for each in written] == [each.tokens for each in own]
        assert [each.cut_off for each in written] == [not each.finished for each in own]
        assert all(each.text in ("", *SENTIMENT.labels) for each in written)
        prompter = tiny_pair.prompter
        targets = ["positive", "negative", "the soup"]
        examples = [EncodedExample.of(*both) for both in prompter.encode_answers(TEXTS, targets)]
        expected = [
            (both.tuned if tuned_side else both.base) / both.tokens for both in log_likelihoods(tiny_pair, examples)
        ]
        assert side.likelihoods(TEXTS, targets) == pytest.approx(expected, abs=1e-5)
        assert side.spent.seconds > 0 and side.spent.tokens == sum(each.tokens for each in written)


def test_one_alone_is_asked_and_computed_as_among_the_others(tiny_llama, tiny_adapter, tmp_path):
    moved = shutil.copytree(tiny_llama, tmp_path / "moved")
    asked = [Asked(str(moved)), named(tiny_adapter, precision="float32"), Asked(str(tiny_llama))]
    together = open_sides(asked, SENTIMENT)
    assert [side.prompted("x").where_from for side in together] == ["borrowed", "contract", "template"]
    assert f"the prompt that {tiny_adapter.name} was tuned with" in together[0].about.notes[0]
    expected = [(side.prompted("x"), side.choose(TEXTS), side.about.precision) for side in together]
    for side in together:
        side.close()
    for number, one in enumerate(expected):
        (side,) = open_sides(asked, SENTIMENT, only=number)
        assert (side.prompted("x"), side.about.precision) == (one[0], one[2])
        for answer, as_before in zip(side.choose(TEXTS), one[1], strict=True):
            assert answer.probabilities == pytest.approx(as_before.probabilities, abs=1e-5)
        side.close()


def test_a_base_may_be_called_otherwise_than_an_adapter_calls_it(opened, tiny_llama, tiny_adapter, tmp_path):
    base, tuned = opened(SENTIMENT, named(f"{tiny_llama}/."), named(tiny_adapter))
    assert base._copy is tuned._copy and tuned.about.base == str(tiny_llama)
    moved = shutil.copytree(tiny_llama, tmp_path / "moved")
    (elsewhere,) = opened(SENTIMENT, named(tiny_adapter, base=str(moved)))
    assert f"it is on {moved}" in elsewhere.about.notes[0]
    assert elsewhere.choose(TEXTS) == tuned.choose(TEXTS)


def wanted_at(path, precision, gguf=""):
    source = ResolvedModel(name=path, path=Path("/nowhere") / path, origin="folder", revision="", gguf=gguf)
    return Wanted(Asked(path), Looked("model", path), source, "causal", precision)


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        (["a auto", "b auto"], ["bfloat16", "bfloat16"]),
        (["a auto", "b float32"], ["float32", "float32"]),  # a run says in what it was trained
        (["a auto", "a nf4"], ["nf4", "nf4"]),
        (["a auto", "b nf4"], ["bfloat16", "nf4"]),
        (["a auto", "a nf4", "b float32"], ["nf4", "nf4", "float32"]),
        (["a auto", "b float32", "c bfloat16"], ["bfloat16", "float32", "bfloat16"]),
    ],
)
def test_what_is_compared_is_computed_alike_where_nothing_else_is_said(given, settled, monkeypatch):
    monkeypatch.setattr("models.loading.best_precision", lambda: "bfloat16")
    wanted = [wanted_at(*each.split()) for each in given]
    settle_precisions(wanted)
    assert [each.precision for each in wanted] == settled


def test_a_packed_file_is_not_computed_in_4_bit_as_the_folder_that_it_lies_in():
    folder, file = wanted_at("a", "nf4"), wanted_at("a", "auto", gguf="q4.gguf")
    settle_precisions([folder, file])
    assert file.precision != "nf4"


def test_one_batch_answers_for_both_where_both_are_asked_alike(opened, tiny_llama, tiny_adapter, monkeypatch):
    base, tuned = opened(SENTIMENT, named(tiny_llama), named(tiny_adapter))
    asked = []
    real = local.answer_batch
    monkeypatch.setattr(
        local, "answer_batch", lambda pair, texts, **rest: asked.append("both") or real(pair, texts, **rest)
    )
    real_side = local.answer_side_batch
    monkeypatch.setattr(
        local,
        "answer_side_batch",
        lambda pair, texts, **rest: asked.append(rest["tuned"]) or real_side(pair, texts, **rest),
    )
    told = []
    one = tuned.write(TEXTS, max_new_tokens=LENGTH)
    other = base.write(TEXTS, max_new_tokens=LENGTH, on_rows=lambda done, of: told.append((done, of)))
    assert asked == ["both"] and told == [(3, 3)]
    assert base.spent.seconds == pytest.approx(tuned.spent.seconds, rel=0.01) and base.spent.seconds > 0
    base.write(TEXTS[:1], max_new_tokens=LENGTH)  # other rows are not those that are kept
    assert asked == ["both", "both"]
    base.close()
    assert tuned.write(TEXTS, max_new_tokens=LENGTH) == one != other
    assert asked == ["both", "both", True]


def test_adapters_of_any_kind_take_turns_on_one_copy_of_a_base(opened, tiny_llama, tmp_path):
    ia3 = IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"
    )
    dora = LoraConfig(r=2, target_modules="all-linear", use_dora=True, task_type="CAUSAL_LM")
    folders = [
        plain_adapter(tmp_path / "lora", tiny_llama),
        plain_adapter(tmp_path / "ia3", tiny_llama, ia3),
        plain_adapter(tmp_path / "dora", tiny_llama, dora, seed=2),
    ]
    sides = opened(SENTIMENT, named(tiny_llama), *map(named, folders))
    assert len({id(side._copy) for side in sides}) == 1
    assert [side.prompted("x").where_from for side in sides] == ["template"] * 4
    alone = []
    for place in (tiny_llama, *folders):
        side = open_side(named(place), SENTIMENT)
        alone.append(
            (side.choose(TEXTS), side.write(TEXTS, max_new_tokens=LENGTH), side.likelihoods(TEXTS, ["a"] * 3))
        )
        side.close()
    for number in (0, 3, 1, 2, 0, 1):
        chosen, written, likelihoods = alone[number]
        assert [each.text for each in sides[number].choose(TEXTS)] == [each.text for each in chosen]
        assert [each.written for each in sides[number].write(TEXTS, max_new_tokens=LENGTH)] == [
            each.written for each in written
        ]
        assert sides[number].likelihoods(TEXTS, ["a"] * 3) == pytest.approx(likelihoods, abs=1e-4)
    assert len({tuple(each.written for each in written) for _, written, _ in alone}) == 4


def test_the_same_weights_in_other_files_are_the_same_weights(opened, tiny_llama, tmp_path):
    AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(tmp_path / "cut", max_shard_size="20KB")
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path / "cut")
    assert len(list((tmp_path / "cut").glob("*.safetensors"))) > 1
    base, cut = opened(SENTIMENT, named(tiny_llama), named(tmp_path / "cut"))
    assert cut.about.weights_sha256 == base.about.weights_sha256
    assert cut.about.notes[-1] == "Its weights are the base's, every one of them."


def test_the_same_adapter_with_another_alpha_is_another_model(opened, tiny_llama, tmp_path):
    plain_adapter(tmp_path / "one", tiny_llama)
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    config = json.loads((tmp_path / "other" / "adapter_config.json").read_text())
    (tmp_path / "other" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 16}))
    _, one, other = opened(SENTIMENT, named(tiny_llama), named(tmp_path / "one"), named(tmp_path / "other"))
    assert one.about.weights_sha256 == other.about.weights_sha256
    assert (one.about.scaled_by, other.about.scaled_by) == ("lora_alpha=8, r=4", "lora_alpha=16, r=4")


def test_a_whole_model_says_how_much_of_it_is_its_own(opened, tiny_llama, tiny_whole, tiny_whole_pair):
    base, tuned, same = opened(SENTIMENT, named(tiny_llama), named(tiny_whole), named(tiny_llama))
    changed, _ = tiny_whole_pair.proof.changed
    assert tuned.about.proof.endswith("weights are not the base's.") and str(changed) in tuned.about.proof
    assert same.about.proof == "" and same.about.notes[-1] == "Its weights are the base's, every one of them."
    assert base.about.weights_sha256 == same.about.weights_sha256 != tuned.about.weights_sha256
    scores = score_labels(tiny_whole_pair, TEXTS)
    for answer, both in zip(tuned.choose(TEXTS), scores, strict=True):
        assert list(answer.probabilities.values()) == pytest.approx(
            torch.tensor(both.tuned).exp().tolist(), abs=1e-5
        )
    assert tuned.prompted("x") == replace(base.prompted("x"), where_from="contract")
    assert base.about.tokenizer_sha256 == tuned.about.tokenizer_sha256 != ""


def test_sides_of_other_words_do_not_cut_texts_alike(
    opened, tiny_llama, tiny_adapter, make_llama, classifier, tmp_path
):
    other = make_llama(tmp_path / "bytes", words=())
    sides = opened(
        SENTIMENT, named(tiny_llama), named(tiny_adapter), named(other), named(classifier("negative", "positive"))
    )
    base, tuned, bytewise, head = (side.about for side in sides)
    assert cut_alike(base, tuned) and not cut_alike(base, bytewise) and head.tokenizer_sha256 == ""


def test_a_model_of_other_shapes_is_another(opened, tiny_llama, make_llama, tmp_path):
    _, other = opened(SENTIMENT, named(tiny_llama), named(make_llama(tmp_path / "other", width=64)))
    assert other.about.proof == "It is not of the base's shapes: other layers, or other sizes."


def test_a_run_is_what_it_tuned(opened, tiny_adapter, tmp_path):
    run = tmp_path / "2026-a-run"
    shutil.copytree(tiny_adapter, run / "adapter")
    (run / "recipe.yaml").write_text("")
    (side,) = opened(SENTIMENT, named(run))
    assert (side.about.kind, side.about.name) == ("run", "2026-a-run")
    assert side.about.proof and side.prompted("x").where_from == "contract"


def llama_factory(folder, base, *, named_base):
    """The layout that LLaMA-Factory leaves: the tokenizer and its own template beside the adapter, and pickles."""
    plain_adapter(folder, base)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {
        "base_model_name_or_path": named_base,
        "inference_mode": True,
        "revision": None,
        "lora_dropout": 0.05,
    }
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    template = (
        "{% for message in messages %}### {{ message.role }}\n{{ message.content }}\n{% endfor %}### answer\n"
    )
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    for name, content in (
        ("all_results.json", {"epoch": 3.0}),
        ("trainer_state.json", {}),
        ("train_results.json", {}),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "trainer_log.jsonl").write_text("{}\n", encoding="utf-8")

    class Evil:
        def __reduce__(self):
            return (open, (str(folder / "it ran"), "w"))

    (folder / "training_args.bin").write_bytes(pickle.dumps(Evil()))
    return folder


def test_an_adapter_in_the_layout_of_llama_factory(opened, tiny_llama, tmp_path):
    folder = llama_factory(tmp_path / "sft", tiny_llama, named_base="/data/models/Llama-3-8B")
    base, tuned = opened(SENTIMENT, named(tiny_llama), named(folder))
    assert f"on {tiny_llama.name}" in " ".join(tuned.about.notes) and "/data/models/Llama-3-8B" in " ".join(
        tuned.about.notes
    )
    assert tuned.prompted("x").example.startswith("### system\n")
    assert base.prompted("x").example.startswith("<|im_start|>system\n")
    assert tuned.about.proof and base.choose(TEXTS) != tuned.choose(TEXTS)
    assert not (folder / "it ran").exists()
    with pytest.raises(ModelError, match=r"no such base model.*Say where it is: --option SIDE.base=FOLDER"):
        open_side(named(folder), SENTIMENT)
    alone = open_side(named(folder, base=str(tiny_llama)), SENTIMENT)
    assert alone.choose(TEXTS) == tuned.choose(TEXTS)
    alone.close()


def test_a_prompt_of_ones_own_takes_the_place_of_a_tokenizer_that_cannot_be_used(opened, tiny_llama, tmp_path):
    folder = plain_adapter(tmp_path / "adapter", tiny_llama)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|nowhere|>"}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokens that the base's tokenizer does not have.*prompt=FILE"):
        open_side(named(folder), SENTIMENT)
    (tmp_path / "prompt.jinja").write_text("Review: {{ input }}\nSentiment:", encoding="utf-8")
    (side,) = opened(SENTIMENT, named(folder, prompt=str(tmp_path / "prompt.jinja")))
    assert side.prompted("x").where_from == "file"


def test_an_adapter_whose_texts_end_otherwise_than_the_base_s(opened, tiny_llama, tmp_path):
    folder = plain_adapter(tmp_path / "adapter", tiny_llama)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}), encoding="utf-8")
    base, tuned = opened(SENTIMENT, named(tiny_llama), named(folder))
    ends = [side.asking.prompter.tokenizer.eos_token for side in (base, tuned)]
    assert ends == ["<|im_end|>", "<|endoftext|>"] and base.partner is None
    assert "eos_token <|endoftext|>" in tuned.about.notes[0]


def test_another_model_of_the_hub_is_never_taken_for_its_base(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr("models.sources.hub_reachable", lambda: False)
    folder = llama_factory(tmp_path / "sft", tiny_llama, named_base="who/another-model")
    with pytest.raises(ModelError, match="not on this machine"):
        open_sides([named(tiny_llama), named(folder)], SENTIMENT)


def test_an_adapter_that_unsloth_wrote_names_no_module_that_is_imported(opened, tiny_llama, tmp_path):
    folder = plain_adapter(tmp_path / "unsloth", tiny_llama)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    mapping = {"base_model_class": "Popen", "parent_library": "this_module_is_nowhere", "unsloth_fixed": True}
    targets = (
        r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|v_proj).*?)|"
        r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|v_proj)))"
    )
    path.write_text(json.dumps(config | {"auto_mapping": mapping, "target_modules": targets}), encoding="utf-8")
    (side,) = opened(SENTIMENT, named(folder))
    assert side.about.proof


@pytest.fixture
def classifier(tiny_bert, tmp_path):
    """`classifier(*classes)` → folder of a classifier with a head of its own."""

    def classifier(*classes, seed=3):
        folder = tmp_path / f"classifier-{len(classes)}-{classes[0]}"
        names = dict(enumerate(classes))
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            model = AutoModelForSequenceClassification.from_pretrained(
                tiny_bert,
                num_labels=len(classes),
                id2label=names,
                label2id={name: key for key, name in names.items()},
            )
            model.classifier.weight.data.normal_(std=2)
            model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
        return folder

    return classifier


def alone(folder, columns):
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0, columns] for text in TEXTS]
    return [each.softmax(-1).tolist() for each in logits]


def test_a_classifier_answers_by_its_own_classes(opened, classifier):
    folder = classifier("Positive", "NEGATIVE")
    (side,) = opened(SENTIMENT, named(folder))
    assert side.about.kind == "classifier" and side.abilities == {"chooses"} and not side.about.notes
    for answer, expected in zip(side.choose(TEXTS), alone(folder, [1, 0]), strict=True):
        assert list(answer.probabilities) == ["negative", "positive"]
        assert list(answer.probabilities.values()) == pytest.approx(expected, abs=1e-5)
    assert side.prompted("x").where_from == "bare text" and side.prompted("x").example == "x"


def test_a_head_that_reads_the_last_token_finds_it_in_a_batch(opened, tiny_llama, tmp_path):
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(4)
        names = {0: "negative", 1: "positive"}
        model = AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=2, id2label=names)
    model.config.pad_token_id = model.config.bos_token_id  # not what its tokenizer pads with
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path)
    (side,) = opened(SENTIMENT, named(tmp_path))
    for answer, expected in zip(side.choose(TEXTS), alone(tmp_path, [0, 1]), strict=True):
        assert list(answer.probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_a_class_that_is_no_label_is_left_out_and_said(opened, classifier):
    folder = classifier("negative", "neutral", "positive")
    (side,) = opened(SENTIMENT, named(folder))
    assert "neutral" in side.about.notes[0] and "left out" in side.about.notes[0]
    for answer, expected in zip(side.choose(TEXTS), alone(folder, [0, 2]), strict=True):
        assert list(answer.probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_classes_without_names_have_to_be_named(opened, classifier):
    folder = classifier("LABEL_0", "LABEL_1")
    with pytest.raises(ModelError, match="labels=negative,positive"):
        open_side(named(folder), SENTIMENT)
    for labels, columns in (("positive,negative", [1, 0]), ('["negative", "positive"]', [0, 1])):
        (side,) = opened(SENTIMENT, named(folder, labels=labels))
        for answer, expected in zip(side.choose(TEXTS), alone(folder, columns), strict=True):
            assert list(answer.probabilities.values()) == pytest.approx(expected, abs=1e-5)
    for labels in ("positive", "positive,positive", "good,bad", "[1", ""):
        with pytest.raises(UserError, match="every label of the task once"):
            open_side(named(folder, labels=labels), SENTIMENT)


def test_a_classifier_without_a_head_in_its_files_is_refused(classifier, tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "headless")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named_so = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "negative", "1": "positive"}}
    (folder / "config.json").write_text(json.dumps(config | named_so), encoding="utf-8")
    with pytest.raises(ModelError, match="would answer by chance"):
        open_side(named(folder), SENTIMENT)


def test_an_encoder_as_the_base_of_a_classifier_says_that_it_answers_by_chance(opened, tiny_bert, tmp_path):
    config = LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS")
    folder = plain_adapter(tmp_path / "adapter", tiny_bert, config)
    with pytest.raises(ModelError, match="no file of it says what its classes are"):
        open_side(named(folder), SENTIMENT)
    base, tuned = opened(SENTIMENT, named(tiny_bert), named(folder, labels="negative,positive"))
    assert base._copy is tuned._copy and "is chance" in base.about.notes[0]
    assert base.choose(TEXTS) != tuned.choose(TEXTS) and tuned.about.proof


def test_a_classifier_of_ours_keeps_the_order_of_its_labels(opened, tiny_classifier_adapter, tiny_classifier_pair):
    turned = replace(SENTIMENT, labels=("positive", "negative"))
    (side,) = opened(turned, named(tiny_classifier_adapter))
    for answer, both in zip(side.choose(TEXTS), score_labels(tiny_classifier_pair, TEXTS), strict=True):
        negative, positive = torch.tensor(both.tuned).exp().tolist()
        assert answer.probabilities == pytest.approx({"positive": positive, "negative": negative}, abs=1e-5)


def test_what_cannot_be_asked_says_so(tiny_bert, tiny_reward_adapter, classifier, tiny_llama):
    with pytest.raises(ModelError, match="writes nothing and has no head of labels"):
        open_side(named(tiny_bert), DIALOGUE)
    with pytest.raises(UserError, match="writes nothing"):
        open_side(named(tiny_reward_adapter), DIALOGUE)
    with pytest.raises(ModelError, match="only be asked for labels"):
        open_side(named(classifier("negative", "positive")), DIALOGUE)
    with pytest.raises(UserError, match="options that a side on this machine has not"):
        open_side(named(tiny_llama, temperature="1"), SENTIMENT)
    with pytest.raises(UserError, match="cannot be loaded in this precision"):
        open_side(Asked(str(tiny_llama), options={"precision": "int8"}), SENTIMENT)


def test_rows_that_are_too_long_are_named(opened, tiny_llama):
    (side,) = opened(SENTIMENT, named(tiny_llama))
    texts = ["short", "x " * 2000]
    for ask in (
        side.choose,
        lambda rows: side.write(rows, max_new_tokens=4),
        lambda rows: side.likelihoods(rows, ["a", "b"]),
    ):
        with pytest.raises(ProblemsError, match=f"row 2.*{tiny_llama.name} reads at most 1024"):
            ask(texts)


def test_answers_in_words_chats_and_raw_texts(opened, tiny_llama, tiny_dialogue_adapter):
    base, tuned = opened(DIALOGUE, named(tiny_llama), named(tiny_dialogue_adapter))
    assert tuned.abilities == {"writes", "likelihood"}
    answers = tuned.write(TEXTS, max_new_tokens=LENGTH)
    assert all(each.written is None and each.text is not None for each in answers)
    assert all(value <= 0 for value in base.likelihoods(TEXTS, ["a", "b", ""]))
    chat = next(task for task in TASKS.values() if task.kind == "chat")
    (side,) = opened(chat, named(tiny_llama))
    turns = [
        [
            {"role": "user", "content": "Ana?"},
            {"role": "assistant", "content": "Leo."},
            {"role": "user", "content": "ok"},
        ]
    ]
    assert len(side.write(turns, max_new_tokens=4)) == len(side.likelihoods(turns, ["fine"])) == 1
    text = replace(
        SENTIMENT, name="prose", kind="text", labels=(), instruction="", target_column="", input_column="text"
    )
    (side,) = opened(text, named(tiny_llama))
    assert side.prompted("Ana: Is the soup fine?").where_from == "bare text"
    (likelihood,) = side.likelihoods(["Ana: Is the soup fine?"], [""])
    assert likelihood < 0


def test_a_person_s_own_prompt_is_what_both_sides_are_asked_by(opened, tiny_llama, tiny_adapter, tmp_path):
    path = tmp_path / "prompt.jinja"
    path.write_text("Review: {{ input }}\nSentiment:", encoding="utf-8")
    base, tuned = opened(SENTIMENT, named(tiny_llama, prompt=str(path)), named(tiny_adapter, prompt=str(path)))
    assert base.prompted("x") == tuned.prompted("x")
    assert base.prompted("x").where_from == "file" and base.partner is tuned
    assert base.choose(TEXTS) != tuned.choose(TEXTS)


def test_nothing_asked_is_nothing_answered(opened, tiny_llama):
    (side,) = opened(SENTIMENT, named(tiny_llama))
    assert side.write([], max_new_tokens=4) == side.choose([]) == side.likelihoods([], []) == []


def test_closed_sides_give_their_memory_back(tiny_llama, tiny_adapter):
    import gc
    import weakref

    base, tuned = open_sides([named(tiny_llama), named(tiny_adapter)], SENTIMENT)
    model = weakref.ref(base._copy.loaded.model)
    base.close()
    assert tuned.choose(TEXTS)
    tuned.close()
    gc.collect()
    assert model() is None


def test_an_answer_that_is_watched_grows_to_what_is_written(opened, tiny_llama, tiny_adapter, tmp_path):
    other = plain_adapter(tmp_path / "other", tiny_llama)
    given = [{"role": "user", "content": "Fine soup."}]
    for side in opened(CHAT, named(tiny_llama), named(tiny_adapter), named(other)):
        assert isinstance(side, Streams)
        seen = list(side.stream(given, max_new_tokens=LENGTH, stop=threading.Event()))
        [written] = side.write([given], max_new_tokens=LENGTH)
        assert seen[-1] == written and all(written.text.startswith(each.text) for each in seen)
        assert [each.tokens for each in seen[:3]] == [1, 2, 3]


def test_a_watched_answer_ends_within_a_token_of_a_stop(opened, tiny_llama):
    stop = threading.Event()
    [side] = opened(CHAT, named(tiny_llama))
    growing = side.stream([{"role": "user", "content": "Fine soup."}], max_new_tokens=LENGTH, stop=stop)
    next(growing)
    stop.set()
    assert list(growing)[-1].cut_off and next(growing, None) is None

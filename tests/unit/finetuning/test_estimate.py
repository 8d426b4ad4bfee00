"""Parameter counts on the meta device, exactly as published for the two classic examples."""

import itertools
import json
import platform
import shutil
import types

import pytest
import torch
import transformers

from finetuning.estimates import calibration
from finetuning.estimates.calibration import Speeds
from finetuning.estimates.estimate import estimate, parameter_count
from finetuning.estimates.row_lengths import lengths_of
from finetuning.preparation import open_data
from finetuning.recipe import load_recipe
from finetuning.strategies.counts import count_parameters
from models.adapter_files import adaptable_modules
from models.loading import load, load_tokenizer
from models.prompting import Prompter
from models.resolved import cache_folder
from models.sources import resolve
from plumbing.errors import ModelError, RecipeError


def test_distilbert_counts_are_the_classic_ones():
    count = parameter_count(load_recipe("sentiment-distilbert-lora"))
    assert (count.trainable, count.total) == (628_994, 67_584_004)
    assert count.stored == count.total


def test_llama_counts_are_the_classic_ones_packed_and_unpacked():
    count = parameter_count(load_recipe("dialogue-llama2-7b-qlora"))
    assert (count.trainable, count.stored, count.total) == (16_777_216, 3_517_190_144, 6_755_192_832)


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("name", "base"), [("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")]
)
def test_what_is_counted_is_what_trains(name, base, recipe_on, request):
    recipe = recipe_on(name, request.getfixturevalue(base), "model.precision=float32")
    loaded = load(resolve(recipe.model.base), kind=recipe.kind, precision="float32", task=recipe.task_definition)
    assert parameter_count(recipe) == count_parameters(recipe.apply_strategy(loaded.model))


STRATEGIES = {
    "full": ("sentiment-smollm2-lora", ["strategy.kind=full"], 134_515_008, 134_515_008),
    "the last two blocks and the norm": (
        "sentiment-smollm2-lora", ["strategy.kind=last"], 2 * 3_540_096 + 576, 134_515_008,
    ),
    "MiniLM's head": ("sentiment-minilm-lora", ["strategy.kind=last"], 384 * 385 + 2 * 385, 22_713_986),
    "DistilBERT's head": ("sentiment-distilbert-lora", ["strategy.kind=last"], 768 * 769 + 2 * 769, 66_955_010),
    "DoRA": (
        "sentiment-minilm-lora",
        ["strategy.dora=true"],  # of query and value, 384 to 384: A, B and the magnitudes
        6 * 2 * (8 * 2 * 384 + 384) + 2 * 385,
        22_713_986 + 6 * 2 * (8 * 2 * 384 + 384) + 2 * 385,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", STRATEGIES)
def test_what_learns_is_counted_for_each_strategy(what):
    name, settings, trainable, total = STRATEGIES[what]
    count = parameter_count(load_recipe(name, settings))
    assert (count.trainable, count.total, count.stored) == (trainable, total, total)


def test_more_learns_with_more_labels():
    recipe = load_recipe("sentiment-minilm-lora", ["strategy.kind=last"])
    more = parameter_count(recipe, labels=7).trainable - parameter_count(recipe).trainable
    assert more == 5 * 385


def test_a_module_that_cannot_be_adapted_is_named():
    with pytest.raises(RecipeError, match="lm_head"):
        parameter_count(load_recipe("sentiment-smollm2-lora", ["strategy.target_modules=[q_proj, lm_head]"]))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "_known", {})


def long_rows(path, tokens):
    rows = [{"dialogue": "Ana: " + "so warm " * (tokens // 2), "summary": "Ana is warm."} for _ in range(24)]
    path.write_text(
        "".join(json.dumps(row | {"dialogue": f"{n} {row['dialogue']}"}) + "\n" for n, row in enumerate(rows))
    )
    return path


def test_of_a_chat_what_is_learned_is_what_the_assistant_says(tiny_llama, tmp_path):
    def chat(n):
        asked, then = f"Is shop {n} open, and for how long?", "And the soup?"
        said = [("user", asked), ("assistant", "Until six."), ("user", then), ("assistant", f"Cold, {n}.")]
        return {"messages": [{"role": role, "content": words} for role, words in said]}

    rows = list(map(chat, range(20)))
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = [f"model.base={tiny_llama}", f"data.source=file:{tmp_path / 'chats.jsonl'}"]
    recipe = load_recipe("chats-smollm2-lora", source)
    opened = open_data(recipe)
    train, _ = lengths_of(recipe, opened.splits)
    prompter = Prompter(load_tokenizer(resolve(str(tiny_llama))), recipe.task_definition)
    encoded = prompter.encode_rows(list(opened.splits["train"]))
    assert sorted(train.supervised) == sorted(example.learned for example in encoded)
    assert sorted(train.whole) == sorted(len(example.input_ids) for example in encoded)
    last = len(prompter.encode_target("Cold, 1.")) + 1  # and the end of the turn
    assert last <= min(train.answers) <= max(train.answers) <= last + 1
    assert all(map(int.__gt__, train.supervised, train.answers))  # the turn before it is learned as well


@pytest.mark.cuda
def test_the_sentence_explains_why_two_totals_differ(tiny_llama, recipe_on):
    sentence = estimate(recipe_on("dialogue-smollm2-qlora", tiny_llama)).sentence()
    assert "stored" in sentence and "before two 4-bit weights are packed into one" in sentence
    assert "in all (training " in sentence and "evaluation " in sentence


@pytest.mark.cuda
def test_more_steps_take_longer_and_four_bit_takes_less_memory(tiny_llama, recipe_on):
    few, many = (
        recipe_on("dialogue-smollm2-qlora", tiny_llama, f"training.max_steps={n}", "training.eval_rows=0")
        for n in (20, 40)
    )
    lora = recipe_on("dialogue-smollm2-qlora", tiny_llama, "strategy=lora", "model.precision=float32")
    assert estimate(many).training_s == pytest.approx(2 * estimate(few).training_s, rel=0.1)  # as many checkpoints
    assert estimate(many).evaluation_s == estimate(few).evaluation_s > 0
    assert estimate(few).weight_mb < estimate(lora).weight_mb


def test_longer_rows_take_longer_by_more_than_their_tokens_and_more_memory(
    tiny_llama, recipe_on, tmp_path, monkeypatch
):
    flat = Speeds(1e-6, 1e-6, 1e-8, 1e-6, 5e-7, 5e-9, 1e-4, 1e-5, 0.0, 1e-5, 1e-9)
    monkeypatch.setattr("finetuning.estimates.estimate.speeds", lambda recipe, config: flat)
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    config = json.loads((base / "config.json").read_text()) | {"max_position_embeddings": 4096}
    (base / "config.json").write_text(json.dumps(config))
    short, long = (
        estimate(
            recipe_on(
                "dialogue-smollm2-qlora", base, f"data.source=file:{long_rows(tmp_path / f'{n}.jsonl', n)}",
                "training.max_tokens=4096",
            )
        )
        for n in (60, 600)
    )  # fmt: skip
    assert long.training_s > 10 * short.training_s
    assert long.evaluation_s > short.evaluation_s
    assert long.memory_mb > short.memory_mb


@pytest.mark.parametrize(
    ("name", "base"), [("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")]
)
def test_more_that_learns_takes_longer_and_more_memory(name, base, recipe_on, request, monkeypatch):
    flat = Speeds(3e-4, 3e-5, 0.0, 1e-4, 1e-5, 0.0, 1e-4, 1e-5, 0.0, 1e-5, 1e-9)
    monkeypatch.setattr("finetuning.estimates.estimate.speeds", lambda recipe, config: flat)
    monkeypatch.setattr("finetuning.estimates.memory._ROWS_AT_ONCE_MB", 0)  # more than these models ever take
    folder = request.getfixturevalue(base)

    def found(*settings):
        return estimate(recipe_on(name, folder, "training.max_steps=50", "model.precision=float32", *settings))

    last = found("strategy.kind=last", "strategy.blocks=1")
    full = found("strategy.kind=full")
    head = found("strategy.kind=last", "strategy.blocks=0") if base == "tiny_bert" else last
    assert head.training_s <= last.training_s < full.training_s
    assert head.memory_mb <= last.memory_mb < full.memory_mb
    assert full.trainable == full.total == last.total > last.trainable >= head.trainable
    assert full.weight_mb == last.weight_mb == full.total * 4 / 2**20


def test_measuring_the_validation_loss_is_counted(tiny_llama, recipe_on, monkeypatch):
    flat = Speeds(0.0, 2e-5, 0.0, 0.0, 1e-5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr("finetuning.estimates.estimate.speeds", lambda recipe, config: flat)

    def seconds(*settings):
        return estimate(
            recipe_on("dialogue-smollm2-qlora", tiny_llama, "training.max_steps=40", *settings)
        ).training_s

    without, often = seconds("training.eval_rows=0"), seconds("training.eval_steps=1")
    assert seconds("training.eval_steps=10") - without == pytest.approx((often - without) / 10)
    assert without < seconds() < 1.15 * without


def test_answers_that_are_written_and_read_are_counted(tiny_llama, recipe_on, monkeypatch):
    flat = Speeds(0.0, 3e-5, 0.0, 0.0, 1e-5, 0.0, 1e-4, 1e-5, 0.0, 1e-5, 0.0)
    monkeypatch.setattr("finetuning.estimates.estimate.speeds", lambda recipe, config: flat)
    none = ["evaluation.few_shot=0", "evaluation.forgetting=false", "training.eval_rows=0", "training.max_steps=40"]

    def found(*settings):
        return estimate(recipe_on("dialogue-smollm2-grpo", tiny_llama, *none, *settings))

    def seconds(*settings):
        return found(*settings).training_s

    usual = seconds()
    assert seconds("way.num_generations=12") > 1.3 * usual
    without, rewarded = seconds("way.beta=0"), seconds("way.beta=0", "way.rewards=[{name: run, run: a}]")
    assert without < usual < seconds("way.algorithm=rloo")
    assert rewarded == pytest.approx(usual)  # a pass of the reward model, as the reference takes one
    assert seconds("way.num_iterations=2") < usual  # so many steps, and half of the answers
    assert seconds("training.eval_rows=8", "training.eval_steps=10") > usual

    began = found("model.adapter=a")
    assert began.evaluation_s > found().evaluation_s  # the adapter that it went on with answers, too
    monkeypatch.setattr("finetuning.estimates.memory._ROWS_AT_ONCE_MB", 0)
    plain = found()
    assert found("model.adapter=a").memory_mb - plain.memory_mb == pytest.approx(plain.trainable * 4 / 2**20)
    by_run = found("way.rewards=[{name: run, run: a}]")
    assert by_run.memory_mb - plain.memory_mb == pytest.approx(plain.weight_mb)


def test_a_prompt_with_several_answers_is_attended_to_once(tiny_llama, recipe_on, monkeypatch):
    """By speeds at which only pairs of tokens take time; by the modules each row is as long as the longest."""
    pairs = Speeds(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr("finetuning.estimates.estimate.speeds", lambda recipe, config: pairs)
    settings = ["training.max_steps=1", "training.batch_size=1", "training.eval_rows=0", "way.beta=0"]

    def seconds(*more):
        return estimate(recipe_on("dialogue-smollm2-grpo", tiny_llama, *settings, *more)).training_s

    few, many = seconds("way.num_generations=2"), seconds("way.num_generations=32")
    assert few < many < 8 * few
    by_modules = [seconds(f"way.num_generations={count}", "strategy.dropout=0.1") for count in (2, 32)]
    assert by_modules[1] == pytest.approx(16 * by_modules[0])


def test_few_shot_and_forgetting_are_counted(tiny_llama, recipe_on):
    none = ["evaluation.few_shot=0", "evaluation.forgetting=false"]
    alone = estimate(recipe_on("dialogue-smollm2-qlora", tiny_llama, *none)).evaluation_s
    shown = estimate(recipe_on("dialogue-smollm2-qlora", tiny_llama, none[1])).evaluation_s
    general = estimate(recipe_on("dialogue-smollm2-qlora", tiny_llama, none[0])).evaluation_s
    assert min(shown, general) > alone > 0


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("name", "base"), [("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")]
)
def test_a_layer_is_measured_once_a_machine_and_kept(name, base, recipe_on, request, monkeypatch):
    monkeypatch.setattr(calibration, "_others", lambda: 0.0)
    recipe = recipe_on(name, request.getfixturevalue(base))
    first = estimate(recipe)
    (key,) = json.loads((cache_folder() / calibration.FILE).read_text())
    assert key.startswith(platform.node())
    monkeypatch.setattr(calibration, "_known", {})
    monkeypatch.setattr(calibration, "_measure", lambda *_: pytest.fail("measured again"))
    again = estimate(recipe_on(name, request.getfixturevalue(base), "strategy.rank=16"))
    assert again.evaluation_s == first.evaluation_s and again.training_s > first.training_s > 0


@pytest.mark.cuda
@pytest.mark.parametrize("text", ["", "[]", '{"x": 3}', "not JSON", '{"x": {"train_token": -1}}'])
def test_a_damaged_file_of_speeds_is_measured_again(text, tiny_llama, recipe_on):
    cache_folder().mkdir(parents=True)
    (cache_folder() / calibration.FILE).write_text(text)
    assert estimate(recipe_on("sentiment-smollm2-lora", tiny_llama)).training_s > 0


def test_beside_others_a_threads_own_time_counts_and_is_not_kept(tiny_llama, recipe_on, monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr(calibration, "_others", lambda: 0.9)
    # By the clock, each look would come an hour after the last one.
    monkeypatch.setattr(calibration.time, "perf_counter", itertools.count(0.0, 3600.0).__next__)
    assert 0 < estimate(recipe_on("sentiment-smollm2-lora", tiny_llama)).training_s < 60
    assert not (cache_folder() / calibration.FILE).exists()
    assert torch.get_num_threads() == threads


def test_an_unknown_base_is_an_error_that_says_so():
    recipe = load_recipe("sentiment-smollm2-lora", ["model.base=nobody/nothing"])
    with pytest.raises(ModelError, match="nobody/nothing"):
        parameter_count(recipe)


@pytest.mark.parametrize("kind", ["GPTNeoX", "OPT", "Falcon", "Bloom"])
def test_what_an_architecture_does_not_name_is_taken_for_the_usual(kind, tiny_llama, recipe_on, tmp_path):
    """The number of keys and values, or the size of the feed-forward: some configurations leave them out."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = getattr(transformers, f"{kind}Config")(vocab_size=512, bos_token_id=0, eos_token_id=0, **sizes)
    base = tmp_path / "base"
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(base)
    load_tokenizer(resolve(str(tiny_llama))).save_pretrained(base)
    module = adaptable_modules(model)[0]
    found = estimate(recipe_on("sentiment-smollm2-lora", base, f"strategy.target_modules=[{module}]"))
    assert found.memory_mb > 0 and found.training_s > 0 and found.evaluation_s > 0


def test_noise_between_two_measurements_is_no_cost_of_a_pair():
    """Where a layer is so large that few tokens are measured, rows hardly differ in length."""
    taken = iter([1.0, 1.2, 1.3])
    watch = types.SimpleNamespace(usual=lambda _: next(taken))
    few, many = torch.ones(1, 64), torch.ones(2, 64)
    batch, token, pair = calibration._fit(watch, lambda _: None, few, many, many)
    assert pair == 0.0 and batch == pytest.approx(0.4) and token == pytest.approx(0.1 / 64)


def test_pairs_are_two_rows_and_what_is_measured_before_the_first_step_takes_time(
    tiny_llama, pairs_file, monkeypatch
):
    """By speeds that make each part plain: a token that is learned takes a second, one that is read a tenth."""
    plain = Speeds(0.0, 1.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr("finetuning.estimates.estimate.speeds", lambda recipe, config: plain)
    settings = [f"model.base={tiny_llama}", f"data.source=file:{pairs_file}", "training.batch_size=4",
                "training.epochs=1", "training.gradient_accumulation=1", "model.precision=float32",
                "training.eval_rows=0", "evaluation.forgetting=false"]  # fmt: skip
    by_modules = "strategy.dropout=0.1"  # every row is as long as the longest then
    found = {
        way: estimate(load_recipe(f"dialogue-smollm2-{way}", [*settings, by_modules])) for way in ("dpo", "kto")
    }
    sft = estimate(load_recipe("dialogue-smollm2-dpo", [*settings, by_modules, "way=sft"]))
    # Pairs: twice the tokens, each of them read once more beforehand. Thumbs: as many rows as answers, each read
    # with its own answer and another's beforehand, and with another's in each step.
    assert found["dpo"].training_s == pytest.approx(2 * (1 + 0.1) * sft.training_s, rel=0.05)
    assert found["kto"].training_s == pytest.approx(2 * (1 + 0.3) * sft.training_s, rel=0.05)
    assert found["dpo"].evaluation_s > sft.evaluation_s and found["dpo"].weight_mb == sft.weight_mb
    assert found["dpo"].memory_mb < sft.memory_mb + 1  # no second model
    without = estimate(load_recipe("dialogue-smollm2-kto", [*settings, by_modules, "way.loss=apo_zero"]))
    assert without.training_s == pytest.approx(2 * (1 + 0.1) * sft.training_s, rel=0.05)  # no others' answers
    # By hand a prompt is computed once for both of its answers, whether these are a pair or two thumbs.
    pairs = estimate(load_recipe("dialogue-smollm2-dpo", settings))
    thumbs = estimate(load_recipe("dialogue-smollm2-kto", [*settings, "training.batch_size=8"]))
    once = pairs.training_s / (1 + 0.1)
    assert thumbs.training_s == pytest.approx((1 + 0.3) * once, rel=0.05)
    assert once < 0.8 * found["dpo"].training_s / (1 + 0.1)
    full = estimate(load_recipe("dialogue-smollm2-dpo", [*settings, "strategy.kind=full"]))
    supervised = estimate(load_recipe("dialogue-smollm2-dpo", [*settings, "strategy.kind=full", "way=sft"]))
    assert full.memory_mb < supervised.memory_mb + 1


def test_several_processes_hold_the_base_each_and_their_time_is_called_a_guess(tiny_llama, recipe_on):
    settings = ["model.precision=float32", "training.batch_size=8"]
    one, two = (
        estimate(recipe_on("sentiment-smollm2-lora", tiny_llama, *settings, f"where={where}"))
        for where in ("here", "here:2")
    )
    assert (one.processes, two.processes) == (1, 2)
    assert 1.5 * one.memory_mb < two.memory_mb < 2.1 * one.memory_mb
    assert two.training_s == pytest.approx(one.training_s, rel=0.5)  # they have the same cores
    assert "shared by 2 processes: their time is a guess" in two.sentence()
    assert "guess" not in one.sentence()
    parts = estimate(
        recipe_on("sentiment-smollm2-lora", tiny_llama, *settings, "where=here:2", "training.shard=true")
    )
    assert parts.memory_mb < two.memory_mb and "one of 2 parts of the base" in parts.sentence()

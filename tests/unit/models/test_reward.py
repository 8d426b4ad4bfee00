"""A reward model gives the number that the plain library gives, in any batch, and refuses what it is not for."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from data.tasks import DIALOGUE, TASKS
from models.adapters import BaseOrigin
from models.fast.ends import ends_of_rows, groups_of
from models.fast.llama import LlamaLayers
from models.fast.supports import supports
from models.kinds import require_answers
from models.loading import load, load_tokenizer
from models.pair import open_pair
from models.reward import load_reward, rewards_of_rows, rows_of_answers, score_answers
from models.sources import resolve
from plumbing.errors import ModelError

ASKED = ["Ana: Is the shop open?\nLeo: Until six.", "Tom: Soup?\nAna: Yes, please.", "Leo: I am late."]
ANSWERS = ["The shop is open until six.", "Ana wants soup.", "Leo is late. He says so to nobody.", "No.", ""]
INPUTS = [ASKED[0]] * 3 + [ASKED[1], ASKED[2]]


def plain_rewards(pair, tuned, inputs, answers):
    """By the library's own modules, a row at a time, the whole completion given."""
    prompter, found = pair.prompter, []
    for given, answer in zip(inputs, answers, strict=True):
        row = {"dialogue": given, "summary": answer}
        ids = torch.tensor([prompter.encode_row(row).input_ids])
        with torch.inference_mode(), pair.side(tuned) as model:
            found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.item())
    return found


@pytest.fixture(scope="module", params=["pad beside end", "pad is end"])
def base(request, tiny_llama, tmp_path_factory):
    """The tiny Llama; once the token that ends an answer is that for padding, as SmolLM2 has it."""
    if request.param == "pad beside end":
        return tiny_llama
    import shutil

    folder = tmp_path_factory.mktemp("padded") / "llama"
    shutil.copytree(tiny_llama, folder)
    tokenizer = load_tokenizer(resolve(str(folder)))
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(base, make_adapter, tmp_path_factory):
    return open_pair(make_adapter(tmp_path_factory.mktemp("reward"), base, task="dialogue", kind="reward"))


def test_rewards_are_the_plain_librarys_whatever_the_batch(pair):
    expected = plain_rewards(pair, True, INPUTS, ANSWERS)
    assert len({round(reward, 4) for reward in expected}) == len(expected)
    for size in (1, 2, 5):
        assert score_answers(pair, INPUTS, ANSWERS, batch_size=size) == pytest.approx(expected, abs=1e-5)
    rows = rows_of_answers(pair.prompter, INPUTS, ANSWERS)
    pad = pair.tokenizer.pad_token_id
    assert all(row[-1] != pad for row in rows)
    assert rewards_of_rows(pair.model, rows, pad=pad) == pytest.approx(expected, abs=1e-5)  # by its modules


def test_the_base_has_the_same_new_head_at_every_load(pair, base):
    source = resolve(str(base))
    one, other = (load(source, kind="reward", precision="float32").model for _ in range(2))
    assert torch.equal(one.score.weight, other.score.weight) and one.score.weight.shape == (1, 32)
    rewards = plain_rewards(pair, False, INPUTS[:2], ANSWERS[:2])
    ids = [pair.prompter.encode_row({"dialogue": INPUTS[0], "summary": ANSWERS[0]}).input_ids]
    with torch.inference_mode():
        assert one(input_ids=torch.tensor(ids)).logits.item() == pytest.approx(rewards[0], abs=1e-6)


def test_an_adapter_is_added_up_and_gives_the_same(pair, base, make_adapter, make_whole, tmp_path):
    folder = make_adapter(tmp_path / "adapter", base, task="dialogue", kind="reward")
    alone = load_reward(folder)
    assert type(alone.model).__name__ == "LlamaForSequenceClassification" and supports(alone.model)
    assert alone.score(INPUTS, ANSWERS) == pytest.approx(score_answers(pair, INPUTS, ANSWERS), abs=1e-4)
    assert alone.score([], []) == [] and alone.task == DIALOGUE
    folder = make_whole(tmp_path / "whole", base, task="dialogue", kind="reward")
    whole, plain = load_reward(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    row = alone.prompter.encode_row({"dialogue": INPUTS[0], "summary": ANSWERS[0]}).input_ids
    with torch.inference_mode():
        expected = plain(input_ids=torch.tensor([row])).logits.item()
    assert whole.score(INPUTS[:1], ANSWERS[:1]) == pytest.approx([expected], abs=1e-5)


def test_in_four_bits_the_adapter_stays_beside_its_base(tiny_llama, make_adapter, tmp_path):
    folder = make_adapter(tmp_path, tiny_llama, task="dialogue", kind="reward", precision="nf4")
    alone, opened = load_reward(folder), open_pair(folder)
    assert hasattr(alone.model, "peft_config")
    assert alone.model.get_base_model().score.weight.dtype == torch.float32
    assert alone.score(INPUTS, ANSWERS) == pytest.approx(score_answers(opened, INPUTS, ANSWERS), abs=1e-5)


def test_rewards_are_float32_whatever_the_layers_compute_in(tiny_llama, make_adapter, tmp_path):
    folder = make_adapter(tmp_path, tiny_llama, task="dialogue", kind="reward", precision="bfloat16")
    loaded = load(resolve(str(tiny_llama)), kind="reward", precision="bfloat16")
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert loaded.model.dtype == torch.bfloat16 and logits.dtype == torch.float32
    assert BaseOrigin.load(folder).kind == "reward"


# ---- what is refused -----------------------------------------------------------------------------------------


def test_what_is_no_reward_model_is_refused(tiny_dialogue_adapter):
    with pytest.raises(ModelError, match=r"This is not a reward model, and gives no rewards .*causal"):
        load_reward(tiny_dialogue_adapter)


def test_a_reward_model_of_another_task_or_tokenizer_is_refused(tiny_reward_adapter, make_llama, tmp_path):
    otherwise = replace(DIALOGUE, instruction="Write a title.")  # a person's own tasks may have one name
    for task, said in ((TASKS["sentiment"], "it is sentiment"), (otherwise, r"it is dialogue \(Write a title")):
        with pytest.raises(ModelError, match=f"trained on another task: its numbers say nothing of this.*{said}"):
            load_reward(tiny_reward_adapter, task=task)
    other = load_tokenizer(resolve(str(make_llama(tmp_path, words=()))))
    with pytest.raises(ModelError, match="reads other tokens than the model that is to learn by it"):
        load_reward(tiny_reward_adapter, task=DIALOGUE, tokenizer=other)
    own = load_tokenizer(resolve(BaseOrigin.load(tiny_reward_adapter).name))
    assert load_reward(tiny_reward_adapter, task=DIALOGUE, tokenizer=own).task == DIALOGUE


def test_an_encoder_is_no_base_of_a_reward_model(tiny_bert):
    with pytest.raises(ModelError, match="A reward model is made of a language model"):
        load(resolve(str(tiny_bert)), kind="reward", precision="float32")


def test_nobody_talks_to_a_reward_model():
    require_answers("causal")
    require_answers("classifier")
    with pytest.raises(ModelError, match=r"A reward model writes nothing.*Evaluate it on pairs"):
        require_answers("reward")


# ---- what answers share is computed once ------------------------------------------------------------------------


def test_rows_of_one_prompt_are_a_group_in_any_order():
    prompts = [list(range(place, place + 40)) for place in (100, 300)]
    rows = [prompts[number % 2] + [number, number + 1] for number in range(6)] + [[7, 8, 9]]
    groups = groups_of(rows)
    assert sorted(map(sorted, groups)) == [[0, 2, 4], [1, 3, 5], [6]]
    assert groups_of([]) == [] and groups_of([[1], [1]]) == [[0], [1]] and groups_of([[1, 2]] * 2) == [[0, 1]]


def test_ends_and_their_gradients_are_those_of_whole_rows(tiny_llama):
    loaded = load(resolve(str(tiny_llama)), kind="reward", precision="float32")
    model = loaded.model.requires_grad_(True)
    generator = torch.Generator().manual_seed(2)
    prompts = torch.randint(5, 200, (2, 80), generator=generator).tolist()
    rows = [prompts[number % 2] + [20 + number] * (1 + number) for number in range(5)] + [[9, 8, 7], [9]]
    assert len(groups_of(rows)) == 4
    weights = torch.randn(len(rows), 32, generator=generator)

    expected = torch.stack([model.base_model(torch.tensor([row])).last_hidden_state[0, -1] for row in rows])
    (expected * weights).sum().backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    found = ends_of_rows(LlamaLayers(model), rows)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    (found * weights).sum().backward()
    for name, value in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(value.grad, gradients[name], rtol=1e-3, atol=1e-4, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(ends_of_rows(LlamaLayers(model), rows), expected, rtol=1e-4, atol=1e-5)

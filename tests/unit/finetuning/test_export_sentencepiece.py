"""SentencePiece's vocabularies in GGUF files: what is written of one, and when it is not.

That llama.cpp cuts texts by it as transformers do, llama.cpp itself is asked: tests/integration.
"""

import copy
import json

import gguf
import pytest
from tokenizers import Tokenizer, models, normalizers, trainers
from transformers import PreTrainedTokenizerFast

from finetuning.export.checking import check_exported
from finetuning.export.forms import Options, export
from finetuning.export.gguf.sentencepiece import BYTES, begins_with_space, places_of, run_in_pieces
from finetuning.export.gguf.vocabulary import PROBES, add_vocabulary, texts_to_cut
from finetuning.export.gguf.writing import Language, write_gguf
from finetuning.export.language import prompts
from finetuning.export.tuned import Tuned
from finetuning.export.usage import prompter
from finetuning.export.work import Work
from models.gguf_files import resolve_gguf
from models.loading import load_tokenizer
from models.sources import resolve
from plumbing.errors import ModelError
from tests.unit.conftest import SENTENCES
from tests.unit.finetuning.sentencepieces import SPACE, sentencepiece
from tests.unit.finetuning.test_export_gguf import build, language


def state_of(tokenizer):
    return json.loads(tokenizer.backend_tokenizer.to_str())


def fields(path):
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def written(kind, tiny_llama, folder):
    build(kind, tiny_llama, folder / "model")
    write_gguf(language(kind, folder / "model"), folder / "model.gguf", Work())
    return fields(folder / "model.gguf")


@pytest.mark.parametrize(("kind", "before"), [("llama 2", False), ("mistral", True), ("gemma", False)])
def test_words_have_their_scores_and_kinds(kind, before, tiny_llama, tmp_path):
    found, state = written(kind, tiny_llama, tmp_path), state_of(sentencepiece(kind))
    words, kinds, scores = (found[f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type", "scores"))
    assert found["tokenizer.ggml.model"] == "llama" and found["tokenizer.ggml.add_space_prefix"] is before
    assert {words[at]: at for at in range(len(words))}.items() <= state["model"]["vocab"].items()
    places = places_of(state)
    by_score = sorted(places, key=lambda word: -scores[words.index(word)])
    assert by_score == sorted(places, key=places.get) and len({*places.values()}) == len(places)
    named = {each: gguf.TokenType(kinds[words.index(each)]).name for each in ("<unk>", "<0x0A>", "the", SPACE * 2)}
    assert named == {"<unk>": "UNKNOWN", "<0x0A>": "BYTE", "the": "NORMAL", SPACE * 2: "NORMAL"}
    if kind == "gemma":
        assert kinds[words.index("<end_of_turn>")] == gguf.TokenType.CONTROL
        assert kinds[words.index("\n\n")] == gguf.TokenType.USER_DEFINED
        assert "<picture>" not in words  # for which this model has no embedding


def test_a_space_comes_before_a_text_where_the_tokenizer_writes_one():
    first, always, never = map(sentencepiece, ("llama 2", "mistral", "gemma"))
    for text in ("Ana: Is", "<s>Ana", "Ana</s>x", " a"):
        assert begins_with_space(always, [text]) and not begins_with_space(never, [text])
    assert begins_with_space(first, ["Ana: Is"]) and not begins_with_space(first, ["<s>Ana", "<s> a"])
    with pytest.raises(ModelError, match="in some places, and not in others"):
        begins_with_space(first, ["Ana</s>x"])


def test_a_folder_of_which_no_prompts_are_known_is_refused_where_it_depends_on_them(tiny_llama, tmp_path):
    build("llama 2", tiny_llama, tmp_path / "model")
    model = Language.in_folder(tmp_path / "model")
    with pytest.raises(ModelError, match="in some places, and not in others"):
        write_gguf(model, tmp_path / "out.gguf", Work())
    assert not (tmp_path / "out.gguf").exists()
    texts = texts_to_cut(model.tokenizer, (), rows=len(model.tokenizer))
    assert [*PROBES] == texts[:-1] and "<s>a 12" in texts[-1]


def with_merges(change, kind="mistral"):
    state = state_of(sentencepiece(kind))
    return {
        **state,
        "model": {**state["model"], "merges": change([tuple(each) for each in state["model"]["merges"]])},
    }


def test_merges_that_scores_cannot_say_are_refused():
    places_of(with_merges(lambda merges: merges))
    with pytest.raises(ModelError, match="does not join all the pieces"):
        places_of(with_merges(lambda merges: merges[1:]))
    # Of every word one way only, which is how the package `tokenizers` trains.
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", *BYTES], show_progress=False)
    trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", SPACE)
    trained.train_from_iterator([*SENTENCES, *PROBES], trainer)
    with pytest.raises(ModelError, match="does not join all the pieces"):
        places_of(json.loads(trained.to_str()))


def mixed(merges):
    """The ways to put two words together, one of each after the other."""
    several = {}
    for left, right in merges:
        several.setdefault(left + right, []).append((left, right))
    one, other = [pairs for pairs in several.values() if len(pairs) > 1][:2]
    rest = [pair for pair in merges if pair not in (*one, *other)]
    return [one[0], other[0], *one[1:], *other[1:], *rest]


@pytest.fixture
def refused(tmp_path):
    """`refused(change, why)`: no file is written with Mistral's tokenizer whose state was changed."""

    def refused(change, why):
        state = copy.deepcopy(state_of(sentencepiece("mistral")))
        change(state)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(json.dumps(state)), unk_token="<unk>"
        )
        with pytest.raises(ModelError, match=why):
            add_vocabulary(gguf.GGUFWriter(None, "llama"), tokenizer, rows=len(tokenizer), begin=False)

    return refused


def test_what_a_tokenizer_does_beyond_spaces_is_refused(refused):
    def merged(state):
        state["model"]["merges"] = mixed([tuple(each) for each in state["model"]["merges"]])

    refused(merged, "sooner than others")
    refused(lambda state: state["normalizer"]["normalizers"].insert(0, {"type": "NFKC"}), "more to a text.*NFKC")
    refused(lambda state: state.update(pre_tokenizer={"type": "Whitespace"}), "more to a text.*Whitespace")
    words = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    refused(lambda state: state.update(normalizer=None, pre_tokenizer=words), "more to a text.*Metaspace")
    refused(lambda state: state.update(normalizer=None), "does not write spaces")
    refused(lambda state: state["model"].update(ignore_merges=True), "settings.*ignore_merges")
    words = state_of(sentencepiece("mistral"))["model"]["vocab"]
    renamed = {"<a>" if word == "<0xC3>" else word: number for word, number in words.items()}
    refused(lambda state: state["model"].update(vocab=renamed), "no words for some bytes.*0xC3")
    refused(lambda state: state["added_tokens"][3].update(rstrip=True), "take the space beside.*INST")


def test_runs_of_one_letter_are_joined_from_the_left():
    every = dict.fromkeys(range(2, 17), 0)
    assert run_in_pieces(5, every) == [5] and run_in_pieces(33, every) == [16, 16, 1]
    assert run_in_pieces(7, dict.fromkeys((2, 4, 8), 0)) == [4, 2, 1]
    assert run_in_pieces(7, {2: 1, 3: 0}) == [3, 3, 1] and run_in_pieces(7, {2: 0, 3: 1}) == [2, 2, 3]
    assert run_in_pieces(3, {}) == [1, 1, 1]


def spaces_alone(lengths, order):
    """A tokenizer with words for runs of so many spaces, whose merges stand in this order."""
    runs = [SPACE * length for length in lengths]
    pairs = [(word[:at], word[at:]) for word in runs for at in range(1, len(word))]
    pairs = [pair for pair in pairs if {len(part) for part in pair} <= {1, *lengths}]
    words = {word: number for number, word in enumerate(["<unk>", *BYTES, SPACE, *runs])}
    backend = Tokenizer(models.BPE(vocab=words, merges=sorted(pairs, key=order), byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", SPACE)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def notes_of(tokenizer):
    return add_vocabulary(
        gguf.GGUFWriter(None, "llama"), tokenizer, rows=len(tokenizer), begin=False, texts=["a  b"]
    )


def test_words_for_runs_of_spaces_may_stand_mixed_where_it_makes_no_difference():
    def longest_first(pair):
        return -len(pair[0]), -len(pair[1])

    def shortest_first(pair):
        return len(pair[1]), len(pair[0])

    for order in (longest_first, shortest_first):
        assert len({*places_of(state_of(spaces_alone([2, 3, 4], order))).values()}) < 3
    assert notes_of(spaces_alone([2, 3, 4], longest_first)) == []
    # Of five, four and one, or two and three: no word is so long.
    said = "llama.cpp cuts a run of 5 and more spaces into other pieces."
    assert notes_of(spaces_alone([2, 3, 4], shortest_first)) == [said]
    with pytest.raises(ModelError, match="cuts a run of 5 of"):
        notes_of(spaces_alone([2, 3, 4, 6], shortest_first))


@pytest.mark.parametrize("kind", ["llama 2", "gemma"])
def test_what_was_tuned_on_such_a_model_is_asked_alike_and_answers_alike(kind, tiny_llama, make_adapter, tmp_path):
    base = build(kind, tiny_llama, tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", base)
    file = export(adapter, "gguf", tmp_path / "out.gguf", options=Options(packing="f32")).path
    assert fields(file)["tokenizer.ggml.add_bos_token"] is True
    assert fields(file)["tokenizer.ggml.add_space_prefix"] is False
    made, read = Tuned.of(adapter), load_tokenizer(resolve_gguf(file))
    own = load_tokenizer(resolve(str(base)))
    for prompt in prompts(prompter(made, own)):
        assert prompt.startswith(own.bos_token)
        assert (
            own(prompt, add_special_tokens=False)["input_ids"]
            == read(prompt, add_special_tokens=False)["input_ids"]
        )
    found = check_exported(made, file, Work(), rows=4)
    assert (found.rows, found.same) == (4, 4)

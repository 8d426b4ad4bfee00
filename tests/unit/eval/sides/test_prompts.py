"""How sides on this machine are asked: contracts, chat templates, and templates of a person's own."""

import shutil
from dataclasses import replace

import pytest

from data.tasks import DIALOGUE, SENTIMENT, TASKS
from eval.sides.prompts import FilePrompter, PromptFile, asking
from models.chat_template import PLAIN_TEMPLATE
from models.loading import load_tokenizer
from models.prompting import Prompter
from models.sources import resolve
from models.tokenizer_files import TokenizerBeside
from plumbing.errors import DataError, ModelError, RecipeError

PLAIN = "Review: {{ input }}\nSentiment:"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n\n"
)


@pytest.fixture
def tokenizer(tiny_llama):
    return load_tokenizer(resolve(str(tiny_llama)))


@pytest.fixture
def file(tmp_path):
    def file(text):
        (tmp_path / "prompt.jinja").write_text(text, encoding="utf-8")
        return PromptFile.load(str(tmp_path / "prompt.jinja"), SENTIMENT)

    return file


def test_a_template_of_ones_own_is_what_is_asked(tokenizer, file):
    made = asking(tokenizer, SENTIMENT, file=file(PLAIN))
    asked = made.prompted("Fine soup.")
    assert (asked.where_from, asked.example) == ("file", "Review: Fine soup.\nSentiment:")
    prompter = made.prompter
    ids = prompter.encode_prompt("Fine soup.")
    assert tokenizer.decode(ids) == asked.example
    # The answer begins with a space, as the prompt ends with a word.
    assert [tokenizer.decode(label) for label in prompter.encode_labels(SENTIMENT.labels)] == [
        f" {label}" for label in SENTIMENT.labels
    ]
    ((prompt, answer),) = prompter.encode_answers(["Fine soup."], ["positive"])
    assert prompt == ids and tokenizer.decode(answer) == " positive<|im_end|>"


def test_a_template_of_ones_own_that_is_the_model_s_gives_its_prompts(tokenizer, file):
    own, theirs = Prompter(tokenizer, SENTIMENT), FilePrompter(tokenizer, SENTIMENT, file(CHATML))
    for text in ("Fine soup.", "a <|im_end|> b", "ü\n\n"):
        assert theirs.encode_prompt(text) == own.encode_prompt(text)
    assert theirs.encode_labels(SENTIMENT.labels) == own.encode_labels(SENTIMENT.labels)


def test_a_space_at_the_end_belongs_to_the_answer(tokenizer, file):
    prompter = FilePrompter(tokenizer, SENTIMENT, file(f"{PLAIN} "))
    assert prompter.prompt("x").endswith("Sentiment:") and prompter.answer_start == " "


def test_all_that_a_template_is_given(tokenizer, file):
    text = "{{ instruction }}|{{ labels | join('/') }}|{{ input }}|{{ messages[-1].content }}|{{ eos_token }}"
    prompter = FilePrompter(tokenizer, SENTIMENT, file(text))
    assert prompter.prompt("x") == f"{SENTIMENT.instruction}|negative/positive|x|x|<|im_end|>"
    chat = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    task = next(task for task in TASKS.values() if task.kind == "chat")
    assert FilePrompter(tokenizer, task, file("{{ input }}")).prompt(chat) == "user: a\nassistant: b\nuser: c"


def test_its_hash_is_over_all_that_shapes_a_prompt(tokenizer, file):
    def sha(text=PLAIN, task=SENTIMENT):
        return asking(tokenizer, task, file=file(text)).prompted("x").sha256

    same = sha()
    assert same == sha()
    others = {
        sha(f"{PLAIN} "),
        sha(task=replace(SENTIMENT, instruction="Other.")),
        sha(task=SENTIMENT.with_labels(["a", "b"])),
    }
    assert len(others | {same}) == 4


def test_rows_are_rendered_once_and_together(tokenizer, file, monkeypatch):
    prompter = FilePrompter(tokenizer, SENTIMENT, file(PLAIN))
    asked = []
    render = PromptFile.render
    monkeypatch.setattr(PromptFile, "render", lambda self, rows: asked.append(len(rows)) or render(self, rows))
    prompter.prepare(["a", "b", "a"])
    assert [prompter.prompt(each) for each in ("a", "b")] == ["Review: a\nSentiment:", "Review: b\nSentiment:"]
    assert asked == [2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n{{ inptu }}", ["'inptu' is undefined", "line 2", "what it is given is input, messages"]),
        ("a\nb\n{% if %}", ["line 3"]),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", ["unsafe", "line 1"]),
        ("{{ messages.append(1) }}{{ input }}", ["unsafe"]),
        ("{{ 'x' * 10000000000 }}{{ input }}", ["not computed"]),
        ("{% include '/etc/passwd' %}", ["line 1"]),
        ("Is it good?", ["asks the same of every row", "{{ input }}"]),
        ("{% if input == 'no' %}x{% endif %}", ["writes nothing"]),
        ("\n{{ raise_exception('no such row') }}", ["no such row", "line 2"]),
        ("{% for a in range(99999) %}{{ input }}{% endfor %}", ["more than 1,000,000 characters"]),
    ],
)
def test_a_template_that_is_wrong_says_where(tokenizer, file, text, says):
    with pytest.raises(DataError) as caught:
        FilePrompter(tokenizer, SENTIMENT, file(text))
    assert all(each in str(caught.value) for each in says), str(caught.value)


def test_a_row_that_a_template_cannot_take_is_named(tokenizer, file):
    prompter = FilePrompter(
        tokenizer, SENTIMENT, file("{{ input }}{% if 'bad' in input %}{{ nothing }}{% endif %}")
    )
    with pytest.raises(DataError, match=r"of row 2"):
        prompter.prepare(["good", "bad"])


def test_a_template_that_never_ends_is_ended(tokenizer, file, monkeypatch):
    slow = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{{ input }}"
    monkeypatch.setattr("eval.sides.prompts._TIMEOUT_S", 3.0)
    with pytest.raises(DataError, match="not done after 3 seconds"):
        FilePrompter(tokenizer, SENTIMENT, file(slow))


def test_a_template_sees_nothing_of_the_environment(file, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(DataError, match="undefined"):
        file("{{ environ }}").render([{"input": "x"}])
    from eval.sides import prompts

    assert "OPENAI_API_KEY" not in prompts._environment()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 200_000])
def test_files_that_are_no_template_are_refused(tmp_path, content):
    (tmp_path / "prompt.jinja").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        PromptFile.load(str(tmp_path / "prompt.jinja"), SENTIMENT)
    with pytest.raises(DataError, match="cannot be read"):
        PromptFile.load(str(tmp_path / "nowhere.jinja"), SENTIMENT)


def test_raw_texts_take_no_template_which_would_be_given_what_is_to_be_written(tmp_path):
    (tmp_path / "prompt.jinja").write_text("Go on: {{ input }}", encoding="utf-8")
    prose = replace(SENTIMENT, kind="text", labels=(), target_column="")
    with pytest.raises(RecipeError, match=r"no place for a prompt template.*Leave the template out"):
        PromptFile.load(str(tmp_path / "prompt.jinja"), prose)


def test_a_template_is_found_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "prompt.jinja").write_text(PLAIN, encoding="utf-8")
    assert PromptFile.load("~/prompt.jinja", SENTIMENT).text == PLAIN


def test_what_cannot_be_rendered_for_another_reason_says_which(file, tmp_path, monkeypatch):
    broken = tmp_path / "broken.py"
    broken.write_text("import a_library_that_is_nowhere")
    monkeypatch.setattr("eval.sides.prompts.rendering.__file__", str(broken))
    with pytest.raises(DataError, match=r"nothing could render it: ModuleNotFoundError.*a_library_that_is_nowhere"):
        file(PLAIN).render([{"input": "x"}])


def test_a_contract_wins_over_the_template_where_it_is_of_this_task(tokenizer, tiny_adapter):
    made = asking(tokenizer, SENTIMENT, folder=tiny_adapter)
    assert made.where_from == "contract" and not made.notes
    assert made.prompter.encode_prompt("x") == Prompter(tokenizer, SENTIMENT).encode_prompt("x")
    # The rows that are asked may be of a task of another name, but not of another kind or other labels.
    mine = replace(
        SENTIMENT, name="mine", input_column="body", labels=("positive", "negative"), instruction="Else."
    )
    assert asking(tokenizer, mine, folder=tiny_adapter).where_from == "contract"
    other = asking(tokenizer, DIALOGUE, folder=tiny_adapter)
    assert other.where_from == "template" and "was tuned for the task 'sentiment'" in other.notes[0]
    stars = asking(tokenizer, SENTIMENT.with_labels(["1", "2"]), folder=tiny_adapter)
    assert stars.where_from == "template" and "its labels are negative, positive" in stars.notes[0]


def test_a_contract_that_was_changed_is_refused(tokenizer, tiny_adapter, tmp_path):
    folder = shutil.copytree(tiny_adapter, tmp_path / "adapter")
    path = folder / "prompt.json"
    path.write_text(path.read_text(encoding="utf-8").replace("sentiment", "sentimenT", 1), encoding="utf-8")
    with pytest.raises(ModelError):
        asking(tokenizer, SENTIMENT, folder=folder)


def test_a_model_without_a_chat_template_is_asked_in_plain_words_and_says_so(tokenizer):
    tokenizer.chat_template = PLAIN_TEMPLATE
    made = asking(tokenizer, SENTIMENT)
    assert made.where_from == "template" and "no chat template" in made.notes[0]
    assert made.prompted("x").example.endswith("Input:\nx\n\nAnswer:\n")


def test_the_template_that_came_with_an_adapter_leaves_the_base_s_alone(tokenizer):
    own = tokenizer.chat_template
    theirs = "{% for message in messages %}### {{ message.role }}\n{{ message.content }}\n{% endfor %}### answer\n"
    made = asking(tokenizer, SENTIMENT, beside=TokenizerBeside(theirs))
    assert made.prompted("x").example.startswith("### system\n") and "came with the adapter" in made.notes[0]
    assert tokenizer.chat_template == own
    assert asking(tokenizer, SENTIMENT).prompted("x").example.startswith("<|im_start|>system\n")

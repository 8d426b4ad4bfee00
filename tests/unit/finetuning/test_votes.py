"""Votes: kept whole or left aside and said, one writer at a time; what they teach goes through the data door."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.preferences import LIKED, REJECTED
from data.sources import open_source
from data.tasks import DIALOGUE
from data.tasks.own import OwnTask
from eval.report.folder import load
from eval.vote_lines import Answer, Message, blind_votes, first_votes
from finetuning import cli
from finetuning.commands import following
from finetuning.limits import Limits
from finetuning.preparation import open_data
from finetuning.recipe import Recipe, load_recipe, with_overrides
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from finetuning.votes import keeping
from finetuning.votes.keeping import forget, keep, read_votes, said_of
from finetuning.votes.lessons import CUT_OFF, EMPTY, NEITHER, PAIRS, SAME, THUMBS
from finetuning.votes.training import is_votes, votes_recipe
from models.tuned import weights_sha256
from plumbing.errors import DataError, RecipeError, RunError, UserError
from tests.unit.finetuning.vote_samples import vote

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    return tmp_path / keeping.FOLDER


# ---- keeping -------------------------------------------------------------------------------------------------


def test_a_vote_is_read_as_it_was_kept(folder: Path) -> None:
    given = [vote(1), vote(2, "both bad", seen=True, owner="browser-a")]
    for each in given:
        keep(each)
    assert read_votes().votes == tuple(given) and not read_votes().sentences()
    line = json.loads((folder / keeping.FILE).read_text().splitlines()[0])
    assert {"version", "time", "prompt", "base", "tuned", "models", "left", "vote", "owner"} <= line.keys()
    assert read_votes(folder / "elsewhere").votes == ()


@pytest.mark.parametrize(
    ("left", "given", "preferred"),
    [("base", "left", "base"), ("base", "right", "tuned"), ("tuned", "left", "tuned"), ("tuned", "right", "base")],
)
def test_what_stood_where_says_which_side_is_preferred(left: str, given: str, preferred: str) -> None:
    assert vote(left=left, vote=given).preferred == preferred
    assert vote(left=left, vote="both bad").preferred == "both bad"
    assert vote(left=left, vote="tie").preferred == "tie"
    same = vote(left=left, vote=given, base=Answer(text="Yes. "), tuned=Answer(text="Yes."))
    assert same.preferred == "tie", "of two answers that are the same none can be the better"


def test_half_a_line_stays_and_is_said_and_the_next_vote_has_a_line_of_its_own(folder: Path) -> None:
    keep(vote(1))
    path = folder / keeping.FILE
    torn = path.read_bytes() + vote(2).model_dump_json().encode()[:-20]
    path.write_bytes(torn)
    assert [each.ballot for each in read_votes().votes] == [vote(1).ballot]
    keep(vote(3))
    assert path.read_bytes().startswith(torn), "nothing that was written is taken away"
    assert [each.ballot for each in read_votes().votes] == [vote(1).ballot, vote(3).ballot]
    [said] = read_votes().sentences()
    assert said.startswith("Line 2 of votes.jsonl is no whole vote")


@pytest.mark.parametrize("line", [b"[]", b"\xff\xfe", b"{" * 5000, b"null", b'{"version": 2}', b'{"version": 1}'])
def test_whatever_else_stands_in_the_file_is_left_aside(folder: Path, line: bytes) -> None:
    keep(vote(1))
    with (folder / keeping.FILE).open("ab") as file:
        file.write(line + b"\n\n")
    keep(vote(2))
    assert len(read_votes().votes) == 2 and read_votes().aside == (2,)


def test_a_vote_is_on_the_disk_before_anybody_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(keeping.os, "fsync", lambda _: synced.append((folder / keeping.FILE).read_bytes()))
    keep(vote(1))
    assert synced and synced[-1].endswith(b"}\n")


def test_nobody_votes_twice_on_one_ballot(folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        tries = [pool.submit(keep, vote(1, preferred)) for preferred in ("tuned", "base", "tie", "both bad")]
    assert sum(isinstance(each.exception(), UserError) for each in tries) == 3
    assert len(read_votes().votes) == 1


WRITER = """
from finetuning.votes.keeping import keep
from tests.unit.finetuning.vote_samples import vote
print("ready", flush=True)
for number in range(12):
    keep(vote(number))
"""


def test_two_processes_write_whole_lines(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"ready\n"
        for number in range(12):
            keep(vote(100 + number))
    assert other.returncode == 0
    assert len(read_votes().votes) == 24 and not read_votes().aside


def test_a_strangers_votes_have_limits(folder: Path) -> None:
    limits = Limits(votes=2, vote_characters=200)
    for number in range(2):
        keep(vote(number, owner="a"), limits=limits)
    keep(vote(2, owner="b"), limits=limits)
    with pytest.raises(UserError, match=r"given 2 votes.*Untick Blind"):
        keep(vote(3, owner="a"), limits=limits)
    keep(vote(3, owner="a"))  # of one's own page
    with pytest.raises(UserError, match=r"have 2\d\d characters.* up to 200"):
        keep(vote(4, owner="b", base=Answer(text="x" * 190)), limits=limits)
    with (folder / keeping.FILE).open("ab") as file:
        file.write(b" " * 1_000_001)
    with pytest.raises(UserError, match="no room for more votes"):
        keep(vote(5, owner="c"), limits=Limits(votes_mb=1))


def test_a_folder_that_cannot_be_written_to_is_a_sentence(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(RunError, match="cannot be written to"):
        keep(vote(1))


def test_the_first_vote_on_a_question_counts_and_only_a_blind_one() -> None:
    votes = [vote(1, "tuned"), vote(1, "base", ballot="f" * 32), vote(1, "base", owner="b"), vote(2, seen=True)]
    assert [each.preferred for each in first_votes(votes)] == ["tuned", "base", "tuned"]
    assert [each.preferred for each in blind_votes(votes)] == ["tuned", "base"]
    left_out, repeated = said_of(votes, blind_votes(votes))
    assert left_out == "2 more votes were given by who knew the sides, and left out."
    assert repeated.startswith("These are on 1 different message: several votes on one say less")
    assert said_of([vote(1), vote(2)], [vote(1), vote(2)]) == []
    retrained = vote(1, "base", models={"tuned_sha256": "d" * 64})
    assert blind_votes([votes[0], retrained]) == [votes[0], retrained]


def test_more_than_can_be_read_is_said_and_nothing_is_counted_of_half_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(vote(1))
    monkeypatch.setattr("eval.vote_lines.MAX_BYTES", 100)
    for use in (read_votes, lambda: keep(vote(2))):
        with pytest.raises(RunError, match="longer than 100 bytes"):
            use()


def test_votes_that_are_deleted_are_gone_and_nothing_else_is(folder: Path) -> None:
    assert forget("a") == 0
    for number, owner in enumerate(("a", "b", "a")):
        keep(vote(number, owner=owner))
    path = folder / keeping.FILE
    path.write_bytes(path.read_bytes() + b'{"half \xff')
    assert forget("a") == 2
    assert [each.owner for each in read_votes().votes] == ["b"] and read_votes().aside == (2,)
    keep(vote(3, owner="a"))
    assert [each.ballot for each in read_votes().votes] == [vote(1).ballot, vote(3).ballot]
    assert forget(None) == 2 and path.read_bytes() == b"", "an empty file, so that copies of it are emptied"


# ---- learning from them --------------------------------------------------------------------------------------


def test_votes_give_pairs_and_thumbs() -> None:
    votes = [
        vote(1, "tuned"),
        vote(2, "base"),
        vote(3, "tie"),
        vote(4, "both bad"),
        vote(5, base=Answer(text=" the same"), tuned=Answer(text="the same")),
        vote(6, tuned=Answer(text="It is", whole=False)),
        vote(7, base=Answer(text=" ")),
    ]
    pairs, thumbs = PAIRS.of(votes), THUMBS.of(votes)
    asked = [{"role": "user", "content": votes[0].prompt[0].content}]
    better, worse = ([{"role": "assistant", "content": said}] for said in ("1 is open.", "They talk about 1."))
    assert pairs.rows[0] == {"prompt": asked, "chosen": better, "rejected": worse}
    assert pairs.rows[1]["chosen"][0]["content"] == "They talk about 2." and len(pairs.rows) == 2
    assert pairs.left_out == {NEITHER: 2, SAME: 1, CUT_OFF: 1, EMPTY: 1}
    liked = [(row["completion"][0]["content"], row["label"]) for row in thumbs.rows]
    assert liked[:2] == [("1 is open.", True), ("They talk about 1.", False)]
    assert liked[4:] == [
        ("They talk about 4.", False), ("4 is open.", False), ("They talk about 6.", False), ("7 is open.", True)
    ]  # fmt: skip
    assert thumbs.left_out == {NEITHER: 1, SAME: 1}


def test_too_few_are_said_with_how_many_are_needed() -> None:
    pairs = PAIRS.of([vote(number) for number in range(5)] + [vote(1, owner="b")])
    assert pairs.sentence() == "6 pairs on 5 different messages: to learn from them, vote on 3 more messages."
    with pytest.raises(DataError, match=r"on 5 different messages, and 8 are needed at least\. Vote on 3 more"):
        pairs.require_enough()
    enough = PAIRS.of([vote(number) for number in range(8)])
    enough.require_enough()
    assert enough.sentence() == "8 pairs on 8 different messages."
    assert PAIRS.of([vote(1)]).sentence().startswith("1 pair on 1 different message: ")


CHAT = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="Are you open?"),
    Message(role="assistant", content="Which day?"),
]


@pytest.mark.parametrize(
    ("task", "before"),
    [
        (DIALOGUE, []),
        (OwnTask(kind="generation", instruction="Say when.").definition(), []),
        (OwnTask(kind="chat").definition(), CHAT),
    ],
    ids=["shipped", "own", "chat"],
)
def test_what_is_written_goes_through_the_door_for_data(tmp_path: Path, task, before) -> None:
    votes = [vote(number, "base" if number % 3 else "tuned") for number in range(12)]
    votes = [each.model_copy(update={"prompt": [*before, *each.prompt]}) for each in votes]
    for lesson, column in ((PAIRS, REJECTED), (THUMBS, LIKED)):
        path = lesson.of(votes).write_into(tmp_path / "new")
        opened = open_source(f"file:{path}", task, besides=(column,))
        rows = [row for split in opened.splits.values() for row in split]
        assert len(rows) == (12 if lesson is PAIRS else 24)
        row = next(row for row in rows if row[task.target_column] == "They talk about 4.")
        assert row[column] == ("4 is open." if lesson is PAIRS else True)
        asked = row[task.input_column]
        assert (asked if isinstance(asked, str) else asked[-1]["content"]) == votes[4].prompt[-1].content
        assert isinstance(asked, str) or len(asked) == 4


def test_the_recipe_goes_on_with_the_adapter_that_was_voted_on() -> None:
    voted = load_recipe("dialogue-smollm2-qlora")
    lessons = PAIRS.of([vote(number) for number in range(30)])
    recipe = votes_recipe(voted, "RUN-ID", lessons, "file:/tmp/pairs.jsonl")
    assert recipe.model.adapter == "RUN-ID" and recipe.model.base == voted.model.base
    assert recipe.strategy == voted.strategy and recipe.task == voted.task
    assert recipe.way.besides == (REJECTED,) and recipe.data.source == "file:/tmp/pairs.jsonl"
    usual = load_recipe("dialogue-smollm2-dpo").training
    assert recipe.training.learning_rate == usual.learning_rate < voted.training.learning_rate
    assert recipe.training.batch_size == usual.batch_size < voted.training.batch_size
    assert recipe.name == "dialogue-smollm2-qlora-votes" and "votes" in recipe.title
    again = votes_recipe(recipe, "OTHER", THUMBS.of([vote(number) for number in range(30)]), "file:/tmp/t.jsonl")
    assert again.name == recipe.name
    assert again.training.learning_rate == load_recipe("dialogue-smollm2-kto").training.learning_rate
    assert again.way.besides == (LIKED,) and again.title.count("votes") == 1


def test_what_was_set_for_other_rows_or_another_end_does_not_stay() -> None:
    others = {"evaluation.skip": True, "evaluation.source": "file:/tmp/test.csv", "data.test": "file:/tmp/test.csv"}
    others |= {"training.max_steps": 3, "training.batch_size": 1, "training.gradient_accumulation": 16}
    voted = with_overrides(load_recipe("dialogue-smollm2-qlora"), others | {"training.learning_rate": 1e-5})
    for lessons in (PAIRS.of([vote(1)]), THUMBS.of([vote(1)])):
        recipe = votes_recipe(voted, "RUN-ID", lessons, "file:/tmp/rows.jsonl")
        assert not recipe.evaluation.skip and recipe.evaluation.source is None and recipe.data.test is None
        assert recipe.training.max_steps is None and recipe.training.learning_rate == 1e-5
        assert recipe.training.batch_size * recipe.training.gradient_accumulation == 2


def test_columns_of_another_file_do_not_stay() -> None:
    voted = load_recipe("passages-smollm2-lora")
    task = OwnTask(kind="generation", inputs=["passage", "question"], target="reply", instruction="Answer.")
    voted = with_overrides(voted, {"task": task.model_dump(), "data": {"source": "file:/tmp/a.csv"}})
    recipe = votes_recipe(voted, "RUN-ID", PAIRS.of([vote(1)]), "file:/tmp/pairs.jsonl")
    assert recipe.task_definition.columns == ("input", "output") and recipe.task_definition.inputs == ()
    assert recipe.task_definition.instruction == "Answer."


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("sentiment-smollm2-lora", {}, "labels are right or wrong"),
        ("dialogue-smollm2-qlora", {"strategy": "full", "model.precision": "auto"}, "an adapter is continued"),
    ],
)
def test_what_cannot_be_learned_so_is_said(name: str, settings: dict, why: str) -> None:
    voted = with_overrides(load_recipe(name), settings)
    with pytest.raises(RecipeError, match=why):
        votes_recipe(voted, "RUN-ID", PAIRS.of([vote(1)]), "file:/tmp/pairs.jsonl")


def test_a_run_learns_from_votes_and_is_judged_on_others(
    tiny_llama: Path, tiny_dialogue_adapter: Path, tmp_path: Path
) -> None:
    settings = [f"model.base={tiny_llama}", "model.precision=float32", "evaluation.forgetting=false"]
    settings += ["strategy.rank=4", "strategy.alpha=8", "strategy.target_modules=[q_proj,v_proj]"]
    voted = load_recipe("dialogue-smollm2-qlora", settings)
    lessons = PAIRS.of([vote(number) for number in range(12)])
    recipe = votes_recipe(
        voted, str(tiny_dialogue_adapter), lessons, f"file:{lessons.write_into(tmp_path / 'rows')}"
    )
    short = {"training.max_steps": 1, "training.eval_rows": 0, "evaluation.max_new_tokens": 2}
    run = create_run(with_overrides(recipe, short), tmp_path / "runs")
    run_training(run, run.cancel_requested)
    assert run.status().state == "finished", run.status().error
    assert "It went on with the adapter" in run.status().facts["continues"]
    report, rows = load(run.evaluation)
    assert report.preference is not None and report.n == len(list(rows)) > 0


# ---- the command line ----------------------------------------------------------------------------------------


def said(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["votes", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_command_prints_the_win_rate_and_writes_pairs(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(following.console, "_width", 200)
    assert "Nobody has voted yet" in said()
    for number in range(9):
        keep(vote(number, "base" if number == 0 else "tuned"))
    keep(vote(20, models={"task": "own", "tuned": "run:a-20260101-000000-0000"}))
    with (folder / keeping.FILE).open("ab") as file:
        file.write(b"{")
    assert "the tuned model won 0.89 of 9 votes" in said() and "Line 11 of votes.jsonl" in said()
    assert "own" not in said("dialogue-smollm2-qlora").split("tuned won")[1]
    with pytest.raises(DataError, match="about several tasks"):
        said("--export", str(tmp_path / "pairs.jsonl"))
    written = said("dialogue-smollm2-qlora", "--export", str(tmp_path / "pairs.jsonl"))
    assert "9 pairs on 9 different messages" in written and "train votes:NAME" in written
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 9
    said("dialogue-smollm2-qlora", "--thumbs", "--export", str(tmp_path / "thumbs.jsonl"))
    assert len((tmp_path / "thumbs.jsonl").read_text().splitlines()) == 18
    with pytest.raises(DataError, match="There are votes on: dialogue-smollm2-qlora, a-2026"):
        said("somebody")
    with pytest.raises(DataError, match="cannot be written"):
        said("dialogue-smollm2-qlora", "--export", str(folder / keeping.FILE / "pairs.jsonl"))


@pytest.fixture
def shipped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapter that ships, of which the files are enough, and nine votes on it."""
    adapter = tmp_path / "bundled" / "dialogue-smollm2-qlora"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(adapter.parent))
    for number in range(9):
        keep(vote(number, "base" if number == 0 else "tuned", models={"tuned_sha256": weights_sha256(adapter)}))
    return adapter


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("way", ["dpo", "kto"])
def test_train_takes_votes_as_it_takes_a_file(shipped: Path, folder: Path, monkeypatch, way: str, as_file: bool):
    monkeypatch.setattr(following.console, "_width", 200)
    started: list[Recipe] = []
    monkeypatch.setattr("finetuning.runs.launch.submit", lambda recipe: started.append(recipe) or sys.exit(7))
    name = str(folder / keeping.FILE) if as_file else "votes:dialogue-smollm2-qlora"
    settings = ["--set", f"way={way}", "--set", "training.epochs=2"] if way != "dpo" else []
    asked = CliRunner().invoke(cli.app, ["train", name, *settings], input="n\n")
    assert not started and "on 9 different messages" in asked.stdout and "Train this?" in asked.stdout
    done = CliRunner().invoke(cli.app, ["train", name, "--yes", *settings], env={"COLUMNS": "200"})
    assert done.exit_code == 7
    [recipe] = started
    assert (recipe.way.kind, recipe.model.adapter) == (way, str(shipped))
    assert (recipe.training.epochs == 2) == (way != "dpo")
    opened = open_data(recipe)
    assert sum(map(len, opened.splits.values())) == (9 if way == "dpo" else 18)


def test_votes_that_cannot_be_learned_from_are_a_sentence(shipped: Path, folder: Path) -> None:
    def refused(*arguments: str) -> str:
        done = CliRunner().invoke(cli.app, ["inspect", *arguments])
        assert isinstance(done.exception, UserError)
        return str(done.exception)

    assert "no votes on this model" in refused("votes:somebody")
    (shipped / "adapter_model.safetensors").write_bytes(b"others")
    assert "before it was trained again" in refused("votes:dialogue-smollm2-qlora")
    keep(vote(50, models={"tuned": "run:a-20260101-000000-0000"}))
    assert "Name one of them: votes:dialogue-smollm2-qlora, votes:a-2026" in refused(str(folder / keeping.FILE))
    assert "There is no such run" in refused("votes:a-20260101-000000-0000")
    keep(vote(51, models={"tuned": "bundled:from-elsewhere"}))
    assert "not known how this adapter was tuned" in refused("votes:from-elsewhere")


def test_a_file_of_that_name_without_votes_is_a_file_of_rows(tmp_path: Path) -> None:
    path = tmp_path / keeping.FILE
    path.write_text('{"prompt": "Open?", "chosen": "Yes.", "rejected": "No."}\n')
    assert not is_votes(str(path)) and not is_votes(str(tmp_path / "no" / keeping.FILE)) and is_votes("votes:a")

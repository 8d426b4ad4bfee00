"""Where a run runs: what is written, what is refused, and what the queue does with runs that are elsewhere."""

import json
import os
import re
from dataclasses import dataclass, field

import pytest

from finetuning import sharding
from finetuning.launchers import here, launcher
from finetuning.launchers.here import Here, worker_environment
from finetuning.launchers.launcher import Job, launcher_of
from finetuning.limits import Limits, check_recipe
from finetuning.processes import cores
from finetuning.recipe import load_recipe, parse_recipe
from finetuning.runs import launch
from finetuning.runs.beginning import Beginning, _settings
from finetuning.runs.folder import create_run, make_folder
from finetuning.runs.jobs import JOB_FILE
from finetuning.runs.states import Status
from plumbing.errors import RecipeError

NAME = "sentiment-smollm2-lora"


def test_this_machine_with_one_process_or_several():
    assert launcher_of("here") == launcher_of("here:1") == Here(1)
    assert launcher_of("here:12") == Here(12)
    assert load_recipe(NAME).where == "here"
    assert load_recipe(NAME, ["where=here:2"]).where == "here:2"
    before = load_recipe(NAME).model_dump()
    del before["where"]  # as earlier versions wrote it
    assert parse_recipe(before).where == "here"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("here:0", "a number of processes, from 1 to 64"),
        ("here:-2", "a number of processes"),
        ("here:two", "a number of processes"),
        ("here:²", "a number of processes"),
        ("here:99999999999999999999", "a number of processes"),
        ("there", "did you mean here"),
        ("", "there are here, here:N"),
        ("hello:2", "there are here, here:N"),
    ],
)
def test_what_is_no_place_is_refused_in_a_sentence(where, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe(NAME, [f"where={where}"])


def test_more_processes_than_there_are_cores_are_refused(monkeypatch, tmp_path):
    recipe = load_recipe(NAME, [f"where=here:{cores() + 1}", "training.batch_size=64"])
    said = f"needs as many cores, and this machine has {cores()}"
    with pytest.raises(RecipeError, match=said):
        launch.submit(recipe, tmp_path)
    assert not list(tmp_path.glob("sentiment*"))
    monkeypatch.setattr(here, "_devices", lambda: (4, "GPU"))
    with pytest.raises(RecipeError, match="this machine has 4") as refused:
        launcher.require(load_recipe(NAME, ["where=here:6"]))
    assert "where=here:4" in str(refused.value)
    launcher.require(load_recipe(NAME, ["where=here:4"]))


@pytest.mark.parametrize(
    ("settings", "where", "said"),
    [
        (["training.batch_size=2"], "here:4", "batch_size=4 or more, or set where=here:2"),
        (["training.batch_size=1"], "here:2", "batch_size=2 or more, or leave where out"),
        (["training.batch_size=3", "training.gradient_accumulation=4"], "here:8", "where=here:6"),
    ],
)
def test_a_batch_that_so_many_cannot_share_is_refused_with_what_would_do(settings, where, said, monkeypatch):
    monkeypatch.setattr(here, "_devices", lambda: (16, "GPU"))
    with pytest.raises(RecipeError, match="cannot be shared by") as refused:
        launcher.require(load_recipe(NAME, [*settings, f"where={where}"]))
    assert said in str(refused.value)


def test_what_is_accumulated_is_shared_unless_its_batches_are_compared(monkeypatch):
    monkeypatch.setattr(here, "_devices", lambda: (16, "GPU"))
    small = ["training.batch_size=2", "training.gradient_accumulation=4", "where=here:8"]
    launcher.require(load_recipe(NAME, small))
    with pytest.raises(RecipeError, match="cannot be shared by 8 processes"):
        launcher.require(load_recipe("dialogue-smollm2-kto", small))
    with pytest.raises(RecipeError, match="way: online runs in one process"):
        launcher.require(load_recipe("dialogue-smollm2-grpo", ["where=here:2"]))


def test_a_worker_of_several_sees_as_many_gpus_and_has_its_share_of_the_cores(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    many = worker_environment(2)
    assert many["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert many["OMP_NUM_THREADS"] == str(max(1, cores() // 2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    many = worker_environment(2)
    assert (many["CUDA_VISIBLE_DEVICES"], many["OMP_NUM_THREADS"]) == ("5,3", "7")


def test_the_next_run_is_started_as_if_by_nobodys_worker(monkeypatch):
    """The first of several processes starts it: with its own environment it would wait for a second one."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3,1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    of_worker = worker_environment(2) | {"RANK": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "ROLE_NAME": "w"}
    of_worker |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "x", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
    for name, value in of_worker.items():
        monkeypatch.setenv(name, value)
    one = worker_environment()
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID", "OMP_NUM_THREADS"} & set(
        one
    )
    assert one["CUDA_VISIBLE_DEVICES"] == "5"
    assert worker_environment(3)["CUDA_VISIBLE_DEVICES"] == "5,3,1"


def test_gpus_are_places_to_choose_from(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(here.Path, "glob", lambda self, pattern: [f"/dev/nvidia{n}" for n in range(6)])
    assert [where for _, where in launcher.places()] == ["here", "here:2", "here:4", "here:6"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [where for _, where in launcher.places()] == ["here"]


def test_the_words_of_the_documentation_are_places():
    said = (here.ROOT / "docs" / "scale.md").read_text(encoding="utf-8").partition("\n## An engine")[0]
    words = re.findall(r"^\| [^|]+ \| `([^`]+)` \|", said, flags=re.MULTILINE)
    assert len(words) >= 2
    for word in words:
        assert launcher_of(word.replace(":N", ":2"))


def test_a_stranger_runs_one_process():
    with pytest.raises(RecipeError, match="one process of this machine"):
        check_recipe(load_recipe(NAME, ["where=here:2"]), Limits())


def test_a_run_may_go_on_elsewhere():
    settings = _settings(load_recipe(NAME, ["where=here:8"]))
    began = Beginning(settings=settings, train_sha256="", weights_sha256="", precision="float32")
    began.check_settings(None, load_recipe(NAME, ["where=here:2"]))


def test_a_status_of_before_has_no_job():
    old = Status(created=1.0).model_dump()
    del old["job"]
    assert Status.model_validate_json(json.dumps(old)).job == ""


# ---- a place that is elsewhere -------------------------------------------------------------------------------


@dataclass
class Elsewhere:
    """A launcher whose jobs are in a dictionary: job → whether it is there."""

    processes: int = 1
    takes_turns: bool = False
    jobs: dict[str, bool] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def require(self, recipe):
        return

    def start(self, folder, log):
        self.jobs[f"job of {folder.name}"] = True
        return Job(job=f"job of {folder.name}")

    def look(self, folder, begun):
        return self.jobs.get(begun.job, False)

    def cancel(self, folder, begun):
        self.jobs[begun.job] = False
        return True

    def fetch(self, folder, begun):
        self.fetched.append(folder.name)


@pytest.fixture
def elsewhere(monkeypatch):
    place, own = Elsewhere(), launcher.launcher_of
    find = lambda where: place if where == "elsewhere" else own(where)  # noqa: E731
    monkeypatch.setattr(launcher, "launcher_of", find)
    monkeypatch.setattr("finetuning.recipe.launcher_of", find)
    return place


@pytest.fixture
def started(elsewhere, monkeypatch):
    """Collects what would be started on this machine."""
    found, own = [], launch._start

    def start(run):
        if launch.place_of(run) is elsewhere:
            return own(run)
        found.append(run.id)
        run.update(state="running", pid=os.getpid(), pid_started=launch.here.process_started(os.getpid()))
        return True

    monkeypatch.setattr(launch, "_start", start)
    return found


def test_a_job_is_carried_out_here_before_the_runs_that_wait_here(elsewhere, started, tmp_path):
    away = launch.submit(load_recipe(NAME, ["where=elsewhere"]), tmp_path)
    local = create_run(load_recipe(NAME), tmp_path)
    job = make_folder("evaluation.", JOB_FILE, "{}", tmp_path)
    assert launch.place_of(job) == Here() and launch.place_in_queue(local) == 1
    launch.reconcile(tmp_path)
    assert started == [job.id] and set(elsewhere.jobs) == {f"job of {away.id}"}
    job.update(state="finished")
    launch.reconcile(tmp_path)
    assert started == [job.id, local.id] and job.id not in elsewhere.fetched


def test_runs_elsewhere_wait_for_nobody_here_and_are_cancelled_lost_and_taken_up_again(
    elsewhere, started, tmp_path
):
    recipe = load_recipe(NAME, ["where=elsewhere"])
    local = launch.submit(load_recipe(NAME), tmp_path)
    away, other = (launch.submit(recipe, tmp_path) for _ in range(2))
    behind = create_run(load_recipe(NAME), tmp_path)
    launch.reconcile(tmp_path)
    assert started == [local.id] and len(elsewhere.jobs) == 2
    assert away.status().state == "queued" and away.status().job in elsewhere.jobs
    assert launch.place_in_queue(behind) == 0 and launch.place_in_queue(other) == 0
    assert {away.id, other.id} <= set(elsewhere.fetched) and local.id not in elsewhere.fetched

    launch.cancel(other)  # it waits there
    assert other.status().state == "cancelled" and not elsewhere.jobs[f"job of {other.id}"]
    elsewhere.jobs.clear()  # and this one is lost there
    launch.reconcile(tmp_path)
    assert away.status().state == "failed" and "lost before it began" in away.status().error
    launch.resume(away)
    assert away.status().state == "queued" and elsewhere.jobs == {f"job of {away.id}": True}

    away.update(state="running", pid=12, pid_started="there")  # as its worker there writes
    launch.reconcile(tmp_path)
    assert away.status().state == "running"
    elsewhere.jobs.clear()
    launch.reconcile(tmp_path)
    assert away.status().state == "interrupted" and started == [local.id]


# ---- a base in shards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        (NAME, ["strategy.kind=full"], "whose own weights learn is not spread"),
        (NAME, ["strategy=qlora"], "in 4 bits is not spread"),
        ("sentiment-minilm-lora", [], "the base of way: classify is not spread"),
        (NAME, ["training.eval_metric=true"], "needs the whole base"),
    ],
)
def test_what_cannot_be_in_shards_says_why(name, settings, said, monkeypatch):
    monkeypatch.setattr(here, "_devices", lambda: (2, "GPU"))
    asked = [*settings, "where=here:2", "training.shard=true"]
    with pytest.raises(RecipeError, match=said):
        launcher.require(load_recipe(name, asked))
    launcher.require(load_recipe(name, [*settings, "where=here:2"]))


def test_one_process_holds_all_and_a_gpu_without_room_for_it_is_told_by_the_estimate(monkeypatch):
    with pytest.raises(RecipeError, match="there is one"):
        launcher.require(load_recipe(NAME, ["training.shard=true"]))
    assert sharding.shards(load_recipe(NAME, ["training.shard=true"]), 4) == 4
    assert sharding.shards(load_recipe(NAME), 4) == 1
    monkeypatch.setattr(sharding, "_is_too_large", lambda recipe: True)
    with pytest.raises(RecipeError, match=r"no room for the whole base.*evaluation\.skip=true"):
        sharding.shards(load_recipe(NAME), 4)
    assert sharding.shards(load_recipe(NAME, ["evaluation.skip=true"]), 4) == 4
    assert sharding.shards(load_recipe(NAME, ["training.shard=false"]), 4) == 1

"""The simulation of a queue of runs: what is known of queues by a formula comes out of it."""

import pytest

from benchmarks import job_costs, queueing
from benchmarks.queueing import erlang_c, erlang_wait, simulate
from benchmarks.results import fill, filled


def exponential(mean):
    return lambda chance: chance.expovariate(1 / mean)


@pytest.mark.parametrize(("per_hour", "gpus"), [(1.5, 1), (4.0, 2), (8.0, 4)])
def test_exponential_times_wait_as_erlang_says(per_hour, gpus):
    found = simulate(per_hour, exponential(20.0), gpus, jobs=100_000, seed=1)
    assert found.mean == pytest.approx(erlang_wait(per_hour, 20.0, gpus), rel=0.1)
    assert found.share == pytest.approx(erlang_c(per_hour * 20 / 60, gpus), abs=0.02)
    assert found.busy == pytest.approx(per_hour * 20 / 60 / gpus, abs=0.02)


def test_one_gpu_is_the_queue_that_every_book_begins_with():
    assert erlang_c(0.75, 1) == pytest.approx(0.75)
    assert erlang_wait(3.0, 15.0, 1) == pytest.approx(0.75 * 15 / 0.25)
    assert erlang_wait(3.0, 20.0, 1) == float("inf")


def test_equal_times_halve_the_wait():
    """Pollaczek and Khinchine: the mean wait goes with the mean of the squared times."""
    equal = simulate(2.0, lambda chance: 20.0, 1, jobs=60_000, seed=2)
    assert equal.mean == pytest.approx(erlang_wait(2.0, 20.0, 1) / 2, rel=0.05)


def test_another_gpu_never_makes_anybody_wait_longer():
    times = queueing.minutes_of_recipes()
    assert len(times) > 5 and all(time > 0 for time in times)
    waits = [simulate(4.0, lambda chance: chance.choice(times), gpus, jobs=5_000).mean for gpus in (1, 2, 3, 8)]
    assert waits == sorted(waits, reverse=True) and waits[-1] < 0.1


def test_where_more_come_than_can_be_served_the_table_says_so():
    said = queueing.markdown(6.0, [20.0], exponential=False, gpus=[1, 2, 3])
    assert said.count("grows without end") == 2 and "| 3 | " in said


def test_costs_are_by_the_minute_and_each_flavour_is_known_to_the_library():
    from huggingface_hub import JobHardware

    said = job_costs.markdown({"t4-small": 0.4, "cpu-basic": 0.01}, "made up", 30)
    assert said.splitlines()[-2:] == [
        "| `cpu-basic` | $0.01 | $0.005 | 6,000 min |",
        "| `t4-small` | $0.40 | $0.200 | 150 min |",
    ]
    assert set(job_costs.KNOWN) == {each.value for each in JobHardware}


def test_a_document_is_written_where_it_has_a_place(tmp_path):
    file = tmp_path / "scale.md"
    file.write_text("# A\n<!-- costs -->\nold\n<!-- /costs -->\nafter\n")
    fill(file, "costs", "new")
    assert (
        file.read_text() == "# A\n<!-- costs -->\n\nnew\n\n<!-- /costs -->\nafter\n"
        and filled(file, "costs") == "new"
    )
    with pytest.raises(ValueError, match="no place called load"):
        fill(file, "load", "x")

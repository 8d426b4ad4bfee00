"""The thread that computes answers: every step arrives, a closed stream stops the model, an error is raised."""

import threading

import pytest

from ui.drawing.answers import Turn
from ui.server.answering import stream, weigh


def test_a_stream_ends_with_both_answers(tiny_dialogue_pair):
    turn, stop = Turn("Ana: Soup?\nLeo: Yes."), threading.Event()
    seen = [turn.base.tokens for _ in stream(tiny_dialogue_pair, turn, [], stop)]
    assert seen == sorted(seen)
    assert seen[-1] == turn.base.tokens > 0
    assert not turn.was_stopped
    assert turn.base.seconds >= turn.base.first_token_seconds > 0
    weigh(tiny_dialogue_pair, turn)
    assert turn.second_side_cost == tiny_dialogue_pair.second_side_cost > 0


def test_a_closed_stream_stops_the_model_and_the_next_is_answered(tiny_dialogue_pair):
    stop = threading.Event()
    steps = stream(tiny_dialogue_pair, Turn("Ana: Soup?\nLeo: Yes."), [], stop)
    next(steps)
    steps.close()
    again = Turn("Ana: Soup?\nLeo: Yes.")
    for _ in stream(tiny_dialogue_pair, again, [], threading.Event()):
        pass
    assert again.tuned.tokens > 0


def test_a_stopped_stream_says_so(tiny_dialogue_pair):
    turn, stop = Turn("Ana: Soup?\nLeo: Yes."), threading.Event()
    stop.set()
    for _ in stream(tiny_dialogue_pair, turn, [], stop):
        pass
    assert turn.was_stopped or turn.base.tokens == 0


def test_an_error_of_the_thread_is_raised(tiny_dialogue_pair, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no memory")
        yield

    monkeypatch.setattr("models.generation.stream_answers", broken)
    with pytest.raises(RuntimeError, match="no memory"):
        list(stream(tiny_dialogue_pair, Turn("Ana: Soup?"), [], threading.Event()))

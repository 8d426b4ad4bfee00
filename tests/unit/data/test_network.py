"""The Hub is asked once whether it is there, and a Hub that hangs costs little."""

import threading
import time

import pytest

from plumbing import network
from plumbing.network import hub_reachable


def test_a_hub_that_hangs_costs_the_probe_and_is_asked_once(monkeypatch):
    asked, hanging = [], threading.Event()

    def hang(*args, **options):
        asked.append(args)
        hanging.wait(600)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("httpx.head", hang)
    monkeypatch.setattr(network, "PROBE_TIMEOUT_S", 0.1)
    hub_reachable.cache_clear()
    started = time.perf_counter()
    try:
        assert not hub_reachable()
        assert not hub_reachable()
    finally:
        hub_reachable.cache_clear()
        hanging.set()
    assert time.perf_counter() - started < 300  # it does not wait for what hangs
    assert len(asked) == 1


@pytest.mark.parametrize("error", [None, ConnectionError("no"), ImportError("no support for this proxy")])
def test_a_hub_is_reachable_if_it_answers_anything(monkeypatch, error):
    def answer(*args, **options):
        if error:
            raise error

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("httpx.head", answer)
    hub_reachable.cache_clear()
    try:
        assert hub_reachable() is (error is None)
    finally:
        hub_reachable.cache_clear()

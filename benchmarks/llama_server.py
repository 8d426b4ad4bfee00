"""llama.cpp's own server as a child process on a free port of the loopback, for the benchmarks and the tests.

    python -m benchmarks.llama_server '{"model": "model.gguf"}'

Says its address in one line, and ends when its standard input does: with whoever started it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.app_process import ROOT


@contextmanager
def llama_server(
    model: Path,
    *,
    lora: Path | Sequence[Path] = (),
    key: str = "",
    slots: int = 4,
    threads: int = 1,
    exact: bool = False,
    port: int | None = None,
) -> Iterator[str]:
    """The address of a server of `model`, up to `/v1`.

    Args:
        model: a GGUF file.
        lora: of an adapter that it applies, or of several.
        key: that it wants.
        slots: answers at once.
        threads: of the processor.
        exact: whether float32 weights give float32 answers. Left alone, keys and values are kept in half precision,
            and attention is computed in it: log-probabilities of a tiny model were off by up to 0.01.
        port: where it listens; by default one that is free.
    """
    asked = {
        "model": str(model),
        "lora": [str(each) for each in ([lora] if isinstance(lora, Path) else lora)],
        "port": port,
        "key": key,
        "slots": slots,
        "threads": threads,
        "exact": exact,
    }
    command = [sys.executable, "-m", "benchmarks.llama_server", json.dumps(asked)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            assert said.startswith("http://"), f"the server did not start: {said!r}"
            yield f"{said}/v1"
        finally:
            process.kill()


def main() -> None:
    """Serve until standard input ends."""
    import xllamacpp as llama

    asked: dict[str, Any] = json.loads(sys.argv[1])
    parameters = llama.CommonParams()
    parameters.model.path = asked["model"]
    parameters.n_parallel = asked["slots"]
    parameters.n_ctx = 1024 * asked["slots"]
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = asked["threads"]
    if asked["exact"]:
        parameters.cache_type_k = parameters.cache_type_v = llama.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.warmup = False
    if asked["port"]:
        parameters.port = asked["port"]
    adapters = []
    for path in asked["lora"]:
        adapter = llama.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, 1.0
        adapters.append(adapter)
    if adapters:
        parameters.lora_adapters = adapters
    if asked["key"]:
        parameters.api_keys = [asked["key"]]
    server = llama.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

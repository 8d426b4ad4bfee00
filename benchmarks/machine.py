"""python -m benchmarks.machine: the machine that a benchmark runs on, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.results import table

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "lm-eval")
SHAPES = ((1024, 576, 1536), (1024, 1536, 576), (2048, 2048, 2048), (4096, 4096, 4096))
"""Of matrix products, as (m, k, n): two of a small model's layers, and two that are as good as it gets."""


def describe() -> str:
    """Processor, memory and versions, as a Markdown table. The same on every call on the same machine."""
    rows = [
        ("processor", f"{processor()}, {len(os.sched_getaffinity(0))} cores"),
        ("memory", f"{psutil.virtual_memory().total / 1e9:.0f} GB"),
        ("accelerator", _accelerator()),
        ("system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        *((name, _version(name)) for name in PACKAGES),
    ]
    return table(("", "this machine"), rows)


def idle(seconds: float = 2.0) -> str:
    """What others do on the cores now, as a sentence; measured over `seconds`."""
    return f"Before it began, the cores were {psutil.cpu_percent(interval=seconds):.0f} % busy with other work."


def matrix_product_peak(
    precision: str, shapes: Sequence[tuple[int, int, int]] = SHAPES, *, seconds_a_shape: float = 1.0
) -> float:
    """The fastest that a product [m, k] × [k, n] of any of `shapes` went, in GFLOP/s, 2·m·k·n operations each.

    Args:
        precision: `float32` or `bfloat16`.
        shapes: what is tried.
        seconds_a_shape: how long each shape is tried.
    """
    import torch

    from models.loading import device

    where, dtype, best = device(), getattr(torch, precision), 0.0
    for m, k, n in shapes:
        a = torch.randn(m, k, device=where).to(dtype)
        b = torch.randn(n, k, device=where).to(dtype).t()  # as a linear layer holds its weight
        ends = time.perf_counter() + seconds_a_shape
        while time.perf_counter() < ends:
            started = time.perf_counter()
            a @ b
            if where.type == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * m * k * n / (time.perf_counter() - started) / 1e9)
    return best


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    """Print both."""
    from models.loading import best_precision

    print(describe())
    for precision in dict.fromkeys(("float32", best_precision())):
        print(f"matrix products in {precision}: {matrix_product_peak(precision):.0f} GFLOP/s")


if __name__ == "__main__":
    main()

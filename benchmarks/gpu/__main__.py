"""python -m benchmarks.gpu: what this project does on a GPU: tests, losses, Llama-2-7B, small models, chat.

Made for a machine that is there for minutes only, bare and without a network: nothing is fetched, models have
random weights, each part is a process of its own that ends in time, and what was found is in `--out` after each
number. What the machine lacks is brought by `python -m benchmarks.gpu.wheels`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu import wheels

PARTS = {"tests": "unit_tests", "losses": "losses", "llama": "llama", "small": "small", "chat": "chat"}
"""Part → its module."""
LIMIT_S = {"tests": 170, "losses": 170, "llama": 220, "small": 110, "chat": 60}
"""Of a part; what one leaves over, none of the others gets."""
TOGETHER = ("tests", "losses")
"""Begin at the same time: neither is about time."""
MINUTES = 8.0


def main() -> None:
    """Run the parts; exit code 2 where there is no GPU, 1 where a part failed or ran out of time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given again")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE", help="default: gpu.json")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all of it (default: {MINUTES:g})")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, on a processor too: to try this script")
    options = parser.parse_args()
    if wheels.SITE.is_dir():
        sys.path.insert(0, str(wheels.SITE))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(wheels.SITE), os.environ.get("PYTHONPATH", "")])
    import torch

    if not torch.cuda.is_available() and not options.tiny:
        print("There is no GPU here that torch can use; --tiny tries the script on a processor.", file=sys.stderr)
        sys.exit(2)
    if options.only and len(options.only) == 1:
        measure(options.only[0], options.out, options.tiny)
        return
    describe(options.out)
    ends = time.monotonic() + 60 * options.minutes
    parts = options.only or list(PARTS)
    together = [part for part in parts if part in TOGETHER]
    turns = [together, *([part] for part in parts if part not in TOGETHER)]
    good = [finished(turn, options.out, options.tiny, ends) for turn in turns if turn]
    sys.exit(0 if all(good) else 1)


def measure(part: str, out: Path, tiny: bool) -> None:
    """One part, in this process."""
    from benchmarks.gpu.findings import Findings

    module = importlib.import_module(f"benchmarks.gpu.{PARTS[part]}")
    module.measure(Findings(out), tiny=tiny)


def finished(parts: list[str], out: Path, tiny: bool, ends: float) -> bool:
    """Whether processes that measure `parts`, all at once, came to their ends, with exit code 0, in time."""
    from benchmarks.gpu.findings import Findings, read

    started, working = time.monotonic(), {}
    for part in parts:
        own = out.with_name(f".{part}-{out.name}")  # no two write to one file
        command = [sys.executable, "-m", "benchmarks.gpu", "--only", part, "--out", str(own), *(["--tiny"] * tiny)]
        if ends > started:
            working[part] = own, subprocess.Popen(command, start_new_session=True)
    good, findings = len(working) == len(parts), Findings(out)
    for part, (own, process) in working.items():
        try:
            code = str(process.wait(max(0.0, min(LIMIT_S[part], ends - started) + started - time.monotonic())))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = "out of time"
        findings.merge(read(own))
        own.unlink(missing_ok=True)
        findings.add("run", "Parts", what=part, s=time.monotonic() - started, exit_code=code)
        good = good and code == "0"
    for part in set(parts) - set(working):
        findings.add("run", "Parts", what=part, exit_code="no time left")
    return good


def describe(out: Path) -> None:
    """The card, and what of each library is here."""
    import torch

    from benchmarks.gpu.findings import Findings

    findings = Findings(out)
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        memory = f"{card.total_memory / 2**30:.0f} GiB"
        findings.add("run", "Machine", what=card.name, found=f"{memory}, CUDA {torch.version.cuda}")
    for name in ("torch", *wheels.PACKAGES):
        findings.add("run", "Machine", what=name, found=wheels.installed(name) or "not here")


if __name__ == "__main__":
    main()

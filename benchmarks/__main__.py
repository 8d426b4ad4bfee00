"""python -m benchmarks: every comparison in turn, into `RESULTS.md`; `--only chat` makes one section again."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks import machine, results

SECTIONS = {
    "training": "benchmarks.training",
    "chat": "benchmarks.chat",
    "evaluation": "benchmarks.agree_with_lm_eval",
    "policy": "benchmarks.policy_step",
    "start": "benchmarks.start",
    "page": "benchmarks.first_load",
    "scale": "benchmarks.scale",
}


def main() -> None:
    """Run them, each in a process of its own; exit code 1 where one failed or its two sides did not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="this section; may be given again")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side, in turns (default: 3)")
    parser.add_argument("--llamafactory", metavar="PATH", help="its command, where it is not on the PATH")
    parser.add_argument("--into", type=Path, default=results.FILE, metavar="FILE", help="default: RESULTS.md")
    options = parser.parse_args()
    names = options.only or list(SECTIONS)
    if len(names) == 1:
        sys.exit(not write(names[0], options.runs, options.llamafactory, options.into))
    command = [sys.executable, "-m", "benchmarks", "--runs", str(options.runs), "--into", str(options.into)]
    if options.llamafactory:
        command += ["--llamafactory", options.llamafactory]
    failed = [name for name in names if subprocess.run([*command, "--only", name]).returncode]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def write(name: str, runs: int, llamafactory: str | None, file: Path) -> bool:
    """Measure one section into `file`; False where its sides did not agree, which is then what it says."""
    results.tell(f"{name}:")
    module, idle, agreed = importlib.import_module(SECTIONS[name]), machine.idle(), True
    try:
        if name in ("start", "page", "scale"):
            body = as_table(module.measure())
        elif name == "training":
            body = module.markdown(module.measure(runs=runs, llamafactory=llamafactory))
        else:
            body = module.markdown(module.measure(runs=runs))
    except results.DisagreementError as error:
        body, agreed = f"**Failed:** {error}. So nothing was timed.", False
        results.tell(str(error))
    results.write_section(name.capitalize(), body, machine.describe(), idle=idle, file=file)
    return agreed


def as_table(values: dict[str, float]) -> str:
    """Numbers by name, whose unit is in the name."""
    rows = [(key.replace("_", " "), f"{value:,.4g}") for key, value in values.items()]
    return results.table(("", "measured"), rows)


if __name__ == "__main__":
    main()

"""Part `losses`: step by step, the losses of ours and of TRL's `SFTTrainer` on the same rows and weights.

In float32 they have to be equal to 1e-4. In bfloat16 both round, so what each lost to rounding is taken from its
own losses in float32 over the same weights: ours may be off by no more than twice what TRL is off by, or by the
precision of the numbers, 2^-8 of a loss, where that is more.
"""

from __future__ import annotations

from benchmarks.gpu import shapes
from benchmarks.gpu.findings import Findings
from benchmarks.results import DisagreementError
from benchmarks.training import TOLERANCE, largest_difference
from benchmarks.training_process import train

PART = "losses"
STEPS = 20
ROUNDING = 2.0**-8


def measure(findings: Findings, *, tiny: bool = False) -> None:
    """Train both on each shape, in each precision.

    Raises:
        DisagreementError: losses differ by more than they may; every comparison has been made then.
    """
    apart = []
    for shape in (shapes.TINY,) if tiny else (shapes.TINY, "SmolLM2-135M"):
        with shapes.base_of(shape) as base:
            for precision in ("nf4",) if tiny else ("bfloat16", "nf4"):
                apart += compare(findings, shape, str(base), precision, 4 if tiny else STEPS)
    if apart:
        raise DisagreementError("; ".join(apart))


def compare(findings: Findings, shape: str, base: str, precision: str, steps: int) -> list[str]:
    """One shape and precision, exactly and as it is computed; returns what differs too much."""
    strategy = "qlora" if precision == "nf4" else "lora"
    settings = [f"model.base={base}", f"model.precision={precision}", f"strategy={strategy}"]
    settings += [f"data.train_rows={16 * steps}"]
    found = {}
    for exact in (True, False):
        for trainer in ("ours", "trl"):
            # Without 4 bits the exact run holds its weights in float32 too: those that bfloat16 was made of.
            own = [*settings, "model.precision=float32"] if exact and precision != "nf4" else settings
            found[trainer, exact] = train(trainer, "sentiment-smollm2-lora", own, steps, exact=exact)
    first, last = found["ours", True].losses[0], found["ours", True].losses[-1]
    exactly = largest_difference(found["ours", True].losses, found["trl", True].losses)
    lost = {
        trainer: largest_difference(found[trainer, False].losses, found[trainer, True].losses)
        for trainer in ("ours", "trl")
    }
    allowed = max(2 * lost["trl"], ROUNDING * first)
    title = f"{steps} steps: the largest difference of two losses"
    named = f"{shape}, {precision}" + (" weights" if precision == "nf4" else "")
    findings.add(
        PART,
        title,
        what=named,
        first_loss=first,
        last_loss=last,
        ours_and_TRL_in_float32=exactly,
        ours_to_its_float32=lost["ours"],
        TRL_to_its_float32=lost["trl"],
        equal=exactly <= TOLERANCE and lost["ours"] <= allowed,
    )
    problems = [f"{named}: ours and TRL differ by {exactly:.2g} in float32"] if not exactly <= TOLERANCE else []
    if not lost["ours"] <= allowed:
        problems.append(f"{named}: ours loses {lost['ours']:.2g} to rounding, TRL {lost['trl']:.2g}")
    return problems

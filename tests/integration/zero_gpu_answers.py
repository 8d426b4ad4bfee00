"""What `test_zero_gpu.py` runs in a process of its own: an answer through the package `spaces`, forked and lent.

No GPU is here: torch gets what one for GPUs has and this one lacks, and the GPU's start in the fork is left out.
"""

import json
import os
import sys
import threading

import bitsandbytes  # noqa: F401  # after the package it would look for a GPU's functions in torch
import torch

torch.version.cuda = "13.0"  # read and kept, no more: beside a torch for processors the package is not imported
torch._C._cuda_init = lambda: None
torch.cuda._is_in_bad_fork = bool

import spaces.zero.torch as zero_torch  # noqa: E402

zero_torch.init = lambda uuid: None
zero_torch.move = lambda callback=None: None

from models import loading  # noqa: E402
from ui.drawing.answers import Turn  # noqa: E402
from ui.server import lent_gpu  # noqa: E402
from ui.server.answering import OfPair  # noqa: E402
from ui.server.choices import bundled_choices  # noqa: E402

assert torch.cuda.is_available() and loading.device().type == "cpu"  # torch is made to say so; the app knows better
choice = next(each for each in bundled_choices() if not each.task.is_classification)
pair = choice.open(lambda what, done, total: None)


def answered(both, *, stop_after=None):
    turn, stop, steps = Turn(message="Ana: The laptop is broken. Leo: I come on Friday."), threading.Event(), 0
    for _ in both.answers(turn, [], stop):
        steps += 1
        if steps == stop_after:
            stop.set()
    return [turn.base.text, turn.tuned.text, turn.base.stopped, steps]


lent = lent_gpu.lent(OfPair(pair), pair, choice)
here = answered(OfPair(pair))
found = {
    "here": here,
    "lent": answered(lent),
    "again": answered(lent),
    "stopped": answered(lent, stop_after=1),
    "pid": os.getpid(),
    "seconds": lent_gpu.seconds(choice, Turn(message=""), []),
    "kind": type(lent).__name__,
}
with open(sys.argv[1], "w") as out:  # noqa: PTH123
    json.dump(found, out)

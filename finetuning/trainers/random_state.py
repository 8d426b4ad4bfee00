"""The random state of a process in a checkpoint, in the file that transformers has for a run of one process.

Several processes leave one as well, so that a run goes on in any number of them; the library writes a file for
each, and finds none where there were others.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from transformers.trainer_pt_utils import safe_globals

_FILE = "rng_state.pth"


def save_random_state(folder: Path) -> None:
    """Write this process's into `folder`."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / _FILE)


def load_random_state(folder: Path) -> None:
    """Go on with what is in `folder`, if there is one."""
    if not (folder / _FILE).is_file():
        return
    with safe_globals():
        state = torch.load(folder / _FILE, weights_only=True)
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.random.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])

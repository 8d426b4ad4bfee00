"""Whether the Hugging Face Hub can be reached from this machine. Asked once, and quickly.

Left alone, the Hub's client retries for half a minute where there is no network.
"""

from __future__ import annotations

import functools
import threading

PROBE_TIMEOUT_S = 4.0


@functools.cache
def hub_reachable() -> bool:
    """Whether the Hub answers within `PROBE_TIMEOUT_S`; asked once a process."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def probe() -> None:
        try:
            httpx.head(constants.ENDPOINT, timeout=PROBE_TIMEOUT_S, follow_redirects=False)
        except Exception:  # a proxy or an address that is set up wrongly is as good as no network
            return
        answered.set()

    # In a thread, because a name server that does not answer is not covered by the client's timeout.
    thread = threading.Thread(target=probe, name="hub-probe", daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_S)
    return answered.is_set()

"""No secret of the environment passes."""

import contextlib
import io
import os
from pathlib import Path

from plumbing.redaction import RedactedStream, redact


def test_values_of_secret_variables_are_hidden_and_other_text_is_not():
    environment = {
        "HF_TOKEN": "abcdefgh-secret",
        "HUGGING_FACE_HUB_TOKEN": "another-secret",
        "MY_API_KEY": "keykeykey",
        "BEFORE_AFTER_KEY_API_EXAMPLE_ORG": "sk-for-a-server",
    }
    environment |= {"TOKENIZERS_PARALLELISM": "falsefalse", "SHORT_TOKEN": "ab"}
    text = "abcdefgh-secret another-secret keykeykey sk-for-a-server falsefalse ab"
    assert redact(text, environment) == "[hidden] [hidden] [hidden] [hidden] falsefalse ab"


def test_what_looks_like_a_hub_token_is_hidden_wherever_it_comes_from():
    assert redact(f"Bearer hf_{'Ab1' * 11}.", {}) == "Bearer [hidden]."
    assert redact("hf_hub_download", {}) == "hf_hub_download"


def test_a_stream_passes_on_what_may_be_seen_and_outlives_a_full_disk(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "abcdefgh-secret")
    under = io.StringIO()
    print("got abcdefgh-secret", file=RedactedStream(under))
    assert under.getvalue() == "got [hidden]\n"
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:  # closing it says so once more
        print("lost", file=RedactedStream(full), flush=True)
        monkeypatch.setenv("HF_TOKEN", "reached-this-line")
    assert os.environ["HF_TOKEN"] == "reached-this-line"

"""A tokenizer as files that came with an adapter, and as what it does: whether two cut texts alike.

Trainers save a tokenizer beside an adapter. Its words are the base's, which is loaded for them; but a chat
template, the tokens that begin and end a text, and tokens that were added may be its own, and a prompt without them
is not the one of training. Nothing of it is loaded: JSON and text of a bounded size are read.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapter_files import read_json
from models.any_adapter_config import MERGE
from plumbing.doors import side_option
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIG_FILE, TEMPLATE_FILE, WORDS_FILE = "tokenizer_config.json", "chat_template.jinja", "tokenizer.json"
MAX_TEMPLATE_CHARS = 100_000
_MAX_CONFIG_BYTES, _MAX_WORDS_BYTES = 8_000_000, 64_000_000
_ENDS = ("bos_token", "eos_token")


@dataclass(frozen=True)
class TokenizerBeside:
    """What of a tokenizer beside an adapter shapes a prompt."""

    template: str | None = None
    """A chat template; text only: whoever renders it, does so in a sandbox."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """`bos_token`, `eos_token`, where they are named."""
    added: Mapping[str, int] = field(default_factory=dict)
    """Tokens beside the vocabulary's words, as far as the files say, by their text."""

    @classmethod
    def read(cls, folder: Path) -> TokenizerBeside:
        """
        Raises:
            ModelError: a file is damaged, too large or no plain one.
        """
        try:
            saved = _object(folder / CONFIG_FILE, _MAX_CONFIG_BYTES)
            template = saved.get("chat_template")
            if (folder / TEMPLATE_FILE).is_file():
                if (folder / TEMPLATE_FILE).is_symlink():
                    raise OSError(f"{TEMPLATE_FILE} is not a plain file")
                with (folder / TEMPLATE_FILE).open("rb") as file:
                    template = file.read(4 * MAX_TEMPLATE_CHARS + 1).decode("utf-8")
            ends = {name: text for name in _ENDS if (text := _text_of(saved.get(name)))}
            known = saved.get("added_tokens_decoder")
            if known is None:  # as transformers 5 writes them
                listed = _object(folder / WORDS_FILE, _MAX_WORDS_BYTES).get("added_tokens") or []
                known = {each["id"]: each for each in listed}
            added = {_text_of(token): int(number) for number, token in known.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"The adapter's tokenizer cannot be read: {error}", got=str(folder), fix=_own_prompt()
            ) from None
        if template is not None and (not isinstance(template, str) or len(template) > MAX_TEMPLATE_CHARS):
            raise ModelError(
                f"The adapter's chat template is no text of at most {MAX_TEMPLATE_CHARS:,} characters",
                got=json.dumps(template)[:100],
                fix=_own_prompt(),
            )
        return cls(template, ends, added)

    def onto(self, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedTokenizerBase, list[str]]:
        """The base's `tokenizer`, which stays as it is, with what is the adapter's own; and what that is, in words.

        Raises:
            ModelError: a prompt of training holds tokens that the base's tokenizer does not have.
        """
        words = tokenizer.get_vocab()
        template = self.template or str(tokenizer.chat_template or "")
        missing = [text for text in self.ends.values() if text not in words]
        missing += [
            text for text, number in self.added.items() if text and text in template and words.get(text) != number
        ]
        if missing:
            raise ModelError(
                "The adapter was trained with tokens that the base's tokenizer does not have",
                got=sorted({*missing})[:8],
                fix=f"{MERGE} {_own_prompt()}",
            )
        ends = {name: text for name, text in self.ends.items() if text != str(getattr(tokenizer, name))}
        said = []
        if self.template is not None and self.template != tokenizer.chat_template:
            said.append("It is asked by the chat template that came with the adapter, which is not the base's.")
        if ends:
            told = ", ".join(f"{name} {text}" for name, text in ends.items())
            said.append(f"Its own tokenizer, and not the base's, says what texts begin and end with: {told}.")
        if said:
            tokenizer = copy.deepcopy(tokenizer)
            tokenizer.chat_template = self.template or tokenizer.chat_template
            for name, text in ends.items():
                setattr(tokenizer, name, text)
        return tokenizer, said


def cutting_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Over all that decides into which tokens a text is cut; empty where the tokenizer does not say it."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return ""
    state = json.loads(backend.to_str())
    decides = {name: state.get(name) for name in ("normalizer", "pre_tokenizer", "model", "added_tokens")}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _own_prompt() -> str:
    return f"A prompt template of your own takes the place of all that: {side_option('prompt', 'FILE')}."


def _object(path: Path, most_bytes: int) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is no file."""
    if not path.exists():
        return {}
    found = read_json(path, most_bytes=most_bytes)
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is not an object")
    return found


def _text_of(token: Any) -> str:
    """A token's text, which stands alone or with how it is matched."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""

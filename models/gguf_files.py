"""A GGUF file: whether it may be read, and what its weights are packed in. Looks at its metadata, loads no weights.

transformers reads it (`models.loading.load`), unpacked; so a side that is one computes in the precision of all
others, with weights that are what packing left of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapter_files import CONFIG_FILE
from models.resolved import ResolvedModel
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.ASCII)
_MOST_TENSORS, _MOST_FIELDS = 100_000, 10_000
_AS_GPT2 = frozenset(
    {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "mellum", "roberta-bpe", "modern-bert"}
)
"""Rules by which texts are split before they are cut into tokens, by llama.cpp's names: those that are GPT-2's."""
_DIGITS_APART = frozenset({"smollm", "refact", "command-r", "starcoder", "codeshell", "exaone", "minerva-7b"})
"""Those that are GPT-2's, with each digit by itself."""
SPACE = "▁"
"""How SentencePiece writes a space."""
_SLOWER = "rope_freqs.weight"
"""By how much each pair of dimensions turns slower than unscaled, [head size / 2]."""
_SCALE_POSITIONS = frozenset({_SLOWER, "rope_factors_long.weight", "rope_factors_short.weight"})


def resolve_gguf(path: Path, *, name: str = "", origin: str = "folder", revision: str = "") -> ResolvedModel:
    """The file as a base model that is here.

    Args:
        path: the file; of the Hub's cache it may be a link.
        name: what a person calls it; by default the file's own name.
        origin: `hub` or `folder`.
        revision: the Hub's commit.

    Raises:
        ModelError: it is no GGUF file, or one of several that belong together, or an adapter lies beside it.
    """
    check_gguf(path)
    if (path.parent / CONFIG_FILE).exists():
        raise ModelError(
            "Beside the GGUF file lies an adapter, which transformers would put onto it",
            got=str(path),
            fix="Move the file into a folder of its own.",
        )
    return ResolvedModel(
        name=name or path.name,
        path=path.parent,
        origin="hub" if origin == "hub" else "folder",
        revision=revision,
        gguf=path.name,
    )


def check_gguf(path: Path) -> None:
    """Refuse what does not begin as a GGUF file with a language model begins.

    Raises:
        ModelError: says what is wrong.
    """
    try:
        if not path.is_file():
            raise OSError("it is no file")
        with path.open("rb") as file:
            start = file.read(24)
    except OSError as error:
        raise ModelError(f"The GGUF file cannot be read: {error}", got=str(path)) from None
    version, tensors, fields = (int.from_bytes(start[a:b], "little") for a, b in ((4, 8), (8, 16), (16, 24)))
    if start[:4] != _MAGIC or len(start) < 24 or version not in _VERSIONS:
        raise ModelError(
            "This is not a GGUF file", got=str(path), fix=f"Version {' or '.join(map(str, _VERSIONS))} is read."
        )
    if tensors > _MOST_TENSORS or fields > _MOST_FIELDS:
        raise ModelError("The GGUF file is damaged", got=f"{tensors:,} tensors, {fields:,} fields of metadata")
    if (part := _PART.search(path.name)) and int(part[1]) != 1:
        raise ModelError(
            "The GGUF file is one part of several",
            got=path.name,
            fix="Join them with llama.cpp's `llama-gguf-split --merge`, and give the joined file.",
        )


def split_as_stated(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Let the tokenizer that transformers made of a file split texts as the file says, where that is not read.

    Digits stand apart where the rule is to; SentencePiece's texts begin with a space where that is stated.
    """
    from tokenizers import pre_tokenizers

    made: Any = tokenizer
    metadata, _ = _metadata(path)
    if _split_by(metadata) in _DIGITS_APART:
        parts = [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
        made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    before = metadata.get("tokenizer.ggml.add_space_prefix")
    if metadata.get("tokenizer.ggml.model") == "llama" and before is not None:
        spaces_as_stated(made.backend_tokenizer, bool(before))


def spaces_as_stated(backend: Any, before: bool) -> None:
    """Let a tokenizer of the package `tokenizers` write spaces as llama.cpp does for SentencePiece's vocabularies.

    Args:
        backend: the tokenizer.
        before: whether a text, and what follows a token that is whole, begins with one more.
    """
    from tokenizers import normalizers

    steps = [normalizers.Prepend(SPACE)] if before else []
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    backend.pre_tokenizer = None


def splits_unknown(path: Path) -> str:
    """The rule by which a file says that texts are split, where it is not known here; else an empty text."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    stated = _split_by(_metadata(path)[0])
    return "" if stated in (_AS_GPT2 | _DIGITS_APART | GGUF_PRE_TOKENIZER_SPLITS.keys() | {""}) else stated


def _split_by(metadata: Mapping[str, Any]) -> str:
    """Of a byte-level vocabulary; of another kind, which needs none, an empty text."""
    byte_level = metadata.get("tokenizer.ggml.model") == "gpt2"
    return str(metadata.get("tokenizer.ggml.pre", "default")) if byte_level else ""


def _metadata(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields, and the names of the tensors."""
    from transformers.integrations.gguf.reader import read_gguf_metadata

    return read_gguf_metadata(str(path))


def check_positions(path: Path) -> None:
    """Refuse a file that scales positions by tensors of which it is not known here what they do.

    Those of Llama 3 are known; see `slow_positions`.

    Raises:
        ModelError: it has such tensors.
    """
    metadata, tensors = _metadata(path)
    known = {_SLOWER} if metadata.get("general.architecture") == "llama" else set()
    if not (_SCALE_POSITIONS - known).isdisjoint(tensors):
        raise ModelError(
            "This GGUF file scales positions in a way that is not read here, so its answers would be others",
            got=path.name,
            fix="Let llama.cpp's server answer, and name its address: http://HOST:PORT/v1#MODEL. Or give the "
            "folder of the model that it was made of, or its name on the Hub.",
        )


def slow_positions(model: PreTrainedModel, path: Path) -> None:
    """Let positions turn as slowly as a file's tensor says, which transformers leaves out: as those of Llama 3 do.

    Args:
        model: as transformers has made it of the file; it is changed.
        path: the file.

    Raises:
        ModelError: the tensor is not of this model's size, or is damaged.
    """
    import torch
    from transformers.integrations.gguf.reader import GgufHeader, load_gguf_state_dict

    if _SLOWER not in _metadata(path)[1]:
        return
    slower = load_gguf_state_dict(GgufHeader.from_file(str(path)))[_SLOWER][...].float()
    turning: Any = [module for module in model.modules() if hasattr(module, "inv_freq")]
    if len(turning) != 1 or turning[0].inv_freq.shape != slower.shape or not bool((slower > 0).all()):
        raise ModelError("The GGUF file's positions are not those of its model", got=path.name)
    with torch.no_grad():
        for frequencies in (turning[0].inv_freq, turning[0].original_inv_freq):
            frequencies /= slower.to(frequencies.device)


def packed_in(path: Path) -> str:
    """What most of its weights are packed in, as GGUF calls it: F16, Q4_K, …

    Raises:
        ModelError: its metadata is damaged.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        sizes: Counter[str] = Counter()
        for tensor in reader.tensors:
            sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    except (ValueError, IndexError, KeyError, OSError, OverflowError, MemoryError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"The GGUF file is damaged: {said}", got=path.name, fix="Fetch it again.") from None
    if not sizes:
        raise ModelError("The GGUF file holds no weights", got=path.name)
    return sizes.most_common(1)[0][0]

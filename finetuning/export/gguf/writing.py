"""A language model's weights, configuration and tokenizer → one GGUF file, a tensor in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from finetuning.export.gguf.architectures import Architecture, architecture_of, as_stored, describe, slowed
from finetuning.export.gguf.vocabulary import add_vocabulary, require_same, texts_to_cut
from finetuning.export.weights import FolderWeights, Weights
from finetuning.export.work import Work, whole_file
from models.chat_template import ChatTemplate
from models.loading import load_tokenizer
from models.resolved import ResolvedModel
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Packing = Literal["f32", "f16", "q8_0"]
_BLOCK = 32
_LARGEST = 65504.0
"""Of float16."""
_K_BLOCK = 256


@dataclass(frozen=True)
class Language:
    """A language model, as far as a file holds it."""

    config: Any
    tokenizer: PreTrainedTokenizerBase
    weights: Weights
    name: str
    begins: bool = False
    """Whether every prompt begins with the token for that, which the file's reader is to write."""
    end: int | None = None
    """The token that ends an answer; None for the tokenizer's end of text."""
    template: str | None = None
    """The chat template, which whoever reads the file renders; None for the tokenizer's."""
    asked: Sequence[str] = ()
    """Prompts of training, which the file's tokenizer has to cut as `tokenizer`; empty where none are known."""

    @classmethod
    def in_folder(cls, folder: Path, name: str = "") -> Language:
        """A model's own, as transformers saved it.

        Raises:
            ModelError: it cannot be read.
        """
        from transformers import AutoConfig

        source = ResolvedModel(name=name or folder.name, path=folder, origin="folder", revision="")
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(config, load_tokenizer(source), FolderWeights(folder), source.name)


def packing_of(written: str, model: Language | None = None) -> Packing:
    """The packing of that name.

    Raises:
        ModelError: there is none; of K-quants with the reason.
    """
    name = written.lower()
    if name in get_args(Packing):
        return name  # type: ignore[return-value]
    if "_k" in name or name.startswith("iq"):
        widths = {shape[-1] for shape in model.weights.shapes.values() if len(shape) > 1} if model else set()
        uneven = sorted(width for width in widths if width % _K_BLOCK)
        raise ModelError(
            f"K-quants pack {_K_BLOCK} weights of a row at a time, and "
            + (f"rows of this model have {uneven[0]:,}" if uneven else "the gguf package writes none"),
            got=written,
            fix="Take q8_0." if uneven else "Take f16, and let llama.cpp's `llama-quantize` pack it.",
        )
    raise ModelError("There is no such packing here", got=written, fix=f"There are {', '.join(get_args(Packing))}.")


def write_gguf(model: Language, target: Path, work: Work, *, packing: Packing = "f16") -> list[str]:
    """Write `model` as the file `target`, and read its tokenizer back.

    Returns:
        What there is to say of it, in sentences.

    Raises:
        ModelError: the model or its tokenizer is none of those that were verified.
        Stopped: see `Work`.
    """
    import gguf

    architecture = architecture_of(model.config)
    names = names_of(architecture, model.config)
    kinds = {name: _kind(packing, shape) for name, shape in model.weights.shapes.items()}
    with whole_file(target) as making:
        writer = gguf.GGUFWriter(making, architecture.name)
        with closing(writer):
            writer.add_name(model.name)
            describe(writer, model.config, architecture)
            said = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}
            writer.add_file_type(gguf.LlamaFileType[said[packing]])
            rows = model.weights.shapes["model.embed_tokens.weight"][0]
            texts = texts_to_cut(model.tokenizer, model.asked, rows=rows)
            notes = add_vocabulary(
                writer,
                model.tokenizer,
                rows=rows,
                begin=model.begins,
                end=model.end,
                template=model.template or ChatTemplate.of(model.tokenizer).text,
                texts=texts,
            )
            factors = slowed(model.config)
            if factors is not None:
                writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
            for name, shape in model.weights.shapes.items():
                place = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if place is None:
                    raise ModelError("llama.cpp has no name for a tensor of this model", got=name)
                _announce(writer, place, shape, kinds[name])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            if factors is not None:
                writer.write_tensor_data(factors)
            for done, (name, kind) in enumerate(kinds.items()):
                work.tell(f"Writing {packing}", done, len(kinds))
                values = as_stored(name, model.weights.get(name).float().numpy(), model.config, architecture)
                writer.write_tensor_data(_packed(name, values, kind))
        work.tell("Reading it back")
        require_same(making, model.tokenizer, texts)
    if packing == "q8_0" and (uneven := sum(kind == "F16" for kind in kinds.values())):
        notes.append(f"{uneven} of its matrices have rows that are no multiple of {_BLOCK}, and stay float16.")
    return notes


def names_of(architecture: Architecture, config: Any) -> Any:
    """transformers' names of tensors → llama.cpp's."""
    import gguf

    key = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture.name)
    return gguf.get_tensor_name_map(key, config.num_hidden_layers)


def _kind(packing: Packing, shape: tuple[int, ...]) -> str:
    """What one tensor is packed in: vectors stay float32, as llama.cpp has them."""
    if len(shape) == 1 or packing == "f32":
        return "F32"
    return "Q8_0" if packing == "q8_0" and shape[-1] % _BLOCK == 0 else "F16"


def _announce(writer: Any, place: str, shape: tuple[int, ...], kind: str) -> None:
    import gguf
    import numpy

    count = math.prod(shape)
    if kind == "Q8_0":
        quantised = gguf.GGMLQuantizationType.Q8_0
        size = gguf.quant_shape_to_byte_shape(shape, quantised)
        writer.add_tensor_info(place, size, numpy.dtype(numpy.uint8), math.prod(size), raw_dtype=quantised)
        return
    dtype = numpy.dtype(numpy.float16 if kind == "F16" else numpy.float32)
    writer.add_tensor_info(place, shape, dtype, count * dtype.itemsize)


def _packed(name: str, values: Any, kind: str) -> Any:
    import gguf
    import numpy

    if not numpy.isfinite(values).all():
        raise ModelError("A weight is no number", got=name, fix="Train it again: its loss diverged.")
    if kind == "F32":
        return values.astype(numpy.float32)
    if numpy.abs(values).max(initial=0) > _LARGEST:
        raise ModelError(
            "A weight is too large for half precision", got=name, fix="Take f32, or the folder as `merged`."
        )
    return gguf.quantize(values, gguf.GGMLQuantizationType[kind])

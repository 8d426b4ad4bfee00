"""A resolved model → a model and tokenizer on this machine: device, precision, 4 bit, and its guards.

Precisions: `float32`; `bfloat16`; `nf4`, the base in 4-bit NormalFloat with double quantisation (QLoRA,
Dettmers et al. 2023, https://arxiv.org/abs/2305.14314) computing in bfloat16. `auto` is bfloat16 where the
machine multiplies it natively, else float32.
"""

from __future__ import annotations

import functools
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from data.tasks import Task
from models import libraries
from models.adapter_files import HEADS, is_of_head
from models.building import one_at_a_time
from models.chat_template import PLAIN_TEMPLATE
from models.gguf_files import check_positions, slow_positions, split_as_stated
from models.kinds import Kind as Kind
from models.resolved import ResolvedModel
from plumbing import zero_gpu
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Precision = Literal["auto", "float32", "bfloat16", "nf4"]

_DAMAGED = (struct.error, KeyError, IndexError, TypeError, OverflowError)
"""What the reader of GGUF files raises where one is damaged; of anything else a bug of ours."""
_HEAD_SEED = 0  # an untrained head is random: with this seed, the same one at every load


@dataclass
class LoadedModel:
    """A base model ready for adapters."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: ResolvedModel
    precision: Precision
    """Never `auto`: what was really used."""
    kind: Kind


def load(
    source: ResolvedModel,
    *,
    kind: Kind = "causal",
    precision: Precision = "auto",
    task: Task | None = None,
    own_head: bool = False,
    shards: int = 1,
) -> LoadedModel:
    """Load `source` in evaluation mode on the best device of this machine.

    Args:
        source: where the files are.
        kind: `causal` for a language model, `classifier` for an encoder with a head over `task.labels`, `reward`
            for a language model's layers with a head of one number, read at a row's last token.
        precision: see the module's docstring.
        task: needed for a classifier, unless it has its own head.
        own_head: of a classifier that has been trained: with the head, and the classes, that are in its files.
        shards: how many processes hold a part each, by transformers' own FSDP2; of a language model, not in 4 bits.

    Raises:
        ModelError: the files are not a model of this kind.
    """
    libraries.ready()
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, GenerationConfig

    if precision == "auto":
        precision = best_precision()
    options = _options(precision, kind)
    if shards > 1:
        from transformers.distributed.configuration_utils import DistributedConfig

        options["distributed_config"] = DistributedConfig(fsdp_size=shards)
    model: Any
    try:
        tokenizer = load_tokenizer(source)
        if source.gguf:
            options |= _gguf_options(source, precision, kind)
        if kind == "causal":
            model = _as_saved(AutoModelForCausalLM, source, options)
        elif own_head:
            model = _as_saved(AutoModelForSequenceClassification, source, options)
        else:
            model = _with_new_head(source, tokenizer, kind, task, options)
        if source.gguf:
            slow_positions(model, source.path / source.gguf)
    except (OSError, ValueError, ImportError, SafetensorError, *_DAMAGED) as error:
        if isinstance(error, _DAMAGED) and not source.gguf:
            raise
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"The base model could not be loaded as a {kind} model: {said}",
            got=source.name,
            fix="Choose a base model of the kind that is asked for.",
        ) from error
    if kind == "reward":
        _reward_in_float32(model, source)
    if kind == "classifier":
        # By it a head that reads a row's last token finds that; only now, as encoders count positions from theirs.
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if getattr(model, "is_loaded_in_4bit", False):
        precision = "nf4"  # also where its files hold it so, whatever was asked for
        keep_four_bit_gradients_right(model)
        if device().type == "cpu":
            unpack_scales(model)
    elif shards == 1 and model.device.type != device().type:  # one that is packed in another way is there already
        model = model.to(device())
    if kind == "causal":
        # A sliced 3-D input, such as the last position of every row, makes the projection on a CPU copy its whole
        # weight; contiguous rows make it one plain matrix product.
        model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
        model.generation_config = GenerationConfig(
            bos_token_id=model.generation_config.bos_token_id,
            eos_token_id=model.generation_config.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )  # a model may ask for penalties or beams, which `generate` would add to what it is told
    return LoadedModel(model.eval(), tokenizer, source, precision, kind)


def _gguf_options(source: ResolvedModel, precision: Precision, kind: Kind) -> dict[str, Any]:
    """By transformers' own reader, every weight unpacked: one that stays packed takes no adapter."""
    from transformers import GgufConfig

    if precision == "nf4" or kind != "causal":
        raise ModelError(
            "A GGUF file is read as a language model, in float32 or bfloat16",
            got=f"{kind}, {precision}",
            fix="Give the folder of the model that it was made of.",
        )
    check_positions(source.path / source.gguf)
    unpacked = GgufConfig(gguf_file=source.gguf, dequantize=True)
    return {"gguf_file": source.gguf, "quantization_config": unpacked}


@one_at_a_time()
def _as_saved(auto: Any, source: ResolvedModel, options: dict[str, Any]) -> PreTrainedModel:
    """The model that `auto` makes of the files, all of whose weights are in them.

    Raises:
        ModelError: some are not, which transformers would draw at random and go on with.
    """
    model, info = auto.from_pretrained(source.path, output_loading_info=True, **options)
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            "The model's files lack weights, so it would answer by chance",
            got=missing[:8],
            fix="Use the folder as it was saved after training, or fetch it again.",
        )
    return model  # type: ignore[no-any-return]


@one_at_a_time()
def _with_new_head(
    source: ResolvedModel,
    tokenizer: PreTrainedTokenizerBase,
    kind: Kind,
    task: Task | None,
    options: dict[str, Any],
) -> PreTrainedModel:
    """The base's layers under a head of random weights, the same ones at every load."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    if kind == "reward":
        config.num_labels = 1
        # By it the library finds a row's last token.
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
    else:
        assert task is not None, "a classifier needs its task"
        config.num_labels = len(task.labels)
        config.id2label = dict(enumerate(task.labels))
        config.label2id = {label: index for index, label in enumerate(task.labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_HEAD_SEED)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            source.path, config=config, **options
        )
    return model


def _reward_in_float32(model: PreTrainedModel, source: ResolvedModel) -> None:
    """Let the head give its number in float32 whatever the layers compute in: rounding would decide close pairs.

    Raises:
        ModelError: the model has no head over its last token, as an encoder has none.
    """
    import torch

    head = getattr(model, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise ModelError(
            "A reward model is made of a language model, which reads from left to right; this one does not",
            got=f"{source.name}: {type(model).__name__}",
            fix="Choose another base model, such as HuggingFaceTB/SmolLM2-135M-Instruct.",
        )
    head.float().register_forward_pre_hook(lambda _, given: tuple(value.float() for value in given))


def load_tokenizer(source: ResolvedModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a pad token and a chat template whatever the model ships."""
    libraries.ready()
    from transformers import AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if source.gguf:
        options["gguf_file"] = source.gguf
    tokenizer = AutoTokenizer.from_pretrained(source.path, **options)
    if source.gguf:
        split_as_stated(tokenizer, source.path / source.gguf)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None and tokenizer.eos_token is not None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


@functools.cache
def device() -> torch.device:
    """The device that models are loaded on: the first GPU, else the CPU."""
    import torch

    if zero_gpu.is_pretended():
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=device.cache_clear)  # on ZeroGPU only what is forked has a GPU


def best_precision() -> Precision:
    """bfloat16 where the machine multiplies it natively, else float32."""
    import torch

    if device().type == "cuda":
        # Asked without this, a T4 or a V100 says yes, and emulates it.
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device().type == "cpu":
        # Emulated bfloat16 is several times slower than float32.
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bfloat16" if native else "float32"
    return "float32"


def four_bit_share(model: torch.nn.Module) -> float:
    """The share of the model's weights that are really stored in 4 bit, from 0 to 1."""
    from bitsandbytes.nn import Params4bit

    packed = plain = 0
    for parameter in model.parameters():
        if isinstance(parameter, Params4bit):
            packed += 2 * parameter.numel()  # two weights a byte
        else:
            plain += parameter.numel()
    return packed / (packed + plain)


def unpacked_layers(model: torch.nn.Module) -> list[str]:
    """Names of the linear layers that are not in 4 bit; the vocabulary projection or a new head never is."""
    import torch
    from bitsandbytes.nn import Linear4bit

    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and not isinstance(module, Linear4bit)
        and not (name.endswith("lm_head") or is_of_head(name))
    ]


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes that the model's parameters take, with the scales of those in 4 bits."""
    total = 0
    for parameter in model.parameters():
        packed = getattr(parameter, "quant_state", None)
        total += parameter.nbytes
        while packed is not None:  # the scales may be packed themselves
            total += packed.absmax.nbytes
            packed = packed.state2
    return total


def keep_four_bit_gradients_right(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit layers for inference.

    On processors with AVX512-BF16, the first forward in evaluation mode without gradients repacks
    `Linear4bit` in place, and later training steps take a path whose gradient is wrong or missing, without an
    error. Has to be called before any forward.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def unpack_scales(model: torch.nn.Module) -> None:
    """Take the scales of 4-bit weights out of the 8 bits that double quantisation packs them into, for good.

    The weights stay exactly what they are and take 4.5 bits each instead of 4.13. On a CPU a third of the time in
    which a weight is unpacked goes into its scales, in every forward and every backward.
    """
    from bitsandbytes.functional import QuantState, dequantize_blockwise

    weight: Any
    for weight in model.parameters():
        packed = getattr(weight, "quant_state", None)
        if packed is not None and packed.nested:
            scales = dequantize_blockwise(packed.absmax, packed.state2).add_(packed.offset).float()
            flat: Any = (packed.shape, packed.code, packed.blocksize, packed.quant_type, packed.dtype)
            weight.quant_state = QuantState(scales, *flat)  # type: ignore[no-untyped-call]


def _options(precision: Precision, kind: Kind) -> dict[str, Any]:
    import torch
    from transformers import BitsAndBytesConfig

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    if precision != "nf4":
        return options | {"dtype": getattr(torch, precision)}
    compute = getattr(torch, best_precision())
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        # A new head is trained; left to itself the library packs it, too.
        llm_int8_skip_modules=["pre_classifier", *HEADS] if kind != "causal" else None,
    )
    where = device()
    return options | {"dtype": compute, "quantization_config": quantization, "device_map": {"": str(where)}}


def keep_freed_memory() -> None:
    """Let glibc keep up to 62 MiB of freed memory instead of giving it back to the system after every layer.

    It raises what it keeps to twice the largest block, of up to 32 MiB, that it has seen freed. Without this, every
    large activation of a forward pass is made of fresh pages, which costs up to a tenth of the time.
    """
    import torch

    torch.empty(31 * 2**20, dtype=torch.uint8)

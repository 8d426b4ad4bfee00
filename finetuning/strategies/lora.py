"""LoRA: low-rank updates beside chosen linear layers, all else frozen; over a base in 4 bits it is QLoRA.

LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685. QLoRA: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314.
rsLoRA: Kalajdzievski 2023, https://arxiv.org/abs/2312.03732. DoRA: Liu et al. 2024, https://arxiv.org/abs/2402.09353.

What learns is held in float32 whatever the base is in. In bfloat16 an update smaller than 1/512 of a weight is
lost, and AdamW's moments, which take the weight's precision, stop following its gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from finetuning.strategies.strategy import ModelKind, Shape, Strategy
from models.adapter_files import HEADS, MAX_RANK, adapter_shapes, is_of_head, linear_layers
from models.building import one_at_a_time
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

MEASURED_RANK = 8
"""At which its speed is measured, and stands for that at any."""
ALL_LINEAR: Literal["all-linear"] = "all-linear"


class Lora(Strategy):
    """Low-rank updates beside chosen linear layers."""

    kind: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1, le=MAX_RANK)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16
    """The update is scaled by alpha / rank, or with `rslora` by alpha / √rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = ALL_LINEAR
    """Linear layers that get an update, by the last part of their names; or every one but the vocabulary's."""
    rslora: bool = False
    """Scale by alpha / √rank: larger ranks then learn as fast as smaller ones."""
    dora: bool = False
    """Learn each weight's magnitude apart from its direction; slower, and often better at small ranks."""

    whole: ClassVar[bool] = False
    packed: ClassVar[bool] = True
    forgets: ClassVar[str] = "forgets least"

    def named(self, precision: str, kind: ModelKind = "causal") -> str:
        variant = "DoRA" if self.dora else "rsLoRA" if self.rslora else "LoRA"
        return f"Q{variant}" if precision == "nf4" else variant

    def about(self, precision: str, kind: ModelKind = "causal") -> str:
        where = "every linear layer" if self.target_modules == ALL_LINEAR else ", ".join(self.target_modules)
        return f"the adapter has rank {self.rank} and acts on {where}"

    def blocks_trained(self, kind: ModelKind, blocks: int) -> int:
        return blocks

    def measured(self, blocks: int) -> Lora:
        return self.model_copy(update={"rank": MEASURED_RANK, "alpha": 2 * MEASURED_RANK})

    def require(self, model: PreTrainedModel, kind: ModelKind, base: str) -> None:
        adaptable = _adaptable(model, kind)
        if self.target_modules != ALL_LINEAR and (wrong := sorted(set(self.target_modules) - set(adaptable))):
            raise RecipeError(
                "strategy.target_modules names modules that cannot be adapted in the base model",
                got=wrong,
                fix=f"In {base} these can: {', '.join(adaptable)}.",
            )

    def apply(self, model: PreTrainedModel, kind: ModelKind, *, base: str, seed: int) -> Any:
        import torch
        from peft import get_peft_model

        self.require(model, kind, base)
        torch.manual_seed(seed)
        with one_at_a_time():
            adapted = get_peft_model(model, self.config(model, kind))
        _learn_heads_in_float32(adapted)
        for config in adapted.peft_config.values():
            config.base_model_name_or_path = base  # not the folder it happened to lie in
        return adapted

    def config(self, model: PreTrainedModel, kind: ModelKind) -> LoraConfig:
        """These settings in peft's terms."""
        from peft import LoraConfig, TaskType

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=self.targets(model, kind),
            use_rslora=self.rslora,
            use_dora=self.dora,
            task_type=TaskType.CAUSAL_LM if kind == "causal" else TaskType.SEQ_CLS,
        )

    def trained(self, model: PreTrainedModel, kind: ModelKind) -> Mapping[str, Shape]:
        heads = HEADS if kind != "causal" else ()
        return adapter_shapes(model, rank=self.rank, targets=self.targets(model, kind), heads=heads, dora=self.dora)

    def targets(self, model: PreTrainedModel, kind: ModelKind) -> list[str]:
        """The modules by name: those of the recipe, or all that can be."""
        return _adaptable(model, kind) if self.target_modules == ALL_LINEAR else list(self.target_modules)


def _adaptable(model: PreTrainedModel, kind: ModelKind) -> list[str]:
    """The last parts of the names of the layers that can have an update: a new head learns as it is."""
    layers = [name for name in linear_layers(model) if kind == "causal" or not is_of_head(name)]
    return sorted({name.rsplit(".", 1)[-1] for name in layers})


def _learn_heads_in_float32(model: PeftModel) -> None:
    """Do with heads that are trained whole what peft does with A and B: float32, and so is what they read."""
    from peft.utils import ModulesToSaveWrapper

    def as_float32(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(value.float() for value in given)

    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            for head in module.modules_to_save.values():
                head.float().register_forward_pre_hook(as_float32)

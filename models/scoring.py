"""Log-likelihoods: how probable base and tuned find each label after the prompt. No sampling.

The tokens that all prompts begin with (the instruction, examples of a few-shot prompt) go through the model once a
side, and every row goes on from their key-value cache. Only the positions that predict a label's tokens go
through the vocabulary projection, which is taken in float32 whatever the model computes in: rounding logits to
bfloat16 would decide rows whose labels are almost equally probable.

Shapes: B rows, T tokens, L labels, H hidden size, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.batches import like_lengths
from models.loading import keep_freed_memory
from models.pair import Pair
from models.prefix import Prefix, shared_start
from models.prompting import Message

if TYPE_CHECKING:
    import torch

    from models.fast.llama import LlamaPrefix

SCORING_BATCH_SIZE = 128
_BATCH_TOKENS = 8192
"""Of a batch of several prompts, at most: large products are the fastest, and this bounds the memory."""
ROUNDING = 0.125
"""The step of bfloat16 between 16 and 32, the size of the larger logits: a difference of log-probabilities up to it
may be rounding, where another machine or batch computes in bfloat16."""

OnBatch = Callable[[int, int], None]
"""Called with the number of texts done and of all."""


@dataclass(frozen=True)
class LabelScores:
    """Log-probabilities of the task's labels for one text, [L] each, normalised over the labels."""

    base: list[float]
    tuned: list[float]


def score_labels(
    pair: Pair,
    texts: Sequence[str],
    *,
    batch_size: int = SCORING_BATCH_SIZE,
    on_batch: OnBatch | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[LabelScores]:
    """Score every label of the pair's task for each of `texts`, in their order, by both sides.

    Args:
        pair: base and tuned.
        texts: inputs of a classification task.
        batch_size: texts a forward pass, at most.
        on_batch: told how far it is.
        should_stop: asked while what all of `texts` begin with is read, which is most of a single long one.

    Raises:
        StoppedError: `should_stop` said so.
    """
    if pair.kind == "classifier":
        lengths, score = _classifier_scorer(pair, texts)
    else:
        lengths, score = _causal_scorer(pair, texts, should_stop=should_stop)
    both: dict[int, LabelScores] = {}
    for indexes in like_lengths(lengths, batch_size, _BATCH_TOKENS):
        base, tuned = score(indexes, False), score(indexes, True)
        for index, one, other in zip(indexes, base.tolist(), tuned.tolist(), strict=True):
            both[index] = LabelScores(one, other)
        if on_batch:
            on_batch(len(both), len(texts))
    return [both[index] for index in range(len(texts))]


def score_base_labels(
    pair: Pair,
    texts: Sequence[str],
    history: Sequence[Message],
    *,
    batch_size: int = SCORING_BATCH_SIZE,
    on_batch: OnBatch | None = None,
) -> list[list[float]]:
    """The base's label log-probabilities after a few-shot prompt, [L] a text.

    Args:
        pair: of kind `causal`; the tuned side is not asked.
        texts: inputs of a classification task.
        history: the examples, as messages of the user and the assistant in turn.
        batch_size: texts a forward pass, at most.
        on_batch: told how far it is.
    """
    lengths, score = _causal_scorer(pair, texts, history)
    scores: dict[int, list[float]] = {}
    for indexes in like_lengths(lengths, batch_size, _BATCH_TOKENS):
        scores |= dict(zip(indexes, score(indexes, False).tolist(), strict=True))
        if on_batch:
            on_batch(len(scores), len(texts))
    return [scores[index] for index in range(len(texts))]


Scorer = Callable[[list[int], bool], "torch.Tensor"]
"""Indexes of texts → their label log-probabilities, [B, L], by the tuned side or by the base."""


def _causal_scorer(
    pair: Pair,
    texts: Sequence[str],
    history: Sequence[Message] = (),
    *,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[list[int], Scorer]:
    """Tokens of each prompt, and a scorer that computes what the prompts have in common once a side."""
    assert pair.prompter is not None
    keep_freed_memory()
    prompter = pair.prompter
    prompts = [prompter.encode_prompt(text, history) for text in texts]
    shared = prompts[0][:-1] if len(prompts) == 1 and should_stop else shared_start(prompts)
    prefixes: dict[bool, Prefix | LlamaPrefix] = {}
    head = _Float32Head(pair, [prompter.encode_target(label) for label in pair.task.labels])

    def score(indexes: list[int], tuned: bool) -> torch.Tensor:
        import torch

        from models.fast.llama import LlamaPrefix

        rows = [prompts[index][len(shared) :] for index in indexes]
        with torch.inference_mode(), pair.side(tuned) as model:
            if tuned not in prefixes:
                if layers := pair.layers:
                    prefixes[tuned] = LlamaPrefix(layers, shared, adapted=tuned, should_stop=should_stop)
                else:
                    prefixes[tuned] = Prefix(model, shared)
            return _label_log_probs(rows, head, prefixes[tuned])

    return [len(prompt) for prompt in prompts], score


def _label_log_probs(prompts: list[list[int]], head: _Float32Head, prefix: Prefix | LlamaPrefix) -> torch.Tensor:
    """Label log-probabilities, [B, L], where `prompts` go on from `prefix`.

    Every label is one continuation of the prompt. Labels that share all but their last token cost one row
    between them, so two one-token labels, the usual case, are scored in one forward pass of one row a text.
    """
    import torch

    labels = head.labels
    total = torch.zeros(len(prompts), len(labels))
    for stem in sorted({tuple(label[:-1]) for label in labels}):
        rows = [prompt + list(stem) for prompt in prompts]
        log_probs = _last_log_probs(rows, len(stem) + 1, head, prefix)  # every stem token, and the last one
        shared = sum((log_probs[:, position, token] for position, token in enumerate(stem)), torch.zeros(len(rows)))
        for column, label in enumerate(labels):
            if tuple(label[:-1]) == stem:
                total[:, column] = shared + log_probs[:, -1, label[-1]]
    return total.log_softmax(dim=-1)


def _last_log_probs(
    rows: list[list[int]], wanted: int, head: _Float32Head, prefix: Prefix | LlamaPrefix
) -> torch.Tensor:
    """Float32 log-probabilities at the last `wanted` positions of each row, [B, wanted, V]."""
    if isinstance(prefix, Prefix):
        with head.in_place():
            logits = prefix.logits(rows, wanted)
    else:
        logits = head(prefix.last(rows, wanted))
    return logits.float().log_softmax(dim=-1).cpu()


class _Float32Head:
    """The vocabulary projection in float32, onto the labels' tokens alone where no other's probability matters.

    One that is more than a weight and a bias, an adapted one for example, projects as it does itself.
    """

    def __init__(self, pair: Pair, labels: list[list[int]]) -> None:
        from models.fast.supports import is_plain_head
        from models.head import makes_logits

        model: Any = pair.model.get_base_model()
        self._head: Any = model.get_output_embeddings()
        self._weight: torch.Tensor | None = None
        self._bias: torch.Tensor | None = None
        self.labels = labels
        """As columns of what this projects onto."""
        if not is_plain_head(self._head):
            return
        tokens: list[int] | slice = slice(None)
        if all(len(label) == 1 for label in labels) and (pair.layers is not None or makes_logits(model)):
            tokens = [label[0] for label in labels]
            self.labels = [[index] for index in range(len(labels))]
        self._weight = self._head.weight[tokens].detach().float()  # [V or L, H]
        if self._head.bias is not None:
            self._bias = self._head.bias[tokens].detach().float()

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, [..., V or L]."""
        import torch

        assert self._weight is not None
        return torch.nn.functional.linear(hidden.to(self._weight.dtype), self._weight, self._bias)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it, the model projects by this; what it does to its logits afterwards, it does to these."""
        if self._weight is None:
            yield
            return
        hook = self._head.register_forward_hook(lambda _, given, __: self(given[0]))
        try:
            yield
        finally:
            hook.remove()


def _classifier_scorer(pair: Pair, texts: Sequence[str]) -> tuple[list[int], Scorer]:
    """Tokens of each text, and a scorer by class log-probabilities; the base's head is the untrained one."""
    import torch

    def encode(texts: list[str], **options: Any) -> Any:
        return pair.tokenizer(texts, **options)  # whole: who asks has seen to it that they fit

    def score(indexes: list[int], tuned: bool) -> torch.Tensor:
        inputs = encode([texts[index] for index in indexes], padding=True, return_tensors="pt")
        with torch.inference_mode(), pair.side(tuned) as model:
            logits: torch.Tensor = model(**inputs.to(pair.model.device)).logits
            return logits.float().log_softmax(dim=-1).cpu()

    return [len(ids) for ids in encode(list(texts))["input_ids"]] if texts else [], score

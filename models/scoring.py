"""Log-likelihoods: how probable base and tuned find each label after the prompt. No sampling.

The tokens that all prompts begin with (the instruction, examples of a few-shot prompt) go through the model once a
side, and every row goes on from their key-value cache. Only the positions that predict a label's tokens go
through the vocabulary projection, which is taken in float32 whatever the model computes in: rounding logits to
bfloat16 would decide rows whose labels are almost equally probable.

Shapes: B rows, T tokens, L labels, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.batches import each_row, like_lengths
from models.float32_head import Float32Head
from models.label_tree import LabelTree
from models.likelihoods import TurnLikelihood as TurnLikelihood
from models.likelihoods import turn_log_likelihoods as turn_log_likelihoods
from models.loading import keep_freed_memory
from models.pair import Pair
from models.prefix import Prefix, shared_start
from models.prompting import Input, Message

if TYPE_CHECKING:
    import torch

    from models.fast.llama import LlamaLayers, LlamaPrefix

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
    texts: Sequence[Input],
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

    def both(indexes: list[int]) -> Iterable[LabelScores]:
        base, tuned = score(indexes, False), score(indexes, True)
        return map(LabelScores, base.tolist(), tuned.tolist())

    return each_row(like_lengths(lengths, batch_size, _BATCH_TOKENS), both, len(texts), on_batch)


def score_base_labels(
    pair: Pair,
    texts: Sequence[Input],
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
    return score_side_labels(pair, texts, tuned=False, history=history, batch_size=batch_size, on_batch=on_batch)


def score_side_labels(
    pair: Pair,
    texts: Sequence[Input],
    *,
    tuned: bool,
    history: Sequence[Message] = (),
    batch_size: int = SCORING_BATCH_SIZE,
    on_batch: OnBatch | None = None,
) -> list[list[float]]:
    """The label log-probabilities of one side alone, [L] a text.

    Args:
        pair: base and tuned.
        texts: inputs of a classification task.
        tuned: which side is asked.
        history: messages before each text; a classifier has none.
        batch_size: texts a forward pass, at most.
        on_batch: told how far it is.
    """
    if pair.kind == "classifier":
        lengths, score = _classifier_scorer(pair, texts)
    else:
        lengths, score = _causal_scorer(pair, texts, history)
    batches = like_lengths(lengths, batch_size, _BATCH_TOKENS)
    return each_row(batches, lambda indexes: score(indexes, tuned).tolist(), len(texts), on_batch)


Scorer = Callable[[list[int], bool], "torch.Tensor"]
"""Indexes of texts → their label log-probabilities, [B, L], by the tuned side or by the base."""


def _causal_scorer(
    pair: Pair,
    texts: Sequence[Input],
    history: Sequence[Message] = (),
    *,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[list[int], Scorer]:
    """Tokens of each prompt with its labels, and a scorer that computes what prompts have in common once a side."""
    assert pair.prompter is not None
    keep_freed_memory()
    prompter = pair.prompter
    prompts = [prompter.encode_prompt(text, history) for text in texts]
    shared = prompts[0][:-1] if len(prompts) == 1 and should_stop else shared_start(prompts)
    tree = LabelTree(prompter.encode_labels(pair.task.labels))
    sides: dict[bool, _Side] = {}

    def score(indexes: list[int], tuned: bool) -> torch.Tensor:
        import torch

        rows = [prompts[index][len(shared) :] for index in indexes]
        with torch.inference_mode(), pair.side(tuned) as model:
            if tuned not in sides:
                # The sides of an adapter share their projection, which none adapts.
                head = sides[not tuned].head if sides and not pair.is_whole else _label_head(pair, tuned, tree)
                sides[tuned] = _Side(tree, head, *_read(pair, tuned, model, shared, should_stop), tuned)
            return sides[tuned].label_log_probs(rows)

    return [len(prompt) + len(tree.nodes) - 1 for prompt in prompts], score


def _label_head(pair: Pair, tuned: bool, tree: LabelTree) -> Float32Head:
    """Onto the labels' tokens alone where they are one token each: then no other's probability matters."""
    is_flat = len(tree.nodes) == 1
    return Float32Head(pair, tuned, [token for token, _ in tree.edges[0]] if is_flat else None)


def _read(
    pair: Pair, tuned: bool, model: Any, shared: list[int], should_stop: Callable[[], bool] | None = None
) -> tuple[LlamaLayers | None, Prefix | LlamaPrefix]:
    """The side's layers by hand, if there are any, and what rows begin with, computed by them or by `model`."""
    from models.fast.llama import LlamaPrefix

    if layers := pair.layers_of(tuned):
        return layers, LlamaPrefix(layers, shared, adapted=tuned, should_stop=should_stop)
    return None, Prefix(model, shared)


@dataclass(frozen=True)
class _Side:
    """What scores the labels of one side."""

    tree: LabelTree
    head: Float32Head
    layers: LlamaLayers | None
    prefix: Prefix | LlamaPrefix
    tuned: bool

    def label_log_probs(self, rows: list[list[int]]) -> torch.Tensor:
        """Label log-probabilities, [B, L], where `rows` go on from the prefix.

        Every token of every label is one that may follow a row or another label's beginning: an edge of the tree.
        Labels of one token, the usual case, all follow the row itself.
        """
        import torch

        found = torch.zeros(len(rows), sum(map(len, self.tree.edges)))
        numbers = torch.arange(len(rows))
        if isinstance(self.prefix, Prefix):
            with self.head.in_place():
                for of_rows, of_nodes, logits in self._walk(rows):
                    self._note(found, torch.tensor(of_rows), torch.tensor(of_nodes), logits)
        else:
            hidden = self._hidden(rows)
            for node in range(len(self.tree.nodes)):
                self._note(found, numbers, torch.full_like(numbers, node), self.head(hidden[:, node]))
        labels = [found[:, path].sum(dim=1) for path in self.tree.paths]
        return torch.stack(labels, dim=1).log_softmax(dim=-1)

    def _walk(self, rows: list[list[int]]) -> Iterator[tuple[list[int], list[int], torch.Tensor]]:
        assert isinstance(self.prefix, Prefix)
        if len(self.tree.nodes) > 1:
            return self.prefix.walk(rows, self.tree)
        return iter([(list(range(len(rows))), [0] * len(rows), self.prefix.logits(rows, 1)[:, 0])])

    def _hidden(self, rows: list[list[int]]) -> torch.Tensor:
        """After the final norm, at the end of each row and at each node behind it, [B, nodes, H]."""
        from models.fast.continuations import hidden_of_nodes
        from models.fast.llama import LlamaPrefix

        assert isinstance(self.prefix, LlamaPrefix) and self.layers is not None
        if len(self.tree.nodes) == 1:
            return self.prefix.last(rows, 1)
        return hidden_of_nodes(self.layers, self.prefix, rows, self.tree, adapted=self.tuned)

    def _note(self, found: torch.Tensor, rows: torch.Tensor, nodes: torch.Tensor, logits: torch.Tensor) -> None:
        """Write the log-probabilities of the edges from `nodes` into `found`, [B, edges]."""
        import torch

        log_probs = logits.float().log_softmax(dim=-1).cpu()
        for node in set(nodes.tolist()):
            here = nodes == node
            tokens, numbers = zip(*self.tree.edges[node], strict=True)
            columns = range(len(tokens)) if self.head.is_narrow else tokens
            found[rows[here][:, None], torch.tensor(numbers)] = log_probs[here][:, list(columns)]


def _classifier_scorer(pair: Pair, texts: Sequence[Input]) -> tuple[list[int], Scorer]:
    """Tokens of each text, and a scorer by class log-probabilities; the base's head is the untrained one."""
    import torch

    def encode(texts: list[Input], **options: Any) -> Any:
        return pair.tokenizer(texts, **options)  # whole: who asks has seen to it that they fit

    def score(indexes: list[int], tuned: bool) -> torch.Tensor:
        inputs = encode([texts[index] for index in indexes], padding=True, return_tensors="pt")
        with torch.inference_mode(), pair.side(tuned) as model:
            logits: torch.Tensor = model(**inputs.to(pair.model.device)).logits
            return logits.float().log_softmax(dim=-1).cpu()

    return [len(ids) for ids in encode(list(texts))["input_ids"]] if texts else [], score

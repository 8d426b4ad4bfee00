"""What tuning cost elsewhere: both sides on general text that the task is not about.

Perplexity, bits per byte and the agreement of next-token predictions on the passages of `data.general`, and answers
to its instructions. It asks of a pair only that either side can be made active (`Pair.side`), so it holds for an
adapter and for a fully tuned model that stands beside its base.

Shapes: B passages, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from eval.metrics.bits_per_byte import bytes_predicted
from eval.metrics.perplexity import of_mean
from eval.report.sections import ChangedAnswer, Forgetting
from eval.statistics import Judgement, judge_scores
from models.text_rows import begin_of_text
from plumbing.errors import DataError

if TYPE_CHECKING:
    import torch

    from models.fast.llama import LlamaLayers

BATCH_SIZE = 4
_ANSWER_TOKENS = 32
_POSITIONS_AT_ONCE = 256
"""Positions whose float32 logits are held at a time: 50 MB for a vocabulary of 49,152."""


class Sides(Protocol):
    """Base and tuned of a language model, as `models.pair.Pair` is."""

    tokenizer: Any

    def layers_of(self, tuned: bool) -> LlamaLayers | None:
        """A side by hand, where `LlamaLayers` computes the same; those of an adapter with it on or off."""

    def side(self, tuned: bool) -> AbstractContextManager[Any]:
        """Within it, the model yielded answers as the tuned one, or as the base."""

    def batch(self, rows: list[list[int]]) -> dict[str, torch.Tensor]:
        """Token rows as `input_ids` and `attention_mask`, padded on the left."""


def measure_forgetting(
    pair: Sides,
    passages: Sequence[str],
    instructions: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Forgetting:
    """Compare both sides on `passages` and `instructions`.

    Args:
        pair: of kind `causal`.
        passages: general prose; one of a single token that nothing predicts is left out.
        instructions: what a person could ask any assistant.
        on_progress: called with passages and instructions done, and of all.

    Raises:
        DataError: no passage has a token that another comes before.
    """
    begin = begin_of_text(pair.tokenizer)
    encoded = [begin + pair.tokenizer(text, add_special_tokens=False)["input_ids"] for text in passages]
    read = [(text, row) for text, row in zip(passages, encoded, strict=True) if len(row) > 1]
    rows = [row for _, row in read]
    if not rows:
        raise DataError("There is no passage of general text to measure forgetting on", fix="Give at least one.")
    total = len(rows) + len(instructions)
    likelihood: dict[bool, list[float]] = {False: [], True: []}
    agreed = 0
    for start in range(0, len(rows), BATCH_SIZE):
        batch = rows[start : start + BATCH_SIZE]
        base, base_best = _predict(pair, batch, tuned=False)
        tuned, tuned_best = _predict(pair, batch, tuned=True)
        likelihood[False] += base
        likelihood[True] += tuned
        agreed += sum(one == other for one, other in zip(base_best, tuned_best, strict=True))
        if on_progress:
            on_progress(min(start + BATCH_SIZE, len(rows)), total)
    tokens = sum(len(row) - 1 for row in rows)  # nothing predicts the first token
    answers = {tuned: _answers(pair, instructions, tuned=tuned) for tuned in (False, True)}
    if on_progress:
        on_progress(total, total)
    return Forgetting(
        passages=len(rows),
        tokens=tokens,
        bytes=sum(bytes_predicted(text, [] if begin else row[:1], pair.tokenizer) for text, row in read),
        base_perplexity=of_mean(sum(likelihood[False]) / tokens),
        tuned_perplexity=of_mean(sum(likelihood[True]) / tokens),
        judgement=_judge(likelihood[False], likelihood[True], tokens),
        agreement=agreed / tokens,
        answers=[
            ChangedAnswer(instruction=text, base=base, tuned=tuned)
            for text, base, tuned in zip(instructions, answers[False], answers[True], strict=True)
        ],
    )


def _judge(base: list[float], tuned: list[float], tokens: int) -> Judgement:
    """The paired test on the passages' log-likelihoods, each as a whole: a long passage counts for more, as it does
    in the perplexities. Their unit makes the mean difference that of the log-perplexities, in nats a token.
    """
    unit = tokens / len(base)
    return judge_scores([value / unit for value in base], [value / unit for value in tuned])


def _predict(pair: Sides, rows: list[list[int]], *, tuned: bool) -> tuple[list[float], list[int]]:
    """Each row's log-likelihood in nats, [B], and the most probable next token at every position of all rows.

    A row's first token, the beginning where the tokenizer has one, is only read.
    """
    import torch

    targets = torch.tensor([token for row in rows for token in row[1:]])
    chosen, best = [], []
    with torch.inference_mode(), pair.side(tuned) as model:
        layers = pair.layers_of(tuned)
        logits = _logits_by_hand(layers, rows, tuned) if layers else _logits(pair, model, rows)
        for start in range(0, len(targets), _POSITIONS_AT_ONCE):
            part = slice(start, start + _POSITIONS_AT_ONCE)
            log_probs = logits(part).float().log_softmax(-1)
            chosen.append(log_probs.gather(1, targets[part, None].to(log_probs.device)).squeeze(1))
            best.append(log_probs.argmax(-1))
    each = torch.cat(chosen).double().cpu().split([len(row) - 1 for row in rows])
    return [float(values.sum()) for values in each], torch.cat(best).tolist()


def _logits_by_hand(layers: LlamaLayers, rows: list[list[int]], tuned: bool) -> Callable[[slice], torch.Tensor]:
    """Logits, [n, V], of any of the places that predict a token of `rows`, which are numbered through."""
    import torch

    from models.fast.packing import PackedRows

    packed = PackedRows(rows, cached=True, heads=layers.heads)
    predict = torch.ones(len(packed.tokens), dtype=torch.bool).index_fill(0, packed.last(1), False).nonzero()[:, 0]
    attend = [packed] * layers.depth
    plain = 0 if tuned else len(packed.tokens)
    hidden = layers.infer(packed.tokens, layers.turn(packed.positions), attend, keep=predict, plain=plain)
    return lambda part: layers.logits(hidden[part])


def _logits(pair: Sides, model: Any, rows: list[list[int]]) -> Callable[[slice], torch.Tensor]:
    """The same by `transformers`."""
    batch = pair.batch(rows)
    mask = batch["attention_mask"].bool()  # [B, T]
    known = mask[:, :-1] & mask[:, 1:]  # a token of the row that a token of the row predicts
    positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    logits = model(**batch, position_ids=positions, use_cache=False).logits[:, :-1][known]  # [N, V]
    return lambda part: logits[part]


def _answers(pair: Sides, instructions: Sequence[str], *, tuned: bool) -> list[str]:
    """The greedy answers of one side, of at most 32 tokens."""
    import torch

    from models.chat_template import ChatTemplate
    from models.fast.decoding import greedy
    from models.generation import end_tokens

    if not instructions:
        return []
    template = ChatTemplate.of(pair.tokenizer)
    asked = [[{"role": "system", "content": ""}, {"role": "user", "content": text}] for text in instructions]
    rendered = [template.render(messages) for messages in asked]
    prompts: list[list[int]] = pair.tokenizer(rendered, add_special_tokens=False)["input_ids"]
    with torch.inference_mode(), pair.side(tuned) as model:
        ends = end_tokens(model, pair.tokenizer)
        if layers := pair.layers_of(tuned):
            base, own = ([], prompts) if tuned else (prompts, [])
            steps = greedy(layers, base, own, max_new_tokens=_ANSWER_TOKENS, ends=ends)
            new: Any = [[token for token in row if token is not None] for row in zip(*steps, strict=True)]
        else:
            batch = pair.batch(prompts)
            tokens = model.generate(
                **batch,
                max_new_tokens=_ANSWER_TOKENS,
                do_sample=False,
                eos_token_id=sorted(ends),
                pad_token_id=pair.tokenizer.pad_token_id,
            )
            new = tokens[:, batch["input_ids"].shape[1] :]
    return [str(text).strip() for text in pair.tokenizer.batch_decode(new, skip_special_tokens=True)]

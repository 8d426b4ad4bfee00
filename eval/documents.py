"""Base against tuned on held-out texts: how probable each side finds them, and how it goes on with each.

Nothing is answered, so nothing is right or wrong: what is compared is the likelihood of what somebody wrote. The
rows of a test split are passages; those of one document are one text again wherever there are documents enough for
a verdict, since passages of one document are not independent. A text is read as it stands, without a template and
without its end, in windows of at most `WINDOW` tokens, each by itself; nothing predicts the first token of a
window, so it counts for nothing. As in `eval.forgetting`, a text's score is in proportion to its length: the mean
over the texts is that over all tokens, or bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import TYPE_CHECKING

from data.openings import opening_of
from data.passages import BETWEEN
from data.tasks import Task
from eval.floors import FLOORS
from eval.floors.context import Context
from eval.floors.few_shot import MOST_TRIED, choose, counting, most_tokens
from eval.floors.floor import Example
from eval.metrics import bits_per_byte, primary_of
from eval.metrics import perplexity as log_likelihood
from eval.metrics.bits_per_byte import bits_of, bytes_of, bytes_predicted
from eval.metrics.perplexity import of_mean
from eval.report.schema import RowResult, SideResult
from eval.report.sections import FewShot, FloorResult, MetricResult, Texts, TextSide, WithContext
from eval.scores import judge
from eval.statistics import Interval, Judgement, fewest_rows, mean_interval
from models.context import max_positions
from models.encoded import EncodedExample
from models.generation import Answer, answer_batch
from models.likelihoods import log_likelihoods, log_likelihoods_of
from models.pair import Pair
from models.text_rows import begin_of_text, documents
from plumbing.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

WINDOW = 1024
"""Tokens of a text that are read at once, at most."""

OnRows = Callable[[int, int], None] | None
Scores = dict[str, list[float]]
"""A metric's name → the score of each text."""


def texts_of(rows: Dataset, task: Task) -> list[str]:
    """The documents in `rows`, put together from their passages; where there are few, the passages."""
    passages = [str(text) for text in rows[task.input_column][:]]
    if "document" not in rows.column_names:
        return passages
    parts: dict[int, list[str]] = {}
    for document, passage in zip(rows["document"][:], passages, strict=True):
        parts.setdefault(document, []).append(passage)
    return passages if len(parts) < fewest_rows() else list(map(BETWEEN.join, parts.values()))


def documents_of(rows: Dataset) -> int | None:
    """How many documents `rows` are passages of; None where that is not known."""
    return len(set(rows["document"][:])) if "document" in rows.column_names else None


def text_of(row: RowResult) -> str:
    """The whole text of a row: its opening, and how it goes on."""
    return row.input + row.references[0]


@dataclass(frozen=True)
class Documents:
    """Texts as both sides find them."""

    pair: Pair
    texts: list[str]
    windows: list[list[list[int]]]
    """The tokens of each text, as many at once as are read."""
    tokens: list[int]
    """Of each text, how many are predicted."""
    bytes: list[int]
    """Of each text, how many these tokens make."""
    base: list[float]
    """Log-probability of each text, in nats."""
    tuned: list[float]

    @classmethod
    def read(cls, pair: Pair, texts: Sequence[str], *, on_progress: OnRows = None) -> Documents:
        """Ask both sides.

        Args:
            pair: of kind `causal`.
            texts: what to read.
            on_progress: called with windows done and windows in all.

        Raises:
            DataError: no text has a token that another comes before.
        """
        windows = _windows(pair, texts)
        examples = [EncodedExample.of_texts([ids]) for ids in chain.from_iterable(windows)]
        if not any(example.spans for example in examples):
            raise DataError(
                "No text has two tokens, so there is nothing to predict", fix="Give texts of a sentence or more."
            )
        found = log_likelihoods(pair, examples, on_batch=on_progress)
        return cls(
            pair=pair,
            texts=list(texts),
            windows=windows,
            tokens=[int(count) for count in _summed([each.tokens for each in found], windows)],
            bytes=_bytes(pair, texts, windows),
            base=_summed([each.base for each in found], windows),
            tuned=_summed([each.tuned for each in found], windows),
        )

    # ---- scores ----

    def scores(self, nats: Sequence[float]) -> Scores:
        """Of each text, by its log-probability: a long one counts for more."""
        a_token, a_byte = fmean(self.tokens), fmean(self.bytes)
        return {
            log_likelihood.METRIC.name: [value / a_token for value in nats],
            bits_per_byte.METRIC.name: [bits_of(value) / a_byte for value in nats],
        }

    def rows(
        self, *, max_new_tokens: int, batch_size: int | None = None, on_progress: OnRows = None
    ) -> list[RowResult]:
        """A row for each text: its opening, how it goes on, and how both sides would go on with it."""
        openings = [opening_of(text) for text in self.texts]
        found = answer_batch(
            self.pair,
            [opening for opening, _ in openings],
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            on_batch=on_progress,
        )
        base = self._results(self.base, [each.base for each in found])
        tuned = self._results(self.tuned, [each.tuned for each in found])
        return [
            RowResult(input=opening, references=[rest], base=before, tuned=after)
            for (opening, rest), before, after in zip(openings, base, tuned, strict=True)
        ]

    def _results(self, nats: list[float], answers: Sequence[Answer]) -> list[SideResult]:
        scores = self.scores(nats)
        return [
            SideResult(
                answer=answer.text,
                scores={name: values[number] for name, values in scores.items()},
                tokens=answer.tokens,
                perplexity=of_mean(nats[number] / max(1, self.tokens[number])),
            )
            for number, answer in enumerate(answers)
        ]

    def section(self, rows: Dataset) -> Texts:
        """All of them together; they were put together from the passages in `rows`."""
        return Texts(
            passages=len(rows),
            documents=documents_of(rows),
            tokens=sum(self.tokens),
            bytes=sum(self.bytes),
            window=_window(self.pair),
            base=self._side(self.base),
            tuned=self._side(self.tuned),
        )

    def _side(self, nats: list[float]) -> TextSide:
        a_token, bits = _ratio(nats, self.tokens), _ratio([bits_of(value) for value in nats], self.bytes)
        return TextSide(
            perplexity=of_mean(sum(nats) / sum(self.tokens)),
            perplexity_interval=Interval(low=of_mean(a_token.high), high=of_mean(a_token.low)),
            bits_per_byte=bits_of(sum(nats)) / sum(self.bytes),
            bits_per_byte_interval=bits,
        )

    def with_intervals(self, metrics: Sequence[MetricResult]) -> list[MetricResult]:
        """The metrics of their rows, with intervals of each side that do not widen where lengths differ."""

        def of(name: str, nats: list[float]) -> Interval:
            if name == bits_per_byte.METRIC.name:
                return _ratio([bits_of(value) for value in nats], self.bytes)
            return _ratio(nats, self.tokens)

        return [
            metric.model_copy(
                update={
                    "base_interval": of(metric.name, self.base),
                    "tuned_interval": of(metric.name, self.tuned),
                }
            )
            for metric in metrics
        ]

    # ---- what else would score ----

    def floors(self, train: Sequence[Example]) -> list[FloorResult]:
        """What needs no model, with the paired test of tuned against it; it learns from the training texts."""
        known = [str(text) for text, _ in train]
        results = []
        for floor in (FLOORS[name] for name in self.pair.task.floors if name in FLOORS):
            if floor.bits is None or not known:
                continue
            # Of the whole text: the sides are not asked for its first token, so it is taken off in proportion.
            whole = [max(1, bytes_of(text)) for text in self.texts]
            shares = [count / total for count, total in zip(self.bytes, whole, strict=True)]
            bits = [bits * share for bits, share in zip(floor.bits(known, self.texts), shares, strict=True)]
            scores = self.scores([-math.log(2) * value for value in bits])
            results.append(
                FloorResult(
                    name=floor.name,
                    sentence=floor.sentence,
                    scores={name: fmean(values) for name, values in scores.items()},
                    judgement=self._against(scores),
                    doing=floor.doing,
                )
            )
        return results

    def few_shot(
        self, train: Sequence[Example], count: int, draws: int, on_progress: OnRows = None
    ) -> tuple[FewShot | None, str]:
        """The base with other texts before each, as `eval.floors.few_shot` has examples; or why it has none."""
        if not count or not train:
            return None, ""
        room = most_tokens(self.pair) - self._longest
        drawn = self._drawn(train, count, draws, room)
        if not drawn:
            texts = "another text" if count == 1 else f"{count} other texts"
            return None, (
                f"The base did not read {texts} before each: with the longest piece of a test text there is no "
                f"room for that in {most_tokens(self.pair):,} tokens."
            )
        pieces = sum(map(len, self.windows))
        told = [counting(on_progress, number * pieces, len(drawn) * pieces) for number in range(len(drawn))]
        each = [
            self.scores(self._behind(list(chain.from_iterable(before)), tell))
            for before, tell in zip(drawn, told, strict=True)
        ]
        means = [{name: fmean(values) for name, values in scores.items()} for scores in each]
        together = {
            name: [fmean(values) for values in zip(*(scores[name] for scores in each), strict=True)]
            for name in means[0]
        }
        return FewShot(
            examples=max(map(len, drawn)),
            draws=means,
            scores={name: fmean(one[name] for one in means) for name in means[0]},
            judgement=self._against(together),
            prompt_tokens=fmean(sum(map(len, before)) for before in drawn),
            prompt_tokens_without=0,
        ), ""

    def context(self, context: Context | None, on_progress: OnRows = None) -> tuple[WithContext | None, str]:
        """The base with a text before each, or why it cannot stand there."""
        if context is None:
            return None, ""
        assert self.pair.prompter is not None
        [before] = documents(self.pair.prompter, [context.text])
        limit = max_positions(self.pair.model.config)
        if limit is not None and len(before) + self._longest > limit:
            return None, (
                f"The base did not read {context.name} before each text: with the longest piece of one that takes "
                f"{len(before) + self._longest:,} tokens, and it reads at most {limit:,}."
            )
        scores = self.scores(self._behind(before, on_progress))
        return WithContext(
            name=context.name,
            text_sha256=hashlib.sha256(context.text.encode()).hexdigest(),
            scores={name: fmean(values) for name, values in scores.items()},
            judgement=self._against(scores),
            prompt_tokens=len(before),
            prompt_tokens_without=0,
        ), ""

    @property
    def _longest(self) -> int:
        return max(map(len, chain.from_iterable(self.windows)))

    def _drawn(self, train: Sequence[Example], count: int, draws: int, room: int) -> list[list[list[int]]]:
        """The tokens of the texts that each draw has, so short that all of them fit into `room` tokens."""
        prompter, known = self.pair.prompter, dict[str, list[int]]()
        assert prompter is not None

        def tokens(text: str) -> list[int]:
            if text not in known:
                [known[text]] = documents(prompter, [text])
            return known[text]

        def fits(example: Example) -> bool:
            text = str(example[0])
            return (text in known or len(known) < MOST_TRIED) and count * len(tokens(text)) <= room

        chosen = (choose(train, count, self.pair.task, seed=seed, fits=fits) for seed in range(draws))
        return [[tokens(str(text)) for text, _ in examples] for examples in chosen if examples]

    def _behind(self, before: list[int], on_progress: OnRows) -> list[float]:
        """The base's log-probability of each text behind the tokens `before`, of the same tokens as without."""
        examples = [
            EncodedExample([*before, *ids], ((len(before) + 1, len(before) + len(ids)),) if len(ids) > 1 else ())
            for ids in chain.from_iterable(self.windows)
        ]
        return _summed(log_likelihoods_of(self.pair, examples, on_batch=on_progress), self.windows)

    def _against(self, scores: Scores) -> Judgement:
        """The paired test of tuned against such scores, on the primary metric."""
        metric = primary_of(self.pair.task)
        return judge(scores[metric.name], self.scores(self.tuned)[metric.name], metric)


def _window(pair: Pair) -> int:
    return min(WINDOW, max_positions(pair.model.config) or WINDOW)


def _windows(pair: Pair, texts: Sequence[str]) -> list[list[list[int]]]:
    """The tokens of each text, in as few windows as hold it and about as long: a short one would lack a context."""
    assert pair.prompter is not None
    most, found = _window(pair), []
    for ids in documents(pair.prompter, texts, ended=[False] * len(texts)):
        size = math.ceil(len(ids) / max(1, math.ceil(len(ids) / most)))
        found.append([ids[at : at + size] for at in range(0, len(ids), max(1, size))])
    return found


def _summed(values: Sequence[float], windows: Sequence[Sequence[object]]) -> list[float]:
    """Values of all windows → their sums for each text."""
    each = iter(values)
    return [math.fsum(next(each) for _ in own) for own in windows]


def _bytes(pair: Pair, texts: Sequence[str], windows: Sequence[list[list[int]]]) -> list[int]:
    """Of each text without those of the tokens that nothing predicts."""
    assert pair.prompter is not None
    begin = begin_of_text(pair.tokenizer)
    firsts = [[ids[0] for number, ids in enumerate(own) if number or not begin] for own in windows]
    whole = map(pair.prompter.plain, texts)
    return [bytes_predicted(text, first, pair.tokenizer) for text, first in zip(whole, firsts, strict=True)]


def _ratio(values: Sequence[float], sizes: Sequence[int]) -> Interval:
    """95 % interval of sum(values) / sum(sizes), over other texts.

    That of the mean of the texts' parts in it, to first order: the ratio, and what the text adds to it. Texts that
    are alike but for their lengths all have the same part.
    """
    ratio, mean = math.fsum(values) / sum(sizes), fmean(sizes)
    return mean_interval([ratio + (value - ratio * size) / mean for value, size in zip(values, sizes, strict=True)])

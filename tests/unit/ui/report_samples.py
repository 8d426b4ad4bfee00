"""Reports with every section, made by hand: no model, and numbers that are easy to check."""

from __future__ import annotations

from pathlib import Path

from data.tasks import SENTIMENT
from eval.calibration import ReliabilityBin
from eval.report.folder import save
from eval.report.schema import Report, RowResult, SideResult
from eval.report.sections import (
    AdapterProofInfo,
    BaseModelInfo,
    Calibration,
    CalibrationSide,
    ChangedAnswer,
    Confusion,
    DataInfo,
    FewShot,
    Flips,
    FloorResult,
    Forgetting,
    MetricResult,
    Writing,
)
from eval.statistics import Interval, Judgement
from eval.text_quality import TextQuality
from ui.tabs.examples import examples


def judgement(difference: float, said: str = "a test") -> Judgement:
    return Judgement(
        n=4, difference=difference, interval=Interval(low=difference - 0.1, high=difference + 0.1), p_value=0.03,
        test=said, alpha=0.05, outcome="better", detectable=0.2,
    )  # fmt: skip


def label_rows(said: str = "a text") -> list[RowResult]:
    """Rows 1 to 4: right and right, lost, gained a little, gained much; `said` is in the text and in the labels."""
    right, wrong = f"positive {said}", f"negative {said}"

    def side(probability: float) -> SideResult:
        answer = right if probability > 0.5 else wrong
        shares = {wrong: 1 - probability, right: probability}
        return SideResult(answer=answer, scores={"accuracy": float(probability > 0.5)}, probabilities=shares)

    pairs = [(0.9, 0.8), (0.6, 0.3), (0.4, 0.6), (0.1, 0.9)]
    return [
        RowResult(input=f"{said} {number}", references=[right], base=side(base), tuned=side(tuned))
        for number, (base, tuned) in enumerate(pairs, start=1)
    ]


def text_rows(said: str = "a text") -> list[RowResult]:
    """Rows 1 to 4, whose ROUGE-L changes by 0, -0.1, 0.2 and 0.5."""

    def side(score: float) -> SideResult:
        return SideResult(answer=said, scores={"rougeL": score}, tokens=5)

    return [
        RowResult(input=f"{said} {number}", references=[said, said], base=side(0.3), tuned=side(0.3 + change))
        for number, change in enumerate((0.0, -0.1, 0.2, 0.5), start=1)
    ]


def report(task: str = "sentiment", said: str = "words") -> Report:
    """Every section that the task has, with `said` in every string."""
    labels = task == "sentiment"
    primary = "accuracy" if labels else "rougeL"
    other = "macro_f1" if labels else "rouge1"
    scores = {primary: 0.4, other: 0.3}
    point = ReliabilityBin(low=0.5, high=0.6, n=3, mean_confidence=0.55, accuracy=0.5)
    side = CalibrationSide(expected_calibration_error=0.123, brier_score=0.234, bins=[point])
    quality = TextQuality(length_ratio=1.5, novelty=0.25, repetition=0.125, empty=0, cut_off=0.75)
    interval = Interval(low=0.111, high=0.888)
    return Report(
        task="sentiment" if labels else "dialogue",
        kind="causal",
        n=4,
        metrics=[
            MetricResult(
                name=primary, primary=True, base=0.5, tuned=0.75, base_interval=interval, tuned_interval=interval,
                judgement=judgement(0.25, said),
            ),
            MetricResult(name=other, primary=False, base=0.321, tuned=0.654),
        ],
        flips=Flips(gained=2, lost=1, same=1),
        confusion=Confusion(labels=[said, "b"], base=[[1, 1], [1, 1]], tuned=[[0, 0], [1, 3]]) if labels else None,
        calibration=Calibration(base=side, tuned=side) if labels else None,
        near_ties=2 if labels else None,
        writing=None if labels else Writing(base=quality, tuned=quality),
        floors=[FloorResult(name=said, sentence=said, scores=scores)],
        few_shot=FewShot(
            examples=4, scores=scores, judgement=judgement(0.35, said), prompt_tokens=161, prompt_tokens_without=59
        ),
        forgetting=Forgetting(
            passages=72, tokens=10_645, base_perplexity=60, tuned_perplexity=66, judgement=judgement(-0.04, said),
            agreement=0.85, answers=[ChangedAnswer(instruction=said, base=said, tuned=f"{said}!")],
        ),
        base=BaseModelInfo(name=said, origin=said, revision=said, weights_sha256=said),
        precision=said,
        adapter_proof=AdapterProofInfo(largest_change=1, same_weights=True, sentence=said),
        adapter_sha256=said,
        prompt_sha256=said,
        data=DataInfo(spec=said, split=said, test_sha256=said),
        train_rows=8,
        batch_size=2,
        max_new_tokens=None if labels else 64,
        versions={said: said},
        seconds=3,
        created=said,
    )  # fmt: skip


def bare(task: str = "sentiment") -> Report:
    """The same without anything that a report may lack."""
    lacking = ("confusion", "calibration", "near_ties", "writing", "few_shot", "forgetting")
    return report(task).model_copy(update=dict.fromkeys(lacking) | {"floors": []})


def save_recorded(tuned: Path) -> Path:
    """Write a report of 1 January 2026 into a sentiment model's folder; in it is the first example of the page.

    Before, the answer to that was wrong; after, it is right.
    """
    example = examples(SENTIMENT)[0]
    right, wrong = example.references[0], next(each for each in SENTIMENT.labels if each not in example.references)

    def side(answer: str) -> SideResult:
        shares = dict.fromkeys(SENTIMENT.labels, 0.1) | {answer: 0.9}
        return SideResult(answer=answer, scores={"accuracy": float(answer == right)}, probabilities=shares)

    row = RowResult(input=example.text, references=[right], base=side(wrong), tuned=side(right))
    save(report().model_copy(update={"created": "2026-01-01T00:00:00+00:00"}), [row], tuned / "eval")
    return tuned / "eval"

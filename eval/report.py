"""The report of a comparison: what was measured, on what and with what; as JSON, as Markdown, and its rows.

    report.json   `Report`
    rows.jsonl    a `RowResult` a line, in the order of the test set
    report.md     both, for a person

Knows files and values; imports neither a model nor a metric, so that a page can read a report at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import RunError
from data.tasks import TaskName
from data.writing import write_atomically

REPORT_FILE = "report.json"
ROWS_FILE = "rows.jsonl"
MARKDOWN_FILE = "report.md"

METRIC_TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
}
EXAMPLES_SHOWN = 3

_EXAMPLE_NOUNS = {"sentiment": ("review", "reviews"), "dialogue": ("dialogue", "dialogues")}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricResult(_Strict):
    """One metric of both sides over the whole test set."""

    # Statistics (an interval, a paired test) belong here, beside the two values that they judge.
    name: str = Field(
        description="Its name as in `eval.metrics`: accuracy, macro_f1, rouge1, rouge2, rougeL, rougeLsum."
    )
    base: float = Field(description="The base model's value, 0 to 1.")
    tuned: float = Field(description="The tuned model's value, 0 to 1.")
    primary: bool = Field(description="Whether this is the metric that the comparison is about; exactly one is.")

    @property
    def title(self) -> str:
        """The metric's name as a person writes it."""
        return METRIC_TITLES.get(self.name, self.name)

    @property
    def difference(self) -> float:
        """Tuned minus base."""
        return self.tuned - self.base


class BaseModelInfo(_Strict):
    """The base weights that both sides used."""

    name: str = Field(description="The base model's name as on the Hub, or its folder.")
    origin: str = Field(description="Where the files came from: folder, hub or package mirror.")
    revision: str = Field(description="The Hub's commit or the mirror's pinned package; empty for a folder.")
    weights_sha256: str = Field(description="SHA-256 over the weight files.")


class AdapterProofInfo(_Strict):
    """That the adapter was really applied, measured before the comparison."""

    largest_change: float = Field(description="Largest absolute change of a logit on the probe prompt.")
    same_weights: bool = Field(description="Whether the base weights are byte for byte those of training.")
    sentence: str = Field(description="The proof in a sentence.")


class DataInfo(_Strict):
    """The rows that both sides answered."""

    spec: str = Field(description="The source, such as corpus:reviews; empty where it is not known.")
    split: str = Field(description="Which split of the source.")
    test_sha256: str = Field(description="SHA-256 over the rows' inputs and targets, in order.")


class Report(_Strict):
    """A comparison of base with tuned on the same rows."""

    task: TaskName = Field(description="sentiment or dialogue.")
    kind: Literal["causal", "classifier"] = Field(description="A language model, or an encoder with a head.")
    metrics: list[MetricResult] = Field(description="Every metric, the primary one first.", min_length=1)
    n: int = Field(description="Number of test rows.", ge=1)
    base: BaseModelInfo = Field(description="The base weights that both sides used.")
    precision: str = Field(description="float32, bfloat16 or nf4 (4 bit).")
    adapter_proof: AdapterProofInfo = Field(description="That the adapter acts.")
    prompt_sha256: str = Field(description="Hash of the prompt contract, equal to that of training.")
    data: DataInfo = Field(description="The rows that both sides answered.")
    batch_size: int = Field(description="Test rows a batch.", ge=1)
    max_new_tokens: int | None = Field(description="Where an answer was cut off; none where labels were scored.")
    versions: dict[str, str] = Field(description="Versions of the libraries that the numbers depend on.")
    seconds: float = Field(description="How long the comparison took, in seconds.")
    created: str = Field(description="When it ended: UTC, ISO 8601.")

    @property
    def primary(self) -> MetricResult:
        """The metric that the comparison is about."""
        return next(metric for metric in self.metrics if metric.primary)


class SideResult(_Strict):
    """What one side answered to one row."""

    answer: str = Field(description="The generated text, or the most probable label.")
    scores: dict[str, float] = Field(description="This row's value of each metric that has one, 0 to 1.")
    probabilities: dict[str, float] | None = Field(
        default=None, description="Probability of each label; none where a text was generated."
    )
    tokens: int | None = Field(
        default=None,
        description="Generated tokens, the end of turn not counted; none where labels were scored.",
    )


class RowResult(_Strict):
    """One test row with the answers of both sides."""

    input: str = Field(description="What both sides were given.")
    references: list[str] = Field(description="The right label, or the reference answers.", min_length=1)
    base: SideResult = Field(description="The base model's answer.")
    tuned: SideResult = Field(description="The tuned model's answer.")


def save(report: Report, rows: Sequence[RowResult], folder: Path) -> None:
    """Write the three files into `folder`, each in one rename.

    `report.json` is written last, and an older one is removed first: where it is, all three are whole and
    belong together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).unlink(missing_ok=True)
    write_atomically(folder / ROWS_FILE, "".join(row.model_dump_json() + "\n" for row in rows))
    write_atomically(folder / MARKDOWN_FILE, to_markdown(report, rows))
    write_atomically(folder / REPORT_FILE, report.model_dump_json(indent=2) + "\n")


def load(folder: Path) -> tuple[Report, Iterator[RowResult]]:
    """The report in `folder`, and its rows, which are read as they are taken.

    Raises:
        RunError: there is no report, or a file of it is damaged (for a row: when it is reached).
    """
    path = folder / REPORT_FILE
    try:
        report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError("There is no report", got=str(folder), fix="Evaluate first.") from None
    except ValidationError as error:
        raise _damaged(path, error) from None
    return report, _read_rows(folder / ROWS_FILE)


def headline(report: Report) -> str:
    """What changed, in a sentence: `On 380 reviews accuracy went from 0.51 to 0.78.`"""
    metric = report.primary
    base, tuned = f"{metric.base:.2f}", f"{metric.tuned:.2f}"
    noun = _EXAMPLE_NOUNS[report.task][report.n != 1]
    change = f"stayed at {base}" if base == tuned else f"went from {base} to {tuned}"
    return f"On {report.n:,} {noun} {metric.title} {change}."


def table(report: Report) -> str:
    """The metrics of both sides and their differences, as a Markdown table."""
    lines = ["| metric | base | tuned | difference |", "|---|---:|---:|---:|"]
    for metric in report.metrics:
        lines.append(f"| {metric.title} | {metric.base:.3f} | {metric.tuned:.3f} | {metric.difference:+.3f} |")
    return "\n".join(lines)


def to_markdown(report: Report, rows: Sequence[RowResult]) -> str:
    """The report for a person: a sentence, the table, where the numbers come from, and examples."""
    sections = [f"# {headline(report)}", table(report), "## Where the numbers come from", _provenance(report)]
    differ = [row for row in rows if row.base.answer != row.tuned.answer]
    if shown := list(islice(differ or rows, EXAMPLES_SHOWN)):
        which = "The first rows that the two sides answer differently."
        if not differ:
            which = "The first rows. Both sides answer every row alike."
        sections += ["## Examples", which, *map(_example, shown)]
    return "\n\n".join(sections) + "\n"


def _provenance(report: Report) -> str:
    base, data = report.base, report.data
    decoding = "labels scored by their log-likelihood"
    if report.kind == "classifier":
        decoding = "class probabilities of the head"
    if report.max_new_tokens is not None:
        decoding = f"greedy answers of at most {report.max_new_tokens} tokens"
    revision = f" ({_plain(base.revision)})" if base.revision else ""
    source = f"{_plain(data.spec) or 'not named'}, split {_plain(data.split)}, {report.n:,} rows"
    facts = {
        "base model": f"{_plain(base.name)}, from {base.origin}{revision}",
        "base weights": f"SHA-256 {base.weights_sha256}",
        "precision": report.precision,
        "adapter": _plain(report.adapter_proof.sentence),
        "prompt": f"SHA-256 {report.prompt_sha256}",
        "data": f"{source}, SHA-256 {data.test_sha256}",
        "answers": f"{decoding}, {report.batch_size} rows a batch",
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        "time": f"{report.seconds:.0f} s, ended {report.created}",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _example(row: RowResult) -> str:
    parts = [_quote(row.input)]
    for title, text in [
        ("Reference", " / ".join(row.references)),
        ("Base", row.base.answer),
        ("Tuned", row.tuned.answer),
    ]:
        parts.append(f"**{title}:** {_plain(' '.join(text.split())) or '(nothing)'}")
    return "\n\n".join(parts)


def _quote(text: str) -> str:
    return "\\\n".join(f"> {_plain(line.strip())}" for line in text.splitlines() if line.strip())


def _plain(text: str) -> str:
    """Text of a model, a user or a data set, so that Markdown shows it and never obeys it."""
    escaped = re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", text)
    # What makes a heading or a list only at the start of a line: `#`, `-`, `1.`
    return re.sub(r"^(\s*\d*)([#+\-=.)])", r"\1\\\2", escaped)


def _read_rows(path: Path) -> Iterator[RowResult]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield RowResult.model_validate_json(line)
            except ValidationError as error:
                raise _damaged(path, error, line=number) from None


def _damaged(path: Path, error: ValidationError, *, line: int | None = None) -> RunError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    where = f"{path.name}, line {line}" if line else path.name
    return RunError(
        f"The report cannot be read: {where}: {f'{place}: ' if place else ''}{first['msg']}",
        got=str(path),
        fix="Evaluate again.",
    )

"""The Learn tab's parts: what it says, each with its numbers and its buttons. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from eval.report.figures import of_any_size
from eval.report.markdown import headline
from eval.report.schema import Report
from finetuning.demonstrations.demonstration import Demonstration, Measured, Results
from finetuning.strategies.counts import ParameterCount
from models.four_bit import BLOCK, FourBit
from ui.drawing import charts, weights
from ui.drawing import learn_text as said
from ui.drawing.markup import Child, Markup, fold, join, table, tag

MIRROR = "package mirror"


@dataclass(frozen=True)
class Go:
    """A button: what it says, and what it opens, see `ui.tabs.learn`."""

    label: str
    target: str
    about: str = ""
    """What a screen reader says in place of the label, where that says too little."""


@dataclass(frozen=True)
class Counted:
    """How many parameters learn with a strategy over a base."""

    base: str
    strategy: str
    """As people call it."""
    count: ParameterCount
    weight_mb: float
    """Of the base in memory while it learns, in MiB."""
    go: Go | None = None


@dataclass(frozen=True)
class Counts:
    """What is counted from configurations: it takes a moment, so it is put in later."""

    rows: Sequence[Counted]
    base_said: str
    tune_said: str


@dataclass(frozen=True)
class Numbers:
    """What stands beside the words."""

    report: Report | None
    """Of the model that ships; None where it has none."""
    rows: Mapping[str, str]
    """Corpus → how many rows, in words."""
    steps: Mapping[str, Sequence[Go]]
    """Step, as in `learn_text.STEPS` → its buttons."""
    ways: Mapping[str, Sequence[Go]]
    """Way's title → its buttons."""
    commands: Sequence[str]
    """What is run at a shell."""
    labs: Sequence[Go]
    trl: str
    """Its version."""
    way_said: Mapping[str, str] = field(default_factory=dict)
    """Way's title → a sentence with a number."""


# ---- words and numbers -----------------------------------------------------------------------------------------


def lesson(numbers: Numbers, counts: Counts | None) -> Markup:
    """Steps, ways and options; what is counted later says so while `counts` is None."""
    parts = [
        tag("div", said.INTRO, class_="ba-note"),
        _part(said.STEPS_TITLE, tag("ol", *_steps(numbers, counts), class_="ba-lessons")),
        _part(said.WAYS_TITLE, *_ways(numbers)),
        _part(said.OPTIONS_TITLE, *_options(counts)),
    ]
    return tag("div", *parts, class_="ba-learn")


def _part(title: str, *parts: Child) -> Markup:
    return tag("section", tag("h2", title), *parts, class_="ba-section ba-stack")


def _buttons(found: Iterable[Go]) -> Markup | None:
    buttons = [
        tag("button", go.label, type="button", data_go=go.target, aria_label=go.about or None) for go in found
    ]
    return tag("div", *buttons, class_="ba-go") if buttons else None


def _live(sentence: str | None) -> Markup | None:
    return tag("p", sentence, class_="ba-live") if sentence else None


def _steps(numbers: Numbers, counts: Counts | None) -> Iterable[Markup]:
    report = numbers.report
    live = {
        "task": _task_said(report) if report else None,
        "data": numbers.rows.get("reviews"),
        "base": counts.base_said if counts else said.COUNTING,
        "tune": counts.tune_said if counts else said.COUNTING,
        "evaluate": headline(report) if report else None,
    }
    for number, (name, (title, about)) in enumerate(said.STEPS.items(), start=1):
        parts = [tag("h3", title), tag("p", about), _live(live[name]), _buttons(numbers.steps.get(name, ()))]
        yield tag("li", tag("b", number, aria_hidden="true"), *parts)


def _task_said(report: Report) -> str:
    primary = report.primary
    digits = primary.metric.digits
    noun = report.asked.noun[report.n != 1]
    return f"{report.asked.title}: {primary.title} of the base on {report.n:,} {noun} is {primary.base:.{digits}f}."


def _ways(numbers: Numbers) -> Iterable[Markup]:
    cards = []
    for title, about in (said.SELF_SUPERVISED, said.SUPERVISED, said.REINFORCEMENT):
        buttons = _buttons(numbers.ways.get(title, ()))
        cards.append(tag("div", tag("h3", title), tag("p", about), _live(numbers.way_said.get(title)), buttons))
    yield tag("div", *cards, class_="ba-cards")
    yield tag("p", said.COMBINED)
    if numbers.commands or numbers.labs:
        shell = [tag("code", command) for command in numbers.commands]
        if shell:
            yield tag("p", said.AT_A_SHELL, *_with_commas(shell))
        if labs := _buttons(numbers.labs):
            yield labs
    links = [tag("a", name, href=address, target="_blank", rel="noopener") for name, address in said.SOURCES]
    about_ppo = tag("p", said.PPO.format(version=numbers.trl))
    yield tag("div", tag("h3", said.PPO_TITLE), about_ppo, tag("p", *_with_commas(links), class_="ba-small"))


def _with_commas(parts: Sequence[Markup]) -> Sequence[Child]:
    return [each for part in parts for each in (", ", part)][1:]


def _options(counts: Counts | None) -> Iterable[Markup]:
    yield tag(
        "div", *(tag("div", tag("h3", title), tag("p", about)) for title, about in said.OPTIONS.values()),
        class_="ba-cards",
    )  # fmt: skip
    if counts is None:
        yield tag("p", said.COUNTING, class_="ba-note")
        return
    rows: list[list[Child]] = []
    for one in counts.rows:
        learn, total, stored = one.count.trainable, one.count.total, one.count.stored
        button = _buttons([one.go]) if one.go else None
        packed = tag("div", f"{stored:,} as stored", class_="ba-small") if stored < total else None
        of = join([f"{total:,}", packed])
        share = f"{learn / total:.2%}"
        rows.append([one.base, one.strategy, f"{learn:,}", of, share, f"{one.weight_mb:,.0f} MB", button])
    headers = ["base model", "strategy", "learn", "of", "share", "weights in memory", "try"]
    yield table(headers, rows, class_="ba-table ba-costs", label=said.COUNTS_CAPTION)
    yield tag("div", f"{said.COUNTS_CAPTION}. {said.TWICE}", class_="ba-note")


# ---- W + BA, and the levels ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Update:
    """A low-rank update at a rank: of one layer, and of all that a recipe adapts."""

    layer: str
    outputs: int
    inputs: int
    rank: int
    layers: int
    count: ParameterCount

    @property
    def whole(self) -> int:
        return self.outputs * self.inputs

    @property
    def added(self) -> int:
        """Weights of B and A."""
        return self.rank * (self.outputs + self.inputs)

    @property
    def as_many(self) -> int:
        """The first rank at which B and A have as many weights as W."""
        return -(-self.whole // (self.outputs + self.inputs))


def update(found: Update) -> Markup:
    """W + BA to scale, and what it comes to."""
    sentence = said.RANK_SAID.format(
        layer=found.layer, whole=found.whole, update=found.added, share=found.added / found.whole,
        layers=found.layers, trainable=found.count.trainable, total=found.count.total, even=found.as_many,
    )  # fmt: skip
    drawing = weights.low_rank(found.outputs, found.inputs, found.rank)
    return tag("figure", drawing, tag("figcaption", sentence, class_="ba-live"), class_="ba-figure ba-beside")


def levels(found: FourBit) -> Markup:
    """NF4 over a model's own weights, and what it changes."""
    of_model = said.OF_MODEL.format(base=found.base.rsplit("/", 1)[-1], origin=found.origin)
    packed_before = f" {said.PACKED_BEFORE}" if found.origin == MIRROR else ""
    about = tag("p", f"{of_model}{packed_before}", class_="ba-note")
    return tag("div", about, weights.levels(found), weights.errors(found), class_="ba-stack")


def about_levels() -> Markup:
    """What NF4 is, before anything is measured."""
    return join([tag("h3", said.LEVELS_TITLE), tag("p", said.LEVELS.format(block=BLOCK))])


# ---- what goes wrong -------------------------------------------------------------------------------------------


def wrong(found: Sequence[tuple[Demonstration, Go | None]], results: Results | None) -> Markup:
    """The demonstrations, each with its button and with what came of it."""
    cards = []
    for demonstration, go in found:
        measured = results.runs.get(demonstration.name) if results else None
        came = _measured(measured, results) if measured and results else _not_run(demonstration)
        parts = [tag("h3", demonstration.title), tag("p", demonstration.about), came, _buttons([go] if go else [])]
        cards.append(tag("div", *parts, class_="ba-stack"))
    return tag("div", _part(said.WRONG_TITLE, *cards), class_="ba-learn")


def _not_run(demonstration: Demonstration) -> Markup:
    said_so = tag("div", said.NOT_RUN.format(name=demonstration.name), class_="ba-empty-chart ba-padded")
    return tag("div", said_so, fold("What is run", tag("code", demonstration.command)), class_="ba-stack")


def _measured(found: Measured, results: Results) -> Markup:
    said_of = [found.headline]
    if found.validation[1:]:
        step, lowest = min(found.validation, key=lambda point: point[1])
        last, ends = found.validation[-1]
        said_of.append(
            f"The validation loss was lowest at step {step:.0f}, {lowest:.3f}, and ended at step {last:.0f} with "
            f"{ends:.3f}; the training loss ended with {found.loss[-1][1]:.3f}."
        )
    if found.perplexity:
        base, tuned = map(of_any_size, found.perplexity)
        said_of.append(f"Perplexity on general text went from {base} to {tuned}.")
    if found.agreement is not None:
        said_of.append(f"At {found.agreement:.0%} of its places both expect the same next token.")
    where = said.MEASURED_ON.format(
        processor=results.processor, cores=results.cores, day=results.measured, minutes=found.seconds / 60
    )
    curve = charts.loss_curve(found.loss, found.validation, kept=said.LOWEST if found.validation[1:] else "")
    answers = _answers(found) if found.answers else None
    run = fold("What was run", tag("code", " ".join(found.set)))
    live = tag("p", " ".join(said_of), class_="ba-live")
    return tag("div", live, curve, answers, run, tag("p", where, class_="ba-note"), class_="ba-stack")


def _answers(found: Measured) -> Markup:
    rows = [[answer.instruction, answer.base, answer.tuned or "(nothing)"] for answer in found.answers]
    headers = ["asked in general", "base", "tuned"]
    return table(headers, rows, class_="ba-table ba-texts", label="Answers to general instructions")

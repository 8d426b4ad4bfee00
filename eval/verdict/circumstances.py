"""What a verdict was made under, in sentences: how each side was asked, which rows, what is proven of the sides.

And what was measured beside it. Computes nothing that the verdict does not say.
"""

from __future__ import annotations

from collections.abc import Iterator

from eval.lab.words import listed
from eval.report.figures import p_text, with_interval
from eval.report.rows_text import counts
from eval.verdict import words
from eval.verdict.schema import Judged, SideInfo, SideResult, StandardTask, Suspect, Verdict
from plumbing import doors

_ASKED = {
    "contract": "by the prompt that training used",
    "borrowed": "by the prompt that the training of what is compared with it used",
    "template": "by its own chat template",
    "file": "by the prompt of a file",
    "server": "by messages, which the server renders",
    "bare text": "by the bare text, with nothing around it",
}
_ANSWERED = {
    "chosen": "gives the most probable label",
    "read": "writes, and the label is read out of that",
    "written": "writes",
}


# ---- how it was asked, and what is known of the rows -------------------------------------------------------


def how_asked(verdict: Verdict) -> list[str]:
    """By which prompt each side was asked, and how its answers were taken."""
    named = [(words.titled(verdict, side.info.key), side) for side in verdict.sides]
    said = [
        f"{name} is asked {_ASKED[one.prompt.where_from]}, and {_ANSWERED[one.answered]}." for name, one in named
    ]
    if len({side.prompt.sha256 for side in verdict.sides}) > 1:
        said.append("The sides are not asked by one prompt: a difference may be the prompt's as well.")
    said += [words.unread_sentence(verdict, side) for side in verdict.sides if side.unread is not None]
    return said


def what_is_known(verdict: Verdict) -> list[str]:
    """Which rows were judged, and which of them a side may have learned from."""
    selection, findings = verdict.data.selection, verdict.data.findings
    said = [counts(selection, verdict.n), *selection.notes] if selection else []
    kept = bool(selection and selection.trained_kept)
    base, *tuned = verdict.sides
    sides = [base, *tuned] if base.known.known_by else tuned
    said += [_known(words.titled(verdict, side.info.key), side, kept) for side in sides]
    return [*said, *(findings.sentences if findings else [])]


def _known(name: str, side: SideResult, kept: bool) -> str:
    if side.known.trained_on is None:
        how = ": --trained-on FILE says it" if doors.current() == "command" else ""
        return f"Which rows {name} was trained on is not known{how}."
    by = {"run": "its run's record", "recipe": "its recipe", "file": "the file that was given"}
    known = f" ({by[side.known.known_by]})" if side.known.known_by else ""
    if not side.known.trained_on:
        return f"{name} was trained on none of the rows{known}."
    became = "judged all the same" if kept else "left out"
    return f"{name} was trained on {side.known.trained_on:,} of the rows{known}: they are {became}."


def proofs(verdict: Verdict) -> list[str]:
    """How it is known that the sides are two, and what else there is to know of each."""
    said = []
    for side in verdict.sides:
        name = words.titled(verdict, side.info.key)
        differs = [each.differs for each in verdict.comparisons if each.tuned == side.info.key]
        # What shows that it is not the base says its own proof again, and more.
        proof = [side.info.proof] if not differs or not differs[0] else []
        said += [f"{name}: {sentence}" for sentence in (*proof, *differs, *side.info.notes) if sentence]
    return said


# ---- besides -----------------------------------------------------------------------------------------------


def suspects_sentence(suspects: list[Suspect]) -> str:
    """That some rows are to be looked at; empty without any."""
    if not suspects:
        return ""
    rows = "This row says" if len(suspects) == 1 else f"These {len(suspects):,} rows say"
    return f"{rows} what every side finds improbable: it may be wrong, or hard."


def judged_sentences(judged: Judged, verdict: Verdict) -> list[str]:
    """What a language model made of the answers, and how far it can be believed."""
    said = [
        f"{judged.judge.name} was asked which answer is better, in both orders; the verdict does not rest on it."
    ]
    if own := [words.titled(verdict, side.info.key) for side in verdict.sides if _is(judged.judge, side.info)]:
        said.append(f"The judge is {listed(own)} itself, and models tend to prefer what they wrote.")
    for each in judged.pairs:
        name, test = words.titled(verdict, each.tuned), each.judgement
        said.append(
            f"{name}: preferred on {each.wins:,} rows, the base on {each.losses:,}, neither on {each.ties:,}; "
            f"{test.outcome}, p {p_text(test.p_value)}."
        )
    said += _habits(judged)
    if not judged.human:
        return [*said, "No votes of people were given: whether they agree with it is not known."]
    kappa = (
        "cannot be computed" if judged.kappa is None else f"is {with_interval(judged.kappa, judged.kappa_interval)}"
    )
    return [*said, f"People have voted on {judged.human:,} pairs of answers: Cohen's kappa with them {kappa}."]


def _is(judge: SideInfo, side: SideInfo) -> bool:
    """Whether a side is the judge: the same weights, or where they are not known, what is called alike."""
    if judge.model and side.model:
        return judge.model == side.model
    return judge.name == side.name


def _habits(judged: Judged) -> Iterator[str]:
    """How the judge judges, whatever it judges."""
    if judged.consistent is not None:
        yield f"It says the same in both orders on {judged.consistent:.0%} of the rows."
    if judged.first_place is not None:
        yield (
            f"Whatever stands first is preferred in {judged.first_place:.0%} of its opinions; without a bias it "
            "would be 50%."
        )
    if judged.unread:
        yield f"{judged.unread:.1%} of its answers name no winner."


def standard_sentence(tasks: list[StandardTask]) -> str:
    """What the standard benchmarks are; empty without any."""
    if not tasks:
        return ""
    return (
        "By lm-evaluation-harness with its own prompts, and the paired test over its questions; corrected by "
        "Holm's method for all of these, and no part of the verdict."
    )


def standard_numbers(task: StandardTask, base: str, tuned: str) -> str:
    """One of them, of one tuned side against the base."""
    test, values = task.comparisons[tuned], task.values
    outcome = test.outcome if task.corrected[tuned] <= test.alpha else "no evidence"
    difference = with_interval(test.difference, test.interval, sign="+")
    return (
        f"{values[base]:.3f} → {values[tuned]:.3f}, difference {difference}, p {p_text(test.p_value)}, corrected "
        f"{p_text(task.corrected[tuned])}, {outcome}."
    )

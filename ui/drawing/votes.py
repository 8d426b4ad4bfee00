"""How votes are drawn: what was voted, the win rate so far, and what could be learned from the votes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eval.vote_lines import Vote, blind_votes
from eval.votes import counts, headline, win_rate
from finetuning.votes.keeping import said_of
from finetuning.votes.lessons import Lessons
from ui.drawing import text
from ui.drawing.markup import Markup, join, sentences, tag


def so_far(votes: Sequence[Vote], aside: Sequence[str] = ()) -> Markup:
    """The win rate of votes on one model, and what was left aside of their file; nothing where there are none."""
    if not votes:
        return join(tag("div", sentence) for sentence in aside)
    counted = blind_votes(votes)
    found = win_rate(vote.preferred for vote in counted)
    rest = " ".join([counts(found), *said_of(votes, counted)])
    rate = tag("div", tag("span", headline(found), class_="ba-win-rate"), " ", rest)
    return join([rate, *(tag("div", sentence) for sentence in aside)])


def line(drawn: Markup) -> Markup:
    """Under the answers: what there is to say of the votes, and read out where it changes."""
    return tag("div", drawn, class_="ba-votes", role="status") if drawn else Markup("")


def lessons(found: Iterable[Lessons]) -> Markup:
    """What the votes give to learn from, and how many more are needed."""
    given = [each.sentence() for each in found]
    return join([tag("div", text.LEARNS_ON, class_="ba-note"), sentences(given)])

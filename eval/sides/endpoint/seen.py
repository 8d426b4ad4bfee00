"""What a reader has to know of the answers that came from a server, counted and said."""

from __future__ import annotations

import time

from eval.sides.endpoint.kept import Kept
from eval.sides.endpoint.replies import Reply
from plumbing.doors import side_option
from plumbing.printable import one_line

_NO_THOUGHTS = '{"chat_template_kwargs": {"enable_thinking": false}}'


class Seen:
    """What a reader has to know of the answers that came, counted."""

    def __init__(self, model: str) -> None:
        self.uncounted = 0
        """Of those that were asked for now, answers without a count of their tokens."""
        self._model = model
        self._all = self._kept = self._refused = self._filtered = self._thought = self._unsaid = self._aloud = 0
        self._oldest = 0
        self._models: set[str] = set()
        self._without: set[str] = set()

    def take(self, reply: Reply, *, kept: bool) -> None:
        self._all += 1
        self._refused += reply.refused
        self._filtered += reply.ended == "filter"
        self._thought += reply.thought
        self._unsaid += reply.thought and reply.ended == "length" and not reply.text.strip()
        self._aloud += "</think>" in reply.text or reply.text.lstrip().startswith("<think>")
        self._models |= {reply.model} - {"", self._model}
        self._without |= set(reply.without)
        if kept:
            self._kept += 1
            self._oldest = min(self._oldest or reply.at, reply.at)
        else:
            self.uncounted += reply.tokens is None or reply.prompt_tokens is None

    def notes(self, kept: Kept | None, *, priced: bool) -> list[str]:
        """In sentences."""
        said = []
        of = f"of {self._all} answers"
        if self._kept:
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self._oldest))
            said.append(
                f"{self._kept} {of} are from an earlier time, the oldest from {since}: has the model behind the "
                f"address changed since, ask again with {side_option('cache', 'off')}."
            )
        if self._models:
            said.append(
                f"The server says that this answered: {', '.join(map(one_line, sorted(self._models)[:5]))}."
            )
        if "temperature" in self._without:
            said.append(
                "The server takes no temperature: its answers are drawn at random, and differ from time to time."
            )
        if self._refused:
            said.append(f"{self._refused} {of} are refusals, which are judged as answers.")
        if self._filtered:
            said.append(f"{self._filtered} {of} were cut out by a filter of the server's.")
        if self._thought:
            said.append(
                f"It thought before {self._thought} {of}; what the server keeps apart as thoughts is not judged."
            )
        if self._aloud:
            said.append(
                f"{self._aloud} {of} hold its thoughts, which are judged with the rest wherever words are: let the "
                f"server keep them apart, or turn them off, such as by {side_option('body', _NO_THOUGHTS)}."
            )
        if self._unsaid:
            said.append(
                f"{self._unsaid} {of} are empty, since it thought until the limit: allow more tokens, or turn its "
                f"thoughts off, such as by {side_option('body', _NO_THOUGHTS)}."
            )
        if self.uncounted:
            price = ", so what they cost is not known" if priced else ""
            said.append(f"The server does not count the tokens of {self.uncounted} answers{price}.")
        if kept and kept.stopped:
            said.append(f"Answers could not be kept: {kept.stopped}.")
        return said

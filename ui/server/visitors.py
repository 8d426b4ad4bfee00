"""Who is asking, and what they may see: the one place that every handler asks.

On a page of one's own (`python app.py`) there is one visitor, who sees everything. On a public one each visitor
sees their own runs, and the adapters that ship. Who that is: the login's user name; without a login the random
cookie that `door.py` gives to each browser; and for a browser that keeps none, its page until it is loaded again.

A cookie, not `gr.BrowserState`: no script can read it, no handler has to take it for an input, and it comes with
uploads and downloads too. A run's folder holds a hash of it, which opens nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from eval.vote_lines import Vote
from finetuning import limits as limiting
from finetuning.jobs.strangers import submit_within
from finetuning.lab.folder import ACTIVE as LAB_ACTIVE
from finetuning.lab.folder import LabFolder, list_labs, newest_of, open_lab
from finetuning.limits import Limits
from finetuning.recipe import Recipe
from finetuning.runs.beginning import with_whole_paths
from finetuning.runs.folder import ACTIVE, Run, list_queue, list_runs, open_run
from finetuning.runs.jobs import Asked, asked_of, list_jobs, open_job, submit
from finetuning.votes.keeping import forget, read_votes
from finetuning.votes.keeping import keep as keep_vote
from plumbing.errors import DataError, RunError, UserError
from plumbing.redaction import redact

if TYPE_CHECKING:
    from datasets import Dataset

    from data.sources import Opened
    from data.tasks import Task
    from finetuning.lab.lab import Lab

_starting = threading.Lock()
"""Two pages of one visitor, or two clicks, are answered by one run."""
_REMEMBERED_UPLOADS = 5
"""Files of one visitor that stay usable."""
_REMEMBERED_OFFERS = 200
"""Files of one visitor that can be downloaded: four a report."""
_OFFERS = 20_000
"""Everybody's together."""
LINKED = "linked"
"""How a name begins that stands for a file which a visitor may download, and says nothing of where that lies."""
# An absolute path of at least two parts, also after `file:`. Not part of a URL, a date or a fraction.
_PATH = re.compile(r"(?:(?<![\w:/.…])|(?<=\bfile:))/(?:[^\s/:'\",()<>]+/)+([^\s/:'\",()<>]*)")


class Files:
    """Which files a visitor may read: their own uploads, and what the page offered them to download. No others.

    A file is known by the path that Gradio gave it, letter by letter: whatever else leads to the same file is
    nobody's. Kept in memory, so after a restart of the app nobody may read anything: a file is uploaded again, a
    report drawn again.
    """

    def __init__(self, uploads_mb: int | None = None) -> None:
        """Args:
        uploads_mb: of everybody's uploads together, beyond which the oldest are removed from the disk, as are all
            but the last few of a visitor; None to remove none.
        """
        self._most_bytes = None if uploads_mb is None else uploads_mb * 1_000_000
        self._lock = threading.Lock()
        self._uploads: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._offers: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._links: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._secret = secrets.token_bytes(32)

    def upload(self, visitor: str, paths: Sequence[str]) -> None:
        """Remember that `visitor` uploaded the files at `paths`."""
        with self._lock:
            for path in paths:
                self._uploads.pop((visitor, path), None)
                self._uploads[visitor, path] = Path(path).stat().st_size if Path(path).is_file() else 0
            if self._most_bytes is None:
                return
            for key in _all_but_last(self._uploads, visitor, _REMEMBERED_UPLOADS):
                self._forget(key)
            while len(self._uploads) > 1 and sum(self._uploads.values()) > self._most_bytes:
                self._forget(next(iter(self._uploads)))

    def offer(self, visitor: str, paths: Sequence[str]) -> None:
        """Let `visitor` download the files at `paths`."""
        with self._lock:
            for path in paths:
                self._offers.pop((visitor, path), None)
                self._offers[visitor, path] = None
            for key in _all_but_last(self._offers, visitor, _REMEMBERED_OFFERS):
                del self._offers[key]
            while len(self._offers) > _OFFERS:
                self._offers.popitem(last=False)

    def link(self, visitor: str, path: Path) -> str:
        """A name by which `visitor`, and nobody else, downloads `path`, and which says nothing of where it lies."""
        told = hmac.new(self._secret, f"{visitor}\n{path}".encode(), "sha256").hexdigest()
        name = f"{LINKED}/{told}/{path.name}"
        with self._lock:
            self._links.pop((visitor, name), None)
            self._links[visitor, name] = str(path)
            for key in _all_but_last(self._links, visitor, _REMEMBERED_OFFERS):
                del self._links[key]
            while len(self._links) > _OFFERS:
                self._links.popitem(last=False)
        return name

    def linked(self, visitor: str, name: str) -> str | None:
        """The path of the file that `visitor` was given that name for."""
        with self._lock:
            return self._links.get((visitor, name))

    def uploaded_by(self, visitor: str, path: str) -> bool:
        """Whether `visitor` uploaded the file at `path`."""
        with self._lock:
            return (visitor, path) in self._uploads

    def readable_by(self, visitor: str, path: str) -> bool:
        """Whether `visitor` uploaded the file at `path`, or was offered it."""
        with self._lock:
            return (visitor, path) in self._uploads or (visitor, path) in self._offers

    def _forget(self, key: tuple[str, str]) -> None:
        del self._uploads[key]
        if not any(path == key[1] for _, path in self._uploads):  # two may have uploaded the same
            with contextlib.suppress(OSError):
                Path(key[1]).unlink()


def _all_but_last(files: Iterable[tuple[str, str]], visitor: str, last: int) -> list[tuple[str, str]]:
    return [key for key in files if key[0] == visitor][:-last]


@dataclass(frozen=True)
class Visitor:
    """Who is asking. Opaque to the rooms further left, which get `owner` and `limits`."""

    owner: str = ""
    """Whose runs; empty for the one visitor of a page of one's own."""
    limits: Limits | None = None
    """None on a page of one's own: nothing is limited."""
    files: Files | None = field(default=None, repr=False)
    holder: str = ""
    """Whose files: the browser, which is all that a download tells. Empty for one without a cookie, where the files
    are of all such together: the address of an offered one cannot be guessed, and uploads they have none."""

    @property
    def has_cookie(self) -> bool:
        return bool(self.holder)

    @property
    def is_stranger(self) -> bool:
        return self.limits is not None

    # ---- runs ----

    def runs(self) -> list[Run]:
        """The runs this visitor may see, newest first."""
        return list_runs(owner=self.owner if self.is_stranger else None)

    def run(self, run_id: str | None) -> Run:
        """The run called `run_id`.

        Raises:
            RunError: there is none, or it is somebody else's, which reads the same.
        """
        return open_run(str(run_id or "")[:200], owner=self.owner if self.is_stranger else None)

    def submit(self, recipe: Recipe, opened: Opened, *, adapter: str | None = None) -> Run:
        """Start a run, or queue it; `adapter` is one that was found to be this visitor's to go on with."""
        from finetuning.runs import launch

        if self.limits is None:
            return launch.submit(recipe)
        return limiting.submit(recipe, opened, self.limits, owner=self.owner, adapter=adapter)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Within it a run is started, one at a time: reading its data, which may take long, comes before.

        Where it is refused, a copy of an upload that was kept for it goes again.
        """
        with _starting, self.asking():
            yield

    def started(self, recipe: Recipe) -> Run | None:
        """This visitor's run of just this recipe that is waiting or being worked on: it is not started twice.

        One that was asked to stop will not end as it would have: it is none.
        """
        wanted = with_whole_paths(recipe if self.limits is None else limiting.as_submitted(recipe, self.limits))
        for run in self.runs():
            with contextlib.suppress(UserError):
                if run.state() in ACTIVE and not run.cancel_requested() and run.recipe() == wanted:
                    return run
        return None

    def resume(self, run: Run) -> None:
        """Let a run that ended early go on."""
        from finetuning.runs import launch

        if self.limits is None:
            launch.resume(run)
        else:
            limiting.resume(run, self.limits)

    def restore(self, run_id: str | None) -> Run:
        """Take a run or a job of this visitor out of the trash again.

        Raises:
            RunError: it is not there, or it is somebody else's, which reads the same.
        """
        from finetuning.runs import launch

        return launch.restore(str(run_id or "")[:200], owner=self.owner if self.is_stranger else None)

    def queue(self) -> list[Run]:
        """The runs and jobs this visitor may see, newest first."""
        return list_queue(owner=self.owner if self.is_stranger else None)

    # ---- jobs ----

    def jobs(self, kinds: Collection[str]) -> list[Run]:
        """The jobs of these kinds that this visitor may see, newest first."""
        return list_jobs(kinds, owner=self.owner if self.is_stranger else None)

    def job(self, job_id: str | None) -> Run:
        """The job of that id.

        Raises:
            RunError: there is none, or it is somebody else's, which reads the same.
        """
        return open_job(str(job_id or "")[:200], owner=self.owner if self.is_stranger else None)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Within it a run or a job is asked for; where that is refused, an upload kept for it goes again."""
        try:
            yield
        except BaseException:
            if self.limits is not None:
                limiting.forget_refused(self.owner)
            raise

    def submit_job(self, kind: str, asked: Asked) -> Run:
        """Start a job, or queue it; the one that is going on where it is the same.

        Raises:
            RunError: it is refused, see `finetuning.jobs.strangers`; or the runs folder cannot be written to.
        """
        with _starting:
            for job in self.jobs({kind}):
                with contextlib.suppress(RunError):
                    goes_on = job.state() in ACTIVE and not job.cancel_requested()
                    if goes_on and asked_of(job, type(asked)) == asked:
                        return job
            if self.limits is None:
                return submit(kind, asked)
            return submit_within(kind, asked, self.limits, owner=self.owner)

    # ---- labs ----

    def labs(self) -> list[LabFolder]:
        """The labs this visitor may see, newest first."""
        return list_labs(owner=self.owner if self.is_stranger else None)

    def lab(self, lab_id: str | None) -> LabFolder:
        """The lab of that id.

        Raises:
            RunError: there is none, or it is somebody else's, which reads the same.
        """
        return open_lab(str(lab_id or "")[:200], owner=self.owner if self.is_stranger else None)

    def start_lab(self, lab: Lab) -> LabFolder:
        """Start a lab; the one that is going on where it is the same."""
        from finetuning.lab import launch

        plan = launch.planned(lab, self.limits)
        going_on = newest_of(lab, plan, owner=self.owner if self.is_stranger else None)
        if going_on is not None:
            launch.settle(going_on)
            if going_on.state() in LAB_ACTIVE:
                return going_on
        return launch.begin(lab, plan, owner=self.owner, limits=self.limits)

    def resume_lab(self, lab: LabFolder) -> None:
        """Let a lab that ended early go on."""
        from finetuning.lab import launch, strangers

        if self.is_stranger:
            strangers.require_no_other(self.owner)
        launch.go_on(lab)

    # ---- what a form asks for ----

    def check_source(self, source: str) -> None:
        """Refuse a source of examples that is not for strangers. An upload was checked at the door."""
        if self.limits is not None:
            limiting.check_source(source, self.limits)

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse settings beyond the limits."""
        if self.limits is not None:
            limiting.check_recipe(recipe, self.limits)

    def check_rows(self, splits: Mapping[str, Dataset], task: Task, recipe: Recipe | None = None) -> None:
        """Refuse rows beyond the limits, and the steps that they make by a recipe."""
        if self.limits is not None:
            limiting.check_rows(splits, task, self.limits, recipe)

    def check_message(self, message: str) -> None:
        """Refuse a chat message beyond the limit."""
        if self.limits is not None and len(message) > self.limits.message_characters:
            raise UserError(
                f"The message has {len(message):,} characters, and this public page takes "
                f"{self.limits.message_characters:,}",
                fix="Shorten it.",
            )

    # ---- votes ----

    def votes(self) -> list[Vote]:
        """The votes that this visitor may see, the oldest first.

        Raises:
            RunError: they cannot be read.
        """
        return [vote for vote in read_votes().votes if not self.is_stranger or vote.owner == self.owner]

    def said_of_votes(self) -> list[str]:
        """What there is to say of their file, to whose it is; errors as for `votes`."""
        return [] if self.is_stranger else read_votes().sentences()

    def vote(self, vote: Vote) -> None:
        """Keep a vote as this visitor's.

        Raises:
            UserError: it was given already, or it is beyond the limits.
        """
        keep_vote(vote.model_copy(update={"owner": self.owner}), limits=self.limits)

    def forget_votes(self) -> int:
        """Delete the votes that this visitor may see; returns how many these were.

        Raises:
            RunError: their file cannot be written.
        """
        return forget(self.owner if self.is_stranger else None)

    # ---- files ----

    def offer(self, paths: Sequence[str]) -> None:
        """Let this visitor download the files at `paths`."""
        if self.files is not None:
            self.files.offer(self.holder, paths)

    def link(self, path: Path) -> str:
        """What this visitor downloads a file of a run by, which stays where it lies; "" outside of a page."""
        return self.files.link(self.holder, path) if self.files is not None else ""

    def keep(self, path: Path) -> Path:
        """A copy of an uploaded file that lasts as long as the runs that need it."""
        return limiting.keep_upload(path, self.owner)

    def shown(self, text: str) -> str:
        """`text` as this visitor may read it: without tokens; for a stranger, of a path only its last part."""
        text = redact(text)
        return without_paths(text) if self.is_stranger else text


LOCAL = Visitor()
"""The visitor of a page of one's own."""


def visitor_of(request: gr.Request) -> Visitor:
    """Who sent this request, as the door found.

    Raises:
        RunError: the request did not come through the door.
    """
    scope = getattr(request.request, "scope", None) or {}
    visitor = scope.get("state", {}).get("visitor")
    if not isinstance(visitor, Visitor):
        raise RunError("This request did not come through the page's door")
    if not visitor.is_stranger:
        return visitor
    if request.username:
        return replace(visitor, owner=owner_of("login", request.username))
    if not visitor.has_cookie:
        # A call without an open page, as over MCP, is by somebody new each time.
        return replace(visitor, owner=owner_of("page", request.session_hash or secrets.token_urlsafe(32)))
    return visitor


def owner_of(kind: str, secret: str) -> str:
    """A name for who knows `secret`, from which the secret cannot be found."""
    return f"{kind}-{hashlib.sha256(f'{kind}:{secret}'.encode()).hexdigest()[:32]}"


def own_upload(visitor: Visitor, path: str) -> bool:
    """Whether `path` is a file that this visitor uploaded."""
    if visitor.is_stranger and not visitor.has_cookie:
        return False
    return visitor.files is not None and visitor.files.uploaded_by(visitor.holder, path)


def without_paths(text: str) -> str:
    """`text` with every absolute path cut to its last part."""
    return _PATH.sub(lambda found: f"…/{found[1]}", text)


def stranger_needs_cookie(visitor: Visitor) -> None:
    """Uploads are known by the cookie alone."""
    if visitor.is_stranger and not visitor.has_cookie:
        raise DataError("Uploads need a cookie", fix="Allow cookies for this page, or open it in a tab of its own.")

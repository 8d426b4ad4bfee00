"""A push to the Hub: an adapter, or a whole model, with its card, in one commit, by a person's own token.

The token comes from whoever pushes and is kept nowhere. What is pushed is what `adapter` and `merged` write, so no
key of a row that was trained on, no log and no checkpoint leaves. A repository that holds something else is let be.
"""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from finetuning.export.adapter import TOKENIZER_FILES, write_folder
from finetuning.export.merged import write_merged
from finetuning.export.model_card import CARD_FILE
from finetuning.export.tuned import Tuned
from finetuning.export.usage import HERE
from finetuning.export.work import Work
from models.adapters import ORIGIN_FILE
from models.prompting import CONTRACT_FILE
from plumbing.errors import RecipeError, RunError, UserError
from plumbing.network import hub_reachable
from plumbing.redaction import redact
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EMPTY = frozenset({".gitattributes"})
"""What the Hub itself puts into a new repository."""
OURS = (ORIGIN_FILE, CONTRACT_FILE)
"""What tells an earlier push of ours."""
_WRITTEN = (
    *("adapter_config.json", "adapter_model.safetensors", "model*.safetensors", "model.safetensors.index.json"),
    *("config.json", "generation_config.json", "task.json", ORIGIN_FILE, CONTRACT_FILE, CARD_FILE),
    *TOKENIZER_FILES,
)
"""What a push may have left: only that is taken away where the next one has it no more."""
_LISTED = 5
_SAID = {
    401: ("The Hub does not know this token", "Log in again: hf auth login."),
    403: (
        "This token may not write there",
        "Take a token with the right to write, and your own name or that of an organisation that you are in.",
    ),
    412: ("The repository was changed meanwhile, and nothing was written", "Push again."),
}


def require_repository(written: str) -> str:
    """The repository's name, as it can be one on the Hub.

    Raises:
        RecipeError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is in their documentation

    try:
        validate_repo_id(written)
        if written.count("/") == 1:
            return written
    except HFValidationError:
        pass
    raise RecipeError(
        "A model on the Hub is called OWNER/NAME, of letters, digits, and - _ . between them", got=written[:100]
    )


def push(
    tuned: Tuned, repository: str, token: str, work: Work, *, private: bool = False, merged: bool = False
) -> list[str]:
    """Put what was tuned on the Hub, in one commit; the repository is made where there is none.

    Args:
        tuned: an adapter or a whole model.
        repository: OWNER/NAME.
        token: of who pushes.
        work: told how far it is; from the commit on it cannot be stopped.
        private: seen by its owner alone; one that is public becomes so.
        merged: an adapter merged into its base; a whole model is one in any case.

    Returns:
        What there is to say of it, in sentences; the first ends in its address.

    Raises:
        UserError: there is no token, no Hub in reach, no such right, or something else in the repository.
        Stopped: see `Work`.
    """
    repository = require_repository(repository)
    if not token.strip():
        raise RunError(
            "A push is made by your own token, and there is none", fix="Log in: hf auth login; or set HF_TOKEN."
        )
    _require_hub()
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # the same

    disable_progress_bars()
    api = HfApi(token=token.strip(), library_name="before-after")
    work.tell("Looking at the repository")
    with _refusals(repository, token):
        held, parent = _held(api, repository)
    _require_ours(repository, held)
    with tempfile.TemporaryDirectory(prefix="before-after-push-") as scratch:
        folder = Path(scratch) / "model"
        notes = _write(tuned, folder, work, merged=merged)
        _name_it(folder, repository)
        with _refusals(repository, token):
            if parent is None:
                work.tell("Making the repository")
                api.create_repo(repository, private=private or None)
                held, parent = _held(api, repository)
                _require_ours(repository, held)
            elif private:
                api.update_repo_settings(repository, private=True)
            work.tell("Uploading")
            _commit(api, repository, folder, held, parent, said=f"{tuned.name}, by Before/After")
    return [f"Pushed: {api.endpoint}/{repository}", *notes]


def _require_hub() -> None:
    if not hub_reachable():
        hub_reachable.cache_clear()  # whoever pushes may have gone online since it was asked
        if not hub_reachable():
            raise RunError("The Hub cannot be reached from here", fix="Push when there is a network.")


def _held(api: HfApi, repository: str) -> tuple[list[str], str | None]:
    """What the repository holds, and its newest commit; None where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.model_info(repository)
    except RepositoryNotFoundError:
        return [], None
    return [file.rfilename for file in info.siblings or []], info.sha


def _require_ours(repository: str, held: Sequence[str]) -> None:
    others = sorted({*held} - EMPTY)
    if others and not {*OURS} <= {*held}:
        more = f", and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        raise RunError(
            f"The repository holds something that was not pushed from here: {', '.join(others[:_LISTED])}{more}",
            got=repository,
            fix="Name another one, which is made where there is none.",
        )


def _write(tuned: Tuned, folder: Path, work: Work, *, merged: bool) -> list[str]:
    if merged or tuned.is_whole:
        return write_merged(tuned, folder, work)
    folder.mkdir()
    write_folder(tuned, folder, work)
    return [f"It stands on {tuned.base_name}."]


def _name_it(folder: Path, repository: str) -> None:
    """Let the program in the card fetch the model by its name."""
    card = folder / CARD_FILE
    written = card.read_text(encoding="utf-8")
    write_atomically(card, written.replace(HERE, f'folder = "{repository}"', 1))


def _commit(
    api: HfApi, repository: str, folder: Path, held: Sequence[str], parent: str | None, *, said: str
) -> None:
    """One commit, whatever the size: `upload_folder` may make several."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    gone = [
        path
        for path in held
        if path not in paths and any(fnmatch.fnmatchcase(path, written) for written in _WRITTEN)
    ]
    api.create_commit(
        repository,
        [
            *(CommitOperationDelete(path) for path in gone),
            *(CommitOperationAdd(path, folder / path) for path in paths),
        ],
        commit_message=said,
        parent_commit=parent,
    )


@contextmanager
def _refusals(repository: str, token: str) -> Iterator[None]:
    """Turn what the Hub says, or does not say, into a sentence without the token."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except UserError:
        raise
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        problem, fix = _SAID.get(status, ("The Hub refused", ""))
        what = " ".join((error.server_message or str(error)).split())[:300]
        raise RunError(f"{problem}: {_without(what, token)}", got=repository, fix=fix) from None
    except Exception as error:  # of the library that it speaks HTTP with, of the system, of a card that is refused
        causes = [str(each) for each in (error, error.__cause__) if each is not None and str(each)]
        what = " ".join(" ".join(causes or [type(error).__name__]).split())[:300]
        raise RunError(f"The push did not succeed: {_without(what, token)}", got=repository) from None


def _without(said: str, token: str) -> str:
    return redact(said.replace(token, "[hidden]")).rstrip(".")

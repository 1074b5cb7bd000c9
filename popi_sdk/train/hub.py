"""A trained directory on the Hugging Face hub: its parts, its manifest and its card; never what a run keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import AuthenticationError, BackendConnectionError, BackendError, ConfigurationError, needs_extra
from ..models import _hub  # noqa: F401 - before the hub's client is loaded
from ..models.trained import MANIFEST, PARTS, read_trained
from ..settings import get_settings
from .card import CARD, write_card

__all__ = ["push_to_hub"]

_BACKEND = "hub"


def push_to_hub(
    directory: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    report: str | Path | Sequence[str | Path] | None = None,
) -> str:
    """Upload a trained directory in one commit, and let its card name the repository.

    The card shows summaries of dev users where `save_pretrained` was told to, `about={"samples": 10}`: read it first.

    Args:
        directory: What `PopiTrainer.save_pretrained` wrote; of it `inferrer/`, `generator/`, `popi.json` and the card.
        repo_id: `owner/name`; made if it is not there.
        private: Whether others may not see it, where it is made; None for the owner's default.
        token: With write access; None for HF_TOKEN, or what `hf auth login` kept.
        report: The folder of a `popi eval` run, or of several, whose rows are added to the card.

    Returns:
        Where it is.

    Raises:
        ConfigurationError: If there is no trained model, the name is none, POPI_OFFLINE or HF_HUB_OFFLINE is set, or
            the hub finds fault with what is sent.
        AuthenticationError: If there is no token, or it may not write there.
        BackendConnectionError: If the hub cannot be reached.
        BackendError: If it answers anything else.
        MissingExtraError: If its client is not installed.
    """
    folder = Path(directory).expanduser()
    read_trained("the model", folder)
    with needs_extra("train"):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    if get_settings().offline:
        raise ConfigurationError(
            f"{repo_id} is not pushed while POPI_OFFLINE or HF_HUB_OFFLINE is set. Unset it, or copy {folder} by hand."
        )
    write_card(folder, name=repo_id, report=report)
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    with _told(repo_id, api.endpoint):
        api.create_repo(repo_id, private=private, exist_ok=True)
        ours = _files(folder)
        stale = [path for path in api.list_repo_files(repo_id) if path.split("/")[0] in PARTS and path not in ours]
        operations = [CommitOperationAdd(path, file) for path, file in ours.items()]
        # One commit, which `upload_folder` does not promise: nobody shall fetch half of it.
        commit = api.create_commit(
            repo_id,
            [*operations, *(CommitOperationDelete(path) for path in stale)],
            commit_message="A model that popi_sdk trained",
        )
    return str(commit.repo_url)


def _files(folder: Path) -> dict[str, Path]:
    """What is uploaded, by its path there."""
    inside = [file for part in PARTS for file in sorted((folder / part).glob("**/*")) if file.is_file()]
    return {file.relative_to(folder).as_posix(): file for file in (folder / MANIFEST, folder / CARD, *inside)}


@contextmanager
def _told(repo_id: str, endpoint: str) -> Iterator[None]:
    """What the client raises, as what to do; the request behind its errors holds the token, so none is kept."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except HFValidationError:
        raise ConfigurationError(f"{repo_id!r} is no name of a repository. Write owner/name.") from None
    except LocalTokenNotFoundError:
        raise _refused(repo_id, endpoint, None) from None
    except HfHubHTTPError as error:
        raise _answered(repo_id, endpoint, error.response.status_code) from None
    except (_transport_error(), OfflineModeIsEnabled, OSError) as error:
        raise _broken(repo_id, endpoint, error) from None
    except RuntimeError as error:  # of the client's upload threads; its cause says more
        cause = error.__cause__ or error
        if isinstance(cause, HfHubHTTPError):
            raise _answered(repo_id, endpoint, cause.response.status_code) from None
        raise _broken(repo_id, endpoint, cause) from None
    except ValueError as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigurationError(
            f"{repo_id} was not pushed: {said} Correct it in the directory, and push again."
        ) from None


def _transport_error() -> type[Exception]:
    """What the client's HTTP library raises without an answer; which library that is has changed between versions."""
    from huggingface_hub.errors import HfHubHTTPError

    found: type[Exception] = HfHubHTTPError.__mro__[1]
    return found


def _broken(repo_id: str, endpoint: str, error: BaseException) -> BackendConnectionError:
    return BackendConnectionError(
        f"{repo_id} was not pushed: the upload to {endpoint} failed ({type(error).__name__}). Check the network and "
        "HF_ENDPOINT, and push again: what arrived is not sent twice.",
        backend=_BACKEND,
        retryable=True,
    )


def _answered(repo_id: str, endpoint: str, status: int) -> BackendError | ConfigurationError:
    if status in (401, 403):
        return _refused(repo_id, endpoint, status)
    if status == 404:
        return ConfigurationError(
            f"{repo_id} was not pushed: {endpoint} knows no such owner or repository, or your token may not see it. "
            "Check the name."
        )
    again = status == 429 or status >= 500
    return BackendError(
        f"{repo_id} was not pushed: {endpoint} answered {status}. "
        + (
            "Push again later: what arrived is not sent twice."
            if again
            else "Check the name and what is in the directory."
        ),
        backend=_BACKEND,
        status_code=status,
        retryable=again,
    )


def _refused(repo_id: str, endpoint: str, status: int | None) -> AuthenticationError:
    why = "there is no token" if status is None else f"{endpoint} answered {status}: the token may not write there"
    return AuthenticationError(
        f"{repo_id} was not pushed: {why}. Make a token with write access in the hub's settings, and set HF_TOKEN, run "
        "`hf auth login`, or give token=.",
        backend=_BACKEND,
        status_code=status,
    )

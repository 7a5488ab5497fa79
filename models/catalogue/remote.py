"""What is asked of the world outside: a hub's list of files, and the bytes of a file from a position on.

Everything that reaches a network is behind these two protocols; tests have others.
"""

from __future__ import annotations

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol

from models.catalogue.contract import HubSource
from models.hub import first_line

_CHUNK = 1 << 20
_TIMEOUT_S = 60.0


class RemoteFault(Exception):
    """Why something cannot be had.

    Attributes:
        kind: ``connection``, ``gated`` (no token, or one whose account has not accepted the licence) or ``missing``.
    """

    def __init__(self, kind: Literal["connection", "gated", "missing"], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, with the hash that the hub gives.

    Attributes:
        name: path in the repository.
        size: bytes.
        digest: sha256 in hex of a large file, git's blob hash (40 digits) of a small one.
    """

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """A repository at a commit."""

    commit: str
    files: tuple[RemoteFile, ...]
    gated: bool = False
    licence: str | None = None


class Hub(Protocol):
    """A hub of models. Methods raise a `RemoteFault`."""

    def look_up(self, source: HubSource, revision: str | None) -> Listing:
        """The repository at a revision; None: at its newest commit."""
        ...

    def fill(self, source: HubSource, commit: str, file: RemoteFile, target: BinaryIO, start: int) -> None:
        """Append a file's bytes from position `start` on."""
        ...

    def has_token(self) -> bool:
        """Whether somebody is signed in."""
        ...


class Files(Protocol):
    """Files behind URLs. Methods raise a `RemoteFault`."""

    def fill(self, url: str, target: BinaryIO, start: int) -> None:
        """Append a file's bytes from position `start` on."""
        ...


class HuggingFace:
    """The hub, through the library huggingface_hub.

    Args:
        endpoint: its address; None: the library's.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = endpoint

    def look_up(self, source: HubSource, revision: str | None) -> Listing:
        from huggingface_hub import HfApi

        with _faults():
            found: Any = HfApi(endpoint=self.endpoint).repo_info(
                source.id, repo_type=source.kind, revision=revision, files_metadata=True, timeout=_TIMEOUT_S
            )
        card: Any = getattr(found, "card_data", None)
        licence = (card.get("license_name") or card.get("license")) if card is not None else None
        files = (
            RemoteFile(one.rfilename, int(one.size or 0), one.lfs.sha256 if one.lfs else str(one.blob_id))
            for one in found.siblings or ()
        )
        return Listing(str(found.sha), tuple(files), bool(found.gated), _words(licence))

    def fill(self, source: HubSource, commit: str, file: RemoteFile, target: BinaryIO, start: int) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils._headers import build_hf_headers

        url = hf_hub_url(source.id, file.name, repo_type=source.kind, revision=commit, endpoint=self.endpoint)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        with _faults():
            http_get(
                url, target, resume_size=start, headers=headers, expected_size=file.size, displayed_filename=file.name
            )

    def has_token(self) -> bool:
        from huggingface_hub import get_token

        return get_token() is not None


class Urls:
    """Files behind ``https:`` and ``file:`` addresses."""

    def fill(self, url: str, target: BinaryIO, start: int) -> None:
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                if start and getattr(answer, "status", None) != http.client.PARTIAL_CONTENT:
                    _skip(answer, start)  # the whole file comes again
                while chunk := answer.read(_CHUNK):
                    target.write(chunk)
        except urllib.error.HTTPError as error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is left
                return
            raise RemoteFault("missing", f"HTTP {error.code}") from error
        except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise RemoteFault("connection", str(getattr(error, "reason", error)) or type(error).__name__) from error


def _skip(answer: Any, count: int) -> None:
    while count and (chunk := answer.read(min(count, _CHUNK))):
        count -= len(chunk)


def _words(licence: object) -> str | None:
    """A card's licence: a text, or several."""
    if isinstance(licence, str):
        return licence
    if isinstance(licence, Sequence):
        return ", ".join(str(one) for one in licence)
    return None


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Turn what huggingface_hub raises into a `RemoteFault`; errors of this machine's disk pass."""
    from huggingface_hub import errors

    # the HTTP client's own base class, which is another library's in each generation of huggingface_hub
    client_error: Any = errors.HfHubHTTPError.__mro__[1]
    try:
        yield
    except errors.GatedRepoError as error:
        raise RemoteFault("gated", first_line(error)) from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise RemoteFault("missing", first_line(error)) from error
    except client_error as error:
        raise RemoteFault("connection", first_line(error)) from error
    except OSError as error:  # offline mode, a broken transfer; those of the disk have a number
        if error.errno is not None and not isinstance(error, ConnectionError):
            raise
        raise RemoteFault("connection", first_line(error)) from error

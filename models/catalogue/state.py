"""What of a model is on this machine, and whether it is what was downloaded."""

from __future__ import annotations

import base64
import enum
import fnmatch
import hashlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.catalogue.contract import FileSource, HubSource, KnownModel, PackageSource, Source
from models.catalogue.lock import LockedModel, read_lock
from models.catalogue.places import Places
from models.catalogue.transfer import matches, partial

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


class State(enum.Enum):
    """Of a model on this machine."""

    PRESENT = "present"
    UNRECORDED = "present, not recorded"  # something else than semfid downloaded it
    PARTIAL = "incomplete"
    ABSENT = "absent"


@dataclass(frozen=True)
class Facts:
    """A model of the catalogue as it is here.

    Attributes:
        model: what the catalogue says.
        state: of all its sources.
        revision: the pinned or recorded commit, version or hash of its main source; None: not known yet.
        licence: None: not known yet.
        bytes: of its files, where they are recorded or installed; None: not known.
    """

    model: KnownModel
    state: State
    revision: str | None
    licence: str | None
    bytes: int | None


def facts_of(model: KnownModel, places: Places) -> Facts:
    """Look a model up.

    Raises:
        UserError: a lock file that semfid did not write.
    """
    locked = read_lock(places.lock)
    states = [state_of(source, places) for source in model.sources]
    known = [locked[source.id] for source in model.sources if source.id in locked]
    sizes = [file.size for one in known for file in one.files.values()]
    main = model.main
    if isinstance(main, PackageSource):
        sizes = [path.stat().st_size for path, _ in _installed(main) if path.is_file()]
    own = locked.get(main.id)
    return Facts(
        model,
        _joint(states),
        _revision(main, own),
        model.licence or (own.licence if own is not None else None),
        sum(sizes) if sizes and _joint(states) is not State.ABSENT else None,
    )


def state_of(source: Source, places: Places) -> State:
    """Whether a source is here, by names and sizes of its files; `wrong_files` compares hashes."""
    if isinstance(source, PackageSource):
        files = _installed(source)
        return State.PRESENT if files and all(path.is_file() for path, _ in files) else State.ABSENT
    if isinstance(source, FileSource):
        path = places.checkpoints / source.id
        if path.is_file():
            return State.PRESENT if source.id in read_lock(places.lock) else State.UNRECORDED
        return State.PARTIAL if partial(path).is_file() else State.ABSENT
    known = read_lock(places.lock).get(source.id)
    commit = source.revision or (known.revision if known is not None else None) or places.newest(source)
    if commit is None:
        return State.PARTIAL if any((places.repository(source) / "blobs").glob("*part")) else State.ABSENT
    snapshot = places.snapshot(source, commit)
    if known is not None and known.revision == commit:
        here = [_size(snapshot / name) == file.size for name, file in known.files.items()]
        return State.PRESENT if all(here) else State.PARTIAL if any(here) else State.ABSENT
    names = [path.name for path in snapshot.rglob("*") if path.is_file()]
    if any(name.endswith(_WEIGHTS) for name in names) or (source.kind == "dataset" and names):
        return State.UNRECORDED
    return State.PARTIAL if names else State.ABSENT


def wrong_files(model: KnownModel, places: Places) -> list[Path]:
    """Files of a model that are here with another content than was recorded, or than their publisher promises."""
    return [path for source in model.sources for path, right in _checked(source, places) if not right]


def _checked(source: Source, places: Places) -> Iterator[tuple[Path, bool]]:
    """Each file that is here, and whether its content is right."""
    if isinstance(source, PackageSource):
        for path, digest in _installed(source):
            if path.is_file():
                yield path, matches(path, digest)
        return
    known = read_lock(places.lock).get(source.id)
    if isinstance(source, FileSource):
        path = places.checkpoints / source.id
        if path.is_file():
            yield path, matches(path, known.files[source.id].sha256 if known is not None else source.sha256)
        return
    commit = source.revision or (known.revision if known is not None else None) or places.newest(source)
    if commit is None:
        return
    snapshot = places.snapshot(source, commit)
    if known is not None and known.revision == commit:
        for name, file in known.files.items():
            if (snapshot / name).is_file():
                yield snapshot / name, matches(snapshot / name, file.sha256)
        return
    for path in sorted(snapshot.rglob("*")):  # the cache names content by its hash
        content = path.resolve()
        if path.is_file() and content.parent.name == "blobs":
            yield path, matches(content, content.name)


def _installed(source: PackageSource) -> list[tuple[Path, str]]:
    """The model files of an installed package with their sha256 in hex; empty where it is not installed."""
    try:
        files = importlib.metadata.files(source.id) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [
        (Path(str(file.locate())), base64.urlsafe_b64decode(file.hash.value + "==").hex())
        for file in files
        if file.hash is not None
        and file.hash.mode in hashlib.algorithms_available
        and any(fnmatch.fnmatchcase(str(file), pattern) for pattern in source.patterns)
    ]


def _revision(source: Source, locked: LockedModel | None) -> str | None:
    if isinstance(source, HubSource):
        return source.revision or (locked.revision if locked is not None else None)
    if isinstance(source, FileSource):
        return f"sha256 {locked.files[source.id].sha256 if locked is not None else source.sha256}"
    try:
        return importlib.metadata.version(source.id)
    except importlib.metadata.PackageNotFoundError:
        return None


def _joint(states: list[State]) -> State:
    """Of a model, by those of its sources."""
    for state in (State.PARTIAL, State.ABSENT):
        if state in states:
            mixed = state is State.ABSENT and len(set(states)) > 1
            return State.PARTIAL if mixed else state
    return State.UNRECORDED if State.UNRECORDED in states else State.PRESENT


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1

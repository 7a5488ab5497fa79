"""The one way to list the images of a folder.

Left out, counted and said: hidden names, the helper folders of disks and file managers (their thumbnails are images too),
links that lead nowhere or to a folder that is listed already. Links to other folders are followed. Names are compared in
Unicode NFC: macOS writes an accent as a character of its own.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENDINGS = frozenset(
    (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
        ".gif", ".jp2", ".avif", ".heic",
    )
)  # fmt: skip
"""What image files are called, in lower case; what is inside is another question (`decoding`)."""
HELPERS = frozenset(
    (
        "@eadir", "@tmp", "@sharesnap", "#recycle", "#snapshot",  # Synology
        "@recycle", "@recently-snapshot", "@transcode", "@__thumb",  # QNAP
        "__macosx", "network trash folder", "temporary items",  # macOS
        "$recycle.bin", "recycler", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini",  # Windows
        "lost+found", "_gsdata_", "__pycache__",
    )
)  # fmt: skip
"""Names in lower case that no user chose."""
NAMED = 3  # names that a summary gives of one kind
_Identity = tuple[int, int]


@dataclass(frozen=True)
class LeftOut:
    """Something that is not listed.

    Attributes:
        path: of it.
        why: ``hidden``, ``helper``, ``broken`` (a link), ``round`` (a link to a folder that is listed already, or that the
            listed one lies in) or ``unreadable``.
        images: number of image files in it, links aside.
    """

    path: Path
    why: str
    images: int = 0


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        root: the folder.
        paths: image files, sorted by their parts.
        others: visible files of other endings.
        left_out: in the order in which it was met.
    """

    root: Path
    paths: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def summary(self) -> str:
        """One line of what was left out, ``HQ: left out 4 images in @eaDir, 1 hidden image``; empty where it is nothing that
        a user could miss.
        """
        told = []
        for name in dict.fromkeys(one.path.name for one in self.left_out if one.why == "helper"):
            count = sum(one.images for one in self.left_out if one.path.name == name)
            told += [f"{_number(count, 'image')} in {name}"] if count else []
        hidden = sum(one.images for one in self.left_out if one.why == "hidden")
        told += [_number(hidden, "hidden image")] if hidden else []
        for why, one, behind in (
            ("broken", "link", "nowhere"),
            ("round", "link", "to a folder that is listed already"),
            ("unreadable", "folder", "that cannot be read"),
        ):
            names = [left.path.name for left in self.left_out if left.why == why]
            verb = " that leads" if len(names) == 1 else " that lead"
            more = ", ..." if len(names) > NAMED else ""
            lead = "" if why == "unreadable" else verb
            told += [f"{_number(len(names), one)}{lead} {behind} ({', '.join(names[:NAMED])}{more})"] if names else []
        return f"{self.root}: left out {', '.join(told)}" if told else ""


def list_images(
    root: Path, deep: bool = True, apart: Path | None = None, endings: Collection[str] = ENDINGS
) -> Listing:
    """The images of a folder.

    Args:
        deep: with all folders in it.
        apart: a folder that is passed over where it lies in `root` (the other side of a comparison).
        endings: of image files, in lower case.

    Raises:
        OSError: `root` itself cannot be read.
    """
    walk = _Walk(Listing(root), deep, endings)
    own = _identity(root)
    skipped = None if apart is None else _identity(apart)
    walk.apart = None if skipped == own else skipped
    with os.scandir(root):
        pass  # what hinders reading it is an error here; below, it is left out
    walk.run()
    for paths in (walk.listing.paths, walk.listing.others):
        paths.sort(key=lambda path: path.parts)
    return walk.listing


def unlisted(name: str) -> bool:
    """Whether a file or folder of this name is passed over."""
    return name.startswith(".") or name.lower() in HELPERS


def nfc(text: str) -> str:
    """A name in the form in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def on_disk(path: Path) -> Path:
    """A path in the spelling of the disk, where one that is equal in NFC is there; else as it is."""
    if str(path).isascii() or os.path.exists(path) or path.parent == path:
        return path
    folder, wanted = on_disk(path.parent), nfc(path.name)
    try:
        found = next((name for name in os.listdir(folder) if nfc(name) == wanted), None)
    except OSError:
        found = None
    return path if found is None else folder / found


class _Walk:
    """Folders first, so that an image is listed under its own path; then the folders that links lead to."""

    def __init__(self, listing: Listing, deep: bool, endings: Collection[str]) -> None:
        self.listing, self.deep, self.endings = listing, deep, endings
        self.apart: _Identity | None = None
        self._seen: set[_Identity] = set()
        self._links: list[Path] = []

    def run(self) -> None:
        self._folder(self.listing.root)
        real = self.listing.root.resolve()
        while self._links:
            link = self._links.pop(0)
            identity = _identity(link)
            if identity == self.apart:
                continue
            if identity in self._seen or real.is_relative_to(link.resolve()):
                self._leave(link, "round")
            else:
                self._folder(link)

    def _folder(self, top: Path) -> None:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            identity = _identity(folder)
            if identity == self.apart:
                continue
            if identity in self._seen:  # below a link, a folder that another link led to
                self._leave(folder, "round")
                continue
            self._seen.add(identity)
            try:
                with os.scandir(folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError:
                self._leave(folder, "unreadable")
                continue
            waiting += [path for entry in found if (path := self._entry(folder, entry)) is not None]

    def _entry(self, folder: Path, entry: os.DirEntry[str]) -> Path | None:
        """Put an entry where it belongs; returns a folder that is to be read."""
        path = folder / entry.name
        if unlisted(entry.name):
            why = "helper" if entry.name.lower() in HELPERS else "hidden"
            self.listing.left_out.append(LeftOut(path, why, sum(1 for _ in self._images_in(path))))
        elif entry.is_dir(follow_symlinks=False):
            return path if self.deep else None
        elif entry.is_file(follow_symlinks=False) or os.path.isfile(path):
            kind = self.listing.paths if path.suffix.lower() in self.endings else self.listing.others
            kind.append(path)
        elif os.path.isdir(path):
            self._links += [path] if self.deep else []
        elif entry.is_symlink():
            self._leave(path, "broken")
        return None

    def _leave(self, path: Path, why: str) -> None:
        self.listing.left_out.append(LeftOut(path, why))

    def _images_in(self, path: Path) -> Iterator[str]:
        """Images that a helper folder holds, or the hidden image itself."""
        if not os.path.isdir(path) or os.path.islink(path):
            yield from [path.name] if path.suffix.lower() in self.endings else []
            return
        for _, _, names in os.walk(path):
            yield from (name for name in names if os.path.splitext(name)[1].lower() in self.endings)


def _identity(folder: Path) -> _Identity:
    """Of the folder itself, whatever path leads to it."""
    try:
        stat = os.stat(folder)
    except OSError:
        return -1, hash(folder)  # went away meanwhile: reading it will say so
    return stat.st_dev, stat.st_ino


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

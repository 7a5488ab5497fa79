"""Captions of whole pictures, kept on disk by picture, captioner and prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from models.captioners.contract import Captioner
from models.captioners.errors import LabelError
from semfid.errors import ImageError, UserError
from semfid.io.files import write_whole
from semfid.io.images import pixel_hash
from semfid.io.jsonl import SharedLines
from semfid.io.vector_cache import folder_name
from semfid.progress import Advance

CAPTIONS = Path(".cache/captions")


class CaptionCache:
    """Every process writes a file of its own, line by line: any number may work on one folder, and may be killed.

        <root>/<captioner>-<hash>/settings.json   captioner and prompt
        <root>/<captioner>-<hash>/*.jsonl         {"image": <pixel hash>, "caption": "..."}

    Args:
        root: folder of the cache.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, dict[str, str]] = {}
        self._own: dict[Path, SharedLines] = {}

    def known(self, identity: str, prompt: str) -> Mapping[str, str]:
        """Captions by picture: those on disk at the first call, and those added since.

        Raises:
            UserError: a file that this did not write.
        """
        folder = self._folder(identity, prompt)
        if folder not in self._known:
            found: dict[str, str] = {}
            for line in SharedLines(folder).read():
                image, caption = line.get("image"), line.get("caption")
                if not (isinstance(image, str) and isinstance(caption, str)):
                    raise UserError(f"{folder} holds {line}, which is no caption; remove the folder")
                found.setdefault(image, caption)
            self._known[folder] = found
        return self._known[folder]

    def add(self, identity: str, prompt: str, captions: Mapping[str, str]) -> None:
        """Keep captions, on the disk when this returns.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        folder = self._folder(identity, prompt)
        self.known(identity, prompt)
        if folder not in self._own:
            settings = json.dumps({"captioner": identity, "prompt": prompt}, ensure_ascii=False, indent=1)
            write_whole(folder / "settings.json", f"{settings}\n".encode())
            self._own[folder] = SharedLines(folder)
        self._own[folder].append([{"image": image, "caption": text} for image, text in captions.items()])
        self._known[folder].update(captions)

    def _folder(self, identity: str, prompt: str) -> Path:
        return self.root / folder_name(f"{identity}\n{prompt}")


def caption_images(
    captioner: Captioner, images: Sequence[Image.Image], prompt: str, cache: CaptionCache | None
) -> list[str]:
    """As `Captioner.caption`; each distinct picture is captioned once, and never again where the cache holds it.

    Args:
        cache: such as ``CaptionCache(models.captioners.cache.CAPTIONS)``; None: nothing is kept.

    Raises:
        LabelError: a picture that cannot be captioned.
    """
    names = [pixel_hash(image) for image in images]
    captions, faults = caption_pictures(captioner, names, lambda place: images[place], prompt, cache)
    for fault in faults.values():
        raise LabelError(fault)
    return [captions[name] for name in names]


def caption_pictures(
    captioner: Captioner,
    names: Sequence[str],
    read: Callable[[int], Image.Image],
    prompt: str,
    cache: CaptionCache | None,
    advance: Advance | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """The same for pictures that are read as they are needed; a fault of one of them is not the others'.

    Args:
        names: `images.pixel_hash` of each.
        read: the picture at a place of `names`.
        advance: told after each batch how many of the missing captions are done.

    Returns:
        Captions by name, which may be empty; and what is wrong with the pictures that have none.
    """
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        first.setdefault(name, place)
    known = cache.known(captioner.identity, prompt) if cache is not None else {}
    captions = {name: known[name] for name in first if name in known}
    faults: dict[str, str] = {}
    missing = [name for name in first if name not in captions]
    for start in range(0, len(missing), captioner.batch_size):
        images: dict[str, Image.Image] = {}
        for name in missing[start : start + captioner.batch_size]:
            try:
                images[name] = read(first[name])
            except ImageError as error:
                faults[name] = str(error)
        fresh = _caption(captioner, images, prompt, faults)
        captions |= fresh
        if cache is not None and fresh:
            cache.add(captioner.identity, prompt, fresh)
        if advance is not None:
            advance(min(start + captioner.batch_size, len(missing)), len(missing))
    return captions, faults


def _caption(
    captioner: Captioner, images: Mapping[str, Image.Image], prompt: str, faults: dict[str, str]
) -> dict[str, str]:
    try:
        return dict(zip(images, captioner.caption(list(images.values()), prompt), strict=True))
    except LabelError as error:
        if len(images) == 1:
            faults[next(iter(images))] = str(error)
            return {}
    found: dict[str, str] = {}
    for name, image in images.items():
        found |= _caption(captioner, {name: image}, prompt, faults)
    return found

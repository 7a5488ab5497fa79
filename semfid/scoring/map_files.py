"""The maps of a scoring as files: raw differences, and pictures of them on one scale over the folder.

| file | holds | says that |
|---|---|---|
| `<name>_map.npy` | float32 differences, (H, W) of the images that were scored | |
| `<name>_map.png` | the same as 8-bit grey levels, 255 = 1: the pair table's form | the raw map is there, and by which method |
| `<name>_heat.png` | heat map with its colour bar | |
| `<name>_overlay.png` | the candidate with the map over it, and the colour bar | the pair is drawn, and on which scale |

They are written in this order, each by rename. What a file says stands in its PNG text chunks.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from semfid.errors import UserError
from semfid.io.arrays import load_array
from semfid.io.decoding import FAULTS
from semfid.io.file_pairs import FilePair
from semfid.io.files import write_whole
from semfid.io.fitting import crop_of, cut
from semfid.io.images import read_image, resize_image
from semfid.progress import Advance
from semfid.scoring.folder import Scored
from semfid.scoring.heatmap import colours, grey, overlay, with_colour_bar
from semfid.scoring.results import Method
from semfid.scoring.score_settings import ScoreSettings

MADE_BY, SCALE = "semfid-method", "semfid-scale"  # keys of the text chunks
AUTO_SHARE = 0.999  # of the pixels that an automatic scale leaves below its top
FIX = "choose another --map"
KINDS = ("map.npy", "map.png", "heat.png", "overlay.png")
LONGEST = 255 - len("._.tmp") - max(len(kind) for kind in KINDS)  # bytes of a name, of the 255 that disks allow
_LEVELS = 1 << 15  # non-negative float16 numbers, in order


def parse_scale(text: str) -> float | None:
    """Top of the scale out of what a user writes; None is automatic.

    Raises:
        UserError: neither unit, nor auto, nor a positive number.
    """
    if text in ("unit", "auto"):
        return 1.0 if text == "unit" else None
    try:
        top = float(text)
    except ValueError:
        top = 0.0
    if not 0.0 < top < float("inf"):
        raise UserError(f"--map-scale {text}: give unit (0 to 1), auto, or a number above 0")
    return top


class MapFolder:
    """A folder of maps that is being made, or gone on with.

    Args:
        folder: made where it is missing.
        top: of the scale; None: the 99.9th percentile over all maps, known when all are there.
        method: that makes the maps; maps by another one are made again.
    """

    def __init__(self, folder: Path, top: float | None, method: Method) -> None:
        self.folder, self.top = folder, top
        self._made_by = hashlib.sha256(method.words().encode()).hexdigest()[:16]

    def holds(self, pair: FilePair) -> bool:
        """Whether the raw map of a pair is there, by this method."""
        raw, table, *_ = self.files(pair)
        return raw.is_file() and _text(table, MADE_BY) == self._made_by

    def add(self, scored: Scored) -> None:
        """Write a pair's raw map, and its pictures where the scale is known.

        Raises:
            UserError: the folder cannot be written.
        """
        assert scored.map is not None and scored.picture is not None
        raw, table, *pictures = self.files(scored.pair)
        self._remove(table, *pictures)  # of an earlier scoring: they say what is no longer so
        values = scored.map.astype(np.float32)
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        write_whole(raw, buffer.getvalue(), FIX)
        _put_picture(table, grey(values), MADE_BY, self._made_by)
        if self.top is not None:
            self._draw(scored.pair, values, scored.picture, self.top)

    def finish(self, pairs: Iterable[FilePair], settings: ScoreSettings, advance: Advance) -> float:
        """Draw what is not drawn on the folder's scale, from the raw maps.

        Args:
            pairs: of the folder; those without a raw map failed and are left out.
            settings: that they were scored with.
            advance: called after each pair.

        Returns:
            the top of the scale.

        Raises:
            UserError: a raw map that is damaged, an image that is gone, a folder that cannot be written.
        """
        held = [pair for pair in pairs if self.holds(pair)]
        top = self.top if self.top is not None else self._percentile(held)
        for number, pair in enumerate(held, start=1):
            if _text(self.files(pair)[3], SCALE) != f"{top:.6g}":
                image = cut(read_image(pair.candidate), crop_of(pair.reference, pair.candidate, settings.fit))
                image = resize_image(image, settings.image_size or 0, settings.resize)
                self._draw(pair, self._raw(pair), np.asarray(image), top)
            advance(number, len(held))
        return top

    def files(self, pair: FilePair) -> tuple[Path, Path, Path, Path]:
        """In subfolders as the candidates are, in the order of `KINDS`. No two pairs share a file, and none lies outside the
        folder: what a name should not hold is written as %2E. Names that disks refuse for their length end in a hash.
        """
        parts = [
            _short(re.sub(r"^\.|[^\w.=+ -]", lambda found: f"%{ord(found[0]):02X}", part) or "%")
            for part in pair.pair_id.split("/")
        ]
        place = self.folder.joinpath(*parts[:-1])
        raw, table, heat, laid = (place / f"{parts[-1]}_{kind}" for kind in KINDS)
        return raw, table, heat, laid

    def _remove(self, *files: Path) -> None:
        for path in files:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"cannot write {path}: {error.strerror}; {FIX}") from error

    def _draw(self, pair: FilePair, values: NDArray[np.float32], picture: NDArray[np.uint8], top: float) -> None:
        _, _, heat, laid = self.files(pair)
        _put_picture(heat, with_colour_bar(colours(values, top), top), SCALE, f"{top:.6g}")
        _put_picture(laid, with_colour_bar(overlay(picture, values, top), top), SCALE, f"{top:.6g}")

    def _raw(self, pair: FilePair) -> NDArray[np.float32]:
        path = self.files(pair)[0]
        try:
            return np.asarray(load_array(path), dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} cannot be read; remove it and score again") from error

    def _percentile(self, pairs: Iterable[FilePair]) -> float:
        """Of all pixels of all maps together, to the precision of float16, in memory that does not grow with them; 1 where
        nothing differs.
        """
        counts = np.zeros(_LEVELS, dtype=np.int64)
        for pair in pairs:
            values = np.nan_to_num(self._raw(pair)).clip(0.0, 65504.0).astype(np.float16)
            counts += np.bincount(np.abs(values).view(np.uint16).ravel(), minlength=_LEVELS)
        below = np.searchsorted(np.cumsum(counts), AUTO_SHARE * counts.sum())
        top = float(np.array([below], dtype=np.uint16).view(np.float16)[0]) if counts.any() else 0.0
        return top or 1.0


def _short(name: str) -> str:
    """A name that leaves room for the longest of `KINDS`; equal only for equal names."""
    whole = name.encode(errors="surrogateescape")
    if len(whole) <= LONGEST:
        return name
    digest = hashlib.sha256(whole).hexdigest()[:16]
    return f"{whole[: LONGEST - len(digest) - 1].decode(errors='ignore')}~{digest}"


def _text(path: Path, key: str) -> str:
    """A text chunk of a PNG; empty where there is no such file or chunk."""
    try:
        with Image.open(path) as image:
            return str(image.info.get(key, ""))
    except FAULTS:
        return ""


def _put_picture(path: Path, pixels: NDArray[np.uint8], key: str, value: str) -> None:
    info, buffer = PngInfo(), io.BytesIO()
    info.add_text(key, value)
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    write_whole(path, buffer.getvalue(), FIX)

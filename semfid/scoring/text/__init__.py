"""What is written in a picture, and what became of it in another. Needs the extra: ``pip install 'semfid[text]'``.

| file | idea |
|---|---|
| models | where the OCR networks lie; sessions of onnxruntime |
| boxes | rotated rectangles around the regions of a text map |
| reading | finding lines, cutting them out, reading them |
| lines | several readings of a line as one network, and what aligns with it |
| compare | the words of two images: kept, changed, lost, gained |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semfid.errors import UserError
from semfid.io.images import read_image
from semfid.scoring.text.models import missing

if TYPE_CHECKING:
    from semfid.scoring.text.compare import TextChange, TextComparer, Word

Picture = str | Path | Image.Image | NDArray[np.uint8]
SHOWN = 5  # words that `describe` names


def available() -> bool:
    """Whether the extra is installed and this Python can have it; `missing` says why not."""
    return not missing()


def text_comparer() -> TextComparer:
    """The OCR networks, loaded: to be kept for many pairs.

    Raises:
        UserError: the extra is not installed.
    """
    why = missing()
    if why:
        raise UserError(why)
    from semfid.scoring.text.compare import TextComparer
    from semfid.scoring.text.reading import Reader

    return TextComparer(Reader())


def compare_text(
    reference: Picture, candidate: Picture, comparer: TextComparer | None = None, gained: bool = True
) -> TextChange:
    """What became of the reference's words.

    Args:
        reference, candidate: files, pictures, or (H, W, 3) uint8 RGB, of one size.
        comparer: of `text_comparer`; it reads a reference once for all its candidates. None loads the networks anew.
        gained: whether words that only the candidate has are looked for; they change no number, and cost half a second.

    Raises:
        UserError: the extra is not installed, a file that is no image, an array that is none, sizes that differ.
    """
    comparer = comparer or text_comparer()
    return comparer(_picture(reference, "reference"), _picture(candidate, "candidate"), gained)


def _picture(given: Picture, what: str) -> Image.Image:
    if isinstance(given, Image.Image):
        return given.convert("RGB")
    if isinstance(given, np.ndarray):
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or not given.size:
            raise UserError(f"text: the {what} is {given.dtype} {given.shape}; give (H, W, 3) uint8 RGB, or a path")
        return Image.fromarray(given)
    return read_image(given)


def describe(change: TextChange) -> str:
    """One line: ``text: OUTDOOR -> SUTOOOR (changed), EXIT (lost); 3 words kept``."""
    told = [word for word in change.words if word.status != "kept"]
    told.sort(key=lambda word: -word.weight * word.difference)  # stable: equal ones from top to bottom
    kept = len(change.words) - len(told)
    if not told:
        return f"text: {_words(kept)} kept" if kept else "text: none that can be read in the reference"
    more = f", and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    rest = f"; {_words(kept)} kept" if kept else ""
    return f"text: {', '.join(_told(word) for word in told[:SHOWN])}{more}{rest}"


def _told(word: Word) -> str:
    if word.status == "changed":
        return f"{word.reference} -> {word.candidate} (changed)"
    return f"{word.reference or word.candidate} ({word.status})"


def _words(count: int) -> str:
    return f"{count} word{'s' * (count != 1)}"

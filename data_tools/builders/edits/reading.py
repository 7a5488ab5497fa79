"""Where a photo has text, and what it says: OCR behind a small interface, for edits of text."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semfid.errors import UserError
from semfid.scoring.text.models import missing

AUTO = "auto"
LEAST_HEIGHT = 11.0  # pixels of a line: less cannot be read by people either
LEAST_SIGNS = 3  # letters and digits
LEAST_CONFIDENCE = 0.7  # mean over the characters


@dataclass(frozen=True)
class Line:
    """A line of text.

    Attributes:
        corners: x and y of the upper left, upper right, lower right and lower left corner, as the text is read.
        text: what it says; empty where the reader only finds text.
    """

    corners: tuple[tuple[float, float], ...]
    text: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width along the text and height across it, in pixels."""
        corners = np.asarray(self.corners)
        along, across = corners[1] - corners[0], corners[3] - corners[0]
        return float(np.hypot(*along)), float(np.hypot(*across))


class FindText(Protocol):
    """Finds lines of text.

    Attributes:
        identity: models and settings that decide what is found.
    """

    identity: str

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Line]:
        """The lines of a picture (H, W, 3) RGB that can be read."""
        ...


def reader_of(name: str | None) -> tuple[FindText | None, str]:
    """The reader of a setting, and why there is none.

    Args:
        name: ``auto``: the OCR of the extra ``text`` where it is installed; ``module:object``: a `FindText` of your own; None:
            none.

    Raises:
        UserError: no such object.
    """
    if name is None:
        return None, "ocr is null"
    if name == AUTO:
        why = missing()
        return (None, why) if why else (_Ocr(), "")
    module, colon, attribute = name.partition(":")
    try:
        if not colon:
            raise AttributeError("it has no colon")
        found: FindText = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"ocr={name} is neither {AUTO}, null nor module:object ({error}); check the name") from error
    if not callable(found) or not isinstance(getattr(found, "identity", None), str):
        raise UserError(
            f"ocr={name} must be callable and have a text `identity`; see data_tools.builders.edits.reading.FindText"
        )
    return found, ""


class _Ocr:
    """PP-OCRv4 of `semfid.scoring.text`; loaded when made."""

    def __init__(self) -> None:
        from semfid.scoring.text.reading import Reader

        self._reader: Any = Reader()
        limits = f"{LEAST_HEIGHT:g} {LEAST_SIGNS} {LEAST_CONFIDENCE:g}"
        self.identity = f"{self._reader.identity} {limits}"

    def __call__(self, picture: NDArray[np.uint8]) -> list[Line]:
        from PIL import Image

        from semfid.scoring.text.reading import CROPS, cut

        image, found = Image.fromarray(picture), []
        for box in self._reader.boxes(image):
            box = self._reader.upright(image, box)
            if box.height < LEAST_HEIGHT:
                continue
            reading = self._reader.read(cut(image, box, CROPS[0]))
            if sum(sign.isalnum() for sign in reading.text) >= LEAST_SIGNS and reading.mean >= LEAST_CONFIDENCE:
                corners = tuple((round(float(x), 2), round(float(y), 2)) for x, y in box.corners())
                found.append(Line(corners, reading.text))
        return found

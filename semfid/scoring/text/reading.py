"""Finding and reading of text in an image: PP-OCRv4's two networks, with what goes before and after them.

Detection is differentiable binarisation (arXiv 1911.08947): a map of text, and rectangles around its regions. Recognition (SVTR,
arXiv 2205.00159) gives the characters of one rectangle by connectionist temporal classification: a class for each of T steps
along the line, repeated classes and blanks left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semfid.scoring.text.boxes import Box, boxes_of
from semfid.scoring.text.models import DETECTION, RECOGNITION, OnnxNetwork, model_path

Floats = NDArray[np.float32]

SIDE = 1024  # the shorter side that small images are brought to for detection; PP-OCR has 736, which misses small text
LONGEST = 2048  # larger images are reduced for detection only
STRIDE = 32  # of the detection network
MAP_THRESHOLD, LEAST_SCORE, GROW = 0.3, 0.5, 1.6  # PP-OCR's own
LINE_HEIGHT, LINE_WIDTH = 48, 320  # of the recognition network: exactly, and at least
UPRIGHT = 1.5  # a box so many times as high as wide holds text that runs up or down (PP-OCR)
ALSO = 0.1  # probability of a character that may be meant, too
LONGEST_LINE = 3200  # pixels at height 48: a longer one is squeezed


@dataclass(frozen=True)
class Reading:
    """What the network reads in one crop.

    Attributes:
        text: the characters.
        confidence: of each, in [0, 1].
        at: the middle of each, as a share of the line's width.
        others: at each, the characters that the network also gives a tenth or more.
    """

    text: str
    confidence: tuple[float, ...]
    at: tuple[float, ...]
    others: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean confidence; 0 without characters."""
        return sum(self.confidence) / len(self.confidence) if self.confidence else 0.0


@dataclass(frozen=True)
class Crop:
    """One way to cut a line out of an image.

    Attributes:
        along, across: the box, so many times as long and high.
        stretch: the crop, so many times as wide.
        reduce: the crop, to this share of its resolution.
    """

    along: float
    across: float
    stretch: float
    reduce: float = 1.0


# A reading that depends on the crop is uncertain. The last one says what is left of it in a slightly poorer picture.
CROPS = (Crop(1, 1, 1), Crop(1, 1, 1.5), Crop(1.04, 1.15, 1.2), Crop(1, 0.85, 1), Crop(1, 1, 1.2, 0.7))


class Reader:
    """Finds lines of text and reads them. Loads two networks (15 MB) when made.

    Args:
        folder: of the two ONNX files under PP-OCRv4's names; None: those of the installed rapidocr-onnxruntime.
        side: pixels that the shorter side of small images is brought to for detection.

    Raises:
        UserError: the models are not there.
    """

    def __init__(self, folder: Path | None = None, side: int = SIDE) -> None:
        self.detection = OnnxNetwork(model_path(DETECTION, folder))
        self.recognition = OnnxNetwork(model_path(RECOGNITION, folder))
        self.characters = self.recognition.characters()
        self.side = side
        self.identity = f"ppocr-{self.detection.digest}-{self.recognition.digest}-{side}"

    def boxes(self, image: Image.Image) -> list[Box]:
        """Boxes of lines of text, from top to bottom."""
        factor = max(1.0, self.side / min(image.size))
        factor = min(factor, max(LONGEST / max(image.size), STRIDE / min(image.size)))
        width, height = (max(STRIDE, round(side * factor / STRIDE) * STRIDE) for side in image.size)
        probability = self.detection(_planes(image.resize((width, height), Image.Resampling.BILINEAR)))[0, 0]  # (h, w)
        found = boxes_of(probability, MAP_THRESHOLD, LEAST_SCORE, GROW)
        scaled = [box.scaled(image.width / width, image.height / height) for box in found]
        return sorted(scaled, key=lambda box: (round(box.y), box.x))

    def readings(self, image: Image.Image, box: Box) -> Iterator[Reading]:
        """Readings of a box, one for each of `CROPS`, as they are asked for.

        A box with text that runs up or down has to be turned (`upright`) before.
        """
        for crop in CROPS:
            yield self.read(cut(image, box, crop))

    def upright(self, image: Image.Image, box: Box) -> Box:
        """A box that is much higher than wide, turned the way that reads better; any other as it is."""
        if box.height < UPRIGHT * box.width:
            return box
        ways = [Box(box.x, box.y, box.height, box.width, box.angle + turn) for turn in (math.pi / 2, -math.pi / 2)]
        return max(ways, key=lambda way: self.read(cut(image, way, CROPS[0])).mean)

    def read(self, line: Image.Image) -> Reading:
        """What is read in the picture of one line."""
        width = min(LONGEST_LINE, max(1, math.ceil(LINE_HEIGHT * line.width / line.height)))
        planes = np.zeros((1, 3, LINE_HEIGHT, max(LINE_WIDTH, width)), np.float32)  # grey to the right
        planes[..., :width] = _planes(line.resize((width, LINE_HEIGHT), Image.Resampling.BILINEAR))
        return decode(self.recognition(planes)[0], self.characters, planes.shape[3] / width)


def decode(steps: Floats, characters: list[str], extent: float) -> Reading:
    """The best class of each step, repetitions and blanks left out.

    Args:
        steps: (T, classes) probabilities.
        characters: what the classes stand for; class 0 is the blank.
        extent: width of what the steps cover, in widths of the line.
    """
    best, confidence = steps.argmax(axis=1), steps.max(axis=1)
    fresh = best != 0
    fresh[1:] &= best[1:] != best[:-1]
    places = np.nonzero(fresh)[0]
    return Reading(
        "".join(characters[best[place]] for place in places),
        tuple(float(confidence[place]) for place in places),
        tuple(min(1.0, float((place + 0.5) / len(steps) * extent)) for place in places),
        tuple(_others(steps[place], int(best[place]), characters) for place in places),
    )


def _others(step: Floats, best: int, characters: list[str]) -> str:
    return "".join(characters[other] for other in np.flatnonzero(step >= ALSO) if other != best)


def cut(image: Image.Image, box: Box, crop: Crop) -> Image.Image:
    """The picture of a box, level, in pixels of the image."""
    box = Box(box.x, box.y, box.width * crop.along, box.height * crop.across, box.angle)
    width, height = max(1, round(box.width)), max(1, round(box.height))
    corners = box.corners()
    right, down = (corners[1] - corners[0]) / width, (corners[3] - corners[0]) / height
    matrix = (right[0], down[0], corners[0][0], right[1], down[1], corners[0][1])
    line = image.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    if crop.stretch == crop.reduce == 1.0:
        return line
    reduced = max(1, round(width * crop.stretch * crop.reduce)), max(1, round(height * crop.reduce))
    return line.resize(reduced, Image.Resampling.BICUBIC)


def _planes(image: Image.Image) -> Floats:
    """(1, 3, H, W) in [-1, 1], blue first, as PP-OCR's networks were trained."""
    pixels = np.asarray(image, dtype=np.float32)[:, :, ::-1]  # (H, W, 3)
    return np.ascontiguousarray((pixels / 127.5 - 1.0).transpose(2, 0, 1)[None])

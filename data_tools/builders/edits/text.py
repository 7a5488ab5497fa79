"""Edits of text: the glyphs of a line redrawn as other words, or put in another order."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_tools.builders.core.masks import pasted
from data_tools.builders.edits.contract import Edit, NotPossible, Task, Tools

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
FONT_SIZE = 64  # pixels at which glyphs are drawn before they are fitted
LEAST_CONTRAST = 25.0  # grey levels between ink and ground
VOWELS, CONSONANTS, DIGITS = "aeiouy", "bcdfghklmnprstvwz", "0123456789"


def text(task: Task, tools: Tools) -> Edit:
    """One line of text says something else."""
    line, rng = task.text_line, task.rng
    width, height = (max(4, round(side)) for side in line.size)
    flat = np.asarray([[0, 0], [width, 0], [width, height]], np.float32)
    there = np.asarray(
        cv2.getAffineTransform(np.asarray(line.corners[:3], np.float32), flat), np.float64
    )  # photo -> line
    level = np.asarray(cv2.warpAffine(task.scene.picture, there, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    ink, ground = inked(level)
    glyphs = runs(ink)
    how = "reordered" if len(glyphs) >= 4 and rng.random() < 0.5 else "redrawn"
    words = ""
    if how == "reordered":
        changed = reordered(level, ground, glyphs, rng)
    else:
        words = other_words(line.text or "text", rng)
        changed = redrawn(level, ink, ground, words)
    return _put_back(task, changed, there, {"operation": how, "words_before": line.text, "words_after": words})


def _put_back(task: Task, level: Bytes, there: NDArray[np.floating], facts: dict[str, str]) -> Edit:
    """The altered line in its place in the photo."""
    picture = task.scene.picture
    size, back = (picture.shape[1], picture.shape[0]), cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    layer = np.asarray(cv2.warpAffine(level, there, size, flags=back, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    full = np.full(level.shape[:2], 255, np.uint8)
    alpha = np.asarray(cv2.warpAffine(full, there, size, flags=back, borderMode=cv2.BORDER_CONSTANT), np.uint8)
    return Edit(pasted(picture, layer, alpha), alpha > 0, alpha > 127, facts=facts)


def inked(level: Bytes) -> tuple[Mask, Bytes]:
    """(h, w) where a level line (h, w, 3) has ink, and the line without it.

    Raises:
        NotPossible: ink and ground are too alike, or the ink is nearly everything or nothing.
    """
    grey = cv2.cvtColor(level, cv2.COLOR_RGB2GRAY)
    threshold, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = np.asarray(dark, bool) if float((rim > threshold).mean()) >= 0.5 else ~np.asarray(dark, bool)
    share = float(ink.mean())
    if not 0.03 <= share <= 0.75:
        raise NotPossible(f"no ink can be told from the ground of the text (it would be {share:.0%})")
    if abs(float(np.median(grey[ink])) - float(np.median(grey[~ink]))) < LEAST_CONTRAST:
        raise NotPossible("the text has too little contrast")
    wide = cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8))
    return ink, np.asarray(cv2.inpaint(level, wide, 3, cv2.INPAINT_TELEA), np.uint8)


def runs(ink: Mask) -> list[tuple[int, int]]:
    """First and last column (the latter outside) of each run of columns with ink: glyphs, as far as they stand apart."""
    inside = np.concatenate([[False], ink.any(axis=0), [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def reordered(level: Bytes, ground: Bytes, glyphs: list[tuple[int, int]], rng: np.random.Generator) -> Bytes:
    """The line with its glyphs in another order, some of them mirrored; the gaps between them stay.

    Args:
        ground: the line without ink.
        glyphs: of `runs`, two or more.
    """
    order = rng.permutation(len(glyphs))
    if (order == np.arange(len(glyphs))).all():
        order = np.roll(order, 1)
    result, x = ground.copy(), glyphs[0][0]
    for place, index in enumerate(order):
        start, end = glyphs[index]
        glyph = level[:, start:end]
        if rng.random() < 0.3:
            glyph = glyph[:, ::-1]
        stop = min(x + end - start, level.shape[1])
        result[:, x:stop] = glyph[:, : stop - x]
        gap = glyphs[place + 1][0] - glyphs[place][1] if place + 1 < len(glyphs) else 0
        x = stop + gap
    return result


def redrawn(level: Bytes, ink: Mask, ground: Bytes, words: str) -> Bytes:
    """Words drawn in the ink's colour over the ground, as wide and high as the ink was."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    font = ImageFont.load_default(FONT_SIZE)
    left, top, right, bottom = (round(side) for side in font.getbbox(words))
    canvas = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(canvas).text((-left, -top), words, 255, font)
    drawn = cv2.resize(np.asarray(canvas), (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    alpha = np.zeros(ink.shape, np.uint8)
    alpha[y0:y1, x0:x1] = drawn
    alpha = np.asarray(
        cv2.GaussianBlur(alpha, (0, 0), max(0.3, 0.02 * len(ink))), np.uint8
    )  # photos are softer than fonts
    solid = np.asarray(cv2.erode(ink.astype(np.uint8), np.ones((2, 2), np.uint8)), bool)
    colour = np.median(level[solid if solid.any() else ink], axis=0)
    return pasted(ground, np.broadcast_to(np.rint(colour).astype(np.uint8), level.shape), alpha)


def other_words(words: str, rng: np.random.Generator) -> str:
    """A text of the same length, case and gaps, with another letter for each letter and another digit for each digit."""
    return "".join(_other(sign, rng) for sign in words)


def _other(sign: str, rng: np.random.Generator) -> str:
    if not sign.isalnum():
        return sign if sign.isascii() else " "
    low = sign.lower()
    choices = DIGITS if sign.isdigit() else VOWELS if low in VOWELS else CONSONANTS
    choices = choices.replace(low, "")
    other = choices[int(rng.integers(len(choices)))]
    return other.upper() if sign.isupper() else other

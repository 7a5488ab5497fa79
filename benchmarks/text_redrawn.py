"""Whether `text_difference` names a line that says something else: readable lines of photos, redrawn in place in another font.

    python benchmarks/text_redrawn.py PHOTOS [PHOTOS ...]

PHOTOS are folders of JPEGs. A line is redrawn with its own words (nothing changed), with one letter exchanged, with every letter
exchanged, or its glyphs are put in another order, by the functions of `semfid build edits`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_tools.builders.core.masks import pasted
from data_tools.builders.edits.contract import NotPossible
from data_tools.builders.edits.text import inked, other_words, redrawn, reordered, runs
from semfid.io.images import read_image
from semfid.io.listing import list_images
from semfid.scoring.text import text_comparer
from semfid.scoring.text.boxes import Box

LINES = 2  # of a photo


def main() -> None:
    comparer, rng, found = text_comparer(), np.random.default_rng(0), defaultdict(list)
    for path in sorted(path for folder in sys.argv[1:] for path in list_images(Path(folder), deep=False).paths):
        photo = read_image(path)
        words = [word for word in comparer(photo, photo, gained=False).words if len(word.reference) > 1]
        for word in words[:LINES]:
            for how, after, picture in redrawings(photo, word.box, word.reference, rng):
                there = comparer(photo, picture, gained=False).words
                same = min(there, key=lambda one: abs(one.box.x - word.box.x) + abs(one.box.y - word.box.y))
                found[how].append(same.difference)
                print(f"{how}: {word.reference} -> {after}: {same.difference:.2f} {same.status} {same.candidate}")
    for how, values in found.items():
        print(f"{how}: {sum(value > 0 for value in values)} of {len(values)} named, mean {np.mean(values):.2f}")


def redrawings(
    photo: Image.Image, box: Box, words: str, rng: np.random.Generator
) -> list[tuple[str, str, Image.Image]]:
    """Kinds of change, what is written then, and the photo; none where ink and ground are too alike."""
    picture = np.asarray(photo)
    width, height = max(4, round(box.width)), max(4, round(box.height))
    flat = np.asarray([[0, 0], [width, 0], [width, height]], np.float32)
    there = cv2.getAffineTransform(box.corners()[:3].astype(np.float32), flat)
    level = np.asarray(cv2.warpAffine(picture, there, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    try:
        ink, ground = inked(level)
    except NotPossible:
        return []
    letters = [at for at, sign in enumerate(words) if sign.isascii() and sign.isalpha()]
    texts = {"same words": words, "all letters": other_words(words, rng)}
    if letters:
        at = letters[len(letters) // 2]
        texts["one letter"] = words[:at] + other_words(words[at], rng) + words[at + 1 :]
    drawn = [(how, after, redrawn(level, ink, ground, after)) for how, after in texts.items()]
    if len(runs(ink)) >= 4:
        drawn.append(("reordered", "?", reordered(level, ground, runs(ink), rng)))
    back = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    alpha = cv2.warpAffine(np.full((height, width), 255, np.uint8), there, photo.size, flags=back)
    placed = []
    for how, after, line in drawn:
        layer = cv2.warpAffine(line, there, photo.size, flags=back, borderMode=cv2.BORDER_REPLICATE)
        placed.append((how, after, Image.fromarray(pasted(picture, layer, alpha))))
    return placed


if __name__ == "__main__":
    main()

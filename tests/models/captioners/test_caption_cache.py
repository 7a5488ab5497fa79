"""Captions on disk: by picture, captioner and prompt, for any number of processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.captioners import CaptionCache, Captioner, LabelError, caption_images
from models.captioners.cache import caption_pictures
from semfid.errors import ImageError, UserError
from semfid.io.images import pixel_hash


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8))


PICTURES = [picture(seed) for seed in range(5)]
NAMES = [pixel_hash(image) for image in PICTURES]


class Counts(Captioner):
    batch_size = 2

    def __init__(self, identity: str = "counts-1", refuses: str = "") -> None:
        self.identity, self.refuses, self.seen = identity, refuses, 0

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        if self.refuses in [pixel_hash(image) for image in images]:
            raise LabelError("no such caption")
        self.seen += len(images)
        return [f" {prompt}\n{pixel_hash(image)}" for image in images]


def test_each_picture_once(tmp_path: Path) -> None:
    one, cache = Counts(), CaptionCache(tmp_path)
    said = caption_images(one, [*PICTURES, PICTURES[0]], "a?", cache)
    assert said == [f"a?\n{name}" for name in (*NAMES, NAMES[0])] and one.seen == 5
    assert caption_images(one, PICTURES[::-1], "a?", cache) == said[:5][::-1] and one.seen == 5
    assert caption_images(one, PICTURES, "a?", CaptionCache(tmp_path)) == said[:5] and one.seen == 5, "from the disk"
    caption_images(one, PICTURES, "b?", cache)
    caption_images(other := Counts("counts-2"), PICTURES, "a?", cache)
    assert (one.seen, other.seen) == (10, 5), "another question, another captioner"
    assert caption_images(one, PICTURES, "a?", None) == said[:5] and one.seen == 15, "nothing is kept"


def test_two_processes_and_one_that_was_killed(tmp_path: Path) -> None:
    first, second = CaptionCache(tmp_path), CaptionCache(tmp_path)
    caption_images(Counts(), PICTURES[:3], "?", first)
    second.known("counts-1", "?")
    caption_images(Counts(), PICTURES[3:4], "?", first)
    caption_images(Counts(), PICTURES[2:], "?", second)
    files = [*tmp_path.glob("*/*.jsonl")]
    assert len(files) == 2
    last = max(files, key=lambda path: path.read_bytes().count(b"\n"))
    last.write_bytes(last.read_bytes()[:-9])
    again = Counts()
    caption_images(again, PICTURES, "?", CaptionCache(tmp_path))
    assert again.seen <= 1, "at most the line that was not finished is made anew"


def test_faults_are_of_one_picture(tmp_path: Path) -> None:
    def read(place: int) -> Image.Image:
        if place == 1:
            raise ImageError("cannot be read")
        return PICTURES[place]

    one = Counts(refuses=NAMES[2])
    told: list[tuple[int, int]] = []
    found, faults = caption_pictures(one, NAMES, read, "?", CaptionCache(tmp_path), lambda *how: told.append(how))
    assert {*found} == {NAMES[0], NAMES[3], NAMES[4]} and told == [(2, 5), (4, 5), (5, 5)]
    assert faults == {NAMES[1]: "cannot be read", NAMES[2]: "no such caption"}
    with pytest.raises(LabelError, match="no such caption"):
        caption_images(one, PICTURES, "?", CaptionCache(tmp_path))


def test_foreign_lines(tmp_path: Path) -> None:
    caption_images(Counts(), PICTURES[:1], "?", CaptionCache(tmp_path))
    (folder,) = tmp_path.iterdir()
    (folder / "a.jsonl").write_text('{"picture": 1}\n')
    with pytest.raises(UserError, match=r"which is no caption; remove the folder"):
        caption_images(Counts(), PICTURES, "?", CaptionCache(tmp_path))

"""Categories as captions."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.captioners import LabelError, RegionView, build_captioner
from semfid.errors import UserError


def view(label: str) -> RegionView:
    return RegionView(Image.new("RGB", (4, 3)), "a", np.ones((3, 4), dtype=np.int32), 1, label)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("cat", "cat"),
        ("floor-other-merged", "floor"),
        ("tree-merged", "tree"),
        ("door-stuff", "door"),
        ("wall-brick", "wall brick"),
        ("playing_field", "playing field"),
        ("door, double door", "door"),
        ("screen;silver screen", "screen"),
        ("merged cells", "merged cells"),
        ("another-thing", "another thing"),
    ],
)
def test_names_as_people_say_them(label: str, said: str) -> None:
    assert build_captioner("category_names", {}).caption_regions([view(label)], "What?") == [said]
    assert build_captioner("category_names", {"plain": False}).caption_regions([view(label)], "What?") == [label]


def test_a_template() -> None:
    built = build_captioner("category_names", {"template": "a photo of a {}"})
    assert built.caption_regions([view("cat"), view("dog")], "?") == ["a photo of a cat", "a photo of a dog"]
    assert built.identity != build_captioner("category_names", {}).identity
    for template in ("a cat", "{} {}", ""):
        with pytest.raises(UserError, match=r"needs \{\} once"):
            build_captioner("category_names", {"template": template})


def test_regions_without_a_category_are_named() -> None:
    for label in ("", " ", "-merged"):
        with pytest.raises(LabelError, match="region 1 has no category: its segmenter names none"):
            build_captioner("category_names", {}).caption_regions([view(label)], "?")


def test_whole_images_have_none() -> None:
    with pytest.raises(UserError, match="says what regions are"):
        build_captioner("category_names", {}).caption([Image.new("RGB", (4, 3))], "?")

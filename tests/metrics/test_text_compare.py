"""Words kept, changed, lost and gained, with a reader that is told what it reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("scipy")

from semfid.errors import UserError
from semfid.scoring.text import compare_text, describe
from semfid.scoring.text.boxes import Box
from semfid.scoring.text.compare import TextComparer
from semfid.scoring.text.reading import Reading

UPPER, LOWER = Box(30, 10, 40, 8, 0.0), Box(30, 30, 40, 8, 0.0)
Lines = dict[Box, list[tuple[str, float]]]


class Told:
    """Stands in for a `Reader`: an image's colour says which page of readings it is.

    Args:
        pages: for each colour the boxes that are detected there, and what is read at a place, once for each crop.
    """

    def __init__(self, pages: list[Lines]) -> None:
        self.pages, self.detected = pages, 0

    def boxes(self, image: Image.Image) -> list[Box]:
        self.detected += 1
        return list(self.pages[image.getpixel((0, 0))[0]])

    def upright(self, image: Image.Image, box: Box) -> Box:
        return box

    def readings(self, image: Image.Image, box: Box) -> Iterator[Reading]:
        for content, confidence in self.pages[image.getpixel((0, 0))[0]].get(box, [("", 0.0)]):
            count = len(content)
            places = tuple((at + 0.5) / count for at in range(count))
            yield Reading(content, (confidence,) * count, places, ("",) * count)


def compare(*pages: Lines, gained: bool = True):
    comparer = TextComparer(Told(list(pages)))  # type: ignore[arg-type]
    return comparer(picture(0), picture(1), gained)


def picture(page: int) -> Image.Image:
    return Image.new("RGB", (60, 40), (page, 0, 0))


def told(change) -> list[tuple[str, str, str]]:
    return [(word.status, word.reference, word.candidate) for word in change.words]


class TestStatus:
    def test_a_changed_word(self) -> None:
        change = compare({UPPER: [("OUTDOOR", 0.9)] * 3}, {UPPER: [("SUTOOOR", 0.8)]})
        assert told(change) == [("changed", "OUTDOOR", "SUTOOOR")]
        assert change.difference == pytest.approx(2 * 2 / 7)  # two of seven letters; half of them would be all
        assert describe(change) == "text: OUTDOOR -> SUTOOOR (changed)"

    def test_nothing_is_read_any_more(self) -> None:
        change = compare({UPPER: [("EXIT", 0.9)], LOWER: [("GATE 7", 0.9)]}, {LOWER: [("GATE 7", 0.6)]})
        assert told(change) == [("lost", "EXIT", ""), ("kept", "GATE", "GATE"), ("kept", "7", "7")]
        assert change.difference == pytest.approx(4 / 9)
        assert change.characters == pytest.approx(0.9 * 9)
        assert describe(change) == "text: EXIT (lost); 2 words kept"

    def test_something_else_but_illegible_is_lost(self) -> None:
        assert told(compare({UPPER: [("EXIT", 0.9)]}, {UPPER: [("MOON", 0.4)]}))[0][0] == "lost"
        assert told(compare({UPPER: [("EXIT", 0.9)]}, {UPPER: [("MOON", 0.9)]}))[0][0] == "changed"
        assert told(compare({UPPER: [("EXIT", 0.9)]}, {UPPER: [("1", 0.9)]}))[0][0] == "lost"

    def test_words_of_a_line_are_told_apart(self) -> None:
        change = compare({UPPER: [("NO SMOKING HERE", 0.9)]}, {UPPER: [("NO SHOCKING HERE", 0.9)]})
        assert told(change) == [("kept", "NO", "NO"), ("changed", "SMOKING", "SHOCKING"), ("kept", "HERE", "HERE")]
        first, second, third = (word.box for word in change.words)
        assert first.x < second.x < third.x and first.height == UPPER.height
        assert first.width + second.width + third.width == pytest.approx(40, abs=8)

    def test_case_and_look_alikes_do_not_count(self) -> None:
        assert compare({UPPER: [("Hi10", 0.9)]}, {UPPER: [("HIIO", 0.9)]}).difference == 0.0


class TestWhatCounts:
    def test_unreadable_text_of_the_reference_does_not(self) -> None:
        uncertain = {UPPER: [("RANT", 0.5)] * 3}
        split = {UPPER: [("RANT", 0.9), ("BVUF", 0.9), ("PLOX", 0.9)]}
        letter, two_letters = {UPPER: [("A", 1.0)] * 3}, {UPPER: [("AB", 0.7)]}
        for page in (uncertain, split, letter, two_letters, {UPPER: [("...", 0.9)]}, {UPPER: [("", 0.0)]}, {}):
            change = compare(page, {})
            assert change.difference == 0.0 and change.words == ()
        assert describe(change) == "text: none that can be read in the reference"
        assert compare({UPPER: [("AB", 0.8)]}, {}).difference == 1.0

    def test_the_candidate_may_agree_with_any_reading_of_the_reference(self) -> None:
        assert (
            compare({UPPER: [("3165", 0.9), ("3165", 0.9), ("3105", 0.9)]}, {UPPER: [("3105", 0.9)]}).difference == 0.0
        )

    def test_any_reading_of_the_candidate_may_agree(self) -> None:
        assert compare({UPPER: [("EXIT", 0.9)]}, {UPPER: [("EX", 0.9), ("EXIT", 0.4)]}).difference == 0.0

    def test_a_line_that_moved_a_little(self) -> None:
        moved = Box(34, 12, 40, 8, 0.0)
        assert compare({UPPER: [("EXIT", 0.9)]}, {moved: [("EXIT", 0.9)]}).difference == 0.0
        far = Box(30, 33, 40, 8, 0.0)
        assert compare({UPPER: [("EXIT", 0.9)]}, {far: [("EXIT", 0.9)]}).difference == 1.0

    def test_sure_characters_weigh_more(self) -> None:
        pages = {UPPER: [("EXIT", 1.0)], LOWER: [("GATE", 0.75)]}
        assert compare(pages, {LOWER: [("GATE", 0.9)]}).difference == pytest.approx(4 / 7)
        assert compare(pages, {UPPER: [("EXIT", 0.9)]}).difference == pytest.approx(3 / 7)


class TestGained:
    def test_a_sure_word_is_named_and_changes_no_number(self) -> None:
        change = compare({}, {LOWER: [("SALE", 0.95)] * 2})
        assert told(change) == [("gained", "", "SALE")] and change.difference == 0.0 and not change.map().any()
        assert describe(change) == "text: SALE (gained)"

    def test_what_is_not_gained(self) -> None:
        assert compare({}, {LOWER: [("SALE", 0.7)]}).words == ()  # unsure
        assert compare({}, {LOWER: [("AB", 0.99)]}).words == ()  # short
        assert told(compare({UPPER: [("EXIT", 0.9)]}, {UPPER: [("EXIT", 0.9)]})) == [("kept", "EXIT", "EXIT")]
        overlooked = {LOWER: [("SALE", 0.95)]}

        class Overlooked(Told):
            def boxes(self, image: Image.Image) -> list[Box]:
                return [] if image.getpixel((0, 0))[0] == 0 else super().boxes(image)

        comparer = TextComparer(Overlooked([overlooked, overlooked]))  # type: ignore[arg-type]
        assert comparer(picture(0), picture(1)).words == ()  # it was there before, though not detected

    def test_nothing_is_looked_for_where_the_reference_has_no_text(self) -> None:
        reader = Told([{}, {}])
        TextComparer(reader)(picture(0), picture(1), gained=False)  # type: ignore[arg-type]
        assert reader.detected == 1


class TestMapsAndMemory:
    def test_boxes_are_filled_with_their_words_difference(self) -> None:
        change = compare({UPPER: [("EXIT", 0.9)], LOWER: [("OUTDOOR", 0.9)]}, {LOWER: [("OUTBOOR", 0.9)]})
        found = change.map()
        assert found.shape == (40, 60) and found.dtype == np.float32
        assert (found[7:13, 11:49] == 1.0).all() and (found[27:33, 11:49] == np.float32(2 / 7)).all()
        assert not found[:5].any() and not found[15:25].any() and not found[35:].any() and not found[:, 51:].any()

    def test_a_reference_is_read_once_for_its_candidates(self) -> None:
        reader = Told([{UPPER: [("EXIT", 0.9)]}, {UPPER: [("EXIT", 0.9)]}])
        comparer = TextComparer(reader)  # type: ignore[arg-type]
        for _ in range(3):
            comparer(picture(0), picture(1), gained=False)
        assert reader.detected == 1

    def test_long_lists_are_cut(self) -> None:
        boxes = [Box(30, 4 + 5 * row, 40, 4, 0.0) for row in range(7)]
        change = compare({box: [(f"LINE{'ABCDEFG'[row]}", 0.9)] for row, box in enumerate(boxes)}, {})
        assert describe(change).startswith("text: LINEA (lost), LINEB (lost), ") and describe(change).endswith(
            ", and 2 more"
        )


class TestBadInput:
    def test_one_line_with_the_fix(self, tmp_path) -> None:
        comparer = TextComparer(Told([{}, {}]))  # type: ignore[arg-type]
        with pytest.raises(
            UserError, match="60x40 pixels, the candidate 30x40; resize the candidate to the reference's"
        ):
            comparer(picture(0), Image.new("RGB", (30, 40)))
        with pytest.raises(
            UserError, match=r"the candidate is float64 \(4, 4\); give \(H, W, 3\) uint8 RGB, or a path"
        ):
            compare_text(picture(0), np.zeros((4, 4)), comparer)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"no image .*gone\.png; check the path"):
            compare_text(tmp_path / "gone.png", picture(1), comparer)

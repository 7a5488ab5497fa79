"""The single edits on pictures whose result is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edits_support import ONE_LINE, OneLine, built, write_textured
from scipy import ndimage
from tiny_coco import write_coco

from data_tools.builders.core.coco import Photo
from data_tools.builders.core.instance_filters import Filters
from data_tools.builders.core.masks import box_of
from data_tools.builders.edits.after import After, build_steps, step_of
from data_tools.builders.edits.contract import Edit, Kind, NotPossible, Task, Tools
from data_tools.builders.edits.keeping import MOST
from data_tools.builders.edits.kinds import KINDS
from data_tools.builders.edits.photos import CocoFolder, CocoFolders
from data_tools.builders.edits.reading import AUTO, Line, reader_of
from data_tools.builders.edits.scene import Fit, Scene, Scenes
from data_tools.builders.edits.text import inked, other_words, redrawn, reordered, runs
from data_tools.builders.inpainters.filling import patch_filled
from data_tools.builders.inpainters.object_bank import ObjectBank
from data_tools.builders.inpainters.patch_donor import PatchDonor
from semfid.errors import UserError
from semfid.io.pair_table import read_pairs

ON_OBJECTS = [name for name, kind in KINDS.items() if kind.pool in ("plain", "hard", "any")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> CocoFolders:
    root = tmp_path_factory.mktemp("coco")
    write_textured(root)
    return CocoFolders({"a": CocoFolder(images=str(root / "images"), instances=str(root / "instances.json"))})


@pytest.fixture(scope="module")
def tools(photos: CocoFolders) -> Tools:
    donors = ObjectBank(photos, Filters(short_side=0, area=(0.01, 0.9), box_side=8, border=1))
    plain, hard = PatchDonor(background="patch"), PatchDonor(match_to="object", match_colour=0.85, background="patch")
    for inpainter in (plain, hard):
        inpainter.meet(donors)
    return Tools(donors, plain, hard, photos.supercategory, (0.005, 0.2))


def done(kind: Kind, photos: CocoFolders, tools: Tools, seed: int, strength: float = 0.5) -> Edit:
    scene = Scenes(photos, Fit()).of(seed % 6)
    one = None if kind.pool == "nothing" else scene.objects[seed % len(scene.objects)]
    line = ONE_LINE(scene.picture)[0] if kind.pool == "text" else None
    return kind.make(Task(scene, one, kind.hard, strength, np.random.default_rng(seed), line), tools)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "refilled"])
def test_an_edit_leaves_all_else_to_the_bit_and_says_what_it_changed(
    name: str, photos: CocoFolders, tools: Tools
) -> None:
    kind, made = KINDS[name], 0
    for seed in range(8):
        try:
            edit = done(kind, photos, tools, seed)
        except NotPossible:
            continue
        made += 1
        source = Scenes(photos, Fit()).of(seed % 6).picture
        assert edit.picture.shape == source.shape and edit.picture.dtype == np.uint8
        assert (edit.picture[~edit.touched] == source[~edit.touched]).all()
        assert bool(edit.changed.any()) == kind.changes and not (edit.changed & ~edit.touched).any()
        if kind.changes:
            assert (edit.picture[edit.changed] != source[edit.changed]).any(-1).mean() > (
                0.1 if name == "text" else 0.5
            )
        again = done(kind, photos, tools, seed)
        assert (again.picture == edit.picture).all() and again.facts == edit.facts
    assert made >= 2


@pytest.mark.parametrize("name", ON_OBJECTS)
def test_an_edit_of_an_object_lies_on_it(name: str, photos: CocoFolders, tools: Tools) -> None:
    for seed in range(6):
        try:
            edit = done(KINDS[name], photos, tools, seed)
        except NotPossible:
            continue
        scene = Scenes(photos, Fit()).of(seed % 6)
        mask = scene.masks[scene.objects[seed % len(scene.objects)].id]
        if name.startswith("part"):
            assert 0 < (edit.changed & mask).sum() < mask.sum()
        elif KINDS[name].changes:
            assert edit.changed[mask].all()
        elif name == "local":
            assert not edit.touched[~mask].any()


def test_a_piece_of_an_even_background_is_refilled_and_an_uneven_one_is_not(photos: CocoFolders, tools: Tools) -> None:
    scene = Scenes(photos, Fit()).of(0)
    even = np.random.default_rng(0).integers(100, 108, scene.picture.shape).astype(np.uint8)
    even[scene.occupied] = scene.picture[scene.occupied]
    refill, made = KINDS["refilled"].make, 0
    for seed in range(6):
        try:
            edit = refill(Task(replace(scene, picture=even), None, False, 0.5, np.random.default_rng(seed)), tools)
        except NotPossible:
            continue
        made += 1
        assert edit.touched.any() and not edit.changed.any() and not (edit.touched & scene.occupied).any()
        assert (edit.picture[~edit.touched] == even[~edit.touched]).all() and (edit.picture != even).any()
        apart = np.abs(edit.picture.astype(int) - even)[edit.touched].mean(-1)
        assert np.percentile(apart, 95) <= 0.12 * 255
    assert made >= 2
    uneven = np.random.default_rng(0).integers(0, 255, scene.picture.shape).astype(np.uint8)
    with pytest.raises(NotPossible, match="no piece of the background is like another one"):
        refill(Task(replace(scene, picture=uneven), None, False, 0.5, np.random.default_rng(0)), tools)


def test_every_operation_of_the_degradations_comes_up_and_grows_with_the_strength(
    photos: CocoFolders, tools: Tools
) -> None:
    seen = set()
    for seed in range(40):
        weak, strong = (done(KINDS["global"], photos, tools, 6 * seed, strength) for strength in (0.1, 1.0))
        assert weak.facts == strong.facts
        seen.add(weak.facts["operation"])
        source = Scenes(photos, Fit()).of(0).picture.astype(int)
        assert np.abs(weak.picture - source).mean() < np.abs(strong.picture - source).mean()
    assert seen == set(MOST)


def test_a_shift_is_by_one_pixel_inside_the_mask(photos: CocoFolders, tools: Tools) -> None:
    found = 0
    for seed in range(60):
        edit = done(KINDS["local"], photos, tools, seed)
        if edit.facts["operation"] != "shift":
            continue
        found += 1
        scene = Scenes(photos, Fit()).of(seed % 6)
        mask = scene.masks[scene.objects[seed % len(scene.objects)].id]
        deep = ndimage.distance_transform_edt(mask) > 4  # behind the fade
        steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
        assert any((np.roll(scene.picture, step, (0, 1))[deep] == edit.picture[deep]).all() for step in steps)
    assert found >= 3


def stripes() -> np.ndarray:
    """(80, 120, 3): vertical stripes of 8 pixels."""
    columns = np.where(np.arange(120) // 4 % 2 == 0, 60, 200).astype(np.uint8)
    return np.repeat(np.broadcast_to(columns, (80, 120))[..., None], 3, axis=2).copy()


def test_a_hole_in_a_pattern_goes_on_as_the_pattern() -> None:
    picture, hole = stripes(), np.zeros((80, 120), bool)
    hole[30:50, 50:74] = True
    spoilt = picture.copy()
    spoilt[hole] = (255, 0, 0)
    filled = patch_filled(spoilt, hole, np.zeros_like(hole))
    assert (filled[~hole] == picture[~hole]).all()
    assert np.abs(filled[hole].astype(int) - picture[hole]).mean() < 8


def test_a_hole_is_not_filled_with_what_is_to_be_avoided() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(90, 110, (80, 120, 3)).astype(np.uint8)
    picture[:, :60, 0] = 200  # the left half is all objects
    hole, objects = np.zeros((80, 120), bool), np.zeros((80, 120), bool)
    hole[30:50, 64:80], objects[:, :60] = True, True
    assert (patch_filled(picture, hole, objects)[hole][:, 0] < 150).all()


def test_a_hole_that_leaves_no_place_is_filled_from_its_rim() -> None:
    picture = np.full((60, 60, 3), 120, np.uint8)
    hole = np.zeros((60, 60), bool)
    hole[4:56, 4:56] = True
    picture[hole] = 255
    filled = patch_filled(picture, hole, np.zeros_like(hole))
    assert np.abs(filled.astype(int) - 120).max() <= 6


def line_of_text(words: str = "HOTEL") -> tuple[np.ndarray, np.ndarray]:
    """A level line (24, 120, 3) of dark bars for glyphs, and where its ink is."""
    ink = np.zeros((24, 120), bool)
    for place in range(len(words)):
        ink[4:20, 8 + 20 * place : 8 + 20 * place + 6 + 2 * place] = True
    level = np.full((24, 120, 3), (230, 220, 40), np.uint8)
    level[ink] = (20, 30, 90)
    return level, ink


def test_ink_and_glyphs_are_found_in_either_polarity() -> None:
    level, ink = line_of_text()
    for picture in (level, 255 - level):
        found, ground = inked(picture)
        assert (found == ink).all() and np.abs(ground[~ink].astype(int) - picture[~ink]).max() <= 12
        assert np.abs(ground[ink].astype(int) - picture[0, 0]).max() <= 12, "no ink is left"
        assert runs(found) == [(8 + 20 * place, 8 + 20 * place + 6 + 2 * place) for place in range(5)]
    with pytest.raises(NotPossible, match="too little contrast"):
        inked((level // 12 + 100).astype(np.uint8))
    with pytest.raises(NotPossible, match="no ink can be told"):
        inked(np.pad(np.zeros((2, 2, 3), np.uint8), ((11, 11), (59, 59), (0, 0)), constant_values=255))


def test_reordered_glyphs_are_all_there_in_another_order() -> None:
    level, ink = line_of_text()
    ground, glyphs = inked(level)[1], runs(ink)
    for seed in range(5):
        result = reordered(level, ground, glyphs, np.random.default_rng(seed))
        widths = [end - start for start, end in runs(result[10, :, 0][None] < 128)]
        before = [end - start for start, end in glyphs]
        assert sorted(widths) == sorted(before) and widths != before


def test_redrawn_words_have_the_old_ones_place_and_colour() -> None:
    level, ink = line_of_text()
    result = redrawn(level, ink, inked(level)[1], "KAMER")
    new = np.abs(result.astype(int) - (20, 30, 90)).sum(-1) < 120
    (x0, y0, x1, y1), old = box_of(new), box_of(ink)
    assert max(abs(a - b) for a, b in zip((x0, y0, x1, y1), old, strict=True)) <= 3
    assert 0.1 < new.mean() < 0.6 and (new != ink).mean() > 0.1


def test_other_words_keep_length_case_and_gaps() -> None:
    rng = np.random.default_rng(0)
    for words in ("HOTEL 24", "Straße", "a-b.c", "Ünï"):
        other = other_words(words, rng)
        assert len(other) == len(words)
        for old, new in zip(words, other, strict=True):
            if old.isascii() and old.isalnum():
                assert new != old and new.isupper() == old.isupper() and new.isdigit() == old.isdigit()
            elif old.isascii():
                assert new == old


def test_text_is_altered_where_a_reader_finds_it_and_left_out_where_there_is_none(
    tmp_path: Path, photos: CocoFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "coco"
    write_coco(root, photos=3)
    kinds, plain = "{text: 1, unchanged: 1}", ("after.sr.share=0",)
    none = built(root, tmp_path / "none", "ocr=null", *plain, kinds=kinds)
    assert set(none["kind"]) == {"unchanged"}
    table = built(root, tmp_path / "text", "ocr=edits_support:ONE_LINE", "least_change=0.001", *plain, kinds=kinds)
    rows = table[table["kind"] == "text"]
    assert len(rows) >= 1 and set(rows["words_before"]) == {"HOTEL 24"} and (rows["difference"] == 1).all()
    assert (rows["area"] - 80 * 22 / 7500).abs().max() < 0.02
    monkeypatch.setattr(OneLine, "identity", "another reader")
    with pytest.raises(UserError, match="was built with ocr="):
        built(root, tmp_path / "text", "ocr=edits_support:ONE_LINE", "least_change=0.001", *plain, kinds=kinds)


def test_a_reader_that_is_none_is_named() -> None:
    for name, message in {
        "nothing": "it has no colon",
        "no_such_module:read": "No module named",
        "math:pi": "must be callable and have a text `identity`",
        "math:sin": "must be callable and have a text `identity`",
    }.items():
        with pytest.raises(UserError, match=message):
            reader_of(name)
    assert reader_of(None) == (None, "ocr is null")


def test_what_ocr_reads_is_altered(test_data: object) -> None:
    reader, why = reader_of(AUTO)
    if reader is None:
        pytest.skip(why)
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (320, 96), (240, 238, 225))
    ImageDraw.Draw(image).text((30, 24), "OUTDOOR", (30, 30, 120), ImageFont.load_default(44))
    picture = np.asarray(image)
    lines = reader(picture)
    assert [line.text for line in lines] == ["OUTDOOR"]
    scene = Scene(Photo(0, "a.png", 320, 96, "", "", ""), picture, (), {})
    edits = [
        KINDS["text"].make(Task(scene, None, False, 0.5, np.random.default_rng(seed), lines[0]), None)
        for seed in range(2)
    ]  # type: ignore[arg-type]
    for edit in edits:
        assert [line.text for line in reader(edit.picture)] != ["OUTDOOR"]


def test_shares_fall_to_the_steps_in_turn() -> None:
    steps = build_steps({"a": After(share=0.3), "none": After(share=0.0), "b": After(share=0.2)}, "cpu")
    draws = np.random.default_rng(0).random(4000)
    labels = [step_of(steps, draw) for draw in draws]
    assert list(steps) == ["a", "b"]
    for label, low, high in (("a", 0, 0.3), ("b", 0.3, 0.5), ("", 0.5, 1)):
        assert [label == one for one in labels] == ((draws >= low) & (draws < high)).tolist()


def test_what_is_left_of_a_change_is_measured_on_the_degraded_picture() -> None:
    step = build_steps({"a": After(strength=(0.2, 0.2))}, "cpu")["a"]
    rng = np.random.default_rng(0)
    source = ndimage.zoom(rng.integers(60, 120, (16, 20, 3)), (8, 8, 1), order=1).astype(np.uint8)[:75, :99]
    picture, changed = source.copy(), np.zeros(source.shape[:2], bool)
    changed[20:60, 30:70] = True
    picture[changed] += 100
    left = {}
    for name, edited in (("changed", picture), ("same", source)):
        small, record = step.shrink(edited, np.random.default_rng(1))
        assert small.shape == (19, 25, 3) and record["strength"] == 0.2
        left[name] = step.left_of(Edit(edited, changed, changed), source, small, record)
    assert left["same"] == 0 and left["changed"] == pytest.approx(100 / 255, rel=0.1)
    speck = np.zeros_like(changed)
    speck[20:30, 30:40] = True
    assert step.left_of(Edit(picture, speck, speck), source, small, record) == 0


def test_an_edit_that_lacks_its_object_says_so(photos: CocoFolders) -> None:
    task = Task(Scenes(photos, Fit()).of(0), None, False, 0.5, np.random.default_rng(0))
    for name in ("object", "text_line"):
        with pytest.raises(UserError, match="was asked without one"):
            getattr(task, name)
    assert Line(((0, 0), (30, 40), (24, 48), (-6, 8))).size == (50.0, 10.0)


def test_the_table_of_a_set_names_its_reader(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    write_coco(root, photos=2)
    built(root, tmp_path / "out", "ocr=edits_support:ONE_LINE", kinds="{text: 1, unchanged: 1}")
    assert len(read_pairs(tmp_path / "out" / "pairs.csv")) >= 2
    assert '"ocr": "one line"' in (tmp_path / "out" / "build.json").read_text()

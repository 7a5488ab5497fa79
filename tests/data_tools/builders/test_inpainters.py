"""Every registered inpainter's contract; those of diffusers through real pipelines with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_coco import quiet_call, write_coco, write_config
from tiny_diffusion import save_flux_fill, save_stable_diffusion

from data_tools.builders.core.coco import CocoSet
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.instance_filters import Filters
from data_tools.builders.core.masks import dilate
from data_tools.builders.inpainters.contract import Inpainter, Painted, Request, build_inpainter
from data_tools.builders.inpainters.diffusion import padded, to_uint8
from data_tools.builders.inpainters.object_bank import ObjectBank
from data_tools.builders.inpainters.patch_donor import filled, moved_colours, placed
from data_tools.builders.inpainting.build import build
from registry import INPAINTERS, RegistryError
from semfid.errors import UserError
from semfid.io.images import read_image

FILTERS = Filters(short_side=0, area=(0.01, 0.9), box_side=8, border=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {"flux_fill": save_flux_fill(root / "flux"), "stable_diffusion": save_stable_diffusion(root / "sd")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> CocoSet:
    root = tmp_path_factory.mktemp("coco")
    write_coco(root)
    return CocoSet(root / "images", root / "instances.json", root / "captions.json")


def keywords(name: str, folders: dict[str, Path]) -> dict[str, Any]:
    return {
        "patch_donor": {},
        "flux_fill": {"model": str(folders.get(name)), "steps": 1, "max_sequence_length": 32},
        "stable_diffusion": {"model": str(folders.get(name)), "steps": 2},
    }[name]


def request_of(photos: CocoSet, after: str = "car", seed: int = 0, crop: tuple[int, int] = (75, 100)) -> Request:
    one = photos.instances[1][0]
    rows, columns = crop
    picture, mask = photos.picture(1)[:rows, :columns].copy(), photos.mask(one)[:rows, :columns]
    rng = np.random.default_rng(seed)
    return Request(picture, mask, dilate(mask, 0.05), 1, one.id, one.category, after, f"a photo of a {after}", rng)


def ready(name: str, folders: dict[str, Path], photos: CocoSet) -> Inpainter:
    inpainter = build_inpainter(name, keywords(name, folders))
    inpainter.meet(ObjectBank(photos, FILTERS))
    inpainter.prepare(["a photo of a car", "a photo of a dog"], "cpu")
    return inpainter


@pytest.mark.parametrize("name", INPAINTERS.names())
def test_the_contract(name: str, folders: dict[str, Path], photos: CocoSet) -> None:
    inpainter = ready(name, folders, photos)
    request = request_of(photos)
    before = request.picture.copy()
    first = inpainter.paint(request)
    assert (request.picture == before).all(), "the request is left alone"
    assert first.picture.shape == before.shape and first.picture.dtype == np.uint8
    again = ready(name, folders, photos).paint(request_of(photos))
    assert (first.picture == again.picture).all() and first.facts == again.facts, "equal draws, equal pictures"
    others = [inpainter.paint(request_of(photos, seed=seed)).picture for seed in range(1, 6)]
    assert any((other != first.picture).any() for other in others), "other draws, other pictures"
    assert inpainter.paint(request_of(photos, crop=(61, 83))).picture.shape == (61, 83, 3), "sizes of no multiple"
    inside = request.repaint if first.repaint is None else first.repaint
    assert (first.picture[inside] != before[inside]).mean() > 0.5
    assert name in inpainter.identity and inpainter.identity == ready(name, folders, photos).identity


@pytest.mark.parametrize("name", INPAINTERS.names())
def test_settings_and_weights_change_the_identity(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    given = keywords(name, folders)
    other = {"patch_donor": {"soften": 3}}.get(name, {"guidance": 3.0})
    assert build_inpainter(name, given | other).identity != build_inpainter(name, given).identity
    if "model" in given:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "model_index.json").write_text("{}")
        assert (
            build_inpainter(name, given | {"model": str(tmp_path / "m")}).identity
            != build_inpainter(name, given).identity
        )
        assert build_inpainter(name, given | {"offload": "model"}).identity == build_inpainter(name, given).identity


def test_a_build_with_flux(folders: dict[str, Path], tmp_path: Path) -> None:
    write_coco(tmp_path, photos=3)
    config = write_config(tmp_path, tmp_path / "out")
    flux = [f"inpainter={{name: flux_fill, model: {folders['flux_fill']}, steps: 1, max_sequence_length: 32}}"]
    assert build(config, flux, quiet_call()) == 0
    table = pd.read_csv(tmp_path / "out" / "pairs.csv")
    assert len(table) == 9 and (table["steps"] == 1).all() and (table["guidance"] == 30).all()
    assert table["generator_seed"].nunique() == 9 and table["model"].str.startswith("files:").all()
    for row in table.to_dict("records"):
        source, candidate, paste, repaint, original, changed = (
            np.asarray(read_image(tmp_path / "out" / row[name]))
            for name in ("reference", "candidate", "mask_paste", "mask_repaint", "mask_original", "map")
        )
        assert (candidate[paste == 0] == source[paste == 0]).all() and (candidate != source).any()
        same = row["level"] == "same_class"
        assert (repaint == original).all() == same
        assert (changed == (0 if same else original)).all()
    (tmp_path / "out2").mkdir()
    assert build(config, [*flux, f"out={tmp_path / 'out2'}"], quiet_call()) == 0
    assert (tmp_path / "out2" / "pairs.csv").read_bytes() == (tmp_path / "out" / "pairs.csv").read_bytes()


def test_a_prompt_matters_and_encoders_leave(folders: dict[str, Path], photos: CocoSet) -> None:
    inpainter = ready("flux_fill", folders, photos)
    car, dog = (inpainter.paint(request_of(photos, after)).picture for after in ("car", "dog"))
    assert (car != dog).any()
    pipe = inpainter._pipe  # type: ignore[attr-defined]
    assert pipe.text_encoder is None and pipe.text_encoder_2 is None and not pipe.transformer.training
    whole = build_inpainter("flux_fill", keywords("flux_fill", folders))
    whole.prepare([f"prompt {number}" for number in range(600)], "cpu")  # too many: encoded one by one
    assert np.abs(whole.paint(request_of(photos, "car")).picture.astype(int) - car).max() <= 1


def test_a_model_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"inpainter flux_fill: cannot get 'nobody/nothing' .*give model: path/to/folder"
    ):
        build_inpainter("flux_fill", {"model": "nobody/nothing"})
    with pytest.raises(UserError, match=r"revision=main is for models of the hub"):
        build_inpainter("flux_fill", {"model": str(tmp_path), "revision": "main"})
    with pytest.raises(UserError, match=r"inpainter\.steps=0 must be 1 or more"):
        build_inpainter("stable_diffusion", {"model": str(tmp_path), "steps": 0})
    with pytest.raises(RegistryError, match=r"no keyword 'step'; did you mean 'steps'"):
        build_inpainter("flux_fill", {"step": 3})


def test_a_subclass_that_breaks_the_contract(photos: CocoSet) -> None:
    class Small(Inpainter):
        def _paint(self, request: Request) -> Painted:
            return Painted(request.picture[::2])

    class Odd(Inpainter):
        def _paint(self, request: Request) -> Painted:
            return Painted(request.picture, covered=request.object.astype(np.uint8))

    for broken in (Small(), Odd()):
        with pytest.raises(TypeError, match=type(broken).__name__):
            broken.paint(request_of(photos))


def test_padding_is_a_reflection_to_the_right_and_below() -> None:
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    wide = padded(picture, 4)
    assert wide.shape == (8, 8, 3) and (wide[:5, :7] == picture).all()
    assert (wide[5] == wide[3]).all() and (wide[:, 7] == wide[:, 5]).all()
    assert padded(picture[..., 0], 16).shape == (16, 16)
    with pytest.raises(ValueError, match="not finite"):
        to_uint8(np.full((2, 2, 3), np.nan))


def test_the_donor_stands_in_the_box(photos: CocoSet) -> None:
    canvas = np.zeros((50, 60, 3), np.uint8)
    patch, mask = np.full((10, 20, 3), 200, np.uint8), np.ones((10, 20), bool)
    alpha = placed(patch, mask, (10, 5, 40, 45), canvas, soften=0, stretch=1.0)
    assert (canvas[30:45, 10:40] == 200).all() and canvas.sum() == 200 * 15 * 30 * 3, "as wide as the box, at its foot"
    assert ((alpha == 1) == (canvas[..., 0] == 200)).all()
    canvas[:] = 0
    placed(patch, mask, (10, 5, 40, 45), canvas, soften=0, stretch=1.4)
    assert (canvas[24:45, 10:40] == 200).all() and canvas.sum() == 200 * 21 * 30 * 3, "1.4 times as high"


def test_a_donor_of_the_wanted_category_takes_the_place(photos: CocoSet) -> None:
    inpainter = build_inpainter("patch_donor", {"match_colour": 0.0, "soften": 0})
    inpainter.meet(ObjectBank(photos, FILTERS))
    for after, colour in (("car", (200, 20, 20)), ("bus", (240, 200, 20))):
        painted = inpainter.paint(request_of(photos, after))
        assert painted.covered is not None and painted.covered.sum() > 300
        assert np.median(painted.picture[painted.covered], 0).tolist() == list(colour)
        assert painted.facts["donor_image_id"] != 1
        assert painted.repaint is not None and (painted.covered <= painted.repaint).all()
        request = request_of(photos, after)
        assert (painted.picture[~painted.repaint] == request.picture[~painted.repaint]).all()
    assert inpainter.offers("dog", 1) and not inpainter.offers("zebra", 1)
    with pytest.raises(UnitError, match="no other photo has a zebra"):
        inpainter.paint(request_of(photos, "zebra"))


def test_a_donor_that_cannot_be_read_is_passed_over(photos: CocoSet, tmp_path: Path) -> None:
    write_coco(tmp_path)
    broken = CocoSet(tmp_path / "images", tmp_path / "instances.json")
    cars = [one for number in range(2, 7) for one in broken.instances[number] if one.category == "car"]
    for one in cars[1:]:
        broken.path(one.photo).write_bytes(b"no image")
    inpainter = build_inpainter("patch_donor", {})
    inpainter.meet(ObjectBank(broken, FILTERS))
    painted = inpainter.paint(request_of(photos))
    assert painted.facts["donor_image_id"] == cars[0].photo
    broken.path(cars[0].photo).write_bytes(b"no image")
    with pytest.raises(UnitError, match=f"none of {len(cars)} donors of car can be read"):
        inpainter.paint(request_of(photos))


def test_a_hole_is_filled_from_its_rim() -> None:
    picture = np.full((400, 500, 3), 90, np.uint8)
    picture[150:250, 200:330] = 255
    hole = np.zeros((400, 500), bool)
    hole[145:255, 195:335] = True
    done = filled(picture, hole)
    assert np.abs(done.astype(int) - 90).max() < 15 and (done[~hole] == picture[~hole]).all()


def test_colours_move_to_the_other_photos_statistics() -> None:
    rng = np.random.default_rng(0)
    dark, light = (np.clip(rng.normal(mean, 12, (80, 90, 3)), 0, 255).astype(np.uint8) for mean in (70, 170))
    whole = moved_colours(dark, dark, light, 1.0)
    assert np.abs(whole.mean((0, 1)) - light.mean((0, 1))).max() < 3
    half = moved_colours(dark, dark, light, 0.5).mean()
    assert dark.mean() + 30 < half < light.mean() - 30
    assert np.abs(moved_colours(dark, dark, light, 0.0).astype(int) - dark).max() <= 1

"""What every registered segmenter promises, on tiny models of the real classes loaded from folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from PIL import Image

from models.captioners import LabelError
from models.segmenters import Segmentation, Segmenter, build_segmenter
from models.segmenters.from_folder import store_regions
from models.segmenters.panoptic_classes import ADE20K
from models.segmenters.region_store import read_ids
from registry import SEGMENTERS, RegistryError
from semfid.errors import UserError
from semfid.io.jsonl import JsonLines


def picture(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels // (1 + seed % 3))


PICTURES = [picture(0), picture(1, (64, 30)), picture(2), picture(4, (30, 64))]


def store(folder: Path) -> Path:
    for number, image in enumerate(PICTURES):
        ids = np.full((image.height, image.width), number + 1)
        store_regions(folder, image, ids, {0: f"picture {number}", number + 1: f" region of {number}"})
    return folder


def save_torchscript(folder: Path) -> Path:
    """A network of 21 channels at an eighth of the size."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    torch.jit.script(torch.nn.Conv2d(3, 21, 8, stride=8)).save(str(folder / "net.pt"))
    return folder


def save_panoptic(folder: Path) -> Path:
    """`PICTURES` as photos with COCO's panoptic files."""
    (folder / "maps").mkdir(parents=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    for number, image in enumerate(PICTURES):
        image.save(folder / f"{number}.png")
        Image.new("RGB", image.size, (1, number, 3)).save(folder / "maps" / f"{number}.png")
        segments = [{"id": 1 + 256 * number + 3 * 65536, "category_id": 1}]
        content["images"].append(
            {"id": number, "file_name": f"{number}.png", "width": image.width, "height": image.height}
        )
        content["annotations"].append({"image_id": number, "file_name": f"{number}.png", "segments_info": segments})
    (folder / "truth.json").write_text(json.dumps(content))
    return folder


MODELS: dict[str, Callable[[Path], Path]] = {
    "panoptic_files": save_panoptic,
    "torchscript_semantic": save_torchscript,
    "torchscript_voc": save_torchscript,
    "oneformer": tiny.save_oneformer,
    "mask2former": tiny.save_mask2former,
    "transformers_panoptic": tiny.save_mask2former,
    "stored": store,
}


def keywords(name: str, folder: str) -> dict[str, Any]:
    if name.startswith("torchscript"):
        classes = {"classes": [f"class {number}" for number in range(21)]} if name == "torchscript_semantic" else {}
        return {"weights": f"{folder}/net.pt", "image_size": 32, "device": "cpu", **classes}
    if name == "panoptic_files":
        return {"annotations": f"{folder}/truth.json", "images": folder, "maps": f"{folder}/maps"}
    return {"folder": folder} if name == "stored" else {"model": folder, "device": "cpu", "batch_size": 3}


# settings that change the maps; panoptic files have none
OTHER: dict[str, dict[str, Any]] = {"stored": {"regions": "raw"}, "panoptic_files": {}}
OTHER |= {name: {"std": [1.0, 1.0, 1.0]} for name in ("torchscript_semantic", "torchscript_voc")}


@pytest.fixture(scope="module")
def segmenter(folder: Callable[[str], str]) -> Callable[[str], Segmenter]:
    made: dict[str, Segmenter] = {}
    return lambda name: made.setdefault(name, build_segmenter(name, keywords(name, folder(name))))


@pytest.mark.parametrize("name", SEGMENTERS.names())
class TestSegmenters:
    def test_maps_of_the_images_sizes(self, name: str, segmenter: Callable[[str], Segmenter]) -> None:
        found = segmenter(name).segment(PICTURES)
        for one, image in zip(found, PICTURES, strict=True):
            assert one.ids.shape == (image.height, image.width) and one.ids.dtype == np.int32 and one.ids.min() >= 0
        assert segmenter(name).segment([]) == []

    def test_company_does_not_matter(self, name: str, segmenter: Callable[[str], Segmenter]) -> None:
        together = segmenter(name).segment(PICTURES)
        for one, image in zip(together, PICTURES, strict=True):
            assert np.array_equal(segmenter(name).segment([image])[0].ids, one.ids)

    def test_identity(self, name: str, segmenter: Callable[[str], Segmenter], folder: Callable[[str], str]) -> None:
        """Known without weights, the same in another place, another with other settings."""
        again = build_segmenter(name, keywords(name, folder(name)))
        assert again.identity == segmenter(name).identity and again.identity.startswith(name)
        assert folder(name) not in again.identity, "a folder's path says nothing of what lies in it"
        other = OTHER.get(name, {"threshold": 0.4})
        changed = build_segmenter(name, {**keywords(name, folder(name)), **other}).identity
        assert changed != again.identity or not other

    def test_works_after_release(self, name: str, segmenter: Callable[[str], Segmenter]) -> None:
        first = segmenter(name).segment(PICTURES[:1])[0].ids
        segmenter(name).release()
        assert np.array_equal(segmenter(name).segment(PICTURES[:1])[0].ids, first)


def logits(masks: np.ndarray, classes: list[int], count: int) -> SimpleNamespace:
    """What a model says that is sure of these (Q, h, w) masks and classes; the class after the last is nothing."""
    sure = torch.full((1, len(classes), count + 1), -20.0)
    sure[0, torch.arange(len(classes)), torch.tensor(classes)] = 20.0
    return SimpleNamespace(class_queries_logits=sure, masks_queries_logits=torch.tensor(masks[None] * 40.0 - 20.0))


class TestPanoptic:
    def test_oneformer_fuses_stuff_and_keeps_things_apart(self, segmenter: Callable[[str], Segmenter]) -> None:
        masks = np.zeros((6, 8, 12))
        masks[0, :4, :6], masks[2, :4, 6:] = 1, 1  # two pieces of sky, with a cat between them in the list
        masks[1, 4:, :3], masks[3, 4:, 3:6], masks[4, 4:, 6:9] = 1, 1, 1  # two cats and a dog
        masks[5, 4:, 9:] = 1  # a query that found nothing
        kinds = [2, 0, 2, 0, 1, 4]
        (found,) = segmenter("oneformer").segments(logits(masks, kinds, 4), [(16, 24)])
        sky, other_sky, cat, other_cat, dog = (
            int(found.ids[row, column]) for row, column in ((2, 4), (2, 18), (12, 2), (12, 8), (12, 14))
        )
        assert sky == other_sky, "sky is one"
        assert len({0, sky, cat, other_cat, dog}) == 5, "things are apart, and nobody gets another's number"
        assert found.labels == {sky: "sky", cat: "cat", other_cat: "cat", dog: "dog"}
        assert {*found.scores} == {*found.labels} and all(0.99 < score <= 1 for score in found.scores.values())

    def test_a_segment_that_others_cover_is_void(self, segmenter: Callable[[str], Segmenter]) -> None:
        masks = np.zeros((2, 8, 8))
        masks[0, :, :6], masks[1] = 1.2, 1  # less than the overlap threshold of the second one is left
        (found,) = segmenter("oneformer").segments(logits(masks, [0, 1], 4), [(8, 8)])
        assert (found.ids[:, :5] == 1).all() and not found.ids[:, 7].any() and found.labels == {1: "cat"}

    def test_nothing_found_is_void(self, segmenter: Callable[[str], Segmenter]) -> None:
        (found,) = segmenter("oneformer").segments(logits(np.ones((1, 4, 4)), [4], 4), [(8, 8)])
        assert not found.ids.any() and found.ids.dtype == np.int32

    def test_stuff_by_the_number_of_classes(self, segmenter: Callable[[str], Segmenter]) -> None:
        masks = np.zeros((2, 4, 8))
        masks[0, :, :4], masks[1, :, 4:] = 1, 1
        for kind, regions in ((100, 1), (3, 2)):  # COCO: stuff from 80 on
            (found,) = segmenter("mask2former").segments(logits(masks, [kind, kind], 133), [(4, 8)])
            assert len(np.unique(found.ids)) == regions
        assert len(ADE20K) == 50

    def test_a_family_that_counts_from_nought(self, tmp_path: Path) -> None:
        """EoMT's first segment is 0 and its void -1; its own post-processing, on a model that runs."""
        words = {"model": str(tiny.save_eomt(tmp_path / "m")), "device": "cpu", "stuff": [2]}
        built = build_segmenter("transformers_panoptic", {**words, "threshold": 0.0, "overlap_threshold": 0.0})
        assert [one.ids.shape for one in built.segment(PICTURES[:2])] == [(32, 40), (30, 64)]
        masks = np.zeros((3, 8, 8))
        masks[0, :4], masks[1, 4:, :4], masks[2, 4:6, 4:] = 1, 1, 1
        (found,) = built.segments(logits(masks, [2, 0, 2], 4), [(64, 64)])
        assert found.ids[8, 8] == found.ids[36, 48] == 1 and found.ids[48, 8] == 2 and found.ids[60, 60] == 0
        assert found.labels == {1: "sky", 2: "cat"}

    def test_own_stuff(self, folder: Callable[[str], str]) -> None:
        masks = np.zeros((2, 4, 8))
        masks[0, :, :4], masks[1, :, 4:] = 1, 1
        built = build_segmenter(
            "transformers_panoptic", {"model": folder("mask2former"), "stuff": [3], "device": "cpu"}
        )
        assert len(np.unique(built.segments(logits(masks, [3, 3], 133), [(4, 8)])[0].ids)) == 1


class TestStored:
    def test_round_trip(self, tmp_path: Path) -> None:
        ids = np.zeros((32, 40), dtype=np.int64)
        ids[3:9, 4:8] = 40000
        name = store_regions(tmp_path, PICTURES[0], ids)
        built = build_segmenter("stored", {"folder": str(tmp_path)})
        assert built.final and np.array_equal(built.segment([PICTURES[0]])[0].ids, ids)
        assert Image.open(tmp_path / f"{name}.png").mode == "I;16"
        with pytest.raises(LabelError, match="no id map"):
            built.segment([PICTURES[2]])

    def test_labels_and_scores(self, tmp_path: Path) -> None:
        name = store_regions(tmp_path, PICTURES[0], np.ones((32, 40), dtype=int))
        info = '{"regions": [{"id": 1, "label": "cat", "score": 0.5}]}'
        (tmp_path / f"{name}.json").write_text(info)
        (found,) = build_segmenter("stored", {"folder": str(tmp_path)}).segment([PICTURES[0]])
        assert found.labels == {1: "cat"} and found.scores == {1: 0.5}

    @pytest.mark.parametrize(("mode", "fine"), [("L", True), ("P", True), ("I;16", True), ("RGB", False)])
    def test_modes(self, tmp_path: Path, mode: str, fine: bool) -> None:
        ids = np.arange(12, dtype=np.uint16 if mode == "I;16" else np.uint8).reshape(3, 4)
        image = Image.fromarray(ids)
        if mode == "P":
            image.putpalette([9] * 768)
        elif mode == "RGB":
            image = image.convert("RGB")
        image.save(tmp_path / "a.png")
        if fine:
            assert image.mode == mode and np.array_equal(read_ids(tmp_path / "a.png"), ids)
        else:
            with pytest.raises(LabelError, match="is RGB; store ids as"):
                read_ids(tmp_path / "a.png")

    def test_bad_input(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="finds no folder"):
            build_segmenter("stored", {"folder": str(tmp_path / "nowhere")})
        with pytest.raises(LabelError, match=r"ids must lie in 0 \.\. 65535"):
            store_regions(tmp_path, PICTURES[0], np.full((32, 40), 70000))
        with pytest.raises(LabelError, match="they must agree"):
            store_regions(tmp_path, PICTURES[0], np.ones((3, 4), dtype=int))
        name = store_regions(tmp_path, PICTURES[0], np.ones((32, 40), dtype=int))
        (tmp_path / f"{name}.png").write_bytes(b"none")
        with pytest.raises(LabelError, match="cannot be read"):
            build_segmenter("stored", {"folder": str(tmp_path)}).segment([PICTURES[0]])

    def test_a_line_that_was_cut_off(self, tmp_path: Path) -> None:
        lines = JsonLines(tmp_path / "a.jsonl")
        lines.append([{"a": "ä\n"}, {"a": 2}])
        whole = lines.path.read_bytes()
        lines.path.write_bytes(whole + b'{"a": "\xc3')
        assert lines.read() == [{"a": "ä\n"}, {"a": 2}]
        lines.repair()
        assert lines.path.read_bytes() == whole


def test_images_of_one_size_share_a_pass() -> None:
    passes: list[list[tuple[int, int]]] = []

    class Sizes(Segmenter):
        identity, batch_size = "sizes", 2

        def _segment(self, images: Any) -> list[Segmentation]:
            passes.append([image.size for image in images])
            return [Segmentation(np.full(image.size[::-1], image.width, dtype=np.int32)) for image in images]

    sizes = [(4, 3), (5, 3), (4, 3), (4, 3), (5, 3)]
    found = Sizes().segment([Image.new("RGB", size) for size in sizes])
    assert [int(one.ids[0, 0]) for one in found] == [4, 5, 4, 4, 5], "in the order of the images"
    assert passes == [[(4, 3), (4, 3)], [(4, 3)], [(5, 3), (5, 3)]]

    class Wrong(Sizes):
        def _segment(self, images: Any) -> list[Segmentation]:
            return [Segmentation(np.zeros((2, 2), dtype=np.int32)) for _ in images]

    with pytest.raises(TypeError, match=r"Wrong returned ids int32 \(2, 2\) for an image \(3, 4\)"):
        Wrong().segment([Image.new("RGB", (4, 3))])


class TestBadModels:
    def test_weights_that_cannot_be_had(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(UserError, match=r"oneformer: cannot get '.*nowhere' .*use stored") as caught:
            build_segmenter("oneformer", {"model": str(tmp_path / "nowhere")})
        assert "\n" not in str(caught.value)

    def test_a_folder_without_weights(self, tmp_path: Path, folder: Callable[[str], str]) -> None:
        shutil.copytree(folder("mask2former"), tmp_path / "m")
        for path in (tmp_path / "m").glob("*.safetensors"):
            path.unlink()
        built = build_segmenter("mask2former", {"model": str(tmp_path / "m"), "device": "cpu"})
        with pytest.raises(UserError, match="mask2former: cannot get"):
            built.segment(PICTURES[:1])

    def test_another_kind_of_model(self, folder: Callable[[str], str]) -> None:
        with pytest.raises(UserError, match="is a mask2former model; use transformers_panoptic"):
            build_segmenter("oneformer", {"model": folder("mask2former")})

    def test_keywords(self, folder: Callable[[str], str]) -> None:
        with pytest.raises(RegistryError, match="did you mean 'oneformer'"):
            build_segmenter("oneforme", {})
        with pytest.raises(UserError, match="batch_size >= 1"):
            build_segmenter("oneformer", {"model": folder("oneformer"), "batch_size": 0})
        with pytest.raises(UserError, match="revision=main is for models of the hub"):
            build_segmenter("oneformer", {"model": folder("oneformer"), "revision": "main"})
        with pytest.raises(UserError, match="no device 'cuda:99' here"):
            build_segmenter("oneformer", {"model": folder("oneformer"), "device": "cuda:99"})

"""Semantic networks in TorchScript files, against the network itself called by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from models.segmenters import build_segmenter
from registry import SEGMENTERS
from semfid.errors import UserError
from semfid.io.images import read_image

CLASSES = ["nothing", "cat", "dog"]


class Tiny(nn.Module):
    """Logits of three classes at a quarter of the size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 3, 4, stride=4)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images) * 3


class Pair(Tiny):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.conv(images), self.conv(images)


class Flat(Tiny):
    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean(dim=(2, 3))


class Fixed(Tiny):
    """As a traced network: of one size alone."""

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).view(1, 3, 6, 6)


def saved(net: nn.Module, path: Path) -> Path:
    torch.jit.script(net).save(str(path))
    return path


def words(path: Path, **other: Any) -> dict[str, Any]:
    return {"weights": str(path), "classes": CLASSES, "image_size": 24, "device": "cpu", **other}


def picture(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(sum(size)).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def by_hand(net: Any, image: Image.Image, size: int, mean: Tensor, std: Tensor) -> tuple[np.ndarray, Tensor]:
    """Class numbers (H, W), all logits at once; and the probabilities of the network's own grid."""
    squashed = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    planes = torch.from_numpy(squashed).permute(2, 0, 1)
    with torch.no_grad():
        logits = net(((planes - mean[:, None, None]) / std[:, None, None])[None])
    large = F.interpolate(logits, (image.height, image.width), mode="bilinear", align_corners=False)
    return large[0].argmax(0).numpy(), logits[0].softmax(0)


@pytest.mark.parametrize("size", [(31, 17), (24, 24), (60, 41)])
def test_ids_labels_and_scores(size: tuple[int, int], tmp_path: Path) -> None:
    built = build_segmenter(
        "torchscript_semantic", words(saved(Tiny(), tmp_path / "net.pt"), mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])
    )
    (found,) = built.segment([picture(size)])
    best, probabilities = by_hand(
        Tiny(), picture(size), 24, torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    )
    assert np.array_equal(found.ids, best + 1) and len(np.unique(best)) > 1
    assert found.labels == {int(one) + 1: CLASSES[one] for one in np.unique(best)}
    grid = probabilities.argmax(0)
    for number, score in found.scores.items():
        assert score == pytest.approx(float(probabilities[number - 1][grid == number - 1].mean()), abs=1e-6)


def test_void_classes_are_no_region(tmp_path: Path) -> None:
    path = saved(Tiny(), tmp_path / "net.pt")
    (all_of_them,) = build_segmenter("torchscript_semantic", words(path)).segment([picture((40, 30))])
    dropped = all_of_them.labels[int(all_of_them.ids[0, 0])]
    (found,) = build_segmenter("torchscript_semantic", words(path, void=[dropped])).segment([picture((40, 30))])
    number = CLASSES.index(dropped) + 1
    assert np.array_equal(found.ids, np.where(all_of_them.ids == number, 0, all_of_them.ids))
    assert number not in found.labels and number not in found.scores and not found.ids[0, 0]


def test_a_rectangular_input(tmp_path: Path) -> None:
    built = build_segmenter("torchscript_semantic", words(saved(Tiny(), tmp_path / "net.pt"), image_size=[24, 40]))
    assert built.segment([picture((40, 30))])[0].ids.shape == (30, 40)


def test_identity_follows_file_and_settings(tmp_path: Path) -> None:
    path, other = saved(Tiny(), tmp_path / "net.pt"), saved(Fixed(), tmp_path / "other.pt")
    one = build_segmenter("torchscript_semantic", words(path)).identity
    assert one == build_segmenter("torchscript_semantic", words(path)).identity and str(tmp_path) not in one
    changed = [words(other), words(path, image_size=32), words(path, mean=[0.5, 0.5, 0.5]), words(path, void=["cat"])]
    assert len({one, *(build_segmenter("torchscript_semantic", keywords).identity for keywords in changed)}) == 5


@pytest.mark.parametrize(
    ("net", "other", "message"),
    [
        (
            Tiny,
            {"classes": ["cat", "dog"]},
            r"gives 3 channels, but classes has 2 names; it must give logits \(1, 2, h, w\)",
        ),
        (Pair, {}, r"gives a tuple; it must give logits \(1, 3, h, w\) for images \(1, 3, 24, 24\)"),
        (Flat, {}, r"gives torch.float32 \(1, 3\); it must give logits"),
        (Fixed, {"image_size": 32}, r"cannot take images \(1, 3, 32, 32\) .*set image_size to the size"),
        (None, {}, "is no TorchScript file"),
    ],
)
def test_a_file_of_another_signature(
    net: type[Tiny] | None, other: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.pt"
    if net is None:
        torch.save({"weight": torch.zeros(2)}, path)
    else:
        saved(net(), path)
    built = build_segmenter("torchscript_semantic", words(path, **other))
    with pytest.raises(UserError, match=message) as caught:
        built.segment([picture((40, 30))])
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"weights": "nowhere.pt"}, "no file nowhere.pt"),
        ({"classes": []}, "needs classes, each name once"),
        ({"classes": ["cat", "cat"]}, "needs classes, each name once"),
        ({"void": ["bird"]}, "void has 'bird', which is none of the classes"),
        ({"image_size": 0}, "image_size=0 must be one number"),
        ({"image_size": [1, 2, 3]}, "must be one number of pixels, or"),
        ({"mean": [0.5]}, "mean=.* must hold three numbers"),
        ({"std": [1, 0, 1]}, "must be above 0"),
    ],
)
def test_bad_settings(other: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        build_segmenter("torchscript_semantic", words(saved(Tiny(), tmp_path / "net.pt"), **other))


def test_a_real_network_on_real_photos(test_data: Callable[[str], Path]) -> None:
    """ESPNetv2 of Pascal VOC: as called by hand, and right about what COCO's panoptic truth says."""
    path, coco = test_data("weights") / "espnetv2_voc.torchscript.pt", test_data("coco128")
    built = build_segmenter("torchscript_voc", {"weights": str(path), "device": "cpu"})
    truth = build_segmenter(
        "panoptic_files",
        {"annotations": str(coco / "annotations" / "panoptic_train2017.json"), "images": str(coco / "train2017")},
    )
    classes = SEGMENTERS.get("torchscript_voc").preset["classes"]
    net = torch.jit.load(str(path)).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for name, kind, voc in (("000000000394", "dog", "dog"), ("000000000247", "airplane", "aeroplane")):
        image = read_image(coco / "train2017" / f"{name}.jpg")
        (found,) = built.segment([image])
        best, _ = by_hand(net, image, 384, mean, std)
        assert np.array_equal(found.ids, best + 1)
        (said,) = truth.segment([image])
        true = np.isin(said.ids, [one for one, label in said.labels.items() if label == kind])
        guess = found.ids == classes.index(voc) + 1
        assert (true & guess).sum() / (true | guess).sum() > 0.6
